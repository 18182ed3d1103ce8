//! Producers of a partition at one point of its log: what each last wrote, so that a resent batch is
//! recognised, and which transaction each has open.
//!
//! Kafka's rules (KIP-98, KIP-360, KIP-890; `ProducerAppendInfo`, `ProducerStateManager`):
//! - The last five batches of a producer are remembered; an exact resend answers the original
//!   offset; anything else must be next in sequence; a new epoch starts at sequence 0; a producer
//!   nobody remembers may start anywhere, unless it speaks transactions version 2.
//! - A transaction opens with the first transactional batch and ends with a marker, which also
//!   fences: what has a lower epoch is refused from then on.
//! - Who is silent for long is forgotten, but never while a transaction of his is open.
//!
//! The state is a fold over batches in offset order ([`Producers::apply`]): the same for appends, for
//! what a flush carries into the manifest, and for replay.

mod producer;
mod terms;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::{BTreeMap, HashMap};

use tidelog_records::BatchHeader;
use tidelog_records::control::{Outcome, TxnMarker};

use crate::ids::{Offset, Timestamp};
use crate::manifest::{OpenTransaction, ProducerState};

pub use producer::{Producer, Transaction};
pub use terms::{MarkerRule, Terms, Verification, VerificationGuard};
pub use verdict::{ProducerError, Sequence, SequenceError, TransactionError};

/// Producers remembered per partition, those with an open transaction not counted: beyond, the most
/// silent are forgotten. About 13 MiB; a client that invents ids gets no further.
const PRODUCERS_MAX: usize = 32_768;
/// Share of them that goes at once, so that the search for the most silent pays.
const FORGOTTEN_SHARE: usize = 8;

/// A batch under its final offsets, as far as producers are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub header: BatchHeader,
    /// What a control batch says.
    pub marker: Option<TxnMarker>,
}

/// A transaction that just ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    pub producer_id: i64,
    pub first_offset: Offset,
    /// The marker's.
    pub last_offset: Offset,
    pub outcome: Outcome,
    /// First offset of the oldest transaction still open, or the one after the marker.
    pub last_stable_offset: Offset,
}

/// All producers of a partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Producers {
    by_id: HashMap<i64, Producer>,
    /// First offset of each open transaction, and whose it is.
    open: BTreeMap<Offset, i64>,
    /// Everything below was taken in.
    to: Offset,
}

impl Producers {
    /// Judges a batch without remembering it. Batches without producer id are always next, those
    /// without a sequence (a coordinator's) are judged by their epoch alone.
    ///
    /// # Errors
    /// [`ProducerError`].
    pub fn check(&self, batch: &BatchHeader, terms: Terms) -> Result<Sequence, ProducerError> {
        if !batch.has_producer_id() {
            return Ok(Sequence::Next);
        }
        producer::check(self.by_id.get(&batch.producer_id), batch, terms)
    }

    /// Judges a marker without remembering it. One that finds nothing to end is no error.
    ///
    /// # Errors
    /// [`ProducerError`]: the producer's epoch is too low, or the coordinator's.
    pub fn check_marker(
        &self,
        batch: &BatchHeader,
        marker: TxnMarker,
        rule: MarkerRule,
    ) -> Result<(), ProducerError> {
        match self.by_id.get(&batch.producer_id) {
            Some(known) => known.check_marker(batch, marker, rule),
            None => Ok(()),
        }
    }

