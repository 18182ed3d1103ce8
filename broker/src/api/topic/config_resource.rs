//! What settings belong to, as requests name it: a number and a name.

use tidelog_coordinator::cluster::ConfigResource;

/// Numbers of Kafka's `ConfigResource.Type`.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// What is wrong with a resource, or with the shape of what is to be changed about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadResource {
    #[error("resources of type {0} have no settings here: use 2 (topic) or 4 (broker)")]
    UnknownType(i8),
    #[error("a topic's settings need its name: there are no defaults of all topics")]
    DefaultTopic,
    #[error("{0:?} is no broker: give the number of one, or nothing for the default of all")]
    NotABroker(String),
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
        (TOPIC, "") => Err(BadResource::DefaultTopic),
        (TOPIC, name) => Ok(ConfigResource::Topic(name.to_owned())),
        (BROKER, "") => Ok(ConfigResource::BrokerDefault),
        (BROKER, name) => {
            let id = name.parse().map(ConfigResource::Broker);
            id.map_err(|_| BadResource::NotABroker(name.to_owned()))
        }
        (other, _) => Err(BadResource::UnknownType(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources() {
        let cases = [
            ((2, "t"), Ok(ConfigResource::Topic("t".into()))),
            ((2, ""), Err(BadResource::DefaultTopic)),
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
