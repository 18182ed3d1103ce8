//! Housekeeping, off the acknowledged path: from WAL to segments, retention, merging, removal.
//!
//! The janitor is the one owner of the manifest log. Every change follows one order: write and sync
//! data, append and sync the manifest, publish to readers, remove files last and after a grace. A
//! stop between any two steps leaves files that nothing names, which the next start removes.

mod checkpoints;
mod compaction;
mod reopen;
mod rows;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::ballast::Ballast;
use crate::flush::{self, Flushed};
use crate::ids::{PartitionId, Timestamp};
use crate::manifest::{self, ManifestEdit, ManifestLog, PartitionManifest, Record};
use crate::partition::Partition;
use crate::retention::{Piece, hold, new_log_start};
use crate::segment::merge::{self, MergePolicy};
use crate::segment::{self, FileId, SegmentReader};
use crate::store::Store;
use crate::wal::{WalFile, WalSyncer};

use compaction::Compactor;
pub use reopen::Reopened;
pub use rows::InstallError;

/// Merges done per tick at most, so that a flush never waits long behind them.
const MERGES_PER_TICK_MAX: usize = 4;

/// Why a chore was not done. It is tried again at the next occasion.
#[derive(Debug, thiserror::Error)]
pub enum ChoreError {
    #[error(transparent)]
    Flush(#[from] flush::FlushError),
    #[error("manifest: {0}")]
    Manifest(#[from] manifest::AppendError),
    #[error("manifest: {0}")]
    ManifestSync(#[from] manifest::SyncError),
    #[error("manifest: {0}")]
    ManifestRoll(#[from] manifest::RollError),
    #[error(transparent)]
    Merge(#[from] merge::MergeError),
    #[error("disk: {0}")]
    Io(#[from] std::io::Error),
}

/// Owner of manifests and segment files.
pub struct Janitor {
    store: Arc<Store>,
    manifest: ManifestLog,
    syncer: Arc<WalSyncer>,
    ballast: Ballast,
    /// How many partitions name each file; a pack has many.
    references: HashMap<FileId, usize>,
    /// Files to remove, and from when on.
    doomed: Vec<(FileId, Timestamp)>,
    /// As `doomed`: key checkpoints.
    doomed_checkpoints: Vec<(FileId, Timestamp)>,
    compactor: Compactor,
    now: Timestamp,
    retention_due: Timestamp,
}

impl Janitor {
    pub(crate) fn new(
        store: Arc<Store>,
        manifest: ManifestLog,
        syncer: Arc<WalSyncer>,
        now: Timestamp,
    ) -> Self {
        let mut references = HashMap::new();
        for file in manifest.partitions().flat_map(|p| p.files()) {
            *references.entry(file).or_default() += 1;
        }
        let ballast = Ballast::new(Arc::clone(&store.disk), store.options.ballast_bytes);
        Self {
            store,
            manifest,
            syncer,
            ballast,
            references,
            doomed: Vec::new(),
            doomed_checkpoints: Vec::new(),
            compactor: Compactor::default(),
            now,
            retention_due: now,
        }
    }

    /// The time as of the last tick.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// What is done about every second.
    pub fn tick(&mut self, now: Timestamp) -> Result<(), ChoreError> {
        self.now = now;
        self.ballast.adjust()?;
        self.mend_manifest()?;
        if now >= self.retention_due {
            self.retention_due = now + self.store.options.retention_interval_ms;
            self.apply_retention();
            self.expire_producers();
        }
        self.persist_log_starts()?;
        // Before anything is written: on a full disk nothing else would come to it.
        self.remove_doomed()?;
        self.merge_small_segments()?;
        if self.manifest.roll_is_due() {
            self.manifest.roll()?;
        }
        self.prepare_compaction();
        Ok(())
    }

    /// Keeps one zeroed WAL file ready. Failing is fine: the appender will find out.
    pub fn prepare_spare(&mut self) {
        if let Err(error) = self.store.pool.prepare_spare() {
            tracing::debug!(%error, "no spare WAL file");
        }
    }

    /// Flushes the oldest WAL file if the WAL is pressed or the caller is. True if it paid and there
    /// is more to do.
    pub fn relieve_wal(&mut self, urgent: bool) -> Result<bool, ChoreError> {
        if !urgent && !self.wal_is_pressed() {
            return Ok(false);
        }
        let Some(oldest) = self.store.pool.oldest() else {
            return Ok(false);
        };
        let first_slot = oldest.first_slot;
        let flushed = self.flush_file(&oldest)?;
        drop(oldest);
        self.store.pool.drain(0);
        // Nothing flushed and still the oldest: it waits for a sync, or a reader has it in hand.
        let next = self.store.pool.oldest();
        let stuck = flushed == 0 && next.is_some_and(|file| file.first_slot == first_slot);
        Ok(!stuck && self.wal_is_pressed())
    }

    fn wal_is_pressed(&self) -> bool {
        let wal = &self.store.options.wal;
        let index_bytes: u64 = self
            .store
            .partitions()
            .iter()
            .map(|p| p.log_state().tail_index_bytes())
            .sum();
        // Early enough that appends go on into the rest meanwhile.
        self.store.pool.live_bytes() + 2 * wal.file_bytes > wal.budget_bytes / 4 * 3
            || index_bytes > self.store.options.tail_index_bytes_max
    }

    /// Writes what is durable of the partitions that still need `file` into segments; answers how
    /// many partitions that were.
    fn flush_file(&mut self, file: &Arc<WalFile>) -> Result<usize, ChoreError> {
        let needing: Vec<_> = self
            .store
            .partitions()
            .into_iter()
            .filter(|partition| partition.log_state().needs(file))
            .collect();
        self.flush(&needing)
    }

    fn flush(&mut self, partitions: &[Arc<Partition>]) -> Result<usize, ChoreError> {
        self.ballast.adjust()?;
        let manifest = &self.manifest;
        let flushed = flush::write(&self.store, partitions, |id| manifest.get(id), self.now)?;
        let count = flushed.len();
        let edits = flushed.iter().map(|f| (&*f.partition, f.edit.clone()));
        let records = self.records(edits);
        self.commit(&records)?;
        for Flushed {
            partition, edit, ..
        } in flushed
        {
            self.publish(&partition, &edit);
        }
        Ok(count)
    }

    /// Turns edits into records, with the partition's first version where it has none.
    fn records<'a>(
        &self,
        edits: impl Iterator<Item = (&'a Partition, ManifestEdit)>,
    ) -> Vec<Record> {
        let mut records = Vec::new();
        for (partition, edit) in edits {
            let version = match self.manifest.get(partition.id) {
                Some(manifest) => manifest.version,
                None => {
                    let created = partition.log_state().created;
                    let first = PartitionManifest::new(partition.id, created);
                    let version = first.version;
                    records.push(Record::Full {
                        manifest: Box::new(first),
                    });
                    version
                }
            };
            let edit = Box::new(edit);
            records.push(Record::Edit {
                partition: partition.id,
                version: version + 1,
                edit,
            });
        }
        records
    }

    fn commit(&mut self, records: &[Record]) -> Result<(), ChoreError> {
        if !records.is_empty() {
            self.manifest.append(records)?;
            self.manifest.sync()?;
        }
        Ok(())
    }

    /// Shows readers what a durable edit changed, and counts references.
    fn publish(&mut self, partition: &Partition, edit: &ManifestEdit) {
        for file in edit.remove_segments.iter().chain(&edit.remove_rows) {
            self.release(*file);
        }
        for segment in &edit.add_segments {
            *self.references.entry(segment.file).or_default() += 1;
        }
        let reader = |meta: &Arc<_>| {
            let cache = Arc::clone(&self.store.cache);
            Arc::new(SegmentReader::new(cache, partition.id, Arc::clone(meta)))
        };
        let added = edit.add_segments.iter().map(reader).collect();
        let mut log = partition.log_state();
        log.replace(&edit.remove_segments, added, edit.covered_to);
        log.remove_rows(&edit.remove_rows);
        log.settled.forget_aborted(&edit.remove_aborted);
    }

    fn release(&mut self, file: FileId) {
        if let Some(count) = self.references.get_mut(&file) {
            *count -= 1;
            if *count == 0 {
                self.references.remove(&file);
                self.doomed
                    .push((file, self.now + self.store.options.removal_grace_ms));
            }
        }
    }

    /// Moves log starts up where records are too old or too many.
    fn apply_retention(&self) {
        for partition in self.store.partitions() {
            let (pieces, log_start, settings, floor, kept_from) = {
                let log = partition.log_state();
                let kept_from = log.kept_from();
                (
                    log.pieces(),
                    log.log_start,
                    log.settings,
                    log.floor,
                    kept_from,
                )
            };
            let start = new_log_start(&pieces, log_start, &settings, self.now);
            let start = match settings.held_bytes_max {
                Some(bytes_max) => hold(&pieces, log_start, start, floor, bytes_max),
                None => start,
            };
            partition.trim(start.min(kept_from));
        }
    }

    fn expire_producers(&self) {
        let idle_ms_max = self.store.options.producer_idle_ms_max;
        for partition in self.store.partitions() {
            partition.expire_producers(self.now, idle_ms_max);
        }
    }

    /// Makes moved log starts durable and lets go of what lies below them.
    pub fn persist_log_starts(&mut self) -> Result<(), ChoreError> {
        let moved: Vec<_> = self
            .store
            .partitions()
            .into_iter()
            .filter_map(|partition| {
                let known = self.manifest.get(partition.id).map_or(0, |m| m.log_start);
                let edit = partition.log_state().trim_edit(known)?;
                Some((partition, edit))
            })
            .collect();
        let records = self.records(moved.iter().map(|(p, edit)| (&**p, edit.clone())));
        self.commit(&records)?;
        for (partition, edit) in moved {
            self.publish(&partition, &edit);
        }
        Ok(())
    }

    fn merge_small_segments(&mut self) -> Result<(), ChoreError> {
        let mut merges_left = MERGES_PER_TICK_MAX;
        for partition in self.store.partitions() {
            // A round of compaction merges, too, and must find the segments it began with.
            if self.compactor.is_at(partition.id) {
                continue;
            }
            while merges_left > 0 && self.merge_once(&partition)? {
                merges_left -= 1;
            }
        }
        Ok(())
    }

    fn merge_once(&mut self, partition: &Partition) -> Result<bool, ChoreError> {
        let Some(manifest) = self.manifest.get(partition.id).cloned() else {
            return Ok(false);
        };
        let Some(range) = plan_merge(&manifest, &self.store.options.merge) else {
            return Ok(false);
        };
        let inputs = &manifest.segments[range];
        let output = FileId((self.store.fresh_id)());
        let disk = Arc::clone(&self.store.disk);
        let meta = merge::merge(disk, &self.store.cache, partition.id, inputs, output)?;
        self.store.count_segment(meta.file_len);
        let edit = ManifestEdit {
            add_segments: vec![Arc::new(meta)],
            remove_segments: inputs.iter().map(|input| input.file).collect(),
            ..ManifestEdit::default()
        };
        let records = self.records([(partition, edit.clone())].into_iter());
        self.commit(&records)?;
        self.publish(partition, &edit);
        Ok(true)
    }

    /// Forgets deleted partitions.
    pub fn forget(&mut self, partitions: &[Arc<Partition>]) -> Result<(), ChoreError> {
        self.forget_ids(partitions.iter().map(|partition| partition.id))
    }

    fn forget_ids(&mut self, ids: impl Iterator<Item = PartitionId>) -> Result<(), ChoreError> {
        let known: Vec<_> = ids
            .filter_map(|id| self.manifest.get(id).cloned())
            .collect();
        let drops: Vec<_> = known
            .iter()
            .map(|m| Record::Drop {
                partition: m.partition,
            })
            .collect();
        self.commit(&drops)?;
        for file in known.iter().flat_map(|manifest| manifest.files()) {
            self.release(file);
        }
        let checkpoints = known.iter().flat_map(|manifest| &manifest.checkpoints);
        self.doom_checkpoints(checkpoints.map(|checkpoint| checkpoint.file));
        Ok(())
    }

    fn remove_doomed(&mut self) -> Result<(), ChoreError> {
        let now = self.now;
        let (due, waiting) = self.doomed.drain(..).partition(|(_, from)| *from <= now);
        self.doomed = waiting;
        for (file, _) in due {
            self.store.rows_cache.forget(file);
            segment::remove(&*self.store.disk, file)?;
        }
        self.remove_doomed_checkpoints()
    }
}

/// A merge on either side of where compaction has come to: what is clean stays told from what is not.
fn plan_merge(manifest: &PartitionManifest, policy: &MergePolicy) -> Option<Range<usize>> {
    let segments = &manifest.segments;
    let clean = segments.partition_point(|segment| segment.end_offset <= manifest.cleaned_to);
    let in_dirty = || {
        let range = merge::plan(&segments[clean..], policy)?;
        Some(clean + range.start..clean + range.end)
    };
    merge::plan(&segments[..clean], policy).or_else(in_dirty)
}

impl crate::partition::LogState {
    /// What retention may consider: segments, then durable runs.
    pub(crate) fn pieces(&self) -> Vec<Piece> {
        let segments = self.segments.iter().map(|segment| {
            let meta = segment.meta();
            Piece {
                end_offset: meta.end_offset,
                bytes: meta.batch_bytes,
                max_timestamp: meta.max_timestamp,
            }
        });
        let runs = self.durable_runs().map(|run| Piece {
            end_offset: run.end_offset,
            bytes: run.bytes(),
            max_timestamp: run.max_timestamp,
        });
        segments
            .chain(runs)
            .filter(|piece| piece.end_offset > self.log_start)
            .collect()
    }

    /// The edit that makes a moved log start durable; `None` if it has not moved.
    fn trim_edit(&self, known_log_start: i64) -> Option<ManifestEdit> {
        if self.log_start <= known_log_start {
            return None;
        }
        let below = |segment: &&Arc<SegmentReader>| segment.meta().end_offset <= self.log_start;
        // Covered-to stays: the runs up to the log start still tell of producers.
        let next_offset = self.covered_to.max(self.log_start);
        Some(ManifestEdit {
            log_start: Some(self.log_start),
            next_offset: Some(next_offset),
            epochs: Some(self.epochs.below(next_offset)),
            remove_segments: self
                .segments
                .iter()
                .filter(below)
                .map(|s| s.meta().file)
                .collect(),
            remove_rows: self.rows.below(self.log_start).map(|r| r.file).collect(),
            ..ManifestEdit::default()
        })
    }
}
