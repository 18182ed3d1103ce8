//! Several sorted data files as one sorted stream of rows, without those deleted.
//!
//! Memory: per file one row group as it is on disk, and one decoded batch.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::SchemaRef;
use futures::StreamExt;
use iceberg::arrow::ArrowFileReader;
use iceberg::io::FileIO;
use parquet::arrow::async_reader::ParquetRecordBatchStream;
use roaring::RoaringTreemap;

use super::error::MaintainError;
use crate::convert::to_schema;
use crate::keyed::kept;
use crate::parquet_file;
use crate::schema::{field_id, id};

/// Rows decoded at a time.
const BATCH_ROWS: usize = 1024;

/// Partition and offset of a row.
type Key = (i32, i64);

/// The rows of all files by (partition, offset). Each file must be sorted so.
pub(crate) struct Sorted {
    files: Vec<SortedFile>,
}

impl Sorted {
    /// Opens the files, each with the positions of its dead rows; the others come in the shape of
    /// `target`, the table's Arrow schema.
    pub async fn open(
        io: &FileIO,
        inputs: &[(&str, &RoaringTreemap)],
        target: &SchemaRef,
    ) -> Result<Self, MaintainError> {
        let mut files = Vec::with_capacity(inputs.len());
        for (location, dead) in inputs {
            files.push(SortedFile::open(io, location, dead, target).await?);
        }
        Ok(Self { files })
    }

    /// The next rows; all from one file.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, MaintainError> {
        let heads = self.files.iter().enumerate();
        let mut heads: Vec<_> = heads
            .filter_map(|(index, file)| Some((file.head()?, index)))
            .collect();
        heads.sort_unstable();
        let Some(&(_, first)) = heads.first() else {
            return Ok(None);
        };
        let limit = heads.get(1).map(|(key, _)| *key);
        self.files[first].take_to(limit).await.map(Some)
    }
}

/// One file, and where in it we are.
struct SortedFile {
    location: String,
    target: SchemaRef,
    stream: ParquetRecordBatchStream<ArrowFileReader>,
    /// Not at its end, but when the file is.
    batch: Batch,
}

impl SortedFile {
    async fn open(
        io: &FileIO,
        location: &str,
        dead: &RoaringTreemap,
        target: &SchemaRef,
    ) -> Result<Self, MaintainError> {
        let bad = |reason: parquet::errors::ParquetError| MaintainError::DataFile {
            location: location.to_owned(),
            reason: reason.to_string(),
        };
        let opened = parquet_file::open(io, location).await?.map_err(bad)?;
        let mut opened = opened.with_batch_size(BATCH_ROWS);
        if !dead.is_empty() {
            let rows = opened.metadata().file_metadata().num_rows();
            let rows = usize::try_from(rows).unwrap_or_default();
            opened = opened.with_row_selection(kept(dead, rows));
        }
        let stream = opened.build().map_err(bad)?;
        let mut file = Self {
            location: location.to_owned(),
            target: Arc::clone(target),
            stream,
            batch: Batch {
                rows: RecordBatch::new_empty(Arc::clone(target)),
                keys: Vec::new(),
                at: 0,
            },
        };
        file.refill().await?;
        Ok(file)
    }

    fn head(&self) -> Option<Key> {
        self.batch.keys.get(self.batch.at).copied()
    }

    /// The rows here that come before `limit`, at least one.
    async fn take_to(&mut self, limit: Option<Key>) -> Result<RecordBatch, MaintainError> {
        let batch = &mut self.batch;
        let left = &batch.keys[batch.at..];
        let before = limit.map_or(left.len(), |limit| left.partition_point(|key| *key < limit));
        let count = before.max(1);
        let rows = batch.rows.slice(batch.at, count);
        batch.at += count;
        if batch.at == batch.keys.len() {
            self.refill().await?;
        }
        Ok(rows)
    }

    /// Reads the next batch that has rows, if there is one.
    async fn refill(&mut self) -> Result<(), MaintainError> {
        let mut last = self.batch.keys.last().copied();
        while self.batch.at == self.batch.keys.len() {
            let Some(rows) = self.stream.next().await else {
                return Ok(());
            };
            let rows = rows.map_err(|error| MaintainError::DataFile {
                location: self.location.clone(),
                reason: error.to_string(),
            })?;
            let rows = to_schema(&rows, &self.target).map_err(|reason| MaintainError::Rows {
                location: self.location.clone(),
                reason,
            })?;
            let keys = keys(&rows).filter(|keys| keys.is_sorted() && last.as_ref() <= keys.first());
            let keys = keys.ok_or_else(|| MaintainError::Unsorted {
                location: self.location.clone(),
            })?;
            last = keys.last().copied().or(last);
            self.batch = Batch { rows, keys, at: 0 };
        }
        Ok(())
    }
}

struct Batch {
    rows: RecordBatch,
    keys: Vec<Key>,
    /// The next row.
    at: usize,
}

/// Partition and offset of each row; `None` if rows have none.
fn keys(rows: &RecordBatch) -> Option<Vec<Key>> {
    let column = |wanted| {
        let fields = rows.schema_ref().fields().iter();
        let mut fields = fields.map(|field| field_id(field));
        let index = fields.position(|id| id == Some(wanted))?;
        Some(rows.column(index)).filter(|column| column.null_count() == 0)
    };
    let partitions = column(id::PARTITION)?.as_primitive_opt::<Int32Type>()?;
    let offsets = column(id::OFFSET)?.as_primitive_opt::<Int64Type>()?;
    let keys = partitions.values().iter().zip(offsets.values());
    Some(
        keys.map(|(partition, offset)| (*partition, *offset))
            .collect(),
    )
}
