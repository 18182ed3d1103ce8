//! Producers and transactions of the durable part of a log: what readers are told, and what is left
//! when the rest is cut off.
//!
//! The appender's own knowledge runs ahead to what is merely given, and a power cut may take that
//! back. So batches wait here until the high watermark passes them: a transaction whose marker is
//! written but not durable still holds the last stable offset.

use std::collections::VecDeque;

use tidelog_records::control::Outcome;

use crate::aborted::AbortedIndex;
use crate::ids::{Offset, Timestamp};
use crate::manifest::PartitionManifest;
use crate::producers::{Entry, Producers};

/// As of the high watermark.
#[derive(Debug, Default)]
pub struct Settled {
    producers: Producers,
    aborted: AbortedIndex,
    /// Written, not durable, with the time of writing; bounded by the slots that wait for their sync.
    waiting: VecDeque<(Entry, Timestamp)>,
}

impl Settled {
    /// As a manifest keeps it.
    pub(crate) fn restore(known: &PartitionManifest) -> Self {
        let (open, to) = (&known.open_transactions, known.covered_to);
        Self {
            producers: Producers::restore(&known.producers, open, to),
            aborted: AbortedIndex::new(known.aborted.clone()),
            waiting: VecDeque::new(),
        }
    }

    pub(crate) fn producers(&self) -> &Producers {
        &self.producers
    }

    pub(super) fn aborted(&self) -> &AbortedIndex {
        &self.aborted
    }

    /// Notes producers' batches that were written.
    pub(super) fn note(&mut self, entries: impl IntoIterator<Item = (Entry, Timestamp)>) {
        self.waiting.extend(entries);
    }

    /// Everything below `high_watermark` is durable.
    pub(super) fn advance(&mut self, high_watermark: Offset) {
        let durable =
            |(entry, _): &mut (Entry, Timestamp)| entry.header.last_offset() < high_watermark;
        while let Some((entry, now)) = self.waiting.pop_front_if(durable) {
            match self.producers.apply(&entry, now) {
                Some(ended) if ended.outcome == Outcome::Abort => self.aborted.push(&ended),
                _ => {}
            }
        }
    }

    /// Forgets what is not durable.
    pub(super) fn cut(&mut self) {
        self.waiting.clear();
    }

    /// The last stable offset: every transaction with a record below it has ended.
    pub(super) fn stable_end(&self, log_start: Offset, high_watermark: Offset) -> Offset {
        let first_open = self.producers.first_open().unwrap_or(Offset::MAX);
        // A transaction may be open that lost its first records to retention.
        high_watermark.min(first_open.max(log_start))
    }

    /// Forgets aborted transactions with these last offsets, of which nothing is left.
    pub(crate) fn forget_aborted(&mut self, last_offsets: &[Offset]) {
        self.aborted.remove(last_offsets);
    }

    pub(super) fn trim(&mut self, log_start: Offset) {
        self.aborted.trim(log_start);
    }

    pub(super) fn expire(&mut self, now: Timestamp, idle_ms_max: i64) {
        self.producers.expire(now, idle_ms_max);
    }
}
