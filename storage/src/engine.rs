//! The threads around the parts: one appends, one syncs, one keeps house.
//!
//! ```text
//! append() ─▶ queue ─▶ [appender] ─▶ written slots ─▶ [syncer] ─▶ answers
//!                          │ WAL used up / spare wanted
//!                          ▼
//! tick(now) ──────────▶ [janitor] ─▶ segments, manifest, retention, recycling
//! ```
//! The parts know nothing of threads; tests drive them one step at a time.
//!
//! After a failed write or sync nothing more is appended: what is on disk is unknown until the next
//! start replays it. Readers go on with what was durable.

use std::collections::VecDeque;
use std::panic;
use std::process;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use parking_lot::{Condvar, Mutex};

use crate::appender::{Append, AppendError, Appender, GroupOutcome, Written};
use crate::checkpoint::CheckpointMeta;
use crate::ids::{Timestamp, TopicId};
use crate::janitor::{ChoreError, InstallError, Janitor};
use crate::partition::Partition;
use crate::recovery::Opened;
use crate::rows::RowsMeta;
use crate::store::{FlushMode, Store};
use crate::wal::WalSyncer;

/// Rows files that may wait to be taken. Each stands for a writer that waits.
const ROWS_WAITING_MAX: usize = 256;

/// Storage at work.
pub struct Engine {
    store: Arc<Store>,
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    appends: Mutex<AppendQueue>,
    /// Something changed that the appender may be waiting for.
    append_news: Condvar,
    written: Mutex<WrittenQueue>,
    written_news: Condvar,
    chores: Mutex<Chores>,
    chore_news: Condvar,
}

/// Bounded by the memory of request frames, which each append holds on to.
#[derive(Default)]
struct AppendQueue {
    waiting: VecDeque<Append>,
    bytes: usize,
    sync_under_way: bool,
    /// The WAL's budget is used up; wait for the janitor.
    out_of_space: bool,
    failed: Option<AppendError>,
    closing: bool,
}

#[derive(Default)]
struct WrittenQueue {
    slots: VecDeque<Written>,
    closing: bool,
}

#[derive(Default)]
struct Chores {
    tick: Option<Timestamp>,
    flush_wanted: bool,
    spare_wanted: bool,
    deleted: Vec<Arc<Partition>>,
    /// At most [`ROWS_WAITING_MAX`].
    rows: Vec<NewRows>,
    /// Each stands for a writer that waits.
    checkpoints: Vec<NewCheckpoints>,
    /// Waiting for moved log starts to be durable.
    persist: Vec<Persisted>,
    closing: bool,
}

/// Told whether a file is part of its partition now.
pub type Installed = Box<dyn FnOnce(Result<(), InstallError>) + Send>;

struct NewRows {
    partition: Arc<Partition>,
    meta: RowsMeta,
    done: Installed,
}

struct NewCheckpoints {
    partition: Arc<Partition>,
    checkpoints: Vec<CheckpointMeta>,
    done: Installed,
}

/// Told whether moved log starts are durable now.
pub type Persisted = Box<dyn FnOnce(Result<(), String>) + Send>;

impl Engine {
    /// Starts the threads over what recovery opened.
    pub fn start(opened: Opened) -> Self {
        let Opened {
            store,
            appender,
            syncer,
            janitor,
            ..
        } = opened;
        let shared = Arc::new(Shared {
            appends: Mutex::default(),
            append_news: Condvar::new(),
            written: Mutex::default(),
            written_news: Condvar::new(),
            chores: Mutex::default(),
            chore_news: Condvar::new(),
        });
        let threads = vec![
            spawn("tidelog-append", {
                let (shared, store) = (Arc::clone(&shared), Arc::clone(&store));
                move || run_appender(&shared, &store, appender)
            }),
            spawn("tidelog-sync", {
                let (shared, store) = (Arc::clone(&shared), Arc::clone(&store));
                move || run_syncer(&shared, &store, &syncer)
            }),
            spawn("tidelog-janitor", {
                let shared = Arc::clone(&shared);
                move || run_janitor(&shared, janitor)
            }),
        ];
        Self {
            store,
            shared,
            threads: Mutex::new(threads),
        }
    }

    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Hands batches over, in order. Each is answered through its sink exactly once.
    pub fn append(&self, appends: impl IntoIterator<Item = Append>) {
        let mut queue = self.shared.appends.lock();
        if let Some(error) = queue.refusal() {
            drop(queue);
            return refuse(appends, &error);
        }
        for append in appends {
            queue.bytes += append.batch.len();
            queue.waiting.push_back(append);
        }
        drop(queue);
        self.shared.append_news.notify_one();
    }

