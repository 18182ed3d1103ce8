//! Columns of records as they are: topics that are no table, key_value tables, and records that
//! are no rows.

mod support;

use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use support::data::{batch, values};
use support::table::{columnar, decode};
use support::{PATIENCE, TestBroker};
use tidelog_protocol_ext::ext::columnar_fetch::Run;

fn rows(runs: &[Run]) -> i32 {
    runs.iter().map(|run| run.row_count).sum()
}

#[tokio::test]
async fn every_topic_has_key_and_value_as_columns() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    for (name, set) in [
        ("plain", &[][..]),
        ("pairs", &[("tidelog.table.mode", "key_value")][..]),
    ] {
        let topic = client.make_topic(name, 1, set).await;
        client
            .produce(name, 0, batch(&["a", "b", "not json"]))
            .await;
        let table = client.describe_table(topic).await;
        assert_eq!((table.current_schema_id, table.schemas.len()), (0, 1));
        assert_eq!(&table.mode[..] == "disabled", name == "plain");
        let columns = ["value", "_offset"];
        let runs = client
            .rows_up_to(columnar(topic, 1, Some(&columns)), 3)
            .await;
        let batches = decode(&table, Some(&columns), &runs);
        let mut found = Vec::new();
        for batch in &batches {
            let offsets = batch.column(0).as_primitive::<Int64Type>();
            let texts = batch.column(1).as_binary::<i32>();
            found.extend((0..batch.num_rows()).map(|at| {
                (
                    offsets.value(at),
                    String::from_utf8(texts.value(at).to_vec()).unwrap(),
                )
            }));
        }
        assert_eq!(found, [(1, "b".to_owned()), (2, "not json".to_owned())]);
        let all = client.rows_up_to(columnar(topic, 0, None), 3).await;
        assert_eq!(decode(&table, None, &all)[0].num_columns(), 7);
    }
}

#[tokio::test]
async fn a_reader_of_a_plain_topic_waits_for_records() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let topic = client.make_topic("plain", 1, &[]).await;
    let mut reader = broker.client().await;
    let mut request = columnar(topic, 0, Some(&["value"]));
    request.max_wait_ms = 15_000;
    let waiting = tokio::spawn(async move { reader.rows(&request).await });
    client.produce("plain", 0, batch(&["a", "b"])).await;
    let found = waiting.await.unwrap();
    assert_eq!((rows(&found.runs), found.next_offset), (2, 2));
}

#[tokio::test]
async fn records_that_are_no_rows_are_answered_for_and_kept() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let set = [
        ("tidelog.table.mode", "inline"),
        (
            "tidelog.table.schema",
            r#"{"fields":[{"name":"id","type":"long"}]}"#,
        ),
    ];
    let topic = client.make_topic("orders", 1, &set).await;
    let bad = ["{", r#"{"id":"seven"}"#];
    // Nothing but bad ones: no row, yet the offset moves on.
    client.produce("orders", 0, batch(&bad)).await;
    let mut request = columnar(topic, 0, Some(&["id"]));
    request.max_wait_ms = 10_000;
    let nothing = client.rows(&request).await;
    assert_eq!((nothing.runs.len(), nothing.next_offset), (0, 2));
    let mixed = [r#"{"id":2}"#, "[]", r#"{"id":4}"#, "5"];
    client.produce("orders", 0, batch(&mixed)).await;
    let columns = ["_offset", "id"];
    let runs = client
        .rows_up_to(columnar(topic, 0, Some(&columns)), 6)
        .await;
    let table = client.describe_table(topic).await;
    let mut offsets = Vec::new();
    for batch in decode(&table, Some(&columns), &runs) {
        offsets.extend_from_slice(batch.column(0).as_primitive::<Int64Type>().values());
        assert_eq!(
            batch.column(0).as_primitive::<Int64Type>().values(),
            batch.column(1).as_primitive::<Int64Type>().values()
        );
    }
    assert_eq!(offsets, [2, 4]);
    assert_eq!(table.partitions[0].row_count, 2);
    let kept = values(&client.fetch("orders", 0, 0).await.records);
    let expected: Vec<_> = bad.iter().chain(&mixed).map(|v| (*v).to_owned()).collect();
    let kept: Vec<_> = kept.into_iter().map(|(_, value)| value).collect();
    assert_eq!(kept, expected);
    let metrics = broker.running().broker.metrics();
    assert_eq!(metrics.records_undecodable.get(), 4);
    assert_eq!(broker.running().broker.rows().lag(0).records, 0);
}

#[tokio::test]
async fn rows_that_wait_before_a_bad_record_hold_no_reader_up() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let set = [
        ("tidelog.table.mode", "inline"),
        (
            "tidelog.table.schema",
            r#"{"fields":[{"name":"id","type":"long"}]}"#,
        ),
        ("tidelog.table.invalid.records", "suspend"),
    ];
    let topic = client.make_topic("orders", 1, &set).await;
    let mixed = [r#"{"id":0}"#, "[]", r#"{"id":2}"#, "5", r#"{"id":4}"#];
    client.produce("orders", 0, batch(&mixed)).await;
    let runs = client
        .rows_up_to(columnar(topic, 0, Some(&["id"])), 5)
        .await;
    assert_eq!(rows(&runs), 3);
    // They end before the record at offset 1, until it need not be one of them.
    let lag = || broker.running().broker.rows().lag(0).records;
    let started = Instant::now();
    while lag() != 4 {
        assert!(started.elapsed() < PATIENCE, "{}", lag());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let metrics = broker.running().broker.metrics();
    assert_eq!(metrics.records_undecodable.get(), 0);
    let invalid = "tidelog.table.invalid.records";
    client.set_config("orders", invalid, "drop").await;
    while lag() != 0 {
        assert!(started.elapsed() < PATIENCE, "{}", lag());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(metrics.records_undecodable.get(), 2);
    let again = client
        .rows_up_to(columnar(topic, 0, Some(&["id"])), 5)
        .await;
    assert_eq!(rows(&again), 3);
}
