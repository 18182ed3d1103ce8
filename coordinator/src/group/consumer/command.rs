//! What members of the new protocol ask, and what they and administrators get.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::assignment::Assignment;
use crate::group::command::GroupState;

/// ConsumerGroupHeartbeat: joins, beats, acknowledges and leaves in one. What is `None` has not
/// changed since the last one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerHeartbeat {
    pub group: String,
    /// May be empty when joining, if there is a `new_member_uuid`.
    pub member_id: String,
    /// The epoch of the last answer; 0 joins, −1 leaves, −2 leaves for a moment (static members).
    pub member_epoch: i32,
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub rebalance_timeout_ms: Option<i32>,
    pub topics: Option<Vec<String>>,
    /// Empty: no longer any.
    pub regex: Option<String>,
    pub assignor: Option<String>,
    /// What the member owns: topic ids and partitions.
    pub owned: Option<Assignment>,
    /// Randomness for a member id. None from version 1 on: members bring their own (KIP-1082).
    pub new_member_uuid: Option<Uuid>,
}

/// The answer to [`ConsumerHeartbeat`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerBeat {
    pub member_id: String,
    pub member_epoch: i32,
    pub heartbeat_interval_ms: i32,
    /// What the member may use from now on and nothing else; `None`: as before.
    pub assignment: Option<Assignment>,
}

/// What ConsumerGroupDescribe shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedConsumerGroup {
    pub state: GroupState,
    pub epoch: i32,
    pub target_epoch: i32,
    pub assignor: &'static str,
    pub members: Vec<DescribedConsumer>,
}

/// A member within [`DescribedConsumerGroup`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedConsumer {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub epoch: i32,
    pub topics: BTreeSet<String>,
    pub regex: Option<String>,
    pub assigned: Vec<NamedPartitions>,
    pub target: Vec<NamedPartitions>,
    /// The member speaks the classic protocol.
    pub is_classic: bool,
}

/// Partitions of one topic that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPartitions {
    pub topic: String,
    pub topic_id: Uuid,
    pub partitions: Vec<i32>,
}
