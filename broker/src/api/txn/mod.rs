//! APIs of the transaction coordinator and what looks at its work (KIP-98, KIP-447, KIP-664, KIP-890).
//!
//! Each handler turns one request of any version into one domain command, asks
//! [`Transactions`](crate::owners::transactions::Transactions) and shapes the answer. Version quirks
//! end here, and so does the choice of codes that differ by version.

pub mod add_offsets_to_txn;
pub mod add_partitions_to_txn;
pub mod describe_producers;
pub mod describe_transactions;
pub mod end_txn;
pub mod list_transactions;
pub mod txn_offset_commit;
pub mod write_txn_markers;

use tidelog_coordinator::producer::Producer;
use tidelog_coordinator::txn::TxnError;
use tidelog_protocol_ext::ErrorCode;

use crate::owners::transactions::TransactionsError;

/// What the version of a request lets it be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// PRODUCER_FENCED; INVALID_PRODUCER_EPOCH before (KIP-588).
    pub fenced: bool,
    /// TRANSACTION_ABORTABLE; INVALID_TXN_STATE before (KIP-890).
    pub abortable: bool,
}

/// The code of a refusal.
pub fn code(error: &TransactionsError, told: Told) -> ErrorCode {
    let error = match error {
        TransactionsError::Refused(error) => error,
        TransactionsError::NoOwner(_) | TransactionsError::Unavailable(_) => {
            return ErrorCode::CoordinatorNotAvailable;
        }
    };
    code_of(error, told)
}

/// The code of a refusal by the coordinator itself.
pub fn code_of(error: &TxnError, told: Told) -> ErrorCode {
    match error {
        TxnError::InvalidTransactionalId { .. } => ErrorCode::InvalidRequest,
        TxnError::InvalidTimeout { .. } => ErrorCode::InvalidTransactionTimeout,
        TxnError::ProducerIdMismatch => ErrorCode::InvalidProducerIdMapping,
        TxnError::Fenced if told.fenced => ErrorCode::ProducerFenced,
        TxnError::Fenced => ErrorCode::InvalidProducerEpoch,
        TxnError::Concurrent => ErrorCode::ConcurrentTransactions,
        TxnError::InvalidState => ErrorCode::InvalidTxnState,
        TxnError::NotInTransaction if told.abortable => ErrorCode::TransactionAbortable,
        TxnError::NotInTransaction => ErrorCode::InvalidTxnState,
        TxnError::UnknownTransactionalId => ErrorCode::TransactionalIdNotFound,
        TxnError::NoProducerIds => ErrorCode::CoordinatorLoadInProgress,
    }
}

/// The producer a request speaks for.
fn producer(id: kafka_protocol::messages::ProducerId, epoch: i16) -> Producer {
    Producer::new(id.0, epoch)
}
