//! Bytes that no client should send, and the one answer that must come whatever is sent.
//!
//! A broker in this process, raw sockets, no client library: each test says what arrives on the
//! wire and what must come back. A fresh connection must be served after each of them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use tidelog::settings::Loader;
use tidelog::start::{Running, start};

const PATIENCE: Duration = Duration::from_secs(10);

/// A broker on a free port, in its own directory.
struct Broker {
    running: Option<Running>,
    runtime: tokio::runtime::Runtime,
    kafka: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Broker {
    fn start(set: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut loader = Loader::default();
        loader
            .set(&format!("tidelog.data.dir={}", dir.path().display()))
            .unwrap();
        loader.set("listeners=127.0.0.1:0").unwrap();
        loader.set("tidelog.admin.listen=127.0.0.1:0").unwrap();
        loader.set("tidelog.catalog.listen=off").unwrap();
        loader.set("tidelog.registry.listen=off").unwrap();
        set.iter().for_each(|text| loader.set(text).unwrap());
        let (settings, _) = loader.finish().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let running = runtime.block_on(start(settings, "test")).unwrap();
        let kafka = running.listeners[0].bound;
        Self {
            running: Some(running),
            runtime,
            kafka,
            _dir: dir,
        }
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(self.kafka).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// Sends `bytes` and expects the connection to be closed without an answer.
    fn closes_on(&self, bytes: &[u8]) {
        let mut socket = self.connect();
        // The broker may close before it has read everything.
        let _ = socket.write_all(bytes);
        let mut answer = Vec::new();
        // A reset is as good as an end.
        let _ = socket.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{bytes:?} was answered with {answer:?}");
    }

    fn still_serves(&self) {
        let mut socket = self.connect();
        socket.write_all(&api_versions(0, 77)).unwrap();
        assert_eq!(frame(&mut socket)[..4], 77i32.to_be_bytes());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.stop());
        }
    }
}

fn sized(body: &[u8]) -> Vec<u8> {
    let mut out = i32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    out.extend_from_slice(body);
    out
}

fn header(key: i16, version: i16, correlation_id: i32) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(key.to_be_bytes());
    out.extend(version.to_be_bytes());
    out.extend(correlation_id.to_be_bytes());
    out.extend(1i16.to_be_bytes());
    out.push(b'c');
    out
}

/// A whole ApiVersions request; from v3 with a software name and version.
fn api_versions(version: i16, correlation_id: i32) -> Vec<u8> {
    let mut body = header(18, version, correlation_id);
    if version >= 3 {
        body.extend(b"\0\x05test\x041.0\0");
    }
    sized(&body)
}

fn frame(socket: &mut TcpStream) -> Vec<u8> {
    let mut size = [0; 4];
    socket.read_exact(&mut size).unwrap();
    let mut frame = vec![0; u32::from_be_bytes(size) as usize];
    socket.read_exact(&mut frame).unwrap();
    frame
}

