//! Keyed tables: the row of each key, of every topic with `tidelog.table.key=record_key`.
//!
//! ```text
//! produce ─▶ rules (right partition?) ─▶ log ─▶ fold ─▶ answer
//!                                                │
//! lookup ◀── table: overlay ◀───────────────────┘
//!                     │ flush: behind, stable records only
//!                     ▼
//!              index ─▶ checkpoints ─▶ manifest ─▶ retention may go on
//! ```
//! - The log is the truth. A produce with `acks=all` is answered once its records are folded; a
//!   lookup first folds what is stable and nobody has folded yet. So what was acknowledged is seen.
//! - A table that is not open (being loaded, or made anew after its index failed) holds up no
//!   produce; lookups are told to come again.
//! - What a row is made of, its topic's settings for merging say: [`Merging`]. A batch is checked
//!   against it before it is written.
//! - Bounded: writers wait while the overlays are at their share of the memory budget; snapshots of
//!   scans that nobody goes on with are given up.
//! - One task opens and flushes, another writes checkpoints, on threads that may block.
//!
//! - Its rows are what happened to it, taken from the table by `jobs/rows` and kept back from the index
//!   until they are in files: [`changelog`].
//!
//! Keyed topics have no lake table yet.

mod changelog;
mod checkpoints;
mod decoder;
mod flush;
mod merging;
mod no_rows;
mod rules;
mod snapshots;
mod table;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use tidelog_coordinator::cluster::settings::TableKey;
use tidelog_keyed::{EngineError, EngineStore, FjallOptions, FjallStore, TableOptions, checkpoint};
use tidelog_storage::ids::{PartitionId, TopicId};
use tokio::sync::futures::Notified;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{error, warn};
use uuid::Uuid;

pub use self::merging::{BadMerge, Merging};
pub use self::rules::{RulesError, check, rules_of};
pub use self::snapshots::{Snapshot, Snapshots};
pub use self::table::{NotReady, Statistics, Table};
use crate::log::Log;
use crate::owners::cluster::{ClusterHandle, View};
use crate::settings::Settings;
use crate::shutdown::ShutdownSignal;

/// The parts of the memory budget that overlays and index blocks may take.
const OVERLAY_PART: usize = 8;
const CACHE_PART: usize = 16;
/// And what snapshots may hold beside that.
const SNAPSHOT_PART: usize = 32;

/// Between two attempts to open the index database.
const OPEN_AGAIN: Duration = Duration::from_millis(200);

/// The keyed tables of this broker.
pub struct Keyed {
    log: Arc<Log>,
    cluster: ClusterHandle,
    data_dir: PathBuf,
    tables: RwLock<HashMap<PartitionId, Arc<Table>>>,
    memory_budget_bytes: usize,
    /// Of all overlays, as of the last flush.
    overlay_bytes: AtomicUsize,
    flush_wanted: Notify,
    flushed: Notify,
    /// A table was opened, or was found lost.
    opened: Notify,
    snapshots: Snapshots,
    checkpoint_bytes_min: u64,
    /// Whoever rules out partitioner rules has this.
    rules_turn: Mutex<()>,
}

impl std::fmt::Debug for Keyed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyed").finish_non_exhaustive()
    }
}

impl Keyed {
    pub fn new(log: Arc<Log>, cluster: ClusterHandle, settings: &Settings) -> Self {
        let memory_budget_bytes =
            usize::try_from(settings.memory_budget_bytes).unwrap_or(usize::MAX);
        Self {
            log,
            cluster,
            data_dir: settings.data_dir.clone(),
            tables: RwLock::default(),
            memory_budget_bytes,
            overlay_bytes: AtomicUsize::new(0),
            flush_wanted: Notify::new(),
            flushed: Notify::new(),
            opened: Notify::new(),
            snapshots: Snapshots::new(memory_budget_bytes / SNAPSHOT_PART),
            checkpoint_bytes_min: settings.keyed_checkpoint_bytes.unsigned_abs(),
            rules_turn: Mutex::new(()),
        }
    }

    /// The table of a partition; `None` if its topic is not keyed, or was made this moment, or the
    /// index database is not open yet.
    pub fn table(&self, topic: Uuid, index: i32) -> Option<Arc<Table>> {
        let topic = TopicId(topic.into_bytes());
        self.tables
            .read()
            .get(&PartitionId { topic, index })
            .cloned()
    }

    /// As [`table`](Self::table), once it is open.
    ///
    /// # Errors
    /// It is not, yet or for good.
    pub fn open_table(&self, topic: Uuid, index: i32) -> Result<Arc<Table>, NotReady> {
        let table = self.table(topic, index).ok_or(NotReady::Loading)?;
        table.opened().map(|_| table)
    }

