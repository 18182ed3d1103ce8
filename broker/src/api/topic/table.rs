//! What table settings must be beyond their form: a schema must be one, what rows were made under
//! stays, and so does the rule that brought keys to their partitions.
//!
//! The cluster's owner knows settings as texts; here they are understood, before it is asked.

use tidelog_coordinator::cluster::settings::{Overrides, TableMode, TableSettings, TopicSettings};
use tidelog_coordinator::cluster::{Alteration, ConfigChange, ConfigResource, EditOp, Topic};
use tidelog_protocol_ext::ErrorCode;
use tidelog_typed::{SchemaError, TableSchema};

use crate::api::error::Coded;
use crate::broker::Broker;
use crate::owners::keyed::{BadMerge, Merging, rules_of};

const MODE: &str = "tidelog.table.mode";
const SCHEMA: &str = "tidelog.table.schema";
const KEY: &str = "tidelog.table.key";
const PARTITIONER: &str = "tidelog.partitioner";
const RECORD_KEY: &str = "record_key";

/// Why a topic's table settings are refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BadTable {
    #[error("tidelog.table.schema: {0}")]
    Schema(#[from] SchemaError),
    #[error("{KEY}: columns as primary key are not available yet; use {RECORD_KEY}")]
    KeyColumns,
    #[error(transparent)]
    Merge(#[from] BadMerge),
    #[error(
        "{0} cannot be changed once the topic is a table: rows were made under it. Make a new topic, \
         or leave it as it is"
    )]
    Fixed(&'static str),
    #[error(
        "{PARTITIONER} cannot change to a rule that the topic's records may not obey: their keys would \
         be looked for elsewhere. Make a new topic, or use explicit"
    )]
    Scattered,
}

impl Coded for BadTable {
    fn code(&self) -> ErrorCode {
        ErrorCode::InvalidConfig
    }
}

/// Checks the settings of a topic that is to be made.
///
/// # Errors
/// [`BadTable::Schema`], [`BadTable::KeyColumns`], [`BadTable::Merge`].
pub fn check_new(broker: &Broker, configs: &[(String, Option<String>)]) -> Result<(), BadTable> {
    let is_key = |text: &str| ["", RECORD_KEY].contains(&text.trim());
    let mut keys = configs.iter().filter(|(name, _)| name == KEY);
    if keys.any(|(_, key)| key.as_deref().is_some_and(|key| !is_key(key))) {
        return Err(BadTable::KeyColumns);
    }
    let texts = configs.iter().filter(|(name, _)| name == SCHEMA);
    texts
        .filter_map(|(_, text)| text.as_deref())
        .try_for_each(check_schema)?;
    let set = |(name, value): &(String, Option<String>)| Some((name.clone(), value.clone()?));
    let overrides: Overrides = configs.iter().filter_map(set).collect();
    let settings = resolved(broker, &overrides);
    if settings.key.is_keyed() {
        Merging::of(&settings)?;
    }
    Ok(())
}

/// What a topic with these settings of its own would be.
fn resolved(broker: &Broker, overrides: &Overrides) -> TableSettings {
    let view = broker.cluster().view();
    let layers = view
        .image
        .layers(broker.node_id(), broker.cluster().broker_settings());
    TopicSettings::resolve(&layers.with_topic(overrides)).table
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
    let new = resolved(broker, &overrides);
    let old = &view.topic_settings(topic).table;
    if scatters(topic, old, &new) && has_records(broker, topic) {
        return Err(BadTable::Scattered);
    }
    match (&old.mode, &new.mode) {
        (TableMode::Disabled, _) | (TableMode::KeyValue, TableMode::KeyValue) => Ok(()),
        (TableMode::Inline { schema: old }, TableMode::Inline { schema: new }) => {
            let is_same = old == new || TableSchema::parse(old)? == TableSchema::parse(new)?;
            is_same.then_some(()).ok_or(BadTable::Fixed(SCHEMA))
        }
        (old, new) if old == new => Ok(()),
        _ => Err(BadTable::Fixed(MODE)),
    }
}

/// Whether a change may touch what [`check_change`] looks at.
pub fn concerns(change: &ConfigChange) -> bool {
    match &change.alteration {
        Alteration::Edit(edits) => edits
            .iter()
            .any(|edit| [MODE, SCHEMA, PARTITIONER].contains(&edit.name.as_str())),
        Alteration::Replace(_) => true,
    }
}

fn check_schema(text: &str) -> Result<(), BadTable> {
    if !text.trim().is_empty() {
        TableSchema::parse(text)?;
    }
    Ok(())
}

/// Whether records that are where the old rules want them may be elsewhere under the new ones.
fn scatters(topic: &Topic, old: &TableSettings, new: &TableSettings) -> bool {
    let is_keyed = new.key.is_keyed();
    let (old, new) = (rules_of(topic, old), rules_of(topic, new));
    let narrows = !old.is_explicit() && new.rules().all(|rule| old.rules().any(|had| had == rule));
    let one_place = topic.partitions == 1 || new.is_explicit() || old == new;
    is_keyed && !one_place && !narrows
}

fn has_records(broker: &Broker, topic: &Topic) -> bool {
    (0..topic.partitions).any(|index| {
        let partition = broker.log().partition(topic.id, index);
        partition.is_some_and(|partition| partition.marks().high_watermark > 0)
    })
}

/// The settings looked at here as they would be; the others as they are.
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
    for name in [MODE, SCHEMA, PARTITIONER] {
        match alteration {
            Alteration::Edit(edits) => {
                for edit in edits.iter().filter(|edit| edit.name == name) {
                    match edit.op {
                        EditOp::Set => put(name, edit.value.as_ref()),
                        EditOp::Delete => put(name, None),
                        // None of them is a list; the owner refuses.
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
