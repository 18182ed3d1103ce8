//! OffsetCommit (key 8): remember how far a group has read.
//!
//! Every answer is per partition. A partition that does not exist is refused here and the others go
//! on; a refusal by the group is repeated for each of them. A group that is unknown to a member of
//! some generation is GROUP_ID_NOT_FOUND from version 9 on and ILLEGAL_GENERATION before. Versions
//! 2–4 may say how long the offsets are to be kept; version 10 names topics by id.

use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestTopic;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};
use tidelog_coordinator::cluster::Image;
use tidelog_coordinator::group::{CommitOffsets, GroupError, OffsetToCommit, PartitionOutcome};
use tidelog_protocol_ext::{ErrorCode, StrBytes, newer};

use super::{code, member};
use crate::api::context::{Context, Outcome};
use crate::owners::groups::CoordinatorError;

/// First version whose members may be of the new protocol (KIP-848).
const EPOCHS_FROM: i16 = 9;

/// First version whose clients know GROUP_ID_NOT_FOUND.
const GROUP_NOT_FOUND_FROM: i16 = 9;

/// First version that names topics by id.
const TOPIC_IDS_FROM: i16 = 10;

/// "Keep the offsets as long as the broker does": sent for want of a wish.
const DEFAULT_RETENTION: i64 = -1;

pub async fn handle(ctx: &Context, request: newer::OffsetCommitRequest) -> Outcome {
    let mut request = request.0;
    let view = ctx.broker.cluster().view();
    let missing = match ctx.version() >= TOPIC_IDS_FROM {
        true => {
            name_topics(&view.image, &mut request.topics);
            ErrorCode::UnknownTopicId
        }
        false => ErrorCode::UnknownTopicOrPartition,
    };
    let topics = request.topics.iter();
    let topics = topics.map(|topic| checked(&view.image, topic, missing));
    let mut response = OffsetCommitResponse::default().with_topics(topics.collect());
    let commit = parse(request, &response, ctx.version());
    if !commit.offsets.is_empty() {
        let asked = commit.offsets.len();
        let outcome = ctx.broker.groups().commit_offsets(commit).await;
        fill(&mut response, codes(outcome, asked, ctx.version()));
    }
    ctx.answer(&response)
}

/// Gives topics that came by id their names; those that do not exist stay without.
fn name_topics(image: &Image, topics: &mut [OffsetCommitRequestTopic]) {
    for topic in topics {
        let known = image.topic_by_id(topic.topic_id);
        let name = known.map_or_else(String::new, |known| known.name.clone());
        topic.name = StrBytes::from_string(name).into();
    }
}

/// The answer for one topic as far as it can be given without the group; `missing` if there is no
/// such topic.
fn checked(
    image: &Image,
    topic: &OffsetCommitRequestTopic,
    missing: ErrorCode,
) -> OffsetCommitResponseTopic {
    let known = image.topic(&topic.name);
    let checked = topic.partitions.iter().map(|asked| {
        let error = match known {
            None => missing,
            Some(known) if (0..known.partitions).contains(&asked.partition_index) => {
                ErrorCode::None
            }
            Some(_) => ErrorCode::UnknownTopicOrPartition,
        };
        OffsetCommitResponsePartition::default()
            .with_partition_index(asked.partition_index)
            .with_error_code(error.code())
    });
    OffsetCommitResponseTopic::default()
        .with_name(topic.name.clone())
        .with_topic_id(topic.topic_id)
        .with_partitions(checked.collect())
}

/// The command for what `response` has not refused yet.
fn parse(
    request: OffsetCommitRequest,
    response: &OffsetCommitResponse,
    version: i16,
) -> CommitOffsets {
    let instance_id = request.group_instance_id.as_ref();
    let generation = request.generation_id_or_member_epoch;
    let member = member(&request.member_id, instance_id, generation);
    let mut offsets = Vec::new();
    for (topic, answered) in request.topics.into_iter().zip(&response.topics) {
        let partitions = topic.partitions.into_iter().zip(&answered.partitions);
        for (partition, _) in partitions.filter(|(_, answered)| is_accepted(answered)) {
            let metadata = partition.committed_metadata.unwrap_or_default();
            offsets.push(OffsetToCommit {
                topic: topic.name.to_string(),
                partition: partition.partition_index,
                offset: partition.committed_offset,
                leader_epoch: partition.committed_leader_epoch,
                metadata: metadata.to_string(),
            });
        }
    }
    let retention_ms = request.retention_time_ms;
    CommitOffsets {
        knows_epochs: version >= EPOCHS_FROM,
        group: request.group_id.to_string(),
        member,
        retention_ms: (retention_ms != DEFAULT_RETENTION).then_some(retention_ms),
        offsets,
    }
}

fn is_accepted(partition: &OffsetCommitResponsePartition) -> bool {
    partition.error_code == ErrorCode::None.code()
}

/// One code for each offset the group was asked to commit.
fn codes(
    outcome: Result<Vec<PartitionOutcome>, CoordinatorError>,
    asked: usize,
    version: i16,
) -> Vec<i16> {
    match outcome {
        Ok(outcomes) => outcomes
            .into_iter()
            .map(|outcome| code(outcome.result))
            .collect(),
        Err(error) => {
            let error = match error {
                CoordinatorError::Group(GroupError::GroupNotFound)
                    if version < GROUP_NOT_FOUND_FROM =>
                {
                    ErrorCode::IllegalGeneration
                }
                error => ErrorCode::from(error),
            };
            vec![error.code(); asked]
        }
    }
}

/// Writes `codes`, in order, into the partitions the group was asked about.
fn fill(response: &mut OffsetCommitResponse, codes: Vec<i16>) {
    let partitions = response
        .topics
        .iter_mut()
        .flat_map(|topic| &mut topic.partitions);
    let asked = partitions.filter(|partition| is_accepted(partition));
    for (partition, code) in asked.zip(codes) {
        partition.error_code = code;
    }
}
