//! What a manifest says about one rows file. Places of columns are not in it: they stand in each
//! block's header, which the crc here proves, so that a manifest stays small however many columns
//! a table has.

use minicbor::{Decode, Encode};

use crate::ids::Offset;
use crate::segment::FileId;

/// One rows file. Field numbers are for ever; new fields are optional.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RowsMeta {
    #[n(0)]
    pub file: FileId,
    #[n(1)]
    pub format_version: u16,
    /// The schema all rows were written with.
    #[n(2)]
    pub schema_id: i32,
    /// First offset covered; at or below the first row's.
    #[n(3)]
    pub base_offset: Offset,
    /// Next offset after the last one covered.
    #[n(4)]
    pub end_offset: Offset,
    #[n(5)]
    pub row_count: u64,
    /// Bytes of all columns as stored.
    #[n(6)]
    pub column_bytes: u64,
    /// Length of the file in bytes.
    #[n(7)]
    pub file_len: u64,
    /// crc32c of the file.
    #[n(8)]
    pub file_crc: u32,
    /// In offset order; none where no offset has a row.
    #[n(9)]
    pub blocks: Vec<RowsBlock>,
}

/// One block: an Arrow record batch. Positions are in bytes of the file.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RowsBlock {
    /// First offset covered.
    #[n(0)]
    pub base_offset: Offset,
    /// Next offset after the last one covered.
    #[n(1)]
    pub end_offset: Offset,
    #[n(2)]
    pub rows: u64,
    /// Where its header starts; the body follows.
    #[n(3)]
    pub pos: u64,
    #[n(4)]
    pub header_len: u32,
    /// crc32c of the header.
    #[n(5)]
    pub header_crc: u32,
    #[n(6)]
    pub body_len: u64,
}
