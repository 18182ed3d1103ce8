//! Where values are found: topic, run-time broker, run-time default, static broker, default.

use std::collections::BTreeSet;

use super::alias;
use super::broker::{BrokerSetting, BrokerSettings};
use super::entry::{ConfigEntry, ConfigSource, Synonym};
use super::kind::{ConfigType, parse_bool};
use super::merge::MergeSettings;
use super::named::NamedConfig;
use super::table::{BrokerName, TOPIC_CONFIGS, TopicConfig};
use super::{ConfigError, Overrides};
use crate::cluster::NamedResource;

/// The places a value is looked for, nearest first. Cheap to copy: it only borrows.
#[derive(Debug, Clone, Copy)]
pub struct Layers<'a> {
    topic: Option<&'a Overrides>,
    broker: Option<&'a Overrides>,
    cluster: Option<&'a Overrides>,
    settings: &'a BrokerSettings,
}

/// The places broker-level values are looked for, nearest first.
const BROKER_SOURCES: [ConfigSource; 3] = [
    ConfigSource::DynamicBroker,
    ConfigSource::DynamicDefault,
    ConfigSource::StaticBroker,
];

/// A value somebody set for a topic setting.
struct Found<'a> {
    /// The name it was set under.
    name: &'static str,
    /// How many of the topic setting's units it counts in.
    unit: i64,
    value: &'a str,
    source: ConfigSource,
}

impl<'a> Layers<'a> {
    /// The layers below topics. `broker`: set at run time for this broker; `cluster`: for all.
    pub fn new(
        settings: &'a BrokerSettings,
        broker: Option<&'a Overrides>,
        cluster: Option<&'a Overrides>,
    ) -> Self {
        Layers {
            topic: None,
            broker,
            cluster,
            settings,
        }
    }

    /// The same with a topic's overrides on top.
    pub fn with_topic(self, overrides: &'a Overrides) -> Self {
        Layers {
            topic: Some(overrides),
            ..self
        }
    }

    /// The value in force, in the topic setting's unit.
    pub fn value(&self, config: &TopicConfig) -> String {
        self.found(config)
            .next()
            .map(|found| scaled(found.value, found.unit))
            .unwrap_or_else(|| config.default.into())
    }

    /// Whether the topic itself sets this.
    pub(super) fn set_by_topic(&self, config: &TopicConfig) -> bool {
        self.topic.is_some_and(|set| set.contains_key(config.name))
    }

    /// How the topic's records become rows; only the topic itself says.
    pub(super) fn merge(&self) -> MergeSettings {
        match self.topic {
            Some(overrides) => MergeSettings::of(overrides),
            None => MergeSettings::of(&Overrides::new()),
        }
    }

    /// The typed value in force. A text that does not parse falls back to the row's default.
    pub(super) fn parsed<T: std::str::FromStr + Default>(&self, config: &TopicConfig) -> T {
        let value = self.value(config);
        value
            .trim()
            .parse()
            .or_else(|_| config.default.parse())
            .unwrap_or_default()
    }

    pub(super) fn flag(&self, config: &TopicConfig) -> bool {
        parse_bool(&self.value(config))
            .or_else(|| parse_bool(config.default))
            .unwrap_or_default()
    }

    /// A topic's settings as DescribeConfigs shows them, in table order, then aliases. `keys`: only these names;
    /// names that do not exist are left out, as Kafka does.
    pub fn describe_topic(&self, keys: Option<&[String]>) -> Vec<ConfigEntry> {
        TOPIC_CONFIGS
            .iter()
            .filter(|config| wanted(keys, config.name))
            .map(|config| self.topic_entry(config))
            .chain(alias::entries(self, keys))
            .collect()
    }

    /// This broker's settings as DescribeConfigs shows them, in name order; then those that nobody here
    /// knows and somebody set.
    pub fn describe_broker(&self, keys: Option<&[String]>) -> Vec<ConfigEntry> {
        let rows = self.settings.iter().filter(|row| wanted(keys, row.name));
        let known = rows.map(|row| self.broker_entry(row));
        let set: BTreeSet<&String> = [self.broker, self.cluster]
            .into_iter()
            .flatten()
            .flat_map(Overrides::keys)
            .collect();
        let foreign = set
            .into_iter()
            .filter(|name| self.settings.get(name).is_none() && wanted(keys, name))
            .map(|name| self.foreign_entry(name));
        known.chain(foreign).collect()
    }

