//! Codes of what is refused about records: produced, fetched, listed and deleted.

use tidelog_keyed::CheckError;
use tidelog_protocol_ext::ErrorCode;
use tidelog_records::BatchError;

use super::Coded;
use crate::api::data::admission;
use crate::api::data::delete_records::DeleteError;
use crate::api::data::fetch_session::SessionError;
use crate::api::data::keyed::KeyedError;
use crate::api::data::list_offsets::ListError;
use crate::api::data::target::PartitionError;
use crate::api::data::transactional::{self, Unconfirmed};
use crate::api::data::write::ProduceError;
use crate::api::txn::{self, Told};
use crate::owners::keyed::RulesError;

impl Coded for PartitionError {
    fn code(&self) -> ErrorCode {
        match self {
            PartitionError::Unknown => ErrorCode::UnknownTopicOrPartition,
            PartitionError::UnknownId => ErrorCode::UnknownTopicId,
            PartitionError::InconsistentId => ErrorCode::InconsistentTopicId,
            PartitionError::FencedEpoch { .. } => ErrorCode::FencedLeaderEpoch,
            PartitionError::UnknownEpoch { .. } => ErrorCode::UnknownLeaderEpoch,
            PartitionError::NoEpochEnd(_) => ErrorCode::OffsetOutOfRange,
            // Final for every client.
            PartitionError::IsView { .. } => ErrorCode::InvalidTopicException,
            PartitionError::View(_) => ErrorCode::KafkaStorageError,
            PartitionError::Read(error) => error.code(),
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
            ProduceError::NotDecoded(_) => ErrorCode::InvalidRecord,
            ProduceError::Keyed(error) => error.code(),
            ProduceError::Rows(error) => error.code(),
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
            KeyedError::Check(CheckError::Refused { .. }) => ErrorCode::InvalidRecord,
            KeyedError::Check(CheckError::Fold(_)) => ErrorCode::CorruptMessage,
            KeyedError::NoRoom => ErrorCode::RequestTimedOut,
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
