//! What settings belong to, as requests name it: a number and a name.

use tidelog_coordinator::cluster::settings::RESOURCE_NAME_BYTES_MAX;
use tidelog_coordinator::cluster::{ConfigResource, NamedResource};

/// Numbers of Kafka's `ConfigResource.Type`.
pub const TOPIC: i8 = 2;
pub const BROKER: i8 = 4;
pub const BROKER_LOGGER: i8 = 8;
pub const CLIENT_METRICS: i8 = 16;
pub const GROUP: i8 = 32;

/// What is wrong with a resource, or with the shape of what is to be changed about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadResource {
    #[error(
        "resources of type {0} have no settings that can be changed so: use 2 (topic), 4 (broker), \
         8 (loggers of a broker, by IncrementalAlterConfigs), 16 (client metrics) or 32 (group)"
    )]
    UnknownType(i8),
    #[error("settings of a {0} need its name: there are no defaults of all of them")]
    NoName(&'static str),
    #[error("a {0} cannot have a name of more than {RESOURCE_NAME_BYTES_MAX} bytes")]
    LongName(&'static str),
    #[error("{0:?} is no broker: give the number of one, or nothing for the default of all")]
    NotABroker(String),
    #[error("{0:?} is not the number of this broker: it has no other's loggers")]
    NotThisBroker(String),
    #[error("operation {0} does not exist: use 0 (SET), 1 (DELETE), 2 (APPEND) or 3 (SUBTRACT)")]
    UnknownOperation(i8),
    #[error("no value is given for {0}: only DELETE needs none")]
    NoValue(String),
}

/// The resource a request names.
///
/// # Errors
/// There is none of this kind, or the name cannot be one.
pub fn named(resource_type: i8, name: &str) -> Result<ConfigResource, BadResource> {
    match (resource_type, name) {
        (TOPIC, "") => Err(BadResource::NoName("topic")),
        (TOPIC, name) => Ok(ConfigResource::Topic(name.to_owned())),
        (GROUP, name) => Ok(ConfigResource::Named(NamedResource::Group(checked(
            "group", name,
        )?))),
        (CLIENT_METRICS, name) => {
            let name = checked("subscription to metrics", name)?;
            Ok(ConfigResource::Named(NamedResource::ClientMetrics(name)))
        }
        (BROKER, "") => Ok(ConfigResource::BrokerDefault),
        (BROKER, name) => {
            let id = name.parse().map(ConfigResource::Broker);
            id.map_err(|_| BadResource::NotABroker(name.to_owned()))
        }
        (other, _) => Err(BadResource::UnknownType(other)),
    }
}

fn checked(what: &'static str, name: &str) -> Result<String, BadResource> {
    match name.len() {
        0 => Err(BadResource::NoName(what)),
        1..=RESOURCE_NAME_BYTES_MAX => Ok(name.to_owned()),
        _ => Err(BadResource::LongName(what)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources() {
        let cases = [
            ((2, "t"), Ok(ConfigResource::Topic("t".into()))),
            ((2, ""), Err(BadResource::NoName("topic"))),
            (
                (32, "g"),
                Ok(ConfigResource::Named(NamedResource::Group("g".into()))),
            ),
            ((32, ""), Err(BadResource::NoName("group"))),
            ((4, "1"), Ok(ConfigResource::Broker(1))),
            ((4, ""), Ok(ConfigResource::BrokerDefault)),
            ((4, "one"), Err(BadResource::NotABroker("one".into()))),
            ((8, "1"), Err(BadResource::UnknownType(8))),
            ((0, ""), Err(BadResource::UnknownType(0))),
        ];
        for ((resource_type, name), expected) in cases {
            assert_eq!(
                named(resource_type, name),
                expected,
                "{resource_type} {name}"
            );
        }
    }
}
