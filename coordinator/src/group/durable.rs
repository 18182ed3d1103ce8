//! What the log says: the last generation of each group, and the committed offsets.
//!
//! Changes only through [`Durable::apply`]. Two machines that applied the same records hold equal
//! values, whatever their members were doing meanwhile.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::consumer::{ConsumerGroup, ConsumerRecord};
use super::pending::PendingOffsets;
use super::record::{CommittedOffset, GroupMetadata, GroupRecord};

/// Offsets of one group by topic and partition.
pub type Offsets = BTreeMap<String, BTreeMap<i32, CommittedOffset>>;

/// The durable state of all groups of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durable {
    groups: BTreeMap<String, GroupMetadata>,
    offsets: BTreeMap<String, Offsets>,
    pub(super) pending: PendingOffsets,
    /// Groups of the new protocol; shared so that a decision can work on a copy.
    consumers: BTreeMap<String, Arc<ConsumerGroup>>,
}

impl Durable {
    /// Takes over one record; tombstones of what is not there change nothing.
    pub(super) fn apply(&mut self, record: &GroupRecord) {
        match record {
            GroupRecord::Group {
                group,
                value: Some(value),
            } => {
                self.groups.insert(group.clone(), value.clone());
            }
            GroupRecord::Group { group, value: None } => {
                self.groups.remove(group);
            }
            GroupRecord::Offset {
                group,
                topic,
                partition,
                value: Some(value),
            } => {
                self.pending.supersede(group, topic, *partition);
                self.put_offset(group.clone(), topic.clone(), *partition, value.clone());
            }
            GroupRecord::Offset {
                group,
                topic,
                partition,
                value: None,
            } => {
                self.pending.clear(group, topic, *partition);
                self.remove_offset(group, topic, *partition);
            }
            GroupRecord::Consumer { group, change } => self.apply_consumer(group, change),
            GroupRecord::TxnOffset(offset) => self.pending.put(offset),
            GroupRecord::TxnEnd(end) => {
                for ((group, topic, partition), value) in self.pending.end(end) {
                    self.put_offset(group, topic, partition, value);
                }
            }
        }
    }

    fn apply_consumer(&mut self, group: &str, change: &ConsumerRecord) {
        if matches!(change, ConsumerRecord::Group(None)) {
            self.consumers.remove(group);
        } else if let Some(known) = self.consumers.get_mut(group) {
            Arc::make_mut(known).apply(change);
        } else if !change.is_tombstone() {
            let made = self.consumers.entry(group.to_owned()).or_default();
            Arc::make_mut(made).apply(change);
        }
    }

    fn put_offset(&mut self, group: String, topic: String, partition: i32, value: CommittedOffset) {
        let topics = self.offsets.entry(group).or_default();
        topics.entry(topic).or_default().insert(partition, value);
    }

    fn remove_offset(&mut self, group: &str, topic: &str, partition: i32) {
        // Empty maps are not kept: a group without offsets must look like one that never had any.
        if let Entry::Occupied(mut topics) = self.offsets.entry(group.to_owned()) {
            if let Some(partitions) = topics.get_mut().get_mut(topic) {
                partitions.remove(&partition);
                if partitions.is_empty() {
                    topics.get_mut().remove(topic);
                }
            }
            if topics.get().is_empty() {
                topics.remove();
            }
        }
    }

    /// Records that make this state again. Applied on top of it, they change nothing.
    pub fn checkpoint(&self) -> Vec<GroupRecord> {
        let groups = self.groups.iter().map(|(group, value)| GroupRecord::Group {
            group: group.clone(),
            value: Some(value.clone()),
        });
        let offsets = self.offsets.iter().flat_map(|(group, topics)| {
            topics.iter().flat_map(move |(topic, partitions)| {
                partitions
                    .iter()
                    .map(move |(partition, value)| GroupRecord::Offset {
                        group: group.clone(),
                        topic: topic.clone(),
                        partition: *partition,
                        value: Some(value.clone()),
                    })
            })
        });
        let consumers = self.consumers.iter().flat_map(|(group, known)| {
            let changes = known.checkpoint().into_iter();
            changes.map(move |change| GroupRecord::Consumer {
                group: group.clone(),
                change,
            })
        });
        let superseded = self.pending.checkpoint(true);
        let undecided = self.pending.checkpoint(false);
        groups
            .chain(superseded)
            .chain(offsets)
            .chain(undecided)
            .chain(consumers)
            .collect()
    }

    /// The group's last recorded generation.
    pub fn group(&self, group: &str) -> Option<&GroupMetadata> {
        self.groups.get(group)
    }

    /// The group's committed offsets, if it has any.
    pub fn offsets(&self, group: &str) -> Option<&Offsets> {
        self.offsets.get(group)
    }

    /// One committed offset.
    pub fn offset(&self, group: &str, topic: &str, partition: i32) -> Option<&CommittedOffset> {
        self.offsets.get(group)?.get(topic)?.get(&partition)
    }

    /// Whether the log knows the group, be it only by its offsets, or by some yet undecided.
    pub fn contains(&self, group: &str) -> bool {
        self.groups.contains_key(group)
            || self.offsets.contains_key(group)
            || self.consumers.contains_key(group)
            || self.pending.has_group(group)
    }

    /// Whether a transaction has yet to decide about an offset of this partition.
    pub fn is_unstable(&self, group: &str, topic: &str, partition: i32) -> bool {
        self.pending.is_unstable(group, topic, partition)
    }

    /// The group, if it is of the new protocol.
    pub fn consumer_group(&self, group: &str) -> Option<&Arc<ConsumerGroup>> {
        self.consumers.get(group)
    }

    /// Groups of the new protocol, in order of their names.
    pub fn consumer_groups(&self) -> impl Iterator<Item = (&String, &Arc<ConsumerGroup>)> {
        self.consumers.iter()
    }

    /// Groups with a recorded generation, in order of their names.
    pub fn groups(&self) -> impl Iterator<Item = (&String, &GroupMetadata)> {
        self.groups.iter()
    }

    /// Groups with committed offsets, in order of their names.
    pub fn groups_with_offsets(&self) -> impl Iterator<Item = (&String, &Offsets)> {
        self.offsets.iter()
    }
}
