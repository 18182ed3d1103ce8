//! CreatePartitions (key 37, KIP-195): more partitions for topics; never fewer.

use std::collections::HashSet;

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse, TopicName};
use tidelog_coordinator::cluster::{Command, GrowTopic, Reply};
use tidelog_protocol_ext::StrBytes;

use super::controller;
use crate::api::context::{Context, Outcome};
use crate::api::error::{Failure, code_of};

pub async fn handle(ctx: &Context, request: CreatePartitionsRequest) -> Outcome {
    let names: Vec<_> = request
        .topics
        .iter()
        .map(|topic| topic.name.clone())
        .collect();
    let command = Command::CreatePartitions {
        topics: request.topics.into_iter().map(grow_topic).collect(),
        incarnation: ctx.broker.cluster().incarnation(),
        validate_only: request.validate_only,
    };
    let answer = controller::ask(ctx, command, request.timeout_ms, |reply| match reply {
        Reply::Grown(results) => Some(results),
        _ => None,
    });
    let mut results: Vec<_> = match answer.await {
        Ok(results) => results
            .into_iter()
            .map(|(name, result)| {
                let failure = result.err().map(|error| Failure::from(&error));
                result_of(StrBytes::from_string(name).into(), failure)
            })
            .collect(),
        Err(error) => {
            let failure = Failure::from(&error);
            let unanswered = names.into_iter();
            unanswered
                .map(|name| result_of(name, Some(failure.clone())))
                .collect()
        }
    };
    // A topic named twice is refused once.
    let mut seen = HashSet::new();
    results.retain(|topic| seen.insert(topic.name.clone()));
    ctx.answer(&CreatePartitionsResponse::default().with_results(results))
}

fn grow_topic(topic: CreatePartitionsTopic) -> GrowTopic {
    let assignments = topic.assignments.map(|assignments| {
        let brokers = assignments
            .into_iter()
            .map(|assignment| assignment.broker_ids);
        brokers
            .map(|ids| ids.into_iter().map(|id| id.0).collect())
            .collect()
    });
    GrowTopic {
        name: topic.name.to_string(),
        total: topic.count,
        assignments,
    }
}

fn result_of(name: TopicName, failure: Option<Failure>) -> CreatePartitionsTopicResult {
    CreatePartitionsTopicResult::default()
        .with_name(name)
        .with_error_code(code_of(failure.as_ref()))
        .with_error_message(failure.map(|failure| failure.message))
}
