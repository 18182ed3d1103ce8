//! Fetching views: where they end, how far an answer without records says it looked, what is refused.
//! Raw requests against a broker in this process; real clients are in the compatibility tests.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use support::TestBroker;
use support::data::*;
use support::group::text;
use support::table::columnar;
use support::txn::{Speaks, Transactor};
use tidelog_protocol_ext::ErrorCode;
use tidelog_protocol_ext::ext::alter_table::{AlterTableRequest, ColumnChange};
use tidelog_records::{BatchHeader, Records};
use tidelog_registry::SchemaId;
use tidelog_typed::avro;

const SCHEMA: &str = r#"{"fields":[{"name":"n","type":"long"}]}"#;
const TABLE: [(&str, &str); 2] = [
    ("tidelog.table.mode", "inline"),
    ("tidelog.table.schema", SCHEMA),
];
/// First version with markers for what was looked at in vain.
const MARKERS: i16 = 11;

/// Whether records are one marker alone, and its offset.
fn marker(records: &Option<bytes::Bytes>) -> Option<i64> {
    let [batch] = <[_; 1]>::try_from(batches(records)).ok()?;
    let header = BatchHeader::read(&batch).unwrap();
    let opened = Records::open(&batch, 1 << 10).unwrap();
    assert_eq!(opened.iter().count(), 1);
    header.is_control().then(|| header.last_offset())
}

