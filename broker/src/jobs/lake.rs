//! The lake: topics with `tidelog.lake.enable` are kept as Iceberg tables too.
//!
//! ```text
//! log ─▶ source ─▶ tiering::pass ─▶ Parquet, commit ─▶ catalog ─▶ cluster image
//!          ▲            │ mark
//!        topic ◀────────┘──▶ state ─▶ status, cuts and leases, retention's floor
//! ```
//! - One task per tiered topic, on threads of their own with lower priority: encoding never takes a
//!   thread that answers clients. A few passes run at a time; a topic that cannot go on waits by itself.
//! - [`topic`] decides when: after half of `tidelog.lake.target.lag.ms`, or when much waits.
//! - Retention of a tiered topic waits for its mark, within `tidelog.lake.retention.budget.bytes` per
//!   partition. From the start of the broker until the mark is known nothing goes but what exceeds it.
//! - Deleting a topic brings its last records to the table first, as far as the time given for it
//!   allows, and keeps the table. A topic made anew under the same
//!   name meets that table as another topic's and stops, until the table is renamed or dropped.

mod arrivals;
pub mod leases;
mod redecode;
mod source;
pub mod state;
mod topic;
mod upkeep;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidelog_coordinator::cluster::Topic;
use tidelog_coordinator::cluster::settings::{TableMode, TopicSettings};
use tidelog_tiering::Env;
use tidelog_tiering::catalog::{Catalog, Change, PointerStore};
use tidelog_tiering::names::{Case, dead_letter_table_name, table_name};
use tokio::runtime::{self, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tracing::{debug, warn};
use uuid::Uuid;

use crate::clock::Clock;
use crate::jobs::rows::Rows;
use crate::log::Log;
use crate::metrics::LakeMetrics;
use crate::owners::catalog::{BrokerEnv, ClusterPointers, Warehouse};
use crate::owners::cluster::{ClusterHandle, View};
use crate::shutdown::ShutdownSignal;
use state::{NoCut, TopicLake};
use tidelog_tiering::maintain::FileListing;
use topic::{MEMORY_PREFIX, Mover};

/// Namespace of the tables of topics.
const NAMESPACE: &str = "tidelog";

/// Threads that encode, and passes under way at a time.
const THREADS: usize = 2;

/// Added to the niceness of those threads.
const NICENESS: i32 = 10;

/// How often ended leases are looked for.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// How often a drain looks whether it is done.
const DRAIN_LOOK: Duration = Duration::from_millis(10);

/// What all topics' tasks share.
pub struct Shared {
    log: Arc<Log>,
    rows: Arc<Rows>,
    cluster: ClusterHandle,
    clock: Clock,
    catalog: Arc<Catalog>,
    files: Arc<dyn FileListing>,
    pointers: ClusterPointers,
    env: Arc<dyn Env>,
    metrics: LakeMetrics,
    passes: Semaphore,
    stop: ShutdownSignal,
    topics: Mutex<HashMap<Uuid, Arc<TopicLake>>>,
}

/// The lake of this broker. Dropping it stops its tasks where they are.
pub struct Lake {
    shared: Arc<Shared>,
    supervisor: Mutex<Option<JoinHandle<()>>>,
    runtime: Option<Runtime>,
}

impl std::fmt::Debug for Lake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lake").finish_non_exhaustive()
    }
}

impl Drop for Lake {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Lake {
    /// Starts the threads and a task for every tiered topic.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn start(
        log: Arc<Log>,
        rows: Arc<Rows>,
        cluster: ClusterHandle,
        clock: Clock,
        warehouse: Warehouse,
        metrics: LakeMetrics,
        stop: ShutdownSignal,
    ) -> std::io::Result<Self> {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("lake")
            .on_thread_start(step_back)
            .enable_all()
            .build()?;
        let pointers = ClusterPointers {
            cluster: cluster.clone(),
        };
        let env = Arc::new(BrokerEnv {
            clock: clock.clone(),
        });
        let shared = Arc::new(Shared {
            log,
            rows,
            cluster,
            clock,
            catalog: warehouse.catalog,
            files: warehouse.files,
            pointers,
            env,
            metrics,
            passes: Semaphore::new(THREADS),
            stop,
            topics: Mutex::default(),
        });
        let supervisor = runtime.spawn(supervise(Arc::clone(&shared)));
        Ok(Self {
            shared,
            supervisor: Mutex::new(Some(supervisor)),
            runtime: Some(runtime),
        })
    }

