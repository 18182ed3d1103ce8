//! The machine that owns the cluster image.
//!
//! Every command is decided on a draft: a clone of the image to which each record is applied as soon
//! as it is decided. So the third topic of a request is judged with the first two in place, and
//! "validate only" is the same walk with the records thrown away.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use uuid::Uuid;

use super::command::{Command, Reply};
use super::error::ClusterError;
use super::image::Image;
use super::pointers;
use super::quotas;
use super::record::Record;
use super::schemas;
use super::settings::{BrokerSettings, Layers};
use crate::machine::{Decision, Machine, Token};

/// What the process knows and the log does not.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    pub node_id: i32,
    /// For topics that leave the count to the cluster.
    pub default_partitions: i32,
    /// Partitions of all topics together; bounds what clients can make this process hold.
    pub partitions_max: i64,
    pub replication: ReplicationPolicy,
    /// Levels this version supports, by feature. A range from 0: the feature can be off.
    pub features: BTreeMap<&'static str, RangeInclusive<i16>>,
    pub settings: BrokerSettings,
}

/// What becomes of a replication factor above the number of brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicationPolicy {
    /// Make the topic with what there is, and say so: Kafka Connect asks for 3 unless told otherwise.
    Clamp,
    /// Kafka's answer.
    Refuse,
}

/// The owner of the image. It waits for nothing, so it has no deadlines.
#[derive(Debug)]
pub struct Cluster {
    pub(super) options: ClusterOptions,
    image: Image,
}

impl Cluster {
    /// An empty cluster; the log, applied, makes it the one that was.
    pub fn new(options: ClusterOptions) -> Self {
        Cluster {
            options,
            image: Image::default(),
        }
    }

    /// The image after everything applied so far, durable or not; clone it to publish it.
    pub fn image(&self) -> &Image {
        &self.image
    }

    pub fn options(&self) -> &ClusterOptions {
        &self.options
    }

    /// This broker's settings under `image`.
    pub(super) fn layers<'a>(&'a self, image: &'a Image) -> Layers<'a> {
        image.layers(self.options.node_id, &self.options.settings)
    }

    fn plan(&self, now_ms: i64, command: Command) -> (Vec<Record>, Reply) {
        let mut draft = Draft {
            image: self.image.clone(),
            records: Vec::new(),
        };
        let mut validated = false;
        let reply = match command {
            Command::CreateCluster { cluster_id } => self.create_cluster(&mut draft, cluster_id),
            Command::CreateTopics {
                topics,
                incarnation,
                validate_only,
            } => {
                validated = validate_only;
                Reply::Created(self.create_topics(&mut draft, now_ms, topics, incarnation))
            }
            Command::AutoCreateTopics {
                topics,
                incarnation,
            } => Reply::Created(self.auto_create_topics(&mut draft, now_ms, topics, incarnation)),
            Command::DeleteTopics { topics } => {
                Reply::Deleted(self.delete_topics(&mut draft, topics))
            }
            Command::CreatePartitions {
                topics,
                incarnation,
                validate_only,
            } => {
                validated = validate_only;
                Reply::Grown(self.create_partitions(&mut draft, topics, incarnation))
            }
            Command::AlterConfigs {
                changes,
                validate_only,
            } => {
                validated = validate_only;
                Reply::Altered(self.alter_configs(&mut draft, changes))
            }
            Command::AllocateProducerIds { count } => {
                Reply::ProducerIds(allocate_producer_ids(&mut draft, count.get().into()))
            }
            Command::SkipProducerIds { below } => {
                let missing = below.saturating_sub(draft.image.next_producer_id());
                Reply::ProducerIds(allocate_producer_ids(&mut draft, missing.max(0)))
            }
            Command::UpdateFeatures {
                updates,
                validate_only,
            } => {
                validated = validate_only;
                Reply::Features(self.update_features(&mut draft, updates))
            }
            Command::BeginFeatures { levels } => {
                self.begin_features(&mut draft, levels);
                Reply::Features(Ok(()))
            }
            Command::AlterQuotas {
                changes,
                validate_only,
            } => {
                validated = validate_only;
                Reply::Quotas(quotas::change(&mut draft, changes))
            }
            Command::NarrowPartitioner { topic, rules } => {
                Reply::Partitioner(narrow_partitioner(&mut draft, topic, rules))
            }
            Command::AddSchemas {
                topic,
                newest,
                schemas,
            } => Reply::Schemas(schemas::add(&mut draft, topic, newest, schemas)),
            Command::ChangePointers { changes } => {
                Reply::Pointers(pointers::change(&mut draft, changes))
            }
        };
        if validated {
            draft.records.clear();
        }
        (draft.records, reply)
    }

    fn create_cluster(&self, draft: &mut Draft, cluster_id: String) -> Reply {
        if let Some(existing) = draft.image.cluster_id() {
            return Reply::Cluster {
                cluster_id: existing.into(),
            };
        }
        draft.push(Record::ClusterCreated {
            cluster_id: cluster_id.clone(),
        });
        Reply::Cluster { cluster_id }
    }
}

fn allocate_producer_ids(
    draft: &mut Draft,
    count: i64,
) -> Result<std::ops::Range<i64>, ClusterError> {
    let first = draft.image.next_producer_id();
    let end = first
        .checked_add(count)
        .ok_or(ClusterError::ProducerIdsExhausted)?;
    if count > 0 {
        draft.push(Record::ProducerIdsAllocated { first, count });
    }
    Ok(first..end)
}

fn narrow_partitioner(draft: &mut Draft, id: Uuid, rules: u8) -> Result<u8, ClusterError> {
    let topic = draft.image.topic_by_id(id);
    let topic = topic.ok_or(ClusterError::UnknownTopicId { id })?;
    let before = topic.partitioner_rules;
    let rules = before.map_or(rules, |before| before & rules);
    if before != Some(rules) {
        draft.push(Record::PartitionerNarrowed { id, rules });
    }
    Ok(rules)
}

/// The image as the records decided so far would make it.
pub(super) struct Draft {
    pub image: Image,
    records: Vec<Record>,
}

impl Draft {
    pub fn push(&mut self, record: Record) {
        self.image.apply(&record);
        self.records.push(record);
    }
}

impl Machine for Cluster {
    type Command = Command;
    type Record = Record;
    type Reply = Reply;

    fn decide(&mut self, now_ms: i64, token: Token, command: Command) -> Decision<Record, Reply> {
        let (records, reply) = self.plan(now_ms, command);
        Decision {
            records,
            replies: vec![(token, reply)],
        }
    }

    fn apply(&mut self, record: &Record) {
        self.image.apply(record);
    }
}
