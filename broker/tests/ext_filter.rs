//! Filters of ColumnarFetch: exactly the rows that match, wherever they lie, with statistics at work
//! and without a busy loop.

mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use support::data::batch;
use support::table::{columnar, decode, longs, rows};
use support::{Client, TestBroker};
use tidelog_predicate::parse;
use tidelog_protocol_ext::ext::columnar_fetch::ColumnarFetchRequest;
use uuid::Uuid;

const SCHEMA: &str = r#"{"fields":[
    {"name":"id","type":"long","nullable":false},
    {"name":"city","type":"string"},
    {"name":"amount","type":"double"},
    {"name":"lines","type":{"list":{"struct":[
        {"name":"sku","type":"string"},{"name":"count","type":"long"}]}}}
]}"#;

const TYPED: [(&str, &str); 2] = [
    ("tidelog.table.mode", "inline"),
    ("tidelog.table.schema", SCHEMA),
];

fn order(id: i64) -> String {
    let (city, amount) = (id % 7, id as f64 / 4.0);
    let lines = format!(r#"[{{"sku":"sku {id}","count":{id}}}]"#);
    format!(r#"{{"id":{id},"city":"city-{city}","amount":{amount},"lines":{lines}}}"#)
}

async fn produce(client: &mut Client, topic: &str, ids: std::ops::Range<i64>) {
    let values: Vec<_> = ids.map(order).collect();
    for some in values.chunks(1_000) {
        let some: Vec<&str> = some.iter().map(String::as_str).collect();
        let answer = client.produce(topic, 0, batch(&some)).await;
        assert_eq!(answer.error_code, 0, "{answer:?}");
    }
}

/// A fetch of the ids of rows from `offset` on that match.
fn filtered(topic: Uuid, offset: i64, filter: &str) -> ColumnarFetchRequest {
    let mut request = columnar(topic, offset, Some(&["id"]));
    let predicate = parse(filter).expect("a predicate");
    let bytes = predicate.encode().expect("a small one");
    request.topics[0].filter = Some(Bytes::from(bytes));
    request
}

/// The ids of what matches from `offset` up to `end`, by the broker and by hand.
async fn check(client: &mut Client, topic: Uuid, offset: i64, end: i64) {
    let table = client.describe_table(topic).await;
    type Matches = fn(i64) -> bool;
    let filters: [(&str, Matches); 8] = [
        ("id = 4321", |id| id == 4_321),
        ("city = 'city-3' AND amount < 500", |id| {
            id % 7 == 3 && id < 2_000
        }),
        ("id < 1500 OR id >= 23000", |id| {
            !(1_500..23_000).contains(&id)
        }),
        ("NOT city LIKE 'city-_'", |_| false),
        ("city LIKE 'city-%'", |_| true),
        ("id IN (0, 9999, 10000, 24999)", |id| {
            [0, 9_999, 10_000, 24_999].contains(&id)
        }),
        ("_offset >= 12000 AND amount IS NOT NULL", |id| id >= 12_000),
        ("amount > 1e9", |_| false),
    ];
    for (filter, matches) in filters {
        let request = filtered(topic, offset, filter);
        let runs = client.rows_up_to(request.clone(), end).await;
        let found = longs(&decode(&table, Some(&["id"]), &runs), "id");
        let expected: Vec<_> = (offset..end).filter(|id| matches(*id)).collect();
        assert_eq!(found, expected, "{filter} from {offset}");

        let mut count = request;
        count.topics[0].projection = Some(Vec::new());
        let runs = client.rows_up_to(count, end).await;
        assert_eq!(rows(&runs), expected.len() as i64, "{filter}, counted");
    }
}

#[tokio::test]
async fn rows_that_match_from_files_and_memory() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let topic = client.make_topic("orders", 1, &TYPED).await;
    produce(&mut client, "orders", 0..25_000).await;
    let all = columnar(topic, 0, Some(&[]));
    client.rows_up_to(all, 25_000).await;
    check(&mut client, topic, 0, 25_000).await;
    check(&mut client, topic, 4_000, 25_000).await;

    let broker = broker.restart().await;
    let mut client = broker.client().await;
    produce(&mut client, "orders", 25_000..25_500).await;
    let all = columnar(topic, 0, Some(&[]));
    client.rows_up_to(all, 25_500).await;
    check(&mut client, topic, 0, 25_500).await;
    check(&mut client, topic, 12_345, 25_500).await;

    let (read, skipped) = broker.filter_blocks();
    let request = filtered(topic, 0, "id = 24000");
    assert_eq!(rows(&client.rows_up_to(request, 25_500).await), 1);
    let (read, skipped) = {
        let now = broker.filter_blocks();
        (now.0 - read, now.1 - skipped)
    };
    assert!(read == 1 && skipped >= 2, "{read} read, {skipped} skipped");
}

#[tokio::test]
async fn a_topic_that_is_no_table_is_filtered_on_the_fly() {
    for mode in [None, Some(("tidelog.table.mode", "key_value"))] {
        let broker = TestBroker::start(&[]).await;
        let mut client = broker.client().await;
        let settings: Vec<_> = mode.into_iter().collect();
        let topic = client.make_topic("orders", 1, &settings).await;
        produce(&mut client, "orders", 0..3_000).await;
        let table = client.describe_table(topic).await;
        for (filter, expected) in [
            (
                "value LIKE '%\"city-3\"%' AND _offset > 2900",
                (2_901..3_000).filter(|id| id % 7 == 3).collect(),
            ),
            ("_key = x'6b' AND _offset BETWEEN 7 AND 9", vec![7, 8, 9]),
            ("_key IS NULL", vec![]),
        ] {
            let mut request = filtered(topic, 0, filter);
            request.topics[0].projection = Some(vec!["_offset".into()]);
            let runs = client.rows_up_to(request, 3_000).await;
            let found = longs(&decode(&table, Some(&["_offset"]), &runs), "_offset");
            assert_eq!(found, expected, "{filter}, {mode:?}");
        }
    }
}

#[tokio::test]
async fn a_filter_that_matches_nothing_waits() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let topic = client.make_topic("orders", 1, &TYPED).await;
    produce(&mut client, "orders", 0..100).await;

    let mut request = filtered(topic, 0, "city = 'nowhere'");
    request.max_wait_ms = 700;
    let started = Instant::now();
    let mut reader = broker.client().await;
    let waiting = tokio::spawn(async move { reader.rows(&request).await });
    // More of the same does not end the wait.
    tokio::time::sleep(Duration::from_millis(100)).await;
    produce(&mut client, "orders", 100..200).await;
    let nothing = waiting.await.unwrap();
    assert_eq!((nothing.runs.len(), nothing.next_offset), (0, 200));
    assert!(started.elapsed() >= Duration::from_millis(700));

    // What matches does, at once.
    let mut request = filtered(topic, 0, "id = 205");
    request.max_wait_ms = 15_000;
    let started = Instant::now();
    let mut reader = broker.client().await;
    let waiting = tokio::spawn(async move { reader.rows(&request).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waiting.is_finished());
    produce(&mut client, "orders", 200..210).await;
    let found = waiting.await.unwrap();
    assert_eq!((rows(&found.runs), found.next_offset), (1, 210));
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn members_of_structs_in_lists_come_alone() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let topic = client.make_topic("orders", 1, &TYPED).await;
    produce(&mut client, "orders", 0..2_000).await;
    let bytes = async |client: &mut Client, columns: &[&str]| {
        let request = columnar(topic, 0, Some(columns));
        let runs = client.rows_up_to(request, 2_000).await;
        runs.iter().map(|run| run.messages.len()).sum::<usize>()
    };
    let whole = bytes(&mut client, &["lines"]).await;
    let member = bytes(&mut client, &["lines.count"]).await;
    let other = bytes(&mut client, &["lines.sku"]).await;
    assert!(member.max(other) < whole, "{member}, {other} of {whole}");
}

#[tokio::test]
async fn a_filter_that_is_none_names_what_is_wrong() {
    const INVALID_REQUEST: i16 = 42;
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let topic = client.make_topic("orders", 1, &TYPED).await;
    let with = |bytes: &'static [u8]| {
        let mut request = columnar(topic, 0, Some(&["id"]));
        request.topics[0].filter = Some(Bytes::from_static(bytes));
        request
    };
    for (request, expected) in [
        (
            filtered(topic, 0, "town = 'x'"),
            "there is no column \"town\"",
        ),
        (
            filtered(topic, 0, "city > 5"),
            "is of type Utf8, which 5 cannot be compared with",
        ),
        (
            filtered(topic, 0, "lines.sku = 'x'"),
            "there is no column \"lines.sku\"",
        ),
        (with(&[9, 1]), "version 9"),
        (with(&[]), "they end too early"),
        (with(&[1, 6, 6, 6]), "they end too early"),
    ] {
        let answer = client.columnar(&request).await;
        let message = answer.error_message.as_deref().unwrap_or_default();
        assert_eq!(answer.error_code, INVALID_REQUEST);
        assert!(message.contains(expected), "{message}");
    }
}