fn ask(broker: &Broker, request: &[u8]) -> Vec<u8> {
    let mut socket = broker.connect();
    socket.write_all(request).unwrap();
    frame(&mut socket)
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn api_versions_is_answered_in_every_version() {
    let broker = Broker::start(&[]);
    for version in 0..=4 {
        let answer = ask(&broker, &api_versions(version, 5));
        // The response header is v0 in all versions: correlation id, then the body's error code.
        assert_eq!(answer[..6], [0, 0, 0, 5, 0, 0], "v{version}");
        let count = match version {
            0..=2 => i32::from_be_bytes(answer[6..10].try_into().unwrap()) as usize,
            _ => usize::from(answer[6]) - 1,
        };
        assert_eq!(count, tidelog::api::APIS.len(), "v{version}");
    }
}

#[test]
fn newer_api_versions_get_the_version_0_fallback_byte_for_byte() {
    let broker = Broker::start(&[]);
    for version in [5, 99, i16::MAX, -1] {
        let mut body = header(18, version, 0x0102_0304);
        body.push(0);
        body.extend(b"whatever a later version holds");
        let answer = ask(&broker, &sized(&body));
        let expected: &[u8] = &[
            1, 2, 3, 4, // correlation id
            0, 35, // UNSUPPORTED_VERSION
            0, 0, 0, 1, // one entry
            0, 18, 0, 0, 0, 4, // ApiVersions 0 to 4
        ];
        assert_eq!(answer, expected, "v{version}");
    }
}

#[test]
fn a_bad_software_name_is_refused_with_an_answer() {
    let broker = Broker::start(&[]);
    for names in [
        &b"\0\x01\x041.0\0"[..],
        b"\0\x03a-\x041.0\0",
        b"\0\x05test\x041.\n\0",
    ] {
        let mut body = header(18, 3, 9);
        body.extend(names);
        let answer = ask(&broker, &sized(&body));
        assert_eq!(answer[..6], [0, 0, 0, 9, 0, 42], "{names:?}");
    }
}

#[test]
fn a_thousand_requests_in_one_write_are_answered_in_order() {
    let broker = Broker::start(&[]);
    let mut socket = broker.connect();
    let burst: Vec<u8> = (0..1000)
        .flat_map(|id| api_versions((id % 5) as i16, id))
        .collect();
    socket.write_all(&burst).unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    for id in 0..1000i32 {
        assert_eq!(frame(&mut socket)[..4], id.to_be_bytes());
    }
    assert_eq!(
        socket.read(&mut [0]).unwrap(),
        0,
        "and then the connection ends"
    );
}

#[test]
fn requests_we_do_not_answer_close_the_connection() {
    let broker = Broker::start(&[]);
    for (key, version) in [(4, 0), (-1, 0), (12_345, 0), (16_000, 0), (i16::MAX, 3)] {
        let mut body = header(key, version, 1);
        body.push(0);
        broker.closes_on(&sized(&body));
    }
    broker.still_serves();
}

#[test]
fn malformed_frames_close_the_connection() {
    let broker = Broker::start(&[]);
    let mut long_client_id = header(18, 0, 1);
    long_client_id[8..10].copy_from_slice(&i16::MAX.to_be_bytes());
    let mut bad_tags = header(18, 3, 1);
    bad_tags.extend([0xff, 0xff, 0xff, 0xff, 0x0f]);
    let mut long_name = header(18, 3, 1);
    long_name.extend([0, 0xff, 0xff, 0xff, 0xff, 0x0f]);
    let frames = [
        (-1i32).to_be_bytes().to_vec(),
        i32::MIN.to_be_bytes().to_vec(),
        i32::MAX.to_be_bytes().to_vec(),
        104_857_601i32.to_be_bytes().to_vec(),
        sized(b""),
        sized(b"\0"),
        sized(b"\0\x12\0\0\0\0"),
        sized(&long_client_id),
        sized(&bad_tags),
        sized(&long_name),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(),
    ];
    for bytes in frames {
        broker.closes_on(&bytes);
    }
    broker.still_serves();
}

#[test]
fn random_bytes_never_hurt_the_broker() {
    let broker = Broker::start(&[]);
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move || {
        // xorshift64: the same bytes in every run.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for round in 0..300 {
        let mut bytes: Vec<u8> = (0..random() % 200).map(|_| random() as u8).collect();
        match round % 3 {
            0 => {}
            1 => bytes = sized(&bytes),
            _ => bytes = sized(&[header(18, (random() % 5) as i16, 1), bytes].concat()),
        }
        let mut socket = broker.connect();
        let _ = socket.write_all(&bytes);
        let _ = socket.shutdown(Shutdown::Write);
        let _ = socket.read_to_end(&mut Vec::new());
    }
    broker.still_serves();
    let ledger = broker.running().broker.ledger();
    until("all memory given back", || ledger.used_bytes() == 0);
    until("all connections closed", || {
        broker.running().broker.metrics().connections.get() == 0
    });
}

#[test]
fn a_frame_that_stops_in_the_middle_ends_with_its_connection() {
    let broker = Broker::start(&[]);
    let whole = api_versions(3, 1);
    for end in 1..whole.len() {
        let mut socket = broker.connect();
        socket.write_all(&whole[..end]).unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        assert!(answer.is_empty(), "{end} bytes were answered");
    }
    broker.still_serves();
}

#[test]
fn a_frame_that_arrives_byte_by_byte_is_answered() {
    let broker = Broker::start(&[]);
    let mut socket = broker.connect();
    socket.set_nodelay(true).unwrap();
    for byte in api_versions(3, 6) {
        socket.write_all(&[byte]).unwrap();
    }
    assert_eq!(frame(&mut socket)[..4], 6i32.to_be_bytes());
}

#[test]
fn idle_connections_are_closed_and_busy_ones_are_not() {
    let broker = Broker::start(&["connections.max.idle.ms=400"]);
    let mut silent = broker.connect();
    let mut stalled = broker.connect();
    stalled.write_all(&api_versions(0, 1)[..7]).unwrap();
    let mut busy = broker.connect();
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(900) {
        busy.write_all(&api_versions(0, 1)).unwrap();
        frame(&mut busy);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(silent.read(&mut [0]).unwrap(), 0);
    assert_eq!(stalled.read(&mut [0]).unwrap_or(0), 0);
    busy.write_all(&api_versions(0, 2)).unwrap();
    assert_eq!(frame(&mut busy)[..4], 2i32.to_be_bytes());
}

/// Resident memory of this process in bytes.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<usize>()
        .unwrap()
        * 1024
}

#[test]
fn silent_connections_cost_next_to_nothing() {
    // Both ends live in this process: two descriptors each, under the usual limit of 1024.
    const CONNECTIONS: usize = 400;
    const EACH_MAX_BYTES: usize = 10_000;
    let broker = Broker::start(&[]);
    let before = resident_bytes();
    let mut sockets: Vec<_> = (0..CONNECTIONS).map(|_| broker.connect()).collect();
    for socket in &mut sockets {
        socket.write_all(&api_versions(3, 1)).unwrap();
        frame(socket);
    }
    let open = &broker.running().broker.metrics().connections;
    until("all open", || open.get() == CONNECTIONS as i64);
    let grown = resident_bytes().saturating_sub(before);
    assert!(
        grown < CONNECTIONS * EACH_MAX_BYTES,
        "{} bytes each",
        grown / CONNECTIONS
    );
    assert_eq!(broker.running().broker.ledger().used_bytes(), 0);
}

#[test]
fn the_admin_port_shows_metrics_and_health() {
    let broker = Broker::start(&[]);
    broker.still_serves();
    let get = |path: &str| {
        let mut socket = TcpStream::connect(broker.running().admin.unwrap()).unwrap();
        write!(
            socket,
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        text
    };
    for path in ["/", "/health/live", "/health/ready"] {
        assert!(get(path).starts_with("HTTP/1.1 200 OK\r\n"), "{path}");
    }
    assert!(get("/nothing").starts_with("HTTP/1.1 404"));
    let metrics = get("/metrics");
    assert!(
        metrics.contains("tidelog_requests_total{api=\"ApiVersions\"} 1"),
        "{metrics}"
    );
    assert!(
        metrics.contains("tidelog_memory_budget_bytes 536870912"),
        "{metrics}"
    );
}
