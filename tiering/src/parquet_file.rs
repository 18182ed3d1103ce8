//! Parquet files of a table, opened for reading.

use std::fmt::Display;

use arrow_array::types::Int64Type;
use arrow_array::{Array, PrimitiveArray, RecordBatch, cast::AsArray};
use futures::StreamExt;
use iceberg::arrow::ArrowFileReader;
use iceberg::io::FileIO;
use iceberg::{Error, ErrorKind, Result};
use parquet::arrow::async_reader::ParquetRecordBatchStream;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::errors::ParquetError;

use crate::schema::field_id;

/// A file whose footer was read.
pub(crate) type Opened = ParquetRecordBatchStreamBuilder<ArrowFileReader>;

/// Opens a file. What is wrong with the file itself is the inner error.
pub(crate) async fn open(
    io: &FileIO,
    location: &str,
) -> Result<std::result::Result<Opened, ParquetError>> {
    let input = io.new_input(location)?;
    let reader = ArrowFileReader::new(input.metadata().await?, input.reader().await?);
    Ok(ParquetRecordBatchStreamBuilder::new(reader).await)
}

/// The top-level columns with these field ids; those the file does not have are left out.
pub(crate) fn columns(opened: &Opened, ids: &[i32]) -> ProjectionMask {
    let fields = opened.schema().fields().iter().enumerate();
    let wanted = fields.filter(|(_, field)| field_id(field).is_some_and(|id| ids.contains(&id)));
    ProjectionMask::roots(opened.parquet_schema(), wanted.map(|(index, _)| index))
}

/// The next batch of a file's rows.
pub(crate) async fn next(
    stream: &mut ParquetRecordBatchStream<ArrowFileReader>,
    location: &str,
) -> Result<Option<RecordBatch>> {
    let batch = stream.next().await.transpose();
    batch.map_err(|error| unreadable(location, error))
}

/// The column of longs without nulls that has this field id.
pub(crate) fn longs<'a>(
    rows: &'a RecordBatch,
    id: i32,
    location: &str,
) -> Result<&'a PrimitiveArray<Int64Type>> {
    let mut fields = rows.schema_ref().fields().iter();
    let index = fields.position(|field| field_id(field) == Some(id));
    index
        .and_then(|index| rows.column(index).as_primitive_opt::<Int64Type>())
        .filter(|column| column.null_count() == 0)
        .ok_or_else(|| unreadable(location, format!("no column {id} of longs without nulls")))
}

/// Why a file of the table cannot be used.
pub(crate) fn unreadable(location: &str, reason: impl Display) -> Error {
    Error::new(
        ErrorKind::DataInvalid,
        format!("cannot use {location}: {reason}"),
    )
}
