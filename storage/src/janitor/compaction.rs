//! Compaction by key: which partition comes next, and a step of its round whenever there is time.
//!
//! One round at a time, in steps of a few megabytes between other chores. The WAL comes first: while
//! it is pressed there are no steps. All steps together stay within a number of bytes per tick.

use std::collections::HashMap;
use std::sync::Arc;

use super::{ChoreError, Janitor};
use crate::compaction::{Bounds, CompactionSettings, Dirt, Round, Site};
use crate::ids::{Offset, PartitionId, Timestamp};
use crate::manifest::{ManifestEdit, PartitionManifest};
use crate::partition::{LogState, Partition, Standing};

/// How long a partition is left alone after compaction failed: a full disk or a damaged file.
const RETRY_MS: i64 = 600_000;

/// Bytes read in one step, about: what other chores may have to wait for.
const STEP_BYTES: u64 = 8 << 20;

/// What the janitor remembers of compaction.
#[derive(Default)]
pub(super) struct Compactor {
    round: Option<Round>,
    /// What may still be read and written before the next tick; below zero after a step of more.
    bytes_left: i64,
    look_due: Timestamp,
    /// Partitions that are left alone after a failure, and until when.
    failed: HashMap<PartitionId, Timestamp>,
}

impl Compactor {
    /// Gives the bytes for the time up to the next tick; what was not used does not add up.
    fn refill(&mut self, bytes_per_tick: u64) {
        let bytes = i64::try_from(bytes_per_tick).unwrap_or(i64::MAX);
        self.bytes_left = self.bytes_left.min(0).saturating_add(bytes);
    }

    fn spend(&mut self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
    }

    /// True while a round goes through the partition's segments.
    pub(super) fn is_at(&self, partition: PartitionId) -> bool {
        self.round
            .as_ref()
            .is_some_and(|round| round.partition() == partition)
    }
}

impl Janitor {
    /// What compaction needs once per tick: bytes to spend, and tails that have become segments.
    pub(super) fn prepare_compaction(&mut self) {
        let now = self.now;
        let bytes_per_tick = self.store.options.compaction.bytes_per_tick;
        self.compactor.refill(bytes_per_tick);
        self.compactor.failed.retain(|_, until| *until > now);
        let mut due = self.store.partitions();
        due.retain(|partition| {
            !self.compactor.failed.contains_key(&partition.id)
                && partition.log_state().is_to_be_sealed(now)
        });
        // Not a failure of the tick: the WAL must be relieved whatever becomes of compaction.
        if !due.is_empty()
            && let Err(error) = self.flush(&due)
        {
            tracing::warn!(%error, "tails to be compacted cannot be sealed; they will be later");
            let until = now + RETRY_MS;
            self.compactor
                .failed
                .extend(due.iter().map(|partition| (partition.id, until)));
        }
    }

    /// Does a step of compaction, if there is one to do. True if there may be more at once.
    ///
    /// # Errors
    /// [`ChoreError`] if the manifest cannot be written. A round that fails is only given up.
    pub fn compact(&mut self) -> Result<bool, ChoreError> {
        if self.compactor.bytes_left <= 0 || self.wal_is_pressed() {
            return Ok(false);
        }
        let Some(mut round) = self.compactor.round.take().or_else(|| self.next_round()) else {
            return Ok(false);
        };
        let id = round.partition();
        let Some((partition, manifest)) = self.in_compaction(id) else {
            return Ok(true);
        };
        let site = Site {
            disk: &self.store.disk,
            cache: &self.store.cache,
            fresh_id: &self.store.fresh_id,
            segment_bytes_max: self.store.options.segment_bytes_max,
            step_bytes: STEP_BYTES,
        };
        let step = match round.step(&manifest, &site) {
            Ok(step) => step,
            Err(error) => {
                tracing::warn!(partition = %id, %error, "compaction failed; it will be tried again");
                self.compactor.failed.insert(id, self.now + RETRY_MS);
                return Ok(true);
            }
        };
        self.compactor.spend(step.bytes);
        if let Some(edit) = step.edit {
            self.swap(&partition, &edit)?;
        }
        if step.is_last {
            self.compactor.look_due = self.now;
        } else {
            self.compactor.round = Some(round);
        }
        Ok(true)
    }

