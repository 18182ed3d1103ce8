//! What administrators see of transactions and do about them (KIP-664): DescribeProducers, DescribeTransactions,
//! ListTransactions, WriteTxnMarkers.

mod support;

use std::time::Duration;

use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::describe_producers_response::PartitionResponse;
use kafka_protocol::messages::write_txn_markers_request::{
    WritableTxnMarker, WritableTxnMarkerTopic,
};
use kafka_protocol::messages::{
    DescribeProducersRequest, DescribeTransactionsRequest, ListTransactionsRequest,
    ListTransactionsResponse,
};
use support::data::now_ms;
use support::group::{text, topic_name};
use support::txn::*;
use support::{Client, TestBroker};
use tidelog_protocol_ext::newer::WriteTxnMarkersRequest;

const UNKNOWN_TOPIC: i16 = 3;
const INVALID_REQUEST: i16 = 42;
const COORDINATOR_FENCED: i16 = 52;
const ID_NOT_FOUND: i16 = 105;
const INVALID_REGEX: i16 = 128;

async fn broker() -> (TestBroker, Client) {
    let broker = TestBroker::start(&[
        "offsets.topic.num.partitions=3",
        "transaction.state.log.num.partitions=3",
    ])
    .await;
    let mut client = broker.client().await;
    client.make_topic("t", 2, &[]).await;
    (broker, client)
}

async fn producers(client: &mut Client, topic: &str, partition: i32) -> PartitionResponse {
    let topic = TopicRequest::default()
        .with_name(topic_name(topic))
        .with_partition_indexes(vec![partition]);
    let request = DescribeProducersRequest::default().with_topics(vec![topic]);
    client
        .call(0, &request)
        .await
        .topics
        .remove(0)
        .partitions
        .remove(0)
}

#[tokio::test]
async fn producers_and_their_open_transactions_are_described() {
    let (broker, mut client) = broker().await;
    let mut txn = Transactor::open(broker.client().await, "txn", Speaks::V2).await;
    assert!(
        producers(&mut client, "t", 0)
            .await
            .active_producers
            .is_empty()
    );
    let before = now_ms();
    txn.produce("t", 0, &["a", "b"]).await;
    let described = producers(&mut client, "t", 0).await;
    let one = &described.active_producers[0];
    assert_eq!(
        (described.error_code, described.active_producers.len()),
        (0, 1)
    );
    let (id, epoch) = txn.producer;
    assert_eq!(
        (one.producer_id.0, one.producer_epoch),
        (id, i32::from(epoch))
    );
    assert_eq!((one.last_sequence, one.current_txn_start_offset), (1, 0));
    assert_eq!(one.coordinator_epoch, -1);
    assert!((before..=now_ms()).contains(&one.last_timestamp));
    txn.finish(true).await;
    let described = producers(&mut client, "t", 0).await;
    let one = &described.active_producers[0];
    assert_eq!(one.current_txn_start_offset, -1);
    assert!(one.coordinator_epoch >= 0);

    for (topic, partition) in [("nothing", 0), ("t", 9)] {
        let refused = producers(&mut client, topic, partition).await;
        assert_eq!(refused.error_code, UNKNOWN_TOPIC);
        assert!(refused.error_message.is_some());
    }
}

