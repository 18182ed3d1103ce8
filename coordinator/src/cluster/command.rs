//! What the cluster machine is asked, and what it answers.
//!
//! Requests of any version become these at the door. Chance comes in with them: ids of new topics,
//! and the number of the incarnation new partitions are made in.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::ClusterError;
use super::features::FeatureUpdate;
use super::image::Topic;
use super::pointers::{PointerChange, PointerRefusal};
use super::quotas::{NamedEntity, QuotaChange, QuotaError};
use super::schemas::{RowsSchema, SchemaRefusal};

#[derive(Debug, Clone)]
pub enum Command {
    /// Names the cluster; a cluster that has a name keeps it.
    CreateCluster {
        cluster_id: String,
    },
    CreateTopics {
        topics: Vec<NewTopic>,
        incarnation: u32,
        validate_only: bool,
    },
    /// Makes the topics that do not exist, with all defaults. Existing ones are no error.
    AutoCreateTopics {
        /// Name, and the id to use if it is made.
        topics: Vec<(String, Uuid)>,
        incarnation: u32,
    },
    DeleteTopics {
        topics: Vec<TopicRef>,
    },
    CreatePartitions {
        topics: Vec<GrowTopic>,
        incarnation: u32,
        validate_only: bool,
    },
    AlterConfigs {
        changes: Vec<ConfigChange>,
        validate_only: bool,
    },
    AllocateProducerIds {
        count: NonZeroU32,
    },
    /// Lets no producer id below `below` be allocated from now on.
    SkipProducerIds {
        below: i64,
    },
    /// All of the levels, or none.
    UpdateFeatures {
        updates: Vec<FeatureUpdate>,
        validate_only: bool,
    },
    /// Names and levels of features that are to begin, if nobody decided on them before.
    BeginFeatures {
        levels: Vec<(String, i16)>,
    },
    AlterQuotas {
        changes: Vec<QuotaChange>,
        validate_only: bool,
    },
    /// Notes the partitioner rules that the records of a keyed table leave possible.
    NarrowPartitioner {
        topic: Uuid,
        /// A bit for each rule; those that were ruled out before stay so.
        rules: u8,
    },
    /// Adds schemas to a topic, if its newest is the one with id `newest` (`None`: none is noted).
    AddSchemas {
        topic: Uuid,
        newest: Option<i32>,
        schemas: Vec<RowsSchema>,
    },
    /// All of the changes, if every key has what is expected there, or none.
    ChangePointers {
        changes: Vec<PointerChange>,
    },
}

/// A topic to be made.
#[derive(Debug, Clone)]
pub struct NewTopic {
    pub name: String,
    pub id: Uuid,
    /// −1: the default.
    pub partitions: i32,
    /// −1: the default.
    pub replication_factor: i16,
    /// (partition, replicas); empty to leave it to the cluster.
    pub assignments: Vec<(i32, Vec<i32>)>,
    pub configs: Vec<(String, Option<String>)>,
    /// Made by the broker for itself; needed for [`INTERNAL_TOPICS`], illegal for clients.
    pub internal: bool,
}

/// Names only the broker may create.
pub const INTERNAL_TOPICS: [&str; 3] = [
    "__consumer_offsets",
    "__transaction_state",
    "__cluster_metadata",
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicRef {
    Name(String),
    Id(Uuid),
}

impl fmt::Display for TopicRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TopicRef::Name(name) => write!(f, "topic {name}"),
            TopicRef::Id(id) => write!(f, "topic id {id}"),
        }
    }
}

/// More partitions for a topic.
#[derive(Debug, Clone)]
pub struct GrowTopic {
    pub name: String,
    /// The count afterwards.
    pub total: i32,
    /// Replicas of each new partition, if the caller chose them.
    pub assignments: Option<Vec<Vec<i32>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ConfigResource {
    Topic(String),
    Broker(i32),
    /// All brokers: the broker resource with the empty name.
    BrokerDefault,
    Named(NamedResource),
}

/// A resource that exists once something is set for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NamedResource {
    /// A group of any protocol, whether or not it has members.
    Group(String),
    /// A subscription to metrics of clients.
    ClientMetrics(String),
}

impl NamedResource {
    pub fn name(&self) -> &str {
        match self {
            NamedResource::Group(name) | NamedResource::ClientMetrics(name) => name,
        }
    }
}

impl fmt::Display for NamedResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NamedResource::Group(name) => write!(f, "group {name}"),
            NamedResource::ClientMetrics(name) => write!(f, "client metrics {name}"),
        }
    }
}

impl fmt::Display for ConfigResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigResource::Topic(name) => write!(f, "topic {name}"),
            ConfigResource::Broker(id) => write!(f, "broker {id}"),
            ConfigResource::BrokerDefault => f.write_str("the default of all brokers"),
            ConfigResource::Named(resource) => resource.fmt(f),
        }
    }
}

/// What to do to one resource; all of it or nothing.
#[derive(Debug, Clone)]
pub struct ConfigChange {
    pub resource: ConfigResource,
    pub alteration: Alteration,
}

#[derive(Debug, Clone)]
pub enum Alteration {
    /// Change these (IncrementalAlterConfigs).
    Edit(Vec<ConfigEdit>),
    /// Set these and nothing else (AlterConfigs).
    Replace(Vec<(String, Option<String>)>),
}

#[derive(Debug, Clone)]
pub struct ConfigEdit {
    pub name: String,
    pub op: EditOp,
    /// Not read by `Delete`.
    pub value: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EditOp {
    Set,
    Delete,
    /// Add the items the list lacks.
    Append,
    /// Take the items out of the list.
    Subtract,
}

/// Answers keep the order of what was asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// The cluster's id: the one given, or the one it has had all along.
    Cluster {
        cluster_id: String,
    },
    /// To `CreateTopics` and `AutoCreateTopics`.
    Created(Vec<(String, Result<CreatedTopic, ClusterError>)>),
    /// The topic as it was.
    Deleted(Vec<(TopicRef, Result<Arc<Topic>, ClusterError>)>),
    /// The topic as it is afterwards.
    Grown(Vec<(String, Result<Arc<Topic>, ClusterError>)>),
    Altered(Vec<(ConfigResource, Result<(), ClusterError>)>),
    /// Ids nobody was given before; to `SkipProducerIds`, those that nobody will be.
    ProducerIds(Result<Range<i64>, ClusterError>),
    Features(Result<(), ClusterError>),
    /// One answer per entity, in the order in which they were named first.
    Quotas(Vec<(NamedEntity, Result<(), QuotaError>)>),
    /// The rules that are left.
    Partitioner(Result<u8, ClusterError>),
    Schemas(Result<(), SchemaRefusal>),
    Pointers(Result<(), PointerRefusal>),
}

/// A topic that was made, would be made, or was there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedTopic {
    pub topic: Arc<Topic>,
    /// The replication factor asked for, where the cluster has fewer brokers and policy allows fewer.
    pub clamped_from: Option<i16>,
}
