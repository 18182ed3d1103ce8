//! What becomes of a producer's batch, and why it may not be.

use crate::manifest::ProducerBatch;

/// Verdict over a batch with a producer id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sequence {
    Next,
    /// Written before, there.
    Duplicate(ProducerBatch),
}

/// Why a batch does not follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SequenceError {
    #[error("out of order sequence: expected {expected}, got {got}")]
    OutOfOrder { expected: i32, got: i32 },
    #[error("producer epoch {got} is older than {current}")]
    StaleEpoch { current: i16, got: i16 },
}

/// Why a batch is against the rules of transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// Kafka: INVALID_TXN_STATE.
    #[error("producer {producer_id} has no transaction here that its coordinator is known to know")]
    NotOpen { producer_id: i64 },
    /// Kafka: INVALID_TXN_STATE.
    #[error("producer {producer_id} has a transaction open, and the batch is not part of it")]
    Outside { producer_id: i64 },
    /// Kafka: TRANSACTION_COORDINATOR_FENCED.
    #[error("the marker of coordinator epoch {got} comes after one of epoch {current}")]
    CoordinatorFenced { current: i32, got: i32 },
}

/// Why a producer's batch or marker is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProducerError {
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    #[error(transparent)]
    Transaction(#[from] TransactionError),
}
