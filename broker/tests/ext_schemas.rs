//! Tables whose columns are found out: from the first JSON records, or from the schemas that values
//! name. Rows keep the schema they were written under, and a restart changes nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use bytes::Bytes;
use support::data::{batch, now_ms};
use support::group::text;
use support::table::{columnar, decode};
use support::{Client, TestBroker};
use tidelog_protocol_ext::ext::alter_table::{AlterTableRequest, ColumnChange};
use tidelog_protocol_ext::ext::columnar_fetch::Run;
use tidelog_protocol_ext::ext::describe_table::Table;
use tidelog_records::BatchBuilder;
use tidelog_registry::{Format, Registration};
use uuid::Uuid;

const MODE: &str = "tidelog.table.mode";
/// Longer than the time after which a small sample decides.
const PATIENCE: Duration = Duration::from_secs(20);

async fn produce(client: &mut Client, topic: &str, values: &[Vec<u8>]) {
    let mut batch = BatchBuilder::new();
    for value in values {
        batch.append(now_ms(), Some(b"k"), Some(value), []).unwrap();
    }
    let batch: Bytes = batch.finish().unwrap();
    let answer = client.produce(topic, 0, batch).await;
    assert_eq!(answer.error_code, 0, "{answer:?}");
}

async fn produce_json(client: &mut Client, topic: &str, values: &[String]) {
    let values: Vec<_> = values.iter().map(String::as_str).collect();
    let answer = client.produce(topic, 0, batch(&values)).await;
    assert_eq!(answer.error_code, 0, "{answer:?}");
}

