//! The cluster image: topics, settings, features, quotas, producer ids and catalog
//! pointers, as the log so far has made them.
//!
//! An image is a value. Cloning one costs a handful of reference counts, so the owner publishes a
//! clone after each change and readers keep theirs as long as they like; the first change after a
//! clone copies the map it touches (one reference count per topic), never the topics.
//!
//! Invariants: [`Image::apply`] is the only way in and cannot fail; two topics never have names that
//! differ only in `.` against `_` (Kafka's metric names merge those); a producer id is below
//! [`Image::next_producer_id`] once it may have been given out, and that mark never moves back.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::command::NamedResource;
use super::pointers::Pointers;
use super::quotas::Quotas;
use super::record::Record;
use super::schemas::RowsSchema;
use super::settings::{BrokerSettings, Layers, Overrides, TopicSettings};

/// A topic as the image knows it. Immutable: a change makes a new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topic {
    pub name: String,
    /// Never used by another topic, not even one of the same name.
    pub id: Uuid,
    /// Number of partitions; they are 0 to this − 1.
    pub partitions: i32,
    pub overrides: Overrides,
    /// Which partitions were made in which incarnation, by rising `first`; the first entry is 0.
    pub created: Vec<PartitionsCreated>,
    /// Kept by the broker for itself; clients may read it but not delete it.
    pub internal: bool,
    /// Milliseconds since 1970.
    pub created_at_ms: i64,
    /// Of a keyed table with `tidelog.partitioner=auto`: the rules its records may still follow, a
    /// bit for each. `None` while every rule may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitioner_rules: Option<u8>,
    /// What its rows are written under, oldest first, where that is not what its settings say alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schemas: Vec<RowsSchema>,
    /// Of a view: the topic whose records it shows. That one is there as long as the view is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view_of: Option<Uuid>,
}

/// Partitions from `first` on, up to the next entry's, were made in `incarnation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionsCreated {
    pub first: i32,
    pub incarnation: u32,
}

impl Topic {
    /// The topic whose log readers of this one are given: its own, unless it is a view.
    pub fn log_id(&self) -> Uuid {
        self.view_of.unwrap_or(self.id)
    }

    /// The incarnation that made `partition`; its leader epoch counts from there.
    pub fn incarnation_of(&self, partition: i32) -> Option<u32> {
        if !(0..self.partitions).contains(&partition) {
            return None;
        }
        self.created
            .iter()
            .rev()
            .find(|range| range.first <= partition)
            .map(|range| range.incarnation)
    }
}

/// Everything cluster-wide at one point of the metadata log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    version: u64,
    cluster_id: Option<Arc<str>>,
    /// By name with `.` written as `_`: one map finds a topic and the names that would collide with it.
    names: Arc<BTreeMap<Arc<str>, Arc<Topic>>>,
    ids: Arc<HashMap<Uuid, Arc<Topic>>>,
    partitions: i64,
    next_producer_id: i64,
    /// `None` is the default of all brokers.
    broker_configs: Arc<BTreeMap<Option<i32>, Overrides>>,
    named_configs: Arc<BTreeMap<NamedResource, Overrides>>,
    features: Arc<BTreeMap<String, i16>>,
    quotas: Arc<Quotas>,
    pointers: Arc<Pointers>,
}

