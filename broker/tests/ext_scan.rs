//! Scans, totals and prefix lookups of keyed tables against a model, while writers go on.
//!
//! The model is the list of writes of each partition: folded up to an offset it is the table that an
//! answer must show, which says what offset that is.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::time::Instant;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use bytes::Bytes;
use support::data::now_ms;
use support::fuzz::Dice;
use support::group::text;
use support::table::{decode_messages, decode_stream};
use support::{Client, PATIENCE, TestBroker};
use tidelog_keyed::partitioner::Rule;
use tidelog_keyed::scan::Cursor;
use tidelog_predicate::parse;
use tidelog_protocol_ext::ext::describe_table::{self, Table};
use tidelog_protocol_ext::ext::lookup::{LookupPrefix, LookupRequest, PrefixResult};
use tidelog_protocol_ext::ext::scan::{self, ScanPartition, ScanRequest, ScanResponse, ScanTotal};
use tidelog_records::BatchBuilder;
use uuid::Uuid;

const SCHEMA: &str = r#"{"fields":[
    {"name":"id","type":"long","nullable":false},
    {"name":"city","type":"string"},
    {"name":"price","type":"decimal(12,2)"},
    {"name":"score","type":"double"},
    {"name":"seen","type":{"struct":[{"name":"times","type":"long"}]}}
]}"#;

const PARTITIONS: i32 = 3;
const TOPIC: &str = "items";

const INVALID_REQUEST: i16 = 42;
const SNAPSHOT_GONE: i16 = 70;

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Item {
    id: i64,
    /// In hundredths.
    price: Option<i64>,
    score: f64,
}

impl Item {
    fn roll(dice: &mut Dice) -> Self {
        let id = i64::try_from(dice.below(1_000)).unwrap();
        let price = i64::try_from(dice.below(100_000)).unwrap() - 50_000;
        Self {
            id,
            price: (!dice.one_in(4)).then_some(price),
            score: dice.below(64) as f64 / 4.0,
        }
    }

    fn json(self) -> String {
        let price = self.price.map_or("null".to_owned(), |price| {
            let sign = if price < 0 { "-" } else { "" };
            let price = price.abs();
            format!("\"{sign}{}.{:02}\"", price / 100, price % 100)
        });
        let Self { id, score, .. } = self;
        let city = id % 5;
        format!(
            r#"{{"id":{id},"city":"c{city}","price":{price},"score":{score},"seen":{{"times":{id}}}}}"#
        )
    }
}

/// A keyed topic and all that was written to it.
struct World {
    topic: Uuid,
    table: Table,
    dice: Dice,
    /// Offset, key and value, by partition.
    writes: Vec<Vec<(i64, String, Option<Item>)>>,
}

type Model = BTreeMap<String, Item>;

impl World {
    async fn make(client: &mut Client, seed: u64) -> Self {
        let set = [
            ("tidelog.table.mode", "inline"),
            ("tidelog.table.schema", SCHEMA),
            ("tidelog.table.key", "record_key"),
            ("tidelog.partitioner", "crc32"),
        ];
        let topic = client.make_topic(TOPIC, PARTITIONS, &set).await;
        Self {
            topic,
            table: client.describe_table(topic).await,
            dice: Dice::new(seed),
            writes: vec![Vec::new(); PARTITIONS as usize],
        }
    }

    async fn write(&mut self, client: &mut Client, count: usize) {
        for _ in 0..count {
            let first = ["a", "ab", "b", "é"][self.dice.below(4)];
            let key = format!("{first}{:02}", self.dice.below(30));
            let item = (!self.dice.one_in(5)).then(|| Item::roll(&mut self.dice));
            let partition = Rule::Crc32.partition(key.as_bytes(), PARTITIONS);
            let value = item.map(Item::json);
            let mut batch = BatchBuilder::new();
            let bytes = value.as_ref().map(String::as_bytes);
            batch
                .append(now_ms(), Some(key.as_bytes()), bytes, [])
                .unwrap();
            let batch = batch.finish().unwrap();
            let answer = client.produce(TOPIC, partition, batch).await;
            assert_eq!(answer.error_code, 0, "{answer:?}");
            self.writes[partition as usize].push((answer.base_offset, key, item));
        }
    }

