//! From changes of a keyed table to encoded blocks of its changelog: pure and blocking.
//!
//! - An image of a row is decoded as the record it was, or made of its cells; offset and time are those of
//!   the record that made the change.
//! - The images of one change stand side by side in one block.
//! - An image whose value is not of the table's schema is no row. Where the other one of an update is, the
//!   row came or went for whoever follows.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::ArrowError;
use bytes::Bytes;
use tidelog_keyed::changelog::{ChangeKind, ChangeRow};
use tidelog_keyed::merge::{Cells, CellsOfError, to_arrays};
use tidelog_keyed::{ChangelogPart, Row};
use tidelog_records::{BatchBuilder, BuildError as BatchError};
use tidelog_storage::ids::Offset;
use tidelog_storage::rows::EncodedBlock;
use tidelog_typed::{DecodeLimits, OffsetRange, RowSchema, Wanted, decode_batches, system};

use super::build::{BuildError, Built};
use super::format::Format;
use crate::owners::keyed::Merging;

/// Where a block ends, at the next change. The bytes are those of stored rows.
const BLOCK_ROWS_MAX: usize = 10_000;
const BLOCK_BYTES_MAX: usize = 4 << 20;

/// Images come bounded, so nothing stops the decoder in between.
const LIMITS: DecodeLimits = DecodeLimits {
    records_max: usize::MAX,
    bytes_max: usize::MAX,
    batch_bytes_max: usize::MAX,
};

/// Builds the rows of `part`, which `merging` made if anything did; the first block answers for
/// offsets from `base` on, at or below the part.
///
/// # Errors
/// [`BuildError`]: a row is larger than columns can hold.
pub fn build(
    format: &Format,
    merging: Option<&Merging>,
    partition: i32,
    base: Offset,
    part: &ChangelogPart,
) -> Result<Built, BuildError> {
    let mut built = Built {
        end: part.end,
        ..Built::default()
    };
    let (mut base, mut rest) = (base, part.rows.as_slice());
    while !rest.is_empty() {
        let (images, later) = rest.split_at(block_len(rest));
        rest = later;
        let some = rows_of(format, merging, partition, images)?;
        built.undecodable += some.undecodable;
        if built.first_undecodable.is_none() {
            built.first_undecodable = some.first_undecodable;
        }
        let stop = some.stopped.as_ref().map(|(offset, _)| *offset);
        let next = later.first().map_or(part.end, |next| next.offset);
        let end = stop.unwrap_or(next);
        if some.rows.num_rows() > 0 {
            built.rows += some.rows.num_rows() as u64;
            let (shape, codec) = (&format.shape, format.compression);
            let block = EncodedBlock::encode(shape, &some.rows, base, end, codec)?;
            built.blocks.push(block);
            base = end;
        }
        if let Some((offset, wanted)) = some.stopped {
            built.end = offset;
            built.wanted = Some(wanted);
            break;
        }
    }
    Ok(built)
}

/// How many images the next block takes: of whole changes, at least one.
fn block_len(images: &[ChangeRow]) -> usize {
    let (mut len, mut bytes) = (0, 0);
    for change in images.chunk_by(|one, next| one.offset == next.offset) {
        let of_change = change.iter().map(|image| image.row.value.len());
        bytes += of_change.sum::<usize>();
        let is_full = len + change.len() > BLOCK_ROWS_MAX || bytes > BLOCK_BYTES_MAX;
        if len > 0 && is_full {
            break;
        }
        len += change.len();
    }
    len
}

/// Images as rows.
struct Rows {
    rows: RecordBatch,
    undecodable: u64,
    first_undecodable: Option<(Offset, String)>,
    /// The change that was not taken, nor any behind it, and what the table has to learn before.
    stopped: Option<(Offset, Wanted)>,
}

fn rows_of(
    format: &Format,
    merging: Option<&Merging>,
    partition: i32,
    images: &[ChangeRow],
) -> Result<Rows, BuildError> {
    let merging = merging.filter(|merging| !merging.rule().keeps_values());
    let bare = RowSchema::key_value().changelog();
    let (schema, with_values) = match merging {
        Some(_) => (&bare, false),
        None => (&format.schema, true),
    };
    // Each image at an offset that is its place.
    let all = OffsetRange {
        first: 0,
        end: images.len() as Offset,
    };
    let decoded = decode_batches(
        schema,
        partition,
        all,
        [records(images, with_values)?],
        &LIMITS,
    )?;
    let stop = images.get(decoded.end_offset as usize);
    let stopped = stop
        .zip(decoded.wanted)
        .map(|(at, wanted)| (at.offset, wanted));
    let cut = match &stopped {
        Some((offset, _)) => images.partition_point(|image| image.offset < *offset),
        None => images.len(),
    };
    let mut places = places(&decoded.rows);
    places.truncate(places.partition_point(|place| *place < cut));
    let rows = decoded.rows.slice(0, places.len());
    let rows = match merging {
        Some(merging) => with_cells(format, merging, rows, &kept_rows(images, &places))?,
        None => rows,
    };
    let mut undecodable = decoded.undecodable.iter();
    let mut undecodable = undecodable
        .by_ref()
        .take_while(|bad| (bad.offset as usize) < cut)
        .peekable();
    let first = undecodable.peek();
    Ok(Rows {
        first_undecodable: first
            .map(|bad| (images[bad.offset as usize].offset, bad.reason.to_string())),
        undecodable: undecodable.count() as u64,
        rows: as_changes(rows, images, &places)?,
        stopped,
    })
}

