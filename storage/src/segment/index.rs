//! The row index of one block in memory: which batch holds an offset, and where it lies.

use super::BlockMeta;
use super::layout::{self, BASE_OFFSET, LAST_OFFSET, MAX_TIMESTAMP};
use crate::ids::{Offset, Timestamp};

/// One row per batch, in offset order.
pub(super) struct RowIndex {
    rows: Vec<Row>,
}

/// One batch of the block. `start..end` are bytes of the block's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub base_offset: Offset,
    pub last_offset: Offset,
    pub max_timestamp: Timestamp,
    pub start: u64,
    pub end: u64,
}

impl RowIndex {
    /// Reads the row index of `block` from its bytes; the error says what is wrong with them.
    pub(super) fn parse(bytes: &[u8], block: &BlockMeta) -> Result<Self, &'static str> {
        let count = u64::from(block.rows);
        if bytes.len() as u64 != layout::index_len(count) {
            return Err("the row index has another length than its rows need");
        }
        if crc32c::crc32c(bytes) != block.index_crc {
            return Err("the row index does not match its crc");
        }
        let base = column(bytes, layout::index_column(BASE_OFFSET, count));
        let last = column(bytes, layout::index_column(LAST_OFFSET, count));
        let timestamp = column(bytes, layout::index_column(MAX_TIMESTAMP, count));
        let start = column(bytes, layout::batch_offsets(count));
        let end = start.clone().skip(1);
        let rows: Vec<_> = base
            .zip(last)
            .zip(timestamp)
            .zip(start.zip(end))
            .map(
                |(((base_offset, last_offset), max_timestamp), (start, end))| Row {
                    base_offset,
                    last_offset,
                    max_timestamp,
                    start: start as u64,
                    end: end as u64,
                },
            )
            .collect();
        check(&rows, block)?;
        Ok(Self { rows })
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Place of the first batch whose last offset is at or after `offset`.
    pub(super) fn find(&self, offset: Offset) -> usize {
        self.rows.partition_point(|row| row.last_offset < offset)
    }

    /// Memory it takes, in bytes.
    pub(super) fn cost(&self) -> usize {
        size_of::<Self>() + size_of_val(&self.rows[..])
    }
}

/// The little-endian integers in a range of `bytes` that the length check made sure of.
fn column(bytes: &[u8], range: std::ops::Range<u64>) -> impl Iterator<Item = i64> + Clone {
    let (chunks, _) = bytes[range.start as usize..range.end as usize].as_chunks::<8>();
    chunks.iter().map(|chunk| i64::from_le_bytes(*chunk))
}

/// Offsets ascend within the block, and bytes follow each other from 0 to its data's end.
fn check(rows: &[Row], block: &BlockMeta) -> Result<(), &'static str> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Err("the block has no rows");
    };
    let outer = first.base_offset == block.base_offset
        && last.last_offset.checked_add(1) == Some(block.end_offset)
        && first.start == 0
        && last.end == block.data_len;
    let each = rows
        .iter()
        .all(|r| 0 <= r.base_offset && r.base_offset <= r.last_offset && r.start < r.end);
    let ascending = rows.windows(2).all(|w| w[0].last_offset < w[1].base_offset);
    if outer && each && ascending {
        Ok(())
    } else {
        Err("the row index contradicts the manifest")
    }
}
