//! One partition: what the appender knows of it, and what readers see.
//!
//! ```text
//! log start        covered to                 high watermark        end
//!     │  segments …    │  tail runs (synced) …        │  unsynced …  │
//! ```
//! `covered to ≤ end` and `log start ≤ stable end ≤ high watermark ≤ end`. Readers never see past the
//! high watermark: what lies beyond may vanish with the power. No transaction is open below the stable
//! end. A log start beyond covered-to leaves runs behind that nobody reads any more.
//!
//! Locks: `append` is the appender's own (others only look); `log` is held for moments, never across
//! I/O. `append` before `log`, where both are needed.

mod committed;
mod read;
mod rows;
mod settled;
mod tail;
mod transactions;
mod watch;

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

pub use committed::{AbortedRanges, Committed};
pub(crate) use read::batches_of;
pub use read::{ReadEnd, ReadError, ReadPlan, TimestampHit};
pub(crate) use rows::RowsFiles;
pub use rows::RowsView;
pub(crate) use settled::Settled;
pub use tail::{BatchRef, Run, Slot, Span, TailMemory};
pub use transactions::{OpenTransactions, ProducerView};
pub use watch::{Watch, WatchId};

use crate::checkpoint::{CheckpointMeta, retention_floor};
use crate::compaction::CompactionSettings;
use crate::epochs::Epochs;
use crate::ids::{Offset, PartitionId, Timestamp};
use crate::producers::{Entry, Producers};
use crate::segment::{FileId, SegmentReader};
use crate::wal::WalFile;
pub(crate) use watch::Watchers;

/// What of a topic's settings concerns its log. `None` means without limit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LogSettings {
    pub retention_ms: Option<i64>,
    pub retention_bytes: Option<u64>,
    /// Retention does not pass the partition's floor (see [`Partition::set_floor`]) while what it
    /// would have removed and keeps is at most this many bytes; `None`: there is no floor.
    pub held_bytes_max: Option<u64>,
    /// The log is the truth of a key table, together with the partition's checkpoints: nothing goes
    /// that the older of the two does not hold.
    pub is_keyed: bool,
    /// How the log is compacted by key; `None`: it is not.
    pub compaction: Option<CompactionSettings>,
}

/// Whether a partition still takes part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    Open,
    /// Its topic is gone.
    Deleted,
    /// Durable records are lost; it serves nothing until somebody decides what to do.
    Damaged(String),
}

/// The appender's side.
pub struct AppendState {
    pub next_offset: Offset,
    pub leader_epoch: i32,
    pub producers: Producers,
    pub standing: Standing,
}

/// The readers' side.
pub struct LogState {
    pub log_start: Offset,
    /// Everything below is in segments.
    pub covered_to: Offset,
    pub high_watermark: Offset,
    /// Next offset to be written; may be ahead of the high watermark.
    pub end: Offset,
    pub leader_epoch: i32,
    /// Incarnation number under which the partition was made.
    pub created: u32,
    pub epochs: Epochs,
    /// Producers and transactions, as of the high watermark.
    pub(crate) settled: Settled,
    /// In offset order, without gaps between them up to `covered_to`.
    pub segments: Vec<Arc<SegmentReader>>,
    pub(crate) rows: RowsFiles,
    /// As the manifest names them: at most two, oldest first.
    pub(crate) checkpoints: Vec<CheckpointMeta>,
    /// In offset order, from `covered_to` (or a little before) to `end`. Those below the log start
    /// wait for a flush to carry over what they say of producers.
    pub runs: VecDeque<Arc<Run>>,
    tail_index_bytes: u64,
    pub settings: LogSettings,
    /// What lies from here on is still needed elsewhere. Not kept over a restart: it begins at 0.
    pub floor: Offset,
    pub standing: Standing,
}

/// What a reader may ask of a partition at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    pub log_start: Offset,
    pub high_watermark: Offset,
    /// S: what lies below is durable and no open transaction's. Kafka's last stable offset.
    pub stable_end: Offset,
    pub leader_epoch: i32,
}

