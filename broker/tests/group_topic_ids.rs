//! Offsets of topics that are named by id (KIP-848): committed, fetched, and refused when no topic has
//! the id.

mod support;

use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_fetch_response::OffsetFetchResponseTopics;
use kafka_protocol::messages::{OffsetCommitRequest, OffsetFetchRequest};
use support::group::{self, QUICK, group_id, text};
use support::{Client, TestBroker};
use tidelog_protocol_ext::newer;
use uuid::Uuid;

const BY_ID: i16 = 10;

fn commit(topics: &[(Uuid, i32)], offset: i64) -> newer::OffsetCommitRequest {
    let topics = topics.iter().map(|(id, index)| {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(*index)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text("note")));
        OffsetCommitRequestTopic::default()
            .with_topic_id(*id)
            .with_partitions(vec![partition])
    });
    let request = OffsetCommitRequest::default()
        .with_group_id(group_id("g"))
        .with_topics(topics.collect());
    request.into()
}

async fn fetch(client: &mut Client, ids: Option<&[Uuid]>) -> Vec<OffsetFetchResponseTopics> {
    let topic = |id: &Uuid| {
        OffsetFetchRequestTopics::default()
            .with_topic_id(*id)
            .with_partition_indexes(vec![0, 1])
    };
    let group = OffsetFetchRequestGroup::default()
        .with_group_id(group_id("g"))
        .with_member_epoch(-1)
        .with_topics(ids.map(|ids| ids.iter().map(topic).collect()));
    let request = OffsetFetchRequest::default().with_groups(vec![group]);
    let mut answer = client
        .call(BY_ID, &newer::OffsetFetchRequest::from(request))
        .await;
    assert_eq!(answer.groups[0].error_code, 0);
    answer.groups.remove(0).topics
}

#[tokio::test]
async fn offsets_go_by_id() {
    let broker = TestBroker::start(QUICK).await;
    let mut client = broker.client().await;
    let known = client.make_topic("events", 2, &[]).await;
    let stranger = Uuid::from_u128(77);
    let request = commit(
        &[(known, 0), (stranger, 0), (known, 5), (Uuid::nil(), 0)],
        3,
    );
    let answer = client.call(BY_ID, &request).await;
    let codes: Vec<_> = answer
        .topics
        .iter()
        .map(|topic| (topic.topic_id, topic.partitions[0].error_code))
        .collect();
    assert_eq!(
        codes,
        [(known, 0), (stranger, 100), (known, 3), (Uuid::nil(), 100)]
    );

    let told = fetch(&mut client, Some(&[known, stranger])).await;
    assert_eq!((told[0].topic_id, told[1].topic_id), (known, stranger));
    let positions = |topic: &OffsetFetchResponseTopics| -> Vec<(i64, i16)> {
        let partitions = topic.partitions.iter();
        partitions
            .map(|p| (p.committed_offset, p.error_code))
            .collect()
    };
    assert_eq!(positions(&told[0]), [(3, 0), (-1, 0)]);
    assert_eq!(told[0].partitions[0].metadata, Some(text("note")));
    assert_eq!(positions(&told[1]), [(-1, 100), (-1, 100)]);

    let all = fetch(&mut client, None).await;
    assert_eq!(
        (all.len(), all[0].topic_id, positions(&all[0])),
        (1, known, vec![(3, 0)])
    );
    let by_name = group::fetch(&mut client, "g", "events", 0).await;
    assert_eq!(by_name, (3, "note".to_owned()));
}
