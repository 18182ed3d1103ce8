//! Reading a keyed table: the live rows of a snapshot, merged with the tail of the log.
//!
//! The plan of a union read ([`crate::union::plan`]) gives each partition its snapshot and the
//! offsets of its tail. The merge then is, exactly and without comparing a key:
//!
//! 1. take the tail's changes up into a [`Net`] that starts at the lake's end;
//! 2. read the lake's rows but those the net replaces ([`KeyedSnapshot::scan`]);
//! 3. read the tail again and keep the rows that the net says are live ([`Net::live_rows`]).
//!
//! Memory: the two sets of the net; the deleted positions of one partition, two bytes each at most;
//! one row group and one batch. Deleted rows are not decoded.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::{Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use iceberg::arrow::{ArrowFileReader, schema_to_arrow_schema};
use iceberg::io::FileIO;
use iceberg::spec::TableMetadata;
use parquet::arrow::arrow_reader::RowSelection;
use parquet::arrow::async_reader::ParquetRecordBatchStream;
use roaring::RoaringTreemap;
use thiserror::Error;

use super::live::{Live, LiveError, Manifests, dead_rows};
use super::net::Net;
use crate::convert::{ConvertError, to_schema};
use crate::parquet_file::{self, longs, unreadable};
use crate::schema::{field_id, id};
use crate::snapshot::manifests;

/// Rows decoded at a time.
const BATCH_ROWS: usize = 8_192;

/// Why rows of a keyed table cannot be read.
#[derive(Debug, Error)]
pub enum ScanError {
    #[error("snapshot {snapshot_id} is not there")]
    NoSnapshot { snapshot_id: i64 },
    #[error("cannot be read with its deletes: {0}")]
    Live(#[from] LiveError),
    #[error(transparent)]
    Files(#[from] iceberg::Error),
    #[error("rows of {location} do not fit the table: {reason}")]
    Rows {
        location: String,
        reason: ConvertError,
    },
}

/// The files of one snapshot of a keyed table.
#[derive(Debug)]
pub struct KeyedSnapshot {
    io: FileIO,
    /// All columns of the table.
    schema: SchemaRef,
    partitions: BTreeMap<i32, Live>,
}

impl KeyedSnapshot {
    /// Reads the manifests of a snapshot.
    ///
    /// # Errors
    /// [`LiveError::Foreign`] when there are files of which it is not known what they mean.
    pub async fn open(
        io: &FileIO,
        metadata: &TableMetadata,
        snapshot_id: i64,
    ) -> Result<Self, ScanError> {
        let snapshot = metadata.snapshot_by_id(snapshot_id);
        let snapshot = snapshot.ok_or(ScanError::NoSnapshot { snapshot_id })?;
        let listed = manifests(io, metadata, snapshot).await?;
        let mut cache = Manifests::default();
        Ok(Self {
            io: io.clone(),
            schema: Arc::new(schema_to_arrow_schema(metadata.current_schema())?),
            partitions: cache.live_in(io, metadata, &listed).await?,
        })
    }

    /// The Kafka partitions that have files.
    pub fn partitions(&self) -> impl Iterator<Item = i32> {
        self.partitions.keys().copied()
    }

    /// Begins to read the live rows of a Kafka partition that `tail` does not replace. Only the
    /// top-level columns with these lake field ids are read, in the order of the table; `None`
    /// reads all.
    pub async fn scan(
        &self,
        partition: i32,
        columns: Option<&[i32]>,
        tail: Net,
    ) -> Result<LakeScan, ScanError> {
        let none = Live::default();
        let live = self.partitions.get(&partition).unwrap_or(&none);
        let mut dead = dead_rows(&self.io, live).await?;
        let files = live.data.iter().map(|file| {
            let dead = dead.remove(&file.location);
            (file.location.clone(), dead.unwrap_or_default())
        });
        let files = files.collect();
        let of = |wanted: &dyn Fn(i32) -> bool| {
            let fields = self.schema.fields().iter();
            let fields = fields.filter(|field| field_id(field).is_some_and(wanted));
            Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()))
        };
        let wanted = |id: i32| columns.is_none_or(|columns| columns.contains(&id));
        Ok(LakeScan {
            io: self.io.clone(),
            read: of(&|id| id == id::OFFSET || wanted(id)),
            target: of(&wanted),
            files,
            tail,
            open: None,
        })
    }
}