    /// A partition as of an offset.
    fn model(&self, partition: i32, reflects: i64) -> Model {
        let mut model = Model::new();
        let writes = self.writes[partition as usize].iter();
        for (_, key, item) in writes.take_while(|(offset, ..)| *offset < reflects) {
            match item {
                Some(item) => drop(model.insert(key.clone(), *item)),
                None => drop(model.remove(key)),
            }
        }
        model
    }

    fn end(&self, partition: i32) -> i64 {
        let last = self.writes[partition as usize].last();
        last.map_or(0, |(offset, ..)| offset + 1)
    }

    fn request(&self) -> ScanRequest {
        let partitions = (0..PARTITIONS).map(|partition| ScanPartition {
            partition,
            min_offset: 0,
            cursor: None,
        });
        ScanRequest {
            max_wait_ms: 20_000,
            max_bytes: 8 << 20,
            topic_id: self.topic,
            projection: Some(COLUMNS.iter().map(|name| text(name)).collect()),
            partitions: partitions.collect(),
            ..ScanRequest::default()
        }
    }
}

const COLUMNS: [&str; 5] = ["_partition", "_key", "id", "price", "score"];

/// Rows of [`COLUMNS`], with the partitions that they say.
fn items(batches: &[RecordBatch]) -> Vec<(i32, String, Item)> {
    let mut items = Vec::new();
    for batch in batches {
        let column = |name| batch.column_by_name(name).unwrap();
        let (partition, key) = (column("_partition"), column("_key").as_binary::<i32>());
        let partition = partition.as_primitive::<Int32Type>();
        let (id, price) = (
            column("id"),
            column("price").as_primitive::<Decimal128Type>(),
        );
        let (id, score) = (id.as_primitive::<Int64Type>(), column("score"));
        let score = score.as_primitive::<Float64Type>();
        for row in 0..batch.num_rows() {
            let whole = |row: usize| i64::try_from(price.value(row)).unwrap();
            let item = Item {
                id: id.value(row),
                price: (!price.is_null(row)).then(|| whole(row)),
                score: score.value(row),
            };
            let key = String::from_utf8(key.value(row).to_vec()).unwrap();
            items.push((partition.value(row), key, item));
        }
    }
    items
}

impl Client {
    async fn scan(&mut self, request: &ScanRequest) -> ScanResponse {
        let answer = self.call_ext(request).await;
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        assert!(!answer.partitions.is_empty());
        answer
    }

    /// Asks until all is read, with `writes` by another client between answers.
    async fn scan_all(
        &mut self,
        world: &mut World,
        mut request: ScanRequest,
        (writer, writes): (&mut Client, usize),
    ) -> Vec<ScanResponse> {
        let mut answers = Vec::new();
        while !request.partitions.is_empty() {
            let answer = self.scan(&request).await;
            for found in &answer.partitions {
                assert_eq!(found.error_code, 0, "{:?}", found.error_message);
                assert_eq!(found.partition, request.partitions[0].partition);
                match &found.cursor {
                    None => drop(request.partitions.remove(0)),
                    Some(cursor) => request.partitions[0].cursor = Some(cursor.clone()),
                }
            }
            answers.push(answer);
            world.write(writer, writes).await;
        }
        answers
    }

    async fn prefixes(&mut self, request: &LookupRequest) -> (Vec<PrefixResult>, RecordBatches) {
        let answer = self.call_ext(request).await;
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        let table = self.describe_table(request.topic_id).await;
        let messages = answer.messages.to_bytes();
        let batches = decode_messages(&table, Some(&COLUMNS), answer.schema_id, &messages);
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(rows, usize::try_from(answer.row_count).unwrap());
        (answer.prefix_results, batches)
    }
}

