//! AddPartitionsToTxn, AddOffsetsToTxn and their verification: what belongs to a transaction.

use super::Transactions;
use super::command::{AddPartitions, PartitionVerified, VerifyPartitions};
use super::error::TxnError;
use super::transaction::Transaction;
use super::turn::Turn;
use crate::producer::Producer;

impl Transactions {
    /// Begins the transaction if none is under way; partitions that are known already cost nothing.
    pub(super) fn add_partitions(
        &self,
        add: AddPartitions,
        turn: &mut Turn,
    ) -> Result<(), TxnError> {
        let present = self.open_for(&add.transactional_id, add.producer)?;
        let known = |partition| present.partitions.contains(partition);
        if present.state.is_settled() || !add.partitions.iter().all(known) {
            let next = present.joined_by(add.partitions, add.version, turn.now_ms);
            turn.write(&add.transactional_id, Some(next));
        }
        Ok(())
    }

    pub(super) fn verify_partitions(
        &self,
        verify: VerifyPartitions,
    ) -> Result<Vec<PartitionVerified>, TxnError> {
        let present = self.open_for(&verify.transactional_id, verify.producer)?;
        let verified = |partition| {
            let result = if present.partitions.contains(&partition) {
                Ok(())
            } else {
                Err(TxnError::NotInTransaction)
            };
            (partition, result)
        };
        Ok(verify.partitions.into_iter().map(verified).collect())
    }

    /// The transaction of exactly this producer, unless it is being ended.
    fn open_for(&self, id: &str, producer: Producer) -> Result<&Transaction, TxnError> {
        super::check_id(id)?;
        let present = self.durable.get(id).ok_or(TxnError::ProducerIdMismatch)?;
        if present.producer.id != producer.id {
            Err(TxnError::ProducerIdMismatch)
        } else if present.producer.epoch != producer.epoch {
            Err(TxnError::Fenced)
        } else if present.state.ending().is_some() {
            Err(TxnError::Concurrent)
        } else {
            Ok(present)
        }
    }
}
