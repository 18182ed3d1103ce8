//! Configs of topics on either side, and bringing those of the source to the target.
//!
//! What is set for a topic at the source, or for its whole cluster, is set for it here, and what is changed or
//! taken away there while the command runs is changed or taken away here. Names that are set here alone
//! are left alone. What the target does not take is named once.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};
use tidelog_client::{BrokerError, Error};
use tidelog_protocol_ext::ErrorCode;

use crate::Both;
use crate::cluster::{Cluster, said, say, text};

/// The config that lets a topic be filled from elsewhere.
pub const IMPORT: &str = "tidelog.import";

/// Kinds of resources, of config sources, and of changes, as numbers on the wire.
const TOPIC: i8 = 2;
const TOPIC_CONFIG: i8 = 1;
const DEFAULT_CONFIG: i8 = 5;
const SET: i8 = 0;
const DELETE: i8 = 1;

/// Topics of one DescribeConfigs request.
const DESCRIBED_AT_ONCE: usize = 200;

/// What a topic's config is, by name.
pub type Configs = BTreeMap<String, Config>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub value: String,
    /// Whether it is not the cluster's software that says so.
    pub is_set: bool,
    /// Whether it is the topic's own.
    pub is_own: bool,
}

/// Configs of these topics. Those that are gone are left out.
///
/// # Errors
/// The side cannot be asked.
pub async fn of_topics(side: &Cluster, topics: &[&str]) -> Result<BTreeMap<String, Configs>> {
    let mut found = BTreeMap::new();
    for some in topics.chunks(DESCRIBED_AT_ONCE) {
        let resources = some.iter().map(|topic| {
            DescribeConfigsResource::default()
                .with_resource_type(TOPIC)
                .with_resource_name(text(topic))
                .with_configuration_keys(None)
        });
        let request = DescribeConfigsRequest::default().with_resources(resources.collect());
        let answer = side.patiently(async || {
            let mut answer = side.any(&request).await?;
            let gone = ErrorCode::UnknownTopicOrPartition.code();
            answer.results.retain(|result| result.error_code != gone);
            for result in &answer.results {
                BrokerError::check("DescribeConfigs", result.error_code, || {
                    said(&result.resource_name, result.error_message.as_deref())
                })?;
            }
            Ok(answer)
        });
        for result in answer.await?.results {
            let known = result.configs.into_iter().filter_map(|config| {
                let known = Config {
                    value: config.value?.to_string(),
                    is_set: config.config_source != DEFAULT_CONFIG && !config.is_sensitive,
                    is_own: config.config_source == TOPIC_CONFIG,
                };
                Some((config.name.to_string(), known))
            });
            found.insert(result.resource_name.to_string(), known.collect());
        }
    }
    Ok(found)
}

/// What is set, for the target to have it too.
pub fn set(configs: &Configs) -> BTreeMap<String, String> {
    let set = configs.iter().filter(|(_, config)| config.is_set);
    set.filter(|(name, _)| *name != IMPORT)
        .map(|(name, config)| (name.clone(), config.value.clone()))
        .collect()
}

/// Whether the topic of the target takes records from elsewhere.
///
/// # Errors
/// It knows no such thing.
pub fn is_importing(both: &Both, configs: &Configs) -> Result<bool> {
    match configs.get(IMPORT) {
        Some(import) => Ok(import.value == "true"),
        None => bail!(
            "{} is no Tidelog broker that can import",
            both.target.bootstrap()
        ),
    }
}

/// Changes the target's topic from what was set before to what is wanted now, and says so.
///
/// # Errors
/// The target cannot be asked.
pub async fn bring(
    both: &Both,
    topic: &str,
    before: &BTreeMap<String, String>,
    wanted: &BTreeMap<String, String>,
) -> Result<(), Error> {
    for change in changes(before, wanted) {
        match alter(both, &[topic], &change).await {
            Ok(()) => say(&format!("topic {topic}: {}", change.told())),
            Err(error) if is_refused(&error) => say(&format!(
                "topic {topic}: {} is left out: {error}",
                change.told()
            )),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether the target knows what was asked of it, and will not have it.
pub fn is_refused(error: &Error) -> bool {
    matches!(
        error.error_code(),
        Some(ErrorCode::InvalidConfig | ErrorCode::InvalidRequest)
    )
}

/// Begins or ends the import of topics, all in one request.
///
/// # Errors
/// The target refuses.
pub async fn set_import(both: &Both, topics: &[&str], importing: bool) -> Result<(), Error> {
    let change = Change {
        name: IMPORT,
        value: importing.then_some("true"),
    };
    alter(both, topics, &change).await
}

/// A new value for a name, or none of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change<'a> {
    name: &'a str,
    value: Option<&'a str>,
}

impl Change<'_> {
    fn told(&self) -> String {
        match self.value {
            Some(value) => format!("{}={value}", self.name),
            None => format!("{} is not set any more", self.name),
        }
    }
}

fn changes<'a>(
    before: &'a BTreeMap<String, String>,
    wanted: &'a BTreeMap<String, String>,
) -> Vec<Change<'a>> {
    let set = wanted
        .iter()
        .filter(|(name, value)| before.get(*name) != Some(value))
        .map(|(name, value)| (name, Some(value.as_str())));
    let gone = before.keys().filter(|name| !wanted.contains_key(*name));
    set.chain(gone.map(|name| (name, None)))
        .map(|(name, value)| Change { name, value })
        .collect()
}

async fn alter(both: &Both, topics: &[&str], change: &Change<'_>) -> Result<(), Error> {
    let resources = topics.iter().map(|topic| {
        let change = AlterableConfig::default()
            .with_name(text(change.name))
            .with_config_operation(change.value.map_or(DELETE, |_| SET))
            .with_value(change.value.map(text));
        AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text(topic))
            .with_configs(vec![change])
    });
    let request = IncrementalAlterConfigsRequest::default().with_resources(resources.collect());
    let attempt = async || {
        for altered in both.target.any(&request).await?.responses {
            BrokerError::check("IncrementalAlterConfigs", altered.error_code, || {
                said(&altered.resource_name, altered.error_message.as_deref())
            })?;
        }
        Ok(())
    };
    both.target.patiently(attempt).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(of: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = of
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()));
        owned.collect()
    }

    #[test]
    fn changes_between_two_looks() {
        let before = map(&[("kept", "1"), ("changed", "1"), ("gone", "1")]);
        let now = map(&[("kept", "1"), ("changed", "2"), ("new", "1")]);
        let change = |name, value| Change { name, value };
        assert_eq!(
            changes(&before, &now),
            [
                change("changed", Some("2")),
                change("new", Some("1")),
                change("gone", None)
            ]
        );
        assert_eq!(changes(&now, &now), []);
    }

    #[test]
    fn defaults_and_the_import_itself_are_not_brought() {
        let config = |value: &str, is_set| Config {
            value: value.to_owned(),
            is_set,
            is_own: is_set,
        };
        let configs = Configs::from([
            (IMPORT.to_owned(), config("true", true)),
            ("retention.ms".to_owned(), config("1", true)),
            ("cleanup.policy".to_owned(), config("delete", false)),
        ]);
        assert_eq!(set(&configs), map(&[("retention.ms", "1")]));
    }
}