type RecordBatches = Vec<RecordBatch>;

#[tokio::test]
async fn a_scan_sees_each_partition_at_one_offset_while_writers_go_on() {
    for seed in 1..=3 {
        let broker = TestBroker::start(&[]).await;
        let (mut reader, mut writer) = (broker.client().await, broker.client().await);
        let mut world = World::make(&mut reader, seed).await;
        world.write(&mut writer, 150).await;
        type Matches = fn(&Item) -> bool;
        let filters: [(Option<&str>, Matches); 3] = [
            (None, |_| true),
            (Some("score < 7.5 AND price IS NOT NULL"), |item| {
                item.score < 7.5 && item.price.is_some()
            }),
            (Some("city = 'c9'"), |_| false),
        ];
        for (at, (filter, matches)) in filters.into_iter().enumerate() {
            let ends: Vec<_> = (0..PARTITIONS).map(|index| world.end(index)).collect();
            let mut request = world.request();
            request.max_rows = [7, 1, 0][at];
            request.max_bytes = [8 << 20, 1, 8 << 20][at];
            request.filter = filter.map(|text| {
                let bytes = parse(text).unwrap().encode().unwrap();
                Bytes::from(bytes)
            });
            let answers = reader.scan_all(&mut world, request, (&mut writer, 5)).await;
            let mut rows = Vec::new();
            let mut reflects = BTreeMap::new();
            for answer in &answers {
                for found in &answer.partitions {
                    let at = *reflects
                        .entry(found.partition)
                        .or_insert(found.reflected_offset);
                    assert_eq!(found.reflected_offset, at, "one snapshot");
                    assert!(at >= ends[found.partition as usize]);
                    let messages = found.messages.to_bytes();
                    let (table, id) = (&world.table, answer.schema_id);
                    let found_rows = items(&decode_messages(table, Some(&COLUMNS), id, &messages));
                    assert_eq!(found_rows.len() as i64, found.row_count);
                    assert_eq!(found.undecodable_count, 0);
                    rows.extend(found_rows);
                }
            }
            let expected = reflects.iter().flat_map(|(partition, reflects)| {
                let model = world.model(*partition, *reflects).into_iter();
                let wanted = model.filter(|(_, item)| matches(item));
                wanted
                    .map(|(key, item)| (*partition, key, item))
                    .collect::<Vec<_>>()
            });
            assert_eq!(
                rows,
                expected.collect::<Vec<_>>(),
                "seed {seed}, {filter:?}"
            );
        }
    }
}

fn total(function: i8, column: Option<&str>) -> ScanTotal {
    ScanTotal {
        function,
        column: column.map(text),
    }
}

