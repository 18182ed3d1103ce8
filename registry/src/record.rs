//! What the registry's log holds: one JSON object per record.
//!
//! ```json
//! {"version":1,"min_reader":1,"type":"version_set","subject":"orders-value","number":2,"id":7,"deleted":false}
//! ```
//!
//! `version` is the writer's format, `min_reader` the oldest reader that understands the record; a
//! reader that meets a higher one, or a type it does not know, stops: skipping a record would make a
//! different registry. Records state results, not differences, so a checkpoint may be read on top of
//! the log it was taken from.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Schema, SchemaId, Settings, Version};

/// The format this code writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 1;

/// A change of the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Record {
    /// The id stands for this schema from now on. A version that has it follows.
    SchemaAdded { id: SchemaId, schema: Schema },
    /// The subject's version `number` is the schema `id`.
    VersionSet {
        subject: String,
        number: Version,
        id: SchemaId,
        /// Hidden until it is registered anew or gone for good.
        deleted: bool,
    },
    /// The version is gone, and its schema with the last version that has it.
    VersionRemoved { subject: String, number: Version },
    /// All that is set for a subject, or for every subject (`null`).
    SettingsChanged {
        subject: Option<String>,
        settings: Settings,
    },
    /// Ends a checkpoint: ids up to `last_id` were given, and the image it makes has this version.
    Reached { last_id: i32, image_version: u64 },
}

/// Every value of `type`.
const TYPES: [&str; 5] = [
    "schema_added",
    "version_set",
    "version_removed",
    "settings_changed",
    "reached",
];

/// Why a record of the registry's log cannot be used.
#[derive(Debug, Error)]
pub enum RecordError {
    #[error(
        "registry record {kind:?} needs a reader of format {min_reader}, this one reads up to \
         {FORMAT_VERSION}: start a newer tidelog"
    )]
    TooNew { kind: String, min_reader: u32 },
    #[error(
        "registry record of unknown type {kind:?} (reader of format {min_reader}): start the \
         tidelog that wrote it, or a newer one"
    )]
    UnknownType { kind: String, min_reader: u32 },
    #[error("registry record is damaged: {0}")]
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
    /// The record's key and value in the log. The key only tells people what a record is about.
    ///
    /// # Errors
    /// Never for a record this crate made.
    pub fn encode(&self) -> Result<(Vec<u8>, Vec<u8>), RecordError> {
        let envelope = Envelope {
            version: FORMAT_VERSION,
            min_reader: 1,
            record: self,
        };
        Ok((self.key().into_bytes(), serde_json::to_vec(&envelope)?))
    }

    /// The record in a value of the log.
    ///
    /// # Errors
    /// It is damaged, or of a newer format.
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
            Self::SchemaAdded { id, .. } => format!("schema/{id}"),
            Self::VersionSet {
                subject, number, ..
            }
            | Self::VersionRemoved { subject, number } => format!("version/{subject}/{number}"),
            Self::SettingsChanged { subject, .. } => match subject {
                Some(subject) => format!("settings/{subject}"),
                None => "settings".to_owned(),
            },
            Self::Reached { .. } => "checkpoint".to_owned(),
        }
    }
}
