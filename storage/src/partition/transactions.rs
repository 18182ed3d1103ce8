//! What others ask a partition about its producers and their transactions.

use super::{Partition, ReadError};
use crate::ids::{Offset, Timestamp};
use crate::manifest::AbortedTransaction;
use crate::producers::{Producer, VerificationGuard};

/// One producer, as KIP-664 (DescribeProducers) shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerView {
    pub producer_id: i64,
    pub epoch: i16,
    /// −1 if none of its batches is remembered.
    pub last_sequence: i32,
    /// Of its last batch; without one, when it was last heard of.
    pub last_timestamp: Timestamp,
    /// Of the coordinator that last ended a transaction of it, −1 before the first.
    pub coordinator_epoch: i32,
    /// −1 without an open transaction.
    pub transaction_start: Offset,
}

/// The open transactions of a partition, in sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenTransactions {
    pub count: usize,
    /// Timestamp of the first batch of the oldest one, −1 if it has none; `None` without one.
    pub oldest_started: Option<Timestamp>,
}

impl Partition {
    /// Producers of the durable log, by ascending id.
    pub fn producers(&self) -> Vec<ProducerView> {
        let log = self.log_state();
        let producers = log.settled.producers().iter();
        let mut views: Vec<_> = producers.map(|(id, producer)| view(id, producer)).collect();
        drop(log);
        views.sort_by_key(|view| view.producer_id);
        views
    }

    /// Open transactions of the durable log.
    pub fn open_transactions(&self) -> OpenTransactions {
        let log = self.log_state();
        let mut open = log.settled.producers().open();
        let oldest = open.next();
        OpenTransactions {
            count: open.count() + usize::from(oldest.is_some()),
            oldest_started: oldest.map(|(_, transaction)| transaction.started),
        }
    }

    /// Epoch and first offset of the transaction that a producer has open, as the next append will
    /// find it: a batch of that epoch needs no verification (KIP-890).
    pub fn ongoing_transaction(&self, producer_id: i64) -> Option<(i16, Offset)> {
        let append = self.append_state();
        let producer = append.producers.get(producer_id)?;
        let transaction = producer.transaction?;
        Some((producer.epoch, transaction.first_offset))
    }

    /// Taken before the coordinator is asked whether a transaction has this partition, and handed
    /// over with the batch: a marker that comes in between makes the answer worthless.
    pub fn guard_verification(&self) -> VerificationGuard {
        let append = self.append_state();
        append.producers.guard(append.leader_epoch)
    }

    /// Aborted transactions with an offset in `from..to`, by ascending first offset: what a reader of
    /// committed records skips among batches that it read from `from` on. Complete up to the stable
    /// end. Asked after the batches were read.
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`] if the log has come to start above `from`: what was aborted below
    /// its start is forgotten, so the batches must be forgotten, too.
    pub fn aborted(&self, from: Offset, to: Offset) -> Result<Vec<AbortedTransaction>, ReadError> {
        let log = self.log_state();
        log.check_readable()?;
        log.check_start(from)?;
        Ok(log.settled.aborted().overlapping(from, to))
    }

    /// Forgets producers that were silent for longer than `idle_ms_max` and have nothing open.
    pub(crate) fn expire_producers(&self, now: Timestamp, idle_ms_max: i64) {
        self.append_state().producers.expire(now, idle_ms_max);
        self.log_state().settled.expire(now, idle_ms_max);
    }
}

fn view(producer_id: i64, producer: &Producer) -> ProducerView {
    let last = producer.batches.back();
    ProducerView {
        producer_id,
        epoch: producer.epoch,
        last_sequence: last.map_or(-1, |batch| batch.last_sequence),
        last_timestamp: last.map_or(producer.last_seen, |batch| batch.timestamp),
        coordinator_epoch: producer.coordinator_epoch.unwrap_or(-1),
        transaction_start: producer.transaction.map_or(-1, |open| open.first_offset),
    }
}
