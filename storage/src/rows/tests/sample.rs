//! Rows for tests: every kind of column rows files hold, nested ones and nulls among them.

use std::io::Cursor;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, ListArray,
    MapArray, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_ipc::reader::StreamReader;
use arrow_schema::{DataType, Field, Fields, Schema, TimeUnit};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::super::*;
use crate::disk::{Disk, SimDisk};
use crate::ids::{Offset, PartitionId, TopicId};
use crate::segment::{FileId, SegmentCache, ipc};

pub(super) const FILE: FileId = FileId([9; 16]);
pub(super) const PARTITION: PartitionId = PartitionId {
    topic: TopicId([1; 16]),
    index: 4,
};
pub(super) const SCHEMA_ID: i32 = 7;
pub(super) const COMPRESSIONS: [Compression; 3] =
    [Compression::None, Compression::Lz4, Compression::Zstd];

fn field(id: i32, name: &str, kind: DataType) -> Field {
    let id = ("PARQUET:field_id".to_owned(), id.to_string());
    Field::new(name, kind, id.1 != "-2" && name != "key").with_metadata([id].into())
}

fn geo() -> Fields {
    let double = DataType::Float64;
    vec![field(10, "lat", double.clone()), field(11, "lon", double)].into()
}

fn address() -> Fields {
    let geo = field(9, "geo", DataType::Struct(geo()));
    vec![field(8, "street", DataType::Utf8), geo].into()
}

fn pair() -> Fields {
    let key = field(15, "key", DataType::Utf8);
    vec![key, field(16, "value", DataType::Int64)].into()
}

/// The table's schema.
pub(super) fn shape() -> Arc<Shape> {
    let element = Arc::new(field(13, "element", DataType::Utf8));
    let entries = Arc::new(Field::new("entries", DataType::Struct(pair()), false));
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let fields = vec![
        field(-2, OFFSET_COLUMN, DataType::Int64),
        field(1, "city", DataType::Utf8),
        field(2, "amount", DataType::Decimal128(12, 2)),
        field(3, "measure", DataType::Float64),
        field(4, "active", DataType::Boolean),
        field(5, "at", utc),
        field(6, "payload", DataType::Binary),
        field(7, "address", DataType::Struct(address())),
        field(12, "tags", DataType::List(element)),
        field(14, "attributes", DataType::Map(entries, false)),
    ];
    Shape::shared(Arc::new(Schema::new(fields))).unwrap()
}

/// Rows at these offsets; the same for the same seed.
pub(super) fn sample(seed: u64, offsets: &[Offset]) -> RecordBatch {
    let mut rng = SmallRng::seed_from_u64(seed);
    let rng = &mut rng;
    let rows = offsets.len();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(offsets.to_vec())),
        Arc::new(texts(rng, rows)),
        Arc::new(decimals(rng, rows)),
        Arc::new(some(rng, rows, |rng| rng.random::<f64>()).collect::<Float64Array>()),
        Arc::new(some(rng, rows, |rng| rng.random::<bool>()).collect::<BooleanArray>()),
        Arc::new(moments(rng, rows)),
        Arc::new(some(rng, rows, |rng| rng.random::<[u8; 5]>()).collect::<BinaryArray>()),
        Arc::new(addresses(rng, rows)),
        Arc::new(tags(rng, rows)),
        Arc::new(attributes(rng, rows)),
    ];
    RecordBatch::try_new(Arc::clone(shape().schema()), columns).unwrap()
}

/// One value a row, a tenth of them null.
fn some<'r, T>(
    rng: &'r mut SmallRng,
    rows: usize,
    value: impl Fn(&mut SmallRng) -> T + 'r,
) -> impl Iterator<Item = Option<T>> + 'r {
    (0..rows).map(move |_| (!rng.random_bool(0.1)).then(|| value(rng)))
}

fn texts(rng: &mut SmallRng, rows: usize) -> StringArray {
    some(rng, rows, |rng| format!("city {:x}", rng.random::<u16>())).collect()
}

fn decimals(rng: &mut SmallRng, rows: usize) -> Decimal128Array {
    let unscaled = some(rng, rows, |rng| rng.random_range(-999_999..999_999_i128));
    let array: Decimal128Array = unscaled.collect();
    array.with_precision_and_scale(12, 2).unwrap()
}

fn moments(rng: &mut SmallRng, rows: usize) -> TimestampMicrosecondArray {
    let moments = some(rng, rows, |rng| rng.random_range(0..1_i64 << 50));
    moments
        .collect::<TimestampMicrosecondArray>()
        .with_timezone("UTC")
}

fn validity(rng: &mut SmallRng, rows: usize) -> NullBuffer {
    (0..rows).map(|_| !rng.random_bool(0.1)).collect()
}

