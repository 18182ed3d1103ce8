//! The schemas rows of a topic are written under.
//!
//! A topic whose settings give its one schema (`key_value`, or `inline` that was never altered) has
//! none here. Everything that is found out (inferred, brought by a writer) or altered is noted, so
//! that ids and columns are the same after a restart and for every reader.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use super::controller::Draft;
use super::record::Record;
use super::settings::MergeSettings;

/// Most schemas of one topic. Each is read by whoever opens the table.
pub const SCHEMAS_MAX: usize = 1_000;
/// Longest text of one, in bytes.
pub const SCHEMA_BYTES_MAX: usize = 1 << 20;

/// One schema of a topic's rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowsSchema {
    /// Unique in the topic; a later schema has a higher one.
    pub id: i32,
    /// The canonical text; `None`: key and value stay bytes.
    pub text: Option<String>,
}

/// Why no schema was added.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SchemaRefusal {
    #[error("no topic has id {id}")]
    UnknownTopic { id: Uuid },
    /// Somebody else was faster: look again.
    #[error("the newest schema is not {expected:?} but {found:?}")]
    Moved {
        expected: Option<i32>,
        found: Option<i32>,
    },
    #[error("schema ids must rise")]
    Order,
    #[error("a schema has {bytes} bytes: at most {SCHEMA_BYTES_MAX} are kept")]
    TooLong { bytes: usize },
    #[error("the topic has had {SCHEMAS_MAX} schemas: make a new topic")]
    TooMany,
    #[error(
        "the merge engine of this topic combines the columns it was made with: make a new topic"
    )]
    Merged,
}

/// Adds `schemas` behind the one with id `newest` (`None`: none is noted yet).
pub(super) fn add(
    draft: &mut Draft,
    id: Uuid,
    newest: Option<i32>,
    schemas: Vec<RowsSchema>,
) -> Result<(), SchemaRefusal> {
    let topic = draft.image.topic_by_id(id);
    let topic = topic.ok_or(SchemaRefusal::UnknownTopic { id })?;
    let found = topic.schemas.last().map(|schema| schema.id);
    if found != newest {
        let expected = newest;
        return Err(SchemaRefusal::Moved { expected, found });
    }
    if MergeSettings::of(&topic.overrides).reads_columns() {
        return Err(SchemaRefusal::Merged);
    }
    if topic.schemas.len() + schemas.len() > SCHEMAS_MAX {
        return Err(SchemaRefusal::TooMany);
    }
    let ids = found.into_iter().chain(schemas.iter().map(|new| new.id));
    if !ids.is_sorted_by(|before, after| before < after) {
        return Err(SchemaRefusal::Order);
    }
    let lengths = schemas.iter().filter_map(|new| new.text.as_deref());
    if let Some(bytes) = lengths.map(str::len).find(|len| *len > SCHEMA_BYTES_MAX) {
        return Err(SchemaRefusal::TooLong { bytes });
    }
    for schema in schemas {
        draft.push(Record::TableSchemaAdded { id, schema });
    }
    Ok(())
}
