//! Typed topics by column: what was produced as JSON comes back as Arrow, live, after a restart,
//! and when the topic became a table late.

mod support;

use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use kafka_protocol::messages::IncrementalAlterConfigsRequest;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use support::data::batch;
use support::group::text;
use support::table::{columnar, decode, longs, rows};
use support::{Client, TestBroker};

const SCHEMA: &str = r#"{"fields":[
    {"name":"id","type":"long","nullable":false},
    {"name":"city","type":"string"},
    {"name":"amount","type":"double"},
    {"name":"note","type":"string"}
]}"#;

const TYPED: [(&str, &str); 2] = [
    ("tidelog.table.mode", "inline"),
    ("tidelog.table.schema", SCHEMA),
];

fn order(id: i64) -> String {
    let (city, amount) = (id % 7, id as f64 / 4.0);
    format!(r#"{{"id":{id},"city":"city-{city}","amount":{amount},"note":"note {id:040}"}}"#)
}

async fn produce(client: &mut Client, topic: &str, ids: std::ops::Range<i64>) {
    let values: Vec<_> = ids.map(order).collect();
    for some in values.chunks(1_000) {
        let some: Vec<&str> = some.iter().map(String::as_str).collect();
        let answer = client.produce(topic, 0, batch(&some)).await;
        assert_eq!(answer.error_code, 0, "{answer:?}");
    }
}

#[tokio::test]
async fn two_columns_of_what_was_just_produced() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let topic = client.make_topic("orders", 1, &TYPED).await;
    let table = client.describe_table(topic).await;
    assert_eq!((table.error_code, &table.mode[..]), (0, "inline"));
    assert_eq!((table.current_schema_id, table.schemas.len()), (1, 1));
    produce(&mut client, "orders", 0..2_500).await;

    // In another order than the schema's, and once by its id.
    let wanted = ["amount", "#1"];
    let request = columnar(topic, 0, Some(&wanted));
    let runs = client.rows_up_to(request, 2_500).await;
    let batches = decode(&table, Some(&["id", "amount"]), &runs);
    assert_eq!(longs(&batches, "id"), (0..2_500).collect::<Vec<_>>());
    let amounts = batches[0].column_by_name("amount").unwrap();
    assert_eq!(amounts.as_primitive::<Float64Type>().value(3), 0.75);

    // From inside a block.
    let runs = client
        .rows_up_to(columnar(topic, 1_234, Some(&["_offset"])), 2_500)
        .await;
    assert_eq!(runs[0].first_offset, 1_234);
    let batches = decode(&table, Some(&["_offset"]), &runs);
    assert_eq!(
        longs(&batches, "_offset"),
        (1_234..2_500).collect::<Vec<_>>()
    );

    // No column: only counts.
    let runs = client
        .rows_up_to(columnar(topic, 100, Some(&[])), 2_500)
        .await;
    assert_eq!(rows(&runs), 2_400);
    assert!(runs.iter().all(|run| run.messages.is_empty()));

    // Every column, system columns first.
    let runs = client.rows_up_to(columnar(topic, 0, None), 2_500).await;
    let batches = decode(&table, None, &runs);
    assert_eq!(batches[0].num_columns(), 10);
    let keys = batches[0].column_by_name("_key").unwrap();
    assert_eq!(keys.as_binary::<i32>().value(0), b"k");
    let described = client.describe_table(topic).await;
    assert_eq!(described.partitions[0].row_count, 2_500);
}

#[tokio::test]
async fn a_fetch_waits_for_rows() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let topic = client.make_topic("orders", 1, &TYPED).await;
    let mut reader = broker.client().await;
    let mut request = columnar(topic, 0, Some(&["id"]));
    request.max_wait_ms = 15_000;
    request.min_rows = 30;
    let started = Instant::now();
    let waiting = tokio::spawn(async move { reader.rows(&request).await });
    for from in [0, 10, 20] {
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!waiting.is_finished(), "{from} rows are not enough");
        produce(&mut client, "orders", from..from + 10).await;
    }
    let found = waiting.await.unwrap();
    assert_eq!((rows(&found.runs), found.next_offset), (30, 30));
    assert!(started.elapsed() < Duration::from_secs(10));

    // At the end: nothing, after the wait.
    let mut request = columnar(topic, 30, Some(&["id"]));
    request.max_wait_ms = 200;
    let started = Instant::now();
    let nothing = client.rows(&request).await;
    assert_eq!((nothing.runs.len(), nothing.next_offset), (0, 30));
    assert!(started.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn limits_leave_at_least_one_record_batch() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let topic = client.make_topic("orders", 1, &TYPED).await;
    produce(&mut client, "orders", 0..25_000).await;
    client
        .rows_up_to(columnar(topic, 0, Some(&[])), 25_000)
        .await;
    let mut request = columnar(topic, 0, None);
    request.max_bytes = 1;
    let mut offset = 0;
    while offset < 25_000 {
        request.topics[0].partitions[0].fetch_offset = offset;
        let found = client.rows(&request).await;
        assert_eq!(found.runs.len(), 1);
        assert_eq!(found.next_offset, found.runs[0].last_offset + 1);
        assert_eq!(rows(&found.runs), found.next_offset - offset);
        assert!(rows(&found.runs) <= 10_000);
        offset = found.next_offset;
    }
}

