//! Views of changes: the rows of a keyed table's changelog, each in the envelope that Debezium writes.
//!
//! ```text
//! rows of the source (files, memory) ─▶ pairs before/after ─▶ filter ─▶ {before, after, source, op, ts_ms}
//! batches of the source ───────────────────────────────────────────────▶ frames at the same offsets
//! ```
//! - A record is shown if it changed something, with its own key, time and headers.
//! - The filter decides which rows are in the view: a row that comes to match is created, one that no
//!   longer does is deleted.
//! - The columns of a row are those it was built with, so what is shown at an offset never changes.
//!
//! Blocks: it reads files.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, BooleanArray, Int64Array, RecordBatch, StringArray};
use bytes::Bytes;
use serde_json::Value;
use tidelog_keyed::changelog::ChangeKind;
use tidelog_predicate::WrongRows;
use tidelog_storage::ids::Offset;
use tidelog_storage::rows::{EncodedBlock, Projection, RowsBlock, RowsReader};
use tidelog_storage::{Partition, ReadError};
use tidelog_typed::{JsonRows, NotFinite, OffsetRange, system};

use super::Lens;
use super::refit::{Frames, Picked, Refit, RefitError, Room, offsets};
use super::values::{STYLE, UnwritableRows};
use crate::jobs::rows::live::LiveRows;

/// What a view shows of a keyed table, whichever schema its rows have.
#[derive(Debug)]
pub struct Changes {
    /// Name of the source, as JSON.
    name: String,
    /// One for each schema, in ascending order of id; never empty.
    lenses: Vec<Lens>,
}

impl Changes {
    /// `None` without a lens: nothing is known of the source's columns yet.
    pub fn new(source: &str, lenses: Vec<Lens>) -> Option<Self> {
        (!lenses.is_empty()).then(|| Self {
            name: Value::from(source).to_string(),
            lenses,
        })
    }

    /// Of the rows to come.
    pub fn schema_id(&self) -> i32 {
        self.lenses.last().map_or(0, Lens::schema_id)
    }

    /// Refits `batches`, data that counts of `range`, as far as rows are built and there is room.
    ///
    /// # Errors
    /// [`RefitError`].
    pub fn refit(
        &self,
        source: &Partition,
        live: Option<&LiveRows>,
        range: OffsetRange,
        batches: &[Bytes],
        room: Room,
    ) -> Result<Refit, RefitError> {
        let mut frames = Frames::of(batches, range, room);
        let mut picked = Picked::default();
        let first = frames.first();
        let (blocks, built_to) = kept(source, live, first..range.end);
        for block in &blocks {
            // A newer schema: the next look knows it.
            let Some(lens) = self.lens(block.schema_id()) else {
                return Ok(frames.finish(block.base_offset()));
            };
            let rows = block.rows(lens)?;
            let end = range.end.min(block.end_offset());
            self.pick(lens, &rows, source.id.index, first..end, &mut picked)?;
            if !frames.fill(&mut picked, end)? {
                return Ok(frames.into_done());
            }
        }
        Ok(match frames.fill(&mut picked, built_to)? {
            true => frames.finish(built_to),
            false => frames.into_done(),
        })
    }

    fn lens(&self, schema_id: i32) -> Option<&Lens> {
        self.lenses
            .iter()
            .find(|lens| lens.schema_id() == schema_id)
    }

    /// Picks what is shown of the changes in `range`.
    fn pick(
        &self,
        lens: &Lens,
        rows: &RecordBatch,
        partition: i32,
        range: Range<Offset>,
        picked: &mut Picked,
    ) -> Result<(), RefitError> {
        let matches = lens.matches(rows)?;
        if matches.true_count() == 0 {
            return Ok(());
        }
        let shown = lens.columns(rows)?;
        let block = Block {
            offsets: offsets(rows)?,
            kinds: kinds(rows)?,
            times: rows.column_by_name(system::name::TIMESTAMP),
            matches,
            values: JsonRows::of(&shown).map_err(UnwritableRows::from)?,
        };
        let mut row = block
            .offsets
            .values()
            .partition_point(|offset| *offset < range.start);
        while row < rows.num_rows() && block.offsets.value(row) < range.end {
            let (change, next) = block.change(row);
            if let Some(change) = change {
                let offset = block.offsets.value(row);
                picked.push(offset, |out| {
                    let rows = block.write(&change, out);
                    self.write_source(partition, offset, block.time_ms(row), change.op(), out);
                    rows.is_ok()
                });
            }
            row = next;
        }
        Ok(())
    }

    /// The rest of the envelope.
    fn write_source(
        &self,
        partition: i32,
        offset: Offset,
        time_ms: Option<i64>,
        op: char,
        out: &mut Vec<u8>,
    ) {
        let name = &self.name;
        let time = time_ms.map_or_else(|| "null".to_owned(), |ms| ms.to_string());
        let rest = format!(
            r#","source":{{"connector":"tidelog","table":{name},"partition":{partition},"offset":{offset},"ts_ms":{time}}},"op":"{op}","ts_ms":{time}}}"#
        );
        out.extend_from_slice(rest.as_bytes());
    }
}

/// A block of rows, not read yet.
enum Kept {
    File(RowsReader, RowsBlock),
    Memory(EncodedBlock, i32),
}

