//! Producers and transactions as a manifest keeps them: as of `covered_to`, so that replay of the
//! WAL from there continues them.

use minicbor::{Decode, Encode};

use crate::ids::{Offset, Timestamp};

/// Most batches remembered of a producer, as many as Kafka lets be in flight.
pub(super) const PRODUCER_BATCHES_MAX: usize = 5;

/// What is known of one producer id.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ProducerState {
    #[n(0)]
    pub producer_id: i64,
    #[n(1)]
    pub epoch: i16,
    /// Its newest batches, oldest first, at most 5.
    #[n(2)]
    pub batches: Vec<ProducerBatch>,
    /// When it last wrote; decides when it is forgotten.
    #[n(3)]
    pub last_timestamp: Timestamp,
    /// Of the coordinator that sent its newest marker; `None` before the first.
    #[n(4)]
    pub coordinator_epoch: Option<i32>,
}

/// One batch of a producer, to recognise it when it is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct ProducerBatch {
    #[n(0)]
    pub first_sequence: i32,
    #[n(1)]
    pub last_sequence: i32,
    #[n(2)]
    pub base_offset: Offset,
    #[n(3)]
    pub last_offset: Offset,
    #[n(4)]
    pub timestamp: Timestamp,
}

/// A transaction that ended in abort: readers of committed data skip its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct AbortedTransaction {
    #[n(0)]
    pub producer_id: i64,
    #[n(1)]
    pub first_offset: Offset,
    /// Offset of the abort marker.
    #[n(2)]
    pub last_offset: Offset,
    /// Last stable offset once this transaction had ended.
    #[n(3)]
    pub last_stable_offset: Offset,
}

/// A transaction without a marker yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct OpenTransaction {
    #[n(0)]
    pub producer_id: i64,
    #[n(1)]
    pub first_offset: Offset,
    /// Timestamp of its first batch, if that has one.
    #[n(2)]
    pub started: Option<Timestamp>,
}
