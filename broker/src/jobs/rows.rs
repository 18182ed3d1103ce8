//! Rows: the columns of typed and key_value topics, of keyed ones the changelog; built behind the log.
//!
//! One task follows the cluster image and keeps a [`builder`] for every partition of every table.
//! Columnar readers look at what the builders hold ([`live`]) and at the files they wrote, which
//! the manifest names.
//!
//! - Off the acknowledged path: at most half of the processors build, and nobody waits for them.
//! - Bounded: blocks in memory are charged to the broker's ledger, share an eighth of its budget,
//!   and become files early where that is spent.

pub mod binder;
pub mod build;
pub mod builder;
pub mod changes;
pub mod format;
pub mod live;
mod reading;
mod sample;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;
use tidelog_coordinator::cluster::Topic;
use tidelog_coordinator::cluster::settings::TableSettings;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;
use tracing::error;
use uuid::Uuid;

use self::binder::Binder;
use self::builder::Builder;
use self::format::{BadFormat, Format, Formats};
use self::live::{Lag, LiveRows};
use crate::broker::Broker;
use crate::owners::cluster::View;

/// The part of the memory budget that blocks share.
const BUDGET_PART: usize = 8;

/// What is known of tables, shared by builders and readers.
pub struct Rows {
    live: RwLock<HashMap<(Uuid, i32), Arc<LiveRows>>>,
    formats: RwLock<HashMap<Uuid, Arc<Formats>>>,
    budget_bytes: usize,
    /// Partitions with blocks in memory.
    holding: AtomicUsize,
    workers: Semaphore,
    settings_turns: Semaphore,
    binder: Binder,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").finish_non_exhaustive()
    }
}

impl Rows {
    /// Of a broker with this memory budget.
    pub fn new(memory_budget_bytes: usize, binder: Binder) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            live: RwLock::default(),
            formats: RwLock::default(),
            budget_bytes: memory_budget_bytes / BUDGET_PART,
            holding: AtomicUsize::new(0),
            workers: Semaphore::new((processors / 2).max(1)),
            settings_turns: Semaphore::new(1),
            binder,
        }
    }

    /// Rows in memory of a partition; `None` if its topic is no table, or was made this moment.
    pub fn live(&self, topic: Uuid, index: i32) -> Option<Arc<LiveRows>> {
        self.live.read().get(&(topic, index)).cloned()
    }

    /// How records of a topic become rows, and became rows before.
    ///
    /// # Errors
    /// [`BadFormat`].
    pub fn formats(
        &self,
        topic: &Topic,
        settings: &TableSettings,
    ) -> Result<Arc<Formats>, BadFormat> {
        let are_current = |known: &&Arc<Formats>| known.are_of(settings, &topic.schemas);
        if let Some(known) = self.formats.read().get(&topic.id).filter(are_current) {
            return Ok(Arc::clone(known));
        }
        let mut all = self.formats.write();
        let before = all.get(&topic.id);
        if let Some(known) = before.filter(are_current) {
            return Ok(Arc::clone(known));
        }
        let before = before.map(Arc::as_ref);
        let formats = Arc::new(Formats::of(settings, &topic.schemas, before)?);
        all.insert(topic.id, Arc::clone(&formats));
        Ok(formats)
    }

    /// The same of a topic that is known by its id alone; `None` if it is gone.
    pub fn formats_in(&self, view: &View, topic: Uuid) -> Option<Result<Arc<Formats>, BadFormat>> {
        let topic = view.image.topic_by_id(topic)?;
        Some(self.formats(topic, &view.topic_settings(topic).table))
    }

    /// How records of a topic become rows now.
    ///
    /// # Errors
    /// [`BadFormat`]; `Undecided` while that has to be found out.
    pub fn format(
        &self,
        topic: &Topic,
        settings: &TableSettings,
    ) -> Result<Arc<Format>, BadFormat> {
        let formats = self.formats(topic, settings)?;
        formats.current().cloned().ok_or(BadFormat::Undecided)
    }

    /// Who finds out columns.
    pub fn binder(&self) -> &Binder {
        &self.binder
    }

    /// The turn to look at table settings and change them.
    pub async fn settings_turn(&self) -> Option<SemaphorePermit<'_>> {
        // Never closed.
        self.settings_turns.acquire().await.ok()
    }

    /// How far the rows of all tables are behind: records together, and the worst time.
    pub fn lag(&self, now_ms: i64) -> Lag {
        let live = self.live.read();
        let lags = live.values().map(|rows| rows.lag(now_ms));
        lags.fold(Lag::default(), |sum, lag| Lag {
            records: sum.records + lag.records,
            ms: sum.ms.max(lag.ms),
        })
    }

    /// Bytes of blocks in memory.
    pub fn held_bytes(&self) -> usize {
        let live = self.live.read();
        live.values().map(|rows| rows.held().0).sum()
    }

    /// Bytes that each partition with blocks may hold.
    fn share_bytes(&self) -> usize {
        self.budget_bytes / self.holding.load(Ordering::Relaxed).max(1)
    }

    fn count_holding(&self, is_holding: bool) {
        match is_holding {
            true => self.holding.fetch_add(1, Ordering::Relaxed),
            false => self.holding.fetch_sub(1, Ordering::Relaxed),
        };
    }

    async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        // Never closed.
        self.workers.acquire().await.ok()
    }

    /// Brings builders in line with the image; answers partitions that have none yet.
    fn follow(&self, broker: &Broker, view: &View) -> Vec<Arc<LiveRows>> {
        let is_there = |topic: &Uuid| view.image.topic_by_id(*topic).is_some();
        self.live.write().retain(|(topic, _), _| is_there(topic));
        self.formats.write().retain(|topic, _| is_there(topic));
        self.binder.retain(is_there);
        let tables = view.image.topics().filter(|topic| !topic.internal);
        let new = tables.flat_map(|topic| self.follow_topic(broker, view, topic));
        new.collect()
    }

    fn follow_topic(&self, broker: &Broker, view: &View, topic: &Topic) -> Vec<Arc<LiveRows>> {
        let settings = view.topic_settings(topic);
        // Keys of columns have no table yet, and their rows are decoded for each reader.
        if settings.table.key.is_keyed() && !settings.table.has_changelog() {
            return Vec::new();
        }
        match self.formats(topic, &settings.table) {
            Ok(formats) if formats.is_table() => {}
            Ok(_) => return Vec::new(),
            Err(error) => {
                error!(topic = topic.name, %error, "the topic has no rows");
                return Vec::new();
            }
        }
        let mut new = Vec::new();
        for index in 0..topic.partitions {
            if self.live(topic.id, index).is_some() {
                continue;
            }
            if let Some(partition) = broker.log().partition(topic.id, index) {
                let live = Arc::new(LiveRows::new(partition));
                let key = (topic.id, index);
                self.live.write().insert(key, Arc::clone(&live));
                new.push(live);
            }
        }
        new
    }
}

/// Builds rows until the broker stops; returns when what is worth it is in files.
pub async fn run(broker: Arc<Broker>) {
    let mut views = broker.cluster().watch();
    let mut stop = broker.shutdown_signal();
    let mut builders = JoinSet::new();
    while !stop.is_stopping() {
        let view = Arc::clone(&views.borrow_and_update());
        for live in broker.rows().follow(&broker, &view) {
            builders.spawn(Builder::new(Arc::clone(&broker), live).run());
        }
        // Those whose topics are gone.
        while builders.try_join_next().is_some() {}
        tokio::select! {
            changed = views.changed() => if changed.is_err() { break },
            () = stop.stopping() => {}
        }
    }
    while builders.join_next().await.is_some() {}
}
