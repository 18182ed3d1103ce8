//! Codes of the group coordinator's refusals.

use tidelog_coordinator::group::{ConsumerError, GroupError, TxnOffsetsError};
use tidelog_protocol_ext::ErrorCode;

use crate::api::group::find_coordinator::NoCoordinator;
use crate::owners::groups::CoordinatorError;

impl From<CoordinatorError> for ErrorCode {
    fn from(error: CoordinatorError) -> Self {
        match error {
            CoordinatorError::Group(error) => of_group(error),
            CoordinatorError::Transaction(error) => of_txn_offsets(error),
            CoordinatorError::Consumer(error) => of_consumer(error),
            CoordinatorError::Unavailable(_)
            | CoordinatorError::NoOwner(_)
            | CoordinatorError::Stopping => ErrorCode::CoordinatorNotAvailable,
        }
    }
}

fn of_txn_offsets(error: TxnOffsetsError) -> ErrorCode {
    match error {
        TxnOffsetsError::Group(error) => of_group(error),
        TxnOffsetsError::NotConfirmed => ErrorCode::InvalidTxnState,
        TxnOffsetsError::Fenced => ErrorCode::InvalidProducerEpoch,
    }
}

fn of_consumer(error: ConsumerError) -> ErrorCode {
    match error {
        ConsumerError::Group(error) => of_group(error),
        ConsumerError::FencedMemberEpoch => ErrorCode::FencedMemberEpoch,
        ConsumerError::UnreleasedInstance => ErrorCode::UnreleasedInstanceId,
        ConsumerError::UnsupportedAssignor { .. } => ErrorCode::UnsupportedAssignor,
        ConsumerError::InvalidRegex { .. } => ErrorCode::InvalidRegularExpression,
        ConsumerError::InvalidRequest { .. } => ErrorCode::InvalidRequest,
    }
}

fn of_group(error: GroupError) -> ErrorCode {
    match error {
        GroupError::MemberIdRequired { .. } => ErrorCode::MemberIdRequired,
        GroupError::UnknownMember => ErrorCode::UnknownMemberId,
        GroupError::IllegalGeneration => ErrorCode::IllegalGeneration,
        GroupError::RebalanceInProgress => ErrorCode::RebalanceInProgress,
        GroupError::FencedInstance => ErrorCode::FencedInstanceId,
        GroupError::InconsistentProtocol => ErrorCode::InconsistentGroupProtocol,
        GroupError::InvalidSessionTimeout { .. } => ErrorCode::InvalidSessionTimeout,
        GroupError::GroupFull => ErrorCode::GroupMaxSizeReached,
        GroupError::InvalidGroupId => ErrorCode::InvalidGroupId,
        GroupError::NameTooLong { .. } | GroupError::TooManyProtocols { .. } => {
            ErrorCode::InvalidRequest
        }
        GroupError::OffsetMetadataTooLarge { .. } => ErrorCode::OffsetMetadataTooLarge,
        // Kafka says the same of a group that does not fit in its log: no client retries it.
        GroupError::GroupTooLarge { .. } => ErrorCode::UnknownServerError,
        GroupError::NonEmptyGroup => ErrorCode::NonEmptyGroup,
        GroupError::GroupNotFound | GroupError::NotUpgraded { .. } => ErrorCode::GroupIdNotFound,
        GroupError::SubscribedToTopic => ErrorCode::GroupSubscribedToTopic,
        GroupError::StaleMemberEpoch => ErrorCode::StaleMemberEpoch,
        GroupError::NeedsEpochs => ErrorCode::UnsupportedVersion,
    }
}

impl From<NoCoordinator> for ErrorCode {
    fn from(_: NoCoordinator) -> Self {
        // Final for clients, see `find_coordinator`.
        ErrorCode::InvalidRequest
    }
}