    /// The catalog, for whoever serves it.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.shared.catalog
    }

    /// A topic's way to the lake.
    ///
    /// # Errors
    /// [`NoCut::NotTiered`], or [`NoCut::NotReady`] for a topic that just became tiered.
    pub fn topic(&self, topic: &Topic, settings: &TopicSettings) -> Result<Arc<TopicLake>, NoCut> {
        if !settings.is_tiered() {
            return Err(NoCut::NotTiered);
        }
        let known = self.shared.topics.lock().get(&topic.id).cloned();
        known.ok_or(NoCut::NotReady)
    }

    /// Waits until the table of a topic has what the log has now; nothing to wait for where tiering
    /// has stopped. Gives up after `patience`. Says whether the table has it.
    pub async fn drain(&self, topic: &Topic, settings: &TopicSettings, patience: Duration) -> bool {
        let Ok(lake) = self.topic(topic, settings) else {
            return !settings.is_tiered();
        };
        let wanted = lake.bounds(topic.partitions);
        lake.tier_now();
        let drained = async {
            while !lake.has(&wanted) {
                if lake.standing().reason().is_some() {
                    return false;
                }
                tokio::time::sleep(DRAIN_LOOK).await;
            }
            true
        };
        tokio::time::timeout(patience, drained)
            .await
            .unwrap_or(false)
    }

    /// Waits until every task has ended, once the broker was told to stop. A pass under way is
    /// finished; whoever cannot wait that long may leave, nothing is lost.
    pub async fn stopped(&self) {
        let supervisor = self.supervisor.lock().take();
        if let Some(Err(error)) = futures::future::OptionFuture::from(supervisor).await {
            warn!(%error, "the lake's tasks did not end by themselves");
        }
    }
}

/// Namespace and name of a topic's lake table.
pub fn table_of(topic: &Topic) -> (&'static str, String) {
    (NAMESPACE, table_name(&topic.name, Case::Keep))
}

/// The same of the table for its records that are no rows.
pub fn dead_letter_table_of(topic: &Topic) -> (&'static str, String) {
    (NAMESPACE, dead_letter_table_name(&topic.name, Case::Keep))
}

/// Why a topic that should be in the lake is not tiered at all.
pub fn why_not_tiered(settings: &TopicSettings) -> Option<&'static str> {
    if !settings.lake.enabled || settings.is_tiered() {
        None
    } else if settings.table.mode == TableMode::Disabled {
        Some("the topic is no table: set tidelog.table.mode")
    } else {
        Some("keyed tables are not kept in the lake yet")
    }
}

/// Runs on each thread of the lake: clients come first.
fn step_back() {
    // No id means the calling thread, as Linux counts.
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        debug!(%error, "the lake's threads keep their priority");
    }
}

/// The task of one topic, and since which version of the image the topic has been tiered.
struct Task {
    since: u64,
    handle: JoinHandle<()>,
}

/// Keeps one task per tiered topic until the broker stops.
async fn supervise(shared: Arc<Shared>) {
    let mut views = shared.cluster.watch();
    let mut stop = shared.stop.clone();
    let mut tasks: HashMap<Uuid, Task> = HashMap::new();
    let mut seen: Option<Arc<View>> = None;
    let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
    loop {
        let view = Arc::clone(&views.borrow_and_update());
        if !seen.is_some_and(|seen| seen.image.shares_topics_with(&view.image)) {
            reconcile(&shared, &view, &mut tasks).await;
        }
        seen = Some(view);
        tokio::select! {
            () = stop.stopping() => break,
            changed = views.changed() => if changed.is_err() { break },
            _ = housekeeping.tick() => {
                let topics: Vec<_> = shared.topics.lock().values().cloned().collect();
                let now_ms = shared.clock.now_ms();
                topics.iter().for_each(|topic| topic.expire_leases(now_ms));
            }
        }
    }
    for task in tasks.into_values() {
        // A task's own panic was shown where it happened.
        let _ = task.handle.await;
    }
}

/// Starts and stops tasks as `view` has it. A topic that was taken out of the lake and put in again
/// begins anew, also when both happened between two looks.
async fn reconcile(shared: &Arc<Shared>, view: &View, tasks: &mut HashMap<Uuid, Task>) {
    let goes_on = |id: &Uuid, task: &Task| view.tiered.get(id) == Some(&task.since);
    let gone: Vec<_> = tasks.extract_if(|id, task| !goes_on(id, task)).collect();
    for (id, task) in &gone {
        shared.topics.lock().remove(id);
        task.handle.abort();
    }
    let mut ended = HashSet::new();
    for (id, task) in gone {
        let _ = task.handle.await;
        ended.insert(id);
    }
    forget(shared, view, &ended).await;
    for (&id, &since) in view.tiered.iter() {
        tasks.entry(id).or_insert_with(|| {
            let lake = Arc::new(TopicLake::new(id, Arc::clone(&shared.log)));
            shared.topics.lock().insert(id, Arc::clone(&lake));
            let handle = tokio::spawn(Mover::new(Arc::clone(shared), lake).run());
            Task { since, handle }
        });
    }
}

/// Forgets that there were tables of topics whose way to the lake ended, so that they may be made
/// anew.
async fn forget(shared: &Shared, view: &View, ended: &HashSet<Uuid>) {
    let known = shared.cluster.view();
    let changes: Vec<_> = known
        .image
        .pointers()
        .with_prefix(MEMORY_PREFIX)
        .filter(|(key, _)| {
            let id = key
                .strip_prefix(MEMORY_PREFIX)
                .and_then(|id| id.parse().ok());
            id.is_none_or(|id| ended.contains(&id) || !view.tiered.contains_key(&id))
        })
        .map(|(key, table)| Change::delete(key.to_owned(), table.to_owned()))
        .collect();
    if !changes.is_empty()
        && let Err(error) = shared.pointers.compare_and_set(changes).await
    {
        warn!(%error, "tables of topics that left the lake are still remembered");
    }
}
