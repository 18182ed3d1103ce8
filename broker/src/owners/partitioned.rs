//! The owners of an internal topic's partitions: one machine each, all of a kind.
//!
//! ```text
//! id ─ Java's hash ─▶ partition ─▶ its owner: a machine under the driver
//! ```
//! - The topic is made when the first id is asked for. The number of its partitions then stays: the
//!   place of an id depends on it.
//! - A partition that holds records has its owner from the start of the broker on, so that deadlines
//!   are kept without anybody asking; the others get theirs with their first id. A partition without
//!   an owner therefore holds nothing.
//! - Calls wait while an owner loads its partition.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;
use tidelog_coordinator::cluster::{self, ClusterError, NewTopic, Topic};
use tidelog_storage::Partition;
use tracing::error;
use uuid::Uuid;

use super::cluster::ClusterHandle;
use super::driver::{self, DriverError, DriverHandle, Journal};
use crate::clock::Clock;
use crate::log::Log;

/// An internal topic that machines keep their records in, made as Kafka makes its own.
#[derive(Debug, Clone, Copy)]
pub struct InternalTopic {
    pub name: &'static str,
    pub configs: &'static [(&'static str, &'static str)],
    /// If it has to be made.
    pub partitions: i32,
}

/// Why there is no owner to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoOwner {
    #[error("the topic {0} cannot be made")]
    NoTopic(&'static str),
    #[error(transparent)]
    Unavailable(#[from] DriverError),
}

/// Makes the machine of a partition.
type Make<M> = Box<dyn Fn(&Arc<Partition>) -> M + Send + Sync>;
/// Told of each owner that starts.
type Started<M> = Box<dyn Fn(i32, &DriverHandle<M>) + Send + Sync>;

/// All owners of one topic.
pub struct Owners<M: Journal> {
    log: Arc<Log>,
    clock: Clock,
    cluster: ClusterHandle,
    topic: InternalTopic,
    make: Arc<Make<M>>,
    started: Started<M>,
    owners: Mutex<BTreeMap<i32, DriverHandle<M>>>,
}

impl<M: Journal> Owners<M>
where
    M::Command: Send,
    M::Record: Send,
    M::Reply: Send,
{
    /// Nobody yet: see [`Owners::start_all`]. `make` is called for each life of a machine.
    pub fn new(
        log: Arc<Log>,
        clock: Clock,
        cluster: ClusterHandle,
        topic: InternalTopic,
        make: impl Fn(&Arc<Partition>) -> M + Send + Sync + 'static,
        started: impl Fn(i32, &DriverHandle<M>) + Send + Sync + 'static,
    ) -> Self {
        Self {
            log,
            clock,
            cluster,
            topic,
            make: Arc::new(Box::new(make)),
            started: Box::new(started),
            owners: Mutex::default(),
        }
    }

    /// Starts the owners of partitions with records, which load in the background.
    pub fn start_all(&self) {
        let Some(topic) = self.existing_topic() else {
            return;
        };
        for index in 0..topic.partitions {
            let partition = self.log.partition(topic.id, index);
            if partition.is_some_and(|partition| partition.marks().high_watermark > 0) {
                // It was there a moment ago, and if not the first call will tell.
                let _ = self.owner(&topic, index);
            }
        }
    }

    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub fn cluster(&self) -> &ClusterHandle {
        &self.cluster
    }

    /// The owner of the id's partition, started if it is the first to be asked for.
    pub async fn owner_of(&self, id: &str) -> Result<DriverHandle<M>, NoOwner> {
        let topic = self.topic().await?;
        self.owner(&topic, partition_for(id, topic.partitions))
    }

    /// The owner of a partition, started if it is the first to be asked for.
    pub fn owner(&self, topic: &Topic, index: i32) -> Result<DriverHandle<M>, NoOwner> {
        match self.owners.lock().entry(index) {
            Entry::Occupied(owner) => Ok(owner.get().clone()),
            Entry::Vacant(place) => {
                let partition = self.log.partition(topic.id, index).ok_or_else(|| {
                    let topic = self.topic.name;
                    error!(topic, partition = index, "storage lacks a partition");
                    NoOwner::NoTopic(topic)
                })?;
                let make = Arc::clone(&self.make);
                let of = Arc::clone(&partition);
                let (log, clock) = (Arc::clone(&self.log), self.clock.clone());
                let owner = driver::start(log, clock, partition, move || make(&of));
                (self.started)(index, &owner);
                Ok(place.insert(owner).clone())
            }
        }
    }

    /// Those that were started.
    pub fn all(&self) -> Vec<DriverHandle<M>> {
        self.owners.lock().values().cloned().collect()
    }

    /// The topic, made if it is not there.
    pub async fn topic(&self) -> Result<Arc<Topic>, NoOwner> {
        match self.existing_topic() {
            Some(topic) => Ok(topic),
            None => self.make_topic().await,
        }
    }

    fn existing_topic(&self) -> Option<Arc<Topic>> {
        self.cluster.view().image.topic(self.topic.name).cloned()
    }

    async fn make_topic(&self) -> Result<Arc<Topic>, NoOwner> {
        let name = self.topic.name;
        let configs = self.topic.configs.iter();
        let topic = NewTopic {
            name: name.to_owned(),
            id: Uuid::new_v4(),
            partitions: self.topic.partitions,
            replication_factor: 1,
            assignments: Vec::new(),
            configs: configs
                .map(|(name, value)| ((*name).into(), Some((*value).into())))
                .collect(),
            internal: true,
        };
        let command = cluster::Command::CreateTopics {
            topics: vec![topic],
            incarnation: self.cluster.incarnation(),
            validate_only: false,
        };
        let cluster::Reply::Created(mut created) = self.cluster.call(command).await? else {
            unreachable!("the cluster answers CreateTopics with what was created");
        };
        match created.pop() {
            Some((_, Ok(created))) => Ok(created.topic),
            // Another caller was first.
            Some((_, Err(ClusterError::TopicExists { .. }))) => {
                self.existing_topic().ok_or(NoOwner::NoTopic(name))
            }
            other => {
                error!(topic = name, outcome = ?other, "cannot make the topic");
                Err(NoOwner::NoTopic(name))
            }
        }
    }
}

/// The partition of an id, as Kafka's tools work it out too: `Utils.abs(id.hashCode()) % count`.
pub fn partition_for(id: &str, count: i32) -> i32 {
    let hash = java_hash(id);
    // `Utils.abs` takes the one number without a positive counterpart to 0.
    hash.checked_abs().unwrap_or(0) % count.max(1)
}

/// `String.hashCode` of Java, over UTF-16 units.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0, |hash: i32, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_placed_as_in_kafka() {
        // Hashes as Java gives them; the third is Integer.MIN_VALUE, the last has a surrogate pair.
        let cases = [
            ("", 0),
            ("hello", 99_162_322),
            ("polygenelubricants", i32::MIN),
            ("Aa", 2_112),
            ("BB", 2_112),
            ("é", 233),
            ("😀", 1_772_899),
        ];
        for (id, hash) in cases {
            assert_eq!(java_hash(id), hash, "{id}");
        }
        assert_eq!(partition_for("hello", 50), 22);
        assert_eq!(partition_for("polygenelubricants", 50), 0);
        assert_eq!(partition_for("anything", 1), 0);
        let negative = "zzzzzzzz";
        assert!(java_hash(negative) < 0);
        assert_eq!(
            partition_for(negative, 50),
            (java_hash(negative) % 50).abs()
        );
    }
}
