//! OffsetDelete (key 47): forget offsets of topics the group no longer reads.
//!
//! A code at the top refuses the whole request; what does not exist, or what a member still reads, is
//! refused partition by partition.

use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse, TopicName};
use tidelog_coordinator::group::DeleteOffsets;
use tidelog_protocol_ext::{ErrorCode, StrBytes};

use super::{by_topic, code, refusal};
use crate::api::context::{Context, Outcome};

pub async fn handle(ctx: &Context, request: OffsetDeleteRequest) -> Outcome {
    let view = ctx.broker.cluster().view();
    let (mut partitions, mut unknown) = (Vec::new(), Vec::new());
    for topic in request.topics {
        let known = view.image.topic(&topic.name);
        let known = known.map_or(0, |topic| topic.partitions);
        for asked in topic.partitions {
            let index = asked.partition_index;
            let group = match (0..known).contains(&index) {
                true => &mut partitions,
                false => &mut unknown,
            };
            group.push((topic.name.to_string(), index));
        }
    }
    let unknown = unknown.into_iter().map(|(topic, partition)| {
        let code = ErrorCode::UnknownTopicOrPartition.code();
        (topic, answered(partition, code))
    });
    let delete = DeleteOffsets {
        group: request.group_id.to_string(),
        partitions,
    };
    let response = OffsetDeleteResponse::default();
    ctx.answer(&match ctx.broker.groups().delete_offsets(delete).await {
        Err(error) => response.with_error_code(refusal(error)),
        Ok(outcomes) => {
            let outcomes = outcomes.into_iter().map(|outcome| {
                let code = code(outcome.result);
                (outcome.topic, answered(outcome.partition, code))
            });
            let mut answers: Vec<_> = outcomes.chain(unknown).collect();
            // One heading for a topic of which only some partitions exist.
            answers.sort_by(|a, b| a.0.cmp(&b.0));
            response.with_topics(topics(answers))
        }
    })
}

fn answered(partition: i32, code: i16) -> OffsetDeleteResponsePartition {
    OffsetDeleteResponsePartition::default()
        .with_partition_index(partition)
        .with_error_code(code)
}

fn topics(answers: Vec<(String, OffsetDeleteResponsePartition)>) -> Vec<OffsetDeleteResponseTopic> {
    let topics = by_topic(answers).into_iter().map(|(name, partitions)| {
        OffsetDeleteResponseTopic::default()
            .with_name(TopicName(StrBytes::from_string(name)))
            .with_partitions(partitions)
    });
    topics.collect()
}
