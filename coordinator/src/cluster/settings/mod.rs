//! Every setting a topic has, in one table, and how a value is found.
//!
//! [`TOPIC_CONFIGS`] is the list: a row gives a setting's name, type and range, default, broker-level
//! names and documentation. Validation, DescribeConfigs and the typed [`TopicSettings`] all read it,
//! so a new setting is one row (and one field, if the system acts on it).
//!
//! A value is looked for in [`Layers`], nearest first:
//!
//! ```text
//! topic → this broker, at run time → all brokers, at run time → broker file or flag → default
//! ```
//!
//! Invariants: a name accepted by an alteration is a row of the table; a stored value passed its
//! row's check when it was written; resolution is total: a stored value that no longer parses falls
//! back to the row's default instead of failing recovery.

mod broker;
mod entry;
mod kind;
mod layers;
mod merge;
mod mode;
mod named;
mod table;
#[cfg(test)]
mod tests;
mod topic;
mod view;

use std::collections::BTreeMap;

pub use broker::{BrokerSetting, BrokerSettings};
pub use entry::{ConfigEntry, ConfigSource, Synonym};
pub use kind::{ConfigError, ConfigType, Kind, VALUE_BYTES_MAX};
pub use layers::Layers;
pub use merge::MergeSettings;
pub use mode::{LatestSchema, TableMode};
pub use named::{NamedConfig, RESOURCE_NAME_BYTES_MAX};
pub use table::{BrokerName, Effect, TOPIC_CONFIGS, TopicConfig};
pub use topic::{
    CleanupPolicy, Compression, KeyScope, LakeSettings, Partitioner, TableCodec, TableKey,
    TableSettings, TimestampType, TopicSettings,
};
pub use view::{ViewFormat, ViewSettings};

pub(crate) use kind::list_items;
pub(crate) use merge::MERGE_CONFIGS;
pub(crate) use named::check_named;
pub(crate) use table::{TABLE_KEY, TABLE_KEY_SCOPE};
pub(crate) use topic::{check_topic, known};
pub(crate) use view::check_unchanged;

/// Values set for one topic or broker: setting name → text as given.
pub type Overrides = BTreeMap<String, String>;
