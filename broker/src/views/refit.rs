//! Batches of a source in, batches of its view out: pure and blocking.
//!
//! Records are decoded in blocks, across small batches and within large ones; what is shown of them is
//! put into the frame of the batch each came in.

use std::ops::Range;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_schema::ArrowError;
use bytes::Bytes;
use tidelog_predicate::WrongRows;
use tidelog_records::{BatchBuilder, BatchHeader, BuildError, Records, RecordsError};
use tidelog_storage::ids::Offset;
use tidelog_storage::rows::OFFSET_COLUMN;
use tidelog_typed::{DecodeError, DecodeLimits, OffsetRange, decode_batches};

use super::Lens;
use super::values::UnwritableRows;

/// Where a block ends. The bytes are those of decoded columns.
const BLOCK: DecodeLimits = DecodeLimits {
    records_max: 10_000,
    bytes_max: 2 << 20,
    batch_bytes_max: BATCH_BYTES_MAX,
};
/// Largest decompressed batch: what Produce admits.
const BATCH_BYTES_MAX: usize = 128 << 20;

/// Why batches could not be refitted.
#[derive(Debug, thiserror::Error)]
pub enum RefitError {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Filter(#[from] WrongRows),
    #[error(transparent)]
    Columns(#[from] ArrowError),
    #[error(transparent)]
    Unwritable(#[from] UnwritableRows),
    #[error("the batch at offset {offset}: {error}")]
    Batch { offset: Offset, error: RecordsError },
    #[error("the view of the batch at offset {offset}: {error}")]
    Build { offset: Offset, error: BuildError },
}

/// What there is room for.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    pub max_bytes: u64,
    /// The first batch comes however large it is.
    pub at_least_one: bool,
}

/// What a range of a source comes to.
#[derive(Debug, Default)]
pub struct Refit {
    /// In offset order.
    pub batches: Vec<Bytes>,
    pub bytes: u64,
    /// Next offset after those answered for.
    pub end: Offset,
    /// Why that is not the end of the range: nothing more fits. Else the source has something to
    /// learn before its records can be rows.
    pub is_full: bool,
}

/// Refits `batches`, data that counts of `range`, as far as there is room.
///
/// # Errors
/// [`RefitError`]: the log is damaged, or a batch would be larger than the format allows.
pub fn refit(
    lens: &Lens,
    partition: i32,
    range: OffsetRange,
    batches: &[Bytes],
    room: Room,
) -> Result<Refit, RefitError> {
    let mut done = Refit {
        end: range.first,
        ..Refit::default()
    };
    let headers = batches.iter().map(|batch| BatchHeader::read(batch));
    let mut whole: Vec<_> = headers.zip(batches).rev().collect();
    // A batch that the range begins inside of is refitted as a whole.
    let first = whole.last().and_then(|(header, _)| *header);
    let mut at = first.map_or(range.first, |header| header.base_offset.min(range.first));
    let mut picked = Picked::default();
    while at < range.end {
        let rest = OffsetRange {
            first: at,
            end: range.end,
        };
        let ahead = whole.iter().rev().map(|(_, batch)| Bytes::clone(batch));
        let block = decode_batches(lens.rows(), partition, rest, ahead, &BLOCK)?;
        picked.add(lens, &block.rows)?;
        at = block.end_offset;
        while let Some((Some(header), batch)) =
            whole.pop_if(|(header, _)| header.is_none_or(|header| header.last_offset() < at))
        {
            if let Some(batch) = picked.take(&header, batch)? {
                let bytes = batch.len() as u64;
                let is_first = room.at_least_one && done.batches.is_empty();
                if !is_first && done.bytes + bytes > room.max_bytes {
                    done.is_full = true;
                    return Ok(done);
                }
                done.bytes += bytes;
                done.batches.push(batch);
            }
            done.end = header.last_offset() + 1;
        }
        if block.wanted.is_some() {
            return Ok(done);
        }
    }
    done.end = range.end;
    Ok(done)
}

/// Rows that are shown, not yet in a batch.
#[derive(Default)]
struct Picked {
    /// In offset order, each with its place in `values`.
    rows: Vec<(Offset, Range<usize>)>,
    /// How many of them are in a batch by now.
    taken: usize,
    values: Vec<u8>,
}

impl Picked {
    /// Adds what `lens` shows of `rows`. A row that has no value in the view's format is left out.
    fn add(&mut self, lens: &Lens, rows: &RecordBatch) -> Result<(), RefitError> {
        if self.taken == self.rows.len() {
            *self = Self::default();
        }
        let matches = lens.matches(rows)?;
        if matches.true_count() == 0 {
            return Ok(());
        }
        let offsets = rows.column_by_name(OFFSET_COLUMN);
        let offsets = offsets.and_then(|column| column.as_primitive_opt::<Int64Type>());
        let offsets = offsets.ok_or(WrongRows)?;
        let shown = lens.columns(rows)?;
        let shown = lens.values().rows(&shown)?;
        for (row, is_match) in matches.iter().enumerate() {
            if is_match != Some(true) {
                continue;
            }
            let start = self.values.len();
            if shown.write(row, &mut self.values) {
                let value = start..self.values.len();
                self.rows.push((offsets.value(row), value));
            }
        }
        Ok(())
    }

    /// The batch that shows a batch of the source; `None` if nothing of it is shown.
    fn take(&mut self, header: &BatchHeader, batch: &Bytes) -> Result<Option<Bytes>, RefitError> {
        let offset = header.base_offset;
        let ahead = &self.rows[self.taken..];
        let count = ahead.partition_point(|(offset, _)| *offset <= header.last_offset());
        if count == 0 {
            return Ok(None);
        }
        let rows = &ahead[..count];
        self.taken += count;
        let unreadable = |error| RefitError::Batch { offset, error };
        let unbuildable = |error| RefitError::Build { offset, error };
        let records = Records::open(batch, BATCH_BYTES_MAX).map_err(unreadable)?;
        let mut builder = frame(header);
        let mut rows = rows.iter().peekable();
        for record in &records {
            let record = record.map_err(|error| unreadable(error.into()))?;
            let Some((_, value)) = rows.next_if(|(offset, _)| *offset == record.offset) else {
                continue;
            };
            // Offsets of a batch lie within the deltas its header has.
            let delta = (record.offset - offset) as i32;
            let value = Some(&self.values[value.clone()]);
            let (key, headers) = (record.key, record.headers);
            let appended = builder.append_at(delta, record.timestamp, key, value, headers);
            appended.map_err(unbuildable)?;
        }
        let batch = builder.cover_to(header.last_offset_delta).finish();
        batch.map(Some).map_err(unbuildable)
    }
}

/// An empty batch in the place of the source's.
fn frame(header: &BatchHeader) -> BatchBuilder {
    let builder = BatchBuilder::new()
        .base_offset(header.base_offset)
        .leader_epoch(header.partition_leader_epoch);
    match header.is_log_append_time() {
        true => builder.log_append_time(header.max_timestamp),
        false => builder,
    }
}
