//! The 61 bytes in front of every record batch v2, read in place.
//!
//! Source: Kafka documentation, "Record Batch". All integers are big-endian.
//!
//! | byte | field | | byte | field |
//! |---|---|---|---|---|
//! | 0 | base offset i64 | | 27 | base timestamp i64 |
//! | 8 | batch length i32 (bytes after this field) | | 35 | max timestamp i64 |
//! | 12 | partition leader epoch i32 | | 43 | producer id i64 |
//! | 16 | magic i8 (= 2) | | 51 | producer epoch i16 |
//! | 17 | crc32c u32 of bytes 21.. | | 53 | base sequence i32 |
//! | 21 | attributes i16 | | 57 | record count i32 |
//! | 23 | last offset delta i32 | | 61 | records |

use crate::Codec;

/// Bytes of a batch before its records.
pub const HEADER_LEN: usize = 61;
/// Bytes before the span that batch length counts.
pub const LOG_OVERHEAD: usize = 12;

/// Where the crc stands; it covers [`CRC_COVERS_FROM`] to the end of the batch.
pub(crate) const CRC_AT: std::ops::Range<usize> = 17..21;
pub(crate) const CRC_COVERS_FROM: usize = 21;
pub(crate) const ATTRIBUTES_AT: std::ops::Range<usize> = 21..23;
pub(crate) const MAX_TIMESTAMP_AT: std::ops::Range<usize> = 35..43;

const CODEC_MASK: i16 = 0x07;
pub(crate) const APPEND_TIME_BIT: i16 = 0x08;
pub(crate) const TRANSACTIONAL_BIT: i16 = 0x10;
pub(crate) const CONTROL_BIT: i16 = 0x20;
pub(crate) const DELETE_HORIZON_BIT: i16 = 0x40;

/// A batch header, copied out of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset that record deltas count from; the broker's to set.
    pub base_offset: i64,
    /// Bytes after the length field; the whole batch is this plus [`LOG_OVERHEAD`].
    pub batch_length: i32,
    /// Epoch of the leader that appended it; the broker's to set.
    pub partition_leader_epoch: i32,
    pub magic: i8,
    /// Crc32c (Castagnoli) from the attributes to the end of the batch.
    pub crc: u32,
    /// Bits 0–2 codec, 3 LogAppendTime, 4 transactional, 5 control, 6 delete horizon.
    pub attributes: i16,
    /// Last offset minus base offset; survives compaction.
    pub last_offset_delta: i32,
    /// Milliseconds that record deltas count from; the first record's, or the delete horizon.
    pub base_timestamp: i64,
    /// Milliseconds; the greatest of the records', or the append time.
    pub max_timestamp: i64,
    /// −1 for a producer that is not idempotent.
    pub producer_id: i64,
    pub producer_epoch: i16,
    /// Sequence of the first record; −1 without a producer id and in markers.
    pub base_sequence: i32,
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads a header; `None` if there are fewer than [`HEADER_LEN`] bytes. Nothing is validated.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let b: &[u8; HEADER_LEN] = bytes.get(..HEADER_LEN)?.try_into().ok()?;
        Some(Self {
            base_offset: i64::from_be_bytes(array(b, 0)),
            batch_length: i32::from_be_bytes(array(b, 8)),
            partition_leader_epoch: i32::from_be_bytes(array(b, 12)),
            magic: b[16] as i8,
            crc: u32::from_be_bytes(array(b, 17)),
            attributes: i16::from_be_bytes(array(b, 21)),
            last_offset_delta: i32::from_be_bytes(array(b, 23)),
            base_timestamp: i64::from_be_bytes(array(b, 27)),
            max_timestamp: i64::from_be_bytes(array(b, 35)),
            producer_id: i64::from_be_bytes(array(b, 43)),
            producer_epoch: i16::from_be_bytes(array(b, 51)),
            base_sequence: i32::from_be_bytes(array(b, 53)),
            record_count: i32::from_be_bytes(array(b, 57)),
        })
    }

    /// The header as bytes, crc field included as it stands in `self`.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut b = [0; HEADER_LEN];
        b[0..8].copy_from_slice(&self.base_offset.to_be_bytes());
        b[8..12].copy_from_slice(&self.batch_length.to_be_bytes());
        b[12..16].copy_from_slice(&self.partition_leader_epoch.to_be_bytes());
        b[16] = self.magic as u8;
        b[17..21].copy_from_slice(&self.crc.to_be_bytes());
        b[21..23].copy_from_slice(&self.attributes.to_be_bytes());
        b[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        b[27..35].copy_from_slice(&self.base_timestamp.to_be_bytes());
        b[35..43].copy_from_slice(&self.max_timestamp.to_be_bytes());
        b[43..51].copy_from_slice(&self.producer_id.to_be_bytes());
        b[51..53].copy_from_slice(&self.producer_epoch.to_be_bytes());
        b[53..57].copy_from_slice(&self.base_sequence.to_be_bytes());
        b[57..61].copy_from_slice(&self.record_count.to_be_bytes());
        b
    }

    /// Length of the whole batch in bytes, header included.
    pub fn total_len(&self) -> usize {
        self.batch_length.max(0) as usize + LOG_OVERHEAD
    }

    /// Offset of the last record (or of the last one removed by compaction). Wraps on an
    /// unchecked header, as all offset arithmetic here does.
    pub fn last_offset(&self) -> i64 {
        self.base_offset
            .wrapping_add(i64::from(self.last_offset_delta))
    }

    /// Sequence of the last record; sequences wrap from `i32::MAX` to 0.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return self.base_sequence;
        }
        (i64::from(self.base_sequence) + i64::from(self.last_offset_delta))
            .rem_euclid(i64::from(i32::MAX) + 1) as i32
    }

    /// Compression codec; `None` for an id that Kafka does not define.
    pub fn codec(&self) -> Option<Codec> {
        Codec::from_id(self.codec_id())
    }

    /// The codec's id as it stands in the attributes, 0 to 7.
    pub fn codec_id(&self) -> i16 {
        self.attributes & CODEC_MASK
    }

    /// True when the broker's clock gave the timestamps (LogAppendTime).
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & APPEND_TIME_BIT != 0
    }

    /// True for a batch inside a transaction, and for the marker that ends one.
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    /// True for transaction markers, which applications never see.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// From when on compaction may drop the batch's tombstones, or its transaction marker, in
    /// milliseconds; `None` if compaction has not stamped it (KIP-534).
    pub fn delete_horizon(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON_BIT != 0).then_some(self.base_timestamp)
    }

    /// True when a producer id stands in the batch (idempotent or transactional producer).
    pub fn has_producer_id(&self) -> bool {
        self.producer_id >= 0
    }
}

fn array<const N: usize>(b: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&b[at..at + N]);
    out
}

/// Overwrites the base offset in place; outside the crc.
///
/// # Panics
/// If `batch` is shorter than 8 bytes; check it first.
pub fn set_base_offset(batch: &mut [u8], offset: i64) {
    batch[0..8].copy_from_slice(&offset.to_be_bytes());
}

/// Overwrites the partition leader epoch in place; outside the crc.
///
/// # Panics
/// If `batch` is shorter than 16 bytes; check it first.
pub fn set_leader_epoch(batch: &mut [u8], epoch: i32) {
    batch[12..16].copy_from_slice(&epoch.to_be_bytes());
}
