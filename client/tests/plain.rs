//! The same reading against a broker that knows nothing of columns: records are fetched whole and
//! become rows here.
#![cfg(feature = "decode")]
#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

mod fake;

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use bytes::Bytes;
use fake::{Fake, Log, World};
use tidelog_client::{Client, Error, ErrorCode, Start, Table};
use tidelog_records::control::{Outcome, TxnMarker};
use tidelog_records::{BatchBuilder, Codec};

const FETCH: i16 = 1;

fn batch(base: i64, values: &[&str], codec: Codec) -> Bytes {
    let mut batch = BatchBuilder::new().base_offset(base).codec(codec, None);
    for value in values {
        let headers = [(&b"h"[..], Some(value.as_bytes()))];
        batch
            .append(1_000, Some(b"k"), Some(value.as_bytes()), headers)
            .unwrap();
    }
    batch.finish().unwrap()
}

fn transaction(base: i64, producer: i64, value: &str) -> Bytes {
    let batch = BatchBuilder::new()
        .base_offset(base)
        .producer(producer, 0, 0);
    let mut batch = batch.transactional();
    batch
        .append(1_000, None, Some(value.as_bytes()), [])
        .unwrap();
    batch.finish().unwrap()
}

fn marker(base: i64, producer: i64, outcome: Outcome) -> Bytes {
    let coordinator_epoch = 0;
    let marker = TxnMarker {
        outcome,
        coordinator_epoch,
    };
    marker.to_batch(producer, 0, base, 0, 1_000).unwrap()
}

async fn open(log: Log) -> (Fake, Table) {
    let partitions = BTreeMap::from([(0, log)]);
    let fake = Fake::start(World {
        partitions,
        ..World::default()
    })
    .await;
    let client = Client::connect(&fake.address()).await.unwrap();
    let table = client.table(fake::TOPIC).await.unwrap();
    assert!(!table.is_columnar());
    assert!(table.info().is_none());
    (fake, table)
}

async fn values(table: &Table, from: i64) -> (Vec<(i64, String)>, i64) {
    filtered(table, from, "TRUE").await
}

async fn filtered(table: &Table, from: i64, filter: &str) -> (Vec<(i64, String)>, i64) {
    let scan = table.scan().columns(["_offset", "value"]).until_end();
    let scan = scan.filter(filter);
    let mut stream = scan
        .from(Start::Offsets([(0, from)].into()))
        .open()
        .await
        .unwrap();
    let mut seen = Vec::new();
    while let Some(rows) = stream.next().await.unwrap() {
        let offsets = rows.batch.column(0).as_primitive::<Int64Type>();
        let values = rows.batch.column(1).as_binary::<i32>();
        for (offset, value) in offsets.values().iter().zip(values) {
            seen.push((*offset, String::from_utf8(value.unwrap().to_vec()).unwrap()));
        }
    }
    (seen, stream.positions()[&0])
}

#[tokio::test]
async fn a_filter_is_applied_here() {
    let batches = (0..5).map(|place| batch(place * 3, &["apple", "pear", "plum"], Codec::None));
    let (_fake, table) = open(Log {
        end: 15,
        batches: batches.collect(),
        ..Log::default()
    })
    .await;
    let (seen, end) = filtered(&table, 2, "value LIKE 'p%' AND _offset < 6 AND _key = 'k'").await;
    let seen: Vec<_> = seen.iter().map(|(at, value)| (*at, &value[..])).collect();
    assert_eq!(
        (seen, end),
        (vec![(2, "plum"), (4, "pear"), (5, "plum")], 15)
    );
    assert_eq!(filtered(&table, 0, "value = 'fig'").await, (Vec::new(), 15));
}

