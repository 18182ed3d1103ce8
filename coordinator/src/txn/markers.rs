//! Markers that have still to be written, and the writer that asks for them.
//!
//! ```text
//! Prepare record ─▶ unoffered ─▶ TakeWork's answer (durable by then) ─▶ MarkersWritten … ─▶ Complete
//! ```
//! Nothing here is durable: a restart finds the Prepare records in the log and offers all of them
//! again. A transaction is complete when every partition has been reported.

use std::collections::{BTreeMap, VecDeque};

use super::Transactions;
use super::command::{Markers, MarkersWritten, TxnReply, Work};
use super::durable::Durable;
use super::partitions::Partitions;
use super::record::TxnRecord;
use super::transaction::Transaction;
use super::turn::Turn;
use crate::machine::{Decision, Token};

/// Transactions handed out with one answer; the rest waits for the writer's next call.
const OFFERED_MAX: usize = 256;

/// Transactions on their way from Prepare to Complete.
#[derive(Debug, Default)]
pub(super) struct Endings {
    /// Partitions that have not been reported.
    open: BTreeMap<String, Partitions>,
    /// Oldest first.
    unoffered: VecDeque<Markers>,
    needs_producer_ids: bool,
    writer: Option<Token>,
}

impl Endings {
    /// Follows the log.
    pub(super) fn apply(&mut self, record: &TxnRecord) {
        let ending = record
            .value
            .as_ref()
            .filter(|value| value.state.ending().is_some());
        match ending {
            Some(value) => {
                let id = record.transactional_id.clone();
                self.open.insert(id, value.partitions.clone());
            }
            None => {
                self.open.remove(&record.transactional_id);
            }
        }
    }

    /// Offers everything that is open.
    pub(super) fn offer_all(&mut self, durable: &Durable, coordinator_epoch: i32) {
        let markers = self.open.iter().filter_map(|(id, rest)| {
            let value = durable.get(id)?;
            markers(id, value, rest, coordinator_epoch)
        });
        self.unoffered = markers.collect();
    }

    pub(super) const fn ask_for_producer_ids(&mut self) {
        self.needs_producer_ids = true;
    }

    pub(super) const fn producer_ids_granted(&mut self) {
        self.needs_producer_ids = false;
    }

    pub(super) fn is_writer(&self, token: Token) -> bool {
        self.writer == Some(token)
    }

    /// The writer's call is gone, and with it nothing: it had not been answered.
    pub(super) const fn writer_left(&mut self) {
        self.writer = None;
    }

    fn work(&mut self) -> Option<Work> {
        if self.unoffered.is_empty() && !self.needs_producer_ids {
            return None;
        }
        let count = self.unoffered.len().min(OFFERED_MAX);
        Some(Work {
            markers: self.unoffered.drain(..count).collect(),
            needs_producer_ids: std::mem::take(&mut self.needs_producer_ids),
        })
    }
}

impl Transactions {
    /// There is one writer: an earlier call that still waits is sent home with nothing.
    pub(super) fn take_work(&mut self, token: Token, anew: bool, turn: &mut Turn) {
        if let Some(earlier) = self.endings.writer.replace(token) {
            turn.reply(earlier, TxnReply::TakeWork(Work::default()));
        }
        if anew {
            self.endings
                .offer_all(&self.durable, self.coordinator_epoch);
        }
    }

    pub(super) fn markers_written(&mut self, written: &MarkersWritten, turn: &mut Turn) {
        let id = &written.transactional_id;
        let present = self.durable.get(id);
        let Some(present) = present.filter(|present| present.producer == written.producer) else {
            return;
        };
        let (Some(outcome), Some(rest)) = (present.state.ending(), self.endings.open.get_mut(id))
        else {
            return;
        };
        for partition in &written.partitions {
            rest.remove(partition);
        }
        if rest.is_empty() {
            turn.write(id, Some(present.completed(outcome, turn.now_ms)));
        }
    }

    /// Ends a turn: new markers go to the writer if it waits, in this very decision, so that they
    /// leave as soon as their Prepare records are durable.
    pub(super) fn finish(&mut self, turn: Turn) -> Decision<TxnRecord, TxnReply> {
        let mut decision = turn.into_decision();
        for TxnRecord {
            transactional_id,
            value,
        } in &decision.records
        {
            let new = value.as_ref().and_then(|value| {
                markers(
                    transactional_id,
                    value,
                    &value.partitions,
                    self.coordinator_epoch,
                )
            });
            self.endings.unoffered.extend(new);
        }
        if let Some(writer) = self.endings.writer
            && let Some(work) = self.endings.work()
        {
            self.endings.writer = None;
            decision.replies.push((writer, TxnReply::TakeWork(work)));
        }
        decision
    }
}

/// What ends `value` in the partitions of `rest`; nothing if there are none.
fn markers(
    id: &str,
    value: &Transaction,
    rest: &Partitions,
    coordinator_epoch: i32,
) -> Option<Markers> {
    let outcome = value.state.ending()?;
    (!rest.is_empty()).then(|| Markers {
        transactional_id: id.to_owned(),
        producer: value.producer,
        coordinator_epoch,
        outcome,
        version: value.version,
        partitions: rest.to_vec(),
    })
}
