//! Committed offsets: commit, fetch, delete. Fetching reads what has been applied; the driver
//! holds the answer back until that is durable.

use super::Groups;
use super::classic::{ClassicGroup, Phase};
use super::command::{
    CommitOffsets, DeleteOffsets, FetchOffsets, FetchedOffset, MemberRef, OffsetToCommit,
    PartitionOutcome,
};
use super::error::GroupError;
use super::record::{CommittedOffset, GroupRecord};
use super::subscription::CONSUMER_PROTOCOL_TYPE;
use super::turn::Turn;
use crate::wire::STRING_BYTES_MAX;

impl Groups {
    /// Commits what may be committed; a refusal of the whole request commits nothing.
    pub(super) fn commit_offsets(
        &mut self,
        commit: CommitOffsets,
        turn: &mut Turn,
    ) -> Result<Vec<PartitionOutcome>, GroupError> {
        super::check_name("group id", &commit.group, STRING_BYTES_MAX)?;
        self.validate_commit(&commit)?;
        if let Some(group) = self.live.get_mut(&commit.group)
            && matches!(group.phase, Phase::Stable(_) | Phase::Preparing(_))
        {
            group.renew_session(&commit.member.member_id, turn.now_ms);
        }
        let expire_timestamp_ms = commit
            .retention_ms
            .map(|kept_ms| turn.after(kept_ms.max(0)));
        let mut outcomes = Vec::with_capacity(commit.offsets.len());
        for offset in commit.offsets {
            let result = validate_offset(&offset, turn);
            let OffsetToCommit {
                topic,
                partition,
                offset,
                leader_epoch,
                metadata,
            } = offset;
            if result.is_ok() {
                let value = CommittedOffset {
                    offset,
                    // The value format with an expiry has no room for the epoch.
                    leader_epoch: if expire_timestamp_ms.is_some() {
                        -1
                    } else {
                        leader_epoch
                    },
                    metadata,
                    commit_timestamp_ms: turn.now_ms,
                    expire_timestamp_ms,
                };
                let (group, topic) = (commit.group.clone(), topic.clone());
                turn.write(GroupRecord::Offset {
                    group,
                    topic,
                    partition,
                    value: Some(value),
                });
            }
            outcomes.push(PartitionOutcome {
                topic,
                partition,
                result,
            });
        }
        Ok(outcomes)
    }

    /// Anybody may commit to a group without members; otherwise only its members, of the present
    /// generation, and not between a join and its assignment.
    fn validate_commit(&self, commit: &CommitOffsets) -> Result<(), GroupError> {
        let (group_id, member) = (commit.group.as_str(), &commit.member);
        if let Some(group) = self.durable.consumer_group(group_id) {
            let (offsets, topics) = (&commit.offsets, &self.topics);
            return group.validate_commit(member, commit.knows_epochs, offsets, topics);
        }
        match self.live.get(group_id) {
            Some(group) => group.validate_commit(member),
            None if member.generation < 0 => Ok(()),
            None if self.durable.contains(group_id) => Err(GroupError::UnknownMember),
            None => Err(GroupError::GroupNotFound),
        }
    }

    pub(super) fn fetch_offsets(&self, fetch: &FetchOffsets) -> Vec<FetchedOffset> {
        let fetched =
            |topic: &String, partition, committed: Option<&CommittedOffset>| FetchedOffset {
                topic: topic.clone(),
                partition,
                committed: committed.cloned(),
                unstable: self.durable.is_unstable(&fetch.group, topic, partition),
            };
        match &fetch.partitions {
            Some(partitions) => partitions
                .iter()
                .map(|(topic, partition)| {
                    let committed = self.durable.offset(&fetch.group, topic, *partition);
                    fetched(topic, *partition, committed)
                })
                .collect(),
            None => committed_partitions(self, &fetch.group)
                .map(|(topic, partition, committed)| fetched(topic, partition, Some(committed)))
                .collect(),
        }
    }