    /// Tells the time to the janitor: retention, flushes, merges, removals. Called about every
    /// second; skipped if it is still busy with the last one.
    pub fn tick(&self, now: Timestamp) {
        self.shared.chores.lock().tick = Some(now);
        self.shared.chore_news.notify_one();
    }

    /// Deletes a topic's partitions; their files go in the background.
    pub fn delete_topic(&self, topic: TopicId) {
        self.delete(self.store.take_topic(topic));
    }

    /// Deletes what belongs to no known topic: a deletion that a stop interrupted.
    pub fn delete_unknown(&self, is_known: impl Fn(TopicId) -> bool) {
        self.delete(self.store.take_unknown(is_known));
    }

    fn delete(&self, partitions: Vec<Arc<Partition>>) {
        self.shared.chores.lock().deleted.extend(partitions);
        self.shared.chore_news.notify_one();
    }

    /// Makes log starts that were moved durable (see `Partition::delete_records`), then tells `done`
    /// on a storage thread.
    pub fn persist_log_starts(&self, done: Persisted) {
        let mut chores = self.shared.chores.lock();
        if chores.closing {
            drop(chores);
            return done(Err("the broker is shutting down".into()));
        }
        chores.persist.push(done);
        drop(chores);
        self.shared.chore_news.notify_one();
    }

    /// Makes a finished rows file part of its partition, then tells `done` on a storage thread: see
    /// [`Janitor::install_rows`].
    pub fn install_rows(&self, partition: Arc<Partition>, meta: RowsMeta, done: Installed) {
        let mut chores = self.shared.chores.lock();
        let refusal = match chores.rows.len() {
            _ if chores.closing => InstallError::Closing,
            ..ROWS_WAITING_MAX => {
                chores.rows.push(NewRows {
                    partition,
                    meta,
                    done,
                });
                drop(chores);
                self.shared.chore_news.notify_one();
                return;
            }
            _ => InstallError::Busy,
        };
        drop(chores);
        done(Err(refusal));
    }

    /// Makes these the partition's key checkpoints, then tells `done` on a storage thread: see
    /// [`Janitor::install_checkpoints`].
    pub fn install_checkpoints(
        &self,
        partition: Arc<Partition>,
        checkpoints: Vec<CheckpointMeta>,
        done: Installed,
    ) {
        let mut chores = self.shared.chores.lock();
        if chores.closing {
            drop(chores);
            return done(Err(InstallError::Closing));
        }
        chores.checkpoints.push(NewCheckpoints {
            partition,
            checkpoints,
            done,
        });
        drop(chores);
        self.shared.chore_news.notify_one();
    }

    /// Why appends are refused, if they are.
    pub fn failure(&self) -> Option<AppendError> {
        self.shared.appends.lock().failed.clone()
    }

