//! The broker: what every part of the process shares.
//!
//! Parts that own state (storage, groups, the cluster image) are fields here, each a handle to its
//! owner; handlers reach them through [`crate::api::context::Context`].

use std::io;
use std::sync::Arc;

use crate::api::cluster::init_producer_id::ProducerIds;
use crate::api::data::fetch_session::FetchSessions;
use crate::clock::Clock;
use crate::identity::Identity;
use crate::jobs::lake::Lake;
use crate::jobs::rows::Rows;
use crate::jobs::rows::binder::Binder;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::owners::catalog;
use crate::owners::cluster::ClusterHandle;
use crate::owners::groups::Groups;
use crate::owners::keyed::Keyed;
use crate::owners::registry::Registry;
use crate::owners::transactions::Transactions;
use crate::server::ledger::Ledger;
use crate::server::read_budget::ReadBudget;
use crate::settings::{Settings, SettingsError};
use crate::shutdown::{Shutdown, ShutdownSignal};
use crate::views::{AvroSchemas, Passed};
use parking_lot::RwLock;

/// The ledger's part of the memory budget. An eighth is for reads from the disk; the last one is left
/// for what is bounded by numbers and not by an account: decompression, builders, caches of storage.
const LEDGER_EIGHTHS: usize = 6;

#[derive(Debug)]
pub struct Broker {
    identity: Identity,
    /// What the process was started with.
    start_settings: Settings,
    /// The same under the changes made since; replaced as a whole.
    settings: RwLock<Arc<Settings>>,
    ledger: Arc<Ledger>,
    reads: ReadBudget,
    metrics: Metrics,
    shutdown: Shutdown,
    clock: Clock,
    log: Arc<Log>,
    cluster: ClusterHandle,
    groups: Groups,
    transactions: Transactions,
    keyed: Arc<Keyed>,
    lake: Lake,
    producer_ids: ProducerIds,
    fetch_sessions: FetchSessions,
    rows: Arc<Rows>,
    passed: Passed,
    avro_schemas: AvroSchemas,
    registry: Registry,
}

impl Broker {
    /// # Errors
    /// The system gives no threads.
    pub fn new(
        identity: Identity,
        settings: Settings,
        clock: Clock,
        log: Arc<Log>,
        cluster: ClusterHandle,
        registry: Registry,
    ) -> io::Result<Self> {
        let budget_bytes = usize::try_from(settings.memory_budget_bytes).unwrap_or(usize::MAX);
        let groups = Groups::start(Arc::clone(&log), clock.clone(), cluster.clone(), &settings);
        let transactions = Transactions::start(
            Arc::clone(&log),
            clock.clone(),
            cluster.clone(),
            groups.clone(),
            &settings,
        );
        let keyed = Arc::new(Keyed::new(Arc::clone(&log), cluster.clone(), &settings));
        let (metrics, shutdown) = (Metrics::default(), Shutdown::default());
        let binder = Binder::new(Arc::clone(&log), cluster.clone(), registry.clone());
        let rows = Arc::new(Rows::new(budget_bytes, binder));
        let lake = Lake::start(
            Arc::clone(&log),
            Arc::clone(&rows),
            cluster.clone(),
            clock.clone(),
            catalog::open(cluster.clone(), clock.clone(), &settings),
            metrics.lake(),
            shutdown.signal(),
        )?;
        let sessions_max = settings
            .max_incremental_fetch_session_cache_slots
            .unsigned_abs();
        Ok(Self {
            fetch_sessions: FetchSessions::new(sessions_max as usize),
            rows,
            passed: Passed::default(),
            avro_schemas: AvroSchemas::default(),
            registry,
            identity,
            ledger: Ledger::new(budget_bytes / 8 * LEDGER_EIGHTHS),
            reads: ReadBudget::new(budget_bytes / 8),
            metrics,
            shutdown,
            settings: RwLock::new(Arc::new(settings.clone())),
            start_settings: settings,
            clock,
            log,
            cluster,
            groups,
            transactions,
            keyed,
            lake,
            producer_ids: ProducerIds::default(),
        })
    }

    /// The time, in milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// All partitions' records.
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// Topics and configs, and their owner.
    pub fn cluster(&self) -> &ClusterHandle {
        &self.cluster
    }

    /// Consumer groups and committed offsets.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// Transactional ids and what becomes of their transactions.
    pub fn transactions(&self) -> &Transactions {
        &self.transactions
    }

    /// Tables with a primary key.
    pub fn keyed(&self) -> &Arc<Keyed> {
        &self.keyed
    }

    /// Topics that are Iceberg tables too.
    pub fn lake(&self) -> &Lake {
        &self.lake
    }

    /// Schemas of records.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Ids for new idempotent producers.
    pub fn producer_ids(&self) -> &ProducerIds {
        &self.producer_ids
    }

    /// What clients with fetch sessions were told.
    pub fn fetch_sessions(&self) -> &FetchSessions {
        &self.fetch_sessions
    }

    /// What readers of views need not look at again.
    pub fn passed(&self) -> &Passed {
        &self.passed
    }

    /// What the values of views in Avro are written with.
    pub fn avro_schemas(&self) -> &AvroSchemas {
        &self.avro_schemas
    }

    /// Columns of tables that are not in files yet, and how records become them.
    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    pub fn node_id(&self) -> i32 {
        self.identity.node_id
    }

    pub fn cluster_id(&self) -> &str {
        &self.identity.cluster_id
    }

    /// The settings of this moment. Take them once per request and use only those.
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read())
    }

    /// Puts `changes` in the place of all changes made since the start.
    ///
    /// # Errors
    /// One of them is not allowed; nothing changes.
    pub fn change_settings<'a>(
        &self,
        changes: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), SettingsError> {
        let changed = self.start_settings.with_changes(changes)?;
        *self.settings.write() = Arc::new(changed);
        Ok(())
    }

    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Memory for reads from the disk.
    pub fn reads(&self) -> &ReadBudget {
        &self.reads
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Brings the metrics of rows up to date.
    pub fn observe_rows(&self) {
        let lag = self.rows.lag(self.now_ms());
        self.metrics.rows_lag_records.set(lag.records);
        self.metrics.rows_lag_ms.set(lag.ms);
        let held = i64::try_from(self.rows.held_bytes()).unwrap_or(i64::MAX);
        self.metrics.rows_held_bytes.set(held);
    }

    /// Brings the metrics of memory up to date.
    pub fn observe_memory(&self) {
        let gauge = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.metrics
            .memory_used_bytes
            .set(gauge(self.ledger.used_bytes() + self.reads.used_bytes()));
        let budget_bytes = self.start_settings.memory_budget_bytes;
        self.metrics.memory_budget_bytes.set(budget_bytes);
    }

    /// Tells every part to stop.
    pub fn begin_shutdown(&self) {
        self.shutdown.begin();
    }

    pub fn shutdown_signal(&self) -> ShutdownSignal {
        self.shutdown.signal()
    }
}