/// A partition, shared by everybody who deals with it.
pub struct Partition {
    pub id: PartitionId,
    append: Mutex<AppendState>,
    log: Mutex<LogState>,
    watchers: Watchers,
}

impl Partition {
    pub fn new(id: PartitionId, append: AppendState, log: LogState) -> Self {
        Self {
            id,
            append: Mutex::new(append),
            log: Mutex::new(log),
            watchers: Watchers::default(),
        }
    }

    /// An empty partition whose first offset is 0.
    pub fn empty(id: PartitionId, settings: LogSettings) -> Self {
        Self::new(
            id,
            AppendState::new(0, Producers::default()),
            LogState::new(0, settings),
        )
    }

    pub(crate) fn append_state(&self) -> MutexGuard<'_, AppendState> {
        self.append.lock()
    }

    pub(crate) fn log_state(&self) -> MutexGuard<'_, LogState> {
        self.log.lock()
    }

    pub fn marks(&self) -> Marks {
        let log = self.log.lock();
        Marks {
            log_start: log.log_start,
            high_watermark: log.high_watermark,
            stable_end: log.stable_end(),
            leader_epoch: log.leader_epoch,
        }
    }

    /// Tells the partition what the cluster image knows of it. Its leader epoch is the number of
    /// incarnations since it was made.
    pub(crate) fn claim(&self, created: u32, incarnation_number: u32, settings: LogSettings) {
        let leader_epoch = incarnation_number.saturating_sub(created) as i32;
        self.append.lock().leader_epoch = leader_epoch;
        let mut log = self.log.lock();
        (log.leader_epoch, log.created, log.settings) = (leader_epoch, created, settings);
    }

    /// Lets go of everything, so that files can be recycled.
    pub(crate) fn drop_data(&self) {
        let mut log = self.log.lock();
        log.segments.clear();
        log.rows = RowsFiles::default();
        log.runs.clear();
        log.tail_index_bytes = 0;
    }

    pub fn standing(&self) -> Standing {
        self.log.lock().standing.clone()
    }

    pub fn configure(&self, settings: LogSettings) {
        self.log.lock().settings = settings;
    }

    /// Says from which offset on records are still needed elsewhere, which
    /// [`LogSettings::held_bytes_max`] lets retention wait for. May move either way.
    pub fn set_floor(&self, floor: Offset) {
        self.log.lock().floor = floor;
    }

    /// Where `epoch` ends (KIP-101): the largest epoch not above it and its end offset.
    pub fn epoch_end(&self, epoch: i32) -> Option<(i32, Offset)> {
        let log = self.log.lock();
        log.epochs
            .end_of(epoch, log.leader_epoch, log.high_watermark)
    }

    /// Bytes of batches from log start to end, segments and tail.
    pub fn size_bytes(&self) -> u64 {
        self.log.lock().size_bytes()
    }

    /// Key checkpoints the manifest names: at most two, oldest first.
    pub fn checkpoints(&self) -> Vec<CheckpointMeta> {
        self.log.lock().checkpoints.clone()
    }

    /// Bytes of durable batches from `offset` on, about: a piece that it cuts counts by its share of
    /// offsets.
    pub fn bytes_from(&self, offset: Offset) -> u64 {
        let log = self.log.lock();
        let mut first = log.log_start;
        let mut bytes = 0;
        for piece in log.pieces() {
            let offsets = (piece.end_offset - first).max(1).unsigned_abs();
            let wanted = (piece.end_offset - offset.max(first)).max(0).unsigned_abs();
            bytes += u128::from(piece.bytes) * u128::from(wanted) / u128::from(offsets);
            first = piece.end_offset;
        }
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// Forgets what was written in slot `end` or later, and offsets that were given and came to no
    /// slot, after a failed write or sync. None of it was ever served. Nobody appends meanwhile.
    pub(crate) fn cut(&self, end: u64) {
        let mut append = self.append.lock();
        let mut log = self.log.lock();
        if log.standing == Standing::Open {
            log.cut(end);
            append.next_offset = log.end;
            append.producers = log.settled.producers().clone();
        }
        drop((append, log));
        self.watchers.wake();
    }

    /// A new incarnation leads from now on.
    pub(crate) fn begin_epoch(&self, incarnation_number: u32) {
        let mut append = self.append.lock();
        let mut log = self.log.lock();
        let leader_epoch = incarnation_number.saturating_sub(log.created) as i32;
        (append.leader_epoch, log.leader_epoch) = (leader_epoch, leader_epoch);
        drop((append, log));
        self.watchers.wake();
    }

    /// Changes the standing and wakes everybody who waits.
    pub(crate) fn set_standing(&self, standing: Standing) {
        self.append.lock().standing = standing.clone();
        self.log.lock().standing = standing;
        self.watchers.wake();
    }

    /// Publishes a run that was just written, and those of its batches that producers are concerned
    /// with; `durable` when no sync is to be waited for.
    pub(crate) fn publish(
        &self,
        run: Arc<Run>,
        epoch: i32,
        entries: impl Iterator<Item = (Entry, Timestamp)>,
        durable: bool,
    ) {
        let mut log = self.log.lock();
        let (first, end) = (run.first_offset, run.end_offset);
        log.epochs.note(epoch, first);
        log.settled.note(entries);
        log.end = end;
        log.push_run(run);
        if durable {
            log.make_durable(end);
            drop(log);
            self.watchers.wake();
        }
    }

    /// Everything below `offset` is durable.
    pub(crate) fn advance(&self, offset: Offset) {
        let mut log = self.log.lock();
        if offset > log.high_watermark {
            log.make_durable(offset);
            drop(log);
            self.watchers.wake();
        }
    }

    /// Moves the log start up; readers below get out-of-range from now on.
    pub(crate) fn trim(&self, log_start: Offset) {
        let mut log = self.log.lock();
        if log_start > log.log_start {
            log.trim(log_start);
            drop(log);
            self.watchers.wake();
        }
    }

    /// Makes records below `before` unreadable at once; their bytes go in the background. Answers
    /// the new log start, which is lower than `before` where a key table still rests on the records.
    ///
    /// # Errors
    /// `before` is negative or beyond the high watermark.
    pub fn delete_records(&self, before: Offset) -> Result<Offset, ReadError> {
        let marks = self.marks();
        if before < 0 || before > marks.high_watermark {
            let Marks {
                log_start,
                high_watermark,
                ..
            } = marks;
            return Err(ReadError::OutOfRange {
                offset: before,
                log_start,
                high_watermark,
            });
        }
        let kept_from = self.log.lock().kept_from();
        self.trim(before.min(kept_from));
        Ok(self.marks().log_start)
    }

    /// Lets a log that never held anything begin at `offset`, for one that is about to be imported;
    /// false if it has held something. Durable once log starts were persisted, or with the first
    /// import.
    pub fn begin_at(&self, offset: Offset) -> bool {
        let mut append = self.append.lock();
        let mut log = self.log.lock();
        let is_new = append.next_offset == 0 && log.end == 0 && log.standing == Standing::Open;
        if !is_new || offset < 0 {
            return false;
        }
        append.next_offset = offset;
        (log.log_start, log.high_watermark, log.end) = (offset, offset, offset);
        drop((append, log));
        self.watchers.wake();
        true
    }

    /// Calls `watch` on every move of the marks or the standing, until `unwatch`.
    pub fn watch(&self, watch: Arc<dyn Watch>) -> WatchId {
        self.watchers.add(watch)
    }

    pub fn unwatch(&self, id: WatchId) {
        self.watchers.remove(id);
    }
}