    /// Finishes what was handed over, syncs it, notes the clean end and stops the threads.
    pub fn close(&self) {
        self.shared.appends.lock().closing = true;
        self.shared.append_news.notify_one();
        let mut threads = self.threads.lock();
        // Appender first, then syncer, then janitor: each still serves the one before it.
        let mut threads = threads.drain(..);
        join(threads.next());
        self.shared.written.lock().closing = true;
        self.shared.written_news.notify_one();
        join(threads.next());
        self.shared.chores.lock().closing = true;
        self.shared.chore_news.notify_one();
        join(threads.next());
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}

impl AppendQueue {
    fn refusal(&self) -> Option<AppendError> {
        if self.closing {
            return Some(AppendError::Storage("the broker is shutting down".into()));
        }
        self.failed.clone()
    }

    fn is_ready(&self, options: &crate::store::Options) -> bool {
        !self.waiting.is_empty()
            && !self.out_of_space
            && (!self.sync_under_way || self.bytes >= options.slot_bytes_while_syncing)
    }

    /// The next group: at least one batch, at most a slot's worth.
    fn take_group(&mut self, bytes_max: usize) -> Vec<Append> {
        let mut group = Vec::new();
        let mut bytes = 0;
        while let Some(next) = self.waiting.front() {
            if !group.is_empty() && bytes + next.batch.len() > bytes_max {
                break;
            }
            bytes += next.batch.len();
            group.extend(self.waiting.pop_front());
        }
        self.bytes -= bytes;
        group
    }

    fn put_back(&mut self, group: Vec<Append>) {
        for append in group.into_iter().rev() {
            self.bytes += append.batch.len();
            self.waiting.push_front(append);
        }
        self.out_of_space = true;
    }
}

impl Shared {
    /// The next group to write; `None` once closing and empty, or failed.
    fn next_group(&self, store: &Store) -> Option<Vec<Append>> {
        let mut queue = self.appends.lock();
        loop {
            if queue.failed.is_some() || (queue.closing && queue.waiting.is_empty()) {
                return None;
            }
            if queue.is_ready(&store.options) {
                return Some(queue.take_group(store.options.slot_bytes_max));
            }
            self.append_news.wait(&mut queue);
        }
    }

    fn want(&self, change: impl FnOnce(&mut Chores)) {
        change(&mut self.chores.lock());
        self.chore_news.notify_one();
    }

    /// Ends all appending, answering everybody who waits.
    fn fail(&self, error: &AppendError) {
        tracing::error!(%error, "storage failed; appends are refused until the next start");
        let mut queue = self.appends.lock();
        queue.failed.get_or_insert_with(|| error.clone());
        let waiting = std::mem::take(&mut queue.waiting);
        queue.bytes = 0;
        drop(queue);
        refuse(waiting, error);
        let slots = std::mem::take(&mut self.written.lock().slots);
        slots.into_iter().for_each(|slot| slot.fail(error));
        self.append_news.notify_one();
    }

    fn space_may_be_there(&self) {
        self.appends.lock().out_of_space = false;
        self.append_news.notify_one();
    }

    /// The WAL cannot be relieved: whoever waits for that gets an answer instead, and may try again.
    fn no_space(&self, error: &AppendError) {
        let mut queue = self.appends.lock();
        if !std::mem::take(&mut queue.out_of_space) {
            return;
        }
        let waiting = std::mem::take(&mut queue.waiting);
        queue.bytes = 0;
        drop(queue);
        refuse(waiting, error);
        self.append_news.notify_one();
    }

