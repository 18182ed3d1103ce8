//! Which Kafka error code says what went wrong. Codes are chosen here and nowhere else.

use std::fmt::Display;

use tidelog_coordinator::cluster::settings::ConfigError;
use tidelog_coordinator::cluster::{ClusterError, QuotaError};
use tidelog_coordinator::group::{ConsumerError, GroupError, TxnOffsetsError};
use tidelog_protocol_ext::{ErrorCode, StrBytes};
use tidelog_records::BatchError;
use tidelog_storage::{
    AppendError, ReadError, Refusal as WriteRefusal, SequenceError, TransactionError,
};

use super::cluster::alter_client_quotas::UnknownHost;
use super::cluster::alter_partition_reassignments::NotMoved;
use super::cluster::api_versions::Refusal;
use super::cluster::describe_client_quotas::BadFilter;
use super::cluster::describe_cluster::WrongEndpoint;
use super::cluster::elect_leaders::NoElection;
use super::cluster::init_producer_id;
use super::cluster::quorum::QuorumError;
use super::cluster::update_features::UnknownDirection;
use super::data::admission;
use super::data::delete_records::DeleteError;
use super::data::fetch_session::SessionError;
use super::data::keyed::KeyedError;
use super::data::list_offsets::ListError;
use super::data::produce::ProduceError;
use super::data::target::PartitionError;
use super::data::transactional::{self, Unconfirmed};
use super::ext::import_records::ImportRefused;
use super::ext::lookup::{KeyFault, LookupError};
use super::ext::tier_status::UnknownAction;
use super::ext::union_read_offsets::UnionError;
use super::group::find_coordinator::NoCoordinator;
use super::security::NoAuthorizer;
use super::topic::{BadReference, BadResource, NoAnswer};
use super::txn::{self, Told};
use crate::jobs::lake::state::NoCut;
use crate::log::Unwritten;
use crate::owners::groups::CoordinatorError;
use crate::owners::keyed::{NotReady, RulesError};

/// Longest message of an answer, in characters: it may quote what the client sent.
const MESSAGE_CHARS_MAX: usize = 1000;

/// An error that clients are told.
pub trait Coded {
    fn code(&self) -> ErrorCode;
}

/// A code with the sentence that goes with it in the versions that carry one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub code: ErrorCode,
    pub message: StrBytes,
}

impl<E: Coded + Display> From<&E> for Failure {
    fn from(error: &E) -> Self {
        let mut message = error.to_string();
        if let Some((end, _)) = message.char_indices().nth(MESSAGE_CHARS_MAX) {
            message.truncate(end);
        }
        Self {
            code: error.code(),
            message: StrBytes::from_string(message),
        }
    }
}

/// The number of what went wrong, or 0.
pub fn code_of(failure: Option<&Failure>) -> i16 {
    failure
        .map_or(ErrorCode::None, |failure| failure.code)
        .code()
}

impl From<Refusal> for ErrorCode {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::UnknownVersion => ErrorCode::UnsupportedVersion,
            Refusal::BadSoftwareName => ErrorCode::InvalidRequest,
        }
    }
}

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
        GroupError::GroupNotFound => ErrorCode::GroupIdNotFound,
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

impl Coded for ClusterError {
    fn code(&self) -> ErrorCode {
        match self {
            ClusterError::TopicExists { .. } => ErrorCode::TopicAlreadyExists,
            ClusterError::InvalidTopicName { .. } | ClusterError::NameCollision { .. } => {
                ErrorCode::InvalidTopicException
            }
            ClusterError::DuplicateTopic { .. }
            | ClusterError::DuplicateResource { .. }
            | ClusterError::AssignmentsAndCounts
            | ClusterError::MalformedConfig(_)
            | ClusterError::UnknownBroker { .. } => ErrorCode::InvalidRequest,
            ClusterError::InvalidPartitions { .. } | ClusterError::KeyedTableFixed { .. } => {
                ErrorCode::InvalidPartitions
            }
            ClusterError::InvalidReplicationFactor { .. } => ErrorCode::InvalidReplicationFactor,
            ClusterError::InvalidReplicaAssignment { .. } => ErrorCode::InvalidReplicaAssignment,
            ClusterError::InvalidConfig(error) => error.code(),
            ClusterError::UnknownTopic { .. } => ErrorCode::UnknownTopicOrPartition,
            ClusterError::UnknownTopicId { .. } => ErrorCode::UnknownTopicId,
            ClusterError::InternalTopic { .. } | ClusterError::TooManyResources { .. } => {
                ErrorCode::PolicyViolation
            }
            ClusterError::InvalidFeature { .. } => ErrorCode::InvalidUpdateVersion,
            // Neither is the client's doing, and Kafka has no code for them.
            ClusterError::TopicIdTaken { .. } | ClusterError::ProducerIdsExhausted => {
                ErrorCode::UnknownServerError
            }
        }
    }
}

