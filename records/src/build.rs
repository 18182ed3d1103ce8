//! The encoder: records in, one batch out.
//!
//! An uncompressed batch has the bytes that Java's client would produce: the base timestamp is the
//! first record's (or a delete horizon), deltas count from it, the max timestamp is the greatest one or, for
//! LogAppendTime, the append time.

use bytes::Bytes;

use crate::header::{
    APPEND_TIME_BIT, CONTROL_BIT, CRC_AT, CRC_COVERS_FROM, DELETE_HORIZON_BIT, TRANSACTIONAL_BIT,
};
use crate::{BatchHeader, Codec, CodecError, HEADER_LEN, Header, LOG_OVERHEAD, codec, varint};

/// Why a record or a batch cannot be encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A length or count passes the format's 2³¹ − 1.
    #[error("the batch would be larger than the format allows")]
    TooLarge,
    /// Offsets rise within a batch.
    #[error("offset delta {got} after {last}")]
    OffsetOrder { last: i32, got: i32 },
    /// The records could not be compressed.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// Builds one batch. Settings may come at any time before [`finish`](Self::finish), the
/// [`delete_horizon`](Self::delete_horizon) excepted; a failed append changes nothing.
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    /// Length, crc and codec bits are filled in at the end; `max_timestamp` grows by record.
    header: BatchHeader,
    codec: Codec,
    level: Option<i32>,
    append_time: Option<i64>,
    delete_horizon: Option<i64>,
    /// Room for the header, then the records.
    bytes: Vec<u8>,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    /// An empty batch at offset 0: CreateTime, uncompressed, no producer, no leader epoch.
    pub fn new() -> Self {
        let header = BatchHeader {
            base_offset: 0,
            batch_length: 0,
            partition_leader_epoch: -1,
            magic: 2,
            crc: 0,
            attributes: 0,
            last_offset_delta: -1,
            base_timestamp: -1,
            max_timestamp: -1,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            record_count: 0,
        };
        let bytes = vec![0; HEADER_LEN];
        Self {
            header,
            codec: Codec::None,
            level: None,
            append_time: None,
            delete_horizon: None,
            bytes,
        }
    }

    /// Offset that the deltas count from; 0 in a produced batch.
    pub fn base_offset(mut self, offset: i64) -> Self {
        self.header.base_offset = offset;
        self
    }

    /// Epoch of the leader that appends it; −1 from a producer.
    pub fn leader_epoch(mut self, epoch: i32) -> Self {
        self.header.partition_leader_epoch = epoch;
        self
    }

    /// The sequence is the first record's; −1 where there is none, as in markers.
    pub fn producer(mut self, id: i64, epoch: i16, base_sequence: i32) -> Self {
        self.header.producer_id = id;
        self.header.producer_epoch = epoch;
        self.header.base_sequence = base_sequence;
        self
    }

    /// Level as in [`codec::compress`].
    pub fn codec(mut self, codec: Codec, level: Option<i32>) -> Self {
        self.codec = codec;
        self.level = level;
        self
    }

    /// Makes it a LogAppendTime batch: `now` (ms) stands for every record's timestamp.
    pub fn log_append_time(mut self, now: i64) -> Self {
        self.header.attributes |= APPEND_TIME_BIT;
        self.append_time = Some(now);
        self
    }

    /// Marks it as part of its producer's open transaction.
    pub fn transactional(mut self) -> Self {
        self.header.attributes |= TRANSACTIONAL_BIT;
        self
    }

    /// Marks it as the broker's own, for markers; applications never see it.
    pub fn control(mut self) -> Self {
        self.header.attributes |= CONTROL_BIT;
        self
    }

    /// Stamps the time (ms) from which on compaction may drop the batch's tombstones or marker. It
    /// takes the place of the base timestamp, so set it before the first record.
    pub fn delete_horizon(mut self, horizon: i64) -> Self {
        self.header.attributes |= DELETE_HORIZON_BIT;
        self.delete_horizon = Some(horizon);
        self
    }

    /// Lets the batch take offsets up to `delta` although its last record lies before: offsets
    /// whose records were filtered out. Call it last: a record appended after comes behind `delta`.
    pub fn cover_to(mut self, delta: i32) -> Self {
        self.header.last_offset_delta = self.header.last_offset_delta.max(delta);
        self
    }

    /// Appends a record at the next offset.
    ///
    /// # Errors
    /// [`BuildError::TooLarge`].
    pub fn append<'h, H>(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: H,
    ) -> Result<(), BuildError>
    where
        H: IntoIterator<Item = Header<'h>, IntoIter: Clone>,
    {
        let next = self
            .header
            .last_offset_delta
            .checked_add(1)
            .ok_or(BuildError::TooLarge)?;
        self.append_at(next, timestamp, key, value, headers)
    }

    /// Appends a record at `base offset + offset_delta`, leaving out the offsets in between.
    ///
    /// # Errors
    /// [`BuildError::OffsetOrder`] if that offset is already passed, [`BuildError::TooLarge`].
    pub fn append_at<'h, H>(
        &mut self,
        offset_delta: i32,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: H,
    ) -> Result<(), BuildError>
    where
        H: IntoIterator<Item = Header<'h>, IntoIter: Clone>,
    {
        let last = self.header.last_offset_delta;
        if offset_delta <= last {
            return Err(BuildError::OffsetOrder {
                last,
                got: offset_delta,
            });
        }
        let first = self.header.record_count == 0;
        let base_timestamp = match self.delete_horizon {
            Some(horizon) => horizon,
            None if first => timestamp,
            None => self.header.base_timestamp,
        };
        let timestamp_delta = timestamp.wrapping_sub(base_timestamp);
        let headers = headers.into_iter();

        let body_len = 1
            + varint::len(timestamp_delta)
            + varint::len(i64::from(offset_delta))
            + nullable_len(key)
            + nullable_len(value)
            + headers_len(headers.clone());
        let total = self.bytes.len().saturating_add(5).saturating_add(body_len);
        // Every length and count inside is smaller than the total, so this is the only check.
        if total > i32::MAX as usize {
            return Err(BuildError::TooLarge);
        }

        let out = &mut self.bytes;
        varint::put_i64(out, body_len as i64);
        out.push(0);
        varint::put_i64(out, timestamp_delta);
        varint::put_i64(out, i64::from(offset_delta));
        put_nullable(out, key);
        put_nullable(out, value);
        varint::put_i64(out, headers.clone().count() as i64);
        for (key, value) in headers {
            put_nullable(out, Some(key));
            put_nullable(out, value);
        }

        let header = &mut self.header;
        header.base_timestamp = base_timestamp;
        header.max_timestamp = if first {
            timestamp
        } else {
            header.max_timestamp.max(timestamp)
        };
        header.last_offset_delta = offset_delta;
        header.record_count += 1;
        Ok(())
    }

    /// Records appended so far.
    pub fn record_count(&self) -> i32 {
        self.header.record_count
    }

    /// True before the first record.
    pub fn is_empty(&self) -> bool {
        self.header.record_count == 0
    }

    /// Bytes of the batch so far, header included, before compression.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Compresses, computes the crc and gives the batch. Without records it is an uncompressed
    /// batch of none, which covers the base offset and what [`cover_to`](Self::cover_to) added.
    ///
    /// # Errors
    /// [`BuildError::Codec`]; [`BuildError::TooLarge`] if compression made too much of too much.
    pub fn finish(self) -> Result<Bytes, BuildError> {
        let Self {
            mut header,
            codec,
            level,
            append_time,
            delete_horizon: _,
            mut bytes,
        } = self;
        if codec != Codec::None && header.record_count > 0 {
            let records = codec::compress(codec, level, &bytes[HEADER_LEN..])?;
            bytes.truncate(HEADER_LEN);
            bytes.extend_from_slice(&records);
            header.attributes |= codec.id();
        }
        header.batch_length =
            i32::try_from(bytes.len() - LOG_OVERHEAD).map_err(|_| BuildError::TooLarge)?;
        header.last_offset_delta = header.last_offset_delta.max(0);
        header.max_timestamp = append_time.unwrap_or(header.max_timestamp);
        bytes[..HEADER_LEN].copy_from_slice(&header.encode());
        let crc = crc32c::crc32c(&bytes[CRC_COVERS_FROM..]);
        bytes[CRC_AT].copy_from_slice(&crc.to_be_bytes());
        Ok(Bytes::from(bytes))
    }
}

fn nullable_len(field: Option<&[u8]>) -> usize {
    field.map_or(1, |bytes| varint::len(bytes.len() as i64) + bytes.len())
}

fn headers_len<'h>(headers: impl Iterator<Item = Header<'h>>) -> usize {
    let (mut count, mut len) = (0, 0);
    for (key, value) in headers {
        count += 1;
        len += nullable_len(Some(key)) + nullable_len(value);
    }
    varint::len(count) + len
}

fn put_nullable(out: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        None => varint::put_i64(out, -1),
        Some(bytes) => {
            varint::put_i64(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
    }
}