    fn set_syncing(&self, under_way: bool) {
        self.appends.lock().sync_under_way = under_way;
        if !under_way {
            self.append_news.notify_one();
        }
    }
}

fn run_appender(shared: &Shared, store: &Store, mut appender: Appender) {
    let mut spare_asked_for = false;
    while let Some(group) = shared.next_group(store) {
        match appender.append(group) {
            Ok(GroupOutcome::Written(written)) => {
                if store.options.flush_mode == FlushMode::Os {
                    written.settle();
                } else {
                    shared.written.lock().slots.push_back(written);
                    shared.written_news.notify_one();
                }
            }
            Ok(GroupOutcome::Settled) => {}
            Ok(GroupOutcome::WaitForSpace(group)) => {
                shared.appends.lock().put_back(group);
                shared.want(|chores| chores.flush_wanted = true);
            }
            Err(error) => shared.fail(&error),
        }
        let half_full = appender.writer().fill() > 0.5;
        if half_full && !spare_asked_for {
            shared.want(|chores| chores.spare_wanted = true);
        }
        spare_asked_for = half_full;
    }
    if shared.appends.lock().failed.is_none() {
        appender.close();
    }
}

fn run_syncer(shared: &Shared, store: &Store, syncer: &WalSyncer) {
    loop {
        let mut queue = shared.written.lock();
        while queue.slots.is_empty() && !queue.closing {
            shared.written_news.wait(&mut queue);
        }
        if queue.slots.is_empty() {
            break;
        }
        drop(queue);
        if !sync_once(shared, store, syncer) {
            return;
        }
    }
    // The note of a clean end was written last of all.
    if let Err(error) = syncer.sync() {
        tracing::error!(%error, "the last sync of the WAL failed");
    }
}

/// Syncs what is written and answers it; false after a failure.
fn sync_once(shared: &Shared, store: &Store, syncer: &WalSyncer) -> bool {
    shared.set_syncing(true);
    let synced = syncer.sync();
    shared.set_syncing(false);
    store.count_sync();
    match synced {
        Ok(synced_to) => {
            let mut queue = shared.written.lock();
            let durable = queue.slots.partition_point(|slot| slot.number < synced_to);
            let slots: Vec<_> = queue.slots.drain(..durable).collect();
            drop(queue);
            slots.into_iter().for_each(Written::settle);
            true
        }
        Err(error) => {
            shared.fail(&AppendError::Storage(format!("sync of the WAL: {error}")));
            false
        }
    }
}

fn run_janitor(shared: &Shared, mut janitor: Janitor) {
    loop {
        let mut chores = shared.chores.lock();
        while chores.is_idle() {
            shared.chore_news.wait(&mut chores);
        }
        let mut todo = std::mem::take(&mut *chores);
        chores.closing = todo.closing;
        drop(chores);
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
        let done = do_chores(&mut janitor, todo);
        match &done {
            // More of the WAL is to be flushed; other chores get their turn in between.
            Ok(true) => shared.want(|chores| chores.flush_wanted = true),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "housekeeping failed; it will be tried again"),
        }
        match done {
            Ok(_) => shared.space_may_be_there(),
            Err(error) => shared.no_space(&AppendError::NoSpace(error.to_string())),
        }
    }
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

impl Chores {
    fn is_idle(&self) -> bool {
        self.tick.is_none()
            && !self.flush_wanted
            && !self.spare_wanted
            && self.deleted.is_empty()
            && self.rows.is_empty()
            && self.checkpoints.is_empty()
            && self.persist.is_empty()
            && !self.closing
    }
}

/// True if the WAL wants more flushing.
fn do_chores(janitor: &mut Janitor, todo: Chores) -> Result<bool, ChoreError> {
    if !todo.deleted.is_empty() {
        janitor.forget(&todo.deleted)?;
    }
    if todo.spare_wanted {
        janitor.prepare_spare();
    }
    if let Some(now) = todo.tick {
        janitor.tick(now)?;
    }
    janitor.relieve_wal(todo.flush_wanted)
}

fn refuse(appends: impl IntoIterator<Item = Append>, error: &AppendError) {
    for append in appends {
        append.sink.appended(append.tag, Err(error.clone()));
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            // Half an engine would answer nobody; the log is made to survive a sudden end.
            let whole = panic::catch_unwind(panic::AssertUnwindSafe(body));
            if whole.is_err() {
                process::abort();
            }
        })
        .expect("a process that cannot start three threads cannot serve")
}

fn join(thread: Option<JoinHandle<()>>) {
    if let Some(thread) = thread {
        // It aborts the process rather than panic.
        let _ = thread.join();
    }
}