    pub(super) fn delete_offsets(
        &self,
        delete: DeleteOffsets,
        turn: &mut Turn,
    ) -> Result<Vec<PartitionOutcome>, GroupError> {
        super::check_group_id(&delete.group)?;
        if !self.exists(&delete.group) {
            return Err(GroupError::GroupNotFound);
        }
        let group = self
            .live
            .get(&delete.group)
            .filter(|group| !group.members.is_empty());
        let consumers = self.durable.consumer_group(&delete.group);
        // What members of other protocol types read cannot be known.
        let is_consumer =
            |group: &ClassicGroup| group.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL_TYPE);
        if group.is_some_and(|group| !is_consumer(group)) {
            return Err(GroupError::NonEmptyGroup);
        }
        let mut outcomes = Vec::with_capacity(delete.partitions.len());
        for (topic, partition) in delete.partitions {
            let subscribed = group.is_some_and(|group| group.is_subscribed_to(&topic))
                || consumers.is_some_and(|group| group.is_subscribed_to(&topic));
            let result = if subscribed {
                Err(GroupError::SubscribedToTopic)
            } else {
                Ok(())
            };
            if !subscribed && self.has_offset(&delete.group, &topic, partition) {
                turn.write(tombstone(&delete.group, &topic, partition));
            }
            outcomes.push(PartitionOutcome {
                topic,
                partition,
                result,
            });
        }
        Ok(outcomes)
    }

    pub(super) fn forget_topic(&self, topic: &str, turn: &mut Turn) {
        for (group, topics) in self.durable.groups_with_offsets() {
            for &partition in topics
                .get(topic)
                .into_iter()
                .flat_map(|offsets| offsets.keys())
            {
                turn.write(tombstone(group, topic, partition));
            }
        }
        for (group, name, partition) in self.durable.pending.keys() {
            let committed = self.durable.offset(group, name, *partition);
            if name == topic && committed.is_none() {
                turn.write(tombstone(group, name, *partition));
            }
        }
    }

    /// Tombstones for all offsets of a group, pending ones too.
    pub(super) fn forget_offsets(&self, group: &str, turn: &mut Turn) {
        for (topic, partition, _) in committed_partitions(self, group) {
            turn.write(tombstone(group, topic, partition));
        }
        for (topic, partition) in self.durable.pending.of_group(group) {
            if self.durable.offset(group, topic, partition).is_none() {
                turn.write(tombstone(group, topic, partition));
            }
        }
    }

    /// Committed, or pending.
    fn has_offset(&self, group: &str, topic: &str, partition: i32) -> bool {
        self.durable.offset(group, topic, partition).is_some()
            || self.durable.is_unstable(group, topic, partition)
    }
}

impl ClassicGroup {
    fn validate_commit(&self, member: &MemberRef) -> Result<(), GroupError> {
        let outsider = member.generation < 0;
        if outsider && matches!(self.phase, Phase::Empty) {
            return Ok(());
        }
        let instance_id = member.instance_id.as_deref();
        if outsider && member.member_id.is_empty() && instance_id.is_none() {
            return Err(GroupError::UnknownMember);
        }
        self.validate_generation(&member.member_id, instance_id, member.generation)?;
        match self.phase {
            Phase::Completing(_) => Err(GroupError::RebalanceInProgress),
            _ => Ok(()),
        }
    }
}

pub(super) fn validate_offset(offset: &OffsetToCommit, turn: &Turn) -> Result<(), GroupError> {
    super::check_name("topic", &offset.topic, STRING_BYTES_MAX)?;
    let max_chars = turn.settings.offset_metadata_chars_max;
    let bytes = offset.metadata.len();
    // Counting is only needed where the two measures could disagree.
    let fits = bytes <= max_chars || offset.metadata.encode_utf16().count() <= max_chars;
    if fits && bytes <= STRING_BYTES_MAX {
        Ok(())
    } else {
        Err(GroupError::OffsetMetadataTooLarge { max_chars })
    }
}

fn committed_partitions<'a>(
    groups: &'a Groups,
    group: &str,
) -> impl Iterator<Item = (&'a String, i32, &'a CommittedOffset)> {
    let topics = groups.durable.offsets(group).into_iter().flatten();
    topics.flat_map(|(topic, offsets)| {
        offsets
            .iter()
            .map(move |(&partition, committed)| (topic, partition, committed))
    })
}

pub(super) fn tombstone(group: &str, topic: &str, partition: i32) -> GroupRecord {
    let (group, topic) = (group.to_owned(), topic.to_owned());
    GroupRecord::Offset {
        group,
        topic,
        partition,
        value: None,
    }
}
