//! The cluster image: topics, configs, producer ids. One owner, everybody else reads a view.
//!
//! `__cluster_metadata` is a partition of the same WAL. The owner is a
//! [`Cluster`](tidelog_coordinator::cluster::Cluster) machine under the [`driver`](super::driver);
//! whenever records of it are durable, the new image is made true in storage (partitions exist,
//! deleted ones go, settings hold) and published, and only then are callers answered. What is
//! published is never ahead of what later appends depend on: they follow in the same WAL.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use tidelog_coordinator::cluster::settings::{
    BrokerSetting, BrokerSettings, Kind, TableKey, TopicSettings,
};
use tidelog_coordinator::cluster::{
    Cluster, ClusterOptions, Command, Image, Record, ReplicationPolicy, Reply, Topic,
};
use tidelog_coordinator::machine::{Decision, Envelope, Machine, Token};
use tidelog_storage::ids::{PartitionId, TopicId};
use tidelog_storage::{CompactionSettings, LogSettings};
use tokio::sync::watch;
use uuid::Uuid;

use super::driver::{self, DriverError, DriverHandle, Journal};
use super::registry::SCHEMAS_TOPIC_ID;
use crate::clock::Clock;
use crate::features;
use crate::log::Log;
use crate::settings::{self, Limits, Settings, Source, Update};

/// Id of `__cluster_metadata`, the same as in Apache Kafka.
pub const METADATA_TOPIC_ID: Uuid = Uuid::from_u128(1);

/// Most partitions of a cluster of one.
const PARTITIONS_MAX: i64 = 100_000;

/// The image and what follows from it, of one moment.
#[derive(Debug, Default)]
pub struct View {
    pub image: Image,
    settings: Arc<HashMap<Uuid, Arc<TopicSettings>>>,
    /// Topics on their way to the lake, and since which version of the image without a break.
    pub tiered: Arc<HashMap<Uuid, u64>>,
}

impl View {
    /// Settings of a topic of this view, defaults filled in.
    pub fn topic_settings(&self, topic: &Topic) -> Arc<TopicSettings> {
        // Every topic of the image has its entry; see `View::of`.
        self.settings.get(&topic.id).cloned().unwrap_or_else(|| {
            let layers = tidelog_coordinator::cluster::settings::Layers::new;
            let bare = BrokerSettings::new([]);
            Arc::new(TopicSettings::resolve(
                &layers(&bare, None, None).with_topic(&topic.overrides),
            ))
        })
    }

    /// The view of `image`; settings are taken from `before` where nothing they rest on changed.
    fn of(image: &Image, before: &View, node_id: i32, broker: &BrokerSettings) -> Self {
        if image.shares_topics_with(&before.image) {
            return Self {
                image: image.clone(),
                settings: Arc::clone(&before.settings),
                tiered: Arc::clone(&before.tiered),
            };
        }
        let same_brokers = [None, Some(node_id)]
            .iter()
            .all(|id| image.broker_config(*id) == before.image.broker_config(*id));
        let settings: HashMap<_, _> = image
            .topics()
            .map(|topic| {
                let kept = before
                    .image
                    .topic_by_id(topic.id)
                    .filter(|old| Arc::ptr_eq(old, topic));
                let known = kept
                    .filter(|_| same_brokers)
                    .and_then(|_| before.settings.get(&topic.id));
                let settings = known
                    .cloned()
                    .unwrap_or_else(|| Arc::new(image.settings(topic, node_id, broker)));
                (topic.id, settings)
            })
            .collect();
        let tiered = image
            .topics()
            .filter(|topic| !topic.internal && settings[&topic.id].is_tiered())
            .map(|topic| {
                let since = before.tiered.get(&topic.id).copied();
                (topic.id, since.unwrap_or(image.version()))
            })
            .collect();
        Self {
            image: image.clone(),
            settings: Arc::new(settings),
            tiered: Arc::new(tiered),
        }
    }
}

/// Access to the cluster image and its owner.
#[derive(Clone)]
pub struct ClusterHandle {
    driver: DriverHandle<Owner>,
    view: watch::Receiver<Arc<View>>,
    broker_settings: Arc<BrokerSettings>,
    incarnation: u32,
}

impl std::fmt::Debug for ClusterHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterHandle").finish_non_exhaustive()
    }
}

