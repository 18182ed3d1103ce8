//! Keyed tables: what was acknowledged is found at once, what may not be there is refused with what
//! to do about it, and the index may vanish.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use bytes::Bytes;
use support::data::{now_ms, produce_request};
use support::group::text;
use support::table::{columnar, decode};
use support::{Client, PATIENCE, TestBroker};
use tidelog_keyed::partitioner::Rule;
use tidelog_protocol_ext::ext::columnar_fetch::Run;
use tidelog_protocol_ext::ext::describe_table::Table;
use tidelog_protocol_ext::ext::lookup::{LookupKey, LookupRequest, LookupResponse, MinOffset};
use tidelog_records::BatchBuilder;
use uuid::Uuid;

const KEY_VALUE: [(&str, &str); 2] = [
    ("tidelog.table.mode", "key_value"),
    ("tidelog.table.key", "record_key"),
];

const INVALID_RECORD: i16 = 87;
const INVALID_REQUEST: i16 = 42;
const INVALID_CONFIG: i16 = 40;
const TIMED_OUT: i16 = 7;
const LOADING: i16 = 14;

fn records(records: &[(Option<&str>, Option<&str>)]) -> Bytes {
    let mut batch = BatchBuilder::new();
    for (key, value) in records {
        let (key, value) = (key.map(str::as_bytes), value.map(str::as_bytes));
        batch.append(now_ms(), key, value, []).unwrap();
    }
    batch.finish().unwrap()
}

fn put(key: &str, value: &str) -> Bytes {
    records(&[(Some(key), Some(value))])
}

fn lookup(topic_id: Uuid, columns: Option<&[&str]>, keys: &[&str]) -> LookupRequest {
    LookupRequest {
        max_wait_ms: 0,
        topic_id,
        projection: columns.map(|names| names.iter().map(|name| text(name)).collect()),
        min_offsets: None,
        keys: keys
            .iter()
            .map(|key| LookupKey {
                partition: -1,
                key: Bytes::copy_from_slice(key.as_bytes()),
            })
            .collect(),
        prefixes: Vec::new(),
    }
}