#[tokio::test]
async fn key_value_timestamp_and_headers_of_every_codec() {
    let codecs = [
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ];
    let batches = codecs.iter().zip(0..);
    let batches = batches.map(|(codec, place)| batch(place * 2, &["a", "b"], *codec));
    let (fake, table) = open(Log {
        end: 10,
        batches: batches.collect(),
        ..Log::default()
    })
    .await;
    let (seen, end) = values(&table, 3).await;
    let offsets: Vec<_> = seen.iter().map(|(offset, _)| *offset).collect();
    assert_eq!((offsets, end), ((3..10).collect(), 10));
    assert_eq!(seen[0].1, "b");
    assert!(fake.asked(FETCH) > 0);

    let mut stream = table.scan().until_end().open().await.unwrap();
    let rows = stream.next().await.unwrap().unwrap().batch;
    let fields = rows.schema().fields().clone();
    let names: Vec<_> = fields.iter().map(|field| field.name().as_str()).collect();
    let all = [
        "_partition",
        "_offset",
        "_timestamp",
        "_timestamp_type",
        "_key",
        "_headers",
        "value",
    ];
    assert_eq!(names, all);
    assert_eq!(
        rows.column(2)
            .as_primitive::<TimestampMicrosecondType>()
            .value(0),
        1_000_000
    );
    assert_eq!(rows.column(4).as_binary::<i32>().value(0), b"k");
    let headers = rows.column(5).as_list::<i32>().value(1);
    assert_eq!(
        headers.as_struct().column(1).as_binary::<i32>().value(0),
        b"b"
    );
}

#[tokio::test]
async fn aborted_records_and_markers_are_no_rows() {
    let log = Log {
        end: 7,
        batches: vec![
            transaction(0, 1, "kept"),
            transaction(1, 2, "aborted"),
            marker(2, 2, Outcome::Abort),
            marker(3, 1, Outcome::Commit),
            transaction(4, 2, "kept too"),
            marker(5, 2, Outcome::Commit),
            marker(6, 3, Outcome::Commit),
        ],
        aborted: vec![(2, 1)],
        ..Log::default()
    };
    let (_fake, table) = open(log).await;
    let (seen, end) = values(&table, 0).await;
    assert_eq!(seen, [(0, "kept".to_owned()), (4, "kept too".to_owned())]);
    assert_eq!(end, 7);
}

#[tokio::test]
async fn json_values_become_columns_by_a_schema_of_the_reader() {
    let lines = [r#"{"id": 7, "city": "Oslo"}"#, "no json", r#"{"id": 8}"#];
    let (_fake, table) = open(Log {
        end: 3,
        batches: vec![batch(0, &lines, Codec::Lz4)],
        ..Log::default()
    })
    .await;
    let error = table.clone().decode_json("{").unwrap_err();
    assert!(matches!(error, Error::Schema { .. }), "{error}");
    let schema =
        r#"{"fields": [{"name": "id", "type": "long"}, {"name": "city", "type": "string"}]}"#;
    let table = table.decode_json(schema).unwrap();
    let mut stream = table
        .scan()
        .columns(["city", "id"])
        .until_end()
        .open()
        .await
        .unwrap();
    let rows = stream.next().await.unwrap().unwrap();
    let ids = rows.batch.column(0).as_primitive::<Int64Type>();
    assert_eq!(ids.values(), &[7, 8]);
    let cities: Vec<_> = rows.batch.column(1).as_string::<i32>().iter().collect();
    assert_eq!(cities, [Some("Oslo"), None]);
    assert_eq!((rows.first_offset, rows.next_offset), (0, 3));
    assert!(stream.next().await.unwrap().is_none());
}

#[tokio::test]
async fn damaged_and_vanished_records() {
    let mut bytes = batch(0, &["a"], Codec::None).to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let log = Log {
        end: 1,
        batches: vec![bytes.into()],
        ..Log::default()
    };
    let (_fake, table) = open(log).await;
    let mut stream = table.scan().until_end().open().await.unwrap();
    let error = stream.next().await.unwrap_err();
    assert!(matches!(error, Error::Rows { .. }), "{error}");
    assert!(error.to_string().contains("crc"), "{error}");

    let log = Log {
        start: 5,
        end: 6,
        batches: vec![batch(5, &["a"], Codec::None)],
        ..Log::default()
    };
    let (_fake, table) = open(log).await;
    let start = Start::Offsets([(0, 2)].into());
    let mut stream = table.scan().from(start).until_end().open().await.unwrap();
    let error = stream.next().await.unwrap_err();
    assert_eq!(error.error_code(), Some(ErrorCode::OffsetOutOfRange));
}

#[tokio::test]
async fn what_needs_the_extensions_says_so() {
    let (_fake, table) = open(Log::default()).await;
    for error in [
        table
            .lookup([Bytes::from_static(b"k")])
            .send()
            .await
            .unwrap_err(),
        table.union_plan(None).await.unwrap_err(),
        table.refresh().await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    }
}
