//! Offsets that groups have committed.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetFetchRequest};
use tidelog_client::wire::text;
use tidelog_client::{BrokerError, Client, Error};

use crate::names::topic_name;
use crate::server::{coordinator, patiently};

/// Offsets by topic and partition.
pub type Offsets = BTreeMap<(String, i32), i64>;

/// What a group has committed.
///
/// # Errors
/// Its coordinator refuses.
pub async fn committed(client: &Client, group: &str) -> Result<Offsets, Error> {
    patiently(async || committed_once(client, group).await).await
}

async fn committed_once(client: &Client, group: &str) -> Result<Offsets, Error> {
    let request = OffsetFetchRequest::default()
        .with_group_id(text(group).into())
        .with_topics(None);
    let address = coordinator(client, group).await?;
    let answer = client.call(&address, &request, Duration::ZERO).await?;
    let check = |code| BrokerError::check("OffsetFetch", code, || format!("group {group}"));
    check(answer.error_code)?;
    let mut offsets = Offsets::new();
    for topic in answer.topics {
        for part in topic.partitions {
            check(part.error_code)?;
            if part.committed_offset >= 0 {
                let key = (topic.name.to_string(), part.partition_index);
                offsets.insert(key, part.committed_offset);
            }
        }
    }
    Ok(offsets)
}

/// Commits offsets of a group that has no members.
///
/// # Errors
/// It has some, or its coordinator refuses otherwise.
pub async fn commit(client: &Client, group: &str, offsets: &Offsets) -> Result<(), Error> {
    let mut topics = BTreeMap::<&str, Vec<_>>::new();
    for ((topic, index), offset) in offsets {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(*index)
            .with_committed_offset(*offset)
            .with_committed_leader_epoch(-1)
            .with_committed_metadata(Some(text("")));
        topics.entry(topic).or_default().push(partition);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        OffsetCommitRequestTopic::default()
            .with_name(topic_name(topic))
            .with_partitions(partitions)
    });
    let request = OffsetCommitRequest::default()
        .with_group_id(text(group).into())
        .with_generation_id_or_member_epoch(-1)
        .with_retention_time_ms(-1)
        .with_topics(topics.collect());
    // The same offset may be committed twice.
    patiently(async || commit_once(client, group, &request).await).await
}

async fn commit_once(
    client: &Client,
    group: &str,
    request: &OffsetCommitRequest,
) -> Result<(), Error> {
    let address = coordinator(client, group).await?;
    let answer = client.call(&address, request, Duration::ZERO).await?;
    for topic in answer.topics {
        for part in topic.partitions {
            BrokerError::check("OffsetCommit", part.error_code, || {
                let topic = topic.name.as_str();
                format!(
                    "group {group}, topic {topic}, partition {}",
                    part.partition_index
                )
            })?;
        }
    }
    Ok(())
}
