//! Records that are no rows: dead letters, dropped ones, those that hold a topic up, and those refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kafka_protocol::messages::DescribeConfigsRequest;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use support::data::{batch, values};
use support::group::text;
use support::lake::{ORDERS, chain, get, rows, status, tier, wait_for};
use support::{Client, PATIENCE, TestBroker};
use tidelog_protocol_ext::ext::tier_status::{
    ACTION_RETRY_DEAD_LETTERS, ACTION_STATUS, ACTION_TIER_NOW,
};
use tidelog_records::BatchBuilder;
use tidelog_registry::{Format, Registration};
use uuid::Uuid;

const INVALID: &str = "tidelog.table.invalid.records";
const INVALID_RECORD: i16 = 87;
const INVALID_CONFIG: i16 = 40;

/// The settings of a topic of orders that deals so with invalid records.
fn orders(action: &'static str) -> Vec<(&'static str, &'static str)> {
    ORDERS.into_iter().chain([(INVALID, action)]).collect()
}

/// Every third value is none of an order.
fn value(id: i64) -> String {
    match id % 3 {
        0 => format!("no order {id}"),
        _ => format!(r#"{{"id":{id},"city":"city {id}"}}"#),
    }
}

async fn produce(
    client: &mut Client,
    topic: &str,
    partition: i32,
    ids: std::ops::Range<i64>,
) -> PartitionProduceResponse {
    let texts: Vec<_> = ids.map(value).collect();
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    client.produce(topic, partition, batch(&texts)).await
}

type Rows = BTreeMap<(i32, i64), String>;

/// The cities of the orders among `count` values, and the values that are no orders, of partition 0.
fn expected(count: i64) -> (Rows, Rows) {
    let (dead, rows): (Vec<_>, Vec<_>) = (0..count).partition(|id| id % 3 == 0);
    let rows = rows.into_iter().map(|id| ((0, id), format!("city {id}")));
    (
        rows.collect(),
        dead.into_iter().map(|id| ((0, id), value(id))).collect(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_decode_is_a_row_of_another_table() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let topic = client.make_topic("shop.orders", 2, &ORDERS).await;
    produce(&mut client, "shop.orders", 1, 1..3).await;
    tier(&broker, topic).await;
    let (code, _) = get(&broker, "/v1/namespaces/tidelog/tables/shop_orders__dlq").await;
    assert_eq!(code, 404, "there is none yet");

    produce(&mut client, "shop.orders", 0, 0..100).await;
    tier(&broker, topic).await;
    let (mut cities, dead) = expected(100);
    cities.extend([((1, 0), "city 1".to_owned()), ((1, 1), "city 2".to_owned())]);
    assert_eq!(rows(&broker, "shop_orders", "city").await, cities);
    assert_eq!(rows(&broker, "shop_orders__dlq", "value").await, dead);
    let errors = rows(&broker, "shop_orders__dlq", "error").await;
    assert!(
        errors.values().all(|error| error.contains("not JSON")),
        "{errors:?}"
    );
    // Kafka's clients see the log.
    let kept = values(&client.fetch("shop.orders", 0, 0).await.records);
    assert_eq!(kept, (0..100).map(|id| (id, value(id))).collect::<Vec<_>>());
    let metrics = broker.running().broker.metrics();
    assert_eq!(
        (
            metrics.lake_undecodable.get(),
            metrics.lake_dead_letters.get()
        ),
        (34, 34)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_dead_letters_are_the_log_across_restarts_and_kills() {
    let mut broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let topic = client.make_topic("orders", 1, &ORDERS).await;
    for life in 0..6 {
        let mut client = broker.client().await;
        let from = life * 30;
        produce(&mut client, "orders", 0, from..from + 10).await;
        status(&broker, topic, ACTION_TIER_NOW).await;
        produce(&mut client, "orders", 0, from + 10..from + 30).await;
        // Killed at another place of a pass each time.
        tokio::time::sleep(Duration::from_millis(9 * life.unsigned_abs())).await;
        broker = match life % 2 {
            0 => broker.restart().await,
            _ => broker.kill().await,
        };
    }
    tier(&broker, topic).await;
    let (cities, dead) = expected(180);
    assert_eq!(rows(&broker, "orders", "city").await, cities);
    assert_eq!(rows(&broker, "orders__dlq", "value").await, dead);
    for table in ["orders", "orders__dlq"] {
        let moves = chain(&broker, table).await;
        assert_eq!(
            (moves[0]["0"].0, moves.last().unwrap()["0"].1),
            (0, 180),
            "{table}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_records_are_counted() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let topic = client.make_topic("orders", 1, &orders("drop")).await;
    produce(&mut client, "orders", 0, 0..10).await;
    tier(&broker, topic).await;
    assert_eq!(rows(&broker, "orders", "city").await, expected(10).0);
    let (code, _) = get(&broker, "/v1/namespaces/tidelog/tables/orders__dlq").await;
    assert_eq!(code, 404);
    let metrics = broker.running().broker.metrics();
    assert_eq!(
        (
            metrics.lake_undecodable.get(),
            metrics.lake_dead_letters.get()
        ),
        (4, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_waits_says_for_what_and_goes_on_by_itself() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let topic = client.make_topic("orders", 2, &orders("suspend")).await;
    produce(&mut client, "orders", 0, 1..10).await;
    produce(&mut client, "orders", 1, 1..3).await;
    // Up to the record, and all of the other partition.
    let stopped = wait_for(&broker, topic, |status| {
        let ends: Vec<_> = status.partitions.iter().map(|p| p.lake_end).collect();
        ends == [2, 2] && status.suspended_reason.is_some()
    })
    .await;
    let reason = stopped.suspended_reason.unwrap();
    for part in ["partition 0", "offset 2 ", "not JSON"] {
        assert!(reason.contains(part), "{reason}");
    }
    // What comes behind in the other partition is not held up.
    produce(&mut client, "orders", 1, 4..6).await;
    wait_for(&broker, topic, |status| status.partitions[1].lake_end == 4).await;

    let broker = broker.restart().await;
    let stopped = |ends: [i64; 2]| {
        wait_for(&broker, topic, move |status| {
            let now: Vec<_> = status.partitions.iter().map(|p| p.lake_end).collect();
            now == ends && status.suspended_reason.is_some()
        })
    };
    stopped([2, 4]).await;
    let mut client = broker.client().await;
    client.set_config("orders", INVALID, "dead_letter").await;
    wait_for(&broker, topic, |status| {
        status.partitions[0].lake_end == 9 && status.suspended_reason.is_none()
    })
    .await;
    let cities = rows(&broker, "orders", "city").await;
    let dead = rows(&broker, "orders__dlq", "value").await;
    assert_eq!((cities.len(), dead.len()), (6 + 4, 3));
    let metrics = broker.running().broker.metrics();
    assert_eq!(metrics.lake_undecodable.get(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_is_told_which_records_are_refused() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let topic = client.make_topic("orders", 1, &orders("reject")).await;
    let refused = produce(&mut client, "orders", 0, 1..8).await;
    assert_eq!(refused.error_code, INVALID_RECORD);
    let named: Vec<_> = refused
        .record_errors
        .iter()
        .map(|bad| bad.batch_index)
        .collect();
    assert_eq!(named, [2, 5]);
    let why = refused.record_errors[0].batch_index_error_message.as_ref();
    assert!(why.unwrap().contains("not JSON"), "{why:?}");
    let message = refused.error_message.unwrap();
    assert!(message.contains("2 of the batch's records"), "{message}");

    let taken = produce(&mut client, "orders", 0, 1..3).await;
    assert_eq!((taken.error_code, taken.base_offset), (0, 0));
    // What an idempotent producer sends again was taken under the rules of its time.
    client.set_config("orders", INVALID, "drop").await;
    let sent = || {
        let mut builder = BatchBuilder::new().producer(77, 0, 0);
        let nothing: [(&[u8], Option<&[u8]>); 0] = [];
        builder.append(1, None, Some(b"no order"), nothing).unwrap();
        builder.finish().unwrap()
    };
    assert_eq!(client.produce("orders", 0, sent()).await.base_offset, 2);
    client.set_config("orders", INVALID, "reject").await;
    let again = client.produce("orders", 0, sent()).await;
    assert_eq!((again.error_code, again.base_offset), (0, 2));

    tier(&broker, topic).await;
    let dead = rows(&broker, "orders__dlq", "value").await;
    assert_eq!(dead, [((0, 2), "no order".to_owned())].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_known_yet_is_taken() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let set = |mode| {
        let mut set = orders("reject");
        set.retain(|(name, _)| *name != "tidelog.table.schema");
        set[0].1 = mode;
        set
    };
    let bytes = client.make_topic("bytes", 1, &set("key_value")).await;
    assert_eq!(produce(&mut client, "bytes", 0, 0..9).await.error_code, 0);
    let inferred = client.make_topic("inferred", 1, &set("inferred")).await;
    // Nobody knows the columns.
    assert_eq!(
        produce(&mut client, "inferred", 0, 0..9).await.error_code,
        0
    );
    for (topic, table, rows_there, dead) in [(bytes, "bytes", 9, 0), (inferred, "inferred", 6, 3)] {
        wait_for(&broker, topic, |status| {
            status.partitions.first().is_some_and(|p| p.lake_end == 9)
        })
        .await;
        let column = if dead == 0 { "value" } else { "city" };
        assert_eq!(rows(&broker, table, column).await.len(), rows_there);
        let (code, _) = get(
            &broker,
            &format!("/v1/namespaces/tidelog/tables/{table}__dlq"),
        )
        .await;
        assert_eq!(code, if dead == 0 { 404 } else { 200 });
    }
    assert_eq!(rows(&broker, "inferred__dlq", "value").await.len(), 3);
    // Now somebody does.
    let refused = produce(&mut client, "inferred", 0, 0..2).await;
    assert_eq!(refused.error_code, INVALID_RECORD);
    assert_eq!(refused.record_errors[0].batch_index, 0);
}

async fn register(broker: &TestBroker, subject: &str, text: &str) -> i32 {
    let registration = Registration {
        text: text.to_owned(),
        format: Format::Avro,
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

#[tokio::test(flavor = "multi_thread")]
async fn another_products_names_make_such_a_topic() {
    let broker = TestBroker::start(&[]).await;
    let schema = r#"{"type":"record","name":"R","fields":[{"name":"f","type":"string"}]}"#;
    assert_eq!(register(&broker, "events-value", schema).await, 1);
    let mut client = broker.client().await;
    let set = [
        ("redpanda.iceberg.mode", "value_schema_id_prefix"),
        ("redpanda.iceberg.invalid.record.action", "dlq_table"),
        ("redpanda.iceberg.target.lag.ms", "1000"),
        ("redpanda.iceberg.delete", "false"),
        ("redpanda.iceberg.partition.spec", "()"),
    ];
    let topic = client.make_topic("events", 1, &set).await;
    let framed = |id: u8, text: &str| {
        let length = u8::try_from(text.len() * 2).unwrap();
        let mut value = vec![0, 0, 0, 0, id, length];
        value.extend(text.as_bytes());
        String::from_utf8(value).unwrap()
    };
    // The registry has no schema 99.
    let records = [
        framed(1, "a"),
        framed(99, "b"),
        "bare".to_owned(),
        framed(1, "d"),
    ];
    let records = records.each_ref().map(String::as_str);
    client.produce("events", 0, batch(&records)).await;
    tier(&broker, topic).await;
    let good = [((0, 0), "a".to_owned()), ((0, 3), "d".to_owned())];
    assert_eq!(rows(&broker, "events", "f").await, good.into());
    let dead = [((0, 1), framed(99, "b")), ((0, 2), "bare".to_owned())];
    assert_eq!(rows(&broker, "events__dlq", "value").await, dead.into());
    let errors = rows(&broker, "events__dlq", "error").await;
    assert!(errors[&(0, 1)].contains("schema 99"), "{errors:?}");
    assert!(errors[&(0, 2)].contains("names no schema"), "{errors:?}");

    let described = describe(&mut client, "events").await;
    for (name, value) in set.into_iter().chain([
        ("tidelog.table.mode", "value_schema_id_prefix"),
        ("tidelog.lake.enable", "true"),
        (INVALID, "dead_letter"),
        ("tidelog.lake.target.lag.ms", "1000"),
    ]) {
        assert_eq!(
            described.get(name).map(String::as_str),
            Some(value),
            "{name}"
        );
    }
    client
        .set_config("events", "redpanda.iceberg.mode", "disabled")
        .await;
    wait_for_none(&broker, topic).await;
    let described = describe(&mut client, "events").await;
    assert_eq!(described["redpanda.iceberg.mode"], "disabled");

    for (set, reason) in [
        (("redpanda.iceberg.delete", "true"), "outlives its topic"),
        (
            (
                "redpanda.iceberg.partition.spec",
                "(day(redpanda.timestamp))",
            ),
            "unpartitioned",
        ),
        (("redpanda.iceberg.mode", "auto"), "tidelog.table.mode"),
    ] {
        let refused = client.try_make_topic("refused", 1, &[set]).await;
        assert_eq!(refused.error_code, INVALID_CONFIG);
        let message = refused.error_message.unwrap();
        assert!(
            message.contains(set.0) && message.contains(reason),
            "{message}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_whose_schema_comes_later_becomes_a_row() {
    let broker = TestBroker::start(&[]).await;
    let schema = |more: &str| {
        let field = r#"{"name":"f","type":"string"}"#;
        format!(r#"{{"type":"record","name":"R","fields":[{field}{more}]}}"#)
    };
    assert_eq!(register(&broker, "events-value", &schema("")).await, 1);
    let mut client = broker.client().await;
    let set = [
        ("tidelog.table.mode", "value_schema_id_prefix"),
        ("tidelog.lake.enable", "true"),
        ("tidelog.lake.target.lag.ms", "1000"),
    ];
    let topic = client.make_topic("events", 2, &set).await;
    // The second one ends with a null of a field that only schema 2 has.
    let (known, unknown) = ("\0\0\0\0\u{1}\u{2}a", "\0\0\0\0\u{2}\u{2}b\0");
    for partition in 0..2 {
        client
            .produce("events", partition, batch(&[known, unknown, "bare", known]))
            .await;
        tier(&broker, topic).await;
    }
    assert_eq!(rows(&broker, "events__dlq", "value").await.len(), 4);
    let ask = async |broker: &TestBroker| {
        status(broker, topic, ACTION_RETRY_DEAD_LETTERS).await;
        let metrics = broker.running().broker.metrics();
        metrics.lake_dead_letters_retried.get()
    };
    assert_eq!(ask(&broker).await, 0);

    let newer = schema(r#",{"name":"g","type":["null","int"],"default":null}"#);
    assert_eq!(register(&broker, "events-value", &newer).await, 2);
    let started = Instant::now();
    while ask(&broker).await < 2 {
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let text = |texts: [&str; 3]| texts.map(str::to_owned);
    let expected: Rows = (0..2)
        .flat_map(|p| {
            [0, 1, 3]
                .map(|offset| (p, offset))
                .into_iter()
                .zip(text(["a", "b", "a"]))
        })
        .collect();
    let dead: Rows = (0..2).map(|p| ((p, 2), "bare".to_owned())).collect();
    let broker = broker.kill().await;
    // Nothing is left to move; and nothing comes twice.
    tier(&broker, topic).await;
    assert_eq!(ask(&broker).await, 0);
    assert_eq!(rows(&broker, "events", "f").await, expected);
    assert_eq!(rows(&broker, "events__dlq", "value").await, dead);
    client = broker.client().await;
    client
        .produce("events", 0, batch(&[known, unknown, "bare"]))
        .await;
    tier(&broker, topic).await;
    assert_eq!(rows(&broker, "events", "f").await.len(), 8);
    assert_eq!(rows(&broker, "events__dlq", "value").await.len(), 3);
    chain(&broker, "events__dlq").await;
}

/// Waits until a topic is in no lake.
async fn wait_for_none(broker: &TestBroker, topic: Uuid) {
    wait_for(broker, topic, |status| status.error_code != 0).await;
    assert_ne!(status(broker, topic, ACTION_STATUS).await.error_code, 0);
}

/// The settings of a topic by name.
async fn describe(client: &mut Client, topic: &str) -> BTreeMap<String, String> {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text(topic));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let answer = client.call(4, &request).await.results.remove(0);
    assert_eq!(answer.error_code, 0);
    let entries = answer.configs.into_iter();
    entries
        .filter_map(|entry| Some((entry.name.to_string(), entry.value?.to_string())))
        .collect()
}
