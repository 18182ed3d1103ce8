//! A broker on a disk in memory whose power can be cut, with real sockets in front of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tidelog::api::APIS;
use tidelog::broker::Broker;
use tidelog::identity::Identity;
use tidelog::server::{self, listener::Listener};
use tidelog::settings::Loader;
use tidelog::start::assemble;
use tidelog_storage::disk::SimDisk;
use tokio::task::JoinSet;

use super::Client;

/// Longest wait for the storage of a broker without power to end its threads.
const CLOSING: Duration = Duration::from_secs(5);

/// Small files and few partitions: a start writes little.
const SMALL: [&str; 5] = [
    "listeners=127.0.0.1:0",
    "tidelog.wal.file.bytes=1048576",
    "offsets.topic.num.partitions=1",
    "transaction.state.log.num.partitions=1",
    "group.initial.rebalance.delay.ms=0",
];

pub struct SimBroker {
    pub broker: Arc<Broker>,
    pub address: SocketAddr,
    serving: JoinSet<()>,
}

impl SimBroker {
    pub async fn start(disk: &SimDisk) -> Self {
        Self::try_start(disk).await.expect("the disk can be opened")
    }

    /// None if the disk cannot be opened, for want of power.
    pub async fn try_start(disk: &SimDisk) -> Option<Self> {
        let mut loader = Loader::default();
        SMALL.iter().for_each(|text| loader.set(text).unwrap());
        let (settings, _) = loader.finish().unwrap();
        let bound = Listener::bind(&settings.listeners[0], &settings).await;
        let (listener, socket) = bound.unwrap();
        let identity = Identity {
            cluster_id: "test".into(),
            node_id: 1,
        };
        let disk = Arc::new(disk.clone());
        let broker = Arc::new(assemble(disk, identity, settings).await.ok()?);
        let address = listener.bound;
        let mut serving = JoinSet::new();
        let listener = Arc::new(listener);
        serving.spawn(server::listen(Arc::clone(&broker), APIS, listener, socket));
        Some(Self {
            broker,
            address,
            serving,
        })
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.address, "test").await
    }

    /// Ends the broker without giving it a chance to put things in order.
    pub async fn drop_dead(mut self, disk: &SimDisk) {
        disk.kill();
        self.serving.shutdown().await;
        self.broker.begin_shutdown();
        let log = Arc::clone(self.broker.log());
        drop(self.broker);
        let closing = tokio::task::spawn_blocking(move || log.engine().close());
        let closed = tokio::time::timeout(CLOSING, closed_or_not(closing)).await;
        assert!(closed.is_ok(), "storage without power does not end");
    }
}

/// Storage may well complain: its disk is gone.
async fn closed_or_not<T>(closing: tokio::task::JoinHandle<T>) {
    drop(closing.await);
}
