//! What is known of one transactional id, and its moves: each makes the next value out of the
//! present one and touches nothing else.
//!
//! Epochs never wrap. The greatest one a client is ever given is [`EPOCH_LAST`]; the one above it
//! belongs to the coordinator, so that it can always fence.

use crate::producer::{NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Outcome, Producer};

use super::partitions::{Partitions, TopicPartition};
use super::state::{TransactionVersion, TxnState};

/// The greatest epoch a client may hold. One more would leave none to fence it with.
pub const EPOCH_LAST: i16 = i16::MAX - 1;

/// The durable state of a transactional id: `TransactionLogValue` in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    pub producer: Producer,
    /// The producer id before the last move; differs from the present one right after a change.
    pub previous_producer_id: i64,
    /// The id to go on with once the markers are written; −1 unless the epochs ran out.
    pub next_producer_id: i64,
    /// The epoch the present client held before; −1 if another client may have held it.
    pub last_epoch: i16,
    pub timeout_ms: i32,
    pub state: TxnState,
    /// Empty when settled.
    pub partitions: Partitions,
    /// When the transaction began, kept after its end; −1 before the first one.
    pub started_ms: i64,
    pub updated_ms: i64,
    /// What the client spoke that began or ended the transaction.
    pub version: TransactionVersion,
}

impl Transaction {
    /// A transactional id seen for the first time, at epoch 0.
    pub(super) fn new(producer_id: i64, timeout_ms: i32, now_ms: i64) -> Self {
        Self {
            producer: Producer::new(producer_id, 0),
            previous_producer_id: producer_id,
            next_producer_id: NO_PRODUCER_ID,
            last_epoch: NO_PRODUCER_EPOCH,
            timeout_ms,
            state: TxnState::Empty,
            partitions: Partitions::default(),
            started_ms: -1,
            updated_ms: now_ms,
            version: TransactionVersion::V0,
        }
    }

    /// The producer id has no epoch left to give.
    pub(super) const fn is_exhausted(&self) -> bool {
        self.producer.epoch >= EPOCH_LAST
    }

    /// Whether a client that holds `expected` may be the present one, or the one that missed the
    /// answer with the present id (KIP-360).
    pub(super) const fn may_be_held_by(&self, expected: Producer) -> bool {
        expected.id == self.producer.id
            || (expected.id == self.previous_producer_id && expected.epoch >= EPOCH_LAST)
    }

    /// When an ongoing transaction has run out of time.
    pub(super) fn expires_at(&self) -> Option<i64> {
        let ongoing = self.state == TxnState::Ongoing;
        ongoing.then(|| {
            self.started_ms
                .saturating_add(i64::from(self.timeout_ms))
                .saturating_add(1)
        })
    }

    fn moved(&self, state: TxnState, now_ms: i64) -> Self {
        debug_assert!(
            state.may_follow(Some(self.state)),
            "{state:?} after {self:?}"
        );
        Self {
            previous_producer_id: self.producer.id,
            state,
            updated_ms: now_ms,
            ..self.clone()
        }
    }

    /// InitProducerId: an Empty transaction of `producer`, whose client held `last_epoch` before.
    pub(super) fn initialized(
        &self,
        producer: Producer,
        last_epoch: i16,
        timeout_ms: i32,
        now_ms: i64,
    ) -> Self {
        Self {
            producer,
            last_epoch,
            timeout_ms,
            partitions: Partitions::default(),
            started_ms: -1,
            ..self.moved(TxnState::Empty, now_ms)
        }
    }

    /// AddPartitionsToTxn: begins the transaction if none is under way.
    pub(super) fn joined_by(
        &self,
        added: Vec<TopicPartition>,
        version: TransactionVersion,
        now_ms: i64,
    ) -> Self {
        let mut next = Self {
            version,
            ..self.moved(TxnState::Ongoing, now_ms)
        };
        if self.state.is_settled() {
            next.started_ms = now_ms;
        }
        next.partitions.extend(added);
        next
    }

    /// The outcome is decided. In version 2 the epoch grows, which fences whatever of this
    /// transaction is still on its way; `next_producer_id` is what follows an exhausted id.
    pub(super) fn prepared(
        &self,
        outcome: Outcome,
        version: TransactionVersion,
        next_producer_id: Option<i64>,
        now_ms: i64,
    ) -> Self {
        let mut next = Self {
            version,
            next_producer_id: next_producer_id.unwrap_or(NO_PRODUCER_ID),
            ..self.moved(TxnState::prepared(outcome), now_ms)
        };
        if version.bumps_epoch() {
            next.producer.epoch = self.producer.epoch.saturating_add(1);
            next.last_epoch = self.producer.epoch;
        }
        if self.state.is_settled() {
            // An abort of nothing still has a beginning on record.
            next.started_ms = now_ms;
        }
        next
    }

    /// An abort that the client did not ask for, before version 2: nobody is told the new epoch.
    pub(super) fn fenced(&self, now_ms: i64) -> Self {
        let epoch = self.producer.epoch.saturating_add(1);
        Self {
            producer: Producer::new(self.producer.id, epoch),
            last_epoch: NO_PRODUCER_EPOCH,
            ..self.prepared(Outcome::Abort, TransactionVersion::V0, None, now_ms)
        }
    }

    /// All markers of `outcome` are durable.
    pub(super) fn completed(&self, outcome: Outcome, now_ms: i64) -> Self {
        let mut next = Self {
            partitions: Partitions::default(),
            next_producer_id: NO_PRODUCER_ID,
            ..self.moved(TxnState::complete(outcome), now_ms)
        };
        if self.version.bumps_epoch() && self.next_producer_id != NO_PRODUCER_ID {
            next.producer = Producer::new(self.next_producer_id, 0);
        }
        next
    }
}
