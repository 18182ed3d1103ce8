//! Configs of topics.

use anyhow::Result;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};
use serde_json::{Value, json};
use tidelog_client::wire::{said, text};
use tidelog_client::{BrokerError, Client, Error};

use crate::word::Pair;

/// Kinds of resources, of sources and of changes, as numbers on the wire.
const TOPIC: i8 = 2;
const OWN: i8 = 1;
const SET: i8 = 0;
const DELETE: i8 = 1;

/// A config in force.
pub struct Config {
    pub name: String,
    /// `None` if it is not shown.
    pub value: Option<String>,
    /// Whether the topic sets it itself.
    pub is_own: bool,
}

impl Config {
    pub fn json(&self) -> Value {
        json!({"name": self.name, "value": self.value, "is_own": self.is_own})
    }
}

/// All configs of a topic, by name.
///
/// # Errors
/// There is no such topic, or the broker does not answer.
pub async fn of_topic(client: &Client, topic: &str) -> Result<Vec<Config>, Error> {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(topic))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let answer = client.call_any(&request).await?;
    let mut configs = Vec::new();
    for result in answer.results {
        BrokerError::check("DescribeConfigs", result.error_code, || {
            said(&format!("topic {topic}"), result.error_message.as_deref())
        })?;
        configs.extend(result.configs.into_iter().map(|config| Config {
            name: config.name.to_string(),
            value: config.value.map(|value| value.to_string()),
            is_own: config.config_source == OWN,
        }));
    }
    configs.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(configs)
}

/// Sets some configs of a topic and takes others away.
///
/// # Errors
/// The broker refuses; nothing is changed then.
pub async fn alter(
    client: &Client,
    topic: &str,
    set: &[Pair],
    unset: &[String],
) -> Result<(), Error> {
    let set = set.iter().map(|pair| {
        AlterableConfig::default()
            .with_name(text(&pair.name))
            .with_config_operation(SET)
            .with_value(Some(text(&pair.value)))
    });
    let unset = unset.iter().map(|name| {
        AlterableConfig::default()
            .with_name(text(name))
            .with_config_operation(DELETE)
            .with_value(None)
    });
    let resource = AlterConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(topic))
        .with_configs(set.chain(unset).collect());
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let answer = client.call_any(&request).await?;
    for response in answer.responses {
        BrokerError::check("IncrementalAlterConfigs", response.error_code, || {
            said(&format!("topic {topic}"), response.error_message.as_deref())
        })?;
    }
    Ok(())
}