#[tokio::test]
async fn totals_are_those_of_the_rows() {
    let broker = TestBroker::start(&[]).await;
    let (mut reader, mut writer) = (broker.client().await, broker.client().await);
    let mut world = World::make(&mut reader, 9).await;
    let asked = vec![
        total(scan::COUNT, None),
        total(scan::COUNT, Some("price")),
        total(scan::SUM, Some("price")),
        total(scan::MIN, Some("score")),
        total(scan::MAX, Some("_key")),
        total(scan::SUM, Some("seen.times")),
    ];
    // Of nothing, and then of more and more.
    for round in 0..4 {
        let mut request = world.request();
        request.totals = Some(asked.clone());
        request.max_rows = 1;
        let answers = reader.scan_all(&mut world, request, (&mut writer, 0)).await;
        for answer in answers {
            for found in &answer.partitions {
                let model = world.model(found.partition, found.reflected_offset);
                let totals = found.totals.to_bytes();
                let row = decode_stream(&answer.totals_schema, &totals).remove(0);
                assert_eq!(row.num_rows(), 1);
                let names: Vec<_> = row.schema_ref().fields().iter().cloned().collect();
                assert_eq!(names[2].name(), "sum(price)");
                let long = |at: usize| row.column(at).as_primitive::<Int64Type>().value(0);
                let decimal = |at: usize| {
                    let column = row.column(at).as_primitive::<Decimal128Type>();
                    (!column.is_null(0)).then(|| column.value(0))
                };
                let prices: Vec<_> = model.values().filter_map(|item| item.price).collect();
                let sum = (!prices.is_empty()).then(|| i128::from(prices.iter().sum::<i64>()));
                assert_eq!(
                    (long(0), long(1)),
                    (model.len() as i64, prices.len() as i64)
                );
                assert_eq!(found.row_count, long(0));
                assert_eq!(decimal(2), sum);
                let least = model.values().map(|item| item.score).reduce(f64::min);
                let score = row.column(3).as_primitive::<Float64Type>();
                assert_eq!((!score.is_null(0)).then(|| score.value(0)), least);
                let key = row.column(4).as_binary::<i32>();
                let last = model.keys().next_back().map(String::as_bytes);
                assert_eq!((!key.is_null(0)).then(|| key.value(0)), last);
                let times = (!model.is_empty())
                    .then(|| model.values().map(|item| i128::from(item.id)).sum::<i128>());
                assert_eq!(decimal(5), times);
                assert!(found.messages.is_empty());
            }
        }
        // Only how many: nothing is decoded.
        let mut request = world.request();
        request.projection = Some(Vec::new());
        let answer = reader.scan(&request).await;
        for found in answer.partitions {
            let model = world.model(found.partition, found.reflected_offset);
            assert_eq!(found.row_count, model.len() as i64, "round {round}");
        }
        world.write(&mut writer, 40 * round).await;
    }
}

