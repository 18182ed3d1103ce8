//! LeaveGroup (key 13): members go, or an administrator removes static ones.
//!
//! Versions 0–2 name one member and have one error code. Later ones name several, each with a code
//! of its own; the code at the top is then for what concerns the whole request. A group that does
//! not exist is no such thing: each member is simply unknown.

use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};
use tidelog_coordinator::group::{GroupError, LeaveGroup, LeavingMember, Left};
use tidelog_protocol_ext::StrBytes;

use super::{code, refusal};
use crate::api::context::{Context, Outcome};
use crate::owners::groups::CoordinatorError;

/// First version that names several members.
const BATCHED_FROM: i16 = 3;

pub async fn handle(ctx: &Context, request: LeaveGroupRequest) -> Outcome {
    let batched = ctx.version() >= BATCHED_FROM;
    let leave = parse(request, batched);
    let leaving = leave.members.clone();
    let outcome = match ctx.broker.groups().leave(leave).await {
        Err(CoordinatorError::Group(GroupError::UnknownMember)) => Ok(all_unknown(leaving)),
        outcome => outcome,
    };
    let response = LeaveGroupResponse::default();
    ctx.answer(&match outcome {
        Err(error) => response.with_error_code(refusal(error)),
        Ok(left) if batched => response.with_members(left.into_iter().map(answered).collect()),
        Ok(left) => {
            let result = left.into_iter().try_for_each(|left| left.result);
            response.with_error_code(code(result))
        }
    })
}

fn parse(request: LeaveGroupRequest, batched: bool) -> LeaveGroup {
    let single = LeavingMember {
        member_id: request.member_id.to_string(),
        instance_id: None,
    };
    let listed = request.members.into_iter().map(|member| LeavingMember {
        member_id: member.member_id.to_string(),
        instance_id: member.group_instance_id.map(|id| id.to_string()),
    });
    LeaveGroup {
        group: request.group_id.to_string(),
        members: if batched {
            listed.collect()
        } else {
            vec![single]
        },
    }
}

fn all_unknown(leaving: Vec<LeavingMember>) -> Vec<Left> {
    let unknown = |member: LeavingMember| Left {
        member_id: member.member_id,
        instance_id: member.instance_id,
        result: Err(GroupError::UnknownMember),
    };
    leaving.into_iter().map(unknown).collect()
}

fn answered(left: Left) -> MemberResponse {
    MemberResponse::default()
        .with_member_id(StrBytes::from_string(left.member_id))
        .with_group_instance_id(left.instance_id.map(StrBytes::from_string))
        .with_error_code(code(left.result))
}