impl Coded for ConfigError {
    fn code(&self) -> ErrorCode {
        match self {
            // Wrong whatever the value is.
            ConfigError::Duplicate { .. } | ConfigError::ReadOnly { .. } => {
                ErrorCode::InvalidRequest
            }
            ConfigError::Unknown { .. }
            | ConfigError::Invalid { .. }
            | ConfigError::Null { .. }
            | ConfigError::NotAList { .. }
            | ConfigError::TooLong { .. }
            | ConfigError::Conflict { .. } => ErrorCode::InvalidConfig,
        }
    }
}

impl Coded for UnknownDirection {
    fn code(&self) -> ErrorCode {
        ErrorCode::InvalidUpdateVersion
    }
}

impl Coded for QuotaError {
    fn code(&self) -> ErrorCode {
        ErrorCode::InvalidRequest
    }
}

impl Coded for UnknownHost {
    fn code(&self) -> ErrorCode {
        ErrorCode::InvalidRequest
    }
}

impl Coded for BadFilter {
    fn code(&self) -> ErrorCode {
        match self {
            BadFilter::UnknownType(_) => ErrorCode::UnsupportedVersion,
            _ => ErrorCode::InvalidRequest,
        }
    }
}

impl Coded for NoAuthorizer {
    fn code(&self) -> ErrorCode {
        ErrorCode::SecurityDisabled
    }
}

impl Coded for NoElection {
    fn code(&self) -> ErrorCode {
        match self {
            NoElection::UnknownKind(_) => ErrorCode::InvalidRequest,
            NoElection::UnknownPartition { .. } => ErrorCode::UnknownTopicOrPartition,
            NoElection::NotNeeded => ErrorCode::ElectionNotNeeded,
            NoElection::Offline => ErrorCode::EligibleLeadersNotAvailable,
        }
    }
}

impl Coded for NotMoved {
    fn code(&self) -> ErrorCode {
        match self {
            NotMoved::UnknownPartition { .. } => ErrorCode::UnknownTopicOrPartition,
            NotMoved::NothingToCancel => ErrorCode::NoReassignmentInProgress,
            NotMoved::NoReplica(_) | NotMoved::OtherReplicas(_) => {
                ErrorCode::InvalidReplicaAssignment
            }
        }
    }
}

impl Coded for QuorumError {
    fn code(&self) -> ErrorCode {
        match self {
            QuorumError::OtherCluster { .. } => ErrorCode::InconsistentClusterId,
            QuorumError::BadVoter(_) | QuorumError::Itself(_) => ErrorCode::InvalidRequest,
            QuorumError::Static => ErrorCode::UnsupportedVersion,
            QuorumError::NotRegistered(_) => ErrorCode::BrokerIdNotRegistered,
        }
    }
}

impl Coded for BadResource {
    fn code(&self) -> ErrorCode {
        ErrorCode::InvalidRequest
    }
}

impl Coded for BadReference {
    fn code(&self) -> ErrorCode {
        match self {
            BadReference::Disabled { version: 3.. } => ErrorCode::TopicDeletionDisabled,
            BadReference::Disabled { .. } | BadReference::Neither | BadReference::Both => {
                ErrorCode::InvalidRequest
            }
        }
    }
}

impl Coded for NoAnswer {
    fn code(&self) -> ErrorCode {
        match self {
            // Clients look for the controller again and retry.
            NoAnswer::Unavailable => ErrorCode::NotController,
            NoAnswer::TimedOut { .. } => ErrorCode::RequestTimedOut,
        }
    }
}

impl Coded for WrongEndpoint {
    fn code(&self) -> ErrorCode {
        match self {
            WrongEndpoint::Controllers => ErrorCode::MismatchedEndpointType,
            WrongEndpoint::Unknown(_) => ErrorCode::UnsupportedEndpointType,
        }
    }
}

impl Coded for init_producer_id::Refusal {
    fn code(&self) -> ErrorCode {
        use init_producer_id::Refusal;
        match self {
            Refusal::EmptyTransactionalId | Refusal::HalfIdentity => ErrorCode::InvalidRequest,
            // Retried as it is; "not available" would make clients look for a coordinator first.
            Refusal::Unavailable => ErrorCode::CoordinatorLoadInProgress,
        }
    }
}

