//! Our own client scans, totals and looks up by prefix: the answers of many requests are one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int64Type};
use support::TestBroker;
use support::data::now_ms;
use tidelog_client::{Client, Error, IndexState};
use tidelog_keyed::partitioner::Rule;
use tidelog_records::BatchBuilder;

const SCHEMA: &str =
    r#"{"fields":[{"name":"id","type":"long"},{"name":"price","type":"decimal(12,2)"}]}"#;
const KEYS: i64 = 1_000;
const PARTITIONS: i32 = 3;

async fn broker_with_rows() -> (TestBroker, Client) {
    let broker = TestBroker::start(&[]).await;
    let mut writer = broker.client().await;
    let set = [
        ("tidelog.table.mode", "inline"),
        ("tidelog.table.schema", SCHEMA),
        ("tidelog.table.key", "record_key"),
        ("tidelog.partitioner", "crc32"),
    ];
    writer.make_topic("items", PARTITIONS, &set).await;
    let mut batches: Vec<_> = (0..PARTITIONS).map(|_| BatchBuilder::new()).collect();
    for id in 0..KEYS {
        let key = format!("k{id:03}");
        let partition = Rule::Crc32.partition(key.as_bytes(), PARTITIONS);
        let value = format!(r#"{{"id":{id},"price":"{id}.25"}}"#);
        let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
        let batch = &mut batches[usize::try_from(partition).unwrap()];
        batch.append(now_ms(), key, value, []).unwrap();
    }
    for (partition, batch) in (0..).zip(batches) {
        let produced = writer
            .produce("items", partition, batch.finish().unwrap())
            .await;
        assert_eq!(produced.error_code, 0, "{produced:?}");
    }
    let client = Client::connect(&broker.address().to_string())
        .await
        .unwrap();
    (broker, client)
}

#[tokio::test]
async fn rows_counts_and_totals_of_many_answers_are_those_of_the_table() {
    let (_broker, client) = broker_with_rows().await;
    let table = client.table("items").await.unwrap();
    // A byte at a time: an answer for each page.
    let scan = table.scan_table().columns(["id"]).max_bytes(1);
    let mut rows = scan.clone().filter("id < 900").open().await.unwrap();
    let mut ids = Vec::new();
    while let Some(some) = rows.next().await.unwrap() {
        assert_eq!(some.batch.schema_ref(), rows.schema());
        ids.extend(
            some.batch
                .column(0)
                .as_primitive::<Int64Type>()
                .values()
                .to_vec(),
        );
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..900).collect::<Vec<_>>());
    assert_eq!(rows.undecodable(), 0);

    let mut some = scan.clone().limit(17).open().await.unwrap();
    let mut count = 0;
    while let Some(rows) = some.next().await.unwrap() {
        count += rows.batch.num_rows();
    }
    assert_eq!(count, 17);
    assert_eq!(table.scan_table().count().await.unwrap(), 1_000);
    let half = table.scan_table().filter("price >= 500");
    assert_eq!(half.count().await.unwrap(), 500);

    let asked = ["count(*)", "sum(price)", "min(id)", "max(_key)"];
    let asked = asked.map(|text| text.parse().unwrap());
    let totals = table.scan_table().totals(asked).await.unwrap();
    let long = |at: usize| totals.column(at).as_primitive::<Int64Type>().value(0);
    let sum = totals.column(1).as_primitive::<Decimal128Type>().value(0);
    assert_eq!((long(0), long(2)), (KEYS, 0));
    assert_eq!(sum, i128::from(KEYS * (KEYS - 1) / 2 * 100 + KEYS * 25));
    assert_eq!(totals.column(3).as_binary::<i32>().value(0), b"k999");
    let none = table.scan_table().filter("id < 0");
    let none = none.totals(["max(id)".parse().unwrap()]).await.unwrap();
    assert!(none.column(0).is_null(0));
    let refused = table.scan_table().totals(["sum(_key)".parse().unwrap()]);
    assert!(matches!(refused.await, Err(Error::Total { .. })));

    let index = table.refresh().await.unwrap().partitions[0].index.unwrap();
    assert_eq!(index.state, IndexState::Ready);
}

#[tokio::test]
async fn prefixes_come_on_where_they_stopped() {
    let (_broker, client) = broker_with_rows().await;
    let table = client.table("items").await.unwrap();
    let lookup = || table.lookup_prefix(["k12", "k9", "x"]).columns(["id"]);
    let whole = lookup().send().await.unwrap();
    let counts = whole
        .prefixes
        .iter()
        .map(|one| one.as_ref().unwrap().rows.len());
    assert_eq!(counts.collect::<Vec<_>>(), [10, 100, 0]);
    let ids = whole.rows.column(0).as_primitive::<Int64Type>();
    let mut of_first = ids.values()[..10].to_vec();
    of_first.sort_unstable();
    assert_eq!(of_first, (120..130).collect::<Vec<_>>());

    let (mut cursor, mut ids) = (None, Vec::new());
    loop {
        let lookup = table.lookup_prefix(["k12"]).limit(4).resume([cursor]);
        let mut found = lookup.send().await.unwrap();
        let of_prefix = found.prefixes.remove(0).unwrap();
        assert!(of_prefix.rows.len() <= 4);
        let column = found.rows.column_by_name("id").unwrap();
        ids.extend(column.as_primitive::<Int64Type>().values().to_vec());
        cursor = of_prefix.cursor;
        if cursor.is_none() {
            break;
        }
    }
    ids.sort_unstable();
    assert_eq!(ids, (120..130).collect::<Vec<_>>());
}
