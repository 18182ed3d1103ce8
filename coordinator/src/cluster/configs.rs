//! Changing settings of topics and brokers. A resource takes all of its changes or none.

use std::collections::HashSet;

use super::command::{Alteration, ConfigChange, ConfigEdit, ConfigResource, EditOp, NamedResource};
use super::controller::{Cluster, Draft};
use super::error::ClusterError;
use super::image::Topic;
use super::record::Record;
use super::settings::{
    ConfigError, Kind, Layers, MERGE_CONFIGS, Overrides, TABLE_KEY, TABLE_KEY_SCOPE, check_named,
    check_topic, check_unchanged, known, list_items,
};
use super::topics::{check_name, collect, count};

/// Groups and subscriptions with settings; bounds what clients can make this process hold.
const NAMED_RESOURCES_MAX: usize = 100_000;

/// Settings of one broker that are kept; the same, since it need not know them.
const BROKER_SETTINGS_MAX: usize = 1_000;

impl Cluster {
    pub(super) fn alter_configs(
        &self,
        draft: &mut Draft,
        changes: Vec<ConfigChange>,
    ) -> Vec<(ConfigResource, Result<(), ClusterError>)> {
        let repeats = count(changes.iter().map(|change| change.resource.clone()));
        changes
            .into_iter()
            .map(
                |ConfigChange {
                     resource,
                     alteration,
                 }| {
                    let result = match repeats[&resource] {
                        1 => self.alter(draft, &resource, alteration),
                        _ => Err(ClusterError::DuplicateResource {
                            resource: resource.clone(),
                        }),
                    };
                    (resource, result)
                },
            )
            .collect()
    }

    fn alter(
        &self,
        draft: &mut Draft,
        resource: &ConfigResource,
        alteration: Alteration,
    ) -> Result<(), ClusterError> {
        let record = match resource {
            ConfigResource::Topic(name) => {
                check_name(name)?;
                let topic = draft.image.topic(name);
                let topic =
                    topic.ok_or_else(|| ClusterError::UnknownTopic { name: name.clone() })?;
                alter_topic(&self.layers(&draft.image), topic, alteration)?
            }
            ConfigResource::Broker(id) if *id != self.options.node_id => {
                return Err(ClusterError::UnknownBroker { id: *id });
            }
            ConfigResource::Broker(id) => self.alter_broker(draft, Some(*id), alteration)?,
            ConfigResource::BrokerDefault => self.alter_broker(draft, None, alteration)?,
            ConfigResource::Named(resource) => self.alter_named(draft, resource, alteration)?,
        };
        record.into_iter().for_each(|record| draft.push(record));
        Ok(())
    }

    fn alter_broker(
        &self,
        draft: &Draft,
        broker: Option<i32>,
        alteration: Alteration,
    ) -> Result<Option<Record>, ClusterError> {
        let settings = &self.options.settings;
        let old = draft
            .image
            .broker_config(broker)
            .cloned()
            .unwrap_or_default();
        // The default of all brokers must not pick up what is set for this one.
        let layers = match broker {
            Some(id) => draft.image.layers(id, settings),
            None => Layers::new(settings, None, draft.image.broker_config(None)),
        };
        let overrides = altered(&old, alteration, |name| match settings.get(name) {
            Some(row) => Ok((row.kind, layers.broker_value(name)?)),
            None => Ok((Kind::Text(|_| Ok(())), String::new())),
        })?;
        if overrides.len() > BROKER_SETTINGS_MAX {
            return Err(ClusterError::TooManySettings {
                max: BROKER_SETTINGS_MAX,
            });
        }
        for (name, value) in &overrides {
            if old.get(name) != Some(value) {
                settings
                    .check_dynamic(name, value)
                    .map_err(|error| match error {
                        ConfigError::Invalid { .. } => ClusterError::MalformedConfig(error),
                        error => error.into(),
                    })?;
            }
        }
        Ok((overrides != old).then_some(Record::BrokerConfigChanged { broker, overrides }))
    }

