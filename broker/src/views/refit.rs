//! Batches of a source in, batches of its view out: pure and blocking.
//!
//! Records are decoded in blocks, across small batches and within large ones; what is shown of them is
//! put into the frame of the batch each came in ([`Frames`]).

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::ArrowError;
use bytes::Bytes;
use tidelog_predicate::WrongRows;
use tidelog_records::{BatchBuilder, BatchHeader, BuildError, Records, RecordsError};
use tidelog_storage::ReadError;
use tidelog_storage::ids::Offset;
use tidelog_storage::rows::{OFFSET_COLUMN, ProjectError};
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
    #[error("rows of the source: {0}")]
    Read(#[from] ReadError),
    #[error("rows of the source: {0}")]
    Rows(#[from] ProjectError),
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
    let mut frames = Frames::of(batches, range, room);
    let mut at = frames.first();
    let mut picked = Picked::default();
    while at < range.end {
        let rest = OffsetRange {
            first: at,
            end: range.end,
        };
        let block = decode_batches(lens.rows(), partition, rest, frames.ahead(), &BLOCK)?;
        picked.add(lens, &block.rows)?;
        at = block.end_offset;
        if !frames.fill(&mut picked, at)? || block.wanted.is_some() {
            return Ok(frames.into_done());
        }
    }
    Ok(frames.finish(range.end))
}

/// The batches of a source, to be filled with what is shown of them.
pub struct Frames<'a> {
    /// Those ahead; the next one stands last.
    ahead: Vec<(Option<BatchHeader>, &'a Bytes)>,
    first: Offset,
    room: Room,
    done: Refit,
}

impl<'a> Frames<'a> {
    /// Whole batches of `range`.
    pub fn of(batches: &'a [Bytes], range: OffsetRange, room: Room) -> Self {
        let headers = batches.iter().map(|batch| BatchHeader::read(batch));
        let ahead: Vec<_> = headers.zip(batches).rev().collect();
        // A batch that the range begins inside of is refitted as a whole.
        let first = ahead.last().and_then(|(header, _)| *header);
        Self {
            first: first.map_or(range.first, |header| header.base_offset.min(range.first)),
            ahead,
            room,
            done: Refit {
                end: range.first,
                ..Refit::default()
            },
        }
    }

    /// Where the first of them begins.
    pub fn first(&self) -> Offset {
        self.first
    }

    fn ahead(&self) -> impl Iterator<Item = Bytes> {
        self.ahead
            .iter()
            .rev()
            .map(|(_, batch)| Bytes::clone(batch))
    }

    /// Fills those of which everything below `end` is picked, as all of them is; false if there was no
    /// room for one.
    ///
    /// # Errors
    /// [`RefitError`].
    pub fn fill(&mut self, picked: &mut Picked, end: Offset) -> Result<bool, RefitError> {
        let done = &mut self.done;
        let is_whole = |header: &BatchHeader| header.last_offset() < end;
        while let Some((Some(header), batch)) = self
            .ahead
            .pop_if(|(header, _)| header.as_ref().is_none_or(is_whole))
        {
            if let Some(batch) = picked.take(&header, batch)? {
                let bytes = batch.len() as u64;
                let is_first = self.room.at_least_one && done.batches.is_empty();
                if !is_first && done.bytes + bytes > self.room.max_bytes {
                    done.is_full = true;
                    return Ok(false);
                }
                done.bytes += bytes;
                done.batches.push(batch);
            }
            done.end = header.last_offset() + 1;
        }
        Ok(true)
    }

    /// What was filled.
    pub fn into_done(self) -> Refit {
        self.done
    }

    /// What was filled, up to `end` or to the first batch that was not.
    pub fn finish(mut self, end: Offset) -> Refit {
        let next = self.ahead.last().and_then(|(header, _)| *header);
        let end = next.map_or(end, |next| next.base_offset.min(end));
        self.done.end = self.done.end.max(end);
        self.done
    }
}

/// What is shown, not yet in a batch.
#[derive(Default)]
pub struct Picked {
    /// In offset order, each with its place in `values`.
    rows: Vec<(Offset, Range<usize>)>,
    /// How many of them are in a batch by now.
    taken: usize,
    values: Vec<u8>,
}

impl Picked {
    /// Adds what `lens` shows of `rows`. A row that has no value in the view's format is left out.
    fn add(&mut self, lens: &Lens, rows: &RecordBatch) -> Result<(), RefitError> {
        let matches = lens.matches(rows)?;
        if matches.true_count() == 0 {
            return Ok(());
        }
        let offsets = offsets(rows)?;
        let shown = lens.columns(rows)?;
        let shown = lens.values().rows(&shown)?;
        for (row, is_match) in matches.iter().enumerate() {
            if is_match == Some(true) {
                self.push(offsets.value(row), |out| shown.write(row, out));
            }
        }
        Ok(())
    }

    /// Adds the value for the record at `offset`, which is not below those before, as `write` appends it;
    /// false is a row that has none.
    pub fn push(&mut self, offset: Offset, write: impl FnOnce(&mut Vec<u8>) -> bool) {
        if self.taken == self.rows.len() {
            *self = Self::default();
        }
        let start = self.values.len();
        match write(&mut self.values) {
            true => self.rows.push((offset, start..self.values.len())),
            false => self.values.truncate(start),
        }
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
        let mut is_empty = true;
        let mut rows = rows.iter().peekable();
        for record in &records {
            let record = record.map_err(|error| unreadable(error.into()))?;
            // A change is there for longer than the record that made it, where the log is compacted.
            while rows
                .next_if(|(offset, _)| *offset < record.offset)
                .is_some()
            {}
            let Some((_, value)) = rows.next_if(|(offset, _)| *offset == record.offset) else {
                continue;
            };
            // Offsets of a batch lie within the deltas its header has.
            let delta = (record.offset - offset) as i32;
            let value = Some(&self.values[value.clone()]);
            let (key, headers) = (record.key, record.headers);
            let appended = builder.append_at(delta, record.timestamp, key, value, headers);
            appended.map_err(unbuildable)?;
            is_empty = false;
        }
        if is_empty {
            return Ok(None);
        }
        let batch = builder.cover_to(header.last_offset_delta).finish();
        batch.map(Some).map_err(unbuildable)
    }
}

/// Where rows stand.
///
/// # Errors
/// [`WrongRows`], never for rows of a table.
pub fn offsets(rows: &RecordBatch) -> Result<&Int64Array, WrongRows> {
    let offsets = rows.column_by_name(OFFSET_COLUMN);
    let offsets = offsets.and_then(|column| column.as_primitive_opt::<Int64Type>());
    offsets.ok_or(WrongRows)
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
