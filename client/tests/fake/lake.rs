//! A lake on disk, filled by the tierer with rows that follow from partition and offset.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, Int32Array, Int64Array, ListArray, MapArray, RecordBatch, StringArray, StructArray,
};
use arrow_buffer::OffsetBuffer;
use arrow_cast::cast;
use arrow_schema::{DataType, Fields, Schema, SchemaRef};
use iceberg::{NamespaceIdent, TableIdent};
use tidelog_tiering::catalog::{Catalog, MemoryPointers};
use tidelog_tiering::files::LocalFiles;
use tidelog_tiering::{
    LogBounds, PassLimits, ReadRange, RowBatch, RowSource, SourceError, SystemEnv, TierMark,
    Tierer, TopicIdentity, ValueLayout,
};
use tidelog_typed::{RowSchema, TableSchema};

use crate::fake::{TOPIC, TOPIC_ID};

/// Columns before the value's.
const SYSTEM_COLUMNS: usize = 6;

/// A table whose first rows may be written under an older schema.
pub struct Lake {
    catalog: Arc<Catalog>,
    table: TableIdent,
    directory: tempfile::TempDir,
}

impl Lake {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let warehouse = format!("file://{}", directory.path().display());
        let catalog = Catalog::new(
            Arc::new(MemoryPointers::default()),
            LocalFiles::file_io(directory.path()),
            &warehouse,
            Arc::new(SystemEnv),
        );
        let namespace = NamespaceIdent::new("tidelog".to_owned());
        Self {
            catalog: Arc::new(catalog),
            table: TableIdent::new(namespace, TOPIC.to_owned()),
            directory,
        }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Tiers rows up to these ends, by one commit.
    pub async fn tier(&self, schema: &SchemaRef, ends: &[i64]) -> TierMark {
        let values = schema.fields().iter().skip(SYSTEM_COLUMNS).cloned();
        let values = Schema::new(values.collect::<Vec<_>>());
        let tierer = Tierer::open(
            Arc::clone(&self.catalog) as _,
            Arc::new(SystemEnv),
            self.table.clone(),
            TopicIdentity {
                topic_id: TOPIC_ID,
                epoch: 0,
            },
            &ValueLayout::Typed(Arc::new(values)),
            PassLimits::default(),
        )
        .await
        .unwrap();
        let bounds = |end: &i64| LogBounds {
            log_start: 0,
            stable_end: *end,
        };
        let log: BTreeMap<_, _> = (0..).zip(ends.iter().map(bounds)).collect();
        let mut source = Source(Arc::clone(schema));
        tierer.pass(&mut source, &log).await.unwrap().mark
    }
}

struct Source(SchemaRef);

impl RowSource for Source {
    fn next(&mut self, range: ReadRange) -> Result<Option<RowBatch>, SourceError> {
        let end_offset = range.to_offset.min(range.from_offset + 16);
        Ok(Some(RowBatch {
            partition: range.partition,
            first_offset: range.from_offset,
            end_offset,
            rows: rows(&self.0, range.partition, range.from_offset..end_offset),
            dead_letters: None,
        }))
    }
}

/// The rows of a topic with these value columns.
pub fn schema(values: &str) -> SchemaRef {
    let values = TableSchema::parse(values).unwrap();
    Arc::clone(RowSchema::typed(values).arrow())
}

/// Every seventh offset has no row.
pub fn has_row(offset: &i64) -> bool {
    offset % 7 != 3
}

/// What stands at these offsets, in the columns of `schema`.
pub fn rows(
    schema: &SchemaRef,
    partition: i32,
    offsets: impl IntoIterator<Item = i64>,
) -> RecordBatch {
    let offsets: Vec<i64> = offsets.into_iter().filter(has_row).collect();
    let fields = schema.fields().iter();
    let columns = fields.map(|field| {
        let column = column(field.name(), field.data_type(), partition, &offsets);
        cast(&column, field.data_type()).unwrap()
    });
    RecordBatch::try_new(Arc::clone(schema), columns.collect()).unwrap()
}

/// Values follow from the name of the column, the partition and the offset.
fn column(name: &str, data_type: &DataType, partition: i32, offsets: &[i64]) -> ArrayRef {
    let longs = |of: fn(i64) -> i64| Int64Array::from_iter_values(offsets.iter().map(|o| of(*o)));
    match (name, data_type) {
        ("_partition", _) => Arc::new(Int32Array::from_value(partition, offsets.len())),
        ("_offset", _) => Arc::new(longs(|offset| offset)),
        ("_timestamp_type", _) => Arc::new(longs(|offset| offset % 2)),
        ("amount" | "count", _) => Arc::new(longs(|offset| offset * 100)),
        (_, DataType::Timestamp(_, _)) => {
            let at = offsets.iter().map(|o| (o % 5 != 0).then_some(o * 1_000));
            Arc::new(Int64Array::from_iter(at))
        }
        (_, DataType::Struct(members)) => Arc::new(structure(members, partition, offsets)),
        (_, DataType::List(element)) => {
            let (lengths, inner) = repeated(offsets);
            let values = column(element.name(), element.data_type(), partition, &inner);
            Arc::new(ListArray::new(Arc::clone(element), lengths, values, None))
        }
        (_, DataType::Map(pair, _)) => {
            let DataType::Struct(members) = pair.data_type() else {
                panic!("a map is made of pairs");
            };
            let (lengths, inner) = repeated(offsets);
            let pairs = structure(members, partition, &inner);
            Arc::new(MapArray::new(Arc::clone(pair), lengths, pairs, None, false))
        }
        _ => {
            let text = |o: &i64| format!("{name} {partition} {o}");
            Arc::new(StringArray::from_iter_values(offsets.iter().map(text)))
        }
    }
}

fn structure(members: &Fields, partition: i32, offsets: &[i64]) -> StructArray {
    let columns = members.iter().map(|member| {
        let column = column(member.name(), member.data_type(), partition, offsets);
        cast(&column, member.data_type()).unwrap()
    });
    StructArray::new(members.clone(), columns.collect(), None)
}

/// None, one or two elements for each offset.
fn repeated(offsets: &[i64]) -> (OffsetBuffer<i32>, Vec<i64>) {
    let lengths = offsets.iter().map(|offset| (offset % 3) as usize);
    let inner = offsets
        .iter()
        .flat_map(|offset| (0..offset % 3).map(move |place| offset * 3 + place));
    (OffsetBuffer::from_lengths(lengths), inner.collect())
}
