//! A group of the new protocol as its records tell it. There is no other lasting state: what is
//! volatile are clocks ([`super::clock`]).
//!
//! ```text
//! members change, topics change ──▶ epoch + 1 ──▶ target for that epoch ──▶ each member, at its own pace
//! ```
//!
//! Invariants, while records come from this coordinator:
//! - a partition is held (assigned, or still to be given up) by at most one member;
//! - the target of `target_epoch` gives each partition to at most one member;
//! - a member's epoch is at most the group's, or −2 for a static member that is away.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use super::assignment::Assignment;
use super::record::{
    ConsumerMemberMetadata, ConsumerRecord, CurrentAssignment, MemberState, ResolvedRegex,
};
use super::topics::{TopicImage, TopicShape};
use crate::group::command::GroupState;

/// The epoch that a static member leaves with when it means to come back.
pub(super) const AWAY_EPOCH: i32 = -2;

/// The epoch to join with.
pub(super) const JOIN_EPOCH: i32 = 0;

/// One member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerMember {
    pub metadata: ConsumerMemberMetadata,
    pub current: CurrentAssignment,
}

impl ConsumerMember {
    /// The member still speaks the classic protocol (JoinGroup and so on).
    pub(in crate::group) const fn is_classic(&self) -> bool {
        self.metadata.classic.is_some()
    }

    pub(super) fn is_reconciled_to(&self, epoch: i32) -> bool {
        self.current.state == MemberState::Stable && self.current.epoch == epoch
    }

    /// How long the member may take to give partitions up, or to join again, in milliseconds.
    pub(super) fn rebalance_timeout_ms(&self) -> i64 {
        i64::from(self.metadata.rebalance_timeout_ms.max(0))
    }
}

/// All there is to a group. Members are shared so that a decision can work on a copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerGroup {
    pub(super) epoch: i32,
    /// The topics subscribed to, as they were when `epoch` began.
    pub(super) topics: BTreeMap<String, TopicShape>,
    pub(super) members: BTreeMap<String, Arc<ConsumerMember>>,
    pub(super) target_epoch: i32,
    pub(super) targets: BTreeMap<String, Arc<Assignment>>,
    pub(super) regexes: BTreeMap<String, Arc<ResolvedRegex>>,
}

impl ConsumerGroup {
    /// Takes over one record; tombstones of what is not there change nothing. The group's own
    /// tombstone is for the caller, who drops the group.
    pub(in crate::group) fn apply(&mut self, record: &ConsumerRecord) {
        match record {
            ConsumerRecord::Group(epoch) => self.epoch = epoch.unwrap_or(0),
            ConsumerRecord::Topics(topics) => self.topics = topics.clone().unwrap_or_default(),
            ConsumerRecord::TargetEpoch(epoch) => self.target_epoch = epoch.unwrap_or(0),
            ConsumerRecord::Member { member_id, value } => match value {
                Some(metadata) => self.member_mut(member_id).metadata = metadata.clone(),
                None => {
                    self.members.remove(member_id);
                }
            },
            ConsumerRecord::Target { member_id, value } => {
                set(&mut self.targets, member_id, value.as_ref());
            }
            // A member goes with its metadata, the last of its three tombstones.
            ConsumerRecord::Current { member_id, value } => match value {
                Some(current) => self.member_mut(member_id).current = current.clone(),
                None => {
                    if let Some(member) = self.members.get_mut(member_id) {
                        Arc::make_mut(member).current = CurrentAssignment::default();
                    }
                }
            },
            ConsumerRecord::Regex { regex, value } => {
                set(&mut self.regexes, regex, value.as_ref());
            }
        }
    }

    fn member_mut(&mut self, member_id: &str) -> &mut ConsumerMember {
        Arc::make_mut(self.members.entry(member_id.to_owned()).or_default())
    }

    /// Records that make this group again.
    pub(in crate::group) fn checkpoint(&self) -> Vec<ConsumerRecord> {
        let members = self.members.iter().flat_map(|(member_id, member)| {
            let metadata = ConsumerRecord::Member {
                member_id: member_id.clone(),
                value: Some(member.metadata.clone()),
            };
            let current = ConsumerRecord::Current {
                member_id: member_id.clone(),
                value: Some(member.current.clone()),
            };
            [metadata, current]
        });
        let targets = self
            .targets
            .iter()
            .map(|(member_id, target)| ConsumerRecord::Target {
                member_id: member_id.clone(),
                value: Some(target.as_ref().clone()),
            });
        let regexes = self
            .regexes
            .iter()
            .map(|(regex, resolved)| ConsumerRecord::Regex {
                regex: regex.clone(),
                value: Some(resolved.as_ref().clone()),
            });
        let mut records = vec![ConsumerRecord::Group(Some(self.epoch))];
        if !self.topics.is_empty() {
            records.push(ConsumerRecord::Topics(Some(self.topics.clone())));
        }
        records.extend(members.chain(targets));
        if self.target_epoch != 0 {
            records.push(ConsumerRecord::TargetEpoch(Some(self.target_epoch)));
        }
        records.extend(regexes);
        records
    }

