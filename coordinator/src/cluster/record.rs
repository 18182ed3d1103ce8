//! What the metadata log holds: one JSON object per record.
//!
//! ```json
//! {"version":1,"min_reader":1,"type":"topic_deleted","id":"…","name":"orders"}
//! ```
//!
//! `version` is the writer's format, `min_reader` the oldest reader that understands the record.
//! Fields may be added without raising `min_reader` if ignoring them is safe. A reader that meets a
//! higher `min_reader`, or a type it does not know, stops with an error that names it: skipping a
//! record would make a different cluster.
//!
//! The log is shortened by [checkpoint](super::Image::checkpoint), not by key; the key only tells
//! people and tools what a record is about.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use super::command::NamedResource;
use super::image::Topic;
use super::quotas::{EntityQuotas, EntityType};
use super::schemas::RowsSchema;
use super::settings::Overrides;

/// The format this code writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 1;

/// A change of the image. Records state the result, not the difference, so a value in the image is
/// always a value of one record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Record {
    ClusterCreated {
        cluster_id: String,
    },
    /// Level 0: the feature was ended.
    FeatureLevel {
        name: String,
        level: i16,
    },
    /// The ids from `first` to `first + count − 1` are taken.
    ProducerIdsAllocated {
        first: i64,
        count: i64,
    },
    /// All that is set for a broker, or for every broker (`null`).
    BrokerConfigChanged {
        broker: Option<i32>,
        overrides: Overrides,
    },
    /// All that is set for a group or a subscription to metrics.
    NamedConfigChanged {
        resource: NamedResource,
        overrides: Overrides,
    },
    /// All quotas of an entity: its names by type, `null` for the default of a type.
    QuotasChanged {
        entity: Vec<(EntityType, Option<String>)>,
        quotas: EntityQuotas,
    },
    TopicCreated {
        topic: Topic,
    },
    TopicDeleted {
        id: Uuid,
        /// For people; the id decides.
        name: String,
    },
    /// The topic now has `total` partitions; the new ones were made in `incarnation`.
    PartitionsAdded {
        id: Uuid,
        total: i32,
        incarnation: u32,
    },
    /// All that is set for the topic.
    TopicConfigChanged {
        id: Uuid,
        overrides: Overrides,
    },
    /// The records of a keyed table left these partitioner rules possible, a bit for each.
    PartitionerNarrowed {
        id: Uuid,
        rules: u8,
    },
    /// Rows of the topic are written under this schema from now on.
    TableSchemaAdded {
        id: Uuid,
        schema: RowsSchema,
    },
    /// What these keys of the lake's catalog hold now; `null`: nothing.
    PointersChanged {
        changed: BTreeMap<String, Option<String>>,
    },
    /// Ends a checkpoint: the image it makes has this version.
    VersionReached {
        image_version: u64,
    },
}

/// Every value of `type`.
const TYPES: [&str; 14] = [
    "cluster_created",
    "feature_level",
    "producer_ids_allocated",
    "broker_config_changed",
    "named_config_changed",
    "quotas_changed",
    "topic_created",
    "topic_deleted",
    "partitions_added",
    "topic_config_changed",
    "partitioner_narrowed",
    "table_schema_added",
    "pointers_changed",
    "version_reached",
];

/// Why a record of the metadata log cannot be used.
#[derive(Debug, Error)]
pub enum RecordError {
    #[error(
        "metadata record {kind:?} needs a reader of format {min_reader}, this one reads up to \
         {FORMAT_VERSION}: start a newer tidelog"
    )]
    TooNew { kind: String, min_reader: u32 },
    #[error(
        "metadata record of unknown type {kind:?} (reader of format {min_reader}): start \
         the tidelog that wrote it, or a newer one"
    )]
    UnknownType { kind: String, min_reader: u32 },
    #[error("metadata record is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
}

#[derive(Serialize)]
struct Envelope<'a> {
    version: u32,
    min_reader: u32,
    #[serde(flatten)]
    record: &'a Record,
}

#[derive(Deserialize)]
struct Head {
    min_reader: u32,
    #[serde(rename = "type")]
    kind: String,
}

impl Record {
    /// The record's key and value in the metadata log.
    pub fn encode(&self) -> Result<(Vec<u8>, Vec<u8>), RecordError> {
        let envelope = Envelope {
            version: FORMAT_VERSION,
            min_reader: 1,
            record: self,
        };
        Ok((self.key().into_bytes(), serde_json::to_vec(&envelope)?))
    }

    /// Reads a value written by [`encode`](Self::encode), by this or another version.
    pub fn decode(value: &[u8]) -> Result<Self, RecordError> {
        let Head { min_reader, kind } = serde_json::from_slice(value)?;
        if min_reader > FORMAT_VERSION {
            return Err(RecordError::TooNew { kind, min_reader });
        }
        if !TYPES.contains(&kind.as_str()) {
            return Err(RecordError::UnknownType { kind, min_reader });
        }
        Ok(serde_json::from_slice(value)?)
    }

    fn key(&self) -> String {
        match self {
            Record::ClusterCreated { .. } => "cluster".into(),
            Record::FeatureLevel { name, .. } => format!("feature/{name}"),
            Record::ProducerIdsAllocated { .. } => "producer-ids".into(),
            Record::BrokerConfigChanged {
                broker: Some(id), ..
            } => format!("broker/{id}"),
            Record::BrokerConfigChanged { broker: None, .. } => "broker/default".into(),
            Record::NamedConfigChanged { resource, .. } => match resource {
                NamedResource::Group(name) => format!("group/{name}"),
                NamedResource::ClientMetrics(name) => format!("client-metrics/{name}"),
            },
            Record::QuotasChanged { entity, .. } => {
                let names = entity.iter().map(|(kind, name)| {
                    format!("{}={}", kind.name(), name.as_deref().unwrap_or("<default>"))
                });
                format!("quotas/{}", names.collect::<Vec<_>>().join(","))
            }
            Record::TopicCreated { topic } => format!("topic/{}", topic.id),
            Record::TopicDeleted { id, .. }
            | Record::PartitionsAdded { id, .. }
            | Record::TopicConfigChanged { id, .. }
            | Record::PartitionerNarrowed { id, .. }
            | Record::TableSchemaAdded { id, .. } => format!("topic/{id}"),
            Record::PointersChanged { .. } => "pointers".into(),
            Record::VersionReached { .. } => "checkpoint".into(),
        }
    }
}
