//! Order, pipelining, back-pressure and failures of handlers, with APIs made for the purpose.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{FetchRequest, MetadataRequest, ProduceRequest};
use tidelog_storage::disk::SimDisk;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::*;
use crate::api::context::{Outcome, Reply};
use crate::identity::Identity;
use crate::settings::{Loader, Settings};
use crate::start::assemble;

const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
const METADATA: i16 = 3;
const PATIENCE: Duration = Duration::from_secs(10);

/// Long polls that are waiting now.
static PARKED: AtomicUsize = AtomicUsize::new(0);

struct Parked;

impl Parked {
    fn new() -> Self {
        PARKED.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        PARKED.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Produce answers later, after the milliseconds in its body; a Fetch waits for ever; Metadata
/// answers with as many bytes as its body says, or panics if it has none.
static TEST_APIS: [Api; 3] = [
    Api {
        pipelined: true,
        ..Api::row::<ProduceRequest>("Produce", 3, 13, |ctx, body| {
            let responder = ctx.responder;
            let wait = Duration::from_millis(u64::from(body[0]));
            Box::pin(async move {
                let written = sleep(wait);
                Outcome::later(async move {
                    written.await;
                    frame_of(responder.correlation_id, 0)
                })
            })
        })
    },
    Api {
        waits: true,
        ..Api::row::<FetchRequest>("Fetch", 4, 17, |_, _| {
            Box::pin(async {
                let _parked = Parked::new();
                std::future::pending().await
            })
        })
    },
    Api::row::<MetadataRequest>("Metadata", 0, 13, |ctx, body| {
        Box::pin(async move {
            assert!(!body.is_empty(), "asked to panic");
            let size = u32::from_be_bytes(body[..4].try_into().unwrap());
            frame_of(ctx.responder.correlation_id, size as usize).into()
        })
    }),
];

fn frame_of(correlation_id: i32, body_bytes: usize) -> Reply {
    let mut head = BytesMut::new();
    head.put_i32(4 + i32::try_from(body_bytes).unwrap());
    head.put_i32(correlation_id);
    let body = Bytes::from(vec![7; body_bytes]);
    Reply::Send([head.freeze(), body].into_iter().collect())
}

fn request(key: i16, correlation_id: i32, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_i32(10 + i32::try_from(body.len()).unwrap());
    out.put_i16(key);
    out.put_i16(4);
    out.put_i32(correlation_id);
    out.put_i16(-1);
    out.extend_from_slice(body);
    out
}

async fn reply(socket: &mut TcpStream) -> Option<(i32, usize)> {
    let read = async {
        let size = socket.read_i32().await.ok()?;
        let mut frame = vec![0; size as usize];
        socket.read_exact(&mut frame).await.ok()?;
        Some((
            i32::from_be_bytes(frame[..4].try_into().unwrap()),
            frame.len() - 4,
        ))
    };
    timeout(PATIENCE, read).await.expect("a reply in time")
}

async fn broker(set: &[&str]) -> (Arc<Broker>, SocketAddr, tokio::task::JoinHandle<()>) {
    let mut loader = Loader::default();
    loader.set("listeners=127.0.0.1:0").unwrap();
    loader.set("tidelog.wal.file.bytes=1048576").unwrap();
    set.iter().for_each(|text| loader.set(text).unwrap());
    let (settings, _): (Settings, _) = loader.finish().unwrap();
    let (listener, socket) = Listener::bind(&settings.listeners[0], &settings)
        .await
        .unwrap();
    let identity = Identity {
        cluster_id: "test".into(),
        node_id: 1,
    };
    let disk = Arc::new(SimDisk::new());
    let broker = Arc::new(assemble(disk, identity, settings).await.unwrap());
    let address = listener.bound;
    let served = tokio::spawn(listen(
        Arc::clone(&broker),
        &TEST_APIS,
        Arc::new(listener),
        socket,
    ));
    (broker, address, served)
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn produce_requests_overlap_and_replies_keep_their_order() {
    let (_broker, address, _) = broker(&[]).await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    let mut burst = Vec::new();
    for id in 0..200 {
        burst.extend(request(PRODUCE, id, &[if id % 2 == 0 { 50 } else { 0 }]));
    }
    burst.extend(request(METADATA, 200, &1u32.to_be_bytes()));
    let started = Instant::now();
    socket.write_all(&burst).await.unwrap();
    for id in 0..=200 {
        assert_eq!(reply(&mut socket).await.unwrap().0, id);
    }
    // 100 waits of 50 ms one after another would take 5 s.
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn large_replies_survive_a_slow_reader_whole_and_in_order() {
    let (broker, address, _) = broker(&[]).await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    let sizes = [0, 1, 5_000_000, 3, 2_000_000, 70_000, 70_000, 9];
    for (id, size) in (0..).zip(sizes) {
        socket
            .write_all(&request(METADATA, id, &u32::to_be_bytes(size)))
            .await
            .unwrap();
    }
    sleep(Duration::from_millis(50)).await;
    for (id, size) in (0..).zip(sizes) {
        assert_eq!(reply(&mut socket).await.unwrap(), (id, size as usize));
    }
    let total: u64 = sizes.iter().map(|size| u64::from(*size) + 8).sum();
    until("bytes counted", || {
        broker.metrics().bytes_out.get() == total
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_a_long_poll_is_noticed() {
    let (broker, address, _) = broker(&[]).await;
    for next_request_waits in [false, true] {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(&request(FETCH, 1, &[])).await.unwrap();
        until("parked", || PARKED.load(Ordering::SeqCst) == 1).await;
        if next_request_waits {
            socket.write_all(&request(FETCH, 2, &[])).await.unwrap();
            sleep(Duration::from_millis(20)).await;
        }
        drop(socket);
        until("dropped", || PARKED.load(Ordering::SeqCst) == 0).await;
        until("closed", || broker.metrics().connections.get() == 0).await;
    }
    assert_eq!(broker.ledger().used_bytes(), 0);
}

#[tokio::test]
async fn a_panic_closes_only_its_connection() {
    let (_broker, address, _) = broker(&[]).await;
    let mut bystander = TcpStream::connect(address).await.unwrap();
    let mut victim = TcpStream::connect(address).await.unwrap();
    victim.write_all(&request(METADATA, 1, &[])).await.unwrap();
    assert_eq!(reply(&mut victim).await, None);
    bystander
        .write_all(&request(METADATA, 2, &8u32.to_be_bytes()))
        .await
        .unwrap();
    assert_eq!(reply(&mut bystander).await, Some((2, 8)));
}

#[tokio::test]
async fn stopping_answers_what_is_in_hand_and_cuts_the_rest() {
    let (broker, address, served) = broker(&["tidelog.shutdown.timeout.ms=300"]).await;
    let mut producer = TcpStream::connect(address).await.unwrap();
    producer
        .write_all(&request(PRODUCE, 1, &[100]))
        .await
        .unwrap();
    let mut poller = TcpStream::connect(address).await.unwrap();
    poller.write_all(&request(FETCH, 2, &[])).await.unwrap();
    until("both read", || {
        broker.metrics().bytes_in.get() == 14 + 1 + 14
    })
    .await;
    broker.begin_shutdown();
    assert_eq!(reply(&mut producer).await, Some((1, 0)));
    assert_eq!(reply(&mut producer).await, None);
    assert_eq!(reply(&mut poller).await, None);
    timeout(PATIENCE, served).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
    assert_eq!(broker.metrics().connections.get(), 0);
}

#[tokio::test]
async fn a_full_broker_accepts_again_when_a_connection_ends() {
    let (broker, address, _) = broker(&["max.connections=1"]).await;
    let first = TcpStream::connect(address).await.unwrap();
    until("first", || broker.metrics().connections.get() == 1).await;
    let mut second = TcpStream::connect(address).await.unwrap();
    second
        .write_all(&request(METADATA, 1, &1u32.to_be_bytes()))
        .await
        .unwrap();
    sleep(Duration::from_millis(100)).await;
    assert_eq!(broker.metrics().connections.get(), 1);
    assert_eq!(broker.metrics().bytes_in.get(), 0);
    drop(first);
    assert_eq!(reply(&mut second).await, Some((1, 1)));
}

/// Whoever waits for memory holds none: large frames that stay half-sent stop nobody for good.
#[tokio::test]
async fn half_sent_large_frames_do_not_wedge() {
    let set = [
        "tidelog.memory.budget.bytes=16777216",
        "socket.request.max.bytes=16777216",
    ];
    let (broker, address, _) = broker(&set).await;
    let part = vec![0; 6 << 20];
    let half = |size: i32| {
        let part = part.clone();
        async move {
            let mut socket = TcpStream::connect(address).await.unwrap();
            socket.write_all(&size.to_be_bytes()).await.unwrap();
            // Not all of it may be taken.
            let _ = timeout(Duration::from_millis(300), socket.write_all(&part)).await;
            socket
        }
    };
    let sockets = futures::future::join_all((0..12).map(|_| half(12 << 20))).await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    let ask = request(METADATA, 1, &1u32.to_be_bytes());
    socket.write_all(&ask).await.unwrap();
    assert_eq!(reply(&mut socket).await, Some((1, 1)), "a usual request");
    drop(sockets);
    until("given back", || broker.ledger().used_bytes() == 0).await;
}

#[tokio::test]
async fn a_spent_budget_slows_and_an_announced_size_costs_nothing() {
    let set = [
        "tidelog.memory.budget.bytes=1048576",
        "socket.request.max.bytes=1048576",
    ];
    let (broker, address, _) = broker(&set).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(&1_048_576i32.to_be_bytes()).await.unwrap();
        silent.push(socket);
    }
    until("announced", || broker.ledger().used_bytes() == 20 * 16_384).await;

    let all = broker
        .ledger()
        .reserve(broker.ledger().budget_bytes() - 20 * 16_384)
        .await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket
        .write_all(&request(METADATA, 1, &1u32.to_be_bytes()))
        .await
        .unwrap();
    sleep(Duration::from_millis(100)).await;
    assert_eq!(
        broker.metrics().bytes_in.get(),
        0,
        "not read while the budget is spent"
    );
    drop(all);
    assert_eq!(reply(&mut socket).await, Some((1, 1)));

    // Frames that together exceed the budget all come through.
    let body = vec![0; 700_000];
    let sending = (0..4).map(|id| {
        let frame = request(METADATA, id, &body);
        tokio::spawn(async move {
            let mut socket = TcpStream::connect(address).await.unwrap();
            socket.write_all(&frame).await.unwrap();
            assert_eq!(reply(&mut socket).await, Some((id, 0)));
        })
    });
    futures::future::try_join_all(sending.collect::<Vec<_>>())
        .await
        .unwrap();
    drop(silent);
    until("given back", || broker.ledger().used_bytes() == 0).await;
}
