//! The lake's part of a table: the rows of one snapshot below each partition's end.
//!
//! Only whole data files are understood. A snapshot from which somebody has deleted rows by
//! position or key is an error, since passing over the deletes would bring the rows back. What
//! others have added to the lake at or beyond an end, or under a partition that the table does not
//! have, is not part of the table and is left out.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Display;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch, UInt32Array};
use arrow_schema::ArrowError;
use arrow_select::take::take_record_batch;
use futures::TryStreamExt;
use iceberg::arrow::ArrowFileReader;
use iceberg::io::FileIO;
use iceberg::spec::{DataContentType, TableMetadata};
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::arrow::async_reader::ParquetRecordBatchStream;
use tidelog_tiering::schema::id as lake_id;
use tidelog_tiering::union::{LakeFile, lake_files};

use crate::columns::Columns;
use crate::conform::conform;
use crate::error::{Error, Result};
use crate::filter::RowFilter;
use crate::lake_schema::{column, projection, to_log};
use crate::stream::Rows;
use crate::union::{Cut, UnionPlan};

const BATCH_ROWS_MAX: usize = 1 << 14;

type FileRows = ParquetRecordBatchStream<ArrowFileReader>;

/// What is wanted of the lake's rows.
pub(crate) struct Wanted {
    /// Columns handed out.
    pub(crate) columns: Columns,
    /// Columns read of each file: those and the ones that the filter looks at.
    pub(crate) read: Columns,
    pub(crate) filter: Option<RowFilter>,
}

/// Reads the files of a snapshot one after the other, oldest first.
pub(crate) struct Lake {
    table: String,
    io: FileIO,
    wanted: Wanted,
    ends: BTreeMap<i32, i64>,
    /// Not read to the end; the first one may be `open`.
    files: VecDeque<LakeFile>,
    open: Option<FileRows>,
    /// A file is not gone on with after an error: the place in it is lost.
    failure: Option<String>,
}

impl Lake {
    /// The part that `plan` takes from the lake; nothing is read of a plan without a snapshot.
    pub(crate) async fn open(
        table: &str,
        io: FileIO,
        plan: &UnionPlan,
        wanted: Wanted,
    ) -> Result<Self> {
        let ends = |(partition, cut): (&i32, &Cut)| (*partition, cut.lake_end);
        let files = match plan.snapshot_id {
            None => Vec::new(),
            Some(snapshot_id) => files(&io, plan, snapshot_id)
                .await
                .map_err(|reason| fault(table, reason))?,
        };
        Ok(Self {
            table: table.to_owned(),
            io,
            wanted,
            ends: plan.partitions.iter().map(ends).collect(),
            files: files.into(),
            open: None,
            failure: None,
        })
    }

    /// The next rows, of at least one partition; `None` at the end. Dropping the future loses
    /// nothing. After an error the same error is answered again.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Rows>>> {
        if let Some(reason) = &self.failure {
            return Err(fault(&self.table, reason));
        }
        let outcome = self.read().await;
        outcome.map_err(|reason| {
            self.failure = Some(reason.clone());
            fault(&self.table, reason)
        })
    }

    /// How many rows there are. Files of which all rows must be wanted are not opened.
    pub(crate) async fn count(mut self) -> Result<u64> {
        let ends = std::mem::take(&mut self.ends);
        let is_unfiltered = self.wanted.filter.is_none();
        let (whole, others) = std::mem::take(&mut self.files)
            .into_iter()
            .partition::<VecDeque<_>, _>(|file| is_unfiltered && is_below(file, &ends));
        (self.ends, self.files) = (ends, others);
        let mut count: u64 = whole.iter().map(|file| file.rows).sum();
        while let Some(batches) = self.next().await? {
            let rows = batches.iter().map(|rows| rows.batch.num_rows() as u64);
            count += rows.sum::<u64>();
        }
        Ok(count)
    }

    async fn read(&mut self) -> Result<Option<Vec<Rows>>, String> {
        loop {
            let Some(file) = self.files.front() else {
                return Ok(None);
            };
            let location = &file.location;
            let at = |error: &dyn Display| format!("{location}: {error}");
            let rows = match &mut self.open {
                Some(rows) => rows,
                closed => {
                    let opened = open(&self.io, file, &self.wanted.read).await;
                    closed.insert(opened.map_err(|e| at(&e))?)
                }
            };
            match rows.try_next().await.map_err(|e| at(&e))? {
                None => {
                    self.open = None;
                    self.files.pop_front();
                }
                Some(batch) => {
                    let pieces = pieces(&batch, &self.ends, &self.wanted.read);
                    let pieces = pieces.and_then(|pieces| self.wanted.of(pieces));
                    let pieces = pieces.map_err(|e| at(&e))?;
                    if !pieces.is_empty() {
                        return Ok(Some(pieces));
                    }
                }
            }
        }
    }
}

