//! The table of one partition: overlay before engine.
//!
//! ```text
//! applied ≤ stable end                     applied ≤ folded to
//!    │ engine: everything below applied │ overlay: applied … folded to │
//! ```
//! A lookup reflects `min(stable end, folded to)`: changes beyond it stay in the overlay, skipped,
//! and the older row answers. The engine never passes that mark, because only changes below it are
//! flushed.
//!
//! With a merge engine, folding reads the rows before: `table/merging`. What reads the table whole
//! or in ranges is `table/view`, what reads how it changed `table/changes`.
//!
//! Locks: `folding` and `flushing` each serialise one kind of work and are held across I/O; `state`
//! is held for moments. Order: `folding`, `flushing`, `merger`, `state`.

mod changes;
mod merging;
mod view;

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tidelog_storage::ids::{Offset, PartitionId};

use crate::engine::{EngineError, KeyEngine, KeySnapshot};
use crate::fold::{self, Chunk, FoldError};
use crate::merge::Merger;
use crate::overlay::Overlay;
use crate::row::{Change, Row};

pub use self::changes::{ChangelogError, ChangelogPart};
pub use self::merging::CheckError;
pub use self::view::{Page, TableView};

/// Limits of one table, in bytes.
#[derive(Debug, Clone)]
pub struct TableOptions {
    /// What the overlay may hold before writers are to wait.
    pub overlay_bytes_max: usize,
    /// What one batch may decompress to.
    pub batch_bytes_max: usize,
    /// What one step moves to the engine while catching up.
    pub step_bytes: usize,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self {
            overlay_bytes_max: 64 << 20,
            batch_bytes_max: 128 << 20,
            step_bytes: 4 << 20,
        }
    }
}

/// Answer to a lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// One answer for each key, in their order.
    pub rows: Vec<Option<Row>>,
    /// The rows are the fold of all records below this offset and of none at or above it.
    pub reflects: Offset,
}

/// What folding a batch did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Folded {
    /// Records that changed the table. None, if all had been folded before.
    pub changes: usize,
    /// Records without a key, or with one too long: they are in the log, but in no table.
    pub passed_over: usize,
    /// Records that the merge engine keeps out of the table by its own rules: a second row under
    /// `first_row`, a lower version, a delete that is ignored or finds nothing.
    pub unchanged: usize,
    /// Records that the merge engine refuses, and that changed nothing.
    pub refused: usize,
}

/// What a flush step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlushStep {
    /// The engine now reflects everything below.
    pub applied: Offset,
    /// Memory that the overlay gave back.
    pub bytes: usize,
    /// More can be flushed at once.
    pub more: bool,
}

/// Why a table could not be brought up to the log. `E` is the error of reading the log.
#[derive(Debug, thiserror::Error)]
pub enum CatchUpError<E: std::error::Error + 'static> {
    #[error(transparent)]
    Fold(FoldError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("reading the log: {0}")]
    Read(#[source] E),
    /// The log's end is beyond what could be read of it.
    #[error("the log ends at {end}, but nothing could be read at {at}")]
    Missing { at: Offset, end: Offset },
}

impl<E: std::error::Error + 'static> From<FoldError> for CatchUpError<E> {
    /// An engine that fails is made anew, wherever it failed.
    fn from(error: FoldError) -> Self {
        match error {
            FoldError::Engine(error) => Self::Engine(error),
            other => Self::Fold(other),
        }
    }
}

/// One partition's table. Shared; every method may be called from any thread.
pub struct KeyedTable {
    partition: PartitionId,
    engine: Box<dyn KeyEngine>,
    options: TableOptions,
    merger: RwLock<Option<Arc<Merger>>>,
    state: RwLock<State>,
    folding: Mutex<()>,
    flushing: Mutex<()>,
}

struct State {
    overlay: Overlay,
    /// What the engine reflects.
    applied: Offset,
    folded_to: Offset,
    stable_end: Offset,
    /// Nothing from here on is flushed: the changelog has not been taken yet.
    held_from: Option<Offset>,
}

impl State {
    /// End of what may be shown.
    fn visible_end(&self) -> Offset {
        self.stable_end.min(self.folded_to)
    }

    /// End of what may be flushed.
    fn flushable_end(&self) -> Offset {
        let held_from = self.held_from.unwrap_or(Offset::MAX);
        self.visible_end().min(held_from)
    }
}

