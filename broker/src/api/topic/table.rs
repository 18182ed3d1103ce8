//! What table settings must be beyond their form: a schema must be one, and what rows were made
//! under stays.
//!
//! The cluster's owner knows settings as texts; here they are understood, before it is asked.

use tidelog_coordinator::cluster::settings::{Overrides, TableMode, TopicSettings};
use tidelog_coordinator::cluster::{Alteration, ConfigChange, ConfigResource, EditOp};
use tidelog_protocol_ext::ErrorCode;
use tidelog_typed::{SchemaError, TableSchema};

use crate::api::error::Coded;
use crate::broker::Broker;

const MODE: &str = "tidelog.table.mode";
const SCHEMA: &str = "tidelog.table.schema";
const KEY: &str = "tidelog.table.key";
const RECORD_KEY: &str = "record_key";

/// Why a topic's table settings are refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BadTable {
    #[error("tidelog.table.schema: {0}")]
    Schema(#[from] SchemaError),
    #[error("{KEY}: columns as primary key are not available yet; use {RECORD_KEY}")]
    KeyColumns,
    #[error(
        "{0} cannot be changed once the topic is a table: rows were made under it. Make a new topic, \
         or leave it as it is"
    )]
    Fixed(&'static str),
}

impl Coded for BadTable {
    fn code(&self) -> ErrorCode {
        ErrorCode::InvalidConfig
    }
}

/// Checks the settings of a topic that is to be made.
///
/// # Errors
/// [`BadTable::Schema`], [`BadTable::KeyColumns`].
pub fn check_new(configs: &[(String, Option<String>)]) -> Result<(), BadTable> {
    let is_key = |text: &str| ["", RECORD_KEY].contains(&text.trim());
    let mut keys = configs.iter().filter(|(name, _)| name == KEY);
    if keys.any(|(_, key)| key.as_deref().is_some_and(|key| !is_key(key))) {
        return Err(BadTable::KeyColumns);
    }
    let texts = configs.iter().filter(|(name, _)| name == SCHEMA);
    texts
        .filter_map(|(_, text)| text.as_deref())
        .try_for_each(check_schema)
}

/// Checks a change against the settings of this moment. Whatever else is wrong with it, the owner
/// will say.
///
/// # Errors
/// [`BadTable`].
pub fn check_change(broker: &Broker, change: &ConfigChange) -> Result<(), BadTable> {
    let ConfigResource::Topic(name) = &change.resource else {
        return Ok(());
    };
    let view = broker.cluster().view();
    let Some(topic) = view.image.topic(name) else {
        return Ok(());
    };
    let overrides = changed(&topic.overrides, &change.alteration);
    if overrides.get(SCHEMA) != topic.overrides.get(SCHEMA) {
        overrides
            .get(SCHEMA)
            .map_or(Ok(()), |text| check_schema(text))?;
    }
    let layers = view
        .image
        .layers(broker.node_id(), broker.cluster().broker_settings());
    let new = TopicSettings::resolve(&layers.with_topic(&overrides))
        .table
        .mode;
    let old = &view.topic_settings(topic).table.mode;
    match (old, &new) {
        (TableMode::Disabled, _) | (TableMode::KeyValue, TableMode::KeyValue) => Ok(()),
        (TableMode::Inline { schema: old }, TableMode::Inline { schema: new }) => {
            let is_same = old == new || TableSchema::parse(old)? == TableSchema::parse(new)?;
            is_same.then_some(()).ok_or(BadTable::Fixed(SCHEMA))
        }
        _ => Err(BadTable::Fixed(MODE)),
    }
}

/// Whether a change may touch what [`check_change`] looks at.
pub fn concerns(change: &ConfigChange) -> bool {
    match &change.alteration {
        Alteration::Edit(edits) => edits
            .iter()
            .any(|edit| edit.name == MODE || edit.name == SCHEMA),
        Alteration::Replace(_) => true,
    }
}

fn check_schema(text: &str) -> Result<(), BadTable> {
    if !text.trim().is_empty() {
        TableSchema::parse(text)?;
    }
    Ok(())
}

/// The two settings as they would be; the others as they are.
fn changed(old: &Overrides, alteration: &Alteration) -> Overrides {
    let mut overrides = old.clone();
    let mut put = |name: &str, value: Option<&String>| match value {
        Some(value) => {
            overrides.insert(name.to_owned(), value.clone());
        }
        None => {
            overrides.remove(name);
        }
    };
    for name in [MODE, SCHEMA] {
        match alteration {
            Alteration::Edit(edits) => {
                for edit in edits.iter().filter(|edit| edit.name == name) {
                    match edit.op {
                        EditOp::Set => put(name, edit.value.as_ref()),
                        EditOp::Delete => put(name, None),
                        // Neither setting is a list; the owner refuses.
                        EditOp::Append | EditOp::Subtract => {}
                    }
                }
            }
            Alteration::Replace(configs) => {
                let found = configs.iter().find(|(other, _)| other == name);
                put(name, found.and_then(|(_, value)| value.as_ref()));
            }
        }
    }
    overrides
}