/// The blocks of rows of `range`, and up to where they answer for it.
fn kept(source: &Partition, live: Option<&LiveRows>, range: Range<Offset>) -> (Vec<Kept>, Offset) {
    // In this order; see `LiveRows`.
    let memory = live.map(|live| live.view(range.start));
    let (mut blocks, mut at) = (Vec::new(), range.start);
    while at < range.end {
        let view = source.rows_from(at);
        if view.files.is_empty() {
            break;
        }
        for file in &view.files {
            let of_file = file.blocks_from(at).iter();
            let of_file = of_file.take_while(|block| block.base_offset < range.end);
            blocks.extend(of_file.map(|block| Kept::File(file.clone(), block.clone())));
            at = at.max(file.meta().end_offset);
        }
    }
    if let Some(view) = memory {
        let in_memory = view.blocks.iter().zip(&view.formats);
        let in_memory = in_memory.filter(|(block, _)| {
            let layout = block.layout();
            layout.end_offset() > at && layout.base_offset() < range.end
        });
        blocks.extend(in_memory.map(|(block, of)| Kept::Memory(block.clone(), of.schema_id)));
        at = at.max(view.end);
    }
    (blocks, at.min(range.end))
}

impl Kept {
    fn schema_id(&self) -> i32 {
        match self {
            Self::File(file, _) => file.meta().schema_id,
            Self::Memory(_, schema_id) => *schema_id,
        }
    }

    fn base_offset(&self) -> Offset {
        match self {
            Self::File(_, block) => block.base_offset,
            Self::Memory(block, _) => block.layout().base_offset(),
        }
    }

    fn end_offset(&self) -> Offset {
        match self {
            Self::File(_, block) => block.end_offset,
            Self::Memory(block, _) => block.layout().end_offset(),
        }
    }

    fn rows(&self, lens: &Lens) -> Result<RecordBatch, RefitError> {
        let all = Projection::all(&lens.format().shape);
        Ok(match self {
            Self::File(file, block) => file.read(block, &all).map_err(ReadError::Segment)?,
            Self::Memory(block, _) => block.decode(&all)?,
        })
    }
}

fn kinds(rows: &RecordBatch) -> Result<&StringArray, WrongRows> {
    let kinds = rows.column_by_name(system::name::CHANGE);
    let kinds = kinds.and_then(|column| column.as_string_opt::<i32>());
    kinds.ok_or(WrongRows)
}

/// What happened, by the places of the rows that tell it.
#[derive(Debug, Clone, Copy)]
enum Change {
    Created(usize),
    Updated { before: usize, after: usize },
    Deleted(usize),
}

impl Change {
    fn op(self) -> char {
        match self {
            Self::Created(_) => 'c',
            Self::Updated { .. } => 'u',
            Self::Deleted(_) => 'd',
        }
    }

    fn before(self) -> Option<usize> {
        match self {
            Self::Created(_) => None,
            Self::Updated { before, .. } | Self::Deleted(before) => Some(before),
        }
    }

    fn after(self) -> Option<usize> {
        match self {
            Self::Created(after) | Self::Updated { after, .. } => Some(after),
            Self::Deleted(_) => None,
        }
    }
}

/// Rows of a changelog, column by column.
struct Block<'a> {
    offsets: &'a Int64Array,
    kinds: &'a StringArray,
    times: Option<&'a Arc<dyn Array>>,
    matches: BooleanArray,
    values: JsonRows<'a>,
}

impl Block<'_> {
    /// What happened at a row, to whoever sees matching rows only; and the place of the next change.
    fn change(&self, row: usize) -> (Option<Change>, usize) {
        let is_in = |row: usize| self.matches.is_valid(row) && self.matches.value(row);
        let kind = self.kinds.value(row);
        if kind == ChangeKind::Delete.as_str() {
            return (is_in(row).then_some(Change::Deleted(row)), row + 1);
        }
        let (before, after) = (row, row + 1);
        let is_pair = kind == ChangeKind::UpdateBefore.as_str()
            && after < self.offsets.len()
            && self.offsets.value(after) == self.offsets.value(before);
        if !is_pair {
            return (is_in(row).then_some(Change::Created(row)), row + 1);
        }
        let change = match (is_in(before), is_in(after)) {
            (true, true) => Some(Change::Updated { before, after }),
            (true, false) => Some(Change::Deleted(before)),
            (false, true) => Some(Change::Created(after)),
            (false, false) => None,
        };
        (change, after + 1)
    }

    /// In milliseconds since 1970.
    fn time_ms(&self, row: usize) -> Option<i64> {
        let times = self.times?.as_primitive_opt::<TimestampMicrosecondType>()?;
        times.is_valid(row).then(|| times.value(row) / 1_000)
    }

    /// The head of the envelope, with both rows.
    fn write(&self, change: &Change, out: &mut Vec<u8>) -> Result<(), NotFinite> {
        for (name, row) in [
            (r#"{"before":"#, change.before()),
            (r#","after":"#, change.after()),
        ] {
            out.extend_from_slice(name.as_bytes());
            match row {
                Some(row) => self.values.write(row, STYLE, out)?,
                None => out.extend_from_slice(b"null"),
            }
        }
        Ok(())
    }
}