    /// What was set at run time for all brokers, and nothing else: the broker resource with the
    /// empty name.
    pub fn describe_cluster_default(&self, keys: Option<&[String]>) -> Vec<ConfigEntry> {
        let set = self
            .cluster
            .into_iter()
            .flat_map(|overrides| overrides.keys());
        let layers = Layers {
            broker: None,
            ..*self
        };
        set.filter(|name| wanted(keys, name))
            .map(|name| match self.settings.get(name) {
                Some(row) => layers.broker_entry(row),
                None => layers.foreign_entry(name),
            })
            .collect()
    }

    /// The settings of a group or subscription as DescribeConfigs shows them, in table order; `set`
    /// are its own.
    pub fn describe_named(
        &self,
        resource: &NamedResource,
        set: Option<&Overrides>,
        keys: Option<&[String]>,
    ) -> Vec<ConfigEntry> {
        let own = match resource {
            NamedResource::Group(_) => ConfigSource::Group,
            NamedResource::ClientMetrics(_) => ConfigSource::ClientMetrics,
        };
        resource
            .configs()
            .iter()
            .filter(|config| wanted(keys, config.name))
            .map(|config| self.named_entry(config, own, set))
            .collect()
    }

    /// The value in force of a setting of a group or subscription.
    pub fn named_value(&self, config: &NamedConfig, set: Option<&Overrides>) -> String {
        let own = set.and_then(|set| set.get(config.name)).cloned();
        own.or_else(|| self.broker_value(config.broker_name?).ok())
            .unwrap_or_else(|| config.default.into())
    }

    /// The effective value an APPEND or SUBTRACT on a broker setting starts from.
    pub(crate) fn broker_value(&self, name: &str) -> Result<String, ConfigError> {
        let row = self.settings.known(name)?;
        Ok(self
            .broker_places(row)
            .next()
            .map(|(_, value)| value.into())
            .unwrap_or_default())
    }

    pub(super) fn topic_entry(&self, config: &TopicConfig) -> ConfigEntry {
        let mut synonyms: Vec<_> = self
            .found(config)
            .map(|found| match found.source {
                ConfigSource::Topic => {
                    synonym(found.name, &config.kind.normal(found.value), found.source)
                }
                _ => synonym(found.name, found.value, found.source),
            })
            .collect();
        let source = synonyms
            .first()
            .map_or(ConfigSource::Default, |nearest| nearest.source);
        if source == ConfigSource::Topic {
            synonyms.splice(1..1, alias::synonym_of(self, config));
        }
        // Of several names none carries the default, as in Kafka.
        if let [only] = config.broker_names {
            synonyms.push(synonym(only.name, config.default, ConfigSource::Default));
        }
        ConfigEntry {
            name: config.name.into(),
            value: Some(config.kind.normal(&self.value(config))),
            source,
            read_only: false,
            sensitive: false,
            synonyms,
            config_type: config.kind.config_type(),
            doc: config.doc,
        }
    }

    fn named_entry(
        &self,
        config: &NamedConfig,
        own: ConfigSource,
        set: Option<&Overrides>,
    ) -> ConfigEntry {
        let set = set.and_then(|set| set.get(config.name));
        let own = set.map(|value| synonym(config.name, &config.kind.normal(value), own));
        let row = config.broker_name.and_then(|name| self.settings.get(name));
        let inherited = row.into_iter().flat_map(|row| {
            let places = self.broker_places(row);
            places.map(|(source, value)| synonym(row.name, value, source))
        });
        let mut synonyms: Vec<_> = own.into_iter().chain(inherited).collect();
        if let (None, Some(broker_name)) = (row, config.broker_name) {
            // The broker has no such setting of its own: its default is the row's.
            synonyms.push(synonym(broker_name, config.default, ConfigSource::Default));
        }
        let nearest = synonyms.first();
        ConfigEntry {
            name: config.name.into(),
            value: nearest.map_or(Some(config.default.into()), |nearest| nearest.value.clone()),
            source: nearest.map_or(ConfigSource::Default, |nearest| nearest.source),
            read_only: false,
            sensitive: false,
            synonyms,
            config_type: config.kind.config_type(),
            doc: config.doc,
        }
    }

