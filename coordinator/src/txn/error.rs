//! What the transaction coordinator can refuse, without Kafka's numbers.

/// A refusal. Named beside each is the code Kafka answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TxnError {
    /// `INVALID_REQUEST`
    #[error("a transactional id is needed, of at most {max_bytes} bytes")]
    InvalidTransactionalId { max_bytes: usize },
    /// `INVALID_TRANSACTION_TIMEOUT`
    #[error("the transaction timeout is not within 1..={max_ms} ms")]
    InvalidTimeout { max_ms: i32 },
    /// `INVALID_PRODUCER_ID_MAPPING`
    #[error("the producer id is not the one of this transactional id")]
    ProducerIdMismatch,
    /// `PRODUCER_FENCED`; `INVALID_PRODUCER_EPOCH` before InitProducerId v4, AddPartitionsToTxn v2,
    /// AddOffsetsToTxn v2 and EndTxn v2.
    #[error("a newer producer uses this transactional id, or its epoch was raised")]
    Fenced,
    /// `CONCURRENT_TRANSACTIONS`: worth another try.
    #[error("the transaction before is still being ended")]
    Concurrent,
    /// `INVALID_TXN_STATE`
    #[error("the transaction cannot be ended this way in its present state")]
    InvalidState,
    /// `TRANSACTION_ABORTABLE`, for a partition that is asked about
    #[error("the partition is not part of the transaction")]
    NotInTransaction,
    /// `TRANSACTIONAL_ID_NOT_FOUND`
    #[error("no such transactional id")]
    UnknownTransactionalId,
    /// Grant a block of producer ids and ask again; should none be had, `COORDINATOR_LOAD_IN_PROGRESS`
    #[error("a producer id is needed and none is in store")]
    NoProducerIds,
}
