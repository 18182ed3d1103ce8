//! Columns of single rows, in the order they were asked for.
//!
//! A table keeps records' values as they were; here they become what a columnar reader of the same
//! offsets gets, but for `_headers`: a table keeps none. Where a merge engine makes rows of columns, it
//! keeps those, and they become the same columns; the system columns are those of the record that made
//! the row what it is. Each row is an insert: what whoever starts from it inserts.

use std::collections::{BTreeMap, HashMap, HashSet};

use arrow_schema::ArrowError;
use arrow_select::interleave::interleave_record_batch;
use bytes::Bytes;
use tidelog_keyed::Row;
use tidelog_protocol_ext::Rope;
use tidelog_records::{BatchBuilder, BuildError};
use tidelog_storage::rows::{EncodeError, EncodedBlock, ProjectError, Projection};
use tidelog_typed::{DecodeError, DecodeLimits, OffsetRange, RowBatch, RowSchema, decode_batches};

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

/// A row, with its key.
#[derive(Debug, Clone)]
pub struct FoundRow {
    pub partition: i32,
    pub key: Bytes,
    pub row: Row,
}

/// Rows as columns.
#[derive(Debug, Default)]
pub struct EncodedRows {
    pub messages: Rope,
    /// Which rows are not among them, because their values are not of the schema.
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
    Encode(#[from] EncodeError),
    #[error(transparent)]
    Project(#[from] ProjectError),
    #[error(transparent)]
    Load(#[from] SourceError),
    #[error(transparent)]
    Cells(#[from] CellsError),
}

/// Encodes the wanted columns of `rows`, in their order; `merging` is what made them, if anything did.
///
/// # Errors
/// [`RowsError`].
pub fn encode(
    format: &Format,
    merging: Option<&Merging>,
    projection: &Projection,
    rows: &[FoundRow],
) -> Result<EncodedRows, RowsError> {
    let mut decoded = Vec::new();
    let mut at = HashMap::new();
    for (partition, rows) in by_offset(rows) {
        let batch = match merging.filter(|merging| !merging.rule().keeps_values()) {
            Some(merging) => merged(format, merging, partition, &rows)?,
            None => decode(&format.schema, partition, &rows, |row| Some(&row.value[..]))?,
        };
        let bad: HashSet<_> = batch.undecodable.iter().map(|bad| bad.offset).collect();
        let is_row = |offset: &&i64| !bad.contains(offset);
        for (row, offset) in rows.keys().filter(is_row).enumerate() {
            at.insert((partition, *offset), (decoded.len(), row));
        }
        decoded.push(batch.rows);
    }
    let mut order = Vec::with_capacity(rows.len());
    let mut undecodable = Vec::new();
    for (index, found) in rows.iter().enumerate() {
        match at.get(&(found.partition, found.row.offset)) {
            Some(place) => order.push(*place),
            None => undecodable.push(index),
        }
    }
    let mut messages = Rope::default();
    if !order.is_empty() {
        let batches: Vec<_> = decoded.iter().collect();
        let rows = interleave_record_batch(&batches, &order)?;
        let block = EncodedBlock::encode_unordered(&format.shape, &rows, format.compression)?;
        let message = block.project(projection, 0)?;
        messages.push(message.header.clone());
        for piece in &message.body {
            messages.push(loaded(piece)?);
        }
    }
    Ok(EncodedRows {
        messages,
        undecodable,
    })
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

/// Rows that are values.
fn decode(
    schema: &RowSchema,
    partition: i32,
    rows: &BTreeMap<i64, &FoundRow>,
    value: impl Fn(&Row) -> Option<&[u8]>,
) -> Result<RowBatch, RowsError> {
    let records = rows.values().map(|found| record(found, value(&found.row)));
    let records: Vec<_> = records.collect::<Result<_, _>>()?;
    let range = OffsetRange {
        first: 0,
        end: i64::MAX,
    };
    Ok(decode_batches(schema, partition, range, records, &LIMITS)?)
}

/// Rows that are cells.
fn merged(
    format: &Format,
    merging: &Merging,
    partition: i32,
    rows: &BTreeMap<i64, &FoundRow>,
) -> Result<RowBatch, RowsError> {
    let stored = rows
        .values()
        .map(|found| (found.key.clone(), found.row.clone()));
    let stored: Vec<_> = stored.collect();
    let bare = RowSchema::key_value().changelog();
    let bare = decode(&bare, partition, rows, |_| None)?;
    Ok(RowBatch {
        rows: with_cells(format, merging, bare.rows.clone(), &stored)?,
        ..bare
    })
}

/// The row's record, alone in a batch.
fn record(found: &FoundRow, value: Option<&[u8]>) -> Result<Bytes, BuildError> {
    let mut batch = BatchBuilder::new().base_offset(found.row.offset);
    batch.append(found.row.timestamp, Some(&found.key), value, [])?;
    batch.finish()
}