impl KeyedTable {
    /// A table over an engine that reflects everything below `applied`, which is stable.
    pub fn new(
        partition: PartitionId,
        engine: Box<dyn KeyEngine>,
        applied: Offset,
        options: TableOptions,
    ) -> Self {
        let state = State {
            overlay: Overlay::default(),
            applied,
            folded_to: applied,
            stable_end: applied,
            held_from: None,
        };
        Self {
            partition,
            engine,
            options,
            merger: RwLock::new(None),
            state: RwLock::new(state),
            folding: Mutex::new(()),
            flushing: Mutex::new(()),
        }
    }

    pub fn partition(&self) -> PartitionId {
        self.partition
    }

    /// Everything below was folded.
    pub fn folded_to(&self) -> Offset {
        self.state.read().folded_to
    }

    /// The engine reflects everything below.
    pub fn applied(&self) -> Offset {
        self.state.read().applied
    }

    /// Memory the overlay takes, in bytes, about.
    pub fn overlay_bytes(&self) -> usize {
        self.state.read().overlay.bytes()
    }

    /// False when writers must wait for a flush before they append more. Folding itself never
    /// refuses: what is in the log has to be folded. So the budget can be passed by what was
    /// admitted before it was reached.
    pub fn has_room(&self) -> bool {
        self.overlay_bytes() < self.options.overlay_bytes_max
    }

    /// Rows, about.
    pub fn approximate_rows(&self) -> u64 {
        self.engine.approximate_rows()
    }

    /// Moves the stable end up: everything below it is durable and decided. A lower one than before
    /// changes nothing.
    pub fn advance(&self, stable_end: Offset) {
        if stable_end > self.state.read().stable_end {
            let mut state = self.state.write();
            state.stable_end = state.stable_end.max(stable_end);
        }
    }

    /// Folds one batch. Records below [`folded_to`](Self::folded_to) were folded before and are
    /// passed; a batch of transactional records has to be decided, and committed.
    ///
    /// # Errors
    /// [`FoldError::Gap`] if batches before it are missing: read them from the log first. On any
    /// error nothing of it changes, but what [`folded_to`](Self::folded_to) says.
    pub fn fold(&self, batch: &Bytes) -> Result<Folded, FoldError> {
        let _one_at_a_time = self.folding.lock();
        self.fold_next(batch)
    }

    /// Declares that nothing below `end` is to be folded: aborted records, or offsets that
    /// compaction left empty.
    pub fn skip_to(&self, end: Offset) {
        let _one_at_a_time = self.folding.lock();
        self.pass_over(end);
    }

    /// The same for who folds already.
    fn pass_over(&self, end: Offset) {
        let mut state = self.state.write();
        state.folded_to = state.folded_to.max(end);
    }

