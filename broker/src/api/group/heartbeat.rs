//! Heartbeat (key 12): a member is alive, and learns whether it has to join again.

use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};
use tidelog_coordinator::group::Heartbeat;

use super::{code, member};
use crate::api::context::{Context, Outcome};

pub async fn handle(ctx: &Context, request: HeartbeatRequest) -> Outcome {
    let instance_id = request.group_instance_id.as_ref();
    let beat = Heartbeat {
        group: request.group_id.to_string(),
        member: member(&request.member_id, instance_id, request.generation_id),
    };
    let outcome = ctx.broker.groups().heartbeat(beat).await;
    ctx.answer(&HeartbeatResponse::default().with_error_code(code(outcome)))
}