/// The table once its newest schema has this id.
async fn table_with(client: &mut Client, topic: Uuid, schema_id: i32) -> Table {
    let started = Instant::now();
    loop {
        let table = client.describe_table(topic).await;
        if table.current_schema_id == schema_id {
            return table;
        }
        assert!(started.elapsed() < PATIENCE, "{table:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The schema ids of runs, and one text for each row of a column; `-` where the run has none.
fn column(table: &Table, runs: &[Run], name: &str) -> (Vec<i32>, Vec<String>) {
    let mut ids: Vec<_> = runs.iter().map(|run| run.schema_id).collect();
    ids.dedup();
    let mut texts = Vec::new();
    for run in runs {
        for rows in decode(table, None, std::slice::from_ref(run)) {
            let column = rows.column_by_name(name).cloned();
            texts.extend((0..rows.num_rows()).map(|row| match &column {
                None => "-".to_owned(),
                Some(column) if column.is_null(row) => "null".to_owned(),
                Some(column) => match column.as_string_opt::<i32>() {
                    Some(text) => text.value(row).to_owned(),
                    None => column.as_primitive::<Int64Type>().value(row).to_string(),
                },
            }));
        }
    }
    (ids, texts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_records_say_what_the_columns_are_and_later_ones_add_some() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let topic = client.make_topic("orders", 1, &[(MODE, "inferred")]).await;
    let table = client.describe_table(topic).await;
    assert_eq!((table.error_code, table.current_schema_id), (0, -1));
    assert_eq!((&table.mode[..], table.schemas.len()), ("inferred", 0));
    let nothing = client.rows(&columnar(topic, 0, Some(&["qty"]))).await;
    assert_eq!((nothing.runs.len(), nothing.next_offset), (0, 0));

    let orders: Vec<_> = (0..1_100).map(|n| format!(r#"{{"qty":{n}}}"#)).collect();
    produce_json(&mut client, "orders", &orders).await;
    table_with(&mut client, topic, 1).await;
    let odd = [
        r#"{"qty":"many"}"#.to_owned(),
        r#"{"qty":7,"city":"Kiel"}"#.to_owned(),
        "[no object]".to_owned(),
        r#"{"qty":8}"#.to_owned(),
    ];
    produce_json(&mut client, "orders", &odd).await;
    let runs = client.rows_up_to(columnar(topic, 1_098, None), 1_104).await;
    let table = client.describe_table(topic).await;
    let (ids, qty) = column(&table, &runs, "qty");
    assert_eq!(qty, ["1098", "1099", "null", "7", "8"]);
    assert_eq!(ids.first(), Some(&1));
    let (_, siblings) = column(&table, &runs, "qty__string");
    assert_eq!(siblings, ["-", "-", "many", "null", "null"]);
    let (_, cities) = column(&table, &runs, "city");
    assert_eq!(cities[3], "Kiel");

    let schemas = table.schemas;
    let broker = broker.kill().await;
    let mut client = broker.client().await;
    let after = client.describe_table(topic).await;
    assert_eq!(after.schemas, schemas);
    let runs = client.rows_up_to(columnar(topic, 1_098, None), 1_104).await;
    assert_eq!(column(&after, &runs, "qty").1.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn auto_keeps_bytes_where_values_are_no_objects() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let topic = client.make_topic("logs", 1, &[(MODE, "auto")]).await;
    produce_json(&mut client, "logs", &vec!["plain text".to_owned(); 1_000]).await;
    let table = table_with(&mut client, topic, 0).await;
    let runs = client.rows_up_to(columnar(topic, 998, None), 1_000).await;
    let rows = &decode(&table, None, &runs)[0];
    let value = rows.column_by_name("value").unwrap();
    assert_eq!(value.as_binary::<i32>().value(1), b"plain text");
}

async fn register(broker: &TestBroker, subject: &str, format: Format, text: &str) -> i32 {
    let registration = Registration {
        text: text.to_owned(),
        format,
        references: Vec::new(),
        metadata: None,
        rule_set: None,
        id: None,
        version: None,
        normalize: false,
    };
    let service = broker.running().broker.registry().service();
    let registered = service.register(subject.to_owned(), registration).await;
    registered.unwrap().id.0
}

const ORDER_1: &str = r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}"#;
const ORDER_2: &str = r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"long"},
    {"name":"city","type":"string","default":""}]}"#;
const ORDER_JSON: &str =
    r#"{"type":"object","properties":{"id":{"type":"integer"},"city":{"type":"string"}}}"#;
const ORDER_PROTO: &str = r#"syntax = "proto3"; message Other { bool b = 1; } message Order { int64 id = 1; string city = 2; }"#;

/// Avro: an id of at most 63, and a city.
fn avro(id: u8, city: Option<&str>) -> Vec<u8> {
    let mut value = vec![id << 1];
    if let Some(city) = city {
        value.push((city.len() as u8) << 1);
        value.extend(city.as_bytes());
    }
    value
}

fn framed(schema: i32, payload: &[u8]) -> Vec<u8> {
    let mut value = vec![0];
    value.extend(schema.to_be_bytes());
    value.extend(payload);
    value
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_value_is_read_by_the_schema_it_names() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let mode = [(MODE, "value_schema_id_prefix")];
    let topic = client.make_topic("orders", 1, &mode).await;
    let first = register(&broker, "orders-value", Format::Avro, ORDER_1).await;
    let second = register(&broker, "orders-value", Format::Avro, ORDER_2).await;
    let json = register(&broker, "orders-json", Format::Json, ORDER_JSON).await;
    let proto = register(&broker, "orders-proto", Format::Protobuf, ORDER_PROTO).await;
    let values = [
        framed(first, &avro(1, None)),
        framed(second, &avro(2, Some("Kiel"))),
        b"bare".to_vec(),
        framed(json, br#"{"id":3,"city":"Bonn"}"#),
        // Message 1 of the file.
        framed(proto, b"\x02\x02\x08\x04\x12\x04Rome"),
        framed(99, &avro(5, None)),
        framed(first, &avro(6, None)),
    ];
    produce(&mut client, "orders", &values).await;
    let runs = client.rows_up_to(columnar(topic, 0, None), 7).await;
    let table = client.describe_table(topic).await;
    assert_eq!(&table.mode[..], "value_schema_id_prefix");
    let (ids, found) = column(&table, &runs, "id");
    assert_eq!(found, ["1", "2", "3", "4", "6"], "{table:?}");
    assert_eq!(ids.first(), Some(&1));
    let (_, cities) = column(&table, &runs, "city");
    assert_eq!(cities, ["-", "Kiel", "Bonn", "Rome", "null"]);

    let broker = broker.restart().await;
    let mut client = broker.client().await;
    produce(
        &mut client,
        "orders",
        &[framed(second, &avro(7, Some("x")))],
    )
    .await;
    let runs = client.rows_up_to(columnar(topic, 6, None), 8).await;
    let after = client.describe_table(topic).await;
    assert_eq!(after.schemas, table.schemas);
    assert_eq!(column(&after, &runs, "id").1, ["6", "7"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bare_values_are_of_the_newest_schema() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let mode = [(MODE, "value_schema_latest")];
    let topic = client.make_topic("orders", 1, &mode).await;
    produce(&mut client, "orders", &[avro(1, None)]).await;
    register(&broker, "orders-value", Format::Avro, ORDER_1).await;
    let runs = client.rows_up_to(columnar(topic, 0, None), 1).await;
    let table = client.describe_table(topic).await;
    assert_eq!(column(&table, &runs, "id").1, ["1"]);

    register(&broker, "orders-value", Format::Avro, ORDER_2).await;
    // What is believed of a subject is believed for some seconds.
    tokio::time::sleep(Duration::from_secs(6)).await;
    produce(&mut client, "orders", &[avro(2, Some("Kiel"))]).await;
    let runs = client.rows_up_to(columnar(topic, 1, None), 2).await;
    let table = client.describe_table(topic).await;
    assert_eq!(table.schemas.len(), 2);
    assert_eq!(column(&table, &runs, "city").1, ["Kiel"]);
}

const CITIES: &str = r#"{"fields":[
    {"name":"id","type":"int","nullable":false},
    {"name":"city","type":"string"},
    {"name":"address","type":{"struct":[{"name":"zip","type":"string"}]}}]}"#;

fn change(
    action: i8,
    path: &str,
    column_type: Option<&str>,
    new_name: Option<&str>,
) -> ColumnChange {
    ColumnChange {
        action,
        path: text(path),
        column_type: column_type.map(text),
        new_name: new_name.map(text),
    }
}

async fn alter(
    client: &mut Client,
    topic: Uuid,
    schema_id: i32,
    changes: &[ColumnChange],
) -> (i16, i32) {
    let request = AlterTableRequest {
        timeout_ms: 10_000,
        topic_id: topic,
        name: None,
        schema_id,
        validate_only: false,
        changes: changes.to_vec(),
    };
    let answer = client.call_ext(&request).await;
    (answer.error_code, answer.schema_id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_is_altered_and_old_rows_stay_as_they_are() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let inline = [(MODE, "inline"), ("tidelog.table.schema", CITIES)];
    let topic = client.make_topic("cities", 1, &inline).await;
    produce_json(
        &mut client,
        "cities",
        &[r#"{"id":1,"city":"Kiel"}"#.to_owned()],
    )
    .await;
    client.rows_up_to(columnar(topic, 0, None), 1).await;

    let changes = [
        change(0, "mayor", Some("string"), None),
        change(0, "address.street", Some("string"), None),
        change(1, "id", Some("long"), None),
        change(2, "city", None, Some("name")),
        change(3, "#1", None, None),
    ];
    assert_eq!(alter(&mut client, topic, 7, &changes).await, (95, -1));
    for refused in [
        change(1, "city", Some("int"), None),
        change(0, "x", Some("no type"), None),
        change(0, "city", Some("string"), None),
        change(2, "nobody", None, Some("x")),
        change(2, "city", None, None),
        change(9, "city", None, None),
        change(4, "", None, None),
    ] {
        assert_eq!(alter(&mut client, topic, -1, &[refused]).await, (42, -1));
    }
    assert_eq!(alter(&mut client, topic, 1, &changes).await, (0, 2));
    let later = r#"{"id":5000000000,"name":"Bonn","mayor":"A","address":{"street":"B"}}"#;
    produce_json(&mut client, "cities", &[later.to_owned()]).await;
    let broker = broker.restart().await;
    let mut client = broker.client().await;
    let runs = client.rows_up_to(columnar(topic, 0, None), 2).await;
    let table = client.describe_table(topic).await;
    assert_eq!((table.current_schema_id, table.schemas.len()), (2, 2));
    // The first row was made again, of a value that calls the column by its old name.
    let (_, cities) = column(&table, &runs, "name");
    assert_eq!(cities, ["Kiel", "Bonn"]);
    // By its id the renamed column is there in both.
    let request = columnar(topic, 0, Some(&["#2"]));
    let runs = client.rows_up_to(request, 2).await;
    let count: i32 = runs.iter().map(|run| run.row_count).sum();
    assert_eq!(count, 2);
    assert!(runs.iter().all(|run| !run.messages.is_empty()));
    assert_eq!(
        alter(&mut client, topic, -1, &[change(4, "mayor", None, None)]).await,
        (0, 3)
    );
}