    /// Ends when a table has been opened, or found lost, since this was enabled.
    pub fn opened(&self) -> Notified<'_> {
        self.opened.notified()
    }

    /// What scans go on with.
    pub fn snapshots(&self) -> &Snapshots {
        &self.snapshots
    }

    /// Waits until the tables can take more, until `deadline` at the latest; false if they cannot.
    pub async fn room(&self, tables: &[Arc<Table>], deadline: Instant) -> bool {
        loop {
            let flushed = self.flushed.notified();
            tokio::pin!(flushed);
            // Before the look: a flush between the two is not missed.
            flushed.as_mut().enable();
            if !self.is_full() && tables.iter().all(|table| table.has_room()) {
                return true;
            }
            self.flush_wanted.notify_one();
            if tokio::time::timeout_at(deadline, flushed).await.is_err() {
                return false;
            }
        }
    }

    /// Folds a table's log up to `end`, or to its stable end if that comes first. A table that is
    /// not open catches up later.
    pub async fn fold(&self, table: &Arc<Table>, end: i64) {
        let end = end.min(table.partition().marks().stable_end);
        if table.is_folded_to(end) {
            return;
        }
        let table = Arc::clone(table);
        // It notes what went wrong itself; the records are in the log.
        self.log.blocking(move || drop(table.catch_up(end))).await;
    }

    /// Whether writers wait for room.
    pub fn is_full(&self) -> bool {
        self.overlay_bytes.load(Ordering::Relaxed) >= self.overlay_bytes_max()
    }

    fn overlay_bytes_max(&self) -> usize {
        self.memory_budget_bytes / OVERLAY_PART
    }

    fn table_options(&self) -> TableOptions {
        TableOptions {
            overlay_bytes_max: self.overlay_bytes_max(),
            ..TableOptions::default()
        }
    }

    fn all(&self) -> Vec<Arc<Table>> {
        self.tables.read().values().cloned().collect()
    }

    /// Brings tables in line with the image; answers those whose topics are gone.
    fn follow(&self, view: &View) -> Vec<PartitionId> {
        let wanted: HashSet<_> = keyed_partitions(view).collect();
        let mut tables = self.tables.write();
        for id in &wanted {
            if tables.contains_key(id) {
                continue;
            }
            if let Some(partition) = self.log.engine().store().partition(*id)
                && let Some(topic) = view.image.topic_by_id(Uuid::from_bytes(id.topic.0))
            {
                let merging = Merging::of(&view.topic_settings(topic).table);
                let table = Table::closed(partition, self.table_options(), merging);
                tables.insert(*id, Arc::new(table));
            }
        }
        let gone: Vec<_> = tables
            .keys()
            .filter(|id| !wanted.contains(id))
            .copied()
            .collect();
        gone.iter().for_each(|id| drop(tables.remove(id)));
        self.snapshots.forget(&gone);
        // Some may be lost from the start.
        self.opened.notify_waiters();
        gone
    }
}

fn keyed_partitions(view: &View) -> impl Iterator<Item = PartitionId> {
    let is_keyed = |key: &TableKey| *key == TableKey::RecordKey;
    let topics = view.image.topics().filter(|topic| !topic.internal);
    let keyed = topics.filter(move |topic| is_keyed(&view.topic_settings(topic).table.key));
    keyed.flat_map(|topic| {
        let id = TopicId(topic.id.into_bytes());
        (0..topic.partitions).map(move |index| PartitionId { topic: id, index })
    })
}

/// Keeps the tables until the broker stops.
pub async fn run(keyed: Arc<Keyed>, mut stop: ShutdownSignal) {
    let mut views = keyed.cluster.watch();
    // A broker without keyed topics opens no database.
    while keyed_partitions(&views.borrow_and_update().clone())
        .next()
        .is_none()
    {
        tokio::select! {
            changed = views.changed() => if changed.is_err() { return },
            () = stop.stopping() => return,
        }
    }
    let Some(engines) = open_engines(&keyed, &mut stop).await else {
        return;
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(flush::run(
        Arc::clone(&keyed),
        Arc::clone(&engines),
        stop.clone(),
    ));
    tasks.spawn(checkpoints::run(Arc::clone(&keyed), stop.clone()));
    while !stop.is_stopping() {
        let view = Arc::clone(&views.borrow_and_update());
        let gone = keyed.follow(&view);
        keyed.flush_wanted.notify_one();
        destroy(&keyed, &engines, gone).await;
        tokio::select! {
            changed = views.changed() => if changed.is_err() { break },
            () = stop.stopping() => {}
        }
    }
    while tasks.join_next().await.is_some() {}
}

async fn destroy(keyed: &Keyed, engines: &Arc<FjallStore>, gone: Vec<PartitionId>) {
    for id in gone {
        let engines = Arc::clone(engines);
        let destroyed = keyed.log.blocking(move || engines.destroy(id)).await;
        if let Err(error) = destroyed {
            warn!(partition = %id, %error, "the key index of a deleted topic stays until the next start");
        }
    }
}

/// Opens the database and removes what belongs to nobody. `None` if the broker stops first.
async fn open_engines(keyed: &Arc<Keyed>, stop: &mut ShutdownSignal) -> Option<Arc<FjallStore>> {
    while !stop.is_stopping() {
        let shared = Arc::clone(keyed);
        match keyed.log.blocking(move || shared.open_engines()).await {
            Ok(engines) => return Some(Arc::new(engines)),
            // The broker before this one is about to end.
            Err(EngineError::Locked) => {}
            Err(error) => error!(%error, "key tables cannot be opened; trying again"),
        }
        tokio::select! {
            () = tokio::time::sleep(OPEN_AGAIN) => {}
            () = stop.stopping() => {}
        }
    }
    None
}

impl Keyed {
    fn open_engines(&self) -> Result<FjallStore, EngineError> {
        let options = FjallOptions {
            cache_bytes: (self.memory_budget_bytes / CACHE_PART) as u64,
            ..FjallOptions::default()
        };
        let data_dir: &Path = &self.data_dir;
        let (engines, lost) = FjallStore::open(data_dir, &options)?;
        if let Some(error) = lost {
            warn!(%error, "the key index did not open and is made anew");
        }
        let view = self.cluster.view();
        engines.retain(&keyed_partitions(&view).collect())?;
        let store = self.log.engine().store();
        checkpoint::prepare(&*store.disk)?;
        let partitions = store.partitions();
        let named = partitions
            .iter()
            .flat_map(|partition| partition.checkpoints());
        checkpoint::sweep(&*store.disk, &named.map(|meta| meta.file).collect())?;
        Ok(engines)
    }
}
