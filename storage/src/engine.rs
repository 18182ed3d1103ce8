//! The threads around the parts: one appends, one syncs, one keeps house.
//!
//! ```text
//! append() ─▶ queue ─▶ [appender] ─▶ written slots ─▶ [syncer] ─▶ answers
//!                          │ WAL used up / spare wanted   │ failed
//!                          ▼                              ▼
//! tick(now) ──────────▶ [janitor] ─▶ segments, manifest, retention, recycling, re-opening
//! ```
//! The parts know nothing of threads; tests drive them one step at a time.
//!
//! A failed write or sync is the end of an incarnation: everybody who waits is told, its appender and
//! syncer end, and the janitor goes back to what is durable and begins a new incarnation. Until it
//! has, now or at a later tick, appends are refused with [`AppendError::Storage`]; readers go on with
//! what was durable throughout.

mod appends;
mod chores;
mod line;
mod patience;

use std::panic;
use std::process;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use parking_lot::{Condvar, Mutex};

use crate::appender::AppendError;
use crate::checkpoint::CheckpointMeta;
use crate::ids::{Timestamp, TopicId};
use crate::janitor::{InstallError, Reopened};
use crate::partition::{Partition, Watch, Watchers};
use crate::recovery::Opened;
use crate::request::Request;
use crate::rows::RowsMeta;
use crate::store::Store;
use appends::AppendQueue;
use chores::{Chores, NewCheckpoints, NewRows, ROWS_WAITING_MAX};
use line::{Line, WrittenQueue};

/// What is added to the niceness of the janitor's thread.
const JANITOR_NICENESS: i32 = 5;

pub use chores::{Installed, Persisted};

/// Storage at work.
pub struct Engine {
    shared: Arc<Shared>,
    janitor: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    store: Arc<Store>,
    appends: Mutex<AppendQueue>,
    /// Something changed that the appender may be waiting for.
    append_news: Condvar,
    written: Mutex<WrittenQueue>,
    written_news: Condvar,
    chores: Mutex<Chores>,
    chore_news: Condvar,
    /// The appender and the syncer of the present incarnation; `None` while there is none.
    line: Mutex<Option<Line>>,
    /// Told when storage fails, and when it is open again.
    watchers: Watchers,
}

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
            store,
            appends: Mutex::default(),
            append_news: Condvar::new(),
            written: Mutex::default(),
            written_news: Condvar::new(),
            chores: Mutex::default(),
            chore_news: Condvar::new(),
            line: Mutex::default(),
            watchers: Watchers::default(),
        });
        shared.start_line(appender, syncer);
        let janitor = spawn("tidelog-janitor", {
            let shared = Arc::clone(&shared);
            move || {
                step_back();
                chores::run(&shared, janitor);
            }
        });
        Self {
            shared,
            janitor: Mutex::new(Some(janitor)),
        }
    }

    pub fn store(&self) -> &Arc<Store> {
        &self.shared.store
    }

    /// Hands batches over, in order. Each is answered through its sink exactly once.
    pub fn append(&self, requests: impl IntoIterator<Item = impl Into<Request>>) {
        let requests = requests.into_iter().map(Into::into);
        let mut queue = self.shared.appends.lock();
        if let Some(error) = queue.refusal() {
            drop(queue);
            return appends::refuse(requests, &error);
        }
        queue.push(requests);
        drop(queue);
        self.shared.append_news.notify_one();
    }

    /// Tells the time to the janitor: retention, flushes, merges, removals, re-opening. Called about
    /// every second; skipped if it is still busy with the last one.
    pub fn tick(&self, now: Timestamp) {
        self.shared.want(|chores| chores.tick = Some(now));
    }

    /// Deletes a topic's partitions; their files go in the background.
    pub fn delete_topic(&self, topic: TopicId) {
        self.delete(self.shared.store.take_topic(topic));
    }

    /// Deletes what belongs to no known topic: a deletion that a stop interrupted.
    pub fn delete_unknown(&self, is_known: impl Fn(TopicId) -> bool) {
        self.delete(self.shared.store.take_unknown(is_known));
    }

    fn delete(&self, partitions: Vec<Arc<Partition>>) {
        self.shared.want(|chores| chores.deleted.extend(partitions));
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
    /// [`Janitor::install_rows`](crate::janitor::Janitor::install_rows).
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
    /// [`Janitor::install_checkpoints`](crate::janitor::Janitor::install_checkpoints).
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
        self.shared.failure()
    }

    /// Calls `watch` whenever [`failure`](Self::failure) changes, for as long as the engine lives.
    pub fn watch_failure(&self, watch: Arc<dyn Watch>) {
        self.shared.watchers.add(watch);
    }

    /// Finishes what was handed over, syncs it, notes the clean end and stops the threads.
    pub fn close(&self) {
        self.shared.appends.lock().closing = true;
        // Appender first, then syncer, then janitor: each still serves the one before it.
        self.shared.join_line();
        self.shared.want(|chores| chores.closing = true);
        join(self.janitor.lock().take());
        // The janitor may just have begun a new incarnation.
        self.shared.join_line();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn want(&self, change: impl FnOnce(&mut Chores)) {
        change(&mut self.chores.lock());
        self.chore_news.notify_one();
    }

    fn failure(&self) -> Option<AppendError> {
        self.appends.lock().failed.clone()
    }

    /// Ends this incarnation: its threads stop, and the janitor answers everybody who waits and
    /// begins a new one.
    fn fail(&self, error: &AppendError) {
        let mut queue = self.appends.lock();
        let is_news = queue.failed.is_none();
        queue.failed.get_or_insert_with(|| error.clone());
        drop(queue);
        self.append_news.notify_one();
        self.written.lock().has_failed = true;
        self.written_news.notify_one();
        if is_news {
            tracing::error!(%error, "storage failed; appends are refused until it is open again");
            self.want(|chores| chores.reopening = true);
            self.watchers.wake();
        }
    }

    /// Goes on with a new incarnation, unless the engine is being closed.
    fn resume(self: &Arc<Self>, reopened: Reopened) {
        let Reopened {
            appender, syncer, ..
        } = reopened;
        let mut queue = self.appends.lock();
        if queue.closing {
            return;
        }
        *queue = AppendQueue::default();
        drop(queue);
        self.start_line(appender, syncer);
        self.watchers.wake();
    }
}

/// For the calling thread: where processors are short, appends come first.
fn step_back() {
    // No id means the calling thread, as Linux counts.
    if let Err(error) = rustix::process::setpriority_process(None, JANITOR_NICENESS) {
        tracing::debug!(%error, "the janitor keeps its priority");
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