impl AppendState {
    pub(crate) fn new(next_offset: Offset, producers: Producers) -> Self {
        Self {
            next_offset,
            leader_epoch: 0,
            producers,
            standing: Standing::Open,
        }
    }
}

impl LogState {
    /// An empty log that starts at `log_start`.
    pub(crate) fn new(log_start: Offset, settings: LogSettings) -> Self {
        Self {
            log_start,
            covered_to: log_start,
            high_watermark: log_start,
            end: log_start,
            leader_epoch: 0,
            created: 0,
            epochs: Epochs::default(),
            settled: Settled::default(),
            segments: Vec::new(),
            rows: RowsFiles::default(),
            checkpoints: Vec::new(),
            runs: VecDeque::new(),
            tail_index_bytes: 0,
            settings,
            floor: 0,
            standing: Standing::Open,
        }
    }

    /// Adds a durable run found at recovery, and those of its batches that producers are concerned
    /// with. It may lie below the log start: what it says of producers still counts.
    pub(crate) fn recover_run(
        &mut self,
        run: Arc<Run>,
        epoch: i32,
        entries: impl Iterator<Item = (Entry, Timestamp)>,
    ) {
        self.epochs.note(epoch, run.first_offset);
        self.settled.note(entries);
        self.end = self.end.max(run.end_offset);
        self.make_durable(self.end);
        self.push_run(run);
    }

