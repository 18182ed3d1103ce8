//! What can be asked of the groups of one partition, and what they answer. Version quirks of the
//! wire are settled before a command is made: there are no version numbers here.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::consumer::{
    ConsumerBeat, ConsumerError, ConsumerHeartbeat, DescribedConsumerGroup, TopicImage,
};
use super::error::GroupError;
use super::record::CommittedOffset;
use super::settings::GroupSettings;
use super::txn_offsets::{BeginTxnOffsets, CommitTxnOffsets, TxnGuard, TxnOffsetsError};
use super::txn_record::TxnEnd;

/// A request to the groups of one `__consumer_offsets` partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupCommand {
    /// Parked until the join phase ends.
    Join(JoinGroup),
    /// Parked until the leader has sent the assignments.
    Sync(SyncGroup),
    Heartbeat(Heartbeat),
    Leave(LeaveGroup),
    CommitOffsets(CommitOffsets),
    FetchOffsets(FetchOffsets),
    DeleteOffsets(DeleteOffsets),
    /// The first step of a commit within a transaction.
    BeginTxnOffsets(BeginTxnOffsets),
    CommitTxnOffsets(CommitTxnOffsets),
    /// The transaction coordinator has decided.
    EndTransaction(TxnEnd),
    Describe {
        groups: Vec<String>,
    },
    List(ListGroups),
    DeleteGroups {
        groups: Vec<String>,
    },
    /// A member of a group of the new protocol joins, beats, acknowledges or leaves.
    ConsumerHeartbeat(ConsumerHeartbeat),
    /// Whether a member that fetches offsets is in its epoch (OffsetFetch v9+). Only groups of the
    /// new protocol say no.
    CheckEpoch {
        group: String,
        member_id: String,
        member_epoch: i32,
    },
    DescribeConsumers {
        groups: Vec<String>,
    },
    /// The topics changed: every machine is told, before anybody relies on the change.
    Topics(Arc<TopicImage>),
    /// The settings changed. Times count from each member's next sign of life.
    Settings(Arc<GroupSettings>),
    /// The topic is gone, and with it every offset committed for it in any group.
    TopicDeleted {
        topic: String,
    },
}

/// The answer to the [`GroupCommand`] of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupReply {
    Join(Result<Joined, GroupError>),
    Sync(Result<Synced, GroupError>),
    Heartbeat(Result<(), GroupError>),
    /// One outcome per member named, in order.
    Leave(Result<Vec<Left>, GroupError>),
    /// One outcome per partition named, in order.
    CommitOffsets(Result<Vec<PartitionOutcome>, GroupError>),
    FetchOffsets(Vec<FetchedOffset>),
    /// One outcome per partition named, in order.
    DeleteOffsets(Result<Vec<PartitionOutcome>, GroupError>),
    BeginTxnOffsets(TxnGuard),
    /// One outcome per partition named, in order.
    CommitTxnOffsets(Result<Vec<PartitionOutcome>, TxnOffsetsError>),
    EndTransaction(Result<(), TxnOffsetsError>),
    Describe(Vec<DescribedGroup>),
    List(Vec<ListedGroup>),
    /// One outcome per group named, in order.
    DeleteGroups(Vec<(String, Result<(), GroupError>)>),
    ConsumerHeartbeat(Result<ConsumerBeat, ConsumerError>),
    CheckEpoch(Result<(), GroupError>),
    /// One outcome per group named, in order.
    DescribeConsumers(Vec<(String, Result<DescribedConsumerGroup, GroupError>)>),
    Topics,
    Settings,
    TopicDeleted,
}

/// Which member speaks, and of which generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberRef {
    /// Empty when the client has none yet.
    pub member_id: String,
    /// Set by static members (KIP-345).
    pub instance_id: Option<String>,
    /// −1 outside group management.
    pub generation: i32,
}

/// A request to become, or stay, a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinGroup {
    pub group: String,
    /// Empty on first contact.
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub session_timeout_ms: i32,
    /// JoinGroup v0 has none: the session timeout then.
    pub rebalance_timeout_ms: i32,
    pub protocol_type: String,
    /// Name and metadata, most preferred first.
    pub protocols: Vec<(String, Bytes)>,
    /// JoinGroup v4+: a dynamic member has to come back with the id it is given (KIP-394).
    pub require_known_member_id: bool,
    /// JoinGroup v9+: a restarted static leader can be told to keep the assignment (KIP-814).
    pub supports_skip_assignment: bool,
    /// Randomness for the member id, should one be made.
    pub new_member_uuid: Uuid,
}

