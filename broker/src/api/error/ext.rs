//! Codes of the APIs of our own.

use tidelog_protocol_ext::ErrorCode;

use super::Coded;
use crate::api::ext::import_records::ImportRefused;
use crate::api::ext::key_tables::{KeyFault, NotKeyed};
use crate::api::ext::lookup::LookupError;
use crate::api::ext::tier_status::UnknownAction;
use crate::api::ext::union_read_offsets::UnionError;
use crate::jobs::lake::state::NoCut;
use crate::owners::keyed::NotReady;

impl Coded for NotKeyed {
    fn code(&self) -> ErrorCode {
        match self {
            NotKeyed::Topic(error) => error.code(),
            NotKeyed::NoKey | NotKeyed::Columns(_) => ErrorCode::InvalidRequest,
        }
    }
}

impl Coded for LookupError {
    fn code(&self) -> ErrorCode {
        match self {
            LookupError::NotKeyed(error) => error.code(),
            LookupError::TooManyKeys { .. } | LookupError::TooMuch { .. } => {
                ErrorCode::InvalidRequest
            }
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
            KeyFault::NoPartition | KeyFault::Ambiguous | KeyFault::BadCursor => {
                ErrorCode::InvalidRequest
            }
            KeyFault::TimedOut => ErrorCode::RequestTimedOut,
            KeyFault::Undecodable => ErrorCode::InvalidRecord,
            KeyFault::NotReady(NotReady::Loading) => ErrorCode::CoordinatorLoadInProgress,
            KeyFault::NotReady(NotReady::Lost(_)) => ErrorCode::KafkaStorageError,
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