impl Coded for PartitionError {
    fn code(&self) -> ErrorCode {
        match self {
            PartitionError::Unknown => ErrorCode::UnknownTopicOrPartition,
            PartitionError::UnknownId => ErrorCode::UnknownTopicId,
            PartitionError::InconsistentId => ErrorCode::InconsistentTopicId,
            PartitionError::FencedEpoch { .. } => ErrorCode::FencedLeaderEpoch,
            PartitionError::UnknownEpoch { .. } => ErrorCode::UnknownLeaderEpoch,
            PartitionError::NoEpochEnd(_) => ErrorCode::OffsetOutOfRange,
            PartitionError::Read(error) => error.code(),
        }
    }
}

impl Coded for ReadError {
    fn code(&self) -> ErrorCode {
        match self {
            ReadError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            ReadError::Deleted => ErrorCode::UnknownTopicOrPartition,
            ReadError::Damaged(_) | ReadError::Segment(_) | ReadError::Wal(_) => {
                ErrorCode::KafkaStorageError
            }
        }
    }
}

impl Coded for ListError {
    fn code(&self) -> ErrorCode {
        match self {
            ListError::Partition(error) => error.code(),
            ListError::NamedTwice => ErrorCode::InvalidRequest,
            ListError::UnknownTime { .. } => ErrorCode::UnsupportedVersion,
            ListError::Unreadable { .. } => ErrorCode::KafkaStorageError,
        }
    }
}

impl Coded for DeleteError {
    fn code(&self) -> ErrorCode {
        match self {
            DeleteError::Partition(error) => error.code(),
            DeleteError::Internal => ErrorCode::InvalidTopicException,
            DeleteError::Policy => ErrorCode::PolicyViolation,
            DeleteError::NotDurable(_) => ErrorCode::KafkaStorageError,
        }
    }
}

impl Coded for SessionError {
    fn code(&self) -> ErrorCode {
        match self {
            SessionError::Unknown => ErrorCode::FetchSessionIdNotFound,
            SessionError::Epoch => ErrorCode::InvalidFetchSessionEpoch,
            SessionError::KeyKind => ErrorCode::FetchSessionTopicIdError,
        }
    }
}

impl Coded for ProduceError {
    fn code(&self) -> ErrorCode {
        match self {
            ProduceError::Acks(_) => ErrorCode::InvalidRequiredAcks,
            // Final for every client, as it should be until there are transactions.
            ProduceError::NoTransactionalId => ErrorCode::TransactionalIdAuthorizationFailed,
            ProduceError::Unconfirmed(error) => error.code(),
            ProduceError::Target(error) => error.code(),
            ProduceError::Internal => ErrorCode::InvalidTopicException,
            // Java and librdkafka look for the leader and send again until their delivery timeout;
            // librdkafka does not even count it as a retry.
            ProduceError::Importing => ErrorCode::NotLeaderOrFollower,
            ProduceError::Refused(refusal) => refusal.code(),
            ProduceError::Keyed(error) => error.code(),
            ProduceError::Append(error) => error.code(),
        }
    }
}

impl Coded for KeyedError {
    fn code(&self) -> ErrorCode {
        match self {
            KeyedError::Rules(RulesError::Refused(_)) => ErrorCode::InvalidRecord,
            KeyedError::Rules(RulesError::Records(_)) => ErrorCode::CorruptMessage,
            KeyedError::Rules(RulesError::Gone) => ErrorCode::UnknownTopicOrPartition,
            KeyedError::Rules(RulesError::NotSettled(_)) => ErrorCode::KafkaStorageError,
            KeyedError::NoRoom => ErrorCode::RequestTimedOut,
        }
    }
}

impl Coded for LookupError {
    fn code(&self) -> ErrorCode {
        match self {
            LookupError::Topic(error) => error.code(),
            LookupError::NotKeyed
            | LookupError::Columns(_)
            | LookupError::TooManyKeys { .. }
            | LookupError::TooMuch { .. } => ErrorCode::InvalidRequest,
            LookupError::Rows(_) => ErrorCode::KafkaStorageError,
        }
    }
}

impl Coded for ImportRefused {
    fn code(&self) -> ErrorCode {
        match self {
            ImportRefused::Target(error) => error.code(),
            ImportRefused::NotImporting | ImportRefused::Keyed | ImportRefused::ProducerId(_) => {
                ErrorCode::InvalidRequest
            }
            ImportRefused::Batch(error) if error.is_corrupt() => ErrorCode::CorruptMessage,
            ImportRefused::Batch(_) | ImportRefused::Import(_) => ErrorCode::InvalidRecord,
            ImportRefused::ProducerIds(failure) => failure.code,
            ImportRefused::Append(error) => error.code(),
            ImportRefused::NotDurable(_) => ErrorCode::KafkaStorageError,
        }
    }
}