    /// Everything below `end` is durable.
    fn make_durable(&mut self, end: Offset) {
        self.high_watermark = end;
        self.settled.advance(end);
    }

    /// End of what no open transaction can change any more.
    pub(crate) fn stable_end(&self) -> Offset {
        self.settled.stable_end(self.log_start, self.high_watermark)
    }

    /// Drops tail runs in slots from `end` on. What is left is durable.
    fn cut(&mut self, end: u64) {
        let is_gone = |run: &mut Arc<Run>| run.slot.number >= end;
        while let Some(run) = self.runs.pop_back_if(is_gone) {
            self.tail_index_bytes -= run.index_bytes();
        }
        // The last sync may have covered a slot that nobody settled.
        let left = self.runs.back().map_or(0, |run| run.end_offset);
        self.make_durable(self.high_watermark.max(left));
        self.end = self.high_watermark;
        self.epochs.cut(self.end);
        self.settled.cut();
    }

    /// Moves the log start up to `log_start`.
    fn trim(&mut self, log_start: Offset) {
        if log_start > self.log_start {
            self.log_start = log_start;
            self.epochs.trim(log_start);
            self.settled.trim(log_start);
        }
    }

    /// No log start may pass this.
    pub(crate) fn kept_from(&self) -> Offset {
        match self.settings.is_keyed {
            true => retention_floor(&self.checkpoints),
            false => Offset::MAX,
        }
    }

    pub fn size_bytes(&self) -> u64 {
        let segments: u64 = self.segments.iter().map(|s| s.meta().batch_bytes).sum();
        let from = self
            .runs
            .partition_point(|run| run.end_offset <= self.log_start);
        let tail: u64 = self.runs.range(from..).map(|run| run.bytes()).sum();
        segments + tail
    }

    /// Memory that the tail's bookkeeping takes, about.
    pub(crate) fn tail_index_bytes(&self) -> u64 {
        self.tail_index_bytes
    }

    /// True if a tail run lies in `file`.
    pub(crate) fn needs(&self, file: &Arc<WalFile>) -> bool {
        self.runs.front().is_some_and(|run| run.slot.is_in(file))
    }

    fn push_run(&mut self, run: Arc<Run>) {
        self.tail_index_bytes += run.index_bytes();
        self.runs.push_back(run);
    }

    /// Swaps segments and drops tail runs that are covered now.
    pub(crate) fn replace(
        &mut self,
        removed: &[FileId],
        added: Vec<Arc<SegmentReader>>,
        covered_to: Option<Offset>,
    ) {
        self.segments
            .retain(|segment| !removed.contains(&segment.meta().file));
        self.segments.extend(added);
        self.segments
            .sort_by_key(|segment| segment.meta().base_offset);
        self.covered_to = covered_to.unwrap_or(self.covered_to);
        while let Some(run) = self
            .runs
            .pop_front_if(|run| run.end_offset <= self.covered_to)
        {
            self.tail_index_bytes -= run.index_bytes();
        }
    }
}
