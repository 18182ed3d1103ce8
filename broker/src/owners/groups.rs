//! Consumer groups: which partition of `__consumer_offsets` keeps a group, and who owns it.
//!
//! ```text
//! group id ─ Java's hash ─▶ partition ─▶ its owner: a `coordinator::group::Groups` machine
//! ```
//! - The topic is made when the first group is asked for. The number of its partitions then stays:
//!   the place of a group depends on it.
//! - A partition that holds records has its owner from the start of the broker on, so that offsets
//!   expire and members time out without anybody asking; the others get theirs with their first
//!   group. A partition without an owner therefore holds no group.
//! - Calls wait while an owner loads its partition.
//! - The deletion of a topic is told to every owner, and the offsets committed for it go. A stop
//!   between the two leaves offsets behind that go when they expire.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use futures::future::join_all;
use parking_lot::Mutex;
use tidelog_coordinator::cluster::{self, ClusterError, NewTopic, Topic};
use tidelog_coordinator::group::{
    self, CommitOffsets, DeleteOffsets, DescribedGroup, FetchOffsets, FetchedOffset, GroupCommand,
    GroupError, GroupRecord, GroupReply, GroupSettings, Heartbeat, JoinGroup, Joined, LeaveGroup,
    Left, ListGroups, ListedGroup, PartitionOutcome, SyncGroup, Synced,
};
use tokio::sync::watch;
use tracing::{error, warn};
use uuid::Uuid;

use super::cluster::{ClusterHandle, View};
use super::driver::{self, DriverError, DriverHandle, Journal};
use crate::clock::Clock;
use crate::log::Log;
use crate::settings::Settings;

/// The topic that keeps groups and committed offsets, in Kafka's formats.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// What Kafka gives that topic: keys are kept for ever, in small segments, as they were written.
const OFFSETS_TOPIC_CONFIGS: [(&str, &str); 3] = [
    ("cleanup.policy", "compact"),
    ("compression.type", "producer"),
    ("segment.bytes", "104857600"),
];

impl Journal for group::Groups {
    const NAME: &'static str = "groups";

    fn encode(record: &GroupRecord) -> Result<(Bytes, Option<Bytes>), String> {
        Ok(record.encode())
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<GroupRecord>, String> {
        GroupRecord::decode(key, value).map_err(|error| error.to_string())
    }

    fn checkpoint(&self) -> Vec<GroupRecord> {
        group::Groups::durable(self).checkpoint()
    }
}

/// Why a group did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CoordinatorError {
    #[error(transparent)]
    Group(#[from] GroupError),
    #[error(transparent)]
    Unavailable(#[from] DriverError),
    #[error("the topic {OFFSETS_TOPIC} cannot be made")]
    NoTopic,
    #[error("the broker is stopping")]
    Stopping,
}

type Owner = DriverHandle<group::Groups>;

/// Asks an owner for what a command of this name answers.
macro_rules! ask {
    ($owner:expr, $name:ident $command:tt) => {
        match $owner.call(GroupCommand::$name $command).await? {
            GroupReply::$name(reply) => reply,
            other => unreachable!("a machine answers a command by its name, not with {other:?}"),
        }
    };
}

/// All groups of the broker.
pub struct Groups {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Groups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Groups").finish_non_exhaustive()
    }
}

struct Shared {
    log: Arc<Log>,
    clock: Clock,
    cluster: ClusterHandle,
    settings: Arc<GroupSettings>,
    /// For the topic, if it has to be made.
    partitions: i32,
    owners: Mutex<BTreeMap<i32, Owner>>,
}

impl Groups {
    /// Starts the owners of partitions with records, which load in the background.
    pub fn start(log: Arc<Log>, clock: Clock, cluster: ClusterHandle, settings: &Settings) -> Self {
        let views = cluster.watch();
        let shared = Arc::new(Shared {
            log,
            clock,
            cluster,
            settings: Arc::new(group_settings(settings)),
            partitions: settings.offsets_topic_num_partitions,
            owners: Mutex::default(),
        });
        shared.own_partitions_with_records();
        tokio::spawn(follow_deletions(Arc::downgrade(&shared), views));
        Self { shared }
    }

    /// Waits until the join phase ends.
    ///
    /// # Errors
    /// Here and below: the group refuses, or there is no coordinator at the moment.
    pub async fn join(&self, join: JoinGroup) -> Result<Joined, CoordinatorError> {
        let owner = self.shared.owner_of(&join.group).await?;
        Ok(ask!(owner, Join(join))?)
    }

