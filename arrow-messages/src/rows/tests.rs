//! Messages that Arrow's own writer made come back as they were; changed ones never panic.

use std::sync::Arc;

use arrow_array::builder::{Int32Builder, MapBuilder, StringBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float64Array, ListArray, StringArray,
    StructArray, TimestampMicrosecondArray,
};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::{Compression, read_schema, rows_message, schema_message};

const BYTES_MAX: usize = 1 << 20;
const COMPRESSIONS: [Compression; 3] = [Compression::None, Compression::Lz4, Compression::Zstd];

/// One column of every kind rows are made of, with and without nulls.
fn sample(rows: usize) -> RecordBatch {
    let some = |row: &usize| !row.is_multiple_of(3);
    let numbers = || 0..rows;
    let texts =
        StringArray::from_iter(numbers().map(|row| some(&row).then(|| format!("text {row}"))));
    let floats = Float64Array::from_iter_values(numbers().map(|row| row as f64));
    let inner: ArrayRef = Arc::new(texts.clone());
    let member = Arc::new(Field::new("text", DataType::Utf8, true));
    let nulls = NullBuffer::from_iter(numbers().map(|row| row % 5 != 1));
    let pair = StructArray::new(vec![member].into(), vec![inner], Some(nulls));
    let lists = numbers().map(|row| some(&row).then(|| vec![Some(row as i32), None]));
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    for row in numbers() {
        map.keys().append_value(format!("key {row}"));
        map.values().append_value(row as i32);
        map.append(some(&row)).unwrap();
    }
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("texts", Arc::new(texts)),
        ("floats", Arc::new(floats)),
        (
            "flags",
            Arc::new(BooleanArray::from_iter(
                numbers().map(|row| some(&row).then_some(row % 2 == 0)),
            )),
        ),
        (
            "bytes",
            Arc::new(BinaryArray::from_iter_values(
                numbers().map(|row| vec![row as u8; row % 9]),
            )),
        ),
        (
            "sums",
            Arc::new(Decimal128Array::from_iter_values(
                numbers().map(|row| row as i128),
            )),
        ),
        (
            "times",
            Arc::new(
                TimestampMicrosecondArray::from_iter_values(numbers().map(|row| row as i64))
                    .with_timezone("UTC"),
            ),
        ),
        ("pair", Arc::new(pair)),
        (
            "list",
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists)),
        ),
        ("map", Arc::new(map.finish())),
    ];
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap()
}

fn encode(batch: &RecordBatch, compression: Compression) -> Bytes {
    rows_message(batch, compression).unwrap()
}

#[test]
fn what_was_written_is_read() {
    for compression in COMPRESSIONS {
        for rows in [0, 1, 7, 1000] {
            let batch = sample(rows);
            let mut bytes = encode(&batch, compression).to_vec();
            bytes.extend(encode(&batch, compression));
            let read = read_rows(bytes.into(), &batch.schema(), &[], BYTES_MAX).unwrap();
            assert_eq!(read, [batch.clone(), batch], "{rows} rows, {compression:?}");
        }
    }
    for (compression, codec) in COMPRESSIONS
        .into_iter()
        .zip([Codec::None, Codec::Lz4, Codec::Zstd])
    {
        assert_eq!(codec_of(&encode(&sample(1), compression)), Ok(codec));
    }
    let schema = sample(1).schema();
    let read = read_schema(&schema_message(&schema).unwrap()).unwrap();
    assert_eq!(read, *schema);
}

#[test]
fn bytes_that_promise_too_much_are_refused() {
    let batch = sample(1000);
    let bytes = encode(&batch, Compression::Zstd);
    let error = read_rows(bytes.clone(), &batch.schema(), &[], 5_000).unwrap_err();
    assert_eq!(error, Fault::TooLarge { bytes_max: 5_000 });
    let short = bytes.slice(..bytes.len() - 1);
    assert!(read_rows(short, &batch.schema(), &[], BYTES_MAX).is_err());
    let fewer = Arc::new(batch.schema().project(&[0, 1]).unwrap());
    assert!(read_rows(bytes.clone(), &fewer, &[], BYTES_MAX).is_err());
    let error = read_rows(bytes, &batch.schema(), &[0; 5], BYTES_MAX).unwrap_err();
    assert_eq!(error, Fault::ChecksumCount { got: 5, columns: 9 });
}

/// A few bytes that lead to the same table over and over are not followed.
#[test]
fn a_schema_that_unfolds_is_refused() {
    use arrow_ipc::{FieldArgs, MessageArgs, MessageHeader, SchemaArgs, Struct_Args, Type};
    let mut builder = flatbuffers::FlatBufferBuilder::new();
    let name = builder.create_string("x");
    let mut children =
        builder.create_vector::<flatbuffers::ForwardsUOffset<arrow_ipc::Field<'_>>>(&[]);
    for _ in 0..12 {
        let kind = arrow_ipc::Struct_::create(&mut builder, &Struct_Args {}).as_union_value();
        let args = FieldArgs {
            name: Some(name),
            type_type: Type::Struct_,
            type_: Some(kind),
            children: Some(children),
            ..FieldArgs::default()
        };
        let field = arrow_ipc::Field::create(&mut builder, &args);
        children = builder.create_vector(&[field; 8]);
    }
    let args = SchemaArgs {
        fields: Some(children),
        ..SchemaArgs::default()
    };
    let header = arrow_ipc::Schema::create(&mut builder, &args).as_union_value();
    let args = MessageArgs {
        version: MetadataVersion::V5,
        header_type: MessageHeader::Schema,
        header: Some(header),
        ..MessageArgs::default()
    };
    let message = arrow_ipc::Message::create(&mut builder, &args);
    builder.finish(message, None);
    let flatbuffer = builder.finished_data();
    let mut bytes = vec![0xff; 4];
    bytes.extend(i32::try_from(flatbuffer.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(flatbuffer);
    let error = read_schema(&bytes).unwrap_err();
    assert!(matches!(error, Fault::Malformed(_)), "{error}");
}

#[test]
fn changed_bytes_never_panic() {
    let batch = sample(40);
    let schema = batch.schema();
    let described = schema_message(&schema).unwrap().to_vec();
    let whole = COMPRESSIONS.map(|compression| encode(&batch, compression).to_vec());
    let mut rng = SmallRng::seed_from_u64(11);
    for round in 0..9_000 {
        let mut bytes = whole[round % 3].clone();
        // Mostly the flatbuffer, which no checksum covers.
        let reach = if round % 4 == 0 {
            bytes.len()
        } else {
            bytes.len().min(1_400)
        };
        for _ in 0..rng.random_range(1..4) {
            bytes[rng.random_range(0..reach)] = *[0, 1, 0x7f, 0x80, 0xff, rng.random()]
                .get(rng.random_range(0..6usize))
                .unwrap();
        }
        let _ = read_rows(bytes.into(), &schema, &[], BYTES_MAX);
        let mut bytes = described.clone();
        let at = rng.random_range(0..bytes.len());
        bytes[at] = rng.random();
        let _ = read_schema(&bytes);
    }
}
