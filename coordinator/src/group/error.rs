//! What a group can refuse, without Kafka's numbers: the broker maps each variant to a code.

/// A refusal by the group coordinator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// Join again with this id (KIP-394); it is reserved for one session timeout.
    #[error("join again with member id {member_id}")]
    MemberIdRequired { member_id: String },
    #[error("the member is not in this group")]
    UnknownMember,
    #[error("the request belongs to another generation of the group")]
    IllegalGeneration,
    #[error("the group is rebalancing")]
    RebalanceInProgress,
    /// A newer member has taken over this group instance id (KIP-345).
    #[error("another member uses this group instance id")]
    FencedInstance,
    #[error("no protocol type and protocol that all members share")]
    InconsistentProtocol,
    #[error("session timeout outside {min_ms}..={max_ms} ms")]
    InvalidSessionTimeout { min_ms: i32, max_ms: i32 },
    #[error("the group has reached its maximum size")]
    GroupFull,
    #[error("invalid group id")]
    InvalidGroupId,
    /// A name too long for the record formats of the offsets topic.
    #[error("{field} is longer than {max_bytes} bytes")]
    NameTooLong {
        field: &'static str,
        max_bytes: usize,
    },
    #[error("a member may name at most {max} protocols")]
    TooManyProtocols { max: usize },
    #[error("offset metadata is longer than {max_chars} characters")]
    OffsetMetadataTooLarge { max_chars: usize },
    /// Subscriptions and assignments together exceed what one record may hold.
    #[error("group state of {bytes} bytes exceeds the limit of {max_bytes}")]
    GroupTooLarge { bytes: usize, max_bytes: usize },
    #[error("the group has members")]
    NonEmptyGroup,
    #[error("no such group")]
    GroupNotFound,
    /// `GROUP_ID_NOT_FOUND`: a classic group that cannot become one of the new protocol.
    #[error("Cannot upgrade classic group {group} to consumer group because {reason}.")]
    NotUpgraded { group: String, reason: NotUpgraded },
    #[error("a member of the group is subscribed to the topic")]
    SubscribedToTopic,
    /// `UNSUPPORTED_VERSION`
    #[error("members of the new protocol commit with OffsetCommit 9 or later")]
    NeedsEpochs,
    /// A member of the new protocol may try again in the epoch it has by then (KIP-848).
    #[error("the request belongs to another epoch of the member")]
    StaleMemberEpoch,
}

/// Why a classic group stays one when a member of the new protocol comes, in Kafka's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotUpgraded {
    #[error("online upgrade is disabled")]
    Disabled,
    #[error("the group does not use the consumer embedded protocol")]
    NoConsumers,
    #[error("the group size exceeds the consumer group maximum size")]
    TooLarge,
    #[error("the embedded consumer protocol is malformed")]
    Malformed,
    /// Its data in the members' assignments would be lost.
    #[error(
        "an unsupported custom assignor is in use. Please refer to the documentation or switch to a \
         default assignor before re-attempting the upgrade"
    )]
    CustomAssignor,
}
