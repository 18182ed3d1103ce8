//! Sets of partitions by topic id, and the little algebra that reconciling needs.
//!
//! Invariant: no topic is kept with an empty set, so that equal sets are equal values.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

/// Partitions by topic id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    topics: BTreeMap<Uuid, BTreeSet<i32>>,
}

impl Assignment {
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// How many partitions these are.
    pub fn len(&self) -> usize {
        self.topics.values().map(BTreeSet::len).sum()
    }

    pub fn contains(&self, topic: Uuid, partition: i32) -> bool {
        self.topics
            .get(&topic)
            .is_some_and(|partitions| partitions.contains(&partition))
    }

    /// Whether the partition was not there before.
    pub fn insert(&mut self, topic: Uuid, partition: i32) -> bool {
        self.topics.entry(topic).or_default().insert(partition)
    }

    /// Whether the partition was there.
    pub fn remove(&mut self, topic: Uuid, partition: i32) -> bool {
        let Some(partitions) = self.topics.get_mut(&topic) else {
            return false;
        };
        let removed = partitions.remove(&partition);
        if partitions.is_empty() {
            self.topics.remove(&topic);
        }
        removed
    }

    /// Topics with their partitions, in order.
    pub fn topics(&self) -> impl ExactSizeIterator<Item = (Uuid, &BTreeSet<i32>)> {
        self.topics
            .iter()
            .map(|(&topic, partitions)| (topic, partitions))
    }

    /// The highest partition of one topic.
    pub fn last_of(&self, topic: Uuid) -> Option<i32> {
        self.topics.get(&topic)?.last().copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = (Uuid, i32)> {
        self.topics().flat_map(|(topic, partitions)| {
            partitions.iter().map(move |&partition| (topic, partition))
        })
    }

    /// What is in both.
    pub fn and(&self, other: &Self) -> Self {
        self.filtered(|topic, partition| other.contains(topic, partition))
    }

    /// What is here and not in `other`.
    pub fn without(&self, other: &Self) -> Self {
        self.filtered(|topic, partition| !other.contains(topic, partition))
    }

    /// The partitions that `keep` wants.
    pub fn filtered(&self, keep: impl Fn(Uuid, i32) -> bool) -> Self {
        self.iter()
            .filter(|&(topic, partition)| keep(topic, partition))
            .collect()
    }

    /// What is in either.
    pub fn plus(mut self, other: &Self) -> Self {
        self.extend(other.iter());
        self
    }

    pub fn overlaps(&self, other: &Self) -> bool {
        self.iter()
            .any(|(topic, partition)| other.contains(topic, partition))
    }

    pub fn is_within(&self, other: &Self) -> bool {
        self.iter()
            .all(|(topic, partition)| other.contains(topic, partition))
    }
}

impl Extend<(Uuid, i32)> for Assignment {
    fn extend<I: IntoIterator<Item = (Uuid, i32)>>(&mut self, partitions: I) {
        for (topic, partition) in partitions {
            self.insert(topic, partition);
        }
    }
}

impl FromIterator<(Uuid, i32)> for Assignment {
    fn from_iter<I: IntoIterator<Item = (Uuid, i32)>>(partitions: I) -> Self {
        let mut assignment = Self::default();
        assignment.extend(partitions);
        assignment
    }
}
