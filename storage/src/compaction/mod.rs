//! Compaction by key: of each key the newest record stays, what it replaced goes.
//!
//! ```text
//! log start       dirty from             limit ≤ S       covered to
//!     │ clean segments │ dirty segments    │ not yet …       │ tail …
//!                      └── index: key ─▶ newest offset
//!     └── rewrite, oldest first, group by group ─▶ new files ─▶ one manifest edit each
//! ```
//! A [`Round`] does one partition in small steps and decides nothing but what to write: its caller
//! makes each edit durable and shows it to readers, in the order that holds for every change (data,
//! manifest, readers, removal). A stop between any two steps leaves a whole log, of which a part is
//! compacted already; the next round begins anew.
//!
//! Promises, as Kafka makes them:
//! - The newest record of each key below the limit stays, with its offset, timestamp and headers.
//!   Offsets and order never change; a batch keeps its base and last offset, so offsets may be
//!   missing, and the last batch below the limit stays even if it is empty.
//! - A batch all of whose records stay is kept byte for byte. Others keep their codec.
//! - A record without value (a tombstone) stays until `delete_retention_ms` after the round that
//!   first saw it as the newest of its key. A transaction's marker goes the same way, once its
//!   transaction has no records left.
//! - Aborted records go; open transactions lie above the limit. Records without a key go.
//! - The last batch of every producer id that is remembered stays, empty if need be.
//! - Only what is in segments is touched: neither the WAL, nor anything from the limit on.
//!
//! Memory is bounded by the key map's budget and a few blocks. Keys that do not fit wait for the next
//! round; nothing goes because of a record that is not in the map. The map holds 128-bit hashes, made
//! with a seed of the round's own.
//!
//! Kafka's counterparts: `LogCleanerManager` (policy), `Cleaner` (round, filter); KIP-534.

mod filter;
mod group;
mod index;
mod keys;
mod policy;
mod round;

#[cfg(test)]
mod tests;

use crate::ids::Timestamp;
use crate::segment;

pub(crate) use policy::{Bounds, Dirt};
pub(crate) use round::{Round, Site};

/// Most bytes of a batch's records, decompressed: the most a producer may send. A batch of more is
/// kept as it is.
const RECORDS_BYTES_MAX: usize = 128 << 20;

/// How a partition is compacted: the topic's settings, by Kafka's names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CompactionSettings {
    /// `min.cleanable.dirty.ratio`: a round begins once more than this part of the bytes is dirty.
    pub min_dirty_ratio: f64,
    /// `min.compaction.lag.ms`: younger records are left alone.
    pub min_lag_ms: i64,
    /// `max.compaction.lag.ms`: older dirty records make a round begin, whatever the ratio. `None`
    /// for never.
    pub max_lag_ms: Option<i64>,
    /// `delete.retention.ms`.
    pub delete_retention_ms: i64,
    /// The tail becomes segments at this many bytes (`segment.bytes`): only they are compacted.
    pub seal_bytes: u64,
    /// The tail becomes segments when a record in it is this old: the smaller of `segment.ms` and
    /// `max.compaction.lag.ms`.
    pub seal_after_ms: i64,
}

/// Kafka's defaults.
impl Default for CompactionSettings {
    fn default() -> Self {
        Self {
            min_dirty_ratio: 0.5,
            min_lag_ms: 0,
            max_lag_ms: None,
            delete_retention_ms: 86_400_000,
            seal_bytes: 1 << 30,
            seal_after_ms: 604_800_000,
        }
    }
}

/// How the broker compacts. Sizes are in bytes, times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactionOptions {
    /// Memory of the key map; 24 bytes a key (`log.cleaner.dedupe.buffer.size`).
    pub map_bytes: usize,
    /// Bytes read and written per tick at most, about (`log.cleaner.io.max.bytes.per.second`).
    pub bytes_per_tick: u64,
    /// Time between two looks for work (`log.cleaner.backoff.ms`).
    pub interval_ms: i64,
}

impl Default for CompactionOptions {
    fn default() -> Self {
        Self {
            map_bytes: 128 << 20,
            bytes_per_tick: 64 << 20,
            interval_ms: 15_000,
        }
    }
}

/// Why a round ended early. The log is as it was after the last edit.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompactionError {
    #[error(transparent)]
    Read(#[from] segment::ReadError),
    #[error(transparent)]
    Write(#[from] segment::WriteError),
}

/// The earlier of two times that may not be.
fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