impl Wanted {
    /// What is wanted of rows that were read; the others keep nobody from going on.
    fn of(&self, pieces: Vec<Rows>) -> Result<Vec<Rows>, String> {
        let Some(filter) = &self.filter else {
            return Ok(pieces);
        };
        let kept = pieces.into_iter().map(|rows| {
            let kept = filter.keep(&rows.batch)?;
            let batch = conform(&kept, self.columns.target())?;
            Ok(Rows { batch, ..rows })
        });
        let kept: Result<Vec<_>, ArrowError> = kept.collect();
        let mut kept = kept.map_err(|error| error.to_string())?;
        kept.retain(|rows| rows.batch.num_rows() > 0);
        Ok(kept)
    }
}

fn fault(table: &str, reason: impl Display) -> Error {
    Error::Lake {
        table: table.to_owned(),
        reason: reason.to_string(),
    }
}

/// The data files of exactly this snapshot.
async fn files(io: &FileIO, plan: &UnionPlan, snapshot_id: i64) -> Result<Vec<LakeFile>, String> {
    let location = plan.metadata_location.as_deref();
    let location = location.ok_or("the broker does not say where its metadata lies")?;
    let at = |error: iceberg::Error| format!("{location}: {error}");
    let metadata = TableMetadata::read_from(io, location).await.map_err(at)?;
    if metadata.snapshot_by_id(snapshot_id).is_none() {
        return Err(format!("{location} has no snapshot {snapshot_id}"));
    }
    let files = lake_files(io, &metadata, snapshot_id).await.map_err(at)?;
    match files
        .iter()
        .find(|file| file.content != DataContentType::Data)
    {
        Some(deletes) => Err(format!(
            "{} deletes rows of snapshot {snapshot_id}, which cannot be applied here",
            deletes.location
        )),
        None => Ok(files),
    }
}

/// Whether the manifest proves that all rows of the file are to be read.
fn is_below(file: &LakeFile, ends: &BTreeMap<i32, i64>) -> bool {
    let (Some((low, high)), Some((_, last))) = (file.partitions, file.offsets) else {
        return false;
    };
    if low > high {
        return false;
    }
    let known = ends.range(low..=high);
    let are_all_known =
        i64::try_from(known.clone().count()) == Ok(i64::from(high) - i64::from(low) + 1);
    are_all_known && known.into_iter().all(|(_, end)| last < *end)
}

async fn open(io: &FileIO, file: &LakeFile, columns: &Columns) -> Result<FileRows, String> {
    let text = |error: &dyn Display| error.to_string();
    let input = io.new_input(&file.location).map_err(|e| text(&e))?;
    let size = input.metadata().await.map_err(|e| text(&e))?;
    let bytes = input.reader().await.map_err(|e| text(&e))?;
    let builder = ParquetRecordBatchStreamBuilder::new(ArrowFileReader::new(size, bytes));
    let builder = builder.await.map_err(|e| text(&e))?;
    let rows = builder.metadata().file_metadata().num_rows();
    if u64::try_from(rows) != Ok(file.rows) {
        return Err(format!("{rows} rows where {} are recorded", file.rows));
    }
    let mask = projection(builder.parquet_schema(), columns);
    let builder = builder
        .with_projection(mask)
        .with_batch_size(BATCH_ROWS_MAX);
    builder.build().map_err(|e| text(&e))
}

