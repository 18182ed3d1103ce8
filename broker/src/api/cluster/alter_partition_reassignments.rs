//! AlterPartitionReassignments (key 45, KIP-455): put partitions on other brokers. There is one
//! broker: a partition can be told to be where it is, which is done at once, and nothing else.

use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse,
};

use crate::api::context::{Context, Outcome};
use crate::api::error::{Failure, code_of};

/// Why a partition is not moved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotMoved {
    #[error("{topic} has no partition {partition}")]
    UnknownPartition { topic: String, partition: i32 },
    #[error("no move is under way that could be ended")]
    NothingToCancel,
    #[error("no replica is given: name this broker, {0}")]
    NoReplica(i32),
    #[error("replicas can only be on broker {0}, and only once")]
    OtherReplicas(i32),
}

pub async fn handle(ctx: &Context, request: AlterPartitionReassignmentsRequest) -> Outcome {
    let topics = request.topics.into_iter();
    let response = AlterPartitionReassignmentsResponse::default()
        .with_error_message(None)
        .with_responses(topics.map(|topic| answer(ctx, topic)).collect());
    ctx.answer(&response)
}

fn answer(ctx: &Context, topic: ReassignableTopic) -> ReassignableTopicResponse {
    let view = ctx.broker.cluster().view();
    let known = view
        .image
        .topic(&topic.name)
        .map_or(0, |topic| topic.partitions);
    let partitions = topic.partitions.iter().map(|asked| {
        let exists = (0..known).contains(&asked.partition_index);
        let outcome = match exists {
            true => judge(ctx.broker.node_id(), asked),
            false => Err(NotMoved::UnknownPartition {
                topic: topic.name.to_string(),
                partition: asked.partition_index,
            }),
        };
        let failure = outcome.err().map(|error| Failure::from(&error));
        ReassignablePartitionResponse::default()
            .with_partition_index(asked.partition_index)
            .with_error_code(code_of(failure.as_ref()))
            .with_error_message(failure.map(|failure| failure.message))
    });
    let partitions = partitions.collect();
    ReassignableTopicResponse::default()
        .with_name(topic.name)
        .with_partitions(partitions)
}

fn judge(node_id: i32, asked: &ReassignablePartition) -> Result<(), NotMoved> {
    let replicas = asked.replicas.as_ref();
    let replicas: Option<Vec<i32>> = replicas.map(|ids| ids.iter().map(|id| id.0).collect());
    match replicas.as_deref() {
        None => Err(NotMoved::NothingToCancel),
        Some([]) => Err(NotMoved::NoReplica(node_id)),
        Some([only]) if *only == node_id => Ok(()),
        Some(_) => Err(NotMoved::OtherReplicas(node_id)),
    }
}
