//! The broker's own settings: rows supplied by the broker, and the broker-level names of topic settings.

use std::collections::{BTreeMap, BTreeSet};

use super::kind::{ConfigError, ConfigType, Kind, VALUE_BYTES_MAX};
use super::table::{BrokerName, TOPIC_CONFIGS, TopicConfig};

/// Longest name that is kept of a setting nobody here knows.
const FOREIGN_NAME_BYTES_MAX: usize = 255;

/// One broker setting, as the broker process knows it.
#[derive(Debug, Clone)]
pub struct BrokerSetting {
    pub name: &'static str,
    pub kind: Kind,
    pub default: Option<String>,
    /// What the file or a flag says; `None` leaves the default.
    pub value: Option<String>,
    pub doc: &'static str,
    /// Cannot be changed while the broker runs.
    pub read_only: bool,
    /// Never shown, not even in errors.
    pub sensitive: bool,
}

impl BrokerSetting {
    /// The type clients are told.
    pub fn config_type(&self) -> ConfigType {
        match self.sensitive {
            true => ConfigType::Password,
            false => self.kind.config_type(),
        }
    }

    fn check(&self, value: &str) -> Result<(), ConfigError> {
        check_length(self.name, value)?;
        let shown = if self.sensitive { "[hidden]" } else { value };
        self.kind
            .check(value)
            .map_err(|reason| ConfigError::invalid(self.name, shown, reason))
    }
}

/// All broker settings by name: the broker's rows plus `log.retention.ms` and its like, which stand
/// behind topic settings.
///
/// Other names may be set while the broker runs, as in Kafka, whose plug-ins read them. Nobody does
/// here; they are kept, and shown without their values, which may be secret.
#[derive(Debug, Clone)]
pub struct BrokerSettings {
    rows: BTreeMap<&'static str, BrokerSetting>,
    /// Names without a row that cannot be set while the broker runs.
    fixed: BTreeSet<&'static str>,
}

impl BrokerSettings {
    /// Joins the broker's `own` rows with the broker-level names of [`TOPIC_CONFIGS`]. An own row wins.
    pub fn new(own: impl IntoIterator<Item = BrokerSetting>) -> Self {
        let mut rows: BTreeMap<_, _> = topic_defaults().map(|row| (row.name, row)).collect();
        rows.extend(own.into_iter().map(|row| (row.name, row)));
        BrokerSettings {
            rows,
            fixed: BTreeSet::new(),
        }
    }

    /// The same, where names that are no rows are known to be fixed at start.
    #[must_use]
    pub fn with_fixed(mut self, names: impl IntoIterator<Item = &'static str>) -> Self {
        self.fixed = names.into_iter().collect();
        self
    }

    /// Takes one line of the broker's file or one `--set` flag.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        self.known(name)?.check(value)?;
        if let Some(row) = self.rows.get_mut(name) {
            row.value = Some(value.into());
        }
        Ok(())
    }

    pub fn get(&self, name: &str) -> Option<&BrokerSetting> {
        self.rows.get(name)
    }

    /// All rows in name order.
    pub fn iter(&self) -> impl Iterator<Item = &BrokerSetting> {
        self.rows.values()
    }

    /// The row called `name`, or an error naming the nearest one.
    pub(crate) fn known(&self, name: &str) -> Result<&BrokerSetting, ConfigError> {
        self.get(name)
            .ok_or_else(|| ConfigError::unknown("broker", name, self.rows.keys().copied()))
    }

    /// Checks a value set while the broker runs.
    pub(crate) fn check_dynamic(&self, name: &str, value: &str) -> Result<(), ConfigError> {
        match self.get(name) {
            Some(row) if row.read_only => Err(ConfigError::ReadOnly { name: name.into() }),
            Some(row) => row.check(value),
            None if self.fixed.contains(name) => Err(ConfigError::ReadOnly { name: name.into() }),
            None if !(1..=FOREIGN_NAME_BYTES_MAX).contains(&name.len()) => {
                self.known(name).map(|_| ())
            }
            None => check_length(name, value),
        }
    }
}

fn check_length(name: &str, value: &str) -> Result<(), ConfigError> {
    match value.len() {
        ..=VALUE_BYTES_MAX => Ok(()),
        bytes => Err(ConfigError::TooLong {
            name: name.into(),
            bytes,
        }),
    }
}

/// Of `log.retention.{ms,minutes,hours}` only the coarsest has a default, as in Kafka: a finer one that
/// is not set must not stand before it.
fn default_of(config: &TopicConfig, broker_name: &BrokerName) -> Option<String> {
    let last = config.broker_names.last()?;
    if last.name != broker_name.name {
        return None;
    }
    match config.default.parse::<i64>() {
        Ok(number) if last.unit != 1 => Some((number / last.unit).to_string()),
        _ => Some(config.default.into()),
    }
}

fn topic_defaults() -> impl Iterator<Item = BrokerSetting> {
    TOPIC_CONFIGS.iter().flat_map(|config| {
        config.broker_names.iter().map(|broker_name| BrokerSetting {
            name: broker_name.name,
            kind: broker_name.kind.unwrap_or(config.kind),
            default: default_of(config, broker_name),
            value: None,
            doc: config.doc,
            read_only: !broker_name.dynamic,
            sensitive: false,
        })
    })
}