    /// Folds the log up to `end`, which is stable. `read` answers a [`Chunk`] of it from the batch that
    /// holds an offset on, and may go beyond `end`: what lies there is folded, too, and waits in the
    /// overlay. The overlay is flushed whenever it is over its budget, so memory stays bounded however
    /// far behind the table is: where the changelog holds the overlay full, this stops before `end`
    /// without an error, and goes on when called after the changelog was taken.
    ///
    /// Any number of callers may ask for this at the same time: the first one does the work for
    /// all, the others find it done.
    pub fn catch_up<E: std::error::Error + 'static>(
        &self,
        end: Offset,
        mut read: impl FnMut(Offset) -> Result<Chunk, E>,
    ) -> Result<(), CatchUpError<E>> {
        self.advance(end);
        let _one_at_a_time = self.folding.lock();
        loop {
            let at = self.folded_to();
            if at >= end {
                return Ok(());
            }
            let chunk = read(at).map_err(CatchUpError::Read)?;
            for batch in chunk.pieces.into_iter().flat_map(fold::batches) {
                let (base, _) = fold::span(&batch)?;
                self.pass_over(base);
                self.fold_next(&batch)?;
                while !self.has_room() && self.flush_step(self.options.step_bytes)?.more {}
                if !self.has_room() && self.is_held() {
                    return Ok(());
                }
            }
            self.pass_over(chunk.end);
            if self.folded_to() == at {
                return Err(CatchUpError::Missing { at, end });
            }
        }
    }

    /// Looks keys up as of the stable end, of which the caller knows at least `stable_end`.
    pub fn lookup(&self, keys: &[Bytes], stable_end: Offset) -> Result<Lookup, EngineError> {
        self.advance(stable_end);
        let visible = |state: &State, key: &Bytes| {
            let change = state.overlay.get(key, state.visible_end())?;
            Some(change.row())
        };
        let (rows, reflects) = self.read_rows(keys, visible)?;
        Ok(Lookup { rows, reflects })
    }

    /// The rows of keys: what the overlay has of them, which `changed` says, else what the engine has.
    /// Also the visible end of that moment.
    fn read_rows(
        &self,
        keys: &[Bytes],
        changed: impl Fn(&State, &Bytes) -> Option<Option<Row>>,
    ) -> Result<(Vec<Option<Row>>, Offset), EngineError> {
        let mut rows = vec![None; keys.len()];
        let mut missing = Vec::new();
        let (visible_end, engine) = {
            let state = self.state.read();
            for (at, key) in keys.iter().enumerate() {
                match changed(&state, key) {
                    Some(row) => rows[at] = row,
                    None => missing.push(at),
                }
            }
            // Taken under the lock: what the overlay does not hold now, this snapshot does.
            let engine = (!missing.is_empty()).then(|| self.engine.snapshot());
            (state.visible_end(), engine.transpose()?)
        };
        if let Some(engine) = engine {
            let keys: Vec<_> = missing.iter().map(|at| keys[*at].clone()).collect();
            for (at, row) in missing.into_iter().zip(engine.get_many(&keys)?) {
                rows[at] = row;
            }
        }
        Ok((rows, visible_end))
    }

    /// Moves the oldest stable changes to the engine, about `max_bytes` of them.
    ///
    /// # Errors
    /// The engine failed: nothing is lost, but it has to be made anew.
    pub fn flush_step(&self, max_bytes: usize) -> Result<FlushStep, EngineError> {
        let _one_at_a_time = self.flushing.lock();
        let (cut, flushable_end, applied) = {
            let state = self.state.read();
            let flushable_end = state.flushable_end();
            let cut = state.overlay.cut(flushable_end, max_bytes);
            (cut, flushable_end, state.applied)
        };
        if cut.end > applied {
            self.engine.apply(&cut.changes, Some(cut.end))?;
            // Only now: until the engine answers for them, the overlay must.
            let mut state = self.state.write();
            state.overlay.drain(cut.end);
            state.applied = cut.end;
        }
        Ok(FlushStep {
            applied: cut.end.max(applied),
            bytes: cut.bytes,
            more: cut.end < flushable_end,
        })
    }

    /// Flushes everything that is stable now.
    pub fn flush(&self) -> Result<Offset, EngineError> {
        loop {
            let step = self.flush_step(self.options.step_bytes)?;
            if !step.more {
                return Ok(step.applied);
            }
        }
    }

    /// The engine at one moment, for a checkpoint: the exact fold up to
    /// [`KeySnapshot::applied`], all of it stable.
    pub fn snapshot(&self) -> Result<Box<dyn KeySnapshot>, EngineError> {
        self.engine.snapshot()
    }

    fn fold_next(&self, batch: &Bytes) -> Result<Folded, FoldError> {
        let (base, end) = fold::span(batch)?;
        let from = self.folded_to();
        if end <= from {
            return Ok(Folded::default());
        }
        if base > from {
            return Err(FoldError::Gap {
                expected: from,
                got: base,
            });
        }
        match self.merger() {
            Some(merger) if !merger.is_blind_from(from) => {
                self.fold_merging(&merger, batch, from, end)
            }
            _ => self.fold_blindly(batch, from, end),
        }
    }

    /// Each record is its row; the one before plays no part.
    fn fold_blindly(&self, batch: &Bytes, from: Offset, end: Offset) -> Result<Folded, FoldError> {
        let decoded = fold::decode(batch, from, self.options.batch_bytes_max, false)?;
        let folded = Folded {
            changes: decoded.changes.len(),
            passed_over: decoded.passed_over,
            ..Folded::default()
        };
        self.push(decoded.changes, end);
        Ok(folded)
    }

    fn push(&self, changes: Vec<Change>, end: Offset) {
        let mut state = self.state.write();
        for change in changes {
            state.overlay.push(change);
        }
        state.folded_to = end;
    }
}
