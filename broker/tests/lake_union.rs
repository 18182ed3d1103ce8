//! Where lake and log meet: cuts, leases, and what retention may take.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use support::data::batch;
use support::lake::{ORDERS, call, rows, status, tier};
use support::{PATIENCE, TestBroker};
use tidelog_protocol_ext::ext::tier_status::ACTION_STATUS;
use tidelog_protocol_ext::ext::union_read_offsets::{
    UnionReadOffsetsRequest, UnionReadOffsetsResponse,
};
use uuid::Uuid;

const ORDER: &str = r#"{"id":1,"city":"a"}"#;

async fn cut(broker: &TestBroker, topic: Uuid, lease: Uuid, ms: i32) -> UnionReadOffsetsResponse {
    let request = UnionReadOffsetsRequest {
        topic_id: topic,
        lease_id: lease,
        lease_ms: ms,
    };
    call(broker.address(), &request).await
}

/// The first cut of a topic, once its table was made.
async fn first_cut(broker: &TestBroker, topic: Uuid, lease_ms: i32) -> UnionReadOffsetsResponse {
    let started = std::time::Instant::now();
    loop {
        let found = cut(broker, topic, Uuid::nil(), lease_ms).await;
        if found.error_code == 0 {
            return found;
        }
        assert_eq!(found.error_code, 14, "{found:?}");
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn log_start(broker: &TestBroker, topic: Uuid) -> i64 {
    let partition = broker.running().broker.log().partition(topic, 0).unwrap();
    partition.marks().log_start
}

async fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let started = std::time::Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cut_is_where_the_snapshot_ends() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let mut set = ORDERS;
    set[3].1 = "600000";
    let topic = client.make_topic("orders", 2, &set).await;
    let empty = first_cut(&broker, topic, 0).await;
    assert_eq!((empty.snapshot_id, empty.lease_id), (-1, Uuid::nil()));
    assert_eq!(empty.metadata_location, None);

    client.produce("orders", 0, batch(&[ORDER; 3])).await;
    let last = tier(&broker, topic).await.last_snapshot_id;
    client.produce("orders", 0, batch(&[ORDER; 4])).await;
    client.produce("orders", 1, batch(&[ORDER; 5])).await;
    let found = cut(&broker, topic, Uuid::nil(), 0).await;
    assert_eq!((found.error_code, found.snapshot_id), (0, last));
    assert!(found.metadata_location.unwrap().ends_with(".metadata.json"));
    let ends = found.partitions.iter();
    let ends: Vec<_> = ends
        .map(|p| (p.partition, p.lake_end, p.stable_end))
        .collect();
    assert_eq!(ends, [(0, 3, 7), (1, 0, 5)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_keeps_its_cut_until_it_ends() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let topic = client.make_topic("orders", 1, &ORDERS).await;
    client.produce("orders", 0, batch(&[ORDER; 3])).await;
    tier(&broker, topic).await;
    let first = cut(&broker, topic, Uuid::nil(), 60_000).await;
    assert_eq!((first.error_code, first.lease_ms), (0, 60_000));
    assert!(!first.lease_id.is_nil());

    client.produce("orders", 0, batch(&[ORDER; 3])).await;
    tier(&broker, topic).await;
    let again = cut(&broker, topic, first.lease_id, 30_000).await;
    assert_eq!(
        (again.snapshot_id, again.lease_ms),
        (first.snapshot_id, 30_000)
    );
    assert_eq!(
        (again.partitions[0].lake_end, again.partitions[0].stable_end),
        (3, 6)
    );
    let capped = cut(&broker, topic, first.lease_id, i32::MAX).await;
    assert_eq!(capped.lease_ms, 30 * 60 * 1000);

    assert_eq!(cut(&broker, topic, first.lease_id, 0).await.error_code, 0);
    assert_eq!(cut(&broker, topic, first.lease_id, 5).await.error_code, 91);
    assert_eq!(cut(&broker, topic, Uuid::nil(), -1).await.error_code, 42);
    assert_eq!(
        cut(&broker, Uuid::from_u128(9), Uuid::nil(), 0)
            .await
            .error_code,
        100
    );
    let off = client.make_topic("off", 1, &[]).await;
    assert_eq!(cut(&broker, off, Uuid::nil(), 0).await.error_code, 42);
}

/// Keeps a byte at most, looked at all the time.
const SHORT: [&str; 1] = ["log.retention.check.interval.ms=1"];

#[tokio::test(flavor = "multi_thread")]
async fn retention_waits_for_the_lake_and_for_leases() {
    let broker = TestBroker::start(&SHORT).await;
    let mut client = broker.client().await;
    let mut set = ORDERS.to_vec();
    set[3].1 = "600000";
    set.push(("retention.bytes", "0"));
    let topic = client.make_topic("orders", 1, &set).await;
    let lease = first_cut(&broker, topic, 600_000).await.lease_id;
    client.produce("orders", 0, batch(&[ORDER; 3])).await;
    // Retention looks every second or so.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(log_start(&broker, topic), 0);

    tier(&broker, topic).await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(log_start(&broker, topic), 0);
    assert_eq!(cut(&broker, topic, lease, 0).await.error_code, 0);
    wait_until("trimmed", || log_start(&broker, topic) == 3).await;
    assert_eq!(rows(&broker, "orders", "city").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_its_budget_retention_does_not_wait_and_the_gap_is_counted() {
    let broker = TestBroker::start(&SHORT).await;
    let mut client = broker.client().await;
    let mut set = ORDERS.to_vec();
    set[3].1 = "600000";
    set.push(("retention.bytes", "0"));
    set.push(("tidelog.lake.retention.budget.bytes", "0"));
    let topic = client.make_topic("orders", 1, &set).await;
    first_cut(&broker, topic, 0).await;
    client.produce("orders", 0, batch(&[ORDER; 3])).await;
    tier(&broker, topic).await;
    client.produce("orders", 0, batch(&[ORDER; 5])).await;
    wait_until("trimmed", || log_start(&broker, topic) == 8).await;
    let status = status(&broker, topic, ACTION_STATUS).await;
    assert_eq!(
        (
            status.partitions[0].lake_end,
            status.partitions[0].stable_end
        ),
        (3, 8)
    );

    client.produce("orders", 0, batch(&[ORDER; 2])).await;
    tier(&broker, topic).await;
    let lost = broker.running().broker.metrics().lake_lost_offsets.get();
    assert!((5..=7).contains(&lost), "{lost}");
    let table = rows(&broker, "orders", "city").await;
    assert_eq!(table.len() as u64, 10 - lost);
}
