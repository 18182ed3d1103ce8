//! ConsumerGroupHeartbeat (key 68): a member of a group of the new protocol joins, beats, acknowledges
//! and leaves (KIP-848).

use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions as Owned;
use kafka_protocol::messages::consumer_group_heartbeat_response::{
    Assignment as Assigned, TopicPartitions,
};
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use tidelog_coordinator::group::{Assignment, ConsumerError, ConsumerHeartbeat, GroupError};
use tidelog_protocol_ext::{ErrorCode, StrBytes};
use tracing::info;
use uuid::Uuid;

use crate::api::context::{Context, Outcome};
use crate::owners::groups::CoordinatorError;

/// First version whose members bring an id of their own (KIP-1082).
const OWN_ID_FROM: i16 = 1;
/// "As before."
const NO_REBALANCE_TIMEOUT: i32 = -1;

pub async fn handle(ctx: &Context, request: ConsumerGroupHeartbeatRequest) -> Outcome {
    let beat = parse(ctx, request);
    let outcome = ctx.broker.groups().consumer_heartbeat(beat).await;
    if let Err(CoordinatorError::Consumer(ConsumerError::Group(GroupError::NotUpgraded {
        group,
        reason,
    }))) = &outcome
    {
        info!(group, peer = %ctx.peer, %reason, "a classic group is not upgraded");
    }
    ctx.answer(&match outcome {
        Ok(beat) => ConsumerGroupHeartbeatResponse::default()
            .with_member_id(Some(StrBytes::from_string(beat.member_id)))
            .with_member_epoch(beat.member_epoch)
            .with_heartbeat_interval_ms(beat.heartbeat_interval_ms)
            .with_assignment(beat.assignment.as_ref().map(assigned)),
        Err(error) => {
            let message = StrBytes::from_string(error.to_string());
            ConsumerGroupHeartbeatResponse::default()
                .with_error_code(ErrorCode::from(error).code())
                .with_error_message(Some(message))
                .with_member_id(None)
        }
    })
}

fn parse(ctx: &Context, request: ConsumerGroupHeartbeatRequest) -> ConsumerHeartbeat {
    let text = |text: StrBytes| text.to_string();
    let names = request.subscribed_topic_names;
    let timeout_ms = request.rebalance_timeout_ms;
    ConsumerHeartbeat {
        group: request.group_id.to_string(),
        member_id: request.member_id.to_string(),
        member_epoch: request.member_epoch,
        instance_id: request.instance_id.map(text),
        rack_id: request.rack_id.map(text),
        client_id: ctx.client_id.as_deref().unwrap_or_default().to_owned(),
        client_host: format!("/{}", ctx.peer.ip().to_canonical()),
        rebalance_timeout_ms: (timeout_ms != NO_REBALANCE_TIMEOUT).then_some(timeout_ms),
        topics: names.map(|names| names.iter().map(|name| name.to_string()).collect()),
        regex: request.subscribed_topic_regex.map(text),
        assignor: request.server_assignor.map(text),
        owned: request.topic_partitions.map(owned),
        new_member_uuid: (ctx.version() < OWN_ID_FROM).then(Uuid::new_v4),
    }
}

fn owned(topics: Vec<Owned>) -> Assignment {
    let topics = topics.into_iter();
    let partitions = topics.flat_map(|topic| {
        let id = topic.topic_id;
        topic.partitions.into_iter().map(move |index| (id, index))
    });
    partitions.collect()
}

fn assigned(assignment: &Assignment) -> Assigned {
    let topics = assignment.topics().map(|(id, partitions)| {
        TopicPartitions::default()
            .with_topic_id(id)
            .with_partitions(partitions.iter().copied().collect())
    });
    Assigned::default().with_topic_partitions(topics.collect())
}