    /// Tombstones for all of it, in the order in which Kafka wants to read them.
    pub(super) fn tombstones(&self) -> Vec<ConsumerRecord> {
        let of_members =
            |tombstone: fn(String) -> ConsumerRecord| self.members.keys().cloned().map(tombstone);
        let mut records = Vec::new();
        records.extend(of_members(|member_id| ConsumerRecord::Current {
            member_id,
            value: None,
        }));
        let targets = self.targets.keys().cloned();
        records.extend(targets.map(|member_id| ConsumerRecord::Target {
            member_id,
            value: None,
        }));
        records.push(ConsumerRecord::TargetEpoch(None));
        records.extend(of_members(|member_id| ConsumerRecord::Member {
            member_id,
            value: None,
        }));
        let regexes = self.regexes.keys().cloned();
        records.extend(regexes.map(|regex| ConsumerRecord::Regex { regex, value: None }));
        records.push(ConsumerRecord::Topics(None));
        records.push(ConsumerRecord::Group(None));
        records
    }

    /// Members by their ids, in order.
    pub fn members(&self) -> impl ExactSizeIterator<Item = (&String, &ConsumerMember)> {
        self.members
            .iter()
            .map(|(id, member)| (id, member.as_ref()))
    }

    /// Who is to have what, by member id, as of [`Self::target_epoch`].
    pub fn targets(&self) -> impl ExactSizeIterator<Item = (&String, &Assignment)> {
        self.targets
            .iter()
            .map(|(id, target)| (id, target.as_ref()))
    }

    /// Grows with everything that asks for another assignment.
    pub const fn epoch(&self) -> i32 {
        self.epoch
    }

    /// The epoch the targets were made for.
    pub const fn target_epoch(&self) -> i32 {
        self.target_epoch
    }

    pub(in crate::group) fn has_members(&self) -> bool {
        !self.members.is_empty()
    }

    /// The static member with this instance id.
    pub(super) fn instance(&self, instance_id: &str) -> Option<(&String, &Arc<ConsumerMember>)> {
        self.members
            .iter()
            .find(|(_, member)| member.metadata.instance_id.as_deref() == Some(instance_id))
    }

    pub(super) fn target(&self, member_id: &str) -> Arc<Assignment> {
        self.targets.get(member_id).cloned().unwrap_or_default()
    }

    /// All partitions somebody holds.
    pub(super) fn held(&self) -> HashSet<(Uuid, i32)> {
        let members = self.members.values().map(|member| &member.current);
        members
            .flat_map(|current| current.assigned.iter().chain(current.revoking.iter()))
            .collect()
    }

    /// Members that speak the new protocol.
    pub(super) fn speaks_new(&self) -> bool {
        self.members.values().any(|member| !member.is_classic())
    }

    /// What a member is subscribed to, by name and by regular expression.
    pub(super) fn subscription<'a>(
        &'a self,
        member: &'a ConsumerMember,
    ) -> impl Iterator<Item = &'a String> {
        let resolved = member
            .metadata
            .regex
            .as_ref()
            .and_then(|regex| self.regexes.get(regex));
        let matched = resolved.into_iter().flat_map(|resolved| &resolved.topics);
        member.metadata.topics.iter().chain(matched)
    }

    pub(in crate::group) fn is_subscribed_to(&self, topic: &str) -> bool {
        self.members
            .values()
            .any(|member| self.subscription(member).any(|name| name == topic))
    }

    /// The topics subscribed to, as far as they exist.
    pub(super) fn subscribed_topics(&self, image: &TopicImage) -> BTreeMap<String, TopicShape> {
        let names: BTreeSet<&String> = self
            .members
            .values()
            .flat_map(|member| self.subscription(member))
            .collect();
        let existing = names
            .into_iter()
            .filter_map(|name| Some((name.clone(), image.get(name)?)));
        existing.collect()
    }

    /// Regular expressions that members use.
    pub(super) fn used_regexes(&self) -> BTreeSet<&String> {
        let regexes = self.members.values().map(|m| m.metadata.regex.as_ref());
        regexes.flatten().collect()
    }

    /// Empty, Assigning, Reconciling or Stable.
    pub fn state(&self) -> GroupState {
        if self.members.is_empty() {
            GroupState::Empty
        } else if self.epoch != self.target_epoch {
            GroupState::Assigning
        } else {
            let mut members = self.members.values();
            if members.all(|member| member.is_reconciled_to(self.target_epoch)) {
                GroupState::Stable
            } else {
                GroupState::Reconciling
            }
        }
    }

    /// The epoch after this one.
    pub(super) fn next_epoch(&self) -> i32 {
        // Epochs are positive; after 2³¹ rebalances they start over.
        self.epoch.checked_add(1).unwrap_or(1)
    }
}

fn set<T: Clone>(map: &mut BTreeMap<String, Arc<T>>, key: &str, value: Option<&T>) {
    match value {
        Some(value) => {
            map.insert(key.to_owned(), Arc::new(value.clone()));
        }
        None => {
            map.remove(key);
        }
    }
}