    fn broker_entry(&self, row: &BrokerSetting) -> ConfigEntry {
        let shown = |value: &str| (!row.sensitive).then(|| value.to_owned());
        let mut places = self.broker_places(row).peekable();
        let nearest = places.peek().copied();
        ConfigEntry {
            name: row.name.into(),
            value: nearest.and_then(|(_, value)| shown(value)),
            source: nearest.map_or(ConfigSource::Default, |(source, _)| source),
            read_only: row.read_only,
            sensitive: row.sensitive,
            synonyms: places
                .map(|(source, value)| Synonym {
                    name: row.name.into(),
                    value: shown(value),
                    source,
                })
                .collect(),
            config_type: row.config_type(),
            doc: row.doc,
        }
    }

    /// A setting nobody here knows: its value may be a secret of whoever set it.
    fn foreign_entry(&self, name: &str) -> ConfigEntry {
        let set = BROKER_SOURCES
            .into_iter()
            .filter(|source| self.at(*source, name).is_some());
        let synonyms: Vec<_> = set
            .map(|source| Synonym {
                name: name.into(),
                value: None,
                source,
            })
            .collect();
        ConfigEntry {
            name: name.into(),
            value: None,
            source: synonyms
                .first()
                .map_or(ConfigSource::Default, |nearest| nearest.source),
            read_only: true,
            sensitive: true,
            synonyms,
            config_type: ConfigType::Unknown,
            doc: "Not known to this broker, which keeps it for whoever set it.",
        }
    }

    /// Every set value of a topic setting, nearest first.
    fn found<'s>(&'s self, config: &'s TopicConfig) -> impl Iterator<Item = Found<'a>> + 's {
        let own = self.topic.and_then(|set| set.get(config.name));
        let own = own.map(|value| Found {
            name: config.name,
            unit: 1,
            value,
            source: ConfigSource::Topic,
        });
        let inherited = BROKER_SOURCES.into_iter().flat_map(move |source| {
            let names = config.broker_names.iter();
            names.filter_map(move |&BrokerName { name, unit, .. }| {
                let value = self.at(source, name)?;
                Some(Found {
                    name,
                    unit,
                    value,
                    source,
                })
            })
        });
        own.into_iter().chain(inherited)
    }

    /// Every value of a broker setting, nearest first, its default included.
    fn broker_places<'s>(
        &'s self,
        row: &'s BrokerSetting,
    ) -> impl Iterator<Item = (ConfigSource, &'s str)> + 's {
        let set = BROKER_SOURCES
            .into_iter()
            .filter_map(|source| self.at(source, row.name).map(|value| (source, value)));
        let default = row
            .default
            .as_deref()
            .map(|value| (ConfigSource::Default, value));
        set.chain(default)
    }

    fn at(&self, source: ConfigSource, broker_name: &str) -> Option<&'a str> {
        let dynamic = |set: Option<&'a Overrides>| set?.get(broker_name).map(String::as_str);
        match source {
            ConfigSource::DynamicBroker => dynamic(self.broker),
            ConfigSource::DynamicDefault => dynamic(self.cluster),
            ConfigSource::StaticBroker => self.settings.get(broker_name)?.value.as_deref(),
            ConfigSource::Topic
            | ConfigSource::Default
            | ConfigSource::Logger
            | ConfigSource::ClientMetrics
            | ConfigSource::Group => None,
        }
    }
}

fn wanted(keys: Option<&[String]>, name: &str) -> bool {
    keys.is_none_or(|keys| keys.iter().any(|key| key == name))
}

fn synonym(name: &str, value: &str, source: ConfigSource) -> Synonym {
    Synonym {
        name: name.into(),
        value: Some(value.into()),
        source,
    }
}

/// `value` counted in `unit`s, in single ones. −1 means "no limit" in every unit.
fn scaled(value: &str, unit: i64) -> String {
    match value.trim().parse::<i64>() {
        Ok(number) if unit != 1 && number > 0 => number.saturating_mul(unit).to_string(),
        _ => value.into(),
    }
}