impl Image {
    /// How many records made this image; grows with every change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// `None` until the cluster is created.
    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }

    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.colliding(name).filter(|topic| topic.name == name)
    }

    pub fn topic_by_id(&self, id: Uuid) -> Option<&Arc<Topic>> {
        self.ids.get(&id)
    }

    /// All topics, by name (`.` sorts as `_`).
    pub fn topics(&self) -> impl ExactSizeIterator<Item = &Arc<Topic>> {
        self.names.values()
    }

    /// The topic that a view shows; `None` for one that is no view.
    pub fn source_of(&self, topic: &Topic) -> Option<&Arc<Topic>> {
        self.topic_by_id(topic.view_of?)
    }

    /// The views of a topic, by name.
    pub fn views_of(&self, topic: Uuid) -> impl Iterator<Item = &Arc<Topic>> {
        self.topics()
            .filter(move |view| view.view_of == Some(topic))
    }

    /// Partitions of all topics together.
    pub fn partition_count(&self) -> i64 {
        self.partitions
    }

    /// Every producer id ever given out is below.
    pub fn next_producer_id(&self) -> i64 {
        self.next_producer_id
    }

    /// What was set at run time for a broker, or for all (`None`).
    pub fn broker_config(&self, broker: Option<i32>) -> Option<&Overrides> {
        self.broker_configs.get(&broker)
    }

    /// Every group and subscription something is set for; none is empty.
    pub fn named_configs(&self) -> &BTreeMap<NamedResource, Overrides> {
        &self.named_configs
    }

    /// Feature levels by name, as somebody decided on them; 0: the feature was ended.
    pub fn features(&self) -> &BTreeMap<String, i16> {
        &self.features
    }

    /// The level of a feature; 0 if it is not in force.
    pub fn feature_level(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }

    /// Client quotas by entity.
    pub fn quotas(&self) -> &Quotas {
        &self.quotas
    }

    /// What the lake's catalog keeps.
    pub fn pointers(&self) -> &Pointers {
        &self.pointers
    }

    /// Where a broker's settings are found; the topics' overrides go on top.
    pub fn layers<'a>(&'a self, broker: i32, settings: &'a BrokerSettings) -> Layers<'a> {
        Layers::new(
            settings,
            self.broker_config(Some(broker)),
            self.broker_config(None),
        )
    }

    /// What `topic` obeys on `broker`.
    pub fn settings(&self, topic: &Topic, broker: i32, settings: &BrokerSettings) -> TopicSettings {
        TopicSettings::resolve(&self.layers(broker, settings).with_topic(&topic.overrides))
    }

    /// Whether topics and what they obey are the same as in `other`, told without looking at each: a
    /// clone shares them until one of the two changes.
    pub fn shares_topics_with(&self, other: &Image) -> bool {
        Arc::ptr_eq(&self.names, &other.names)
            && Arc::ptr_eq(&self.broker_configs, &other.broker_configs)
    }

    /// The topic whose name is `name`, or differs from it only in `.` against `_`.
    pub(crate) fn colliding(&self, name: &str) -> Option<&Arc<Topic>> {
        self.names.get(merged(name).as_ref())
    }

    /// Makes one change. Records that name a topic that is gone change nothing.
    pub fn apply(&mut self, record: &Record) {
        self.version += 1;
        match record {
            Record::ClusterCreated { cluster_id } => {
                self.cluster_id = Some(cluster_id.as_str().into())
            }
            Record::FeatureLevel { name, level } => {
                Arc::make_mut(&mut self.features).insert(name.clone(), *level);
            }
            Record::QuotasChanged { entity, quotas } => {
                let entity = entity.iter().cloned().collect();
                let all = Arc::make_mut(&mut self.quotas);
                match quotas.is_empty() {
                    true => all.remove(&entity),
                    false => all.insert(entity, quotas.clone()),
                };
            }
            Record::NamedConfigChanged {
                resource,
                overrides,
            } => {
                let configs = Arc::make_mut(&mut self.named_configs);
                match overrides.is_empty() {
                    true => configs.remove(resource),
                    false => configs.insert(resource.clone(), overrides.clone()),
                };
            }
            Record::ProducerIdsAllocated { first, count } => {
                let end = first.saturating_add(*count);
                self.next_producer_id = self.next_producer_id.max(end);
            }
            Record::BrokerConfigChanged { broker, overrides } => {
                let configs = Arc::make_mut(&mut self.broker_configs);
                match overrides.is_empty() {
                    true => configs.remove(broker),
                    false => configs.insert(*broker, overrides.clone()),
                };
            }
            Record::TopicCreated { topic } => self.insert(Arc::new(topic.clone())),
            Record::TopicDeleted { id, .. } => self.remove(*id),
            Record::PartitionsAdded {
                id,
                total,
                incarnation,
            } => self.change(*id, |topic| {
                topic.created.push(PartitionsCreated {
                    first: topic.partitions,
                    incarnation: *incarnation,
                });
                topic.partitions = *total;
            }),
            Record::TopicConfigChanged { id, overrides } => {
                self.change(*id, |topic| topic.overrides = overrides.clone())
            }
            Record::PartitionerNarrowed { id, rules } => {
                self.change(*id, |topic| topic.partitioner_rules = Some(*rules))
            }
            Record::TableSchemaAdded { id, schema } => {
                self.change(*id, |topic| topic.schemas.push(schema.clone()))
            }
            Record::PointersChanged { changed } => {
                let pointers = Arc::make_mut(&mut self.pointers);
                for (key, text) in changed {
                    pointers.set(key, text.as_deref());
                }
            }
            Record::VersionReached { image_version } => self.version = *image_version,
        }
    }

    /// The shortest list of records that makes this image again.
    pub fn checkpoint(&self) -> Vec<Record> {
        let cluster = self.cluster_id().map(|id| Record::ClusterCreated {
            cluster_id: id.to_owned(),
        });
        let features = self
            .features
            .iter()
            .map(|(name, level)| Record::FeatureLevel {
                name: name.clone(),
                level: *level,
            });
        let producer_ids = (self.next_producer_id > 0).then_some(Record::ProducerIdsAllocated {
            first: 0,
            count: self.next_producer_id,
        });
        let brokers =
            self.broker_configs
                .iter()
                .map(|(broker, overrides)| Record::BrokerConfigChanged {
                    broker: *broker,
                    overrides: overrides.clone(),
                });
        let named =
            self.named_configs
                .iter()
                .map(|(resource, overrides)| Record::NamedConfigChanged {
                    resource: resource.clone(),
                    overrides: overrides.clone(),
                });
        let quotas = self
            .quotas
            .iter()
            .map(|(entity, quotas)| Record::QuotasChanged {
                entity: entity.clone().into_iter().collect(),
                quotas: quotas.clone(),
            });
        let topics = self.topics().map(|topic| Record::TopicCreated {
            topic: topic.as_ref().clone(),
        });
        let pointers = self.pointers.with_prefix("").map(|(key, text)| {
            let changed = [(key.to_owned(), Some(text.to_owned()))].into();
            Record::PointersChanged { changed }
        });
        cluster
            .into_iter()
            .chain(features)
            .chain(producer_ids)
            .chain(brokers)
            .chain(named)
            .chain(quotas)
            .chain(topics)
            .chain(pointers)
            .chain([Record::VersionReached {
                image_version: self.version,
            }])
            .collect()
    }

    /// The image a list of records makes: a checkpoint, a whole log, or one after the other.
    pub fn restore<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut image = Image::default();
        for record in records {
            image.apply(record);
        }
        image
    }

    fn insert(&mut self, topic: Arc<Topic>) {
        // A checked log never creates what exists; a damaged one must still leave both maps alike.
        self.remove(topic.id);
        if let Some(id) = self.colliding(&topic.name).map(|old| old.id) {
            self.remove(id);
        }
        self.put(topic);
    }

    fn put(&mut self, topic: Arc<Topic>) {
        self.partitions += i64::from(topic.partitions);
        Arc::make_mut(&mut self.names).insert(merged(&topic.name).into(), Arc::clone(&topic));
        Arc::make_mut(&mut self.ids).insert(topic.id, topic);
    }

    fn remove(&mut self, id: Uuid) {
        if let Some(topic) = Arc::make_mut(&mut self.ids).remove(&id) {
            self.partitions -= i64::from(topic.partitions);
            Arc::make_mut(&mut self.names).remove(merged(&topic.name).as_ref());
        }
    }

    fn change(&mut self, id: Uuid, change: impl FnOnce(&mut Topic)) {
        if let Some(topic) = self.topic_by_id(id) {
            let mut topic = topic.as_ref().clone();
            change(&mut topic);
            self.remove(id);
            self.put(Arc::new(topic));
        }
    }
}

/// A name as Kafka's metrics would write it.
pub(super) fn merged(name: &str) -> Cow<'_, str> {
    match name.contains('.') {
        true => name.replace('.', "_").into(),
        false => name.into(),
    }
}
