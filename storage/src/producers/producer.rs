//! One producer in one partition.

use std::collections::VecDeque;

use tidelog_records::BatchHeader;
use tidelog_records::control::TxnMarker;

use super::terms::{MarkerRule, Terms, Verification};
use super::verdict::{ProducerError, Sequence, SequenceError, TransactionError};
use crate::ids::{Offset, Timestamp};
use crate::manifest::{OpenTransaction, ProducerBatch, ProducerState};

/// Batches remembered per producer: the most an idempotent client keeps in flight.
pub const BATCHES_REMEMBERED: usize = 5;

/// What is known of one producer id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Producer {
    pub epoch: i16,
    /// Oldest first, at most [`BATCHES_REMEMBERED`].
    pub batches: VecDeque<ProducerBatch>,
    /// When it last appended, by the broker's clock.
    pub last_seen: Timestamp,
    /// Of the coordinator that sent the newest marker.
    pub coordinator_epoch: Option<i32>,
    pub transaction: Option<Transaction>,
    /// Where its newest marker stands, if that was seen; −1 without.
    last_marker: Offset,
}

/// A transaction that has no marker yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transaction {
    pub first_offset: Offset,
    /// Timestamp of its first batch, −1 if that had none.
    pub started: Timestamp,
}

impl From<&OpenTransaction> for Transaction {
    fn from(open: &OpenTransaction) -> Self {
        Self {
            first_offset: open.first_offset,
            started: open.started.unwrap_or(-1),
        }
    }
}

/// From a manifest; open transactions stand there by themselves.
impl From<&ProducerState> for Producer {
    fn from(state: &ProducerState) -> Self {
        Self {
            batches: state.batches.iter().copied().collect(),
            last_seen: state.last_timestamp,
            coordinator_epoch: state.coordinator_epoch,
            ..Self::new(state.epoch)
        }
    }
}

impl Producer {
    pub(super) fn new(epoch: i16) -> Self {
        Self {
            epoch,
            batches: VecDeque::new(),
            last_seen: Timestamp::MIN,
            coordinator_epoch: None,
            transaction: None,
            last_marker: -1,
        }
    }

    /// The batch, if it was written before and is remembered.
    fn resent(&self, batch: &BatchHeader) -> Option<ProducerBatch> {
        if batch.producer_epoch != self.epoch {
            return None;
        }
        let same = |known: &&ProducerBatch| {
            known.first_sequence == batch.base_sequence
                && known.last_sequence == batch.last_sequence()
        };
        self.batches.iter().find(same).copied()
    }

    /// An epoch's sequences begin anew.
    pub(super) fn enter(&mut self, epoch: i16) {
        if epoch != self.epoch {
            self.batches.clear();
            self.epoch = epoch;
        }
    }

    /// Remembers a data batch; answers the transaction that it opens.
    pub(super) fn write(&mut self, batch: &BatchHeader) -> Option<Transaction> {
        if batch.base_sequence >= 0 {
            if self.batches.len() == BATCHES_REMEMBERED {
                self.batches.pop_front();
            }
            self.batches.push_back(ProducerBatch {
                first_sequence: batch.base_sequence,
                last_sequence: batch.last_sequence(),
                base_offset: batch.base_offset,
                last_offset: batch.last_offset(),
                timestamp: batch.max_timestamp,
            });
        }
        if !batch.is_transactional() || self.transaction.is_some() {
            return None;
        }
        self.transaction = Some(Transaction {
            first_offset: batch.base_offset,
            started: batch.max_timestamp,
        });
        self.transaction
    }

