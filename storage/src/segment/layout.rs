//! Columns of a batches file and where their buffers lie in a block.
//!
//! A block's body, every buffer padded to 8 bytes, validity buffers empty (no column is nullable):
//!
//! ```text
//! [topic_id][partition]          pack files only
//! [base_offset][last_offset][max_timestamp][producer_id][producer_epoch][base_sequence]
//! [attributes][leader_epoch][record_count][batch offsets, rows + 1]    ◀ the row index
//! [batch bytes, side by side]                                          ◀ the data
//! ```
//!
//! The row index lies the same way in both kinds of file, so that one read of it plus the row
//! count is enough to find any batch.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};

use super::SegmentKind;
use crate::ids::PartitionId;

/// Version this code writes.
pub(super) const FORMAT_VERSION: u16 = 1;
/// Oldest version whose readers understand what this code writes.
const MIN_READER: u16 = 1;
/// Most bytes of Kafka batches in one block; a larger batch goes alone.
pub const BLOCK_BYTES_MAX: usize = 8 << 20;

/// Columns of a pack file that stand before the row index.
const PACK_COLUMNS: [(&str, DataType); 2] = [
    ("topic_id", DataType::FixedSizeBinary(16)),
    ("partition", DataType::Int32),
];

/// The fixed-width columns of the row index; the `batch` column follows them.
const INDEX_COLUMNS: [(&str, DataType); 9] = [
    ("base_offset", DataType::Int64),
    ("last_offset", DataType::Int64),
    ("max_timestamp", DataType::Int64),
    ("producer_id", DataType::Int64),
    ("producer_epoch", DataType::Int16),
    ("base_sequence", DataType::Int32),
    ("attributes", DataType::Int16),
    ("leader_epoch", DataType::Int32),
    ("record_count", DataType::Int32),
];

/// Widths of [`INDEX_COLUMNS`] in bytes.
const INDEX_WIDTHS: [u64; 9] = [8, 8, 8, 8, 2, 4, 2, 4, 4];

/// Places of the columns a reader needs in [`INDEX_COLUMNS`].
pub(super) const BASE_OFFSET: usize = 0;
pub(super) const LAST_OFFSET: usize = 1;
pub(super) const MAX_TIMESTAMP: usize = 2;

/// `len` rounded up to the 8 bytes every Arrow buffer starts at.
pub(super) fn pad8(len: u64) -> u64 {
    len.next_multiple_of(8)
}

/// The Arrow schema; an own file says in its metadata whose it is.
pub(super) fn schema(kind: SegmentKind, owner: Option<PartitionId>) -> Schema {
    let lead = match kind {
        SegmentKind::Own => &PACK_COLUMNS[..0],
        SegmentKind::Pack => &PACK_COLUMNS[..],
    };
    let batch = ("batch", DataType::LargeBinary);
    let fields: Vec<_> = lead
        .iter()
        .chain(&INDEX_COLUMNS)
        .chain([&batch])
        .map(|(name, kind)| Arc::new(Field::new(*name, kind.clone(), false)))
        .collect();
    let mut metadata = HashMap::from([
        ("tidelog.kind".to_owned(), "batches".to_owned()),
        (
            "tidelog.format_version".to_owned(),
            FORMAT_VERSION.to_string(),
        ),
        ("tidelog.min_reader".to_owned(), MIN_READER.to_string()),
    ]);
    if let Some(partition) = owner {
        metadata.insert("tidelog.topic_id".to_owned(), partition.topic.to_string());
        metadata.insert("tidelog.partition".to_owned(), partition.index.to_string());
    }
    Schema::new_with_metadata(fields, metadata)
}

/// Unpadded buffer lengths of a block, in body order, without the data.
pub(super) fn buffer_lens(kind: SegmentKind, rows: u64) -> Vec<u64> {
    let lead: &[u64] = match kind {
        SegmentKind::Own => &[],
        SegmentKind::Pack => &[16, 4],
    };
    let fixed = lead.iter().chain(&INDEX_WIDTHS).map(|width| width * rows);
    fixed.chain([8 * (rows + 1)]).collect()
}

/// Bytes of the leading columns of a pack block, padded; 0 in an own file.
pub(super) fn lead_len(kind: SegmentKind, rows: u64) -> u64 {
    match kind {
        SegmentKind::Own => 0,
        SegmentKind::Pack => pad8(16 * rows) + pad8(4 * rows),
    }
}

/// Bytes of the row index, padded.
pub(super) fn index_len(rows: u64) -> u64 {
    batch_offsets(rows).end
}

/// Where a column of [`INDEX_COLUMNS`] lies in the row index.
pub(super) fn index_column(column: usize, rows: u64) -> Range<u64> {
    let start = INDEX_WIDTHS[..column]
        .iter()
        .map(|width| pad8(width * rows))
        .sum();
    start..start + INDEX_WIDTHS[column] * rows
}

/// Where the offsets of the `batch` column lie in the row index.
pub(super) fn batch_offsets(rows: u64) -> Range<u64> {
    let start = INDEX_WIDTHS.iter().map(|width| pad8(width * rows)).sum();
    start..start + 8 * (rows + 1)
}