#[tokio::test]
async fn values_that_are_no_rows_are_counted_apart_and_a_sum_never_wraps() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let set = [
        ("tidelog.table.mode", "inline"),
        (
            "tidelog.table.schema",
            r#"{"fields":[{"name":"n","type":"decimal(38,0)"}]}"#,
        ),
        ("tidelog.table.key", "record_key"),
    ];
    let topic = client.make_topic("numbers", 1, &set).await;
    let most = "9".repeat(38);
    let mut batch = BatchBuilder::new();
    for (key, value) in [
        ("a", format!(r#"{{"n":"{most}"}}"#)),
        ("b", "{".to_owned()),
        ("c", r#"{"n":"1"}"#.to_owned()),
        ("d", "7".to_owned()),
        ("e", r#"{"n":null}"#.to_owned()),
    ] {
        let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
        batch.append(now_ms(), key, value, []).unwrap();
    }
    let produced = client.produce("numbers", 0, batch.finish().unwrap()).await;
    assert_eq!(produced.error_code, 0, "{produced:?}");
    let mut request = ScanRequest {
        max_wait_ms: 20_000,
        max_bytes: 1 << 20,
        topic_id: topic,
        partitions: vec![ScanPartition::default()],
        ..ScanRequest::default()
    };
    let found = client.scan(&request).await.partitions.remove(0);
    assert_eq!((found.row_count, found.undecodable_count), (3, 2));
    // Cut inside of a page, each is counted once.
    request.max_rows = 1;
    let (mut rows, mut undecodable) = (0, 0);
    loop {
        let found = client.scan(&request).await.partitions.remove(0);
        assert!(found.row_count <= 1);
        rows += found.row_count;
        undecodable += found.undecodable_count;
        if found.cursor.is_none() {
            break;
        }
        request.partitions[0].cursor = found.cursor;
    }
    assert_eq!((rows, undecodable), (3, 2));
    request.partitions[0].cursor = None;
    request.totals = Some(vec![total(scan::MAX, Some("n"))]);
    assert_eq!(client.scan(&request).await.partitions[0].error_code, 0);
    request.totals = Some(vec![total(scan::SUM, Some("n"))]);
    let found = client.scan(&request).await.partitions.remove(0);
    assert_eq!(found.error_code, INVALID_REQUEST);
    assert!(found.error_message.unwrap().contains("38 digits"));
    // A prefix passes them over, too.
    let lookup = LookupRequest {
        topic_id: topic,
        projection: Some(vec![text("n")]),
        prefixes: vec![LookupPrefix {
            partition: 0,
            ..LookupPrefix::default()
        }],
        ..LookupRequest::default()
    };
    let answer = client.call_ext(&lookup).await;
    let of_prefix = &answer.prefix_results[0];
    assert_eq!((of_prefix.row_count, of_prefix.undecodable_count), (3, 2));
    assert_eq!(answer.row_count, 3);
}

#[tokio::test]
async fn merged_rows_are_scanned_as_what_they_were_merged_to() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let set = [
        ("tidelog.table.mode", "inline"),
        (
            "tidelog.table.schema",
            r#"{"fields":[{"name":"n","type":"long"},{"name":"who","type":"string"}]}"#,
        ),
        ("tidelog.table.key", "record_key"),
        ("tidelog.table.merge-engine", "aggregation"),
        ("tidelog.table.aggregates", "n:sum"),
    ];
    let topic = client.make_topic("sums", 1, &set).await;
    let mut expected = BTreeMap::<String, i64>::new();
    let mut batch = BatchBuilder::new();
    for n in 0..500 {
        let (key, who) = (format!("k{}", n % 7), n % 3);
        *expected.entry(key.clone()).or_default() += n;
        let value = format!(r#"{{"n":{n},"who":"w{who}"}}"#);
        let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
        batch.append(now_ms(), key, value, []).unwrap();
    }
    let produced = client.produce("sums", 0, batch.finish().unwrap()).await;
    assert_eq!(produced.error_code, 0, "{produced:?}");
    let columns = ["_key", "n"];
    let mut request = ScanRequest {
        max_wait_ms: 20_000,
        max_bytes: 1 << 20,
        topic_id: topic,
        projection: Some(columns.iter().map(|name| text(name)).collect()),
        partitions: vec![ScanPartition::default()],
        ..ScanRequest::default()
    };
    let answer = client.scan(&request).await;
    let table = client.describe_table(topic).await;
    let messages = answer.partitions[0].messages.to_bytes();
    let rows = decode_messages(&table, Some(&columns), answer.schema_id, &messages).remove(0);
    let sums = rows.column(1).as_primitive::<Int64Type>();
    let keys = rows.column(0).as_binary::<i32>().iter();
    let keys = keys.map(|key| String::from_utf8(key.unwrap().to_vec()).unwrap());
    let found: Vec<_> = keys.zip(sums.values().iter().copied()).collect();
    assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
    // A filter sees what they were merged to, and no record of them.
    let least = sums.values().iter().min().unwrap();
    let filter = parse(&format!("n <= {least} AND who IS NOT NULL")).unwrap();
    request.filter = Some(filter.encode().unwrap().into());
    assert_eq!(client.scan(&request).await.partitions[0].row_count, 1);
}

#[tokio::test]
async fn prefixes_find_what_a_map_finds_however_they_are_cut() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let mut world = World::make(&mut client, 5).await;
    world.write(&mut client, 200).await;
    let prefixes = ["a", "", "b1", "é", "nobody", "a"];
    for limit in [-1, 1, 4] {
        let wanted = |prefix: &&str| LookupPrefix {
            partition: -1,
            prefix: Bytes::copy_from_slice(prefix.as_bytes()),
            limit,
            cursor: None,
        };
        let mut request = LookupRequest {
            max_wait_ms: 20_000,
            topic_id: world.topic,
            projection: Some(COLUMNS.iter().map(|name| text(name)).collect()),
            prefixes: prefixes.iter().map(wanted).collect(),
            ..LookupRequest::default()
        };
        let mut found = vec![Vec::new(); prefixes.len()];
        let mut is_open = vec![true; prefixes.len()];
        while is_open.contains(&true) {
            let (results, batches) = client.prefixes(&request).await;
            let mut rows = items(&batches).into_iter();
            assert_eq!(results.len(), prefixes.len());
            for (at, result) in results.iter().enumerate() {
                assert_eq!((result.error_code, result.undecodable_count), (0, 0));
                let count = usize::try_from(result.row_count).unwrap();
                assert!(limit < 0 || result.row_count <= limit);
                let rows: Vec<_> = rows.by_ref().take(count).collect();
                // One that has come to its end begins again: it is asked with the others.
                if is_open[at] {
                    found[at].extend(rows);
                    is_open[at] = result.cursor.is_some();
                }
                request.prefixes[at].cursor = result.cursor.clone();
            }
            assert_eq!(rows.next(), None);
        }
        for (prefix, found) in prefixes.iter().zip(&found) {
            let expected = (0..PARTITIONS).flat_map(|partition| {
                let model = world.model(partition, i64::MAX).into_iter();
                let alike = model.filter(|(key, _)| key.starts_with(prefix));
                alike.map(move |(key, item)| (partition, key, item))
            });
            assert_eq!(*found, expected.collect::<Vec<_>>(), "{prefix:?} {limit}");
        }
    }
    // Who speaks the first version is answered in it.
    let first = LookupRequest {
        topic_id: world.topic,
        keys: vec![Default::default()],
        ..LookupRequest::default()
    };
    let answer = client.call_ext_at(0, &first).await;
    assert_eq!((answer.error_code, answer.results.len()), (0, 1));
    assert!(answer.prefix_results.is_empty());
    // A bad one spoils no other.
    let mut request = LookupRequest {
        topic_id: world.topic,
        prefixes: vec![LookupPrefix::default(); 4],
        ..LookupRequest::default()
    };
    request.prefixes[1].partition = PARTITIONS;
    request.prefixes[2].cursor = Some(Bytes::from_static(b"\x01\xff\xff\xff\xff\0"));
    request.prefixes[3].cursor = Some(Bytes::new());
    let answer = client.call_ext(&request).await;
    let codes = answer.prefix_results.iter().map(|one| one.error_code);
    let bad = INVALID_REQUEST;
    assert_eq!(codes.collect::<Vec<_>>(), [0, bad, bad, bad]);
}

#[tokio::test]
async fn a_cursor_outlives_the_broker_unless_the_table_moved_on() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let mut world = World::make(&mut client, 11).await;
    world.write(&mut client, 60).await;
    let mut request = world.request();
    request.partitions.truncate(1);
    request.max_rows = 3;
    let first = client.scan(&request).await.partitions.remove(0);
    let cursor = first.cursor.unwrap();
    let broker = broker.restart().await;
    let mut client = broker.client().await;
    request.partitions[0].cursor = Some(cursor.clone());
    request.max_rows = 0;
    let rest = client.scan(&request).await.partitions.remove(0);
    assert_eq!(rest.error_code, 0, "{:?}", rest.error_message);
    let all = world.model(0, first.reflected_offset).len() as i64;
    assert_eq!((first.row_count, rest.row_count), (3, all - 3));
    // The snapshot is gone with the broker, and the table another.
    let before = world.end(0);
    while world.end(0) == before {
        world.write(&mut client, 1).await;
    }
    let broker = broker.restart().await;
    let mut client = broker.client().await;
    let gone = client.scan(&request).await.partitions.remove(0);
    assert_eq!(gone.error_code, SNAPSHOT_GONE);
    assert_eq!((gone.reflected_offset, gone.cursor), (-1, None));

    // Whatever comes as a cursor, there is an answer.
    let mut dice = Dice::new(77);
    for _ in 0..300 {
        let size = dice.below(40);
        let mut bytes = match dice.one_in(2) {
            true => cursor.to_vec(),
            false => dice.bytes(size),
        };
        dice.damage(&mut bytes);
        request.partitions[0].cursor = Some(bytes.into());
        let answer = client.scan(&request).await.partitions.remove(0);
        assert!([0, INVALID_REQUEST, SNAPSHOT_GONE].contains(&answer.error_code));
    }
    let now = Cursor {
        reflects: world.end(0),
        after: Bytes::from(vec![0xff; 70_000]),
    };
    request.partitions[0].cursor = Some(now.to_bytes());
    let answer = client.scan(&request).await.partitions.remove(0);
    assert_eq!((answer.error_code, answer.row_count), (0, 0));
}

#[tokio::test]
async fn what_cannot_be_scanned_says_why() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let plain = client.make_topic("plain", 1, &[]).await;
    let world = World::make(&mut client, 1).await;
    type Change = fn(&mut ScanRequest);
    let refused: [(Change, &str); 7] = [
        (
            |request| request.projection = Some(vec![text("town")]),
            "town",
        ),
        (
            |request| request.filter = Some(Bytes::from_static(b"\x01")),
            "filter",
        ),
        (
            |request| request.filter = Some(parse("town = 1").unwrap().encode().unwrap().into()),
            "town",
        ),
        (
            |request| request.totals = Some(vec![total(scan::SUM, Some("city"))]),
            "sum(city)",
        ),
        (
            |request| request.totals = Some(vec![total(scan::MIN, None)]),
            "min",
        ),
        (
            |request| request.totals = Some(vec![total(9, None)]),
            "function 9",
        ),
        (
            |request| request.totals = Some(vec![total(0, None); 101]),
            "101 totals",
        ),
    ];
    for (change, message) in refused {
        let mut request = world.request();
        change(&mut request);
        let answer = client.call_ext(&request).await;
        assert_eq!(answer.error_code, INVALID_REQUEST, "{message}");
        let said = answer.error_message.unwrap();
        assert!(said.contains(message), "{said}");
    }
    let mut request = world.request();
    request.topic_id = plain;
    let answer = client.call_ext(&request).await;
    assert_eq!(answer.error_code, INVALID_REQUEST);
    request.topic_id = Uuid::from_u128(5);
    assert_eq!(client.call_ext(&request).await.error_code, 100);
    // Once all are open, one that does not exist fails alone, and one that takes too long.
    let open = client.scan(&world.request()).await;
    assert!(open.partitions.iter().all(|one| one.error_code == 0));
    let mut request = world.request();
    request.max_wait_ms = 50;
    request.partitions[0].min_offset = 1;
    request.partitions[1].partition = 7;
    let answer = client.scan(&request).await;
    let codes: Vec<_> = answer.partitions.iter().map(|one| one.error_code).collect();
    assert_eq!(codes, [7, INVALID_REQUEST, 0]);
}

