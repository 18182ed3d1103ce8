//! One Parquet data file of a commit.
//!
//! Rows go in sorted by (`_kafka_partition`, `_offset`); the file is complete and, on a local
//! warehouse, synced when [`DataFileWriter::close`] answers.
//!
//! Properties: zstd(1) (1.7 × smaller than snappy for 11–16 % more CPU on a 20-column table),
//! chunk-level statistics, no dictionary on columns that hardly repeat, delta packing on offsets
//! and times. Row groups are closed at 64 MiB so that the encoder's memory stays bounded.

use arrow_array::RecordBatch;
use iceberg::io::FileIO;
use iceberg::spec::{DataFile, PrimitiveType, Schema, SchemaRef, Struct, Type};
use iceberg::writer::file_writer::{
    FileWriter, FileWriterBuilder, ParquetWriter, ParquetWriterBuilder,
};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::schema::name;

const ROW_GROUP_BYTES_MAX: usize = 64 << 20;

/// A data file being written.
pub struct DataFileWriter {
    inner: ParquetWriter,
    sort_order_id: Option<i32>,
    /// Spec and tuple, if the table is partitioned.
    partition: Option<(i32, Struct)>,
}

impl DataFileWriter {
    /// Starts the file at `location`, for rows of exactly the Arrow form of `schema`.
    ///
    /// `sort_order_id` is the table's order by partition and offset, if it has one.
    pub async fn create(
        io: &FileIO,
        location: String,
        schema: SchemaRef,
        sort_order_id: Option<i32>,
    ) -> iceberg::Result<Self> {
        let properties = properties(&schema);
        let output = io.new_output(location)?;
        let inner = ParquetWriterBuilder::new(properties, schema)
            .build(output)
            .await?;
        Ok(Self {
            inner,
            sort_order_id,
            partition: None,
        })
    }

    /// All rows are of the partition with this tuple, as the spec has it.
    pub fn partitioned(self, spec_id: i32, tuple: Struct) -> Self {
        let partition = Some((spec_id, tuple));
        Self { partition, ..self }
    }

    /// Appends rows that sort after all before. Encodes on the calling thread.
    pub async fn write(&mut self, rows: &RecordBatch) -> iceberg::Result<()> {
        self.inner.write(rows).await
    }

    /// Completes the file; `None` when it got no rows (then there is no file either).
    pub async fn close(self) -> iceberg::Result<Option<DataFile>> {
        let Some(mut file) = self.inner.close().await?.pop() else {
            return Ok(None);
        };
        if let Some(id) = self.sort_order_id {
            file.sort_order_id(id);
        }
        if let Some((spec_id, tuple)) = self.partition {
            file.partition(tuple).partition_spec_id(spec_id);
        }
        let invalid =
            |error| iceberg::Error::new(iceberg::ErrorKind::Unexpected, format!("{error}"));
        file.build().map(Some).map_err(invalid)
    }
}

fn properties(schema: &Schema) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("tidelog ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES_MAX));
    let packed = schema.as_struct().fields().iter().filter(|field| {
        let time = matches!(
            *field.field_type,
            Type::Primitive(PrimitiveType::Timestamp | PrimitiveType::Timestamptz)
        );
        time || field.name == name::OFFSET
    });
    for field in packed {
        let path = ColumnPath::new(vec![field.name.clone()]);
        properties = properties
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
    }
    // Verbatim bytes: their bounds prune nothing and would swell the manifests.
    for path in [
        vec![name::KAFKA, "key"],
        vec![name::KAFKA, "headers", "list", "element", "value"],
        vec![name::VALUE],
    ] {
        let path = ColumnPath::new(path.into_iter().map(str::to_owned).collect());
        properties = properties
            .set_column_statistics_enabled(path.clone(), EnabledStatistics::None)
            .set_column_dictionary_enabled(path, false);
    }
    properties.build()
}