/// Membership of a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    pub member_id: String,
    pub generation: i32,
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    pub leader: String,
    /// Filled for the leader only.
    pub members: Vec<JoinedMember>,
    /// The leader must not compute an assignment: the present one stays.
    pub skip_assignment: bool,
}

/// A member as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    pub member_id: String,
    pub instance_id: Option<String>,
    /// For the chosen protocol.
    pub metadata: Bytes,
}

/// A member's request for its assignment; the leader brings everybody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncGroup {
    pub group: String,
    pub member: MemberRef,
    /// SyncGroup v5+; checked against the group's when given.
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    /// Member id and assignment; empty unless sent by the leader.
    pub assignments: Vec<(String, Bytes)>,
}

/// A member's assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    pub assignment: Bytes,
}

/// A sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    pub group: String,
    pub member: MemberRef,
}

/// Members that leave, or are removed by an administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveGroup {
    pub group: String,
    pub members: Vec<LeavingMember>,
}

/// Names a member by id, or a static one by instance id alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeavingMember {
    pub member_id: String,
    pub instance_id: Option<String>,
}

/// What became of one [`LeavingMember`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub result: Result<(), GroupError>,
}

/// Positions to remember.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitOffsets {
    pub group: String,
    pub member: MemberRef,
    /// OffsetCommit v9+: the member may be one of the new protocol.
    pub knows_epochs: bool,
    /// OffsetCommit v2–v4: how long to keep the offsets, instead of the broker's retention.
    pub retention_ms: Option<i64>,
    pub offsets: Vec<OffsetToCommit>,
}

/// One position of [`CommitOffsets`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetToCommit {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// −1 when unknown.
    pub leader_epoch: i32,
    pub metadata: String,
}

/// The result for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionOutcome {
    pub topic: String,
    pub partition: i32,
    pub result: Result<(), GroupError>,
}

/// Asks for committed positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchOffsets {
    pub group: String,
    /// `None`: all the group has.
    pub partitions: Option<Vec<(String, i32)>>,
}

/// A committed position, or none (offset −1 and no error on the wire).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedOffset {
    pub topic: String,
    pub partition: i32,
    pub committed: Option<CommittedOffset>,
    /// An open transaction has yet to decide: a client that asked for stable offsets is to be told
    /// so instead (`UNSTABLE_OFFSET_COMMIT`, KIP-447).
    pub unstable: bool,
}

/// Positions to forget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteOffsets {
    pub group: String,
    pub partitions: Vec<(String, i32)>,
}

/// Filters by name, not case-sensitive; an empty filter lets everything through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListGroups {
    pub states: Vec<String>,
    pub types: Vec<String>,
}

/// A line of the list of groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    pub group: String,
    /// Empty for a group that only commits offsets.
    pub protocol_type: String,
    pub state: GroupState,
    /// [`CLASSIC_GROUP_TYPE`] or [`CONSUMER_GROUP_TYPE`].
    pub group_type: &'static str,
}

/// The type of a group whose members share the work among themselves, as ListGroups names it.
pub const CLASSIC_GROUP_TYPE: &str = "classic";

/// The type of a group for which the coordinator shares the work (KIP-848).
pub const CONSUMER_GROUP_TYPE: &str = "consumer";

/// What DescribeGroups shows. A group that does not exist is `Dead`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedGroup {
    pub group: String,
    pub state: GroupState,
    pub protocol_type: String,
    /// Empty unless the group is stable.
    pub protocol: String,
    pub members: Vec<DescribedMember>,
}

/// A member within [`DescribedGroup`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedMember {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    /// Empty unless the group is stable.
    pub metadata: Bytes,
    pub assignment: Bytes,
}

/// The states of a group. Two belong to classic groups only, two to those of the new protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// No members; there may be offsets.
    Empty,
    /// Waiting for members to (re)join.
    PreparingRebalance,
    /// Waiting for the leader's assignment.
    CompletingRebalance,
    /// The new protocol: a target assignment is to be made.
    Assigning,
    /// The new protocol: members are on their way to the target.
    Reconciling,
    /// Members hold their assignments.
    Stable,
    /// Neither members nor offsets: forgotten.
    Dead,
}

impl GroupState {
    /// The name Kafka uses on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        }
    }
}
