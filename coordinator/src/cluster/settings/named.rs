//! Settings of groups and of subscriptions to metrics of clients.
//!
//! As topic settings are, but for things that need not exist: what is set for a group waits for it.
//! Rows whose protocol is not served are kept and shown, and say so.

use super::kind::{ConfigError, Kind, VALUE_BYTES_MAX};
use super::{Layers, Overrides};
use crate::cluster::NamedResource;

/// Longest name of a resource in bytes.
pub const RESOURCE_NAME_BYTES_MAX: usize = 1024;

/// One setting of a kind of named resource.
#[derive(Debug, Clone, Copy)]
pub struct NamedConfig {
    pub name: &'static str,
    pub kind: Kind,
    /// A value that passes `kind`.
    pub default: &'static str,
    /// The broker's setting whose value is taken where the resource sets none.
    pub broker_name: Option<&'static str>,
    pub doc: &'static str,
}

/// Broker settings of consumer groups begin so.
const CONSUMER_GROUPS: &str = "group.consumer.";

impl NamedConfig {
    /// The least and the greatest value that the broker allows, if it has settings that say so:
    /// `group.consumer.min.…` and `group.consumer.max.…` for `group.consumer.…`.
    fn bounds(&self, layers: &Layers<'_>) -> Option<(i64, i64)> {
        let rest = self.broker_name?.strip_prefix(CONSUMER_GROUPS)?;
        let bound = |which| {
            let value = layers.broker_value(&format!("{CONSUMER_GROUPS}{which}.{rest}"));
            value.ok()?.trim().parse().ok()
        };
        Some((bound("min")?, bound("max")?))
    }

    /// The number that `set` holds for this, within what the broker allows by now: it may allow less
    /// than when the number was set.
    pub fn own_number(&self, set: &Overrides, layers: &Layers<'_>) -> Option<i64> {
        let number: i64 = set.get(self.name)?.trim().parse().ok()?;
        let bounds = self.bounds(layers);
        Some(bounds.map_or(number, |(min, max)| number.min(max).max(min)))
    }
}

impl NamedResource {
    /// Every setting this kind of resource has.
    pub fn configs(&self) -> &'static [NamedConfig] {
        match self {
            NamedResource::Group(_) => GROUP_CONFIGS,
            NamedResource::ClientMetrics(_) => CLIENT_METRICS_CONFIGS,
        }
    }

    /// The setting called `name`, or an error naming the nearest one.
    pub(crate) fn known(&self, name: &str) -> Result<&'static NamedConfig, ConfigError> {
        let configs = self.configs();
        let scope = match self {
            NamedResource::Group(_) => "group",
            NamedResource::ClientMetrics(_) => "client metrics",
        };
        configs
            .iter()
            .find(|config| config.name == name)
            .ok_or_else(|| ConfigError::unknown(scope, name, configs.iter().map(|row| row.name)))
    }
}

/// Checks what is new in `overrides`, each name and value, then what they mean together.
pub(crate) fn check_named(
    resource: &NamedResource,
    old: &Overrides,
    overrides: &Overrides,
    layers: &Layers<'_>,
) -> Result<(), ConfigError> {
    for (name, value) in overrides {
        if old.get(name) != Some(value) {
            check_one(resource.known(name)?, value, layers)?;
        }
    }
    let number = |name: &str| {
        let config = resource.known(name).ok()?;
        let value = layers.named_value(config, Some(overrides));
        value.trim().parse::<i64>().ok()
    };
    for (session, heartbeat) in SESSIONS {
        if number(session)
            .zip(number(heartbeat))
            .is_some_and(|(session, beat)| session <= beat)
        {
            let reason = format!("must be greater than {heartbeat}");
            return Err(ConfigError::conflict(session, reason));
        }
    }
    Ok(())
}

/// A session must outlast the pause between two signs of life.
const SESSIONS: [(&str, &str); 3] = [
    (
        "consumer.session.timeout.ms",
        "consumer.heartbeat.interval.ms",
    ),
    ("share.session.timeout.ms", "share.heartbeat.interval.ms"),
    (
        "streams.session.timeout.ms",
        "streams.heartbeat.interval.ms",
    ),
];

fn check_one(config: &NamedConfig, value: &str, layers: &Layers<'_>) -> Result<(), ConfigError> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(ConfigError::TooLong {
            name: config.name.into(),
            bytes: value.len(),
        });
    }
    let checked = config
        .kind
        .check(value)
        .and_then(|()| match config.bounds(layers) {
            Some((min, max)) => Kind::Long { min, max }.check(value),
            None => Ok(()),
        });
    checked.map_err(|reason| ConfigError::invalid(config.name, value, reason))
}

const fn between(min: i32, max: i32) -> Kind {
    Kind::Int { min, max }
}

/// Of settings whose bounds are the broker's.
const fn positive() -> Kind {
    between(1, i32::MAX)
}

const fn any_list() -> Kind {
    Kind::List {
        allowed: &[],
        items_min: 0,
    }
}

