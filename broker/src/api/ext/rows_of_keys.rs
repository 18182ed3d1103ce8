//! Columns of single rows, in the order they were asked for.
//!
//! A table keeps records' values as they were; here they become what a columnar reader of the same
//! offsets gets, but for `_headers`: a table keeps none. Where a merge engine makes rows of columns, it
//! keeps those, and they become the same columns; the system columns are those of the record that made
//! the row what it is. Each row is an insert: what whoever starts from it inserts.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_schema::ArrowError;
use arrow_select::interleave::interleave_record_batch;
use bytes::Bytes;
use tidelog_keyed::Row;
use tidelog_predicate::WrongRows;
use tidelog_protocol_ext::Rope;
use tidelog_records::{BatchBuilder, BuildError};
use tidelog_storage::rows::{
    Compression, OFFSET_COLUMN, ProjectError, ProjectedMessage, Projection, UnsupportedType,
};
use tidelog_typed::{DecodeError, DecodeLimits, OffsetRange, RowSchema, decode_batches};

use super::source::{SourceError, loaded};
use crate::jobs::rows::changes::{CellsError, with_cells};
use crate::jobs::rows::format::Format;
use crate::owners::keyed::Merging;

/// Rows come bounded, so nothing stops the decoder in between.
const LIMITS: DecodeLimits = DecodeLimits {
    records_max: usize::MAX,
    bytes_max: usize::MAX,
    batch_bytes_max: usize::MAX,
};

/// Rows are decoded in record batches of about this size.
const BATCH_BYTES: usize = 4 << 20;

/// A row, with its key.
#[derive(Debug, Clone)]
pub struct FoundRow {
    pub partition: i32,
    pub key: Bytes,
    pub row: Row,
}

/// Rows as all columns of their schema.
#[derive(Debug)]
pub struct DecodedRows {
    /// In the order in which they were given.
    pub rows: RecordBatch,
    /// Where each of them was among those given, ascending.
    pub places: Vec<usize>,
    /// Which of those given are not among them, because their values are not of the schema; ascending.
    pub undecodable: Vec<usize>,
}

/// Why rows found could not be made columns.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    #[error(transparent)]
    Project(#[from] ProjectError),
    #[error(transparent)]
    Load(#[from] SourceError),
    #[error(transparent)]
    Cells(#[from] CellsError),
    #[error(transparent)]
    Filter(#[from] WrongRows),
    #[error(transparent)]
    Shape(#[from] UnsupportedType),
}

/// Decodes `rows`; `merging` is what made them, if anything did.
///
/// # Errors
/// [`RowsError`].
pub fn decode(
    format: &Format,
    merging: Option<&Merging>,
    rows: &[FoundRow],
) -> Result<DecodedRows, RowsError> {
    let mut decoded = Vec::new();
    let mut at = HashMap::new();
    for (partition, rows) in by_offset(rows) {
        let batch = match merging.filter(|merging| !merging.rule().keeps_values()) {
            Some(merging) => merged(format, merging, partition, &rows)?,
            None => values(&format.schema, partition, &rows, |row| Some(&row.value[..]))?,
        };
        for (row, offset) in offsets(&batch).into_iter().enumerate() {
            at.insert((partition, offset), (decoded.len(), row));
        }
        decoded.push(batch);
    }
    let (mut order, mut places, mut undecodable) = (Vec::new(), Vec::new(), Vec::new());
    for (index, found) in rows.iter().enumerate() {
        match at.get(&(found.partition, found.row.offset)) {
            Some(place) => {
                order.push(*place);
                places.push(index);
            }
            None => undecodable.push(index),
        }
    }
    let batches: Vec<_> = decoded.iter().collect();
    let rows = match order.is_empty() {
        true => RecordBatch::new_empty(Arc::clone(format.schema.arrow())),
        false => interleave_record_batch(&batches, &order)?,
    };
    Ok(DecodedRows {
        rows,
        places,
        undecodable,
    })
}

/// The wanted columns of `rows`, which have all of them, as an encapsulated message: of no bytes
/// without rows or columns.
///
/// # Errors
/// [`RowsError`].
pub fn encode(
    projection: &Projection,
    rows: &RecordBatch,
    compression: Compression,
) -> Result<Rope, RowsError> {
    let mut encoded = Rope::default();
    if rows.num_rows() > 0 && !projection.is_empty() {
        let rows = projection.of_rows(rows)?;
        let message = ProjectedMessage::of_rows(projection, &rows, 0..i64::MAX, compression)?;
        encoded.push(message.header.clone());
        for piece in &message.body {
            encoded.push(loaded(piece)?);
        }
    }
    Ok(encoded)
}

/// The rows of each partition, each once.
fn by_offset(rows: &[FoundRow]) -> BTreeMap<i32, BTreeMap<i64, &FoundRow>> {
    let mut partitions: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for found in rows {
        let of_partition = partitions.entry(found.partition).or_default();
        of_partition.insert(found.row.offset, found);
    }
    partitions
}

fn offsets(rows: &RecordBatch) -> Vec<i64> {
    let column = rows.column_by_name(OFFSET_COLUMN);
    let column = column.and_then(|column| column.as_primitive_opt::<Int64Type>());
    column.map_or_else(Vec::new, |offsets| offsets.values().to_vec())
}

/// Rows that are values.
fn values(
    schema: &RowSchema,
    partition: i32,
    rows: &BTreeMap<i64, &FoundRow>,
    value: impl Fn(&Row) -> Option<&[u8]>,
) -> Result<RecordBatch, RowsError> {
    let range = OffsetRange {
        first: 0,
        end: i64::MAX,
    };
    let records = records(rows, value)?;
    Ok(decode_batches(schema, partition, range, records, &LIMITS)?.rows)
}

/// Rows that are cells.
fn merged(
    format: &Format,
    merging: &Merging,
    partition: i32,
    rows: &BTreeMap<i64, &FoundRow>,
) -> Result<RecordBatch, RowsError> {
    let stored = rows
        .values()
        .map(|found| (found.key.clone(), found.row.clone()));
    let stored: Vec<_> = stored.collect();
    let bare = values(&RowSchema::key_value().changelog(), partition, rows, |_| {
        None
    })?;
    Ok(with_cells(format, merging, bare, &stored)?)
}

/// The rows' records, in as few batches as their offsets allow.
fn records(
    rows: &BTreeMap<i64, &FoundRow>,
    value: impl Fn(&Row) -> Option<&[u8]>,
) -> Result<Vec<Bytes>, BuildError> {
    let mut batches = Vec::new();
    let mut open = (0, BatchBuilder::new());
    for (&offset, found) in rows {
        let (base, batch) = &open;
        let fits = batch.size_bytes() < BATCH_BYTES && offset - base <= i64::from(i32::MAX);
        if batch.is_empty() || !fits {
            let next = (offset, BatchBuilder::new().base_offset(offset));
            let (_, full) = std::mem::replace(&mut open, next);
            if !full.is_empty() {
                batches.push(full.finish()?);
            }
        }
        let (base, batch) = &mut open;
        // It fits, or is the first.
        let delta = i32::try_from(offset - *base).unwrap_or(i32::MAX);
        let row = &found.row;
        batch.append_at(delta, row.timestamp, Some(&found.key), value(row), [])?;
    }
    let (_, last) = open;
    if !last.is_empty() {
        batches.push(last.finish()?);
    }
    Ok(batches)
}
