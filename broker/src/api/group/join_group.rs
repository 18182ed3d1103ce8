//! JoinGroup (key 11): become a member, or take part in the next generation. Waits until the join
//! phase ends.
//!
//! | from version | |
//! |---|---|
//! | 0 | the rebalance is given the session timeout |
//! | 1 | the rebalance has a timeout of its own |
//! | 4 | a new member is first told its id and comes again with it (KIP-394) |
//! | 5 | static members (KIP-345) |
//! | 7 | the protocol may be null in the answer: it is when there is none |
//! | 9 | the leader can be told to keep the present assignment (KIP-814) |

use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use tidelog_coordinator::group::{GroupError, JoinGroup, Joined, JoinedMember};
use tidelog_protocol_ext::StrBytes;
use uuid::Uuid;

use super::{refusal, until_stop};
use crate::api::context::{Context, Outcome};
use crate::owners::groups::CoordinatorError;

const REBALANCE_TIMEOUT_FROM: i16 = 1;
const KNOWN_MEMBER_ID_FROM: i16 = 4;
const NULL_PROTOCOL_FROM: i16 = 7;
const SKIP_ASSIGNMENT_FROM: i16 = 9;

pub async fn handle(ctx: &Context, request: JoinGroupRequest) -> Outcome {
    let member_id = request.member_id.to_string();
    let join = parse(ctx, request);
    let response = match until_stop(ctx, ctx.broker.groups().join(join)).await {
        Ok(joined) => accepted(joined),
        Err(error) => refused(error, member_id),
    };
    let nullable = ctx.version() >= NULL_PROTOCOL_FROM;
    ctx.answer(&with_protocol_of(response, nullable))
}

fn parse(ctx: &Context, request: JoinGroupRequest) -> JoinGroup {
    let version = ctx.version();
    let protocols = request.protocols.into_iter();
    JoinGroup {
        group: request.group_id.to_string(),
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.map(|id| id.to_string()),
        client_id: ctx.client_id.as_deref().unwrap_or_default().to_owned(),
        // As Java prints an address without a name; tools show it as it is.
        client_host: format!("/{}", ctx.peer.ip().to_canonical()),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms: if version >= REBALANCE_TIMEOUT_FROM {
            request.rebalance_timeout_ms
        } else {
            request.session_timeout_ms
        },
        protocol_type: request.protocol_type.to_string(),
        protocols: protocols
            .map(|protocol| (protocol.name.to_string(), protocol.metadata))
            .collect(),
        require_known_member_id: version >= KNOWN_MEMBER_ID_FROM,
        supports_skip_assignment: version >= SKIP_ASSIGNMENT_FROM,
        new_member_uuid: Uuid::new_v4(),
    }
}

fn accepted(joined: Joined) -> JoinGroupResponse {
    JoinGroupResponse::default()
        .with_generation_id(joined.generation)
        .with_protocol_type(joined.protocol_type.map(StrBytes::from_string))
        .with_protocol_name(joined.protocol.map(StrBytes::from_string))
        .with_leader(StrBytes::from_string(joined.leader))
        .with_skip_assignment(joined.skip_assignment)
        .with_member_id(StrBytes::from_string(joined.member_id))
        .with_members(joined.members.into_iter().map(listed).collect())
}

fn listed(member: JoinedMember) -> JoinGroupResponseMember {
    JoinGroupResponseMember::default()
        .with_member_id(StrBytes::from_string(member.member_id))
        .with_group_instance_id(member.instance_id.map(StrBytes::from_string))
        .with_metadata(member.metadata)
}

/// A refusal names the member that asked, or the id it is to come back with.
fn refused(error: CoordinatorError, asked_as: String) -> JoinGroupResponse {
    let member_id = match &error {
        CoordinatorError::Group(GroupError::MemberIdRequired { member_id }) => member_id.clone(),
        _ => asked_as,
    };
    JoinGroupResponse::default()
        .with_error_code(refusal(error))
        .with_protocol_name(None)
        .with_member_id(StrBytes::from_string(member_id))
}

fn with_protocol_of(mut response: JoinGroupResponse, nullable: bool) -> JoinGroupResponse {
    if !nullable {
        response.protocol_name.get_or_insert_default();
    }
    response
}
