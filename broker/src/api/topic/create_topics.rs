//! CreateTopics (key 19). The answer leaves when the topics are durable and can be written to.
//!
//! A replication factor above the one broker there is becomes 1 with a line in the log, or is
//! refused, as `tidelog.replication.factor.policy` says. From v5 the answer carries what was made,
//! settings included (KIP-525); with `validate_only` it carries what would be made.

use std::collections::HashSet;

use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult,
};
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse, TopicName};
use tidelog_coordinator::cluster::settings::{ConfigEntry, without_aliases};
use tidelog_coordinator::cluster::{ClusterError, Command, CreatedTopic, NewTopic, Reply, Topic};
use tidelog_protocol_ext::StrBytes;
use tracing::warn;
use uuid::Uuid;

use super::controller;
use super::describe_configs::source_number;
use super::table;
use crate::api::context::{Context, Outcome};
use crate::api::error::Failure;
use crate::broker::Broker;
use crate::owners::cluster::View;
use crate::settings::Settings;
use crate::views;

/// Every partition is on this broker only.
const REPLICAS: i16 = 1;

/// Kafka's "as the cluster says".
const DEFAULT: i16 = -1;

pub async fn handle(ctx: &Context, request: CreateTopicsRequest) -> Outcome {
    let settings = ctx.broker.settings();
    let validate_only = request.validate_only;
    let mut bad = Vec::new();
    let mut new = Vec::new();
    for topic in request.topics {
        let name = topic.name.clone();
        let topic = new_topic(topic, &settings);
        match checked(&ctx.broker, topic) {
            Ok(topic) => new.push(topic),
            Err(failure) => bad.push(refused(name, failure)),
        }
    }
    let names: Vec<_> = new
        .iter()
        .map(|topic| TopicName(StrBytes::from_string(topic.name.clone())))
        .collect();
    let command = Command::CreateTopics {
        topics: new,
        incarnation: ctx.broker.cluster().incarnation(),
        validate_only,
    };
    let answer = controller::ask(ctx, command, request.timeout_ms, |reply| match reply {
        Reply::Created(results) => Some(results),
        _ => None,
    });
    let mut topics: Vec<_> = match answer.await {
        Ok(results) => {
            let view = ctx.broker.cluster().view();
            let answered = results.into_iter().map(|(name, result)| {
                let name: TopicName = StrBytes::from_string(name).into();
                match result {
                    Ok(created) => made(ctx, &view, name, &created, validate_only),
                    Err(error) => refused(name, Failure::from(&error)),
                }
            });
            answered.collect()
        }
        Err(error) => {
            let failure = Failure::from(&error);
            names
                .into_iter()
                .map(|name| refused(name, failure.clone()))
                .collect()
        }
    };
    topics.extend(bad);
    // A topic named twice is refused once.
    let mut seen = HashSet::new();
    topics.retain(|topic| seen.insert(topic.name.clone()));
    ctx.answer(&CreateTopicsResponse::default().with_topics(topics))
}

/// A topic whose settings go by their own names, and what of them takes more than their owner to judge
/// is judged.
fn checked(broker: &Broker, topic: NewTopic) -> Result<NewTopic, Failure> {
    let configs = without_aliases(topic.configs);
    let configs = configs.map_err(|error| Failure::from(&ClusterError::from(error)))?;
    table::check_new(broker, &configs).map_err(|error| Failure::from(&error))?;
    views::check_new(broker, &configs).map_err(|error| Failure::from(&error))?;
    Ok(NewTopic { configs, ..topic })
}

fn new_topic(topic: CreatableTopic, settings: &Settings) -> NewTopic {
    let by_default = topic.replication_factor == DEFAULT && topic.assignments.is_empty();
    let replication_factor = match by_default {
        true => i16::try_from(settings.default_replication_factor).unwrap_or(i16::MAX),
        false => topic.replication_factor,
    };
    let assignments = topic.assignments.into_iter().map(|assignment| {
        let brokers = assignment.broker_ids.into_iter().map(|id| id.0).collect();
        (assignment.partition_index, brokers)
    });
    let configs = topic.configs.into_iter().map(|config| {
        let value = config.value.map(|value| value.to_string());
        (config.name.to_string(), value)
    });
    NewTopic {
        name: topic.name.to_string(),
        id: Uuid::new_v4(),
        partitions: topic.num_partitions,
        replication_factor,
        assignments: assignments.collect(),
        configs: configs.collect(),
        internal: false,
    }
}

fn made(
    ctx: &Context,
    view: &View,
    name: TopicName,
    created: &CreatedTopic,
    validate_only: bool,
) -> CreatableTopicResult {
    let topic = &created.topic;
    if let Some(requested) = created.clamped_from.filter(|_| !validate_only) {
        warn!(
            topic = topic.name,
            requested, "replication factor 1: the cluster has one broker"
        );
    }
    CreatableTopicResult::default()
        .with_name(name)
        // What was only checked has no id.
        .with_topic_id(if validate_only { Uuid::nil() } else { topic.id })
        .with_error_message(None)
        .with_num_partitions(topic.partitions)
        .with_replication_factor(REPLICAS)
        .with_configs(Some(configs(ctx, view, topic)))
}

fn configs(ctx: &Context, view: &View, topic: &Topic) -> Vec<CreatableTopicConfigs> {
    let broker_settings = ctx.broker.cluster().broker_settings();
    let layers = view.image.layers(ctx.broker.node_id(), broker_settings);
    let entries = layers.with_topic(&topic.overrides).describe_topic(None);
    entries.into_iter().map(config).collect()
}

fn config(entry: ConfigEntry) -> CreatableTopicConfigs {
    CreatableTopicConfigs::default()
        .with_name(StrBytes::from_string(entry.name))
        .with_value(entry.value.map(StrBytes::from_string))
        .with_read_only(entry.read_only)
        .with_config_source(source_number(entry.source))
        .with_is_sensitive(entry.sensitive)
}

fn refused(name: TopicName, failure: Failure) -> CreatableTopicResult {
    CreatableTopicResult::default()
        .with_name(name)
        .with_error_code(failure.code.code())
        .with_error_message(Some(failure.message))
}
