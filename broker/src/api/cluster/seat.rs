//! Where a partition is served, as Metadata and DescribeTopicPartitions tell it.

use tidelog_coordinator::cluster::Topic;
use tidelog_protocol_ext::ErrorCode;
use tidelog_storage::Standing;

use crate::api::context::Context;

/// Kafka's "no leader".
const NO_LEADER: i32 = -1;

/// One partition. Its only replica is this broker, in sync as long as it leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    pub error: ErrorCode,
    pub leader_id: i32,
    /// Restarts since the partition was made; at least 0.
    pub leader_epoch: i32,
    /// The replica cannot serve: records are lost, or the topic is just going.
    pub offline: bool,
}

impl Seat {
    pub fn of(ctx: &Context, topic: &Topic, index: i32) -> Self {
        let partition = ctx.broker.log().partition(topic.log_id(), index);
        let leader_epoch = partition.as_ref().map_or(0, |p| p.marks().leader_epoch);
        if partition.is_some_and(|p| p.standing() == Standing::Open) {
            return Seat {
                error: ErrorCode::None,
                leader_id: ctx.broker.node_id(),
                leader_epoch,
                offline: false,
            };
        }
        Seat {
            error: ErrorCode::LeaderNotAvailable,
            leader_id: NO_LEADER,
            leader_epoch,
            offline: true,
        }
    }
}
