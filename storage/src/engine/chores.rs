//! Background work: what waits for the janitor, and the thread that has it done.

use std::sync::Arc;

use super::Shared;
use super::patience::Patience;
use crate::appender::AppendError;
use crate::checkpoint::CheckpointMeta;
use crate::ids::Timestamp;
use crate::janitor::{ChoreError, InstallError, Janitor};
use crate::partition::Partition;
use crate::rows::RowsMeta;

/// Rows files that may wait to be taken. Each stands for a writer that waits.
pub(super) const ROWS_WAITING_MAX: usize = 256;

#[derive(Default)]
pub(super) struct Chores {
    pub tick: Option<Timestamp>,
    pub flush_wanted: bool,
    pub spare_wanted: bool,
    pub compaction_wanted: bool,
    /// Storage failed.
    pub reopening: bool,
    pub deleted: Vec<Arc<Partition>>,
    /// At most [`ROWS_WAITING_MAX`].
    pub rows: Vec<NewRows>,
    /// Each stands for a writer that waits.
    pub checkpoints: Vec<NewCheckpoints>,
    /// Waiting for moved log starts to be durable.
    pub persist: Vec<Persisted>,
    pub closing: bool,
}

/// Told whether a file is part of its partition now.
pub type Installed = Box<dyn FnOnce(Result<(), InstallError>) + Send>;

pub(super) struct NewRows {
    pub partition: Arc<Partition>,
    pub meta: RowsMeta,
    pub done: Installed,
}

pub(super) struct NewCheckpoints {
    pub partition: Arc<Partition>,
    pub checkpoints: Vec<CheckpointMeta>,
    pub done: Installed,
}

/// Told whether moved log starts are durable now.
pub type Persisted = Box<dyn FnOnce(Result<(), String>) + Send>;

impl Chores {
    fn is_idle(&self) -> bool {
        self.tick.is_none()
            && !self.flush_wanted
            && !self.spare_wanted
            && !self.compaction_wanted
            && !self.reopening
            && self.deleted.is_empty()
            && self.rows.is_empty()
            && self.checkpoints.is_empty()
            && self.persist.is_empty()
            && !self.closing
    }
}

impl Shared {
    /// Waits for something to do.
    fn next_chores(&self) -> Chores {
        let mut chores = self.chores.lock();
        while chores.is_idle() {
            self.chore_news.wait(&mut chores);
        }
        let todo = std::mem::take(&mut *chores);
        chores.closing = todo.closing;
        todo
    }
}

/// The janitor's thread.
pub(super) fn run(shared: &Arc<Shared>, mut janitor: Janitor) {
    let mut patience = Patience::default();
    loop {
        let mut todo = shared.next_chores();
        if let Some(error) = shared.failure() {
            shared.bury_line(|| janitor.synced_to(), &error);
            let now = todo.tick.unwrap_or_else(|| janitor.now());
            if !todo.closing && patience.is_over(now) {
                reopen(shared, &mut janitor);
            }
        }
        let persist = std::mem::take(&mut todo.persist);
        // Every tick does this too; here only for those who wait, and for the last time.
        if todo.closing || !persist.is_empty() {
            tell(persist, janitor.persist_log_starts());
        }
        install(shared, &mut janitor, std::mem::take(&mut todo.rows));
        let checkpoints = std::mem::take(&mut todo.checkpoints);
        install_checkpoints(shared, &mut janitor, checkpoints);
        if todo.closing {
            return;
        }
        keep_house(shared, &mut janitor, todo);
    }
}

/// Begins a new incarnation, or fails to.
fn reopen(shared: &Arc<Shared>, janitor: &mut Janitor) {
    match janitor.reopen() {
        Ok(reopened) => {
            let incarnation = reopened.incarnation_number;
            let first_slot = reopened.first_slot;
            tracing::warn!(incarnation, first_slot, "storage is open again");
            shared.resume(reopened);
        }
        Err(error) => tracing::error!(%error, "storage could not be opened again; trying later"),
    }
}

/// Does what is to be done, and lets appends that wait for space know.
fn keep_house(shared: &Shared, janitor: &mut Janitor, todo: Chores) {
    match do_chores(janitor, todo) {
        Ok(more) => {
            // Other chores get their turn in between.
            if more.flushing || more.compaction {
                shared.want(|chores| {
                    chores.flush_wanted |= more.flushing;
                    chores.compaction_wanted |= more.compaction;
                });
            }
            shared.space_may_be_there();
        }
        Err(error) => {
            tracing::warn!(%error, "housekeeping failed; it will be tried again");
            shared.no_space(&AppendError::NoSpace(error.to_string()));
        }
    }
}

/// What is left to be done at once.
struct More {
    flushing: bool,
    compaction: bool,
}

fn do_chores(janitor: &mut Janitor, todo: Chores) -> Result<More, ChoreError> {
    if !todo.deleted.is_empty() {
        janitor.forget(&todo.deleted)?;
    }
    if todo.spare_wanted {
        janitor.prepare_spare();
    }
    if let Some(now) = todo.tick {
        janitor.tick(now)?;
    }
    let is_time_to_compact = todo.tick.is_some() || todo.compaction_wanted;
    Ok(More {
        flushing: janitor.relieve_wal(todo.flush_wanted)?,
        compaction: is_time_to_compact && janitor.compact()?,
    })
}

fn tell(waiting: Vec<Persisted>, outcome: Result<(), ChoreError>) {
    let outcome = outcome.map_err(|error| error.to_string());
    for done in waiting {
        done(outcome.clone());
    }
}

fn install(shared: &Shared, janitor: &mut Janitor, waiting: Vec<NewRows>) {
    for rows in waiting {
        let installed = janitor.install_rows(&rows.partition, rows.meta);
        told(shared, installed, rows.done);
    }
}

fn install_checkpoints(shared: &Shared, janitor: &mut Janitor, waiting: Vec<NewCheckpoints>) {
    for new in waiting {
        let installed = janitor.install_checkpoints(&new.partition, new.checkpoints);
        told(shared, installed, new.done);
    }
}

fn told(shared: &Shared, installed: Result<(), InstallError>, done: Installed) {
    if let Err(InstallError::Wal(error)) = &installed {
        shared.fail(&AppendError::Storage(format!("sync of the WAL: {error}")));
    }
    done(installed);
}
