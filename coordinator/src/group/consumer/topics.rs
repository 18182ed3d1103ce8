//! The topics of the cluster as far as groups have to know them: names, ids, partition counts.
//!
//! An image is a value. Its owner hands a newer one to the machine whenever topics change; groups
//! look at it with the next heartbeat of a member, as in Kafka, so a burst of changes costs each
//! group one rebalance.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

/// One topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicShape {
    pub id: Uuid,
    pub partitions: i32,
}

/// All topics at one version of the cluster's image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicImage {
    version: u64,
    by_name: BTreeMap<String, TopicShape>,
    names: HashMap<Uuid, String>,
}

impl TopicImage {
    /// An image of the topics that can be consumed. Versions grow; of two topics with one name the
    /// later one counts.
    pub fn new(version: u64, topics: impl IntoIterator<Item = (String, TopicShape)>) -> Self {
        let by_name: BTreeMap<String, TopicShape> = topics.into_iter().collect();
        let names = by_name
            .iter()
            .map(|(name, topic)| (topic.id, name.clone()))
            .collect();
        Self {
            version,
            by_name,
            names,
        }
    }

    pub const fn version(&self) -> u64 {
        self.version
    }

    pub fn get(&self, name: &str) -> Option<TopicShape> {
        self.by_name.get(name).copied()
    }

    /// The name of the topic with this id.
    pub fn name(&self, id: Uuid) -> Option<&str> {
        self.names.get(&id).map(String::as_str)
    }

    /// In order.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.by_name.keys()
    }
}
