//! OffsetDelete (key 47): forget offsets of topics the group no longer reads.
//!
//! A code at the top refuses the whole request; a topic that does not exist, or that a member
//! still reads, is refused partition by partition.

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
        let exists = view.image.topic(&topic.name).is_some();
        let group = if exists {
            &mut partitions
        } else {
            &mut unknown
        };
        let asked = topic.partitions.iter().map(|asked| asked.partition_index);
        group.extend(asked.map(|partition| (topic.name.to_string(), partition)));
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
            response.with_topics(topics(outcomes.chain(unknown)))
        }
    })
}

fn answered(partition: i32, code: i16) -> OffsetDeleteResponsePartition {
    OffsetDeleteResponsePartition::default()
        .with_partition_index(partition)
        .with_error_code(code)
}

fn topics(
    answers: impl Iterator<Item = (String, OffsetDeleteResponsePartition)>,
) -> Vec<OffsetDeleteResponseTopic> {
    let topics = by_topic(answers).into_iter().map(|(name, partitions)| {
        OffsetDeleteResponseTopic::default()
            .with_name(TopicName(StrBytes::from_string(name)))
            .with_partitions(partitions)
    });
    topics.collect()
}