    /// The partition and its present version, if it is still to be compacted.
    fn in_compaction(&self, id: PartitionId) -> Option<(Arc<Partition>, Arc<PartitionManifest>)> {
        let partition = self.store.partition(id)?;
        partition.compaction()?;
        let manifest = Arc::clone(self.manifest.get(id)?);
        Some((partition, manifest))
    }

    /// Begins a round over the partition that wants one most.
    fn next_round(&mut self) -> Option<Round> {
        if self.now < self.compactor.look_due {
            return None;
        }
        self.compactor.look_due = self.now + self.store.options.compaction.interval_ms;
        let partitions = self.store.partitions();
        let candidates = partitions.iter().filter_map(|partition| {
            let (settings, dirt) = self.dirt(partition)?;
            let urgency = dirt.urgency(&settings, self.now)?;
            Some((urgency, partition, settings, dirt))
        });
        let (_, partition, settings, dirt) = candidates.max_by(|a, b| a.0.total_cmp(&b.0))?;
        let manifest = self.manifest.get(partition.id)?;
        let (from, limit) = (dirt.from, dirt.limit);
        // Everything below the limit is stable, so its aborted transactions are all known.
        let log_start = partition.marks().log_start;
        let aborted = partition.aborted(log_start, limit).ok()?;
        let seed = u128::from_le_bytes((self.store.fresh_id)()) as u64;
        tracing::debug!(partition = %partition.id, from, limit, "compaction begins");
        Some(Round::new(
            manifest,
            &dirt,
            &settings,
            &aborted,
            self.store.options.compaction.map_bytes,
            seed,
            self.now,
        ))
    }

    fn dirt(&self, partition: &Partition) -> Option<(CompactionSettings, Dirt)> {
        let settings = partition.compaction()?;
        if self.compactor.failed.contains_key(&partition.id) {
            return None;
        }
        let stable_end = partition.marks().stable_end;
        let log = partition.log_state();
        let bounds = Bounds {
            log_start: log.log_start,
            end: stable_end.min(log.needed_from()),
        };
        drop(log);
        let manifest = self.manifest.get(partition.id)?;
        let dirt = Dirt::of(manifest, bounds, &settings, self.now)?;
        Some((settings, dirt))
    }

    /// Puts new segments in the place of old ones.
    fn swap(&mut self, partition: &Partition, edit: &ManifestEdit) -> Result<(), ChoreError> {
        if *edit == ManifestEdit::default() {
            return Ok(());
        }
        let records = self.records([(partition, edit.clone())].into_iter());
        self.commit(&records)?;
        for segment in &edit.add_segments {
            self.store.count_segment(segment.file_len);
        }
        self.publish(partition, edit);
        if let Some(cleaned_to) = edit.cleaned_to {
            let bytes = partition.size_bytes();
            tracing::info!(partition = %partition.id, cleaned_to, bytes, "compacted");
        }
        Ok(())
    }
}

impl Partition {
    /// How the partition is compacted; `None` if it is not, or not any more.
    fn compaction(&self) -> Option<CompactionSettings> {
        let log = self.log_state();
        log.settings
            .compaction
            .filter(|_| log.standing == Standing::Open)
    }
}

impl LogState {
    /// Every record from here on is still needed by somebody: the lake, or a key table.
    fn needed_from(&self) -> Offset {
        let floor = match self.settings.held_bytes_max {
            Some(_) => self.floor,
            None => Offset::MAX,
        };
        floor.min(self.kept_from())
    }

    /// True if the durable tail of a compacted log is large or old enough to become segments.
    fn is_to_be_sealed(&self, now: Timestamp) -> bool {
        let Some(settings) = self.settings.compaction else {
            return false;
        };
        let mut runs = self.durable_runs().peekable();
        let is_old = runs.peek().is_some_and(|oldest| {
            oldest.max_timestamp >= 0
                && now.saturating_sub(oldest.max_timestamp) > settings.seal_after_ms
        });
        is_old || runs.map(|run| run.bytes()).sum::<u64>() >= settings.seal_bytes.max(1)
    }
}