#[tokio::test]
async fn a_restart_goes_on_where_the_files_end() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let set = [TYPED[0], TYPED[1], ("tidelog.table.codec", "none")];
    let topic = client.make_topic("orders", 1, &set).await;
    produce(&mut client, "orders", 0..30_000).await;
    let columns = ["id", "_offset"];
    let before = client
        .rows_up_to(columnar(topic, 0, Some(&columns)), 30_000)
        .await;
    let broker = broker.restart().await;
    let mut client = broker.client().await;
    // So much was worth a file.
    let table = client.describe_table(topic).await;
    assert_eq!(table.partitions[0].rows_to, 30_000);
    produce(&mut client, "orders", 30_000..30_100).await;
    let after = client
        .rows_up_to(columnar(topic, 0, Some(&columns)), 30_100)
        .await;
    let ids = longs(&decode(&table, Some(&columns), &after), "id");
    assert_eq!(ids, (0..30_100).collect::<Vec<_>>());
    assert_eq!(
        ids[..30_000],
        longs(&decode(&table, Some(&columns), &before), "id")
    );
    // From inside a block of a file.
    let inside = client
        .rows_up_to(columnar(topic, 12_345, Some(&columns)), 30_100)
        .await;
    let ids = longs(&decode(&table, Some(&columns), &inside), "_offset");
    assert_eq!(ids, (12_345..30_100).collect::<Vec<_>>());
    let described = client.describe_table(topic).await;
    assert_eq!(described.partitions[0].row_count, 30_100);

    let broker = broker.restart().await;
    let mut client = broker.client().await;
    let again = client
        .rows_up_to(columnar(topic, 0, Some(&columns)), 30_100)
        .await;
    assert_eq!(rows(&again), 30_100);
}

async fn alter(client: &mut Client, topic: &str, set: &[(&str, &str)]) -> (i16, String) {
    let configs = set.iter().map(|(name, value)| {
        AlterableConfig::default()
            .with_name(text(name))
            .with_config_operation(0)
            .with_value(Some(text(value)))
    });
    let resource = AlterConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text(topic))
        .with_configs(configs.collect());
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let answer = client.call(1, &request).await;
    let first = &answer.responses[0];
    let message = first.error_message.as_deref().unwrap_or_default();
    (first.error_code, message.to_owned())
}

#[tokio::test]
async fn a_topic_becomes_a_table_late_and_stays_one() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let topic = client.make_topic("orders", 1, &[]).await;
    produce(&mut client, "orders", 0..5_000).await;
    assert_eq!(alter(&mut client, "orders", &TYPED).await.0, 0);
    produce(&mut client, "orders", 5_000..5_010).await;
    let runs = client
        .rows_up_to(columnar(topic, 0, Some(&["id"])), 5_010)
        .await;
    let table = client.describe_table(topic).await;
    let ids = longs(&decode(&table, Some(&["id"]), &runs), "id");
    assert_eq!(ids, (0..5_010).collect::<Vec<_>>());

    const INVALID_CONFIG: i16 = 40;
    for (name, value) in [
        ("tidelog.table.mode", "key_value"),
        ("tidelog.table.mode", "disabled"),
        (
            "tidelog.table.schema",
            r#"{"fields":[{"name":"other","type":"long"}]}"#,
        ),
    ] {
        let (code, message) = alter(&mut client, "orders", &[(name, value)]).await;
        assert_eq!(code, INVALID_CONFIG, "{name}={value}");
        assert!(message.contains(name) && message.contains("cannot be changed"));
    }
    // The same schema in other words, and what is no matter of schemas.
    let compact = SCHEMA.replace(char::is_whitespace, "");
    for set in [
        ("tidelog.table.schema", &compact[..]),
        ("tidelog.table.codec", "lz4"),
    ] {
        assert_eq!(
            alter(&mut client, "orders", &[set]).await,
            (0, String::new())
        );
    }
    produce(&mut client, "orders", 5_010..5_020).await;
    let runs = client
        .rows_up_to(columnar(topic, 0, Some(&["id"])), 5_020)
        .await;
    assert_eq!(rows(&runs), 5_020);
    let bad = r#"{"fields":[{"name":"amount","type":"lnog"}]}"#;
    client.make_topic("plain", 1, &[]).await;
    let (code, message) = alter(&mut client, "plain", &[("tidelog.table.schema", bad)]).await;
    assert_eq!(code, INVALID_CONFIG);
    assert!(message.contains("amount"), "{message}");
}