impl ClusterHandle {
    /// Starts the owner and waits until the image is loaded and true in storage.
    pub async fn start(
        log: &Arc<Log>,
        clock: Clock,
        settings: &Settings,
        cluster_id: &str,
    ) -> Result<Self, DriverError> {
        let store = log.engine().store();
        let id = PartitionId {
            topic: TopicId(METADATA_TOPIC_ID.into_bytes()),
            index: 0,
        };
        let partition = store.ensure_partition(id, 0, LogSettings::default());
        let incarnation = store.incarnation_number;
        let broker_settings = Arc::new(broker_settings(settings));
        let (publish, view) = watch::channel(Arc::new(View::default()));
        let options = options(settings, &broker_settings);
        let compacts = settings.log_cleaner_enable;
        let make = {
            let (log, broker_settings) = (Arc::clone(log), Arc::clone(&broker_settings));
            move || Owner {
                cluster: Cluster::new(options.clone()),
                log: Arc::clone(&log),
                node_id: options.node_id,
                compacts,
                broker_settings: Arc::clone(&broker_settings),
                publish: publish.clone(),
            }
        };
        let driver = driver::start(Arc::clone(log), clock, partition, make);
        let handle = Self {
            driver,
            view,
            broker_settings,
            incarnation,
        };
        handle
            .call(Command::CreateCluster {
                cluster_id: cluster_id.to_owned(),
            })
            .await?;
        let levels = features::initial();
        handle.call(Command::BeginFeatures { levels }).await?;
        let known = handle.view();
        log.engine().delete_unknown(|topic| {
            let topic = Uuid::from_bytes(topic.0);
            [METADATA_TOPIC_ID, SCHEMAS_TOPIC_ID].contains(&topic)
                || known.image.topic_by_id(topic).is_some()
        });
        Ok(handle)
    }

    /// Image and settings of this moment; take them once per request.
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }

    /// Follows the view; for owners of state that depends on topics.
    pub fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.view.clone()
    }

    /// Asks the owner. The reply comes when the change is durable and true in storage.
    ///
    /// # Errors
    /// The owner had to start over; nothing is known of the change.
    pub async fn call(&self, command: Command) -> Result<Reply, DriverError> {
        self.driver.call(command).await
    }

    /// Creates topics with all defaults where they do not exist, as a client's Metadata request asks.
    ///
    /// # Errors
    /// As [`ClusterHandle::call`].
    pub async fn auto_create(&self, names: Vec<String>) -> Result<Reply, DriverError> {
        let topics = names
            .into_iter()
            .map(|name| (name, Uuid::new_v4()))
            .collect();
        self.call(Command::AutoCreateTopics {
            topics,
            incarnation: self.incarnation,
        })
        .await
    }

    /// The number of this process start, which new partitions count their leader epochs from.
    pub fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// The settings the process was started with, as the image's layers want them.
    pub fn broker_settings(&self) -> &BrokerSettings {
        &self.broker_settings
    }
}

/// The machine and what its changes touch.
struct Owner {
    cluster: Cluster,
    log: Arc<Log>,
    node_id: i32,
    /// `log.cleaner.enable`
    compacts: bool,
    broker_settings: Arc<BrokerSettings>,
    publish: watch::Sender<Arc<View>>,
}

impl Machine for Owner {
    type Command = Command;
    type Record = Record;
    type Reply = Reply;

    fn decide(&mut self, now_ms: i64, token: Token, command: Command) -> Decision<Record, Reply> {
        self.cluster.decide(now_ms, token, command)
    }

    fn apply(&mut self, record: &Record) {
        self.cluster.apply(record);
    }
}

impl Journal for Owner {
    const NAME: &'static str = "cluster";

    fn encode(record: &Record) -> Result<(Bytes, Option<Bytes>), String> {
        let (key, value) = record.encode().map_err(|error| error.to_string())?;
        Ok((key.into(), Some(value.into())))
    }

    fn decode(_: Envelope, _: &[u8], value: Option<&[u8]>) -> Result<Option<Record>, String> {
        let value = value.ok_or("a cluster record without a value")?;
        Record::decode(value)
            .map(Some)
            .map_err(|error| error.to_string())
    }

    fn checkpoint(&self) -> Vec<Record> {
        self.cluster.image().checkpoint()
    }

    fn durable(&mut self) {
        let before = Arc::clone(&self.publish.borrow());
        let image = self.cluster.image();
        if image.version() == before.image.version() {
            return;
        }
        let view = View::of(image, &before, self.node_id, &self.broker_settings);
        if !image.shares_topics_with(&before.image) {
            self.make_true(&before, &view);
        }
        self.publish.send_replace(Arc::new(view));
    }
}

impl Owner {
    /// Brings storage in line with a new view.
    fn make_true(&self, before: &View, view: &View) {
        // Views have nothing of their own there.
        let own = view.image.topics().filter(|topic| topic.view_of.is_none());
        for topic in own {
            let settings = view.topic_settings(topic);
            let same_topic = before
                .image
                .topic_by_id(topic.id)
                .is_some_and(|b| Arc::ptr_eq(b, topic));
            let known = before.settings.get(&topic.id).filter(|_| same_topic);
            if !known.is_some_and(|known| Arc::ptr_eq(known, &settings)) {
                self.ensure(topic, self.log_settings(topic, &settings));
            }
        }
        for gone in before
            .image
            .topics()
            .filter(|t| view.image.topic_by_id(t.id).is_none())
        {
            self.log
                .engine()
                .delete_topic(TopicId(gone.id.into_bytes()));
        }
    }