    /// Waits for the leader's assignments.
    pub async fn sync(&self, sync: SyncGroup) -> Result<Synced, CoordinatorError> {
        let owner = self.shared.owner_of(&sync.group).await?;
        Ok(ask!(owner, Sync(sync))?)
    }

    pub async fn heartbeat(&self, beat: Heartbeat) -> Result<(), CoordinatorError> {
        let owner = self.shared.owner_of(&beat.group).await?;
        Ok(ask!(owner, Heartbeat(beat))?)
    }

    pub async fn leave(&self, leave: LeaveGroup) -> Result<Vec<Left>, CoordinatorError> {
        let owner = self.shared.owner_of(&leave.group).await?;
        Ok(ask!(owner, Leave(leave))?)
    }

    pub async fn commit_offsets(
        &self,
        commit: CommitOffsets,
    ) -> Result<Vec<PartitionOutcome>, CoordinatorError> {
        let owner = self.shared.owner_of(&commit.group).await?;
        Ok(ask!(owner, CommitOffsets(commit))?)
    }

    pub async fn fetch_offsets(
        &self,
        fetch: FetchOffsets,
    ) -> Result<Vec<FetchedOffset>, CoordinatorError> {
        let owner = self.shared.owner_of(&fetch.group).await?;
        Ok(ask!(owner, FetchOffsets(fetch)))
    }

    pub async fn delete_offsets(
        &self,
        delete: DeleteOffsets,
    ) -> Result<Vec<PartitionOutcome>, CoordinatorError> {
        let owner = self.shared.owner_of(&delete.group).await?;
        Ok(ask!(owner, DeleteOffsets(delete))?)
    }

    /// One answer per group, in no particular order.
    pub async fn describe(&self, groups: BTreeSet<String>) -> Answers<DescribedGroup> {
        let ask = async |owner: Owner, groups| {
            let described = ask!(owner, Describe { groups });
            let named = described
                .into_iter()
                .map(|group| (group.group.clone(), Ok(group)));
            Ok(named.collect())
        };
        self.shared.each_partition(groups, ask).await
    }

    /// One answer per group, in no particular order.
    pub async fn delete(&self, groups: BTreeSet<String>) -> Answers<()> {
        let ask = async |owner: Owner, groups| {
            let deleted = ask!(owner, DeleteGroups { groups }).into_iter();
            let named = deleted.map(|(group, result)| (group, result.map_err(Into::into)));
            Ok(named.collect())
        };
        self.shared.each_partition(groups, ask).await
    }

    /// All groups that pass the filter.
    pub async fn list(&self, filter: ListGroups) -> Result<Vec<ListedGroup>, CoordinatorError> {
        let owners = self.shared.owners();
        let lists = owners.iter().map(|owner| {
            let filter = filter.clone();
            async move { Ok(ask!(owner, List(filter))) }
        });
        let lists: Result<Vec<_>, CoordinatorError> = join_all(lists).await.into_iter().collect();
        Ok(lists?.into_iter().flatten().collect())
    }
}

/// What became of each group of a request.
pub type Answers<T> = Vec<(String, Result<T, CoordinatorError>)>;

impl Shared {
    /// The owner of the group's partition, started if it is the first to be asked for.
    async fn owner_of(&self, group: &str) -> Result<Owner, CoordinatorError> {
        let topic = self.topic().await?;
        self.owner(&topic, partition_for(group, topic.partitions))
    }

    fn owner(&self, topic: &Topic, index: i32) -> Result<Owner, CoordinatorError> {
        match self.owners.lock().entry(index) {
            Entry::Occupied(owner) => Ok(owner.get().clone()),
            Entry::Vacant(place) => {
                let partition = self.log.partition(topic.id, index).ok_or_else(|| {
                    error!(
                        topic = OFFSETS_TOPIC,
                        partition = index,
                        "storage lacks a partition"
                    );
                    CoordinatorError::NoTopic
                })?;
                let settings = Arc::clone(&self.settings);
                let make = move || group::Groups::new(Arc::clone(&settings));
                let (log, clock) = (Arc::clone(&self.log), self.clock.clone());
                Ok(place
                    .insert(driver::start(log, clock, partition, make))
                    .clone())
            }
        }
    }

    fn owners(&self) -> Vec<Owner> {
        self.owners.lock().values().cloned().collect()
    }

