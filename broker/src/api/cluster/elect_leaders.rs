//! ElectLeaders (key 43, KIP-460): have another replica lead. Each partition has one replica, which
//! leads already whenever it can: no election is ever needed.
//!
//! Asked for all partitions, Kafka leaves out those that need none and names every topic.

use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse};
use tidelog_protocol_ext::StrBytes;

use super::seat::Seat;
use crate::api::context::{Context, Outcome};
use crate::api::error::Failure;
use crate::owners::cluster::View;

/// Elections of the preferred replica, the only kind before version 1, and unclean ones.
const KINDS: std::ops::RangeInclusive<i8> = 0..=1;

/// Why no leader is elected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoElection {
    #[error("election type {0} does not exist: use 0 (preferred) or 1 (unclean)")]
    UnknownKind(i8),
    #[error("{topic} has no partition {partition}")]
    UnknownPartition { topic: String, partition: i32 },
    #[error("the only replica leads already")]
    NotNeeded,
    #[error("the only replica cannot serve: its records are lost")]
    Offline,
}

pub async fn handle(ctx: &Context, request: ElectLeadersRequest) -> Outcome {
    let view = ctx.broker.cluster().view();
    let response = ElectLeadersResponse::default();
    let kind = request.election_type;
    if !KINDS.contains(&kind) {
        let failure = Failure::from(&NoElection::UnknownKind(kind));
        let asked = request.topic_partitions.unwrap_or_default().into_iter();
        let refused = asked.map(|topic| answer(topic, |_| failure.clone()));
        return ctx.answer(
            &response
                .with_error_code(failure.code.code())
                .with_replica_election_results(refused.collect()),
        );
    }
    let results = match request.topic_partitions {
        Some(asked) => asked
            .into_iter()
            .map(|topic| {
                let name = topic.topic.to_string();
                answer(topic, |index| {
                    Failure::from(&election(ctx, &view, &name, index))
                })
            })
            .collect(),
        None => everything(ctx, &view),
    };
    ctx.answer(&response.with_replica_election_results(results))
}

/// Every topic, with its partitions that could not be given a leader.
fn everything(ctx: &Context, view: &View) -> Vec<ReplicaElectionResult> {
    let topics = view.image.topics().map(|topic| {
        let outcomes = (0..topic.partitions).map(|index| {
            let outcome = election(ctx, view, &topic.name, index);
            (index, outcome)
        });
        let failed = outcomes.filter(|(_, outcome)| *outcome != NoElection::NotNeeded);
        let failed = failed.map(|(index, outcome)| result(index, Failure::from(&outcome)));
        ReplicaElectionResult::default()
            .with_topic(StrBytes::from_string(topic.name.clone()).into())
            .with_partition_result(failed.collect())
    });
    topics.collect()
}

fn election(ctx: &Context, view: &View, name: &str, index: i32) -> NoElection {
    let topic = view.image.topic(name);
    match topic.filter(|topic| (0..topic.partitions).contains(&index)) {
        None => NoElection::UnknownPartition {
            topic: name.to_owned(),
            partition: index,
        },
        Some(topic) if Seat::of(ctx, topic, index).offline => NoElection::Offline,
        Some(_) => NoElection::NotNeeded,
    }
}

fn answer(topic: TopicPartitions, outcome: impl Fn(i32) -> Failure) -> ReplicaElectionResult {
    let partitions = topic.partitions.into_iter();
    ReplicaElectionResult::default()
        .with_topic(topic.topic)
        .with_partition_result(
            partitions
                .map(|index| result(index, outcome(index)))
                .collect(),
        )
}

fn result(index: i32, failure: Failure) -> PartitionResult {
    PartitionResult::default()
        .with_partition_id(index)
        .with_error_code(failure.code.code())
        .with_error_message(Some(failure.message))
}
