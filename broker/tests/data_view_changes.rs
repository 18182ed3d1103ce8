//! Views of a keyed table's changes, in Debezium's envelope: every record that changed something, where it
//! stands; what a filter makes of it; what is refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::FetchRequest;
use serde_json::{Value, json};
use support::data::*;
use support::txn::{RETRIABLE, Speaks, Transactor, transactional_id};
use support::{Client, PATIENCE, TestBroker};
use tidelog_records::{BatchBuilder, Records};

const SCHEMA: &str = r#"{"fields":[{"name":"n","type":"long"},{"name":"s","type":"string"}]}"#;
const TABLE: [(&str, &str); 3] = [
    ("tidelog.table.mode", "inline"),
    ("tidelog.table.schema", SCHEMA),
    ("tidelog.table.key", "record_key"),
];
const VIEW: [(&str, &str); 2] = [
    ("tidelog.view.of", "t"),
    ("tidelog.view.format", "debezium-json"),
];
const INVALID_TOPIC: i16 = 17;

type Put<'a> = (&'a str, Option<&'a str>);

fn fill(mut batch: BatchBuilder, records: &[Put<'_>]) -> Bytes {
    for (key, value) in records {
        let value = value.map(str::as_bytes);
        let headers = [(&b"h"[..], Some(&b"v"[..]))];
        batch
            .append(1_234, Some(key.as_bytes()), value, headers)
            .unwrap();
    }
    batch.finish().unwrap()
}

/// A record of a view: offset, key, and its value without what says where it stands.
type Shown = (i64, String, Value);

fn shown(records: &Option<Bytes>) -> Vec<Shown> {
    let mut all = Vec::new();
    for batch in batches(records) {
        let opened = Records::open(&batch, 1 << 20).unwrap();
        if opened.header().is_control() {
            continue;
        }
        for record in &opened {
            let record = record.unwrap();
            assert_eq!(record.headers.clone().count(), 1);
            assert_eq!(record.timestamp, 1_234);
            let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
            let mut value: Value = serde_json::from_slice(record.value.unwrap()).unwrap();
            let members = value.as_object_mut().unwrap();
            let source = members.remove("source").unwrap();
            let expected = json!({"connector": "tidelog", "table": "t", "partition": 0,
                "offset": record.offset, "ts_ms": 1_234});
            assert_eq!(source, expected);
            assert_eq!(members.remove("ts_ms"), Some(json!(1_234)));
            all.push((record.offset, key, value));
        }
    }
    all
}

impl Client {
    async fn put(&mut self, records: &[Put<'_>]) {
        let batch = fill(BatchBuilder::new(), records);
        let answer = self.produce("t", 0, batch).await;
        assert_eq!(answer.error_code, 0, "{answer:?}");
    }

    /// What a view shows from an offset up to an end, once rows are built so far.
    async fn shown(&mut self, view: &str, from: i64, end: i64) -> Vec<Shown> {
        let started = Instant::now();
        let mut all: Vec<Shown> = Vec::new();
        let mut at = from;
        while at < end {
            let request = fetch_request(view, &[(0, at)]).with_max_wait_ms(100);
            let part = only(self.call::<FetchRequest>(12, &request).await);
            assert_eq!(part.error_code, 0, "{part:?}");
            let some = shown(&part.records);
            all.extend(some.into_iter().filter(|one| one.0 >= at));
            let last = batches(&part.records).last().cloned();
            let last = last.map(|batch| {
                Records::open(&batch, 1 << 20)
                    .unwrap()
                    .header()
                    .last_offset()
            });
            at = last.map_or(at, |last| last + 1);
            assert!(started.elapsed() < PATIENCE, "stuck at {at}");
        }
        all
    }
}

fn event(offset: i64, key: &str, op: &str, before: Value, after: Value) -> Shown {
    let value = json!({"before": before, "after": after, "op": op});
    (offset, key.to_owned(), value)
}

fn row(n: i64, s: &str) -> Value {
    json!({"n": n, "s": s})
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_stand_where_their_records_do() {
    let broker = TestBroker::start(&["offsets.topic.num.partitions=3"]).await;
    let mut client = broker.client().await;
    client.make_topic("t", 1, &TABLE).await;
    client.make_topic("v", -1, &VIEW).await;
    let big = [VIEW[0], VIEW[1], ("tidelog.view.filter", "n > 5")];
    client.make_topic("big", -1, &big).await;
    let narrow = [VIEW[0], VIEW[1], ("tidelog.view.columns", "n")];
    client.make_topic("narrow", -1, &narrow).await;
    let first = [
        ("a", Some(r#"{"n":1,"s":"x"}"#)),
        ("b", Some(r#"{"n":9,"s":"y"}"#)),
    ];
    client.put(&first).await;
    // 2 and 3 are aborted at 4.
    let mut txn = Transactor::open(broker.client().await, "one", Speaks::V2).await;
    let (id, epoch) = txn.producer;
    let batch = BatchBuilder::new().producer(id, epoch, 0).transactional();
    let request = produce_request(-1, "t", &[(0, fill(batch, &first))])
        .with_transactional_id(Some(transactional_id("one")));
    loop {
        let answer = client.call(12, &request).await;
        let code = answer.responses[0].partition_responses[0].error_code;
        if code == 0 {
            break;
        }
        assert!(RETRIABLE.contains(&code));
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    txn.finish(false).await;
    let second = [
        ("a", Some(r#"{"n":8,"s":"x"}"#)), // 5
        ("c", None),
        ("b", Some("no row")), // 7
        ("a", Some(r#"{"n":2,"s":"z"}"#)),
        ("b", Some(r#"{"n":7,"s":"y"}"#)),
    ];
    client.put(&second).await;
    client.put(&[("a", None)]).await; // 10
    let null = Value::Null;
    let all = [
        event(0, "a", "c", null.clone(), row(1, "x")),
        event(1, "b", "c", null.clone(), row(9, "y")),
        event(5, "a", "u", row(1, "x"), row(8, "x")),
        event(7, "b", "d", row(9, "y"), null.clone()),
        event(8, "a", "u", row(8, "x"), row(2, "z")),
        event(9, "b", "c", null.clone(), row(7, "y")),
        event(10, "a", "d", row(2, "z"), null.clone()),
    ];
    let filtered = [
        all[1].clone(),
        event(5, "a", "c", null.clone(), row(8, "x")),
        all[3].clone(),
        event(8, "a", "d", row(8, "x"), null.clone()),
        all[5].clone(),
    ];
    let mut broker = broker;
    for _ in 0..2 {
        assert_eq!(client.shown("v", 0, 11).await, all);
        assert_eq!(client.shown("v", 6, 11).await, all[3..]);
        assert_eq!(client.shown("big", 0, 11).await, filtered);
        let narrow = client.shown("narrow", 0, 2).await;
        assert_eq!(narrow[0], event(0, "a", "c", null.clone(), json!({"n": 1})));
        drop(client);
        broker = broker.restart().await;
        client = broker.client().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_life_is_shown_whole_from_files_and_memory() {
    let small = [
        "tidelog.memory.budget.bytes=16777216",
        "socket.request.max.bytes=4194304",
    ];
    let broker = TestBroker::start(&small).await;
    let mut client = broker.client().await;
    let topic = client.make_topic("t", 1, &TABLE).await;
    client.make_topic("v", -1, &VIEW).await;
    let filler = "x".repeat(500);
    let value = |n: usize| format!(r#"{{"n":{n},"s":"{filler}"}}"#);
    let (batches, size) = (40, 200);
    for batch in 0..batches {
        let values: Vec<_> = (0..size).map(|at| value(batch * size + at)).collect();
        let keys: Vec<_> = (0..size).map(|at| format!("k{}", at % 7)).collect();
        let records: Vec<Put<'_>> = keys
            .iter()
            .zip(&values)
            .map(|(key, value)| (key.as_str(), Some(value.as_str())))
            .collect();
        client.put(&records).await;
    }
    let count = (batches * size) as i64;
    let all = client.shown("v", 0, count).await;
    assert!(client.describe_table(topic).await.partitions[0].rows_to > 0);
    assert_eq!(all.len() as i64, count);
    for (at, (offset, _, value)) in all.iter().enumerate() {
        assert_eq!((*offset, &value["after"]["n"]), (at as i64, &json!(at)));
        let before = (at >= 7).then(|| (at / size * size, at % size));
        if let Some((base, within)) = before.filter(|(_, within)| *within >= 7) {
            assert_eq!(value["before"]["n"], json!(base + within - 7));
        }
    }
}

#[tokio::test]
async fn what_has_no_changes_to_show_has_no_such_view() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    client.make_topic("t", 1, &TABLE[..2]).await;
    let answer = client.try_make_topic("v", -1, &VIEW).await;
    let why = answer.error_message.unwrap();
    assert!(why.contains("record_key"), "{why}");
    let wal = [TABLE[0], TABLE[1], TABLE[2], ("tidelog.table.image", "wal")];
    client.make_topic("w", 1, &wal).await;
    let of_wal = [("tidelog.view.of", "w"), VIEW[1]];
    let answer = client.try_make_topic("v", -1, &of_wal).await;
    let why = answer.error_message.unwrap();
    assert!(why.contains("image=full"), "{why}");
    // As JSON the records are shown, and what happened is no column of them.
    client.make_topic("json", -1, &of_wal[..1]).await;
    let of_change = [of_wal[0], ("tidelog.view.filter", "_change = 'insert'")];
    let answer = client.try_make_topic("v", -1, &of_change).await;
    assert_ne!(answer.error_code, 0);
    let refused = client.produce("json", 0, batch(&["{}"])).await;
    assert_eq!(refused.error_code, INVALID_TOPIC);
}
