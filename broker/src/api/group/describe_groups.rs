//! DescribeGroups (key 15): state and members of groups.
//!
//! A group that does not exist is `Dead` without an error, and GROUP_ID_NOT_FOUND with a message
//! from version 6 on (KIP-1043). The answers come in no particular order.

use kafka_protocol::messages::describe_groups_response::{
    DescribedGroup as Answer, DescribedGroupMember,
};
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId};
use tidelog_coordinator::group::{DescribedGroup, DescribedMember, GroupState};
use tidelog_protocol_ext::{ErrorCode, StrBytes};

use crate::api::context::{Context, Outcome};
use crate::owners::groups::CoordinatorError;

const NOT_FOUND_FROM: i16 = 6;

/// What may be done to a group and its settings: read, delete, describe, describe and alter configs; one
/// bit for each operation by its number in Kafka's access rules.
pub(super) const OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

pub async fn handle(ctx: &Context, request: DescribeGroupsRequest) -> Outcome {
    let groups = request
        .groups
        .iter()
        .map(|group| group.to_string())
        .collect();
    let described = ctx.broker.groups().describe(groups).await;
    let (version, with_operations) = (ctx.version(), request.include_authorized_operations);
    let answers = described.into_iter().map(|(group, described)| {
        let answer = match described {
            Ok(described) => answer(described, version, with_operations),
            Err(error) => refused(error),
        };
        answer.with_group_id(GroupId(StrBytes::from_string(group)))
    });
    ctx.answer(&DescribeGroupsResponse::default().with_groups(answers.collect()))
}

fn answer(group: DescribedGroup, version: i16, with_operations: bool) -> Answer {
    let state = StrBytes::from_static_str(group.state.name());
    if group.state == GroupState::Dead && version >= NOT_FOUND_FROM {
        let message = format!("group {} not found", group.group);
        return Answer::default()
            .with_error_code(ErrorCode::GroupIdNotFound.code())
            .with_error_message(Some(StrBytes::from_string(message)))
            .with_group_state(state);
    }
    let answer = Answer::default()
        .with_group_state(state)
        .with_protocol_type(StrBytes::from_string(group.protocol_type))
        .with_protocol_data(StrBytes::from_string(group.protocol))
        .with_members(group.members.into_iter().map(member).collect());
    if with_operations {
        answer.with_authorized_operations(OPERATIONS)
    } else {
        answer
    }
}

fn refused(error: CoordinatorError) -> Answer {
    Answer::default().with_error_code(ErrorCode::from(error).code())
}

fn member(member: DescribedMember) -> DescribedGroupMember {
    DescribedGroupMember::default()
        .with_member_id(StrBytes::from_string(member.member_id))
        .with_group_instance_id(member.instance_id.map(StrBytes::from_string))
        .with_client_id(StrBytes::from_string(member.client_id))
        .with_client_host(StrBytes::from_string(member.client_host))
        .with_member_metadata(member.metadata)
        .with_member_assignment(member.assignment)
}
