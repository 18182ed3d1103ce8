//! Consumer groups: a `coordinator::group::Groups` machine for each partition of
//! `__consumer_offsets`, see [`partitioned`](super::partitioned).
//!
//! - Every owner is told of new topics and partitions, for the groups whose members the coordinator
//!   assigns (KIP-848).
//! - Every owner is told of the times that single groups are given, and takes them at the next sign of
//!   life of each member.
//! - The deletion of a topic is told to every owner, and the offsets committed for it go. A stop
//!   between the two leaves offsets behind that go when they expire.

mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use futures::future::join_all;
use tidelog_coordinator::cluster::Image;
use tidelog_coordinator::group::{
    self, BeginTxnOffsets, CommitOffsets, CommitTxnOffsets, ConsumerBeat, ConsumerError,
    ConsumerHeartbeat, DeleteOffsets, DescribedConsumerGroup, DescribedGroup, FetchOffsets,
    FetchedOffset, GroupCommand, GroupError, GroupRecord, GroupReply, Heartbeat, JoinGroup, Joined,
    LeaveGroup, Left, ListGroups, ListedGroup, PartitionOutcome, SyncGroup, Synced, TopicImage,
    TopicShape, TxnEnd, TxnGuard, TxnOffsetsError,
};
use tidelog_coordinator::machine::Envelope;
use tokio::sync::watch;
use tracing::warn;

