//! Codes of what storage refuses, or cannot do.

use tidelog_protocol_ext::ErrorCode;
use tidelog_storage::{
    AppendError, ReadError, Refusal as WriteRefusal, SequenceError, TransactionError,
};

use super::Coded;
use crate::log::Unwritten;

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