impl Client {
    /// The answer once no key's index is being loaded.
    async fn lookup(&mut self, request: &LookupRequest) -> LookupResponse {
        let started = Instant::now();
        loop {
            let answer = self.call_ext(request).await;
            assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
            if answer.results.iter().all(|key| key.error_code != LOADING) {
                return answer;
            }
            assert!(started.elapsed() < PATIENCE, "{answer:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Values by key of a key_value table.
    async fn values(&mut self, topic: Uuid, keys: &[&str]) -> BTreeMap<String, String> {
        let answer = self.lookup(&lookup(topic, Some(&["value"]), keys)).await;
        let table = self.describe_table(topic).await;
        let mut values = shown(&table, &answer).into_iter();
        let found = keys
            .iter()
            .zip(&answer.results)
            .filter(|(_, result)| result.found);
        let found: BTreeMap<_, _> = found
            .map(|(key, _)| ((*key).to_owned(), values.next().unwrap()))
            .collect();
        assert_eq!(values.next(), None);
        found
    }

    async fn put(&mut self, topic: &str, partition: i32, key: &str, value: &str) -> i64 {
        let answer = self.produce(topic, partition, put(key, value)).await;
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        answer.base_offset
    }
}

/// The answer's rows, as a fetch would have given them.
fn run(answer: &LookupResponse, columns: usize) -> Vec<Run> {
    if answer.messages.is_empty() {
        return Vec::new();
    }
    vec![Run {
        schema_id: answer.schema_id,
        row_count: answer.row_count,
        messages: answer.messages.clone(),
        checksums: vec![0; columns],
        ..Run::default()
    }]
}

fn shown(table: &Table, answer: &LookupResponse) -> Vec<String> {
    let batches = decode(table, Some(&["value"]), &run(answer, 1));
    let texts = batches.iter().flat_map(|batch| {
        let values = batch.column(0).as_binary::<i32>();
        (0..batch.num_rows()).map(|at| String::from_utf8(values.value(at).to_vec()).unwrap())
    });
    texts.collect()
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

#[tokio::test]
async fn what_was_acknowledged_is_found_at_once() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let topic = client.make_topic("prices", 1, &KEY_VALUE).await;
    client.put("prices", 0, "a", "1").await;
    assert_eq!(client.values(topic, &["a", "b"]).await, map(&[("a", "1")]));
    // From here on the table is open: no answer may say otherwise.
    for round in 0..50 {
        let value = round.to_string();
        let offset = client.put("prices", 0, "a", &value).await;
        let answer = client
            .call_ext(&lookup(topic, Some(&["value"]), &["a"]))
            .await;
        let [result] = &answer.results[..] else {
            panic!("{answer:?}")
        };
        assert_eq!(
            (result.error_code, result.found, result.offset),
            (0, true, offset)
        );
        assert_eq!(answer.partitions[0].reflected_offset, offset + 1);
        assert_eq!(client.values(topic, &["a"]).await, map(&[("a", &value)]));
    }
    let tombstone = records(&[(Some("a"), None), (Some("b"), Some("2"))]);
    assert_eq!(client.produce("prices", 0, tombstone).await.error_code, 0);
    assert_eq!(
        client.values(topic, &["b", "a", "b"]).await,
        map(&[("b", "2")])
    );
    // Written without waiting for the disk, and without anybody to fold it.
    client
        .send(12, &produce_request(0, "prices", &[(0, put("c", "3"))]))
        .await;
    let end = 54;
    let request = LookupRequest {
        max_wait_ms: 10_000,
        min_offsets: Some(vec![MinOffset {
            partition: 0,
            min_offset: end,
        }]),
        ..lookup(topic, Some(&["value"]), &["c"])
    };
    let mut other = broker.client().await;
    let answer = other.lookup(&request).await;
    assert_eq!(answer.partitions[0].reflected_offset, end);
    assert_eq!((answer.row_count, answer.results[0].offset), (1, end - 1));
}

#[tokio::test]
async fn rows_come_in_the_order_of_the_keys_with_the_columns_asked_for() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let schema = r#"{"fields":[{"name":"id","type":"long"},{"name":"city","type":"string"}]}"#;
    let set = [
        ("tidelog.table.mode", "inline"),
        ("tidelog.table.schema", schema),
        ("tidelog.table.key", "record_key"),
        ("tidelog.partitioner", "crc32"),
    ];
    let topic = client.make_topic("people", 4, &set).await;
    for id in 0..40 {
        let key = format!("k{id}");
        let value = format!(r#"{{"id":{id},"city":"c{id}"}}"#);
        let partition = Rule::Crc32.partition(key.as_bytes(), 4);
        client.put("people", partition, &key, &value).await;
    }
    let bad = Rule::Crc32.partition(b"bad", 4);
    client.put("people", bad, "bad", "{").await;
    let keys = ["k17", "nobody", "k3", "bad", "k39", "k3", "k0"];
    let columns = ["_partition", "id"];
    let answer = client.lookup(&lookup(topic, Some(&columns), &keys)).await;
    let table = client.describe_table(topic).await;
    assert_eq!(table.partitioner.as_deref(), Some("crc32"));
    let rows = decode(&table, Some(&columns), &run(&answer, 2)).remove(0);
    assert_eq!(
        rows.column(1).as_primitive::<Int64Type>().values(),
        &[17, 3, 39, 3, 0]
    );
    let found: Vec<_> = answer
        .results
        .iter()
        .map(|key| (key.found, key.error_code))
        .collect();
    let (yes, no, fault) = ((true, 0), (false, 0), (false, INVALID_RECORD));
    assert_eq!(found, [yes, no, yes, fault, yes, yes, yes]);
    assert_eq!(answer.row_count, 5);
    // Only whether they are there.
    let answer = client.lookup(&lookup(topic, Some(&[]), &keys)).await;
    assert!(answer.messages.is_empty());
    assert_eq!(answer.row_count, 6);
    let unknown = client
        .call_ext(&lookup(topic, Some(&["town"]), &keys))
        .await;
    assert_eq!(unknown.error_code, INVALID_REQUEST);
    assert!(unknown.error_message.unwrap().contains("town"));
    // Whoever reads columns by offset reads on.
    let fetched = client
        .rows_up_to(columnar(topic, 0, Some(&["id"])), 1)
        .await;
    assert!(fetched.iter().map(|run| run.row_count).sum::<i32>() > 0);
}

#[tokio::test]
async fn a_record_without_a_key_or_in_the_wrong_partition_is_refused() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let topic = client.make_topic("prices", 5, &KEY_VALUE).await;
    let keyless = records(&[(Some("a"), Some("1")), (None, Some("2"))]);
    let refused = client
        .produce("prices", 0, records(&[(None, Some("2"))]))
        .await;
    assert_eq!(refused.error_code, INVALID_RECORD);
    let rule = Rule::Fnv1a;
    let partition = rule.partition(b"a", 5);
    let refused = client.produce("prices", partition, keyless).await;
    assert_eq!(refused.error_code, INVALID_RECORD);
    assert_eq!(refused.record_errors[0].batch_index, 1);
    let message = refused.error_message.unwrap();
    assert!(message.contains("needs a key"), "{message}");
    // The first records settle the rule; another client's are told what to set.
    let keys: Vec<_> = (0..30).map(|n| format!("key-{n}")).collect();
    for key in &keys {
        client
            .put("prices", rule.partition(key.as_bytes(), 5), key, "v")
            .await;
    }
    let elsewhere = |key: &&String| {
        Rule::Murmur2.partition(key.as_bytes(), 5) != rule.partition(key.as_bytes(), 5)
    };
    let key = keys.iter().find(elsewhere).unwrap();
    let wrong = Rule::Murmur2.partition(key.as_bytes(), 5);
    let refused = client.produce("prices", wrong, put(key, "w")).await;
    assert_eq!(refused.error_code, INVALID_RECORD);
    let message = refused.error_message.unwrap();
    assert!(message.contains("fnv1a"), "{message}");
    assert!(
        message.contains("tidelog.partitioner=explicit"),
        "{message}"
    );
    let table = client.describe_table(topic).await;
    assert_eq!(table.partitioner.as_deref(), Some("fnv1a"));
    let all: Vec<_> = keys.iter().map(String::as_str).collect();
    assert_eq!(client.values(topic, &all).await.len(), keys.len());
    let broker = broker.restart().await;
    let mut client = broker.client().await;
    let refused = client.produce("prices", wrong, put(key, "w")).await;
    assert_eq!(refused.error_code, INVALID_RECORD);
    assert_eq!(client.values(topic, &all).await.len(), keys.len());
}

#[tokio::test]
async fn requests_that_cannot_be_answered_say_why() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let plain = client.make_topic("plain", 1, &[]).await;
    let answer = client.call_ext(&lookup(plain, None, &["a"])).await;
    assert_eq!(answer.error_code, INVALID_REQUEST);
    assert!(answer.error_message.unwrap().contains("record_key"));

    let set = [
        KEY_VALUE[0],
        KEY_VALUE[1],
        ("tidelog.partitioner", "explicit"),
    ];
    let topic = client.make_topic("explicit", 3, &set).await;
    client.put("explicit", 2, "a", "1").await;
    let mut request = lookup(topic, None, &["a", "a", "a", "a"]);
    for (key, partition) in request.keys.iter_mut().zip([2, -1, 1, 7]) {
        key.partition = partition;
    }
    let answer = client.lookup(&request).await;
    let codes: Vec<_> = answer
        .results
        .iter()
        .map(|key| (key.error_code, key.found))
        .collect();
    let bad = (INVALID_REQUEST, false);
    assert_eq!(codes, [(0, true), bad, (0, false), bad]);

    request.keys.truncate(1);
    request.max_wait_ms = 50;
    request.min_offsets = Some(vec![MinOffset {
        partition: 2,
        min_offset: 2,
    }]);
    let answer = client.call_ext(&request).await;
    assert_eq!(
        (answer.results[0].error_code, answer.row_count),
        (TIMED_OUT, 0)
    );

    let columns = [
        ("tidelog.table.mode", "inline"),
        (
            "tidelog.table.schema",
            r#"{"fields":[{"name":"id","type":"long"}]}"#,
        ),
        ("tidelog.table.key", "id"),
    ];
    let refused = client.try_make_topic("columns", 1, &columns).await;
    assert_eq!(refused.error_code, INVALID_CONFIG);
    assert!(refused.error_message.unwrap().contains("record_key"));
}

#[tokio::test]
async fn the_index_is_lost_after_retention_and_the_table_is_the_same() {
    let set = [
        "tidelog.keyed.checkpoint.bytes=2000",
        "log.retention.check.interval.ms=100",
    ];
    let mut broker = TestBroker::start(&set).await;
    let mut client = broker.client().await;
    let retention = [KEY_VALUE[0], KEY_VALUE[1], ("retention.bytes", "500")];
    let topic = client.make_topic("prices", 1, &retention).await;
    // Found only once, at the very beginning of the log.
    client.put("prices", 0, "first", "kept").await;
    let mut expected = map(&[("first", "kept")]);
    let started = Instant::now();
    let mut round = 0;
    let log_start = loop {
        let key = format!("k{}", round % 7);
        let value = format!("{round} {}", "x".repeat(100));
        client.put("prices", 0, &key, &value).await;
        expected.insert(key, value);
        round += 1;
        let log_start = client.describe_table(topic).await.partitions[0].log_start_offset;
        if log_start > 0 && round > 30 {
            break log_start;
        }
        assert!(started.elapsed() < PATIENCE, "retention never began");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let keys: Vec<_> = expected.keys().cloned().collect();
    let keys: Vec<_> = keys.iter().map(String::as_str).collect();
    assert_eq!(client.values(topic, &keys).await, expected);
    let lose_index = |dir: &Path| fs::remove_dir_all(dir.join("index")).unwrap();
    let keep = |_: &Path| {};
    let newest_is_rotten = |dir: &Path| {
        let files = fs::read_dir(dir.join("checkpoints")).unwrap();
        let newest = files
            .map(|file| file.unwrap())
            .max_by_key(|file| file.metadata().unwrap().modified().unwrap());
        let path = newest.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
        fs::remove_dir_all(dir.join("index")).unwrap();
    };
    for change in [
        &keep as &dyn Fn(&Path),
        &lose_index,
        &newest_is_rotten,
        &lose_index,
    ] {
        broker = broker.restart_after(change).await;
        client = broker.client().await;
        assert_eq!(client.values(topic, &keys).await, expected);
        let table = client.describe_table(topic).await;
        assert!(table.partitions[0].log_start_offset >= log_start);
        client.put("prices", 0, "k0", "new").await;
        expected.insert("k0".to_owned(), "new".to_owned());
        assert_eq!(client.values(topic, &keys).await, expected);
    }
    // DeleteRecords goes no further than the table can do without.
    let partition = broker.running().broker.log().partition(topic, 0).unwrap();
    let end = partition.marks().stable_end;
    assert!(partition.delete_records(end).unwrap() < end);
    client.delete_topic("prices").await;
    assert_eq!(
        client
            .call_ext(&lookup(topic, None, &keys))
            .await
            .error_code,
        100
    );
}

#[tokio::test]
async fn a_killed_broker_finds_everything_again() {
    let mut broker = TestBroker::start(&[]).await;
    let mut topic = Uuid::nil();
    let mut expected = BTreeMap::new();
    for life in 0..4 {
        let mut client = broker.client().await;
        if life == 0 {
            topic = client.make_topic("prices", 1, &KEY_VALUE).await;
        }
        for n in 0..20 {
            let (key, value) = (format!("k{}", (n * 7 + life) % 31), format!("{life}-{n}"));
            client.put("prices", 0, &key, &value).await;
            expected.insert(key, value);
        }
        let keys: Vec<_> = expected.keys().map(String::as_str).collect();
        assert_eq!(client.values(topic, &keys).await, expected);
        drop(client);
        broker = broker.kill().await;
    }
    let keys: Vec<_> = expected.keys().map(String::as_str).collect();
    let mut client = broker.client().await;
    assert_eq!(client.values(topic, &keys).await, expected);
}
