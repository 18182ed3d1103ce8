//! Merge engines from outside: what rows come to under each, with transactions in between, after a
//! restart and after the index was lost; and what is refused, and why.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use bytes::Bytes;
use kafka_protocol::messages::IncrementalAlterConfigsRequest;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use support::data::{now_ms, produce_request};
use support::group::text;
use support::table::decode;
use support::txn::*;
use support::{Client, PATIENCE, TestBroker};
use tidelog_protocol_ext::ext::alter_table::{ACTION_ADD, AlterTableRequest, ColumnChange};
use tidelog_protocol_ext::ext::columnar_fetch::Run;
use tidelog_protocol_ext::ext::lookup::{LookupKey, LookupRequest, LookupResponse, MinOffset};
use tidelog_records::BatchBuilder;
use uuid::Uuid;

const SCHEMA: &str = r#"{"fields":[
    {"name":"n","type":"long"},
    {"name":"s","type":"string"},
    {"name":"at","type":"timestamp(ms)"}
]}"#;

const TABLE: [(&str, &str); 3] = [
    ("tidelog.table.mode", "inline"),
    ("tidelog.table.schema", SCHEMA),
    ("tidelog.table.key", "record_key"),
];

const COLUMNS: [&str; 3] = ["_offset", "n", "s"];
const KEYS: [&str; 3] = ["a", "b", "c"];

const INVALID_RECORD: i16 = 87;
const INVALID_CONFIG: i16 = 40;
const INVALID_REQUEST: i16 = 42;
const LOADING: i16 = 14;

/// A row: its record's offset, and the columns `n` and `s`.
type Shown = (i64, Option<i64>, Option<String>);

/// A record: key, value and the columns that its header names.
type Put<'a> = (&'a str, Option<&'a str>, Option<&'a str>);

fn shown(offset: i64, n: impl Into<Option<i64>>, s: Option<&str>) -> Option<Shown> {
    Some((offset, n.into(), s.map(str::to_owned)))
}

fn engine<'a>(set: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    TABLE.iter().chain(set).copied().collect()
}

