//! What can be wrong with a command. Each message says what to do about it.

use thiserror::Error;
use uuid::Uuid;

use super::command::ConfigResource;
use super::settings::ConfigError;

/// Why one topic, resource or feature of a command was refused. The Kafka code of each variant is
/// chosen by the broker.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ClusterError {
    #[error("topic {name} already exists")]
    TopicExists { name: String },
    #[error("invalid topic name {name:?}: {reason}")]
    InvalidTopicName { name: String, reason: &'static str },
    /// Kafka's INVALID_TOPIC_EXCEPTION too.
    #[error("topic {name} differs from {existing} only in '.' against '_': choose another name")]
    NameCollision { name: String, existing: String },
    #[error("{topic} is named more than once in this request: name each topic once")]
    DuplicateTopic { topic: String },
    #[error("topic id {id} is taken or reserved: try again with a new one")]
    TopicIdTaken { id: Uuid },
    #[error("{reason}")]
    InvalidPartitions { reason: String },
    #[error("replication factor {requested} is not possible: {reason}")]
    InvalidReplicationFactor {
        requested: i16,
        reason: &'static str,
    },
    #[error("invalid replica assignment: {reason}")]
    InvalidReplicaAssignment { reason: String },
    #[error(
        "partition count or replication factor given beside replica assignments: give one or the other"
    )]
    AssignmentsAndCounts,
    #[error(transparent)]
    InvalidConfig(#[from] ConfigError),
    /// The same, where Kafka answers INVALID_REQUEST.
    #[error(transparent)]
    MalformedConfig(ConfigError),
    #[error("topic {name} does not exist")]
    UnknownTopic { name: String },
    #[error("no topic has id {id}")]
    UnknownTopicId { id: Uuid },
    /// Kafka's POLICY_VIOLATION.
    #[error("topic {name} is kept by the broker for itself and cannot be {action}")]
    InternalTopic { name: String, action: &'static str },
    /// Kafka's INVALID_PARTITIONS.
    #[error(
        "topic {name} is a keyed table: with more partitions its keys would map to other ones; \
         make a new topic with the count you need"
    )]
    KeyedTableFixed { name: String },
    #[error("tidelog.view.of: {reason}")]
    BadView { reason: String },
    /// Kafka's POLICY_VIOLATION.
    #[error("topic {name} is shown by {views}: delete them first, or in the same request")]
    HasViews { name: String, views: String },
    #[error("broker {id} is not part of this cluster")]
    UnknownBroker { id: i32 },
    #[error("{resource} is named more than once in this request: name each resource once")]
    DuplicateResource { resource: ConfigResource },
    /// Kafka's POLICY_VIOLATION.
    #[error("{max} groups and subscriptions have settings already: take some away first")]
    TooManyResources { max: usize },
    /// Kafka's POLICY_VIOLATION.
    #[error("a broker keeps {max} settings at most: take some away first")]
    TooManySettings { max: usize },
    #[error("feature {name} cannot be set to level {level}: {reason}")]
    InvalidFeature {
        name: String,
        level: i16,
        reason: String,
    },
    #[error("all producer ids have been given out")]
    ProducerIdsExhausted,
}
