//! The changelog of keyed tables, as a columnar reader follows it: applied to nothing it is the table that
//! lookups answer, whatever the engine, with transactions in between, after a restart and without its index.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, RecordBatch};
use bytes::Bytes;
use support::data::{now_ms, produce_request};
use support::fuzz::Dice;
use support::group::text;
use support::table::{columnar, decode, rows};
use support::txn::*;
use support::{Client, PATIENCE, TestBroker};
use tidelog_predicate::parse;
use tidelog_protocol_ext::ext::columnar_fetch::Run;
use tidelog_protocol_ext::ext::lookup::{LookupKey, LookupRequest, MinOffset};
use tidelog_records::BatchBuilder;
use tidelog_registry::{Format, Registration};
use uuid::Uuid;

const SCHEMA: &str = r#"{"fields":[{"name":"n","type":"long"},{"name":"s","type":"string"}]}"#;

const TABLE: [(&str, &str); 3] = [
    ("tidelog.table.mode", "inline"),
    ("tidelog.table.schema", SCHEMA),
    ("tidelog.table.key", "record_key"),
];

const COLUMNS: [&str; 6] = ["_offset", "_key", "_change", "_prev_offset", "n", "s"];
const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];
const LOADING: i16 = 14;

/// A record: key and value.
type Put = (&'static str, Option<String>);

/// What a row holds.
type Held = (Option<i64>, Option<String>);

/// A row of a changelog.
#[derive(Debug, Clone, PartialEq)]
struct Change {
    offset: i64,
    key: String,
    kind: String,
    prev_offset: Option<i64>,
    held: Held,
}

fn table<'a>(set: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    TABLE.iter().chain(set).copied().collect()
}

fn put(key: &'static str, value: &str) -> Put {
    (key, Some(value.to_owned()))
}

fn fill(mut batch: BatchBuilder, records: &[Put]) -> Bytes {
    for (key, value) in records {
        let value = value.as_ref().map(String::as_bytes);
        batch
            .append(now_ms(), Some(key.as_bytes()), value, [])
            .unwrap();
    }
    batch.finish().unwrap()
}

fn changes(batches: &[RecordBatch]) -> Vec<Change> {
    let of_batch = |batch: &RecordBatch| -> Vec<Change> {
        let long = |name: &str, row: usize| {
            let column = batch.column_by_name(name).unwrap();
            let column = column.as_primitive::<Int64Type>();
            column.is_valid(row).then(|| column.value(row))
        };
        let texts = |name: &str| batch.column_by_name(name).unwrap().as_string::<i32>();
        let keys = batch.column_by_name("_key").unwrap().as_binary::<i32>();
        let (kinds, texts) = (texts("_change"), texts("s"));
        let change = |row| Change {
            offset: long("_offset", row).unwrap(),
            key: String::from_utf8(keys.value(row).to_vec()).unwrap(),
            kind: kinds.value(row).to_owned(),
            prev_offset: long("_prev_offset", row),
            held: (
                long("n", row),
                texts.is_valid(row).then(|| texts.value(row).to_owned()),
            ),
        };
        (0..batch.num_rows()).map(change).collect()
    };
    batches.iter().flat_map(of_batch).collect()
}

impl Client {
    async fn put(&mut self, topic: &str, records: &[Put]) {
        let batch = fill(BatchBuilder::new(), records);
        let answer = self.produce(topic, 0, batch).await;
        assert_eq!(answer.error_code, 0, "{answer:?}");
    }