    fn own_partitions_with_records(&self) {
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

    fn existing_topic(&self) -> Option<Arc<Topic>> {
        self.cluster.view().image.topic(OFFSETS_TOPIC).cloned()
    }

    async fn topic(&self) -> Result<Arc<Topic>, CoordinatorError> {
        match self.existing_topic() {
            Some(topic) => Ok(topic),
            None => self.make_topic().await,
        }
    }

    async fn make_topic(&self) -> Result<Arc<Topic>, CoordinatorError> {
        let configs = OFFSETS_TOPIC_CONFIGS;
        let topic = NewTopic {
            name: OFFSETS_TOPIC.to_owned(),
            id: Uuid::new_v4(),
            partitions: self.partitions,
            replication_factor: 1,
            assignments: Vec::new(),
            configs: configs
                .map(|(name, value)| (name.into(), Some(value.into())))
                .into(),
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
            // Another group was first.
            Some((_, Err(ClusterError::TopicExists { .. }))) => {
                self.existing_topic().ok_or(CoordinatorError::NoTopic)
            }
            other => {
                error!(topic = OFFSETS_TOPIC, outcome = ?other, "cannot make the topic");
                Err(CoordinatorError::NoTopic)
            }
        }
    }

    /// Hands each owner its share of `groups`. A failure is the answer for all groups of the share.
    async fn each_partition<T, F>(
        &self,
        groups: BTreeSet<String>,
        ask: impl Fn(Owner, Vec<String>) -> F,
    ) -> Answers<T>
    where
        F: Future<Output = Result<Answers<T>, CoordinatorError>>,
    {
        let topic = match self.topic().await {
            Ok(topic) => topic,
            Err(error) => return failed(groups, &error),
        };
        let mut shares: BTreeMap<i32, Vec<String>> = BTreeMap::new();
        for group in groups {
            let index = partition_for(&group, topic.partitions);
            shares.entry(index).or_default().push(group);
        }
        let answers = shares.into_iter().map(async |(index, share)| {
            let answers = match self.owner(&topic, index) {
                Ok(owner) => ask(owner, share.clone()).await,
                Err(error) => Err(error),
            };
            answers.unwrap_or_else(|error| failed(share, &error))
        });
        join_all(answers).await.into_iter().flatten().collect()
    }

    /// Has every owner forget the offsets committed for a topic.
    async fn forget_topic(&self, topic: &str) {
        let owners = self.owners();
        let told = owners.iter().map(|owner| {
            let topic = topic.to_owned();
            owner.call(GroupCommand::TopicDeleted { topic })
        });
        if let Some(error) = join_all(told).await.into_iter().find_map(Result::err) {
            warn!(topic, %error, "offsets of a deleted topic stay until they expire");
        }
    }
}

fn failed<T>(groups: impl IntoIterator<Item = String>, error: &CoordinatorError) -> Answers<T> {
    groups
        .into_iter()
        .map(|group| (group, Err(error.clone())))
        .collect()
}

/// Tells the owners of topics that go, until the broker or the cluster's owner ends. It holds
/// neither while it waits.
async fn follow_deletions(shared: Weak<Shared>, mut views: watch::Receiver<Arc<View>>) {
    let mut before = Arc::clone(&views.borrow_and_update());
    while views.changed().await.is_ok() {
        let view = Arc::clone(&views.borrow_and_update());
        let Some(shared) = shared.upgrade() else {
            return;
        };
        // By id: a topic made again under the same name is another one.
        let topics = before.image.topics();
        for gone in topics.filter(|topic| view.image.topic_by_id(topic.id).is_none()) {
            shared.forget_topic(&gone.name).await;
        }
        before = view;
    }
}

/// The partition of a group, as Kafka's tools work it out too: `Utils.abs(group.hashCode()) % count`.
fn partition_for(group: &str, count: i32) -> i32 {
    let hash = java_hash(group);
    // `Utils.abs` takes the one number without a positive counterpart to 0.
    hash.checked_abs().unwrap_or(0) % count.max(1)
}

/// `String.hashCode` of Java, over UTF-16 units.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0, |hash: i32, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}

fn group_settings(settings: &Settings) -> GroupSettings {
    let count = |n: i32| usize::try_from(n).unwrap_or(0);
    GroupSettings {
        session_timeout_min_ms: settings.group_min_session_timeout_ms,
        session_timeout_max_ms: settings.group_max_session_timeout_ms,
        initial_rebalance_delay_ms: settings.group_initial_rebalance_delay_ms,
        members_max: count(settings.group_max_size),
        offset_metadata_chars_max: count(settings.offset_metadata_max_bytes),
        offsets_retention_ms: i64::from(settings.offsets_retention_minutes) * 60_000,
        retention_check_interval_ms: settings.offsets_retention_check_interval_ms,
        ..GroupSettings::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_placed_as_in_kafka() {
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
        for (group, hash) in cases {
            assert_eq!(java_hash(group), hash, "{group}");
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
