//! The partitions of a transaction.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// A partition by the name of its topic: the log of transactions knows no topic ids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    pub topic: String,
    pub partition: i32,
}

impl TopicPartition {
    pub fn new(topic: impl Into<String>, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }
}

/// A set of partitions, in order of topic and number; each topic's name is kept once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partitions {
    by_topic: BTreeMap<String, BTreeSet<i32>>,
}

impl Partitions {
    pub fn is_empty(&self) -> bool {
        self.by_topic.is_empty()
    }

    pub fn contains(&self, wanted: &TopicPartition) -> bool {
        let partitions = self.by_topic.get(&wanted.topic);
        partitions.is_some_and(|partitions| partitions.contains(&wanted.partition))
    }

    pub(super) fn insert(&mut self, topic: String, partition: i32) {
        self.by_topic.entry(topic).or_default().insert(partition);
    }

    pub(super) fn remove(&mut self, gone: &TopicPartition) {
        if let Some(partitions) = self.by_topic.get_mut(&gone.topic) {
            partitions.remove(&gone.partition);
            // No empty sets: a set without partitions must equal one that never had any.
            if partitions.is_empty() {
                self.by_topic.remove(&gone.topic);
            }
        }
    }

    pub fn by_topic(&self) -> impl ExactSizeIterator<Item = (&String, &BTreeSet<i32>)> {
        self.by_topic.iter()
    }

    pub fn to_vec(&self) -> Vec<TopicPartition> {
        let topics = self.by_topic.iter();
        topics
            .flat_map(|(topic, partitions)| {
                partitions
                    .iter()
                    .map(|&partition| TopicPartition::new(topic.clone(), partition))
            })
            .collect()
    }
}

impl Extend<TopicPartition> for Partitions {
    fn extend<I: IntoIterator<Item = TopicPartition>>(&mut self, partitions: I) {
        for TopicPartition { topic, partition } in partitions {
            self.insert(topic, partition);
        }
    }
}

impl FromIterator<TopicPartition> for Partitions {
    fn from_iter<I: IntoIterator<Item = TopicPartition>>(partitions: I) -> Self {
        let mut set = Self::default();
        set.extend(partitions);
        set
    }
}