/// One batch with a record for each image.
fn records(images: &[ChangeRow], with_values: bool) -> Result<Bytes, BatchError> {
    let mut batch = BatchBuilder::new().base_offset(0);
    for image in images {
        let value = with_values.then_some(&image.row.value[..]);
        batch.append(image.timestamp, Some(&image.key), value, [])?;
    }
    batch.finish()
}

/// Which images became rows.
fn places(rows: &RecordBatch) -> Vec<usize> {
    let offsets = rows.column_by_name(system::name::OFFSET);
    let offsets = offsets.and_then(|column| column.as_primitive_opt::<Int64Type>());
    let offsets = offsets.into_iter().flat_map(|offsets| offsets.values());
    offsets.map(|place| *place as usize).collect()
}

fn kept_rows(images: &[ChangeRow], places: &[usize]) -> Vec<(Bytes, Row)> {
    let images = places.iter().map(|place| &images[*place]);
    let rows = images.map(|image| (image.key.clone(), image.row.clone()));
    rows.collect()
}

/// Rows of the format: the columns of `rows`, which `merging` made, in the place of the value of `bare`.
///
/// # Errors
/// [`CellsError`].
pub fn with_cells(
    format: &Format,
    merging: &Merging,
    bare: RecordBatch,
    rows: &[(Bytes, Row)],
) -> Result<RecordBatch, CellsError> {
    let cells = merging.cells(rows)?;
    // Rows of a rule that keeps cells all have some.
    let none = Cells::default();
    let cells: Vec<_> = cells.iter().map(|c| c.as_ref().unwrap_or(&none)).collect();
    let mut columns = bare.columns().to_vec();
    columns.pop();
    columns.extend(to_arrays(&merging.rule().columns, &cells)?);
    Ok(RecordBatch::try_new(
        Arc::clone(format.schema.arrow()),
        columns,
    )?)
}

/// Why rows that are cells could not be made columns.
#[derive(Debug, thiserror::Error)]
pub enum CellsError {
    #[error(transparent)]
    Cells(#[from] CellsOfError),
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

/// Says of rows what happened to them: those of the images in `places`.
fn as_changes(
    rows: RecordBatch,
    images: &[ChangeRow],
    places: &[usize],
) -> Result<RecordBatch, ArrowError> {
    let shown: Vec<_> = places
        .iter()
        .map(|place| Shown::of(images, places, *place))
        .collect();
    let offsets = shown.iter().map(|shown| shown.image.offset);
    let kinds = shown.iter().map(|shown| shown.kind.as_str());
    let before = shown.iter().map(|shown| shown.prev_offset);
    let made: [(&str, ArrayRef); 3] = [
        (
            system::name::OFFSET,
            Arc::new(Int64Array::from_iter_values(offsets)),
        ),
        (
            system::name::CHANGE,
            Arc::new(StringArray::from_iter_values(kinds)),
        ),
        (
            system::name::PREV_OFFSET,
            Arc::new(before.collect::<Int64Array>()),
        ),
    ];
    let schema = rows.schema();
    let mut columns = rows.columns().to_vec();
    for (name, column) in made {
        columns[schema.index_of(name)?] = column;
    }
    RecordBatch::try_new(schema, columns)
}

/// An image, as the rows of its change let it be seen.
struct Shown<'a> {
    image: &'a ChangeRow,
    kind: ChangeKind,
    prev_offset: Option<Offset>,
}

impl<'a> Shown<'a> {
    /// `rows` are the places of all images that are rows, in order.
    fn of(images: &'a [ChangeRow], rows: &[usize], place: usize) -> Self {
        let image = &images[place];
        let is_lost = |other: usize| {
            let of_change = images
                .get(other)
                .filter(|other| other.offset == image.offset);
            of_change.is_some() && rows.binary_search(&other).is_err()
        };
        let (kind, prev_offset) = match image.kind {
            ChangeKind::UpdateBefore if is_lost(place + 1) => {
                (ChangeKind::Delete, image.prev_offset)
            }
            ChangeKind::UpdateAfter if place > 0 && is_lost(place - 1) => {
                (ChangeKind::Insert, None)
            }
            kind => (kind, image.prev_offset),
        };
        Self {
            image,
            kind,
            prev_offset,
        }
    }
}

#[cfg(test)]
mod tests;