#[tokio::test]
async fn transactional_ids_are_described_in_every_state() {
    let (broker, mut client) = broker().await;
    for id in ["nobody", ""] {
        let code = describe(&mut client, id).await.error_code;
        assert_eq!(
            code,
            if id.is_empty() {
                INVALID_REQUEST
            } else {
                ID_NOT_FOUND
            }
        );
    }
    let before = now_ms();
    let mut txn = Transactor::open(broker.client().await, "txn", Speaks::V1).await;
    let described = describe(&mut client, "txn").await;
    assert_eq!(described.transaction_state.as_str(), "Empty");
    assert_eq!(described.transaction_start_time_ms, -1);
    assert_eq!(described.transaction_timeout_ms, 60_000);
    txn.produce("t", 1, &["v"]).await;
    txn.produce("t", 0, &["v"]).await;
    txn.commit_offset("g", ("t", 0), 1).await;
    let described = describe(&mut client, "txn").await;
    assert_eq!(described.transaction_state.as_str(), "Ongoing");
    assert!((before..=now_ms()).contains(&described.transaction_start_time_ms));
    let topics: Vec<_> = described
        .topics
        .iter()
        .map(|topic| (topic.topic.0.to_string(), topic.partitions.len()))
        .collect();
    assert_eq!(
        topics,
        [("__consumer_offsets".to_owned(), 1), ("t".to_owned(), 2)]
    );
    assert_eq!(
        (described.producer_id.0, described.producer_epoch),
        txn.producer
    );
    for (commit, state) in [(true, "CompleteCommit"), (false, "CompleteAbort")] {
        txn.produce("t", 0, &["v"]).await;
        txn.finish(commit).await;
        let described = describe(&mut client, "txn").await;
        assert_eq!(described.transaction_state.as_str(), state);
        assert!(described.topics.is_empty());
    }
    let both = DescribeTransactionsRequest::default()
        .with_transactional_ids(vec![transactional_id("nobody"), transactional_id("txn")]);
    let answer = client.call(0, &both).await;
    let codes: Vec<_> = answer
        .transaction_states
        .iter()
        .map(|s| s.error_code)
        .collect();
    assert_eq!(codes, [ID_NOT_FOUND, 0]);
}

