//! DescribeConfigs (key 32): every setting of a topic, broker, group or subscription, where its value comes from and
//! what else it could have been (KIP-226), its type and what it is for (KIP-569).
//!
//! The broker with the empty name is the default of all brokers: what was set there at run time and
//! nothing else.

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use tidelog_coordinator::cluster::settings::{ConfigEntry, ConfigSource, ConfigType, Synonym};
use tidelog_coordinator::cluster::{ClusterError, ConfigResource};
use tidelog_protocol_ext::StrBytes;

use super::{config_resource, loggers, name};
use crate::api::context::{Context, Outcome};
use crate::api::error::Failure;
use crate::owners::cluster::View;

pub async fn handle(ctx: &Context, request: DescribeConfigsRequest) -> Outcome {
    let show = Show {
        synonyms: request.include_synonyms,
        documentation: request.include_documentation,
    };
    let view = ctx.broker.cluster().view();
    let results = request
        .resources
        .into_iter()
        .map(|resource| one(ctx, &view, resource, show))
        .collect();
    ctx.answer(&DescribeConfigsResponse::default().with_results(results))
}

/// What the client wants to see beyond names and values.
#[derive(Debug, Clone, Copy)]
struct Show {
    synonyms: bool,
    documentation: bool,
}

fn one(
    ctx: &Context,
    view: &View,
    resource: DescribeConfigsResource,
    show: Show,
) -> DescribeConfigsResult {
    let result = DescribeConfigsResult::default()
        .with_resource_type(resource.resource_type)
        .with_resource_name(resource.resource_name.clone());
    match entries(ctx, view, &resource) {
        Ok(entries) => result.with_error_message(None).with_configs(
            entries
                .into_iter()
                .map(|entry| shown(entry, show))
                .collect(),
        ),
        Err(failure) => result
            .with_error_code(failure.code.code())
            .with_error_message(Some(failure.message)),
    }
}

fn entries(
    ctx: &Context,
    view: &View,
    resource: &DescribeConfigsResource,
) -> Result<Vec<ConfigEntry>, Failure> {
    // Kafka reads an empty list of keys as all of them, too.
    let keys = resource.configuration_keys.as_ref();
    let keys = keys.filter(|keys| !keys.is_empty());
    let keys: Option<Vec<String>> = keys.map(|keys| keys.iter().map(ToString::to_string).collect());
    let keys = keys.as_deref();
    if resource.resource_type == config_resource::BROKER_LOGGER {
        let described = loggers::describe(ctx, &resource.resource_name, keys);
        return described.map_err(|bad| Failure::from(&bad));
    }
    if resource.resource_type == config_resource::TOPIC && resource.resource_name.is_empty() {
        return Err(Failure::from(&missing(String::new())));
    }
    let named = config_resource::named(resource.resource_type, &resource.resource_name);
    let named = named.map_err(|bad| Failure::from(&bad))?;
    let node_id = ctx.broker.node_id();
    let layers = view
        .image
        .layers(node_id, ctx.broker.cluster().broker_settings());
    match named {
        ConfigResource::Topic(name) => match view.image.topic(&name) {
            Some(topic) => Ok(layers.with_topic(&topic.overrides).describe_topic(keys)),
            None => Err(Failure::from(&missing(name))),
        },
        ConfigResource::Broker(id) if id == node_id => Ok(layers.describe_broker(keys)),
        ConfigResource::Broker(id) => Err(Failure::from(&ClusterError::UnknownBroker { id })),
        ConfigResource::BrokerDefault => Ok(layers.describe_cluster_default(keys)),
        ConfigResource::Named(resource) => {
            let set = view.image.named_configs().get(&resource);
            Ok(layers.describe_named(&resource, set, keys))
        }
    }
}

fn missing(name: String) -> ClusterError {
    match name::is_legal(&name) {
        true => ClusterError::UnknownTopic { name },
        false => ClusterError::InvalidTopicName {
            name,
            reason: "no topic can be called so",
        },
    }
}

fn shown(entry: ConfigEntry, show: Show) -> DescribeConfigsResourceResult {
    let synonyms = entry.synonyms.into_iter().filter(|_| show.synonyms);
    let documentation = show
        .documentation
        .then(|| StrBytes::from_static_str(entry.doc));
    DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_string(entry.name))
        .with_value(entry.value.map(StrBytes::from_string))
        .with_read_only(entry.read_only)
        .with_is_sensitive(entry.sensitive)
        .with_config_source(source_number(entry.source))
        .with_synonyms(synonyms.map(synonym).collect())
        .with_config_type(type_number(entry.config_type))
        .with_documentation(documentation)
}

fn synonym(synonym: Synonym) -> DescribeConfigsSynonym {
    DescribeConfigsSynonym::default()
        .with_name(StrBytes::from_string(synonym.name))
        .with_value(synonym.value.map(StrBytes::from_string))
        .with_source(source_number(synonym.source))
}

/// Number of a source in DescribeConfigs and CreateTopics answers.
pub(super) fn source_number(source: ConfigSource) -> i8 {
    match source {
        ConfigSource::Topic => 1,
        ConfigSource::DynamicBroker => 2,
        ConfigSource::DynamicDefault => 3,
        ConfigSource::StaticBroker => 4,
        ConfigSource::Default => 5,
        ConfigSource::Logger => 6,
        ConfigSource::ClientMetrics => 7,
        ConfigSource::Group => 8,
    }
}

fn type_number(config_type: ConfigType) -> i8 {
    match config_type {
        ConfigType::Unknown => 0,
        ConfigType::Boolean => 1,
        ConfigType::String => 2,
        ConfigType::Int => 3,
        ConfigType::Long => 5,
        ConfigType::Double => 6,
        ConfigType::List => 7,
        ConfigType::Password => 9,
    }
}
