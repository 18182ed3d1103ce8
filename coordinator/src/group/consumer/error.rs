//! What ConsumerGroupHeartbeat can refuse, beyond what every group can.

use crate::group::error::GroupError;

/// A refusal of a heartbeat of the new protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsumerError {
    #[error(transparent)]
    Group(#[from] GroupError),
    /// `FENCED_MEMBER_EPOCH`: give everything up and join again.
    #[error("the member is in another epoch")]
    FencedMemberEpoch,
    /// `UNRELEASED_INSTANCE_ID`: the former member of this instance id has not left.
    #[error("another member still uses this group instance id")]
    UnreleasedInstance,
    /// `UNSUPPORTED_ASSIGNOR`
    #[error("no such assignor; there are {supported}")]
    UnsupportedAssignor { supported: String },
    /// `INVALID_REGULAR_EXPRESSION`
    #[error("invalid regular expression: {reason}")]
    InvalidRegex { reason: String },
    /// `INVALID_REQUEST`
    #[error("invalid request: {reason}")]
    InvalidRequest { reason: &'static str },
}
