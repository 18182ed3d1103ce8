//! Batches for tests: right headers around any bytes.

use bytes::Bytes;
use tidelog_records::HEADER_LEN;

use super::StoredBatch;

/// What a test batch holds; start from [`TestBatch::new`].
pub(crate) struct TestBatch {
    pub base: i64,
    pub records: i32,
    pub payload: Vec<u8>,
    pub timestamp: i64,
    pub epoch: i32,
}

impl TestBatch {
    pub(crate) fn new(base: i64, records: i32, payload_len: usize) -> Self {
        let payload = (0..payload_len)
            .map(|i| (i as i64 * 7).wrapping_add(base) as u8)
            .collect();
        Self {
            base,
            records,
            payload,
            timestamp: base.saturating_add(1_000),
            epoch: 0,
        }
    }

    pub(crate) fn at(mut self, timestamp: i64) -> Self {
        self.timestamp = timestamp;
        self
    }

    pub(crate) fn epoch(mut self, epoch: i32) -> Self {
        self.epoch = epoch;
        self
    }

    pub(crate) fn build(self) -> StoredBatch {
        let mut b = Vec::with_capacity(HEADER_LEN + self.payload.len());
        b.extend_from_slice(&self.base.to_be_bytes());
        b.extend_from_slice(&((HEADER_LEN - 12 + self.payload.len()) as i32).to_be_bytes());
        b.extend_from_slice(&self.epoch.to_be_bytes());
        b.push(2);
        b.extend_from_slice(&[0; 4]);
        b.extend_from_slice(&0_i16.to_be_bytes());
        b.extend_from_slice(&(self.records - 1).to_be_bytes());
        b.extend_from_slice(&(self.timestamp - 1).to_be_bytes());
        b.extend_from_slice(&self.timestamp.to_be_bytes());
        b.extend_from_slice(&77_i64.to_be_bytes());
        b.extend_from_slice(&3_i16.to_be_bytes());
        b.extend_from_slice(&(self.base as i32).to_be_bytes());
        b.extend_from_slice(&self.records.to_be_bytes());
        b.extend_from_slice(&self.payload);
        let crc = crc32c::crc32c(&b[21..]);
        b[17..21].copy_from_slice(&crc.to_be_bytes());
        StoredBatch::parse(Bytes::from(b)).unwrap()
    }
}

/// `count` batches of `records` records each, offsets dense from `base`.
pub(crate) fn run(base: i64, count: usize, records: i32, payload_len: usize) -> Vec<StoredBatch> {
    let step = |i| base + i as i64 * i64::from(records);
    (0..count)
        .map(|i| TestBatch::new(step(i), records, payload_len).build())
        .collect()
}
