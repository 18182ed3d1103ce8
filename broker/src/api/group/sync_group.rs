//! SyncGroup (key 14): a member fetches its assignment, the leader brings everybody's. Waits for
//! the leader.
//!
//! From version 5 on the protocol has to be named, so that a member of another kind is told (KIP-559).

use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};
use tidelog_coordinator::group::{GroupError, SyncGroup, Synced};
use tidelog_protocol_ext::StrBytes;

use super::{member, refusal, until_stop};
use crate::api::context::{Context, Outcome};
use crate::owners::groups::CoordinatorError;

const PROTOCOL_NAMED_FROM: i16 = 5;

pub async fn handle(ctx: &Context, request: SyncGroupRequest) -> Outcome {
    let named = request.protocol_type.is_some() && request.protocol_name.is_some();
    let outcome = if ctx.version() >= PROTOCOL_NAMED_FROM && !named {
        Err(CoordinatorError::Group(GroupError::InconsistentProtocol))
    } else {
        until_stop(ctx, ctx.broker.groups().sync(parse(request))).await
    };
    let response = match outcome {
        Ok(synced) => accepted(synced),
        Err(error) => SyncGroupResponse::default().with_error_code(refusal(error)),
    };
    ctx.answer(&response)
}

fn parse(request: SyncGroupRequest) -> SyncGroup {
    let instance_id = request.group_instance_id.as_ref();
    let assignments = request.assignments.into_iter();
    SyncGroup {
        group: request.group_id.to_string(),
        member: member(&request.member_id, instance_id, request.generation_id),
        protocol_type: request.protocol_type.map(|name| name.to_string()),
        protocol: request.protocol_name.map(|name| name.to_string()),
        assignments: assignments
            .map(|assigned| (assigned.member_id.to_string(), assigned.assignment))
            .collect(),
    }
}

fn accepted(synced: Synced) -> SyncGroupResponse {
    SyncGroupResponse::default()
        .with_protocol_type(synced.protocol_type.map(StrBytes::from_string))
        .with_protocol_name(synced.protocol.map(StrBytes::from_string))
        .with_assignment(synced.assignment)
}
