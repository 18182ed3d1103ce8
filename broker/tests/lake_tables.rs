//! Topics that are Iceberg tables too: rows come once, whatever happens to the broker.

mod support;

use std::collections::BTreeMap;

use support::TestBroker;
use support::data::batch;
use support::lake::{ORDERS, chain, delete, get, rows, status, tier, wait_for};
use tidelog_protocol_ext::ext::tier_status::{ACTION_STATUS, ACTION_TIER_NOW};
use uuid::Uuid;

/// Produces orders `ids` to one partition, in one batch.
async fn order(broker: &TestBroker, topic: &str, partition: i32, ids: std::ops::Range<i64>) {
    let values: Vec<_> = ids
        .map(|id| format!(r#"{{"id":{id},"city":"city {id}"}}"#))
        .collect();
    let values: Vec<_> = values.iter().map(String::as_str).collect();
    let mut client = broker.client().await;
    let answer = client.produce(topic, partition, batch(&values)).await;
    assert_eq!(answer.error_code, 0);
}

/// What the table should hold when `ids` went to partition 0 from offset 0 on.
fn cities(ids: std::ops::Range<i64>) -> BTreeMap<(i32, i64), String> {
    ids.clone()
        .map(|id| ((0, id - ids.start), format!("city {id}")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn typed_records_become_rows_of_a_table() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let topic = client.make_topic("shop.orders", 2, &ORDERS).await;
    order(&broker, "shop.orders", 0, 0..100).await;
    order(&broker, "shop.orders", 1, 100..150).await;
    // Nobody asks: the lag alone makes them go.
    let status = wait_for(&broker, topic, |status| {
        let ends: Vec<_> = status.partitions.iter().map(|p| p.lake_end).collect();
        ends == [100, 50]
    })
    .await;
    assert_eq!(status.mode.as_str(), "inline");
    assert_eq!((status.pending_bytes, status.suspended_reason), (0, None));
    assert!(status.last_snapshot_id > 0 && status.last_commit_ms > 0);
    assert!(status.partitions.iter().all(|p| p.lag_ms == 0));

    let mut expected = cities(0..100);
    expected.extend((0..50).map(|offset| ((1, offset), format!("city {}", 100 + offset))));
    assert_eq!(rows(&broker, "shop_orders", "city").await, expected);

    let (code, listed) = get(&broker, "/v1/namespaces/tidelog/tables").await;
    assert_eq!(
        (code, &listed["identifiers"][0]["name"]),
        (200, &"shop_orders".into())
    );
    let (_, config) = get(&broker, "/v1/config").await;
    assert!(config["endpoints"].is_array(), "{config}");
    let (code, _) = get(&broker, "/v1/namespaces/tidelog/tables/nothing").await;
    assert_eq!(code, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_values_become_rows_as_bytes() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let set = [
        ("tidelog.table.mode", "key_value"),
        ("tidelog.lake.enable", "true"),
    ];
    let topic = client.make_topic("clicks", 1, &set).await;
    client.produce("clicks", 0, batch(&["a", "not json"])).await;
    tier(&broker, topic).await;
    let expected = [((0, 0), "a".to_owned()), ((0, 1), "not json".to_owned())];
    assert_eq!(rows(&broker, "clicks", "value").await, expected.into());
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_once_across_restarts_and_kills() {
    let mut broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let topic = client.make_topic("orders", 1, &ORDERS).await;
    for life in 0..6 {
        let from = life * 30;
        order(&broker, "orders", 0, from..from + 10).await;
        status(&broker, topic, ACTION_TIER_NOW).await;
        order(&broker, "orders", 0, from + 10..from + 30).await;
        // Killed at another place of a pass each time.
        tokio::time::sleep(std::time::Duration::from_millis(7 * life.unsigned_abs())).await;
        broker = match life % 2 {
            0 => broker.restart().await,
            _ => broker.kill().await,
        };
    }
    tier(&broker, topic).await;
    assert_eq!(rows(&broker, "orders", "city").await, cities(0..180));
    let moves = chain(&broker, "orders").await;
    assert_eq!((moves[0]["0"].0, moves.last().unwrap()["0"].1), (0, 180));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_does_not_decode_is_passed_over() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let topic = client.make_topic("orders", 1, &ORDERS).await;
    let values = [
        r#"{"id":1,"city":"a"}"#,
        "no json",
        r#"{"id":2,"city":"b"}"#,
    ];
    client.produce("orders", 0, batch(&values)).await;
    tier(&broker, topic).await;
    let expected = [((0, 0), "a".to_owned()), ((0, 2), "b".to_owned())];
    assert_eq!(rows(&broker, "orders", "city").await, expected.into());
    let metrics = broker.running().broker.metrics();
    assert_eq!(metrics.lake_undecodable.get(), 1);
    assert_eq!(
        (metrics.lake_rows.get(), metrics.lake_lost_offsets.get()),
        (2, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_topic_that_cannot_go_on_holds_no_other() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    // Both names make the table shop_orders; Kafka forbids such a pair to exist at once.
    let first = client.make_topic("shop.orders", 1, &ORDERS).await;
    order(&broker, "shop.orders", 0, 0..7).await;
    // Nobody waits for the lake; the deletion does.
    client.delete_topic("shop.orders").await;
    let kept = rows(&broker, "shop_orders", "city").await;
    assert_eq!(kept, cities(0..7));
    let second = client.make_topic("shop_orders", 1, &ORDERS).await;
    let other = client.make_topic("other", 1, &ORDERS).await;
    order(&broker, "shop_orders", 0, 0..10).await;
    order(&broker, "other", 0, 0..10).await;
    tier(&broker, other).await;
    let stopped = wait_for(&broker, second, |status| status.suspended_reason.is_some()).await;
    let reason = stopped.suspended_reason.unwrap();
    assert!(
        reason.contains(&format!("belongs to topic {first}")) && reason.contains("drop that table"),
        "{reason}"
    );
    assert_eq!(stopped.partitions[0].lake_end, 0);

    // Out of the way, it can be made.
    assert_eq!(
        delete(&broker, "/v1/namespaces/tidelog/tables/shop_orders").await,
        204
    );
    tier_again(&broker, second).await;
    assert_eq!(rows(&broker, "shop_orders", "city").await, cities(0..10));
}

/// Asks again and again, until the reason that stopped it is gone.
async fn tier_again(broker: &TestBroker, topic: Uuid) {
    for _ in 0..100 {
        status(broker, topic, ACTION_TIER_NOW).await;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let now = status(broker, topic, ACTION_STATUS).await;
        if now.suspended_reason.is_none() {
            break;
        }
    }
    tier(broker, topic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_somebody_dropped_is_not_made_anew_unasked() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let topic = client.make_topic("orders", 1, &ORDERS).await;
    order(&broker, "orders", 0, 0..10).await;
    tier(&broker, topic).await;
    assert_eq!(
        delete(&broker, "/v1/namespaces/tidelog/tables/orders").await,
        204
    );
    order(&broker, "orders", 0, 10..20).await;
    let broker = broker.restart().await;
    // At first the reason is only that nobody looked yet.
    wait_for(&broker, topic, |status| {
        let reason = status.suspended_reason.as_deref();
        reason.is_some_and(|reason| reason.contains("tidelog.orders is gone"))
    })
    .await;
    let (code, _) = get(&broker, "/v1/namespaces/tidelog/tables/orders").await;
    assert_eq!(code, 404);

    let mut client = broker.client().await;
    client
        .set_config("orders", "tidelog.lake.enable", "false")
        .await;
    wait_for(&broker, topic, |status| status.error_code != 0).await;
    client
        .set_config("orders", "tidelog.lake.enable", "true")
        .await;
    wait_for(&broker, topic, |status| {
        status.partitions.first().is_some_and(|p| p.lake_end == 20)
    })
    .await;
    assert_eq!(rows(&broker, "orders", "city").await, cities(0..20));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_tiered_says_why() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let lake = ("tidelog.lake.enable", "true");
    let (mode, key) = (
        ("tidelog.table.mode", "key_value"),
        ("tidelog.table.key", "record_key"),
    );
    for (set, reason) in [
        (&[lake][..], "set tidelog.table.mode too"),
        (&[lake, mode, key], "leave out tidelog.table.key"),
    ] {
        let refused = client.try_make_topic("refused", 1, set).await;
        assert_eq!(refused.error_code, 40);
        let message = refused.error_message.unwrap();
        assert!(message.contains(reason), "{message}");
    }
    let off = client.make_topic("off", 1, &[]).await;
    assert_eq!(status(&broker, off, ACTION_STATUS).await.error_code, 42);
    assert_eq!(
        status(&broker, Uuid::from_u128(5), ACTION_STATUS)
            .await
            .error_code,
        100
    );
}
