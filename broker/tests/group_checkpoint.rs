//! A coordinator's log does not grow for ever: it begins anew with a checkpoint, from which the next
//! start loads the same offsets.

mod support;

use std::time::Instant;

use kafka_protocol::messages::OffsetCommitRequest;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use support::TestBroker;
use support::group::*;

const PARTITIONS: i32 = 100;

/// Offsets for every partition, each with as much metadata as is allowed.
fn bulky_commit(round: i64) -> OffsetCommitRequest {
    let partition = |index| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(index)
            .with_committed_offset(round * 1000 + i64::from(index))
            .with_committed_metadata(Some(text(&format!("{round} {}", "m".repeat(4000)))))
    };
    let topic = OffsetCommitRequestTopic::default()
        .with_name(topic_name("events"))
        .with_partitions((0..PARTITIONS).map(partition).collect());
    OffsetCommitRequest::default()
        .with_group_id(group_id("g"))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic])
}

/// The largest log start among the partitions of `__consumer_offsets`.
fn offsets_log_start(broker: &TestBroker) -> i64 {
    let broker = &broker.running().broker;
    let view = broker.cluster().view();
    let Some(topic) = view.image.topic("__consumer_offsets") else {
        return 0;
    };
    let starts = (0..topic.partitions).filter_map(|index| {
        let partition = broker.log().partition(topic.id, index)?;
        Some(partition.marks().log_start)
    });
    starts.max().unwrap_or(0)
}

#[tokio::test]
async fn a_coordinators_log_begins_anew_with_a_checkpoint() {
    let broker = TestBroker::start(&[]).await;
    broker.make_topic("events").await;
    let mut client = broker.client().await;
    let grow = kafka_protocol::messages::CreatePartitionsRequest::default()
        .with_timeout_ms(5_000)
        .with_topics(vec![
            kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic::default()
                .with_name(topic_name("events"))
                .with_count(PARTITIONS)
                .with_assignments(None),
        ]);
    assert_eq!(client.call(3, &grow).await.results[0].error_code, 0);
    let rounds = 25;
    for round in 1..=rounds {
        let answer = client.call(7, &bulky_commit(round)).await;
        let parts = &answer.topics[0].partitions;
        assert!(parts.iter().all(|part| part.error_code == 0));
    }
    let since = Instant::now();
    while offsets_log_start(&broker) == 0 {
        assert!(since.elapsed() < support::PATIENCE, "no checkpoint");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let broker = broker.restart().await;
    let mut client = broker.client().await;
    for index in [0, 57, PARTITIONS - 1] {
        let (offset, note) = fetch(&mut client, "g", "events", index).await;
        assert_eq!(offset, rounds * 1000 + i64::from(index));
        assert!(note.starts_with("25 m"), "{}", &note[..10]);
    }
}
