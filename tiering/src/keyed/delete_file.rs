//! Deletes by position: which rows of which data files are no more, as format version 2 has it.
//!
//! One file holds the deletes of one Kafka partition, sorted by file and position, so readers of a
//! partition open no other's.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use arrow_array::cast::AsArray;
use arrow_array::{Array, Int64Array, RecordBatch, StringArray};
use arrow_cast::cast;
use arrow_schema::{DataType, SchemaRef as ArrowSchemaRef};
use iceberg::arrow::schema_to_arrow_schema;
use iceberg::io::FileIO;
use iceberg::spec::{
    DataContentType, DataFile, NestedField, PrimitiveType, Schema, SchemaRef, Type,
};
use iceberg::writer::file_writer::{FileWriter, FileWriterBuilder, ParquetWriterBuilder};
use iceberg::{Error, ErrorKind, Result};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use roaring::RoaringTreemap;

use super::live::DeleteEntry;
use crate::parquet_file::{self, longs, unreadable};
use crate::schema::field_id;
use crate::table::partition_tuple;

/// Reserved by the specification for delete files.
const PATH_ID: i32 = 2_147_483_546;
const POSITION_ID: i32 = 2_147_483_545;

/// Rows encoded at a time.
const BATCH_ROWS: usize = 8_192;

static SCHEMA: LazyLock<Result<SchemaRef>> = LazyLock::new(|| {
    let field = |id, name, kind| Arc::new(NestedField::required(id, name, Type::Primitive(kind)));
    let fields = [
        field(PATH_ID, "file_path", PrimitiveType::String),
        field(POSITION_ID, "pos", PrimitiveType::Long),
    ];
    Schema::builder().with_fields(fields).build().map(Arc::new)
});

/// Where the delete files of a table go.
#[derive(Clone, Copy)]
pub(crate) struct DeleteFileWriter<'a> {
    pub io: &'a FileIO,
    /// The table's spec of identity(`_kafka_partition`).
    pub spec_id: i32,
}

impl DeleteFileWriter<'_> {
    /// Writes the deletes of a partition; none for no positions.
    pub async fn write(
        &self,
        location: String,
        partition: i32,
        positions: &BTreeMap<String, RoaringTreemap>,
    ) -> Result<Option<DataFile>> {
        let schema = SCHEMA
            .as_ref()
            .map_err(|error| Error::new(ErrorKind::Unexpected, error.to_string()))?;
        // Whole paths as bounds: by them readers find the deletes of a file.
        let properties = WriterProperties::builder()
            .set_created_by(concat!("tidelog ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_statistics_truncate_length(None)
            .build();
        let output = self.io.new_output(location)?;
        let mut writer = ParquetWriterBuilder::new(properties, Arc::clone(schema))
            .build(output)
            .await?;
        let arrow = Arc::new(schema_to_arrow_schema(schema)?);
        for (path, positions) in positions {
            for rows in batches(&arrow, path, positions) {
                writer.write(&rows?).await?;
            }
        }
        let Some(mut file) = writer.close().await?.pop() else {
            return Ok(None);
        };
        let mut named = positions.iter().filter(|(_, rows)| !rows.is_empty());
        let only = match (named.next(), named.next()) {
            (Some((path, _)), None) => Some(path.clone()),
            _ => None,
        };
        file.content(DataContentType::PositionDeletes)
            .partition(partition_tuple(partition))
            .partition_spec_id(self.spec_id)
            .referenced_data_file(only);
        let invalid = |error| Error::new(ErrorKind::Unexpected, format!("{error}"));
        file.build().map(Some).map_err(invalid)
    }
}

fn batches(
    schema: &ArrowSchemaRef,
    path: &str,
    positions: &RoaringTreemap,
) -> impl Iterator<Item = Result<RecordBatch>> {
    let mut left = positions.iter().peekable();
    std::iter::from_fn(move || {
        left.peek()?;
        // Positions are counts of rows.
        let positions = left.by_ref().take(BATCH_ROWS).map(|row| row as i64);
        let positions = Int64Array::from_iter_values(positions);
        let paths = StringArray::from_iter_values(std::iter::repeat_n(path, positions.len()));
        let columns: Vec<Arc<dyn Array>> = vec![Arc::new(paths), Arc::new(positions)];
        let rows = RecordBatch::try_new(Arc::clone(schema), columns);
        Some(rows.map_err(|error| Error::new(ErrorKind::Unexpected, error.to_string())))
    })
}

/// Adds the deletes of a file to `dead`, by data file. `ages` are the sequence numbers of the data
/// files that count; none younger than the delete does.
pub(super) async fn read(
    io: &FileIO,
    file: &DeleteEntry,
    ages: &HashMap<&str, i64>,
    dead: &mut HashMap<String, RoaringTreemap>,
) -> Result<()> {
    let location = file.location.as_str();
    let bad = |error| unreadable(location, error);
    let opened = parquet_file::open(io, location).await?.map_err(bad)?;
    let mask = parquet_file::columns(&opened, &[PATH_ID, POSITION_ID]);
    let mut stream = opened.with_projection(mask).build().map_err(bad)?;
    while let Some(rows) = parquet_file::next(&mut stream, location).await? {
        let paths = paths(&rows).ok_or_else(|| unreadable(location, "no column of paths"))?;
        let positions = longs(&rows, POSITION_ID, location)?;
        for (path, &position) in paths.iter().zip(positions.values()) {
            let path = path.unwrap_or_default();
            let counts = ages
                .get(path)
                .is_some_and(|age| *age <= file.sequence_number);
            let (true, Ok(position)) = (counts, u64::try_from(position)) else {
                continue;
            };
            // Sorted by path: mostly the entry is there.
            match dead.get_mut(path) {
                Some(rows) => drop(rows.insert(position)),
                None => drop(dead.insert(path.to_owned(), [position].into_iter().collect())),
            }
        }
    }
    Ok(())
}

fn paths(rows: &RecordBatch) -> Option<StringArray> {
    let mut fields = rows.schema_ref().fields().iter();
    let index = fields.position(|field| field_id(field) == Some(PATH_ID))?;
    let paths = cast(rows.column(index), &DataType::Utf8).ok()?;
    paths.as_string_opt::<i32>().cloned()
}
