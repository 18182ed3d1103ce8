//! Offsets of consumer groups, as they are committed on the source.
//!
//! - An offset is copied once the target holds all records before it, so that a group that moves early is
//!   not sent back to the beginning.
//! - Groups with members on the target are left alone, and named.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    ListGroupsRequest, OffsetCommitRequest, OffsetFetchRequest, OffsetFetchResponse,
};
use tidelog_client::{BrokerError, Error};
use tidelog_protocol_ext::ErrorCode;

use crate::Both;
use crate::cluster::{Cluster, text, topic_name};
use crate::part::Part;

/// An offset and what was committed with it.
type Committed = (i64, Option<String>);
type ByPart = BTreeMap<(String, i32), Committed>;

/// The groups seen so far.
#[derive(Default)]
pub struct Groups {
    /// What was copied.
    pub copied: BTreeMap<String, ByPart>,
    /// Those with members on the target.
    pub active: BTreeSet<String>,
    /// Those whose offsets could not be copied, and why.
    pub failed: BTreeMap<String, String>,
    /// Offsets that the target does not reach yet.
    pub ahead: usize,
}

impl Groups {
    /// Copies what has changed. With `settled`, waits for transactions that are about to commit offsets.
    ///
    /// # Errors
    /// A side cannot be asked.
    pub async fn copy(&mut self, both: &Both, parts: &[Part], settled: bool) -> Result<()> {
        let ends: BTreeMap<_, _> = parts
            .iter()
            .map(|part| (part.key(), part.target.end))
            .collect();
        self.ahead = 0;
        for (broker, groups) in groups(&both.source).await? {
            for group in groups {
                let fetched = fetch(&both.source, broker, &group, settled).await;
                let offsets = match fetched {
                    Ok(offsets) => offsets,
                    Err(Error::Broker(error)) => {
                        self.failed.insert(group, error.to_string());
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                };
                let ours = offsets
                    .into_iter()
                    .filter(|(key, _)| ends.contains_key(key));
                let (reached, ahead): (ByPart, ByPart) =
                    ours.partition(|(key, (offset, _))| *offset <= ends[key]);
                self.ahead += ahead.len();
                self.bring(both, group, reached).await?;
            }
        }
        Ok(())
    }

    async fn bring(&mut self, both: &Both, group: String, offsets: ByPart) -> Result<()> {
        let before = self.copied.entry(group.clone()).or_default();
        let changed: ByPart = offsets
            .into_iter()
            .filter(|(key, committed)| before.get(key) != Some(committed))
            .collect();
        if changed.is_empty() {
            return Ok(());
        }
        match commit(&both.target, &group, &changed).await {
            Ok(()) => {
                before.extend(changed);
                self.active.remove(&group);
                self.failed.remove(&group);
            }
            Err(Error::Broker(error)) if is_active(&error) => drop(self.active.insert(group)),
            Err(Error::Broker(error)) => drop(self.failed.insert(group, error.to_string())),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Compares what was copied with what the target says.
    ///
    /// # Errors
    /// It says something else, or nothing.
    pub async fn verify(&self, both: &Both) -> Result<()> {
        let broker = both
            .target
            .view()
            .brokers
            .keys()
            .next()
            .copied()
            .unwrap_or(0);
        let quiet = self.copied.iter().filter(|(group, offsets)| {
            !offsets.is_empty()
                && !self.active.contains(*group)
                && !self.failed.contains_key(*group)
        });
        for (group, offsets) in quiet {
            let held = fetch(&both.target, broker, group, false).await?;
            for (key, committed) in offsets {
                let (topic, index) = key;
                ensure!(
                    held.get(key) == Some(committed),
                    "group {group}, {topic}-{index}: {committed:?} was committed, and the target has {:?}",
                    held.get(key)
                );
            }
        }
        Ok(())
    }

    /// How many offsets are on the target.
    pub fn offsets(&self) -> usize {
        self.copied.values().map(BTreeMap::len).sum()
    }
}

/// Groups that commit offsets, by their coordinators.
async fn groups(side: &Cluster) -> Result<Vec<(i32, Vec<String>)>> {
    let mut all = Vec::new();
    for broker in side.refresh().await?.brokers.into_keys() {
        let listed = side.patiently(async || {
            let answer = side
                .broker(broker, 0, &ListGroupsRequest::default())
                .await?;
            BrokerError::check("ListGroups", answer.error_code, || {
                format!("broker {broker}")
            })?;
            Ok(answer.groups)
        });
        let groups = listed.await?.into_iter();
        let commits = groups.filter(|group| group.group_type.to_lowercase() != "share");
        all.push((
            broker,
            commits.map(|group| group.group_id.to_string()).collect(),
        ));
    }
    Ok(all)
}

async fn fetch(side: &Cluster, broker: i32, group: &str, settled: bool) -> Result<ByPart, Error> {
    let request = OffsetFetchRequest::default()
        .with_group_id(text(group).into())
        .with_topics(None)
        .with_require_stable(settled);
    let attempt = async || {
        let answer = side.broker(broker, 0, &request).await?;
        BrokerError::check("OffsetFetch", answer.error_code, || {
            format!("group {group}")
        })?;
        committed(group, answer)
    };
    side.patiently(attempt).await
}

fn committed(group: &str, answer: OffsetFetchResponse) -> Result<ByPart, Error> {
    let mut offsets = ByPart::new();
    for topic in answer.topics {
        for part in topic.partitions {
            BrokerError::check("OffsetFetch", part.error_code, || format!("group {group}"))?;
            if part.committed_offset >= 0 {
                let key = (topic.name.to_string(), part.partition_index);
                let metadata = part.metadata.map(|metadata| metadata.to_string());
                offsets.insert(
                    key,
                    (part.committed_offset, metadata.filter(|m| !m.is_empty())),
                );
            }
        }
    }
    Ok(offsets)
}

async fn commit(side: &Cluster, group: &str, offsets: &ByPart) -> Result<(), Error> {
    let mut topics = BTreeMap::<&str, Vec<_>>::new();
    for ((topic, index), (offset, metadata)) in offsets {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(*index)
            .with_committed_offset(*offset)
            .with_committed_leader_epoch(-1)
            .with_committed_metadata(Some(text(metadata.as_deref().unwrap_or_default())));
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
    let attempt = async || {
        for topic in side.any(&request).await?.topics {
            for part in topic.partitions {
                BrokerError::check("OffsetCommit", part.error_code, || {
                    format!(
                        "group {group}, {}-{}",
                        topic.name.as_str(),
                        part.partition_index
                    )
                })?;
            }
        }
        Ok(())
    };
    side.patiently(attempt).await
}

/// Only members may commit while there are any.
fn is_active(error: &BrokerError) -> bool {
    matches!(
        error.error_code(),
        Some(
            ErrorCode::UnknownMemberId
                | ErrorCode::IllegalGeneration
                | ErrorCode::RebalanceInProgress
                | ErrorCode::StaleMemberEpoch
                | ErrorCode::FencedInstanceId
        )
    )
}
