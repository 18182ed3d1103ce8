//! A broker in this process and a raw client for it: frames in, frames out, every version as asked.

#![allow(dead_code, reason = "each test file uses its own part of this")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod data;
pub mod fuzz;
pub mod group;
pub mod lake;
pub mod power;
pub mod table;
pub mod txn;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use tempfile::TempDir;
use tidelog::settings::Loader;
use tidelog::start::{Running, StartError, start};
use tidelog_storage::disk::OpenDirError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long anything may take that is expected to happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running broker on a free port, in a directory that outlives it.
pub struct TestBroker {
    running: Running,
    set: Vec<String>,
    dir: Arc<TempDir>,
}

impl TestBroker {
    /// Starts a broker in a new directory; `set` are settings as `key=value`.
    pub async fn start(set: &[&str]) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let set = set.iter().map(|text| (*text).to_owned()).collect();
        Self::start_in(dir, set).await
    }

    async fn start_in(dir: Arc<TempDir>, set: Vec<String>) -> Self {
        let started = Instant::now();
        let running = loop {
            let mut loader = Loader::default();
            let data_dir = format!("tidelog.data.dir={}", dir.path().display());
            for text in [
                &data_dir,
                "listeners=127.0.0.1:0",
                "tidelog.admin.listen=off",
                "tidelog.catalog.listen=127.0.0.1:0",
                "tidelog.registry.listen=127.0.0.1:0",
            ] {
                loader.set(text).unwrap();
            }
            set.iter().for_each(|text| loader.set(text).unwrap());
            let (settings, _) = loader.finish().unwrap();
            match start(settings, "test").await {
                Ok(running) => break running,
                // The owners of the broker before this one are still about to end.
                Err(StartError::DataDir(OpenDirError::Locked { .. }))
                    if started.elapsed() < PATIENCE =>
                {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(error) => panic!("{error}"),
            }
        };
        Self { running, set, dir }
    }

    /// Stops the broker and starts another on the same directory.
    pub async fn restart(self) -> Self {
        let Self { running, set, dir } = self;
        running.stop().await;
        Self::start_in(dir, set).await
    }

    /// As [`TestBroker::restart`], with something done to the directory in between.
    pub async fn restart_after(self, change: impl FnOnce(&Path)) -> Self {
        let Self { running, set, dir } = self;
        running.stop().await;
        change(dir.path());
        Self::start_in(dir, set).await
    }

    /// Drops the broker as it is, with all of its tasks, and starts another on the same directory.
    pub async fn kill(self) -> Self {
        let Self { running, set, dir } = self;
        drop(running);
        Self::start_in(dir, set).await
    }

    pub fn running(&self) -> &Running {
        &self.running
    }

    pub fn address(&self) -> SocketAddr {
        self.running.listeners[0].bound
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.address(), "test").await
    }

    /// Makes a topic with the default number of partitions, and waits until it is there.
    pub async fn make_topic(&self, name: &str) {
        let made = self
            .running
            .broker
            .cluster()
            .auto_create(vec![name.to_owned()]);
        made.await.unwrap();
    }
}

/// One connection.
pub struct Client {
    socket: TcpStream,
    client_id: String,
    correlation_id: i32,
}

impl Client {
    pub async fn connect(address: SocketAddr, client_id: &str) -> Self {
        Self {
            socket: TcpStream::connect(address).await.unwrap(),
            client_id: client_id.to_owned(),
            correlation_id: 0,
        }
    }

    /// Sends a request and reads its answer; both are held to the version.
    pub async fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        self.send(version, request).await;
        self.receive::<R>(version).await
    }

    /// Sends a request only.
    pub async fn send<R: Request>(&mut self, version: i16, request: &R) {
        self.correlation_id += 1;
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(Some(StrBytes::from_string(self.client_id.clone())));
        let mut body = BytesMut::new();
        header
            .encode(&mut body, R::header_version(version))
            .unwrap();
        request.encode(&mut body, version).unwrap();
        let mut frame = BytesMut::new();
        frame.put_i32(i32::try_from(body.len()).unwrap());
        frame.extend_from_slice(&body);
        self.socket.write_all(&frame).await.unwrap();
    }

    /// Reads the answer to the last request sent, which was an `R` of this version.
    pub async fn receive<R: Request>(&mut self, version: i16) -> R::Response {
        self.receive_nth::<R>(version, self.correlation_id).await
    }

    /// As [`Client::receive`], for the `nth` request of this connection, counted from 1.
    pub async fn receive_nth<R: Request>(&mut self, version: i16, nth: i32) -> R::Response {
        let mut frame = tokio::time::timeout(PATIENCE, self.frame())
            .await
            .unwrap_or_else(|_| panic!("no answer to API {} v{version}", R::KEY));
        let header_version = R::Response::header_version(version);
        let header = ResponseHeader::decode(&mut frame, header_version).unwrap();
        assert_eq!(header.correlation_id, nth);
        let response = R::Response::decode(&mut frame, version).unwrap();
        assert!(
            !frame.has_remaining(),
            "API {} v{version}: bytes left over",
            R::KEY
        );
        response
    }

    /// Whether the broker ends the connection, without a word, within our patience.
    pub async fn is_closed(&mut self) -> bool {
        let read = tokio::time::timeout(PATIENCE, self.socket.read(&mut [0])).await;
        matches!(read, Ok(Ok(0) | Err(_)))
    }

    async fn frame(&mut self) -> Bytes {
        let size = self
            .socket
            .read_i32()
            .await
            .expect("the connection stays open");
        let mut frame = vec![0; usize::try_from(size).unwrap()];
        self.socket.read_exact(&mut frame).await.unwrap();
        frame.into()
    }
}