    /// Judges a marker of it.
    pub(super) fn check_marker(
        &self,
        batch: &BatchHeader,
        marker: TxnMarker,
        rule: MarkerRule,
    ) -> Result<(), ProducerError> {
        let is_repetition = batch.producer_epoch == self.epoch && self.transaction.is_none();
        let follows = match rule {
            MarkerRule::AtLeast => batch.producer_epoch >= self.epoch,
            MarkerRule::Above => batch.producer_epoch > self.epoch || is_repetition,
        };
        if !follows {
            return Err(self.fences(batch).into());
        }
        let got = marker.coordinator_epoch;
        match self.coordinator_epoch {
            Some(current) if got < current => {
                Err(TransactionError::CoordinatorFenced { current, got }.into())
            }
            _ => Ok(()),
        }
    }

    fn fences(&self, batch: &BatchHeader) -> SequenceError {
        SequenceError::StaleEpoch {
            current: self.epoch,
            got: batch.producer_epoch,
        }
    }

    /// As a manifest keeps it.
    pub(super) fn state(&self, producer_id: i64) -> ProducerState {
        ProducerState {
            producer_id,
            epoch: self.epoch,
            batches: self.batches.iter().copied().collect(),
            last_timestamp: self.last_seen,
            coordinator_epoch: self.coordinator_epoch,
        }
    }

    /// Takes a marker; answers the transaction that it ends.
    pub(super) fn end(&mut self, batch: &BatchHeader, marker: TxnMarker) -> Option<Transaction> {
        self.coordinator_epoch = Some(marker.coordinator_epoch);
        self.last_marker = batch.base_offset;
        self.transaction.take()
    }
}

/// Judges a data batch of a producer id that is `known` or not.
pub(super) fn check(
    known: Option<&Producer>,
    batch: &BatchHeader,
    terms: Terms,
) -> Result<Sequence, ProducerError> {
    if let Some(known) = known {
        if let Some(span) = known.resent(batch) {
            return Ok(Sequence::Duplicate(span));
        }
        if batch.producer_epoch < known.epoch {
            return Err(known.fences(batch).into());
        }
    }
    check_transaction(known, batch, terms.verification)?;
    check_sequence(known, batch, terms.transactions_v2)?;
    Ok(Sequence::Next)
}

/// The epoch is not a stale one.
fn check_transaction(
    known: Option<&Producer>,
    batch: &BatchHeader,
    verification: Verification,
) -> Result<(), TransactionError> {
    let producer_id = batch.producer_id;
    // Only a marker ends a transaction, and no producer sends those.
    if batch.is_control() {
        return Err(TransactionError::NotOpen { producer_id });
    }
    let open = known.filter(|known| known.transaction.is_some());
    if !batch.is_transactional() {
        return match open {
            Some(_) => Err(TransactionError::Outside { producer_id }),
            None => Ok(()),
        };
    }
    if open.is_some_and(|open| open.epoch == batch.producer_epoch) {
        return Ok(());
    }
    let last_marker = known.map_or(-1, |known| known.last_marker);
    let verified = match verification {
        Verification::None => false,
        // A marker since then ended the transaction that was asked for.
        Verification::Since(guard) => last_marker < guard.end,
        Verification::Waived => true,
    };
    match verified {
        true => Ok(()),
        false => Err(TransactionError::NotOpen { producer_id }),
    }
}

/// The epoch is not a stale one.
fn check_sequence(
    known: Option<&Producer>,
    batch: &BatchHeader,
    transactions_v2: bool,
) -> Result<(), SequenceError> {
    let got = batch.base_sequence;
    let expected = match known {
        _ if got < 0 => return Ok(()),
        None if transactions_v2 => 0,
        None => return Ok(()),
        Some(known) if known.epoch == batch.producer_epoch => match known.batches.back() {
            Some(last) => next_sequence(last.last_sequence),
            None => 0,
        },
        Some(_) => 0,
    };
    match expected == got {
        true => Ok(()),
        false => Err(SequenceError::OutOfOrder { expected, got }),
    }
}

/// Sequences wrap from `i32::MAX` to 0.
fn next_sequence(last: i32) -> i32 {
    if last == i32::MAX { 0 } else { last + 1 }
}