fn addresses(rng: &mut SmallRng, rows: usize) -> StructArray {
    // No nulls: its validity buffer must come out empty.
    let lat = Arc::new(Float64Array::from_iter_values(
        (0..rows).map(|row| row as f64),
    ));
    let lon = some(rng, rows, |rng| rng.random::<f64>()).collect::<Float64Array>();
    let inner = StructArray::new(geo(), vec![lat, Arc::new(lon)], Some(validity(rng, rows)));
    let street = Arc::new(texts(rng, rows));
    StructArray::new(
        address(),
        vec![street, Arc::new(inner)],
        Some(validity(rng, rows)),
    )
}

fn tags(rng: &mut SmallRng, rows: usize) -> ListArray {
    let lengths: Vec<_> = (0..rows).map(|_| rng.random_range(0..4_usize)).collect();
    let items = texts(rng, lengths.iter().sum());
    let element = Arc::new(field(13, "element", DataType::Utf8));
    let offsets = OffsetBuffer::from_lengths(lengths);
    ListArray::new(element, offsets, Arc::new(items), Some(validity(rng, rows)))
}

fn attributes(rng: &mut SmallRng, rows: usize) -> MapArray {
    let lengths: Vec<_> = (0..rows).map(|_| rng.random_range(0..3_usize)).collect();
    let count = lengths.iter().sum();
    let keys = StringArray::from_iter_values((0..count).map(|i| format!("key {i}")));
    let values = some(rng, count, |rng| rng.random::<i64>()).collect::<Int64Array>();
    let pairs = StructArray::new(pair(), vec![Arc::new(keys), Arc::new(values)], None);
    let entries = Arc::new(Field::new("entries", DataType::Struct(pair()), false));
    let offsets = OffsetBuffer::from_lengths(lengths);
    MapArray::new(entries, offsets, pairs, Some(validity(rng, rows)), false)
}

/// A block of the rows at `base..end`, every third offset left out.
pub(super) fn block(
    seed: u64,
    base: Offset,
    end: Offset,
    compression: Compression,
) -> (RecordBatch, EncodedBlock) {
    let offsets: Vec<_> = (base..end).filter(|offset| offset % 3 != 2).collect();
    let rows = sample(seed, &offsets);
    let block = EncodedBlock::encode(&shape(), &rows, base, end, compression).unwrap();
    (rows, block)
}

/// Writes a file of blocks that cover 10..40, 40..50 and 60..160, and ends at 170.
pub(super) fn file(disk: &SimDisk, compression: Compression) -> (RowsMeta, Vec<RecordBatch>) {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut writer = RowsWriter::create(disk, FILE, PARTITION, SCHEMA_ID, shape(), 10).unwrap();
    let mut rows = Vec::new();
    for (seed, (base, end)) in [(10, 40), (40, 50), (60, 160)].into_iter().enumerate() {
        let (batch, block) = block(seed as u64, base, end, compression);
        writer.push(&block).unwrap();
        rows.push(batch);
    }
    (writer.finish(170).unwrap(), rows)
}

pub(super) fn reader(disk: &SimDisk, meta: &RowsMeta) -> RowsReader {
    let files = Arc::new(SegmentCache::new(Arc::new(disk.clone()), 4, 1 << 20));
    let cache = Arc::new(RowsCache::new(files, 1 << 20));
    RowsReader::new(cache, PARTITION, Arc::new(meta.clone()))
}

pub(super) fn select(paths: &[&str]) -> Projection {
    let (projection, unknown) = Projection::select(&shape(), paths);
    assert!(unknown.is_empty(), "{unknown:?}");
    projection
}

/// What Arrow's stream reader makes of schema message and projected message, the way a client
/// reads an answer; checks length and checksums on the way.
pub(super) fn as_client(projection: &Projection, message: &ProjectedMessage) -> RecordBatch {
    let bytes = message.read().unwrap();
    assert_eq!(bytes.len() as u64, message.len());
    assert_eq!(bytes.len() % 8, 0);
    let mut stream = ipc::schema_message(projection.schema());
    stream.extend_from_slice(&bytes);
    let mut reader = StreamReader::try_new(Cursor::new(stream), None).unwrap();
    let rows = reader.next().unwrap().unwrap();
    assert!(reader.next().is_none());
    check_sums(projection, message, &bytes[message.header.len()..]);
    rows
}

/// As a client would check them: buffers of each column, found through the message's header.
fn check_sums(projection: &Projection, message: &ProjectedMessage, body: &[u8]) {
    let header = arrow_ipc::root_as_message(&message.header[8..]).unwrap();
    let places = header.header_as_record_batch().unwrap().buffers().unwrap();
    let shape = Shape::new(Arc::clone(projection.schema())).unwrap();
    let mut buffer = 0;
    let starts: Vec<usize> = shape
        .columns()
        .map(|(_, node)| {
            let start = places.get(buffer).offset() as usize;
            let nodes = &shape.nodes()[node..shape.nodes()[node].end];
            buffer += nodes.iter().map(|node| node.buffers).sum::<usize>();
            start
        })
        .collect();
    let ends = starts.iter().skip(1).copied().chain([body.len()]);
    let sums: Vec<_> = starts
        .iter()
        .zip(ends)
        .map(|(start, end)| crc32c::crc32c(&body[*start..end]))
        .collect();
    assert_eq!(message.checksums, sums);
}