    fn ensure(&self, topic: &Topic, settings: LogSettings) {
        let store = self.log.engine().store();
        for index in 0..topic.partitions {
            let created = topic.incarnation_of(index).unwrap_or(0);
            let id = PartitionId {
                topic: TopicId(topic.id.into_bytes()),
                index,
            };
            store.ensure_partition(id, created, settings);
        }
    }

    /// What of a topic's settings concerns its log: a topic that is only compacted keeps everything, and
    /// one on its way to the lake keeps for a while what is not there yet. One that is being imported
    /// keeps what the other cluster keeps.
    fn log_settings(&self, topic: &Topic, settings: &TopicSettings) -> LogSettings {
        let is_tiered = settings.is_tiered() && !topic.internal;
        let is_kept = settings.importing;
        let is_compacted = self.compacts && settings.cleanup.compact && !topic.internal && !is_kept;
        let limit = |value: Option<u64>| value.filter(|_| settings.cleanup.delete && !is_kept);
        LogSettings {
            retention_ms: limit(settings.retention_ms)
                .map(|ms| i64::try_from(ms).unwrap_or(i64::MAX)),
            retention_bytes: limit(settings.retention_bytes),
            held_bytes_max: is_tiered.then_some(settings.lake.retention_budget_bytes),
            is_keyed: settings.table.key == TableKey::RecordKey,
            compaction: is_compacted.then(|| compaction(settings)),
        }
    }
}

/// Internal topics are not compacted by key: their owners begin them anew with a checkpoint.
fn compaction(settings: &TopicSettings) -> CompactionSettings {
    let max_lag_ms = settings.max_compaction_lag_ms;
    CompactionSettings {
        min_dirty_ratio: settings.min_dirty_ratio,
        min_lag_ms: settings.min_compaction_lag_ms,
        max_lag_ms,
        delete_retention_ms: settings.delete_retention_ms,
        seal_bytes: settings.segment_bytes.into(),
        seal_after_ms: settings.segment_ms.min(max_lag_ms.unwrap_or(i64::MAX)),
    }
}

fn options(settings: &Settings, broker_settings: &BrokerSettings) -> ClusterOptions {
    ClusterOptions {
        node_id: settings.node_id,
        default_partitions: settings.num_partitions,
        partitions_max: PARTITIONS_MAX,
        replication: match settings.replication_factor_policy {
            settings::ReplicationPolicy::Clamp => ReplicationPolicy::Clamp,
            settings::ReplicationPolicy::Refuse => ReplicationPolicy::Refuse,
        },
        features: features::supported(),
        settings: broker_settings.clone(),
    }
}

/// The process settings as rows of the coordinator, which knows those behind topic settings itself.
fn broker_settings(settings: &Settings) -> BrokerSettings {
    let known = BrokerSettings::new([]);
    let own = settings
        .describe()
        .filter(|described| known.get(described.row.name).is_none());
    let mut rows = BrokerSettings::new(own.map(|described| {
        BrokerSetting {
            name: described.row.name,
            kind: kind(described.row),
            default: Some(described.row.default.to_owned()),
            value: (*described.source != Source::Default)
                .then_some(described.value)
                .flatten(),
            doc: described.row.doc,
            read_only: described.row.update == Update::ReadOnly,
            sensitive: described.row.sensitive(),
        }
    }))
    .with_fixed(settings::fixed_names());
    for described in settings.describe() {
        let set = *described.source != Source::Default && known.get(described.row.name).is_some();
        if let Some(value) = described.value.filter(|_| set) {
            // Checked when it was read; a form that only one of the two tables knows stays default.
            if let Err(error) = rows.set(described.row.name, &value) {
                tracing::warn!(name = described.row.name, %error, "setting is not used for topics");
            }
        }
    }
    rows
}

fn kind(row: &settings::Row) -> Kind {
    let (min, max) = match row.limits {
        Limits::Any => (i64::MIN, i64::MAX),
        Limits::AtLeast(min) => (min, i64::MAX),
        Limits::Between(min, max) => (min, max),
    };
    match row.kind {
        settings::Kind::Boolean => Kind::Boolean,
        settings::Kind::Int => Kind::Int {
            min: i32::try_from(min).unwrap_or(i32::MIN),
            max: i32::try_from(max).unwrap_or(i32::MAX),
        },
        settings::Kind::Long => Kind::Long { min, max },
        settings::Kind::Double => Kind::Double {
            min: min as f64,
            max: max as f64,
        },
        settings::Kind::String => Kind::Text(|_| Ok(())),
        settings::Kind::List => Kind::List {
            allowed: &[],
            items_min: 0,
        },
    }
}