    /// A transaction's only batch.
    async fn put_in(&mut self, txn: &Transactor, topic: &str, records: &[Put]) {
        let (id, epoch) = txn.producer;
        let batch = BatchBuilder::new().producer(id, epoch, 0).transactional();
        let request = produce_request(-1, topic, &[(0, fill(batch, records))])
            .with_transactional_id(Some(transactional_id(&txn.id)));
        let started = Instant::now();
        loop {
            let answer = self.call(12, &request).await;
            let part = &answer.responses[0].partition_responses[0];
            if part.error_code == 0 {
                return;
            }
            assert!(RETRIABLE.contains(&part.error_code), "{part:?}");
            assert!(started.elapsed() < PATIENCE, "{part:?}");
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }

    async fn changes(&mut self, topic: Uuid, from: i64, end: i64) -> Vec<Change> {
        let described = self.describe_table(topic).await;
        let request = columnar(topic, from, Some(&COLUMNS));
        let runs = self.rows_up_to(request, end).await;
        changes(&decode(&described, Some(&COLUMNS), &runs))
    }

    async fn stable_end(&mut self, topic: Uuid) -> i64 {
        self.describe_table(topic).await.partitions[0].stable_end
    }

    /// The rows of all keys, with their offsets, as of an offset or later.
    async fn looked_up(&mut self, topic: Uuid, min_offset: i64) -> BTreeMap<String, (i64, Held)> {
        const SHOWN: [&str; 4] = ["_offset", "_change", "n", "s"];
        let key = |key: &&str| LookupKey {
            partition: -1,
            key: Bytes::copy_from_slice(key.as_bytes()),
        };
        let asked = LookupRequest {
            max_wait_ms: 5_000,
            topic_id: topic,
            projection: Some(SHOWN.iter().map(|name| text(name)).collect()),
            min_offsets: Some(vec![MinOffset {
                partition: 0,
                min_offset,
            }]),
            keys: KEYS.iter().map(key).collect(),
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
        let described = self.describe_table(topic).await;
        let run = Run {
            schema_id: answer.schema_id,
            row_count: answer.row_count,
            messages: answer.messages.clone(),
            checksums: vec![0; SHOWN.len()],
            ..Run::default()
        };
        let runs: &[Run] = if answer.row_count > 0 { &[run] } else { &[] };
        let mut rows = Vec::new();
        for batch in decode(&described, Some(&SHOWN), runs) {
            let kinds = batch.column(1).as_string::<i32>();
            let numbers = batch.column(2).as_primitive::<Int64Type>();
            let texts = batch.column(3).as_string::<i32>();
            for row in 0..batch.num_rows() {
                assert_eq!(kinds.value(row), "insert");
                let n = numbers.is_valid(row).then(|| numbers.value(row));
                let s = texts.is_valid(row).then(|| texts.value(row).to_owned());
                rows.push((n, s));
            }
        }
        let mut rows = rows.into_iter();
        let keys = KEYS.iter().zip(&answer.results);
        let found = keys.filter(|(_, result)| result.found);
        let found = found.map(|(key, result)| {
            assert_eq!(result.error_code, 0);
            ((*key).to_owned(), (result.offset, rows.next().unwrap()))
        });
        found.collect()
    }
}

/// Applies changes to what was there, and is strict about it.
fn apply(table: &mut BTreeMap<String, (i64, Held)>, changes: &[Change], full: bool) {
    let mut before = None;
    for change in changes {
        let key = change.key.clone();
        let row = (change.offset, change.held.clone());
        let there = table.get(&key).cloned();
        let (was, held) = (there.as_ref().map(|row| row.0), there.map(|row| row.1));
        if full {
            assert_eq!(change.prev_offset, was, "{change:?}");
        }
        match change.kind.as_str() {
            "insert" => {
                assert_eq!(held, None, "{change:?}");
                table.insert(key, row);
            }
            "update_before" => {
                assert!(full && held == Some(change.held.clone()), "{change:?}");
                before = Some(change.offset);
            }
            "update_after" => {
                assert!(!full || before.take() == Some(change.offset), "{change:?}");
                table.insert(key, row);
            }
            "delete" => {
                assert_eq!(held, Some(change.held.clone()), "{change:?}");
                table.remove(&key);
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(before, None);
}

/// Some records of a life: deletes only where they are taken.
fn records(dice: &mut Dice, deletes: bool) -> Vec<Put> {
    let count = 1 + dice.below(4);
    let record = |_| {
        let key = KEYS[dice.below(KEYS.len())];
        let n = dice.below(20);
        match dice.below(8) {
            0 | 1 if deletes => (key, None),
            2 => put(key, &format!(r#"{{"n":{n}}}"#)),
            3 => put(key, &format!(r#"{{"s":"{n}"}}"#)),
            _ => put(key, &format!(r#"{{"n":{n},"s":"s{n}"}}"#)),
        }
    };
    (0..count).map(record).collect()
}

/// A table, and the settings that make it.
struct Case {
    name: String,
    set: Vec<(&'static str, &'static str)>,
    deletes: bool,
    full: bool,
}

const ENGINES: [(&str, &[(&str, &str)]); 5] = [
    ("last", &[]),
    ("partial", &[("tidelog.table.merge", "partial")]),
    ("first", &[("tidelog.table.merge-engine", "first_row")]),
    (
        "versioned",
        &[
            ("tidelog.table.merge-engine", "versioned"),
            ("tidelog.table.version.column", "n"),
        ],
    ),
    (
        "sums",
        &[
            ("tidelog.table.merge-engine", "aggregation"),
            ("tidelog.table.aggregates", "n:sum,s:listagg(;)"),
        ],
    ),
];

/// Every engine with every way to take deletes and both images.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (engine, set) in ENGINES {
        for deletes in ["allow", "ignore", "disable"] {
            for image in ["full", "wal"] {
                let mut set = set.to_vec();
                set.push(("tidelog.table.deletes", deletes));
                set.push(("tidelog.table.image", image));
                cases.push(Case {
                    name: format!("{engine}-{deletes}-{image}"),
                    set,
                    deletes: deletes != "disable",
                    full: image == "full",
                });
            }
        }
    }
    cases
}

/// Plain writes and transactions that end or come to nothing, some in the middle of others.
async fn live(client: &mut Client, txn: &mut Transactor, case: &Case, dice: &mut Dice) {
    for _ in 0..4 {
        client.put(&case.name, &records(dice, case.deletes)).await;
        if dice.one_in(2) {
            let some = records(dice, case.deletes);
            client.put_in(txn, &case.name, &some).await;
            client.put(&case.name, &records(dice, case.deletes)).await;
            txn.finish(!dice.one_in(3)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changelog_makes_the_table_and_comes_again_the_same() {
    let seed = std::env::var("TIDELOG_SEED").map_or(1, |seed| seed.parse().unwrap());
    let mut broker = TestBroker::start(&["offsets.topic.num.partitions=3"]).await;
    let cases = cases();
    let mut topics = Vec::new();
    let mut followed = vec![(0, Vec::new(), BTreeMap::new()); cases.len()];
    {
        let mut client = broker.client().await;
        for case in &cases {
            topics.push(client.make_topic(&case.name, 1, &table(&case.set)).await);
        }
    }
    let keep = |_: &Path| {};
    let lose_index = |dir: &Path| fs::remove_dir_all(dir.join("index")).unwrap();
    let ends: [&(dyn Fn(&Path) + Sync); 3] = [&keep, &lose_index, &keep];
    for (round, end) in ends.into_iter().enumerate() {
        let mut client = broker.client().await;
        for (at, case) in cases.iter().enumerate() {
            let what = format!("seed {seed}, round {round}, {}", case.name);
            let mut dice = Dice::new(seed * 1_000 + (round * 100 + at) as u64);
            let id = format!("txn-{at}");
            let mut txn = Transactor::open(broker.client().await, &id, Speaks::V2).await;
            live(&mut client, &mut txn, case, &mut dice).await;
            let (taken, seen, table) = &mut followed[at];
            let end = client.stable_end(topics[at]).await;
            let again = client.changes(topics[at], 0, *taken).await;
            assert!(
                again
                    .iter()
                    .take_while(|one| one.offset < *taken)
                    .eq(seen.iter()),
                "{what}: {again:?} was {seen:?}"
            );
            let news = client.changes(topics[at], *taken, end).await;
            apply(table, &news, case.full);
            seen.extend(news);
            *taken = end;
            assert_eq!(client.looked_up(topics[at], end).await, *table, "{what}");
        }
        drop(client);
        broker = match round {
            0 => broker.kill().await,
            _ => broker.restart_after(end).await,
        };
    }
}

#[tokio::test]
async fn what_is_no_row_leaves_the_changelog_too() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let topic = client.make_topic("t", 1, &table(&[])).await;
    let all = [
        put("a", r#"{"n":1}"#),
        put("a", "no row"),
        put("a", "none either"),
        put("a", r#"{"n":2}"#),
        ("a", None),
        put("b", "no row"),
        ("b", None),
    ];
    for record in &all {
        client.put("t", std::slice::from_ref(record)).await;
    }
    let shown = client.changes(topic, 0, 7).await;
    let shown: Vec<_> = shown
        .iter()
        .map(|one| (one.offset, one.kind.as_str(), one.prev_offset, one.held.0))
        .collect();
    let expected = [
        (0, "insert", None, Some(1)),
        (1, "delete", Some(0), Some(1)),
        (3, "insert", None, Some(2)),
        (4, "delete", Some(3), Some(2)),
    ];
    assert_eq!(shown, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_memory_give_the_same_changes_and_filters_skip_blocks() {
    let broker = TestBroker::start(&[
        "tidelog.memory.budget.bytes=16777216",
        "socket.request.max.bytes=4194304",
    ])
    .await;
    let mut client = broker.client().await;
    let topic = client.make_topic("t", 1, &table(&[])).await;
    // More than overlays may hold together, so files have to be written for writers to go on.
    let mut dice = Dice::new(7);
    let mut count = 0;
    for round in 0..60 {
        let mut some = Vec::new();
        for _ in 0..200 {
            let filler: String = (0..40).map(|_| format!("{:016x}", dice.next())).collect();
            let key = KEYS[dice.below(KEYS.len())];
            some.push(put(key, &format!(r#"{{"n":{count},"s":"{filler}"}}"#)));
            count += 1;
        }
        if round % 20 == 19 {
            some.push(("e", None));
            some.push(put("e", &format!(r#"{{"n":{count}}}"#)));
            count += 1;
        }
        client.put("t", &some).await;
    }
    let end = client.stable_end(topic).await;
    let described = client.describe_table(topic).await;
    assert!(described.partitions[0].rows_to > 0, "{described:?}");
    let all = client.changes(topic, 0, end).await;
    let mut made = BTreeMap::new();
    apply(&mut made, &all, true);
    assert_eq!(client.looked_up(topic, end).await, made);
    // From inside a block, both images of a change come.
    for from in [1, 777, end - 3] {
        let part = client.changes(topic, from, end).await;
        assert!(all.iter().filter(|one| one.offset >= from).eq(part.iter()));
    }
    let mut request = columnar(topic, 0, Some(&COLUMNS));
    let filter = parse("_change = 'delete'").unwrap().encode().unwrap();
    request.topics[0].filter = Some(filter.into());
    let runs = client.rows_up_to(request, end).await;
    assert_eq!(rows(&runs), 3);
    let shown = changes(&decode(&described, Some(&COLUMNS), &runs));
    assert!(
        shown
            .iter()
            .all(|one| one.kind == "delete" && one.key == "e")
    );
    // Whoever waits at the end is told of the next change, both of its rows.
    let mut waiting = columnar(topic, end, Some(&COLUMNS));
    waiting.max_wait_ms = 20_000;
    let mut other = broker.client().await;
    let write = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        other.put("t", &[put("a", r#"{"n":-1}"#)]).await;
    };
    let (answer, ()) = tokio::join!(client.rows(&waiting), write);
    assert_eq!((rows(&answer.runs), answer.next_offset), (2, end + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_follows_the_changes() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    client.make_topic("t", 1, &table(&[])).await;
    let first = [put("a", r#"{"n":1}"#), put("b", r#"{"n":2}"#)];
    client.put("t", &first).await;
    client
        .put("t", &[put("a", r#"{"n":3}"#), ("b", None)])
        .await;
    let address = broker.address().to_string();
    let reader = tidelog_client::Client::connect(&address).await.unwrap();
    let scanned = reader.table("t").await.unwrap();
    let ended = scanned
        .scan()
        .columns(COLUMNS)
        .until_end()
        .open()
        .await
        .unwrap();
    let all = all_changes(ended).await;
    let mut made = BTreeMap::new();
    apply(&mut made, &all, true);
    assert_eq!(made, [("a".to_owned(), (2, (Some(3), None)))].into());
    // Rows of one offset are not torn apart, wherever the scan begins and ends.
    for (from, end) in [(0, 3), (2, 3), (2, 4), (3, 4)] {
        let offsets = |offset| [(0, offset)].into();
        let part = scanned.scan().columns(COLUMNS).until(offsets(end));
        let part = part.from(tidelog_client::Start::Offsets(offsets(from)));
        let part = all_changes(part.open().await.unwrap()).await;
        let expected = all.iter().filter(|one| (from..end).contains(&one.offset));
        assert!(part.iter().eq(expected), "{from} to {end}: {part:?}");
    }
    // One that does not end is given what comes.
    let follower = scanned.scan().columns(COLUMNS);
    let follower = follower.from(tidelog_client::Start::Latest);
    let mut follower = follower.open().await.unwrap();
    client.put("t", &[put("a", r#"{"n":4}"#)]).await;
    let news = follower.next().await.unwrap().unwrap();
    apply(&mut made, &changes(&[news.batch]), true);
    assert_eq!(made["a"], (4, (Some(4), None)));
}

async fn all_changes(mut rows: tidelog_client::RowStream) -> Vec<Change> {
    let mut all = Vec::new();
    while let Some(rows) = rows.next().await.unwrap() {
        all.extend(changes(&[rows.batch]));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_do_not_wait_for_columns_that_nobody_knows() {
    let small = [
        "tidelog.memory.budget.bytes=16777216",
        "socket.request.max.bytes=4194304",
    ];
    let broker = TestBroker::start(&small).await;
    let mut client = broker.client().await;
    let set = [
        ("tidelog.table.mode", "value_schema_latest"),
        ("tidelog.table.key", "record_key"),
    ];
    let topic = client.make_topic("t", 1, &set).await;
    let filler = "x".repeat(500);
    let value = |n: usize| format!(r#"{{"n":{n},"s":"{filler}"}}"#);
    // More than may wait in memory.
    for round in 0..40 {
        let some: Vec<_> = (0..200)
            .map(|at| put(KEYS[at % 5], &value(round * 200 + at)))
            .collect();
        client.put("t", &some).await;
    }
    let end = client.stable_end(topic).await;
    assert_eq!(client.describe_table(topic).await.partitions[0].rows_to, 0);
    let text = r#"{"type":"object","properties":{"n":{"type":"integer"},"s":{"type":"string"}}}"#;
    let registration = Registration {
        text: text.to_owned(),
        format: Format::Json,
        references: Vec::new(),
        metadata: None,
        rule_set: None,
        id: None,
        version: None,
        normalize: false,
    };
    let registry = broker.running().broker.registry().service();
    let registered = registry.register("t-value".to_owned(), registration).await;
    registered.unwrap();
    let started = Instant::now();
    while client.describe_table(topic).await.schemas.is_empty() {
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let all = client.changes(topic, 0, end).await;
    let mut made = BTreeMap::new();
    apply(&mut made, &all, true);
    assert_eq!(all.len(), 2 * 8_000 - 5);
    assert_eq!(client.looked_up(topic, end).await, made);
}