#[tokio::test]
async fn an_answer_without_records_says_how_far_it_looked() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    client.make_topic("t", 1, &TABLE).await;
    let settings = [("tidelog.view.of", "t"), ("tidelog.view.filter", "n > 2")];
    client.make_topic("v", -1, &settings).await;
    for rows in [[r#"{"n":1}"#, r#"{"n":2}"#], [r#"{"n":2}"#, r#"{"n":1}"#]] {
        client.produce("t", 0, batch(&rows)).await;
    }
    for version in [4, MARKERS - 1, MARKERS, 12] {
        let mut request = fetch_request("v", &[(0, 0)]);
        if version < 7 {
            request.session_epoch = -1;
        }
        let part = only(client.call(version, &request).await);
        assert_eq!((part.error_code, part.high_watermark), (0, 4));
        let expected = (version >= MARKERS).then_some(3);
        assert_eq!(marker(&part.records), expected, "v{version}");
    }
    // Whoever waits is not woken by what does not match.
    let request = fetch_request("v", &[(0, 4)]).with_max_wait_ms(20_000);
    let started = Instant::now();
    client.send(12, &request).await;
    let mut other = broker.client().await;
    other.produce("t", 0, batch(&[r#"{"n":1}"#])).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    other.produce("t", 0, batch(&[r#"{"n":3}"#])).await;
    let answer = client
        .receive::<kafka_protocol::messages::FetchRequest>(12)
        .await;
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(
        values(&only(answer).records),
        [(5, r#"{"n":3}"#.to_owned())]
    );
    // From an offset that was looked at in vain on, the record is found without a marker, too.
    let part = only(
        client
            .call(MARKERS - 1, &fetch_request("v", &[(0, 0)]))
            .await,
    );
    assert_eq!(values(&part.records).len(), 1);
    for offset in [-1, 7] {
        let part = client.fetch("v", 0, offset).await;
        assert_eq!(part.error_code, ErrorCode::OffsetOutOfRange.code());
    }
}

#[tokio::test]
async fn values_in_avro_name_a_schema_that_the_registry_has() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    client.make_topic("t", 1, &TABLE).await;
    let settings = [
        ("tidelog.view.of", "t"),
        ("tidelog.view.filter", "n IS NULL OR n <> 2"),
        ("tidelog.view.columns", "_offset,n"),
        ("tidelog.view.format", "avro"),
    ];
    client.make_topic("a-view", -1, &settings).await;
    let rows = [r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":-300}"#, "{}"];
    client.produce("t", 0, batch(&rows)).await;
    let shown = client.fetch("a-view", 0, 0).await.records;
    let values = avro_values(&shown);
    let id = values[0].0;
    assert!(values.iter().all(|value| value.0 == id));

    let registry = broker.running().broker.registry();
    let latest = registry.latest("a-view-value").await.unwrap().unwrap();
    assert_eq!(latest.id, SchemaId(id));
    let writer = avro::Writer::parse(&latest.text, &[]).unwrap();
    let table = writer.draft().fields.iter().map(|field| &field.name[..]);
    assert_eq!(table.collect::<Vec<_>>(), ["_offset", "n"]);
    // Offset 0, 2, 3; then n: its place in ["null", "long"], and a zigzag number.
    let bodies: Vec<_> = values.into_iter().map(|value| value.1).collect();
    assert_eq!(bodies, [&[0, 2, 2][..], &[4, 2, 0xd7, 4], &[6, 0]]);

    // The same after a restart, and nothing is registered twice.
    let broker = broker.restart().await;
    let mut client = broker.client().await;
    assert_eq!(client.fetch("a-view", 0, 0).await.records, shown);
    let image = broker.running().broker.registry().service().image();
    assert_eq!(image.last_id(), SchemaId(id));

    let odd = r#"{"fields":[{"name":"größe","type":"long"}]}"#;
    let odd = [TABLE[0], ("tidelog.table.schema", odd)];
    client.make_topic("odd", 1, &odd).await;
    let settings = [("tidelog.view.of", "odd"), ("tidelog.view.format", "avro")];
    let refused = client.try_make_topic("w", -1, &settings).await;
    assert_eq!(refused.error_code, ErrorCode::InvalidConfig.code());
    let message = refused.error_message.unwrap();
    assert!(
        message.contains("größe") && message.contains("avro"),
        "{message}"
    );
}

/// The values of records in Avro: the ids of their schemas, and what stands behind.
fn avro_values(records: &Option<bytes::Bytes>) -> Vec<(i32, Vec<u8>)> {
    let mut values = Vec::new();
    for batch in batches(records) {
        for record in &Records::open(&batch, 1 << 10).unwrap() {
            let value = record.unwrap().value.unwrap().to_vec();
            assert_eq!(value[0], 0);
            let id = i32::from_be_bytes(value[1..5].try_into().unwrap());
            values.push((id, value[5..].to_vec()));
        }
    }
    values
}

#[tokio::test]
async fn a_column_more_is_another_version_of_the_schema() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let topic = client.make_topic("t", 1, &TABLE).await;
    let settings = [("tidelog.view.of", "t"), ("tidelog.view.format", "avro")];
    client.make_topic("v", -1, &settings).await;
    client.produce("t", 0, batch(&[r#"{"n":1}"#])).await;
    let before = avro_values(&client.fetch("v", 0, 0).await.records);
    let [(first, _)] = before[..] else {
        panic!("{before:?}");
    };
    assert_eq!(before, [(first, vec![2, 2])]);

    let more = AlterTableRequest {
        timeout_ms: 10_000,
        topic_id: topic,
        name: None,
        schema_id: -1,
        validate_only: false,
        changes: vec![ColumnChange {
            action: 0,
            path: text("city"),
            column_type: Some(text("string")),
            new_name: None,
        }],
    };
    assert_eq!(client.call_ext(&more).await.error_code, 0);
    client
        .produce("t", 0, batch(&[r#"{"n":2,"city":"Ulm"}"#]))
        .await;
    let after = avro_values(&client.fetch("v", 0, 0).await.records);
    let registry = broker.running().broker.registry();
    let second = registry.latest("v-value").await.unwrap().unwrap().id.0;
    assert_ne!(first, second);
    let expected = [vec![2, 2, 0], vec![2, 4, 2, 6, b'U', b'l', b'm']];
    assert_eq!(after, expected.map(|value| (second, value)));
    let image = registry.service().image();
    assert_eq!(image.subject("v-value").unwrap().latest().unwrap().0, 2);
}

#[tokio::test]
async fn a_view_ends_where_an_open_transaction_begins() {
    let broker = TestBroker::start(&[
        "offsets.topic.num.partitions=3",
        "transaction.state.log.num.partitions=3",
    ])
    .await;
    let mut client = broker.client().await;
    client.make_topic("t", 1, &TABLE).await;
    client
        .make_topic("v", -1, &[("tidelog.view.of", "t")])
        .await;
    client.produce("t", 0, batch(&[r#"{"n":1}"#])).await;
    let mut writer = Transactor::open(broker.client().await, "one", Speaks::V1).await;
    assert_eq!(writer.produce("t", 0, &[r#"{"n":2}"#]).await, 1);
    for isolation in [0, 1] {
        let request = fetch_request("v", &[(0, 0)]).with_isolation_level(isolation);
        let part = only(client.call(12, &request).await);
        assert_eq!((part.high_watermark, part.last_stable_offset), (1, 1));
        assert_eq!(values(&part.records).len(), 1);
        let request = list_request("v", 0, -1).with_isolation_level(isolation);
        let listed = client.call(7, &request).await;
        assert_eq!(listed.topics[0].partitions[0].offset, 1);
    }
    assert_eq!(
        writer.try_produce("v", 0, &[r#"{"n":3}"#]).await.0,
        ErrorCode::InvalidTopicException.code()
    );
}

#[tokio::test]
async fn a_view_is_read_as_records_only() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    client.make_topic("t", 1, &TABLE).await;
    let view = client
        .make_topic("v", -1, &[("tidelog.view.of", "t")])
        .await;
    let refused = client.produce("v", 0, batch(&["{}"])).await;
    assert_eq!(refused.error_code, ErrorCode::InvalidTopicException.code());
    let why = refused.error_message.unwrap();
    assert!(why.contains("use t,"), "{why}");
    let table = client.describe_table(view).await;
    let rows = client.columnar(&columnar(view, 0, None)).await;
    for code in [table.error_code, rows.error_code] {
        assert_eq!(code, ErrorCode::InvalidTopicException.code());
    }
    // It is there again after a restart, and has no records of its own.
    client.produce("t", 0, batch(&[r#"{"n":1}"#])).await;
    let broker = broker.restart().await;
    let mut client = broker.client().await;
    let part = client.fetch("v", 0, 0).await;
    assert_eq!(values(&part.records), [(0, r#"{"n":1}"#.to_owned())]);
}
