//! The cluster image as a state machine over the `__cluster_metadata` log.
//!
//! ```text
//! Command ─▶ Cluster::decide ─▶ records ─▶ log ─▶ Image::apply ─▶ a clone for readers
//!                       └─▶ reply (once the records are durable)
//! ```
//!
//! - [`settings`]: the table of topic settings and how values are found.
//! - [`Image`]: what the log so far has made.
//! - [`Record`]: what the log holds.
//! - [`Cluster`]: the machine; topics and settings are decided in their own files.
//!
//! Invariants: live image = image replayed from the log = image restored from a checkpoint plus what
//! follows it; producer ids are never given out twice; a topic made again has a new id.

mod command;
mod configs;
mod controller;
mod error;
mod features;
mod image;
mod pointers;
mod quotas;
mod record;
mod schemas;
pub mod settings;
mod topics;
mod views;

pub use command::{
    Alteration, Command, ConfigChange, ConfigEdit, ConfigResource, CreatedTopic, EditOp, GrowTopic,
    INTERNAL_TOPICS, NamedResource, NewTopic, Reply, TopicRef,
};
pub use controller::{Cluster, ClusterOptions, ReplicationPolicy};
pub use error::ClusterError;
pub use features::{Direction, FeatureUpdate};
pub use image::{Image, PartitionsCreated, Topic};
pub use pointers::{
    POINTER_CHANGE_BYTES_MAX, POINTERS_BYTES_MAX, PointerChange, PointerRefusal, Pointers,
};
pub use quotas::{
    ENTITY_NAME_BYTES_MAX, EntityQuotas, EntityType, NamedEntity, QUOTA_ENTITIES_MAX, Quota,
    QuotaChange, QuotaEntity, QuotaError, Quotas,
};
pub use record::{FORMAT_VERSION, Record, RecordError};
pub use schemas::{RowsSchema, SCHEMA_BYTES_MAX, SCHEMAS_MAX, SchemaRefusal};