impl Coded for KeyFault {
    fn code(&self) -> ErrorCode {
        match self {
            KeyFault::NoPartition | KeyFault::Ambiguous => ErrorCode::InvalidRequest,
            KeyFault::TimedOut => ErrorCode::RequestTimedOut,
            KeyFault::Undecodable => ErrorCode::InvalidRecord,
            KeyFault::NotReady(NotReady::Loading) => ErrorCode::CoordinatorLoadInProgress,
            KeyFault::NotReady(NotReady::Lost(_)) => ErrorCode::KafkaStorageError,
        }
    }
}

impl Coded for admission::Refusal {
    fn code(&self) -> ErrorCode {
        use admission::Refusal;
        match self {
            refusal if refusal.is_too_large() => ErrorCode::MessageTooLarge,
            Refusal::Batch(error) if error.is_corrupt() => ErrorCode::CorruptMessage,
            Refusal::ZstdTooEarly { .. } | Refusal::Batch(BatchError::UnknownCodec(_)) => {
                ErrorCode::UnsupportedCompressionType
            }
            Refusal::AppendTimeClaimed { .. } => ErrorCode::InvalidTimestamp,
            refusal if refusal.has_bad_timestamp() => ErrorCode::InvalidTimestamp,
            _ => ErrorCode::InvalidRecord,
        }
    }
}

impl Coded for UnknownAction {
    fn code(&self) -> ErrorCode {
        ErrorCode::InvalidRequest
    }
}

impl Coded for UnionError {
    fn code(&self) -> ErrorCode {
        match self {
            UnionError::Topic(error) => error.code(),
            UnionError::Cut(error) => error.code(),
            UnionError::NegativeLease => ErrorCode::InvalidRequest,
        }
    }
}

impl Coded for NoCut {
    fn code(&self) -> ErrorCode {
        match self {
            NoCut::NotTiered | NoCut::Stopped(_) => ErrorCode::InvalidRequest,
            NoCut::NotReady | NoCut::Gap(_) => ErrorCode::CoordinatorLoadInProgress,
            NoCut::LeaseEnded => ErrorCode::ResourceNotFound,
            NoCut::TooManyLeases => ErrorCode::ThrottlingQuotaExceeded,
        }
    }
}

impl Coded for Unconfirmed {
    fn code(&self) -> ErrorCode {
        let (error, version) = match self {
            Unconfirmed::SeveralProducers => return ErrorCode::InvalidProducerIdMapping,
            Unconfirmed::Coordinator { error, version } => (error, *version),
        };
        let told = Told {
            fenced: false,
            abortable: version >= transactional::ABORTABLE_FROM,
        };
        match txn::code(error, told) {
            // Older producers do not send again after these, but after NOT_ENOUGH_REPLICAS.
            ErrorCode::ConcurrentTransactions if version < transactional::V2_FROM => {
                ErrorCode::NotEnoughReplicas
            }
            ErrorCode::CoordinatorNotAvailable | ErrorCode::CoordinatorLoadInProgress => {
                ErrorCode::NotEnoughReplicas
            }
            code => code,
        }
    }
}

impl Coded for Unwritten {
    fn code(&self) -> ErrorCode {
        match self {
            Unwritten::Append(error) => error.code(),
            Unwritten::Refused(refusal) => refusal.code(),
        }
    }
}

impl Coded for WriteRefusal {
    fn code(&self) -> ErrorCode {
        match self {
            WriteRefusal::Transaction(
                TransactionError::NotOpen { .. } | TransactionError::Outside { .. },
            ) => ErrorCode::InvalidTxnState,
            WriteRefusal::Transaction(TransactionError::CoordinatorFenced { .. }) => {
                ErrorCode::TransactionCoordinatorFenced
            }
            WriteRefusal::BelowEnd { .. } => ErrorCode::InvalidRequest,
        }
    }
}

impl Coded for AppendError {
    fn code(&self) -> ErrorCode {
        match self {
            AppendError::Sequence(SequenceError::OutOfOrder { .. }) => {
                ErrorCode::OutOfOrderSequenceNumber
            }
            AppendError::Sequence(SequenceError::StaleEpoch { .. }) => {
                ErrorCode::InvalidProducerEpoch
            }
            AppendError::Deleted => ErrorCode::UnknownTopicOrPartition,
            AppendError::Damaged(_) | AppendError::NoSpace(_) | AppendError::Storage(_) => {
                ErrorCode::KafkaStorageError
            }
        }
    }
}
