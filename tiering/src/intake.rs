//! Reads a range of a partition from its source, batch by batch, and holds the source to its
//! promises: each batch begins where the one before ended, and none goes beyond the range.

use arrow_array::RecordBatch;

use crate::mark::OffsetRange;
use crate::pass::PassError;
use crate::rows::{ReadRange, RowBatch, RowSource};

/// One partition's share of a pass.
pub(crate) struct Intake<'a> {
    source: &'a mut dyn RowSource,
    partition: i32,
    range: OffsetRange,
    at: i64,
    bytes_left: usize,
}

impl<'a> Intake<'a> {
    pub fn new(
        source: &'a mut dyn RowSource,
        partition: i32,
        range: OffsetRange,
        bytes_max: usize,
    ) -> Self {
        Self {
            source,
            partition,
            range,
            at: range.start,
            bytes_left: bytes_max,
        }
    }

    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// What was read so far.
    pub fn moved(&self) -> OffsetRange {
        OffsetRange {
            start: self.range.start,
            end: self.at,
        }
    }

    /// Where the rest of the range begins, if the source has not given all of it.
    pub fn missing_from(&self) -> Option<i64> {
        (self.at < self.range.end).then_some(self.at)
    }

    /// The next batch; `None` at the end of the range, when the bytes are used up, or when the
    /// source has no more.
    pub fn next(&mut self) -> Result<Option<RowBatch>, PassError> {
        if self.at >= self.range.end || self.bytes_left == 0 {
            return Ok(None);
        }
        let read = ReadRange {
            partition: self.partition,
            from_offset: self.at,
            to_offset: self.range.end,
            bytes_max: self.bytes_left,
        };
        let Some(batch) = self.source.next(read)? else {
            return Ok(None);
        };
        let fits = batch.partition == self.partition
            && batch.first_offset == self.at
            && (self.at + 1..=self.range.end).contains(&batch.end_offset);
        if !fits {
            return Err(PassError::Answer {
                partition: batch.partition,
                asked: OffsetRange {
                    start: self.at,
                    end: self.range.end,
                },
                got: OffsetRange {
                    start: batch.first_offset,
                    end: batch.end_offset,
                },
            });
        }
        self.at = batch.end_offset;
        let dead_letters = batch.dead_letters.as_ref();
        let dead_bytes = dead_letters.map_or(0, RecordBatch::get_array_memory_size);
        let bytes = batch.rows.get_array_memory_size() + dead_bytes;
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        Ok(Some(batch))
    }
}