    fn alter_named(
        &self,
        draft: &Draft,
        resource: &NamedResource,
        alteration: Alteration,
    ) -> Result<Option<Record>, ClusterError> {
        let all = draft.image.named_configs();
        let layers = self.layers(&draft.image);
        let old = all.get(resource).cloned().unwrap_or_default();
        let overrides = altered(&old, alteration, |name| {
            let config = resource.known(name)?;
            Ok((config.kind, layers.named_value(config, Some(&old))))
        });
        let checked = overrides.and_then(|overrides| {
            check_named(resource, &old, &overrides, &layers)?;
            Ok(overrides)
        });
        let overrides = checked.map_err(|error| match resource {
            NamedResource::ClientMetrics(_) if is_malformed(&error) => {
                ClusterError::MalformedConfig(error)
            }
            _ => error.into(),
        })?;
        if old.is_empty() && !overrides.is_empty() && all.len() >= NAMED_RESOURCES_MAX {
            return Err(ClusterError::TooManyResources {
                max: NAMED_RESOURCES_MAX,
            });
        }
        let resource = resource.clone();
        Ok((overrides != old).then_some(Record::NamedConfigChanged {
            resource,
            overrides,
        }))
    }
}

/// Whether Kafka says of a subscription's setting that the request is wrong, not the setting: the
/// name is unknown, or a number is out of its range.
fn is_malformed(error: &ConfigError) -> bool {
    match error {
        ConfigError::Unknown { .. } => true,
        ConfigError::Invalid { value, .. } => value.trim().parse::<i32>().is_ok(),
        _ => false,
    }
}

fn alter_topic(
    layers: &Layers<'_>,
    topic: &Topic,
    alteration: Alteration,
) -> Result<Option<Record>, ConfigError> {
    let old = layers.with_topic(&topic.overrides);
    let overrides = altered(&topic.overrides, alteration, |name| {
        let config = known(name)?;
        Ok((config.kind, old.value(config)))
    })?;
    check_unchanged(&topic.overrides, &overrides)?;
    check_topic(&topic.overrides, &overrides, layers, topic.partitions)?;
    let new = layers.with_topic(&overrides);
    for fixed in [&TABLE_KEY, &TABLE_KEY_SCOPE]
        .into_iter()
        .chain(MERGE_CONFIGS)
    {
        if list_items(&old.value(fixed)) != list_items(&new.value(fixed)) {
            let reason = "is chosen when a topic is created: make a new topic".into();
            return Err(ConfigError::Conflict {
                name: fixed.name.into(),
                reason,
            });
        }
    }
    Ok(
        (overrides != topic.overrides).then_some(Record::TopicConfigChanged {
            id: topic.id,
            overrides,
        }),
    )
}

/// The overrides after an alteration. `current` gives a setting's kind and value in force, or an
/// error for an unknown name.
fn altered(
    old: &Overrides,
    alteration: Alteration,
    current: impl Fn(&str) -> Result<(Kind, String), ConfigError>,
) -> Result<Overrides, ConfigError> {
    let edits = match alteration {
        Alteration::Replace(configs) => return collect(configs),
        Alteration::Edit(edits) => edits,
    };
    let repeats = count(edits.iter().map(|edit| edit.name.clone()));
    let mut overrides = old.clone();
    for ConfigEdit { name, op, value } in edits {
        if repeats[&name] > 1 {
            return Err(ConfigError::Duplicate { name });
        }
        if op == EditOp::Delete {
            // Known or not, as in Kafka: what is not set is not set afterwards.
            overrides.remove(&name);
            continue;
        }
        let (kind, in_force) = current(&name)?;
        let value = value.ok_or_else(|| ConfigError::Null { name: name.clone() })?;
        let value = match op {
            EditOp::Set | EditOp::Delete => value,
            EditOp::Append | EditOp::Subtract if !kind.is_list() => {
                return Err(ConfigError::NotAList { name });
            }
            EditOp::Append => appended(&in_force, &value),
            EditOp::Subtract => subtracted(&in_force, &value),
        };
        overrides.insert(name, value);
    }
    Ok(overrides)
}

fn appended(list: &str, more: &str) -> String {
    let mut seen = HashSet::new();
    let both = list_items(list).into_iter().chain(list_items(more));
    let items: Vec<_> = both.filter(|item| seen.insert(*item)).collect();
    items.join(",")
}

fn subtracted(list: &str, less: &str) -> String {
    let less: HashSet<_> = list_items(less).into_iter().collect();
    let mut items = list_items(list);
    items.retain(|item| !less.contains(item));
    items.join(",")
}
