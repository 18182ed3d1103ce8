//! One partition's table through its life: closed, opening, open; or lost.

use std::sync::atomic::{AtomicBool, AtomicI64};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tidelog_keyed::checkpoint::{CheckpointReader, ReadError as CheckpointError};
use tidelog_keyed::scan::KeyRange;
use tidelog_keyed::{
    CatchUpError, ChangelogError, CheckError, Chunk, EngineError, EngineStore, FoldError, Home,
    KeyedTable, Lookup, OpenError, Opened, Start, TableOptions,
};
use tidelog_storage::ids::Offset;
use tidelog_storage::{InstallError, Partition, ReadEnd, ReadError};
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::checkpoints;
use super::merging::{BadMerge, Merging};
use super::snapshots::Snapshot;
use crate::log::Log;

/// One piece of the log that is folded.
const READ_BYTES: u64 = 4 << 20;

/// Before a table that failed is opened again.
const OPEN_AGAIN: Duration = Duration::from_secs(1);

/// Why a table does not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    #[error("the key index is being loaded")]
    Loading,
    #[error("{0}")]
    Lost(Arc<str>),
}

/// Why a table was not opened.
#[derive(Debug, thiserror::Error)]
enum NotOpened {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    CatchUp(#[from] CatchUpError<ReadError>),
    #[error("unreadable checkpoints are still named: {0}")]
    Install(#[from] InstallError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("the rows of its checkpoint were made by other rules than the topic's settings say")]
    OtherRules,
    #[error(transparent)]
    Changelog(#[from] ChangelogError),
}

/// An overlay beyond this many bytes is flushed before a snapshot: taking one looks at all of it.
const SNAPSHOT_OVERLAY_BYTES: usize = 1 << 20;

/// What a table is made of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistics {
    /// Lookups reflect every change below at least.
    pub reflects: Offset,
    /// The index on the disk reflects everything below.
    pub applied: Offset,
    /// Rows, about: replaced and deleted ones may still count, and the newest not yet.
    pub rows: u64,
    pub overlay_bytes: usize,
}

/// The table of one partition.
pub struct Table {
    partition: Arc<Partition>,
    options: TableOptions,
    /// `None` for a table of the newest records.
    merging: Option<Arc<Merging>>,
    phase: RwLock<Phase>,
    /// Held by whoever opens it, or writes a checkpoint of it.
    upkeep: Mutex<()>,
    /// The index waits for a rows file.
    pub(super) rows_wanted: AtomicBool,
    /// Earlier changes were in no rows file when the table was opened, and cannot be had.
    pub(super) changelog_from: AtomicI64,
}

enum Phase {
    /// To be opened, from a moment on, once nobody works on the one before any more.
    Closed {
        from: Option<Instant>,
        before: Option<Arc<KeyedTable>>,
    },
    Opening,
    Open(Arc<KeyedTable>),
    Lost(Arc<str>),
}

impl Table {
    /// A table to be opened; one that nobody knows the rule of is lost.
    pub(super) fn closed(
        partition: Arc<Partition>,
        options: TableOptions,
        merging: Result<Option<Merging>, BadMerge>,
    ) -> Self {
        let phase = match &merging {
            Ok(_) => Phase::Closed {
                from: None,
                before: None,
            },
            Err(error) => {
                error!(partition = %partition.id, %error, "the key table cannot be made");
                Phase::Lost(error.to_string().into())
            }
        };
        Self {
            partition,
            options,
            merging: merging.ok().flatten().map(Arc::new),
            phase: RwLock::new(phase),
            upkeep: Mutex::new(()),
            rows_wanted: AtomicBool::new(false),
            changelog_from: AtomicI64::new(0),
        }
    }

    pub fn partition(&self) -> &Arc<Partition> {
        &self.partition
    }

    /// By what records become rows; `None` if the newest record is the row.
    pub fn merging(&self) -> Option<&Arc<Merging>> {
        self.merging.as_ref()
    }

    /// False when writers must wait for a flush.
    pub fn has_room(&self) -> bool {
        self.opened().map_or(true, |table| table.has_room())
    }

    /// Whether there is nothing to fold below `end`, or nobody to fold it now.
    pub fn is_folded_to(&self, end: Offset) -> bool {
        self.opened().map_or(true, |table| table.folded_to() >= end)
    }

    /// Memory of the overlay, in bytes, about.
    pub(super) fn overlay_bytes(&self) -> usize {
        self.opened().map_or(0, |table| table.overlay_bytes())
    }

    pub(super) fn opened(&self) -> Result<Arc<KeyedTable>, NotReady> {
        match &*self.phase.read() {
            Phase::Open(table) => Ok(Arc::clone(table)),
            Phase::Closed { .. } | Phase::Opening => Err(NotReady::Loading),
            Phase::Lost(why) => Err(NotReady::Lost(Arc::clone(why))),
        }
    }

    /// Why the table will never be open again, if so.
    pub fn lost(&self) -> Option<NotReady> {
        match &*self.phase.read() {
            Phase::Lost(why) => Some(NotReady::Lost(Arc::clone(why))),
            Phase::Closed { .. } | Phase::Opening | Phase::Open(_) => None,
        }
    }

    pub(super) fn upkeep(&self) -> &Mutex<()> {
        &self.upkeep
    }

    /// Folds the log up to `end`, which is stable. Blocks; many may call at once.
    ///
    /// # Errors
    /// The table is not open, or failed now: it is then opened again, or lost. Or it has no room before
    /// its changes are in rows files.
    pub fn catch_up(&self, end: Offset) -> Result<(), NotReady> {
        let table = self.opened()?;
        self.fold_on(&table, end)?;
        match table.folded_to() >= end {
            true => Ok(()),
            false => Err(NotReady::Loading),
        }
    }

    /// Folds the log up to `end`, or as far as there is room.
    pub(super) fn fold_on(&self, table: &KeyedTable, end: Offset) -> Result<(), NotReady> {
        let folded = table.catch_up(end, |at| self.read(at));
        folded.map_err(|error| self.failed_to_fold(&error))
    }

    /// Whether the table would take every record of a batch, as it is now. While it is not open that is
    /// said without its rows. May read them: blocks.
    ///
    /// # Errors
    /// [`CheckError`] for the first record that it would refuse.
    pub fn check(&self, batch: &Bytes) -> Result<(), CheckError> {
        let Some(merging) = &self.merging else {
            return Ok(());
        };
        match self.opened().map(|table| table.check(batch)) {
            Ok(Err(CheckError::Fold(FoldError::Engine(error)))) => {
                self.failed(&error);
                merging.check(batch)
            }
            Ok(checked) => checked,
            Err(_) => merging.check(batch),
        }
    }

    /// The newest rows of keys, as of the stable end of this moment or a later one. Blocks.
    ///
    /// # Errors
    /// As [`Table::catch_up`].
    pub fn lookup(&self, keys: &[Bytes]) -> Result<Lookup, NotReady> {
        let stable_end = self.partition.marks().stable_end;
        if !self.is_folded_to(stable_end) {
            self.catch_up(stable_end)?;
        }
        let table = self.opened()?;
        table
            .lookup(keys, stable_end)
            .map_err(|error| self.failed(&error))
    }

    /// The table as of the stable end of this moment or a later one. Blocks.
    ///
    /// # Errors
    /// As [`Table::catch_up`].
    pub fn snapshot(self: &Arc<Self>) -> Result<Snapshot, NotReady> {
        let stable_end = self.partition.marks().stable_end;
        if !self.is_folded_to(stable_end) {
            self.catch_up(stable_end)?;
        }
        let table = self.opened()?;
        let view = || {
            if table.overlay_bytes() > SNAPSHOT_OVERLAY_BYTES {
                table.flush()?;
            }
            table.view(KeyRange::all(), stable_end)
        };
        let view = view().map_err(|error| self.failed(&error))?;
        Ok(Snapshot::new(
            Arc::clone(self),
            Arc::downgrade(&table),
            view,
        ))
    }

    /// # Errors
    /// The table is not open.
    pub fn statistics(&self) -> Result<Statistics, NotReady> {
        let table = self.opened()?;
        Ok(Statistics {
            reflects: table.folded_to().min(self.partition.marks().stable_end),
            applied: table.applied(),
            rows: table.approximate_rows(),
            overlay_bytes: table.overlay_bytes(),
        })
    }

    /// Whether it is open as it was then.
    pub(super) fn is_still(&self, then: &Weak<KeyedTable>) -> bool {
        let open = self.opened();
        open.is_ok_and(|open| std::ptr::eq(Arc::as_ptr(&open), then.as_ptr()))
    }

    /// Takes the table down after an engine failed, to be opened anew.
    pub(super) fn failed(&self, error: &EngineError) -> NotReady {
        self.close(error);
        NotReady::Loading
    }

    fn failed_to_fold(&self, error: &CatchUpError<ReadError>) -> NotReady {
        match error {
            // Whatever is in the log stays there: trying again would find the same.
            CatchUpError::Fold(_) => self.lose(error.to_string()),
            CatchUpError::Read(ReadError::Deleted) => NotReady::Loading,
            CatchUpError::Engine(_) | CatchUpError::Read(_) | CatchUpError::Missing { .. } => {
                self.close(error);
                NotReady::Loading
            }
        }
    }

    pub(super) fn close(&self, error: &dyn std::error::Error) {
        let partition = self.partition.id;
        warn!(%partition, %error, "the key table failed and is opened again");
        let mut phase = self.phase.write();
        let before = match std::mem::replace(&mut *phase, Phase::Opening) {
            Phase::Open(table) => Some(table),
            Phase::Closed { before, .. } => before,
            Phase::Opening | Phase::Lost(_) => None,
        };
        let from = Some(Instant::now() + OPEN_AGAIN);
        *phase = Phase::Closed { from, before };
    }

    fn lose(&self, why: String) -> NotReady {
        let partition = self.partition.id;
        error!(%partition, why, "the key table is lost; records are taken as ever");
        let why: Arc<str> = why.into();
        *self.phase.write() = Phase::Lost(Arc::clone(&why));
        NotReady::Lost(why)
    }

    fn read(&self, at: Offset) -> Result<Chunk, ReadError> {
        let plan = self
            .partition
            .plan_read_to(ReadEnd::StableEnd, at, READ_BYTES, true)?;
        let committed = self.partition.committed(at, plan.load()?)?;
        Ok(Chunk {
            pieces: committed.batches,
            end: committed.end,
        })
    }

    /// True once for whoever is to open it now.
    pub(super) fn is_to_be_opened(&self) -> bool {
        let mut phase = self.phase.write();
        let due = match &*phase {
            Phase::Closed { from, before } => {
                let is_free = before
                    .as_ref()
                    .is_none_or(|old| Arc::strong_count(old) == 1);
                is_free && from.is_none_or(|from| from <= Instant::now())
            }
            Phase::Opening | Phase::Open(_) | Phase::Lost(_) => false,
        };
        if due {
            *phase = Phase::Opening;
        }
        due
    }

    /// Opens the table on its index, or loads that anew, and folds what is stable. Blocks for as
    /// long as that takes.
    pub(super) fn open(&self, engines: &dyn EngineStore, log: &Log) {
        let _upkeep = self.upkeep.lock();
        match self.try_open(engines, log) {
            Ok(table) => *self.phase.write() = Phase::Open(Arc::new(table)),
            Err(error @ (NotOpened::Open(OpenError::Lost { .. }) | NotOpened::OtherRules)) => {
                self.lose(error.to_string());
            }
            Err(NotOpened::CatchUp(error)) => {
                self.failed_to_fold(&error);
            }
            Err(error) => self.close(&error),
        }
    }

    fn try_open(&self, engines: &dyn EngineStore, log: &Log) -> Result<KeyedTable, NotOpened> {
        let marks = self.partition.marks();
        let checkpoints = self.partition.checkpoints();
        let store = log.engine().store();
        // To the index the log ends where rows do: what lies beyond is to be folded again, for who builds
        // them. Unless there is no way back.
        let rows_to = self.partition.rows_to().min(marks.high_watermark);
        let mut home = Home {
            partition: self.partition.id,
            engines,
            disk: &store.disk,
            checkpoints: &checkpoints,
            log_start: marks.log_start,
            log_end: rows_to,
        };
        let mut opened = tidelog_keyed::open(&home, self.options.clone());
        if matches!(opened, Err(OpenError::Lost { .. })) && rows_to < marks.high_watermark {
            home.log_end = marks.high_watermark;
            opened = tidelog_keyed::open(&home, self.options.clone());
        }
        let Opened {
            table,
            start,
            unreadable,
        } = opened?;
        if let Err(error) = self.check_rules(&home, &start) {
            drop(table);
            // Else the next start would go on with these rows.
            engines
                .destroy(self.partition.id)
                .map_err(OpenError::from)?;
            return Err(error);
        }
        if !unreadable.is_empty() {
            let readable = checkpoints
                .into_iter()
                .filter(|meta| !unreadable.contains(&meta.file));
            checkpoints::install(log, &self.partition, readable.collect())?;
        }
        let table = match &self.merging {
            Some(merging) => merging.bring_to(table),
            None => table,
        };
        self.keep_changes(&table)?;
        table.catch_up(marks.stable_end, |at| self.read(at))?;
        info!(partition = %self.partition.id, start = ?start, "key table is open");
        Ok(table)
    }

    /// Whether the checkpoint that a table was made from has rows of the table's own rules.
    fn check_rules(&self, home: &Home<'_>, start: &Start) -> Result<(), NotOpened> {
        let Start::Rebuilt {
            checkpoint: Some(file),
            ..
        } = start
        else {
            return Ok(());
        };
        let Some(meta) = home.checkpoints.iter().find(|meta| meta.file == *file) else {
            return Ok(());
        };
        let made_by = CheckpointReader::open(&**home.disk, meta)?.rules()?;
        let own = self.merging.as_ref().map(|merging| merging.rules().clone());
        match made_by == own.unwrap_or_default() {
            true => Ok(()),
            false => Err(NotOpened::OtherRules),
        }
    }
}