use super::cluster::{ClusterHandle, View};
use super::driver::{DriverError, DriverHandle, Journal};
use super::partitioned::{InternalTopic, NoOwner, Owners, partition_for};
use crate::clock::Clock;
use crate::log::Log;
use crate::settings::Settings;
use rules::Rules;

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

    fn decode(
        envelope: Envelope,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<Option<GroupRecord>, String> {
        GroupRecord::decode_in(envelope, key, value).map_err(|error| error.to_string())
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
    #[error(transparent)]
    NoOwner(#[from] NoOwner),
    #[error(transparent)]
    Transaction(#[from] TxnOffsetsError),
    #[error(transparent)]
    Consumer(#[from] ConsumerError),
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

/// All groups of the broker. Cheap to clone.
#[derive(Clone)]
pub struct Groups {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Groups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Groups").finish_non_exhaustive()
    }
}

struct Shared {
    owners: Owners<group::Groups>,
    rules: Rules,
}

impl Groups {
    /// Starts the owners of partitions with records, which load in the background.
    pub fn start(log: Arc<Log>, clock: Clock, cluster: ClusterHandle, settings: &Settings) -> Self {
        let views = cluster.watch();
        let topic = InternalTopic {
            name: OFFSETS_TOPIC,
            configs: &OFFSETS_TOPIC_CONFIGS,
            partitions: settings.offsets_topic_num_partitions,
        };
        let rules = Rules::new(settings, cluster.clone());
        let (newest, known) = (rules.clone(), cluster.clone());
        let make = move |_: &_| {
            let image = &known.view().image;
            group::Groups::new(Arc::new(newest.of(image))).with_topics(Arc::new(topic_image(image)))
        };
        let owners = Owners::new(log, clock, cluster, topic, make, |_, _| {});
        owners.start_all();
        let shared = Arc::new(Shared { owners, rules });
        tokio::spawn(follow_image(Arc::downgrade(&shared), views));
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

    /// The first step of a commit within a transaction.
    pub async fn begin_txn_offsets(
        &self,
        group: &str,
        begin: BeginTxnOffsets,
    ) -> Result<TxnGuard, CoordinatorError> {
        let owner = self.shared.owner_of(group).await?;
        Ok(ask!(owner, BeginTxnOffsets(begin)))
    }

    /// Offsets that count if the transaction commits.
    pub async fn commit_txn_offsets(
        &self,
        commit: CommitTxnOffsets,
    ) -> Result<Vec<PartitionOutcome>, CoordinatorError> {
        let owner = self.shared.owner_of(&commit.group).await?;
        Ok(ask!(owner, CommitTxnOffsets(commit))?)
    }

    /// Ends a transaction in one partition of the topic.
    pub async fn end_transaction(&self, index: i32, end: TxnEnd) -> Result<(), CoordinatorError> {
        let topic = self.shared.owners.topic().await?;
        let owner = self.shared.owners.owner(&topic, index)?;
        Ok(ask!(owner, EndTransaction(end))?)
    }

    /// The partition of the topic that keeps a group.
    pub async fn partition_of(&self, group: &str) -> Result<i32, CoordinatorError> {
        let topic = self.shared.owners.topic().await?;
        Ok(partition_for(group, topic.partitions))
    }

    /// A member of a group of the new protocol (KIP-848).
    pub async fn consumer_heartbeat(
        &self,
        beat: ConsumerHeartbeat,
    ) -> Result<ConsumerBeat, CoordinatorError> {
        let owner = self.shared.owner_of(&beat.group).await?;
        Ok(ask!(owner, ConsumerHeartbeat(beat))?)
    }

    /// Whether a member of a group of the new protocol is in this epoch.
    pub async fn check_epoch(
        &self,
        group: String,
        member_id: String,
        member_epoch: i32,
    ) -> Result<(), CoordinatorError> {
        let owner = self.shared.owner_of(&group).await?;
        Ok(ask!(
            owner,
            CheckEpoch {
                group,
                member_id,
                member_epoch
            }
        )?)
    }

    /// One answer per group, in no particular order.
    pub async fn describe_consumers(
        &self,
        groups: BTreeSet<String>,
    ) -> Answers<DescribedConsumerGroup> {
        let ask = async |owner: Owner, groups| {
            let described = ask!(owner, DescribeConsumers { groups }).into_iter();
            let named = described.map(|(group, result)| (group, result.map_err(Into::into)));
            Ok(named.collect())
        };
        self.shared.each_partition(groups, ask).await
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
        let owners = self.shared.owners.all();
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
    async fn owner_of(&self, group: &str) -> Result<Owner, CoordinatorError> {
        Ok(self.owners.owner_of(group).await?)
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
        let topic = match self.owners.topic().await {
            Ok(topic) => topic,
            Err(error) => return failed(groups, &error.into()),
        };
        let mut shares: BTreeMap<i32, Vec<String>> = BTreeMap::new();
        for group in groups {
            let index = partition_for(&group, topic.partitions);
            shares.entry(index).or_default().push(group);
        }
        let answers = shares.into_iter().map(async |(index, share)| {
            let answers = match self.owners.owner(&topic, index) {
                Ok(owner) => ask(owner, share.clone()).await,
                Err(error) => Err(error.into()),
            };
            answers.unwrap_or_else(|error| failed(share, &error))
        });
        join_all(answers).await.into_iter().flatten().collect()
    }

    /// Shows every owner the topics as they are now.
    async fn show_topics(&self, image: &Image) {
        let owners = self.owners.all();
        if owners.is_empty() {
            return;
        }
        let topics = Arc::new(topic_image(image));
        let told = owners
            .iter()
            .map(|owner| owner.call(GroupCommand::Topics(Arc::clone(&topics))));
        if let Some(error) = join_all(told).await.into_iter().find_map(Result::err) {
            // One that loads anew begins with the newest topics.
            warn!(%error, "a group coordinator was not told of new topics");
        }
    }

    /// Shows every owner the settings as they are now.
    async fn show_settings(&self, image: &Image) {
        let settings = Arc::new(self.rules.of(image));
        let owners = self.owners.all();
        let told = owners
            .iter()
            .map(|owner| owner.call(GroupCommand::Settings(Arc::clone(&settings))));
        if let Some(error) = join_all(told).await.into_iter().find_map(Result::err) {
            // One that loads anew begins with the newest settings.
            warn!(%error, "a group coordinator was not told of new settings");
        }
    }

    /// Has every owner forget the offsets committed for a topic.
    async fn forget_topic(&self, topic: &str) {
        let owners = self.owners.all();
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

/// Tells the owners of topics that come and go and of settings of groups, until the broker or the
/// cluster's owner ends. It holds neither while it waits.
async fn follow_image(shared: Weak<Shared>, mut views: watch::Receiver<Arc<View>>) {
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
        if !view.image.shares_topics_with(&before.image) {
            shared.show_topics(&view.image).await;
        }
        if view.image.named_configs() != before.image.named_configs() {
            shared.show_settings(&view.image).await;
        }
        before = view;
    }
}

/// The topics that groups may consume.
fn topic_image(image: &Image) -> TopicImage {
    let topics = image.topics().map(|topic| {
        let shape = TopicShape {
            id: topic.id,
            partitions: topic.partitions,
        };
        (topic.name.clone(), shape)
    });
    TopicImage::new(image.version(), topics)
}
