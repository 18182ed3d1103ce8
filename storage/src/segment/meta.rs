//! What a manifest says about one segment: enough to serve a Fetch without opening a footer.

use minicbor::{Decode, Encode};

use super::FileId;
use crate::ids::{Offset, Timestamp};

/// Whether a file holds one partition or many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum SegmentKind {
    #[n(0)]
    Own,
    #[n(1)]
    Pack,
}

/// A leader epoch and the first offset written under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct EpochStart {
    #[n(0)]
    pub epoch: i32,
    #[n(1)]
    pub start_offset: Offset,
}

/// One partition's part of one segment file. Field numbers are for ever; new fields are optional.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SegmentMeta {
    #[n(0)]
    pub file: FileId,
    #[n(1)]
    pub format_version: u16,
    #[n(2)]
    pub kind: SegmentKind,
    /// First offset covered; at or below the first batch's base offset.
    #[n(3)]
    pub base_offset: Offset,
    /// Next offset after the last one covered.
    #[n(4)]
    pub end_offset: Offset,
    /// Bytes of this partition's batches.
    #[n(5)]
    pub batch_bytes: u64,
    /// Records, as the batch headers count them.
    #[n(6)]
    pub record_count: u64,
    /// Smallest first timestamp of a batch, -1 if none has one.
    #[n(7)]
    pub min_timestamp: Timestamp,
    /// Largest timestamp, -1 if no batch has one. An empty batch counts, too, so that it expires.
    #[n(8)]
    pub max_timestamp: Timestamp,
    /// Base offset of the first batch that holds `max_timestamp`.
    #[n(9)]
    pub max_timestamp_offset: Offset,
    /// Leader epochs of the batches, in offset order.
    #[n(10)]
    pub epochs: Vec<EpochStart>,
    /// Length of the whole file in bytes (of all its partitions, if it is a pack).
    #[n(11)]
    pub file_len: u64,
    /// crc32c of the whole file.
    #[n(12)]
    pub file_crc: u32,
    /// In offset order, never empty.
    #[n(13)]
    pub blocks: Vec<BlockMeta>,
}

/// One block: an Arrow record batch of one partition. Positions are in bytes of the file.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct BlockMeta {
    #[n(0)]
    pub base_offset: Offset,
    /// Next offset after the last batch.
    #[n(1)]
    pub end_offset: Offset,
    #[n(2)]
    pub max_timestamp: Timestamp,
    /// Kafka batches in the block.
    #[n(3)]
    pub rows: u32,
    /// Where the row index starts: the `base_offset` buffer. Its columns follow each other as
    /// `docs/formats/batches-segment.md` says, so their places follow from `rows`.
    #[n(4)]
    pub index_pos: u64,
    #[n(5)]
    pub index_len: u64,
    /// crc32c of the row index.
    #[n(6)]
    pub index_crc: u32,
    /// Where the data buffer of the `batch` column starts.
    #[n(7)]
    pub data_pos: u64,
    #[n(8)]
    pub data_len: u64,
    /// crc32c of the data.
    #[n(9)]
    pub data_crc: u32,
}