/// The client properties a subscription can look at.
const MATCHED: [&str; 6] = [
    "client_instance_id",
    "client_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];

/// `property=pattern`. Patterns are kept as they are.
fn check_match(item: &str) -> Result<(), String> {
    let property = item.split_once('=').map(|(property, _)| property.trim());
    match property.is_some_and(|property| MATCHED.contains(&property)) {
        true => Ok(()),
        false => Err(format!(
            "{item:?} is not PROPERTY=PATTERN of {}",
            MATCHED.join(", ")
        )),
    }
}

/// As Kafka reads it: a place, or an age before now.
fn check_reset(value: &str) -> Result<(), String> {
    let value = value.trim();
    let age = value.strip_prefix("by_duration:");
    match ["earliest", "latest"].contains(&value) || age.is_some_and(|age| age.starts_with('P')) {
        true => Ok(()),
        false => Err("must be earliest, latest or by_duration:PERIOD in ISO 8601".into()),
    }
}

macro_rules! named_configs {
    ($($table:ident { $(
        $name:literal, $kind:expr, $default:literal, $broker:expr, $doc:literal;
    )* })*) => {$(
        #[doc = concat!("See [`NamedResource::configs`].")]
        static $table: &[NamedConfig] = &[$(NamedConfig {
            name: $name,
            kind: $kind,
            default: $default,
            broker_name: $broker,
            doc: $doc,
        }),*];
    )*};
}

named_configs! {
    GROUP_CONFIGS {
        "consumer.session.timeout.ms", positive(), "45000", Some("group.consumer.session.timeout.ms"),
            "How long a member of the new protocol (KIP-848) may be silent, in milliseconds. Within \
             group.consumer.min.session.timeout.ms and group.consumer.max.session.timeout.ms.";
        "consumer.heartbeat.interval.ms", positive(), "5000", Some("group.consumer.heartbeat.interval.ms"),
            "How often such a member is told to send heartbeats, in milliseconds. Within \
             group.consumer.min.heartbeat.interval.ms and group.consumer.max.heartbeat.interval.ms.";
        "consumer.assignment.interval.ms", between(0, 15_000), "1000", Some("group.consumer.assignment.interval.ms"),
            "Kept for tools; no effect here: an assignment is made as soon as it is needed.";
        "share.session.timeout.ms", between(45_000, 60_000), "45000", Some("group.share.session.timeout.ms"),
            "Kept for tools; no effect here: share groups are not served.";
        "share.heartbeat.interval.ms", between(5_000, 15_000), "5000", Some("group.share.heartbeat.interval.ms"),
            "Kept for tools; no effect here: share groups are not served.";
        "share.assignment.interval.ms", between(0, 15_000), "1000", Some("group.share.assignment.interval.ms"),
            "Kept for tools; no effect here: share groups are not served.";
        "streams.session.timeout.ms", between(45_000, 60_000), "45000", Some("group.streams.session.timeout.ms"),
            "Kept for tools; no effect here: streams groups are not served.";
        "streams.heartbeat.interval.ms", between(5_000, 15_000), "5000", Some("group.streams.heartbeat.interval.ms"),
            "Kept for tools; no effect here: streams groups are not served.";
        "streams.assignment.interval.ms", between(0, 15_000), "1000", Some("group.streams.assignment.interval.ms"),
            "Kept for tools; no effect here: streams groups are not served.";
        "share.record.lock.duration.ms", between(15_000, 60_000), "30000", Some("group.share.record.lock.duration.ms"),
            "Kept for tools; no effect here: share groups are not served.";
        "share.delivery.count.limit", between(2, 10), "5", Some("group.share.delivery.count.limit"),
            "Kept for tools; no effect here: share groups are not served.";
        "share.partition.max.record.locks", between(100, 4_000), "2000", Some("group.share.partition.max.record.locks"),
            "Kept for tools; no effect here: share groups are not served.";
        "share.auto.offset.reset", Kind::Text(check_reset), "latest", Some("share.auto.offset.reset"),
            "Kept for tools; no effect here: share groups are not served.";
        "share.isolation.level", Kind::Choice(&["read_committed", "read_uncommitted"]), "read_uncommitted", Some("share.isolation.level"),
            "Kept for tools; no effect here: share groups are not served.";
        "share.renew.acknowledge.enable", Kind::Boolean, "true", Some("share.renew.acknowledge.enable"),
            "Kept for tools; no effect here: share groups are not served.";
        "streams.num.standby.replicas", between(0, 2), "0", Some("group.streams.num.standby.replicas"),
            "Kept for tools; no effect here: streams groups are not served.";
        "streams.initial.rebalance.delay.ms", between(0, i32::MAX), "3000", Some("group.streams.initial.rebalance.delay.ms"),
            "Kept for tools; no effect here: streams groups are not served.";
    }
    CLIENT_METRICS_CONFIGS {
        "metrics", any_list(), "", None,
            "Prefixes of the metrics clients are to push. Kept for tools; no effect here: the broker \
             receives no metrics of clients.";
        "interval.ms", between(100, 3_600_000), "300000", None,
            "How often clients are to push metrics, in milliseconds. Kept for tools; no effect here: \
             the broker receives no metrics of clients.";
        "match", Kind::Items(check_match), "", None,
            "Which clients are meant, as PROPERTY=PATTERN separated by commas. Kept for tools; no \
             effect here: the broker receives no metrics of clients.";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_sound() {
        for config in GROUP_CONFIGS.iter().chain(CLIENT_METRICS_CONFIGS) {
            assert_eq!(config.kind.check(config.default), Ok(()), "{}", config.name);
            assert!(config.doc.ends_with('.'), "{}", config.name);
        }
    }

    #[test]
    fn what_clients_match() {
        for good in ["client_id=a.*", "client_source_port=1|2"] {
            assert_eq!(check_match(good), Ok(()), "{good}");
        }
        for bad in ["client_id", "host=a", ""] {
            assert!(check_match(bad).is_err(), "{bad}");
        }
    }
}