#[tokio::test]
async fn two_columns_cost_what_they_store() {
    let names: Vec<_> = (0..20).map(|n| format!("c{n}")).collect();
    let fields: Vec<_> = names
        .iter()
        .map(|name| format!(r#"{{"name":"{name}","type":"long"}}"#))
        .collect();
    let schema = format!(r#"{{"fields":[{}]}}"#, fields.join(","));
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let set = [
        ("tidelog.table.mode", "inline"),
        ("tidelog.table.schema", &schema[..]),
        ("tidelog.table.codec", "none"),
    ];
    let topic = client.make_topic("wide", 1, &set).await;
    for from in (0..20_000).step_by(1_000) {
        let values: Vec<_> = (from..from + 1_000)
            .map(|row: i64| {
                let members: Vec<_> = names
                    .iter()
                    .map(|name| format!(r#""{name}":{}"#, row * 31))
                    .collect();
                format!("{{{}}}", members.join(","))
            })
            .collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let answer = client.produce("wide", 0, batch(&values)).await;
        assert_eq!(answer.error_code, 0);
    }
    let broker = {
        client
            .rows_up_to(columnar(topic, 0, Some(&[])), 20_000)
            .await;
        broker.restart().await
    };
    let mut client = broker.client().await;
    client.wait_for_rows_to(topic, 20_000).await;
    let runs = client
        .rows_up_to(columnar(topic, 0, Some(&["c3", "c11"])), 20_000)
        .await;
    assert_eq!(rows(&runs), 20_000);
    let sent: usize = runs.iter().map(|run| run.messages.len()).sum();
    // Two columns of 8-byte longs without nulls.
    let stored = 20_000 * 2 * 8;
    assert!(
        sent >= stored && sent <= stored * 102 / 100,
        "{sent} of {stored}"
    );
}

#[tokio::test]
async fn names_and_places_that_are_not_there() {
    const INVALID_REQUEST: i16 = 42;
    const UNKNOWN_TOPIC_ID: i16 = 100;
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let topic = client.make_topic("orders", 1, &TYPED).await;
    produce(&mut client, "orders", 0..10).await;

    let unknown = client
        .columnar(&columnar(topic, 0, Some(&["id", "prize"])))
        .await;
    assert_eq!(unknown.error_code, INVALID_REQUEST);
    assert!(unknown.error_message.unwrap().contains("prize"));
    let mut filtered = columnar(topic, 0, None);
    filtered.topics[0].filter = Some(bytes::Bytes::from_static(b"x"));
    assert_eq!(client.columnar(&filtered).await.error_code, INVALID_REQUEST);
    for (offset, epoch, expected) in [(-1, -1, 1), (11, -1, 1), (0, 9, 75), (0, -1, 0)] {
        let mut request = columnar(topic, offset, None);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        let answer = client.columnar(&request).await;
        let rows = &answer.partitions[0];
        assert_eq!(rows.error_code, expected, "{offset} {epoch}");
        assert_eq!(rows.next_offset == -1, expected != 0);
    }
    let mut elsewhere = columnar(topic, 0, None);
    elsewhere.topics[0].partitions[0].partition = 7;
    let answer = client.columnar(&elsewhere).await;
    assert_eq!(answer.partitions[0].error_code, 3);

    // Deleted while a reader waits for more.
    let mut reader = broker.client().await;
    let mut request = columnar(topic, 10, None);
    request.max_wait_ms = 15_000;
    let started = Instant::now();
    let waiting = tokio::spawn(async move { reader.columnar(&request).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    client.delete_topic("orders").await;
    let answer = waiting.await.unwrap();
    assert_eq!(answer.partitions[0].error_code, UNKNOWN_TOPIC_ID);
    assert!(started.elapsed() < Duration::from_secs(10));
    let gone = client.columnar(&columnar(topic, 0, None)).await;
    assert_eq!(gone.error_code, UNKNOWN_TOPIC_ID);
    assert_eq!(
        client.describe_table(topic).await.error_code,
        UNKNOWN_TOPIC_ID
    );
}