#[tokio::test]
async fn an_index_that_is_made_anew_is_waited_for() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let mut world = World::make(&mut client, 3).await;
    world.write(&mut client, 50).await;
    let lose_index = |dir: &std::path::Path| {
        std::fs::remove_dir_all(dir.join("index")).unwrap();
    };
    let broker = broker.restart_after(lose_index).await;
    let mut client = broker.client().await;
    // The very first answer, whatever state the index is in.
    let request = LookupRequest {
        max_wait_ms: 20_000,
        topic_id: world.topic,
        projection: Some(Vec::new()),
        prefixes: vec![LookupPrefix {
            partition: -1,
            ..LookupPrefix::default()
        }],
        ..LookupRequest::default()
    };
    let answer = client.call_ext(&request).await;
    let of_all = &answer.prefix_results[0];
    let expected = (0..PARTITIONS).map(|index| world.model(index, i64::MAX).len());
    assert_eq!(of_all.error_code, 0);
    assert_eq!(usize::try_from(of_all.row_count), Ok(expected.sum()));
    let started = Instant::now();
    loop {
        let table = client.describe_table(world.topic).await;
        let mut states = table.partitions.iter().map(|one| {
            // What is on the disk follows only behind the rows files of the changes.
            let reflected = one.reflected_offset == world.end(one.partition);
            one.index_state == describe_table::INDEX_READY && reflected
        });
        if states.all(|is_ready| is_ready) {
            assert!(table.partitions.iter().all(|one| one.row_estimate >= 0));
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{table:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