/// The rows of a batch that are below their partition's end, those of each partition together and
/// in order. The tierer sorts its files; others may have rewritten them.
fn pieces(
    batch: &RecordBatch,
    ends: &BTreeMap<i32, i64>,
    columns: &Columns,
) -> Result<Vec<Rows>, String> {
    let partitions = column(batch, lake_id::PARTITION)
        .and_then(|column| column.as_primitive_opt::<Int32Type>())
        .filter(|column| column.null_count() == 0);
    let offsets = column(batch, lake_id::OFFSET)
        .and_then(|column| column.as_primitive_opt::<Int64Type>())
        .filter(|column| column.null_count() == 0);
    let (Some(partitions), Some(offsets)) = (partitions, offsets) else {
        return Err("its rows do not say where they stand".to_owned());
    };
    let places = partitions.values().iter().zip(offsets.values());
    let mut kept: Vec<(i32, i64, u32)> = (0..)
        .zip(places)
        .filter(|(_, (partition, offset))| ends.get(partition).is_some_and(|end| *offset < end))
        .map(|(row, (partition, offset))| (*partition, *offset, row))
        .collect();
    kept.sort_unstable();
    let is_untouched = kept.len() == batch.num_rows() && kept.is_sorted_by_key(|place| place.2);
    let rows = match is_untouched {
        true => to_log(batch, columns),
        false => take_record_batch(
            batch,
            &UInt32Array::from_iter_values(kept.iter().map(|p| p.2)),
        )
        .and_then(|batch| to_log(&batch, columns)),
    };
    let rows = rows.map_err(|error| error.to_string())?;
    let mut start = 0;
    let of_one = kept.chunk_by(|a, b| a.0 == b.0).map(|places| {
        let batch = rows.slice(start, places.len());
        start += places.len();
        let (first, last) = (places[0], places[places.len() - 1]);
        Rows {
            partition: first.0,
            first_offset: first.1,
            // It lies below an end.
            next_offset: last.1 + 1,
            batch,
        }
    });
    Ok(of_one.collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int32Array, Int64Array};
    use arrow_schema::{DataType, Field, Schema};

    use super::*;

    fn field(id: i32, name: &str, data_type: DataType) -> Field {
        let metadata = [("PARQUET:field_id".to_owned(), id.to_string())];
        Field::new(name, data_type, false).with_metadata(metadata.into())
    }

    #[test]
    fn rows_in_disorder_are_told_apart_and_ordered() {
        let schema = Schema::new(vec![
            field(lake_id::OFFSET, "o", DataType::Int64),
            field(lake_id::PARTITION, "p", DataType::Int32),
        ]);
        let places = [(1, 7), (0, 5), (9, 1), (0, 4), (1, 8), (0, 6)];
        let offsets: ArrayRef = Arc::new(Int64Array::from_iter_values(places.map(|p| p.1)));
        let partitions: ArrayRef = Arc::new(Int32Array::from_iter_values(places.map(|p| p.0)));
        let batch = RecordBatch::try_new(Arc::new(schema), vec![offsets, partitions]).unwrap();
        let log = Schema::new(vec![field(-2, "_offset", DataType::Int64)]);
        let columns = Columns::resolve(&[Arc::new(log)], None).unwrap();
        // Partition 9 is not of the table, and 8 of partition 1 is the log's.
        let ends = BTreeMap::from([(0, 10), (1, 8)]);
        let pieces = pieces(&batch, &ends, &columns).unwrap();
        let found: Vec<_> = pieces
            .iter()
            .map(|rows| {
                let offsets = rows.batch.column(0).as_primitive::<Int64Type>();
                let frame = (rows.partition, rows.first_offset, rows.next_offset);
                (frame, offsets.values().to_vec())
            })
            .collect();
        assert_eq!(found, [((0, 4, 7), vec![4, 5, 6]), ((1, 7, 8), vec![7])]);
    }

    #[test]
    fn only_what_the_manifest_proves_is_counted_unread() {
        let ends = BTreeMap::from([(0, 10), (1, 5), (3, 10)]);
        let table = [
            (Some((0, 0)), Some((0, 9)), true),
            (Some((0, 0)), Some((0, 10)), false),
            (Some((0, 1)), Some((0, 4)), true),
            (Some((0, 1)), Some((0, 5)), false),
            (Some((1, 3)), Some((0, 1)), false),
            (Some((1, 0)), Some((0, 1)), false),
            (Some((i32::MIN, i32::MAX)), Some((0, 1)), false),
            (None, Some((0, 1)), false),
            (Some((0, 0)), None, false),
        ];
        for (partitions, offsets, expected) in table {
            let file = LakeFile {
                location: String::new(),
                content: DataContentType::Data,
                file_bytes: 1,
                rows: 1,
                sequence_number: 1,
                partitions,
                offsets,
            };
            let found = is_below(&file, &ends);
            assert_eq!(found, expected, "{partitions:?} {offsets:?}");
        }
    }
}
