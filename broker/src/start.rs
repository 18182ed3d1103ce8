//! Starts a broker from its settings and stops it again.
//!
//! In this order: the data directory is made, locked and identified; every port is bound; then
//! connections are accepted. An error at any step leaves nothing running and says what to do.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use std::time::Duration;

use tidelog_storage::disk::{BLOCK, Disk, LocalDisk, OpenDirError, WriteMode};
use tidelog_storage::{CompactionOptions, Engine, FlushMode, Options};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::api::APIS;
use crate::api::topic::dynamic;
use crate::broker::Broker;
use crate::clock::Clock;
use crate::http;
use crate::identity::{Identity, IdentityError};
use crate::jobs::rows;
use crate::log::Log;
use crate::owners::cluster::ClusterHandle;
use crate::owners::driver::DriverError;
use crate::owners::keyed;
use crate::owners::registry::Registry;
use crate::server::{self, listener::Listener};
use crate::settings::{self, Address, Settings, SettingsError};

/// Why the broker did not start, with what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("{} is not a directory; choose another one with --data-dir", .path.display())]
    NotADirectory { path: PathBuf },
    #[error(transparent)]
    DataDir(#[from] OpenDirError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("cannot open the data directory {}: {error}", .data_dir.display())]
    Storage {
        data_dir: PathBuf,
        error: tidelog_storage::OpenError,
    },
    #[error(transparent)]
    Cluster(#[from] DriverError),
    #[error("cannot start threads: {0}; raise the limit on threads of this user or container")]
    Threads(io::Error),
    #[error(
        "{address} is in use by another process; stop it or choose another address with {flag}"
    )]
    PortTaken {
        address: Address,
        flag: &'static str,
    },
    #[error("cannot listen on {address}: {error}; choose another address with {flag}")]
    Bind {
        address: Address,
        flag: &'static str,
        error: io::Error,
    },
}

/// A broker that accepts connections.
pub struct Running {
    pub broker: Arc<Broker>,
    /// In the order of `listeners`.
    pub listeners: Vec<Arc<Listener>>,
    pub admin: Option<SocketAddr>,
    pub catalog: Option<SocketAddr>,
    pub registry: Option<SocketAddr>,
    pub data_dir: PathBuf,
    kafka_tasks: JoinSet<()>,
    /// Aborted when dropped: admin port, catalog and registry have nothing to finish.
    _http_tasks: JoinSet<()>,
    /// Tells storage the time.
    _housekeeping: JoinSet<()>,
    rows: JoinSet<()>,
    keyed: JoinSet<()>,
}

/// Starts a broker; `fresh_cluster_id` is used if the data directory is new.
///
/// # Errors
/// See [`StartError`].
pub async fn start(settings: Settings, fresh_cluster_id: &str) -> Result<Running, StartError> {
    let path = &settings.data_dir;
    if path.metadata().is_ok_and(|found| !found.is_dir()) {
        return Err(StartError::NotADirectory { path: path.clone() });
    }
    let disk = LocalDisk::open(path)?;
    let data_dir = disk.root().to_owned();
    let identity = Identity::open(&data_dir, settings.node_id, fresh_cluster_id)?;

    let kafka = bind_kafka(&settings).await?;
    let admin = bind_http(settings.admin_listen.as_ref(), "--admin").await?;
    let catalog = bind_http(settings.catalog_listen.as_ref(), "--catalog").await?;
    let registry = bind_http(settings.registry_listen.as_ref(), "--registry").await?;

    let broker = Arc::new(assemble(Arc::new(disk), identity, settings).await?);
    let mut housekeeping = JoinSet::new();
    housekeeping.spawn(tick(Arc::clone(&broker)));
    let mut rows_task = JoinSet::new();
    rows_task.spawn(rows::run(Arc::clone(&broker)));
    let mut keyed_task = JoinSet::new();
    let stop = broker.shutdown_signal();
    keyed_task.spawn(keyed::run(Arc::clone(broker.keyed()), stop));
    let [admin_address, catalog_address, registry_address] = [&admin, &catalog, &registry]
        .map(|socket| socket.as_ref().and_then(|socket| socket.local_addr().ok()));
    let mut http_tasks = JoinSet::new();
    if let Some(socket) = admin {
        http_tasks.spawn(http::serve(
            "admin",
            http::admin(Arc::clone(&broker)),
            socket,
        ));
    }
    if let Some(socket) = catalog {
        let routes = tidelog_tiering::catalog::http::router(Arc::clone(broker.lake().catalog()));
        http_tasks.spawn(http::serve("catalog", routes, socket));
    }
    if let Some(socket) = registry {
        http_tasks.spawn(http::serve("registry", http::registry(&broker), socket));
    }
    let mut kafka_tasks = JoinSet::new();
    let mut listeners = Vec::new();
    for (listener, socket) in kafka {
        listeners.push(Arc::clone(&listener));
        kafka_tasks.spawn(server::listen(Arc::clone(&broker), APIS, listener, socket));
    }
    Ok(Running {
        broker,
        listeners,
        admin: admin_address,
        catalog: catalog_address,
        registry: registry_address,
        data_dir,
        kafka_tasks,
        _http_tasks: http_tasks,
        _housekeeping: housekeeping,
        rows: rows_task,
        keyed: keyed_task,
    })
}

