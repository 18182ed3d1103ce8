//! One setting as DescribeConfigs shows it.

use super::kind::ConfigType;

/// Where a value comes from, nearest first (KIP-226).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConfigSource {
    /// Set on the topic.
    Topic,
    /// Set at run time for this broker.
    DynamicBroker,
    /// Set at run time for all brokers.
    DynamicDefault,
    /// The broker's file or flags.
    StaticBroker,
    /// Nobody set it.
    Default,
    /// The level of a logger.
    Logger,
    /// Set for the subscription to metrics.
    ClientMetrics,
    /// Set for the group.
    Group,
}

/// A place a value could have come from: the name there, the value there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synonym {
    pub name: String,
    /// In the unit of `name`; `None` when sensitive.
    pub value: Option<String>,
    pub source: ConfigSource,
}

/// A setting, its value, and all that is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    pub name: String,
    /// `None` when sensitive, or when a broker setting has neither value nor default.
    pub value: Option<String>,
    pub source: ConfigSource,
    pub read_only: bool,
    pub sensitive: bool,
    /// Every place that holds a value, nearest first; the first one won.
    pub synonyms: Vec<Synonym>,
    pub config_type: ConfigType,
    pub doc: &'static str,
}

impl ConfigEntry {
    /// Whether nobody set a value (the v0 flag of DescribeConfigs).
    pub fn is_default(&self) -> bool {
        self.source == ConfigSource::Default
    }
}
