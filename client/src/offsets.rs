//! Where partitions begin and end, by ListOffsets.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse, TopicName};

use crate::client::{Client, TopicView, text};
use crate::config::Retry;
use crate::error::{BrokerError, Result};

/// Stands for the first offset.
pub(crate) const EARLIEST: i64 = -2;
/// Stands for the end of what committed readers may see.
pub(crate) const LATEST: i64 = -1;

const READ_COMMITTED: i8 = 1;

/// The offsets of `partitions` at `timestamp`, in milliseconds or one of the above. Later than all
/// records is the end.
pub(crate) async fn at(
    client: &Client,
    topic: &str,
    partitions: &[i32],
    timestamp: i64,
) -> Result<BTreeMap<i32, i64>> {
    let mut found = list(client, topic, partitions, timestamp).await?;
    let later: Vec<_> = partitions
        .iter()
        .copied()
        .filter(|partition| found.get(partition).is_none_or(|offset| *offset < 0))
        .collect();
    if !later.is_empty() && timestamp != LATEST {
        found.extend(list(client, topic, &later, LATEST).await?);
    }
    Ok(found)
}

/// Tries on while the failure is transient, each time at those who lead then.
async fn list(
    client: &Client,
    topic: &str,
    partitions: &[i32],
    timestamp: i64,
) -> Result<BTreeMap<i32, i64>> {
    let mut retry = Retry::new();
    loop {
        let view = client.topic(topic).await?;
        match list_once(client, topic, partitions, timestamp, &view).await {
            Ok(found) => return Ok(found),
            Err(error) => retry.wait(client.config(), error).await?,
        }
    }
}

async fn list_once(
    client: &Client,
    topic: &str,
    partitions: &[i32],
    timestamp: i64,
    view: &TopicView,
) -> Result<BTreeMap<i32, i64>> {
    let mut by_leader = BTreeMap::<&str, Vec<_>>::new();
    for index in partitions {
        let leader = view.leaders.get(index).and_then(Option::as_ref);
        let leader = leader.ok_or_else(|| leaderless(topic, *index))?;
        let partition = ListOffsetsPartition::default()
            .with_partition_index(*index)
            .with_current_leader_epoch(leader.epoch)
            .with_timestamp(timestamp);
        by_leader
            .entry(&leader.address)
            .or_default()
            .push(partition);
    }
    let mut found = BTreeMap::new();
    for (address, partitions) in by_leader {
        let wanted = ListOffsetsTopic::default()
            .with_name(TopicName(text(topic)))
            .with_partitions(partitions);
        let request = ListOffsetsRequest::default()
            .with_replica_id((-1).into())
            .with_isolation_level(READ_COMMITTED)
            .with_topics(vec![wanted]);
        let answer = client.link(address).call(&request, Duration::ZERO).await?;
        take(topic, &answer, &mut found)?;
    }
    Ok(found)
}

fn take(
    topic: &str,
    answer: &ListOffsetsResponse,
    found: &mut BTreeMap<i32, i64>,
) -> Result<(), BrokerError> {
    for partition in answer.topics.iter().flat_map(|topic| &topic.partitions) {
        let index = partition.partition_index;
        BrokerError::check("ListOffsets", partition.error_code, || {
            format!("topic {topic}, partition {index}")
        })?;
        found.insert(index, partition.offset);
    }
    Ok(())
}

pub(crate) fn leaderless(topic: &str, partition: i32) -> BrokerError {
    BrokerError {
        api: "Metadata",
        code: tidelog_protocol_ext::ErrorCode::LeaderNotAvailable.code(),
        message: format!("topic {topic}, partition {partition}"),
    }
}