/// Everything behind the ports: storage is opened and the cluster image loaded.
///
/// # Errors
/// What is on the disk cannot be opened.
pub async fn assemble(
    disk: Arc<dyn Disk>,
    identity: Identity,
    settings: Settings,
) -> Result<Broker, StartError> {
    let clock = Clock::default();
    let log = open_log(disk, &settings, &clock).await?;
    let cluster_id = &identity.cluster_id;
    let cluster = ClusterHandle::start(&log, clock.clone(), &settings, cluster_id).await?;
    let registry = Registry::start(&log, clock.clone(), &settings).await?;
    let broker = Broker::new(identity, settings, clock, log, cluster, registry);
    let broker = broker.map_err(StartError::Threads)?;
    dynamic::apply(&broker);
    Ok(broker)
}

/// Opens storage on a thread that may block: replay takes its time.
async fn open_log(
    disk: Arc<dyn Disk>,
    settings: &Settings,
    clock: &Clock,
) -> Result<Arc<Log>, StartError> {
    let options = storage_options(settings, &*disk);
    let now_ms = clock.now_ms();
    let data_dir = settings.data_dir.clone();
    let fresh_id = Arc::new(|| uuid::Uuid::new_v4().into_bytes());
    let open = move || tidelog_storage::open(disk, options, fresh_id, now_ms);
    let opened = tokio::task::spawn_blocking(open)
        .await
        .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    let opened = opened.map_err(|error| StartError::Storage { data_dir, error })?;
    tracing::info!(report = ?opened.report, "storage is open");
    Ok(Arc::new(Log::new(Engine::start(opened))))
}

/// The WAL's budget holds at least this many files.
const WAL_FILES_MIN: u64 = 8;
/// Smallest WAL file.
const WAL_FILE_BYTES_MIN: u64 = 1 << 20;

fn storage_options(settings: &Settings, disk: &dyn Disk) -> Options {
    let size = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
    let mut options = Options::default();
    options.wal.budget_bytes = match size(settings.wal_budget_bytes) {
        0 => {
            let tenth = disk.free_bytes().unwrap_or(u64::MAX) / 10;
            options.wal.budget_bytes.min(tenth)
        }
        bytes => bytes,
    };
    // On a small disk the files are small too: one is flushed while others are written.
    let file_bytes = size(settings.wal_file_bytes).min(options.wal.budget_bytes / WAL_FILES_MIN);
    options.wal.file_bytes = file_bytes
        .max(WAL_FILE_BYTES_MIN)
        .next_multiple_of(BLOCK as u64);
    options.wal.budget_bytes = options.wal.budget_bytes.max(4 * options.wal.file_bytes);
    // A flush must not need more room than the WAL it relieves.
    options.segment_bytes_max = options.segment_bytes_max.min(options.wal.budget_bytes / 2);
    options.tail_memory_bytes = usize::try_from(settings.memory_budget_bytes / 4).unwrap_or(0);
    options.retention_interval_ms = settings.log_retention_check_interval_ms;
    options.compaction = compaction_options(settings);
    options.producer_idle_ms_max = settings.producer_id_expiration_ms.into();
    if settings.flush_mode == settings::FlushMode::Os {
        options.flush_mode = FlushMode::Os;
        options.wal.mode = WriteMode::Buffered;
    }
    options
}

