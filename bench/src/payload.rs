//! Produce requests that are encoded once and sent many times.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use tidelog_records::BatchBuilder;

use crate::{connection, topic};

pub const PRODUCE_VERSION: i16 = 9;
const TIMEOUT_MS: i32 = 30_000;
/// Request, topic and partition each end with one byte that says "no tagged fields".
const TRAILER_BYTES: usize = 3;
const CRC_AT: usize = 17;
const CRC_FROM: usize = 21;
const SEQUENCE_AT: usize = 53;

/// Who an idempotent batch comes from.
#[derive(Debug, Clone, Copy)]
pub struct Producer {
    pub id: i64,
    pub epoch: i16,
}

/// A whole Produce frame with one batch for one partition.
#[derive(Debug)]
pub struct Prepared {
    pub frame: Vec<u8>,
    pub records: i32,
    pub batch_bytes: u64,
    batch_at: usize,
    next_sequence: i32,
}

impl Prepared {
    /// A batch of as many records of `record_size` bytes (the value) as fit into `batch_bytes`, at least one.
    pub fn fill(
        place: (&str, i32),
        acks: i16,
        record_size: usize,
        batch_bytes: usize,
        producer: Option<Producer>,
    ) -> Result<Self> {
        let now = now_ms()?;
        let mut batch = builder(producer);
        for number in 0u64.. {
            batch.append(now, None, Some(&noise(number, record_size)), [])?;
            if batch.size_bytes() + record_size + 16 > batch_bytes {
                break;
            }
        }
        Self::new(place, acks, batch)
    }

    /// A batch with these values.
    pub fn of<'v>(
        place: (&str, i32),
        acks: i16,
        values: impl Iterator<Item = &'v [u8]>,
    ) -> Result<Self> {
        let now = now_ms()?;
        let mut batch = builder(None);
        for value in values {
            batch.append(now, None, Some(value), [])?;
        }
        Self::new(place, acks, batch)
    }

    fn new((topic, partition): (&str, i32), acks: i16, batch: BatchBuilder) -> Result<Self> {
        let records = batch.record_count();
        let batch = batch.finish()?;
        let batch_bytes = batch.len();
        let data = PartitionProduceData::default()
            .with_index(partition)
            .with_records(Some(batch.clone()));
        let topic = TopicProduceData::default()
            .with_name(topic::name(topic))
            .with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_transactional_id(None)
            .with_acks(acks)
            .with_timeout_ms(TIMEOUT_MS)
            .with_topic_data(vec![topic]);
        let frame = connection::encode(PRODUCE_VERSION, &request)?;
        let batch_at = frame
            .len()
            .checked_sub(TRAILER_BYTES + batch_bytes)
            .context("frame without its batch")?;
        ensure!(
            frame[batch_at..].starts_with(&batch),
            "the batch is not where it should be"
        );
        Ok(Self {
            frame,
            records,
            batch_bytes: batch_bytes as u64,
            batch_at,
            next_sequence: 0,
        })
    }

    /// Gives an idempotent batch the next sequence numbers of its partition.
    pub fn advance_sequence(&mut self) {
        let batch_end = self.frame.len() - TRAILER_BYTES;
        let batch = &mut self.frame[self.batch_at..batch_end];
        batch[SEQUENCE_AT..SEQUENCE_AT + 4].copy_from_slice(&self.next_sequence.to_be_bytes());
        let crc = crc32c::crc32c(&batch[CRC_FROM..]);
        batch[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
        // Sequences wrap to 0 after the largest one (KIP-98).
        self.next_sequence =
            ((i64::from(self.next_sequence) + i64::from(self.records)) % (1 << 31)) as i32;
    }
}

fn builder(producer: Option<Producer>) -> BatchBuilder {
    match producer {
        Some(Producer { id, epoch }) => BatchBuilder::new().producer(id, epoch, 0),
        None => BatchBuilder::new(),
    }
}

fn now_ms() -> Result<i64> {
    Ok(i64::try_from(
        SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis(),
    )?)
}

/// Bytes that do not compress, different for each number: nothing on the way may profit from repeats.
pub fn noise(number: u64, size: usize) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        // xorshift64, Marsaglia 2003.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidelog_records::BatchHeader;

    #[test]
    fn sequences_follow_each_other_and_keep_the_checksum_right() {
        let producer = Producer { id: 7, epoch: 1 };
        let mut prepared = Prepared::fill(("t", 0), -1, 100, 4096, Some(producer)).unwrap();
        for round in 0..3 {
            prepared.advance_sequence();
            let batch = &prepared.frame[prepared.batch_at..];
            let header = BatchHeader::read(batch).unwrap();
            assert_eq!(header.base_sequence, round * prepared.records);
            assert_eq!(
                (header.producer_id, header.record_count),
                (7, prepared.records)
            );
            assert_eq!(
                header.crc,
                crc32c::crc32c(&batch[CRC_FROM..header.total_len()])
            );
        }
    }

    #[test]
    fn a_batch_is_as_large_as_asked() {
        for (record_size, batch_bytes) in [(100, 16_384), (1024, 65_536), (1024, 1_000_000)] {
            let prepared = Prepared::fill(("t", 0), 1, record_size, batch_bytes, None).unwrap();
            let size = prepared.batch_bytes as usize;
            assert!(
                size <= batch_bytes && size > batch_bytes - record_size - 200,
                "{size}"
            );
        }
        assert_eq!(
            Prepared::fill(("t", 0), 1, 1024, 10, None).unwrap().records,
            1
        );
    }
}
