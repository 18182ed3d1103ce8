//! Messages that Arrow's own writer made come back as they were; changed ones never panic.

use std::sync::Arc;

use arrow_array::builder::{Int32Builder, MapBuilder, StringBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float64Array, ListArray, StringArray,
    StructArray, TimestampMicrosecondArray,
};
use arrow_ipc::CompressionType as Compression;
use arrow_ipc::writer::{
    CompressionContext, DictionaryTracker, IpcDataGenerator, IpcWriteOptions, write_message,
};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::arrow_schema_message;

const BYTES_MAX: usize = 1 << 20;
const COMPRESSIONS: [Option<Compression>; 3] =
    [None, Some(Compression::LZ4_FRAME), Some(Compression::ZSTD)];

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

fn encode(batch: &RecordBatch, compression: Option<Compression>) -> Bytes {
    let options = IpcWriteOptions::default()
        .try_with_compression(compression)
        .unwrap();
    let mut tracker = DictionaryTracker::new(false);
    let (_, encoded) = IpcDataGenerator::default()
        .encode(
            batch,
            &mut tracker,
            &options,
            &mut CompressionContext::default(),
        )
        .unwrap();
    let mut out = Vec::new();
    write_message(&mut out, encoded, &options).unwrap();
    out.into()
}

fn schema_message(schema: &Schema) -> Vec<u8> {
    let options = IpcWriteOptions::default();
    let mut tracker = DictionaryTracker::new(false);
    let encoded = IpcDataGenerator::default().schema_to_bytes_with_dictionary_tracker(
        schema,
        &mut tracker,
        &options,
    );
    let mut out = Vec::new();
    write_message(&mut out, encoded, &options).unwrap();
    out
}

#[test]
fn what_was_written_is_read() {
    for compression in COMPRESSIONS {
        for rows in [0, 1, 7, 1000] {
            let batch = sample(rows);
            let mut bytes = encode(&batch, compression).to_vec();
            bytes.extend(encode(&batch, compression));
            let read = read_all(bytes.into(), &batch.schema(), &[], BYTES_MAX).unwrap();
            assert_eq!(read, [batch.clone(), batch], "{rows} rows, {compression:?}");
        }
    }
    let schema = sample(1).schema();
    let read = arrow_schema_message::read(&schema_message(&schema)).unwrap();
    assert_eq!(read, *schema);
}

#[test]
fn bytes_that_promise_too_much_are_refused() {
    let batch = sample(1000);
    let bytes = encode(&batch, Some(Compression::ZSTD));
    let error = read_all(bytes.clone(), &batch.schema(), &[], 5_000).unwrap_err();
    assert_eq!(error, RowsFault::TooLarge { bytes_max: 5_000 });
    let short = bytes.slice(..bytes.len() - 1);
    assert!(read_all(short, &batch.schema(), &[], BYTES_MAX).is_err());
    let fewer = Arc::new(batch.schema().project(&[0, 1]).unwrap());
    assert!(read_all(bytes.clone(), &fewer, &[], BYTES_MAX).is_err());
    let error = read_all(bytes, &batch.schema(), &[0; 5], BYTES_MAX).unwrap_err();
    assert_eq!(error, RowsFault::ChecksumCount { got: 5, columns: 9 });
}

#[test]
fn changed_bytes_never_panic() {
    let batch = sample(40);
    let schema = batch.schema();
    let described = schema_message(&schema);
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
        let _ = read_all(bytes.into(), &schema, &[], BYTES_MAX);
        let mut bytes = described.clone();
        let at = rng.random_range(0..bytes.len());
        bytes[at] = rng.random();
        let _ = arrow_schema_message::read(&bytes);
    }
}