    /// Takes a batch in, under its final offsets; answers the transaction that it ends. What lies
    /// below the offset that the state was restored at, or that was taken in before, does nothing.
    pub fn apply(&mut self, entry: &Entry, now: Timestamp) -> Option<Ended> {
        let batch = &entry.header;
        if batch.last_offset() < self.to {
            return None;
        }
        self.to = batch.last_offset() + 1;
        // Without a marker its record was compacted away: the transaction ended long before.
        let is_hollow = batch.is_control() && entry.marker.is_none();
        if !batch.has_producer_id() || is_hollow {
            return None;
        }
        let producer_id = batch.producer_id;
        if !self.by_id.contains_key(&producer_id) {
            self.make_room();
        }
        let new = || Producer::new(batch.producer_epoch);
        let producer = self.by_id.entry(producer_id).or_insert_with(new);
        producer.last_seen = producer.last_seen.max(now);
        producer.enter(batch.producer_epoch);
        let Some(marker) = entry.marker else {
            let transaction = producer.write(batch)?;
            self.open.insert(transaction.first_offset, producer_id);
            return None;
        };
        let Transaction { first_offset, .. } = producer.end(batch, marker)?;
        self.open.remove(&first_offset);
        let last_offset = batch.last_offset();
        Some(Ended {
            producer_id,
            first_offset,
            last_offset,
            outcome: marker.outcome,
            last_stable_offset: self.first_open().unwrap_or(last_offset + 1),
        })
    }

    /// First offset of the oldest open transaction.
    pub fn first_open(&self) -> Option<Offset> {
        self.open.first_key_value().map(|(offset, _)| *offset)
    }

    /// Open transactions and whose they are, oldest first.
    pub fn open(&self) -> impl Iterator<Item = (i64, Transaction)> {
        let transaction = |id: &i64| Some((*id, self.by_id.get(id)?.transaction?));
        self.open.values().filter_map(transaction)
    }

    pub fn get(&self, producer_id: i64) -> Option<&Producer> {
        self.by_id.get(&producer_id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (i64, &Producer)> {
        self.by_id.iter().map(|(id, producer)| (*id, producer))
    }

    /// The present moment, for [`Verification::Since`].
    pub fn guard(&self, leader_epoch: i32) -> VerificationGuard {
        VerificationGuard {
            end: self.to,
            leader_epoch,
        }
    }

    /// Forgets producers silent for longer than `idle_ms_max`.
    pub fn expire(&mut self, now: Timestamp, idle_ms_max: i64) {
        self.by_id.retain(|_, producer| {
            producer.transaction.is_some() || now.saturating_sub(producer.last_seen) <= idle_ms_max
        });
    }

    fn make_room(&mut self) {
        if self.by_id.len() - self.open.len().min(self.by_id.len()) < PRODUCERS_MAX {
            return;
        }
        let idle = self.iter().filter(|(_, p)| p.transaction.is_none());
        let mut idle: Vec<_> = idle
            .map(|(id, producer)| (producer.last_seen, id))
            .collect();
        let count = idle.len() / FORGOTTEN_SHARE;
        if count == 0 {
            return;
        }
        let (longest_silent, ..) = idle.select_nth_unstable(count);
        for (_, id) in longest_silent {
            self.by_id.remove(id);
        }
    }

    /// As a manifest keeps them, by ascending id.
    pub fn snapshot(&self) -> Vec<ProducerState> {
        let mut states: Vec<_> = self
            .iter()
            .map(|(producer_id, producer)| producer.state(producer_id))
            .collect();
        states.sort_by_key(|state| state.producer_id);
        states
    }

    /// As a manifest keeps them, by ascending first offset.
    pub fn open_transactions(&self) -> Vec<OpenTransaction> {
        let open = self
            .open()
            .map(|(producer_id, transaction)| OpenTransaction {
                producer_id,
                first_offset: transaction.first_offset,
                started: Some(transaction.started).filter(|started| *started >= 0),
            });
        open.collect()
    }

    /// From a manifest, as of offset `to`.
    pub fn restore(states: &[ProducerState], open: &[OpenTransaction], to: Offset) -> Self {
        let states = states.iter();
        let mut by_id: HashMap<i64, Producer> = states
            .map(|state| (state.producer_id, state.into()))
            .collect();
        for transaction in open {
            let id = transaction.producer_id;
            let known = by_id.entry(id).or_insert_with(|| Producer::new(-1));
            known.transaction = Some(transaction.into());
        }
        let open = open
            .iter()
            .map(|open| (open.first_offset, open.producer_id));
        let open = open.collect();
        Self { by_id, open, to }
    }
}
