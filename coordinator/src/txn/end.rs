//! EndTxn: the outcome is decided here. Once the Prepare record is durable it cannot be changed;
//! what remains is to write the markers, which a restart only delays.
//!
//! In version 2 a client's epoch grows with every transaction it ends, so a repeated request is
//! told from the next one by its epoch:
//!
//! | state | abort, repeated | abort, present epoch | commit, repeated | commit, present epoch |
//! |---|---|---|---|---|
//! | Empty | fenced | aborts nothing | fenced | invalid |
//! | CompleteAbort | done | aborts nothing | invalid | invalid |
//! | CompleteCommit | invalid | aborts nothing | done | invalid |
//! | Prepare… | its own: wait; else invalid | wait | its own: wait; else invalid | wait |
//!
//! Before version 2 the epoch must be the present one, Complete states answer their own outcome
//! again, and nothing can be aborted that was not begun. Source: KIP-890, KIP-98.

use super::Transactions;
use super::command::EndTxn;
use super::error::TxnError;
use super::state::{TransactionVersion, TxnState};
use super::transaction::{EPOCH_LAST, Transaction};
use super::turn::Turn;
use crate::producer::{Outcome, Producer};

/// What a permitted EndTxn comes to.
enum Verdict {
    /// It was a repetition.
    Done,
    Prepare,
}

impl Transactions {
    pub(super) fn end_txn(&mut self, end: &EndTxn, turn: &mut Turn) -> Result<Producer, TxnError> {
        let id = &end.transactional_id;
        super::check_id(id)?;
        let present = self.durable.get(id).ok_or(TxnError::ProducerIdMismatch)?;
        let verdict = if end.version.bumps_epoch() {
            judge_by_epoch(present, end)?
        } else {
            judge_by_state(present, end)?
        };
        if matches!(verdict, Verdict::Done) {
            return Ok(present.producer);
        }
        let exhausted = end.version.bumps_epoch() && present.is_exhausted();
        let next_producer_id = exhausted.then(|| self.producer_ids.take()).transpose()?;
        let prepared = present.prepared(end.outcome, end.version, next_producer_id, turn.now_ms);
        // What the client goes on with is what completion will leave.
        let producer = prepared.completed(end.outcome, turn.now_ms).producer;
        prepare(id, prepared, end.outcome, turn);
        Ok(producer)
    }

    /// Aborts an ongoing transaction on nobody's behalf: it timed out, or a new client comes.
    pub(super) fn abort_by_coordinator(
        &mut self,
        id: &str,
        turn: &mut Turn,
    ) -> Result<(), TxnError> {
        let Some(present) = self.durable.get(id) else {
            return Ok(());
        };
        if present.state != TxnState::Ongoing {
            return Ok(());
        }
        let aborted = if self.settings.version.bumps_epoch() {
            let exhausted = present.is_exhausted();
            let next_producer_id = exhausted.then(|| self.producer_ids.take()).transpose()?;
            present.prepared(
                Outcome::Abort,
                TransactionVersion::V2,
                next_producer_id,
                turn.now_ms,
            )
        } else {
            present.fenced(turn.now_ms)
        };
        prepare(id, aborted, Outcome::Abort, turn);
        Ok(())
    }
}

/// Writes the outcome; a transaction without partitions needs no marker and is complete with it.
fn prepare(id: &str, prepared: Transaction, outcome: Outcome, turn: &mut Turn) {
    let complete = prepared
        .partitions
        .is_empty()
        .then(|| prepared.completed(outcome, turn.now_ms));
    turn.write(id, Some(prepared));
    if complete.is_some() {
        turn.write(id, complete);
    }
}

/// Before version 2.
fn judge_by_state(present: &Transaction, end: &EndTxn) -> Result<Verdict, TxnError> {
    if present.producer.id != end.producer.id {
        return Err(TxnError::ProducerIdMismatch);
    }
    if present.producer.epoch != end.producer.epoch {
        return Err(TxnError::Fenced);
    }
    if present.state == TxnState::Ongoing {
        Ok(Verdict::Prepare)
    } else if present.state.ended() == Some(end.outcome) {
        Ok(Verdict::Done)
    } else if present.state.ending() == Some(end.outcome) {
        Err(TxnError::Concurrent)
    } else {
        Err(TxnError::InvalidState)
    }
}

/// Version 2.
fn judge_by_epoch(present: &Transaction, end: &EndTxn) -> Result<Verdict, TxnError> {
    let Producer { id, epoch } = present.producer;
    let held = end.producer.epoch;
    // The end of the last epoch of an id: the client is still to learn its new one.
    let at_overflow =
        present.previous_producer_id == end.producer.id && held == EPOCH_LAST && epoch == 0;
    if id != end.producer.id && !at_overflow {
        return Err(TxnError::ProducerIdMismatch);
    }
    // Kafka does not ask who held that epoch; a client of version 2 that was replaced by one of
    // before would be told that its transaction is what the other made of its own.
    let repeated =
        held == present.last_epoch && (at_overflow || held.checked_add(1) == Some(epoch));
    let present_epoch = end.producer.epoch == epoch;
    let valid = match present.state {
        TxnState::Empty | TxnState::Ongoing => present_epoch,
        // The next one came before the markers of the last were written: it has to wait.
        TxnState::PrepareCommit | TxnState::PrepareAbort if present_epoch => {
            return Err(TxnError::Concurrent);
        }
        TxnState::PrepareCommit | TxnState::PrepareAbort => repeated && !at_overflow,
        TxnState::CompleteCommit | TxnState::CompleteAbort => repeated || present_epoch,
    };
    if !valid {
        return Err(TxnError::Fenced);
    }
    match (present.state, end.outcome) {
        (TxnState::Ongoing, _) | (TxnState::Empty, Outcome::Abort) => Ok(Verdict::Prepare),
        (state, outcome) if repeated && state.ended() == Some(outcome) => Ok(Verdict::Done),
        (state, Outcome::Abort) if !repeated && state.ended().is_some() => Ok(Verdict::Prepare),
        (state, outcome) if state.ending() == Some(outcome) => Err(TxnError::Concurrent),
        _ => Err(TxnError::InvalidState),
    }
}