fn fill(mut batch: BatchBuilder, records: &[Put<'_>]) -> Bytes {
    for (key, value, names) in records {
        let names = names.map(|names| (&b"tidelog.columns"[..], Some(names.as_bytes())));
        let (key, value) = (Some(key.as_bytes()), value.map(str::as_bytes));
        batch.append(now_ms(), key, value, names).unwrap();
    }
    batch.finish().unwrap()
}

fn plain(records: &[Put<'_>]) -> Bytes {
    fill(BatchBuilder::new(), records)
}

/// A part of a transaction.
async fn send(client: &mut Client, txn: &Transactor, topic: &str, records: &[Put<'_>]) {
    let (id, epoch) = txn.producer;
    let batch = BatchBuilder::new().producer(id, epoch, 0).transactional();
    let request = produce_request(-1, topic, &[(0, fill(batch, records))])
        .with_transactional_id(Some(transactional_id(&txn.id)));
    let started = Instant::now();
    loop {
        let answer = client.call(12, &request).await;
        let part = &answer.responses[0].partition_responses[0];
        if part.error_code == 0 {
            return;
        }
        assert!(RETRIABLE.contains(&part.error_code), "{part:?}");
        assert!(started.elapsed() < PATIENCE, "{part:?}");
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

impl Client {
    async fn put(&mut self, topic: &str, records: &[Put<'_>]) {
        let answer = self.produce(topic, 0, plain(records)).await;
        assert_eq!(answer.error_code, 0, "{answer:?}");
    }

    /// The rows of keys once the table is open and reflects everything below an offset.
    async fn merged(&mut self, topic: Uuid, min_offset: i64, keys: &[&str]) -> Vec<Option<Shown>> {
        let key = |key: &&str| LookupKey {
            partition: -1,
            key: Bytes::copy_from_slice(key.as_bytes()),
        };
        let asked = LookupRequest {
            max_wait_ms: 5_000,
            topic_id: topic,
            projection: Some(COLUMNS.iter().map(|name| text(name)).collect()),
            min_offsets: Some(vec![MinOffset {
                partition: 0,
                min_offset,
            }]),
            keys: keys.iter().map(key).collect(),
            prefixes: Vec::new(),
        };
        let started = Instant::now();
        let answer = loop {
            let answer = self.call_ext(&asked).await;
            assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
            if answer.results.iter().all(|key| key.error_code != LOADING) {
                break answer;
            }
            assert!(started.elapsed() < PATIENCE, "{answer:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let no_faults = answer.results.iter().all(|key| key.error_code == 0);
        assert!(no_faults, "{answer:?}");
        self.rows_of(topic, &answer).await
    }

    async fn rows_of(&mut self, topic: Uuid, answer: &LookupResponse) -> Vec<Option<Shown>> {
        let table = self.describe_table(topic).await;
        let run = Run {
            schema_id: answer.schema_id,
            row_count: answer.row_count,
            messages: answer.messages.clone(),
            checksums: vec![0; COLUMNS.len()],
            ..Run::default()
        };
        let runs: &[Run] = if answer.row_count > 0 { &[run] } else { &[] };
        let mut rows = Vec::new();
        for batch in decode(&table, Some(&COLUMNS), runs) {
            let offsets = batch.column(0).as_primitive::<Int64Type>();
            let numbers = batch.column(1).as_primitive::<Int64Type>();
            let texts = batch.column(2).as_string::<i32>();
            for at in 0..batch.num_rows() {
                let n = numbers.is_valid(at).then(|| numbers.value(at));
                let s = texts.is_valid(at).then(|| texts.value(at).to_owned());
                rows.push((offsets.value(at), n, s));
            }
        }
        let mut rows = rows.into_iter();
        let of_key = answer.results.iter().map(|key| {
            let row = key.found.then(|| rows.next().unwrap());
            assert!(row.as_ref().is_none_or(|row| row.0 == key.offset));
            row
        });
        of_key.collect()
    }

    /// Code and words of the answer to setting one setting.
    async fn try_set(&mut self, topic: &str, name: &str, value: &str) -> (i16, String) {
        let config = AlterableConfig::default()
            .with_name(text(name))
            .with_value(Some(text(value)));
        let resource = AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text(topic))
            .with_configs(vec![config]);
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        let answer = self.call(1, &request).await.responses.remove(0);
        let message = answer.error_message.unwrap_or_default();
        (answer.error_code, message.to_string())
    }
}

/// One engine: its settings, what its rows are after the first records, and in the end.
struct Story<'a> {
    topic: &'a str,
    set: &'a [(&'a str, &'a str)],
    first: [Option<Shown>; 3],
    last: [Option<Shown>; 3],
}

/// The same records for every engine: offsets 0 to 3 plain, 4 and 5 of a transaction that ends at 8,
/// 6 and 7 plain behind it, 9 and 10 aborted at 11, 12 and 13 plain.
async fn tell(client: &mut Client, txn: &mut Transactor, story: &Story<'_>) -> Uuid {
    let topic = client.make_topic(story.topic, 1, &engine(story.set)).await;
    let name = story.topic;
    let first: [Put<'_>; 4] = [
        ("a", Some(r#"{"n":5,"s":"x"}"#), None),
        ("b", Some(r#"{"n":1}"#), None),
        ("a", Some(r#"{"n":3}"#), None),
        ("b", Some(r#"{"n":9,"s":"y"}"#), Some("s")),
    ];
    client.put(name, &first).await;
    let rows = client.merged(topic, 4, &KEYS).await;
    assert_eq!(rows, story.first, "{name}");
    let in_txn: [Put<'_>; 2] = [
        ("a", Some(r#"{"n":4,"s":"t"}"#), None),
        ("c", Some(r#"{"n":7,"s":"u"}"#), None),
    ];
    send(client, txn, name, &in_txn).await;
    let behind: [Put<'_>; 2] = [("a", Some(r#"{"s":"v"}"#), None), ("b", None, None)];
    client.put(name, &behind).await;
    // All of this waits for the transaction.
    let rows = client.merged(topic, 4, &KEYS).await;
    assert_eq!(rows, story.first, "{name}");
    txn.finish(true).await;
    client.merged(topic, 9, &KEYS).await;
    let aborted: [Put<'_>; 2] = [
        ("a", Some(r#"{"n":100,"s":"no"}"#), None),
        ("c", None, None),
    ];
    send(client, txn, name, &aborted).await;
    txn.finish(false).await;
    let last: [Put<'_>; 2] = [
        ("c", Some(r#"{"n":2}"#), None),
        ("a", Some(r#"{"n":6,"s":null}"#), None),
    ];
    client.put(name, &last).await;
    let rows = client.merged(topic, 14, &KEYS).await;
    assert_eq!(rows, story.last, "{name}");
    topic
}

#[tokio::test]
async fn every_engine_makes_its_rows_and_makes_them_again() {
    let stories = [
        Story {
            topic: "partial",
            set: &[("tidelog.table.merge", "partial")],
            first: [shown(2, 3, Some("x")), shown(3, 1, Some("y")), None],
            last: [shown(13, 6, None), None, shown(12, 2, Some("u"))],
        },
        Story {
            topic: "first",
            set: &[("tidelog.table.merge-engine", "first_row")],
            first: [shown(0, 5, Some("x")), shown(1, 1, None), None],
            last: [
                shown(0, 5, Some("x")),
                shown(1, 1, None),
                shown(5, 7, Some("u")),
            ],
        },
        Story {
            topic: "versioned",
            set: &[
                ("tidelog.table.merge-engine", "versioned"),
                ("tidelog.table.version.column", "n"),
                ("tidelog.table.deletes", "allow"),
            ],
            first: [shown(0, 5, Some("x")), shown(3, 9, Some("y")), None],
            last: [shown(13, 6, None), None, shown(5, 7, Some("u"))],
        },
        Story {
            topic: "sums",
            set: &[
                ("tidelog.table.merge-engine", "aggregation"),
                ("tidelog.table.aggregates", "n:sum,s:listagg(;)"),
            ],
            first: [shown(2, 8, Some("x")), shown(3, 1, Some("y")), None],
            last: [
                shown(13, 18, Some("x;t;v")),
                shown(3, 1, Some("y")),
                shown(12, 9, Some("u")),
            ],
        },
    ];
    let broker = TestBroker::start(&["offsets.topic.num.partitions=3"]).await;
    let mut client = broker.client().await;
    let mut topics = Vec::new();
    for story in &stories {
        let id = format!("txn-{}", story.topic);
        let mut txn = Transactor::open(broker.client().await, &id, Speaks::V2).await;
        topics.push(tell(&mut client, &mut txn, story).await);
    }
    let described = client.describe_table(topics[3]).await;
    assert_eq!(described.merge_engine.as_deref(), Some("aggregation"));
    let mut broker = broker;
    let keep = |_: &Path| {};
    let lose_index = |dir: &Path| fs::remove_dir_all(dir.join("index")).unwrap();
    broker = broker.kill().await;
    for change in [&keep as &dyn Fn(&Path), &lose_index, &keep] {
        let mut client = broker.client().await;
        for (story, topic) in stories.iter().zip(&topics) {
            let rows = client.merged(*topic, 14, &KEYS).await;
            assert_eq!(rows, story.last, "{}", story.topic);
        }
        broker = broker.restart_after(change).await;
    }
}

#[tokio::test]
async fn sums_outlive_the_records_they_are_made_of() {
    let set = [
        "tidelog.keyed.checkpoint.bytes=2000",
        "log.retention.check.interval.ms=100",
    ];
    let mut broker = TestBroker::start(&set).await;
    let mut client = broker.client().await;
    let sums = [
        ("tidelog.table.merge-engine", "aggregation"),
        ("tidelog.table.aggregates", "n:sum,s:last_value"),
        ("retention.bytes", "500"),
    ];
    let topic = client.make_topic("sums", 1, &engine(&sums)).await;
    let filler = "x".repeat(100);
    let started = Instant::now();
    let mut count = 0;
    loop {
        let value = format!(r#"{{"n":{count},"s":"{filler}"}}"#);
        client.put("sums", &[("a", Some(&value), None)]).await;
        count += 1;
        let log_start = client.describe_table(topic).await.partitions[0].log_start_offset;
        if log_start > 0 && count > 30 {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "retention never began");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for _ in 0..2 {
        let sum = (0..count).sum::<i64>();
        let expected = shown(count - 1, sum, Some(&filler));
        assert_eq!(client.merged(topic, count, &["a"]).await, [expected]);
        broker = broker
            .restart_after(|dir| fs::remove_dir_all(dir.join("index")).unwrap())
            .await;
        client = broker.client().await;
        let value = format!(r#"{{"n":{count},"s":"{filler}"}}"#);
        client.put("sums", &[("a", Some(&value), None)]).await;
        count += 1;
    }
}

#[tokio::test]
async fn what_an_engine_does_not_take_is_not_written() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let sums = engine(&[
        ("tidelog.table.merge-engine", "aggregation"),
        ("tidelog.table.aggregates", "n:sum"),
        ("tidelog.table.deletes", "disable"),
    ]);
    let topic = client.make_topic("sums", 1, &sums).await;
    let good = (Some(r#"{"n":1}"#), None);
    let refused: [(Option<&str>, Option<&str>, &str); 3] = [
        (Some(r#"{"n":"one"}"#), None, "schema"),
        (Some(r#"{"n":1}"#), Some("n,total"), "total"),
        (None, None, "deletes"),
    ];
    // At once, open or not.
    for (value, names, why) in refused {
        let batch = plain(&[("a", good.0, good.1), ("b", value, names)]);
        let answer = client.produce("sums", 0, batch).await;
        assert_eq!(answer.error_code, INVALID_RECORD, "{answer:?}");
        let [bad] = &answer.record_errors[..] else {
            panic!("{answer:?}")
        };
        let message = bad.batch_index_error_message.as_ref().unwrap();
        assert_eq!(bad.batch_index, 1);
        assert!(message.contains(why), "{message}");
    }
    assert_eq!(client.merged(topic, 0, &["a"]).await, [None]);
    let most = format!(r#"{{"n":{}}}"#, i64::MAX);
    client.put("sums", &[("a", Some(&most), None)]).await;
    let answer = client
        .produce("sums", 0, plain(&[("a", good.0, good.1)]))
        .await;
    assert_eq!(answer.error_code, INVALID_RECORD, "{answer:?}");
    assert_eq!(answer.record_errors[0].batch_index, 0);
    let expected = shown(0, i64::MAX, None);
    assert_eq!(client.merged(topic, 1, &["a"]).await, [expected]);
    // Sent again it would not fit, but it is in the log.
    let of_producer = BatchBuilder::new().producer(7, 0, 0);
    let batch = fill(of_producer, &[("b", Some(&most), None)]);
    for _ in 0..2 {
        let answer = client.produce("sums", 0, batch.clone()).await;
        assert_eq!(
            (answer.error_code, answer.base_offset),
            (0, 1),
            "{answer:?}"
        );
    }
    // Its columns are the ones it sums.
    let change = ColumnChange {
        action: ACTION_ADD,
        path: text("more"),
        column_type: Some(text("long")),
        new_name: None,
    };
    let alter = AlterTableRequest {
        timeout_ms: 10_000,
        topic_id: topic,
        name: None,
        schema_id: -1,
        validate_only: false,
        changes: vec![change],
    };
    let answer = client.call_ext(&alter).await;
    assert_eq!(answer.error_code, INVALID_REQUEST);
    let message = answer.error_message.unwrap();
    assert!(message.contains("merge engine"), "{message}");
}

#[tokio::test]
async fn settings_have_to_fit_the_table_and_stay() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let engines: [(&[(&str, &str)], &str); 6] = [
        (
            &[("tidelog.table.merge-engine", "versioned")],
            "version.column",
        ),
        (
            &[
                ("tidelog.table.merge-engine", "versioned"),
                ("tidelog.table.version.column", "s"),
            ],
            "int, long or timestamp",
        ),
        (
            &[
                ("tidelog.table.merge-engine", "aggregation"),
                ("tidelog.table.aggregates", "s:sum"),
            ],
            "sum does not take",
        ),
        (
            &[
                ("tidelog.table.merge-engine", "aggregation"),
                ("tidelog.table.aggregates", "m:sum"),
            ],
            "no column m",
        ),
        (
            &[
                ("tidelog.table.merge-engine", "first_row"),
                ("tidelog.table.merge", "partial"),
            ],
            "no option merge",
        ),
        (
            &[
                ("tidelog.table.merge-engine", "first_row"),
                ("cleanup.policy", "compact"),
            ],
            "cleanup.policy",
        ),
    ];
    for (set, why) in engines {
        let answer = client.try_make_topic("bad", 1, &engine(set)).await;
        assert_eq!(answer.error_code, INVALID_CONFIG, "{set:?}");
        let message = answer.error_message.unwrap();
        assert!(message.contains(why), "{message}");
    }
    let bytes = [
        ("tidelog.table.mode", "key_value"),
        ("tidelog.table.key", "record_key"),
        ("tidelog.table.merge", "partial"),
    ];
    let answer = client.try_make_topic("bad", 1, &bytes).await;
    assert_eq!(answer.error_code, INVALID_CONFIG);
    assert!(answer.error_message.unwrap().contains("inline"));
    let rows = [
        bytes[0],
        bytes[1],
        ("tidelog.table.merge-engine", "first_row"),
    ];
    client.make_topic("rows", 1, &rows).await;
    for (name, value, why) in [
        ("tidelog.table.merge-engine", "last_row", "make a new topic"),
        ("tidelog.table.deletes", "allow", "make a new topic"),
        ("cleanup.policy", "compact", "cleanup.policy"),
    ] {
        let (code, message) = client.try_set("rows", name, value).await;
        assert_eq!(code, INVALID_CONFIG, "{message}");
        assert!(message.contains(why), "{message}");
    }
}