type Stream = ParquetRecordBatchStream<ArrowFileReader>;

/// The lake's part of a merged read of one partition.
pub struct LakeScan {
    io: FileIO,
    /// What is read: the target and the offset.
    read: SchemaRef,
    target: SchemaRef,
    /// Still to be read, with the positions of their dead rows.
    files: VecDeque<(String, RoaringTreemap)>,
    tail: Net,
    open: Option<(String, Stream)>,
}

impl LakeScan {
    /// What batches look like.
    pub fn schema(&self) -> &SchemaRef {
        &self.target
    }

    /// The next rows; `None` at the end. Files come oldest first, rows as they are in their file.
    /// Decodes on the thread that drives the future.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, ScanError> {
        loop {
            let Some((location, stream)) = &mut self.open else {
                let Some((location, dead)) = self.files.pop_front() else {
                    return Ok(None);
                };
                let stream = self.open_file(&location, &dead).await?;
                self.open = Some((location, stream));
                continue;
            };
            let location = location.clone();
            match parquet_file::next(stream, &location).await? {
                None => self.open = None,
                Some(rows) => {
                    let rows = self.merge(rows, &location)?;
                    if rows.num_rows() > 0 {
                        return Ok(Some(rows));
                    }
                }
            }
        }
    }

    async fn open_file(&self, location: &str, dead: &RoaringTreemap) -> Result<Stream, ScanError> {
        let bad = |error| unreadable(location, error);
        let opened = parquet_file::open(&self.io, location).await?.map_err(bad)?;
        let ids: Vec<i32> = self
            .read
            .fields()
            .iter()
            .filter_map(|field| field_id(field))
            .collect();
        let mask = parquet_file::columns(&opened, &ids);
        let rows = opened.metadata().file_metadata().num_rows();
        let stream = opened
            .with_projection(mask)
            .with_batch_size(BATCH_ROWS)
            .with_row_selection(kept(dead, usize::try_from(rows).unwrap_or_default()))
            .build();
        Ok(stream.map_err(bad)?)
    }

    fn merge(&self, rows: RecordBatch, location: &str) -> Result<RecordBatch, ScanError> {
        let misfit = |reason| ScanError::Rows {
            location: location.to_owned(),
            reason,
        };
        let rows = if self.tail.replaced().is_empty() {
            rows
        } else {
            let offsets = longs(&rows, id::OFFSET, location)?.values().iter();
            let stays: BooleanArray = offsets
                .map(|&offset| Some(!self.tail.replaces(offset)))
                .collect();
            filter_record_batch(&rows, &stays).map_err(|error| misfit(error.into()))?
        };
        to_schema(&rows, &self.target).map_err(misfit)
    }
}

/// The rows of a file that are not dead.
pub(crate) fn kept(dead: &RoaringTreemap, rows: usize) -> RowSelection {
    let mut at = 0;
    let mut dead = dead
        .iter()
        .map(|row| usize::try_from(row).unwrap_or(usize::MAX));
    let ranges = std::iter::from_fn(|| {
        while at < rows {
            let end = dead.next().unwrap_or(rows).min(rows);
            let start = std::mem::replace(&mut at, end + 1);
            if start < end {
                return Some(Range { start, end });
            }
        }
        None
    });
    RowSelection::from_consecutive_ranges(ranges, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_dead_is_read() {
        for (dead, rows) in [
            (vec![], 0),
            (vec![], 3),
            (vec![0, 1, 2], 3),
            (vec![0, 4, 5, 9], 10),
            (vec![3, 70_000], 70_002),
            (vec![7, 12], 10),
        ] {
            let dead: RoaringTreemap = dead.into_iter().collect();
            let selection = kept(&dead, rows);
            let live = (0..rows as u64).filter(|row| !dead.contains(*row)).count();
            assert_eq!(selection.row_count(), live);
            assert_eq!(selection.row_count() + selection.skipped_row_count(), rows);
        }
    }
}
