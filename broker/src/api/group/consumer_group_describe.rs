//! ConsumerGroupDescribe (key 69): state and members of groups of the new protocol (KIP-848).
//!
//! Classic groups and unknown ones are GROUP_ID_NOT_FOUND; tools then ask DescribeGroups.

use std::collections::HashMap;

use kafka_protocol::messages::consumer_group_describe_response::{
    Assignment, DescribedGroup, Member, TopicPartitions,
};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, TopicName,
};
use tidelog_coordinator::group::{DescribedConsumer, DescribedConsumerGroup, NamedPartitions};
use tidelog_protocol_ext::{ErrorCode, StrBytes};

use super::describe_groups::OPERATIONS;
use crate::api::cluster::operations::NOT_ASKED;
use crate::api::context::{Context, Outcome};
use crate::owners::groups::CoordinatorError;

/// First version that tells members of either protocol apart (KIP-1099).
const MEMBER_TYPE_FROM: i16 = 1;
const UNKNOWN_TYPE: i8 = -1;
const CLASSIC_TYPE: i8 = 0;
const CONSUMER_TYPE: i8 = 1;

pub async fn handle(ctx: &Context, request: ConsumerGroupDescribeRequest) -> Outcome {
    let groups = request.group_ids.iter().map(|id| id.to_string());
    let groups = groups.filter(|id| !id.is_empty()).collect();
    let described = ctx.broker.groups().describe_consumers(groups).await;
    let described: HashMap<_, _> = described.into_iter().collect();
    let operations = match request.include_authorized_operations {
        true => OPERATIONS,
        false => NOT_ASKED,
    };
    let version = ctx.version();
    // In the order of the request, also what it names twice.
    let answers = request.group_ids.into_iter().map(|group| {
        let answer = match described.get(group.as_str()) {
            Some(Ok(described)) => {
                let described = described.clone();
                answer(described, version).with_authorized_operations(operations)
            }
            Some(Err(error)) => refused(error.clone()),
            None => DescribedGroup::default()
                .with_error_code(ErrorCode::InvalidGroupId.code())
                .with_error_message(None)
                .with_authorized_operations(NOT_ASKED),
        };
        answer.with_group_id(group)
    });
    ctx.answer(&ConsumerGroupDescribeResponse::default().with_groups(answers.collect()))
}

fn answer(group: DescribedConsumerGroup, version: i16) -> DescribedGroup {
    let members = group.members.into_iter();
    DescribedGroup::default()
        .with_error_message(None)
        .with_group_state(StrBytes::from_static_str(group.state.name()))
        .with_group_epoch(group.epoch)
        .with_assignment_epoch(group.target_epoch)
        .with_assignor_name(StrBytes::from_static_str(group.assignor))
        .with_members(members.map(|one| member(one, version)).collect())
}

fn refused(error: CoordinatorError) -> DescribedGroup {
    let message = StrBytes::from_string(error.to_string());
    DescribedGroup::default()
        .with_error_code(ErrorCode::from(error).code())
        .with_error_message(Some(message))
        .with_authorized_operations(NOT_ASKED)
}

fn member(member: DescribedConsumer, version: i16) -> Member {
    let topics = member.topics.into_iter();
    let kind = match member.is_classic {
        _ if version < MEMBER_TYPE_FROM => UNKNOWN_TYPE,
        true => CLASSIC_TYPE,
        false => CONSUMER_TYPE,
    };
    // Kafka's own text for none is empty.
    let regex = StrBytes::from_string(member.regex.unwrap_or_default());
    Member::default()
        .with_member_id(StrBytes::from_string(member.member_id))
        .with_instance_id(member.instance_id.map(StrBytes::from_string))
        .with_rack_id(member.rack_id.map(StrBytes::from_string))
        .with_member_epoch(member.epoch)
        .with_client_id(StrBytes::from_string(member.client_id))
        .with_client_host(StrBytes::from_string(member.client_host))
        .with_subscribed_topic_names(
            topics
                .map(|name| StrBytes::from_string(name).into())
                .collect(),
        )
        .with_subscribed_topic_regex(Some(regex))
        .with_assignment(assignment(member.assigned))
        .with_target_assignment(assignment(member.target))
        .with_member_type(kind)
}

fn assignment(topics: Vec<NamedPartitions>) -> Assignment {
    let topics = topics.into_iter().map(|topic| {
        TopicPartitions::default()
            .with_topic_id(topic.topic_id)
            .with_topic_name(TopicName(StrBytes::from_string(topic.topic)))
            .with_partitions(topic.partitions)
    });
    Assignment::default().with_topic_partitions(topics.collect())
}