fn compaction_options(settings: &Settings) -> CompactionOptions {
    CompactionOptions {
        map_bytes: usize::try_from(settings.log_cleaner_dedupe_buffer_size).unwrap_or(usize::MAX),
        // A tick is a second; a rate above all numbers is the greatest of them.
        bytes_per_tick: settings.log_cleaner_io_max_bytes_per_second as u64,
        interval_ms: settings.log_cleaner_backoff_ms,
    }
}

/// Gives storage the time every second.
async fn tick(broker: Arc<Broker>) {
    let mut every_second = tokio::time::interval(Duration::from_secs(1));
    every_second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every_second.tick().await;
        broker.log().engine().tick(broker.now_ms());
    }
}

async fn bind_kafka(settings: &Settings) -> Result<Vec<(Arc<Listener>, TcpListener)>, StartError> {
    let mut bound = Vec::new();
    for endpoint in &settings.listeners {
        let (listener, socket) = Listener::bind(endpoint, settings)
            .await
            .map_err(refused(&endpoint.address, "--listen"))?;
        bound.push((Arc::new(listener), socket));
    }
    Ok(bound)
}

async fn bind_http(
    address: Option<&Address>,
    flag: &'static str,
) -> Result<Option<TcpListener>, StartError> {
    let Some(address) = address else {
        return Ok(None);
    };
    let bound = TcpListener::bind(address.bind_target()).await;
    bound.map(Some).map_err(refused(address, flag))
}

fn refused(address: &Address, flag: &'static str) -> impl FnOnce(io::Error) -> StartError {
    let address = address.clone();
    move |error| match error.kind() {
        io::ErrorKind::AddrInUse => StartError::PortTaken { address, flag },
        _ => StartError::Bind {
            address,
            flag,
            error,
        },
    }
}

impl Running {
    /// The line that tells scripts where the broker is.
    pub fn ready_line(&self) -> String {
        let kafka: Vec<_> = self.listeners.iter().map(|l| l.bound.to_string()).collect();
        let shown = |address: Option<SocketAddr>| {
            address.map_or_else(|| "off".to_owned(), |address| address.to_string())
        };
        format!(
            "tidelog ready kafka={} registry={} catalog={} admin={} data={} tables={}",
            kafka.join(","),
            shown(self.registry),
            shown(self.catalog),
            shown(self.admin),
            self.data_dir.display(),
            self.broker.settings().table_mode_default.as_str(),
        )
    }

    /// Stops: answers the requests in hand, up to the shutdown timeout, and ends.
    pub async fn stop(mut self) {
        self.broker.begin_shutdown();
        while self.kafka_tasks.join_next().await.is_some() {}
        let patience_ms = self.broker.settings().shutdown_timeout_ms.unsigned_abs();
        let patience = Duration::from_millis(patience_ms);
        // A pass that is cut off is repeated by the next start.
        let _ = tokio::time::timeout(patience, self.broker.lake().stopped()).await;
        // Rows that come to no file are built again.
        let _ = tokio::time::timeout(patience, self.rows.join_next()).await;
        // What does not come to the index is folded again.
        let _ = tokio::time::timeout(patience, self.keyed.join_next()).await;
        let log = Arc::clone(self.broker.log());
        let closed = tokio::task::spawn_blocking(move || log.engine().close()).await;
        if closed.is_err() {
            tracing::error!("storage did not close cleanly; the next start replays its log");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Loader;

    #[test]
    fn compaction_obeys_kafkas_settings() {
        let options = |set: &[&str]| {
            let mut loader = Loader::default();
            set.iter().for_each(|text| loader.set(text).unwrap());
            compaction_options(&loader.finish().unwrap().0)
        };
        assert_eq!(options(&[]), CompactionOptions::default());
        let set = [
            "log.cleaner.dedupe.buffer.size=2097152",
            "log.cleaner.io.max.bytes.per.second=1.7976931348623157E308",
            "log.cleaner.backoff.ms=7",
        ];
        let expected = CompactionOptions {
            map_bytes: 2 << 20,
            bytes_per_tick: u64::MAX,
            interval_ms: 7,
        };
        assert_eq!(options(&set), expected);
    }
}