fn ids(list: &ListTransactionsResponse) -> Vec<String> {
    assert_eq!(list.error_code, 0, "{list:?}");
    let states = list.transaction_states.iter();
    let mut ids: Vec<_> = states.map(|s| s.transactional_id.0.to_string()).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn transactions_are_listed_by_state_producer_age_and_name() {
    let (broker, mut client) = broker().await;
    let mut open = Transactor::open(broker.client().await, "app-open", Speaks::V2).await;
    let mut done = Transactor::open(broker.client().await, "app-done", Speaks::V2).await;
    Transactor::open(broker.client().await, "other", Speaks::V2).await;
    open.produce("t", 0, &["v"]).await;
    done.produce("t", 1, &["v"]).await;
    done.finish(true).await;
    let all = ListTransactionsRequest::default().with_duration_filter(-1);
    for version in 0..=2 {
        let listed = client.call(version, &all).await;
        assert_eq!(
            ids(&listed),
            ["app-done", "app-open", "other"],
            "v{version}"
        );

        let states = all
            .clone()
            .with_state_filters(vec![text("Ongoing"), text("Nonsense")]);
        let listed = client.call(version, &states).await;
        assert_eq!(ids(&listed), ["app-open"]);
        assert_eq!(
            listed.transaction_states[0].transaction_state.as_str(),
            "Ongoing"
        );
        assert_eq!(listed.unknown_state_filters, [text("Nonsense")]);

        let of_one = all
            .clone()
            .with_producer_id_filters(vec![done.producer.0.into()]);
        assert_eq!(ids(&client.call(version, &of_one).await), ["app-done"]);
        let of_none = all.clone().with_producer_id_filters(vec![(1 << 40).into()]);
        assert!(ids(&client.call(version, &of_none).await).is_empty());
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    for version in 1..=2 {
        let running = all.clone().with_state_filters(vec![text("Ongoing")]);
        let long = running.clone().with_duration_filter(3_600_000);
        assert!(ids(&client.call(version, &long).await).is_empty());
        let short = running.with_duration_filter(5);
        assert_eq!(ids(&client.call(version, &short).await), ["app-open"]);
    }
    for (pattern, expected) in [
        ("app-.*", vec!["app-done", "app-open"]),
        ("app", vec![]),
        ("", vec!["app-done", "app-open", "other"]),
    ] {
        let named = all
            .clone()
            .with_transactional_id_pattern(Some(text(pattern)));
        assert_eq!(ids(&client.call(2, &named).await), expected, "{pattern}");
    }
    for pattern in ["(", "a)|(b", "(a{1000}){1000}"] {
        let named = all
            .clone()
            .with_transactional_id_pattern(Some(text(pattern)));
        let refused = client.call(2, &named).await;
        assert_eq!(refused.error_code, INVALID_REGEX, "{pattern}");
    }
}

/// One code per partition named.
async fn mark(
    client: &mut Client,
    version: i16,
    producer: (i64, i16),
    commit: bool,
    coordinator_epoch: i32,
    topic: &str,
    partitions: &[i32],
) -> Vec<i16> {
    let topic = WritableTxnMarkerTopic::default()
        .with_name(topic_name(topic))
        .with_partition_indexes(partitions.to_vec());
    let marker = WritableTxnMarker::default()
        .with_producer_id(producer.0.into())
        .with_producer_epoch(producer.1)
        .with_transaction_result(commit)
        .with_coordinator_epoch(coordinator_epoch)
        .with_topics(vec![topic]);
    let request = WriteTxnMarkersRequest {
        markers: vec![(marker, 0)],
    };
    let answer = client.call(version, &request).await;
    let marker = &answer.markers[0];
    assert_eq!(marker.producer_id.0, producer.0);
    let partitions = marker.topics[0].partitions.iter();
    partitions.map(|partition| partition.error_code).collect()
}

#[tokio::test]
async fn markers_of_an_administrator_end_what_hangs() {
    let (broker, mut client) = broker().await;
    for version in 1..=2 {
        let id = format!("txn-{version}");
        let mut txn = Transactor::open(broker.client().await, &id, Speaks::V1).await;
        txn.produce("t", 0, &["hanging"]).await;
        let producer = txn.producer;
        let codes = mark(&mut client, version, producer, false, 0, "t", &[0, 9]).await;
        assert_eq!(codes, [0, UNKNOWN_TOPIC], "v{version}");
        let read = read_committed(&mut client, "t", 0).await;
        assert_eq!(read.stable_end, read.high_watermark, "v{version}");
        assert!(read.values.is_empty());
        // Again: nothing to end, no harm.
        assert_eq!(
            mark(&mut client, version, producer, false, 0, "t", &[0]).await,
            [0]
        );

        // An epoch below the producer's is too late.
        let mut bumped = Transactor::open(broker.client().await, &id, Speaks::V1).await;
        assert!(bumped.producer.1 > 0);
        bumped.produce("t", 1, &["new"]).await;
        let codes = mark(&mut client, version, producer, true, 0, "t", &[1]).await;
        assert_eq!(codes, [INVALID_PRODUCER_EPOCH], "v{version}");
        // So is a coordinator that was replaced.
        let late = mark(&mut client, version, bumped.producer, false, 5, "t", &[1]).await;
        assert_eq!(late, [0]);
        let early = mark(&mut client, version, bumped.producer, false, 4, "t", &[1]).await;
        assert_eq!(early, [COORDINATOR_FENCED], "v{version}");
        assert_eq!(
            mark(&mut client, version, producer, true, 0, "gone", &[0]).await,
            [UNKNOWN_TOPIC]
        );
    }
}

#[tokio::test]
async fn markers_of_an_administrator_end_offsets_too() {
    let (broker, mut client) = broker().await;
    let mut txn = Transactor::open(broker.client().await, "txn", Speaks::V1).await;
    txn.commit_offset("g", ("t", 0), 3).await;
    let described = describe(&mut client, "txn").await;
    let index = described.topics[0].partitions[0];
    let offsets = "__consumer_offsets";
    let codes = mark(&mut client, 1, txn.producer, true, 0, offsets, &[index, 77]).await;
    assert_eq!(codes, [0, UNKNOWN_TOPIC]);
    assert_eq!(fetch_offset(&mut client, "g", ("t", 0), true).await, (0, 3));
}
