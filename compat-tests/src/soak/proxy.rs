//! A TCP proxy that knows Kafka's frames: it can cut, freeze, slow down or refuse connections, tear a frame
//! in two, and hold a connection at a chosen request.
//!
//! Two threads a connection, one frame at a time. When one side closes, the other is closed at once and
//! what was under way is dropped, so the broker never gets a request late from a client that gave up.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Larger than any request of the soak.
const FRAME_BYTES_MAX: usize = 64 << 20;
/// How often what holds a frame back looks again.
const LOOK: Duration = Duration::from_millis(5);

/// What happens to everything that passes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// Nobody listens.
    pub refuse: bool,
    /// Nothing passes, nothing is closed.
    pub freeze: bool,
    /// Each frame takes so much longer.
    pub delay: Duration,
}

/// Where in a request's life the trap closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The broker does not get the request.
    Asked,
    /// It got the request just now.
    Passed,
    /// It answered, and the client does not get the answer.
    Answered,
}

#[derive(Debug)]
struct Trap {
    api_key: i16,
    moment: Moment,
    tell: Sender<()>,
}

/// Dropping it closes every connection and takes no more.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    target: Mutex<Option<String>>,
    weather: Mutex<Weather>,
    connections: Mutex<HashMap<u64, Arc<Connection>>>,
    trap: Mutex<Option<Trap>>,
    /// So many frames to come are torn in two and their connections cut.
    tears: AtomicI32,
    ended: AtomicBool,
}

#[derive(Debug)]
struct Connection {
    client: TcpStream,
    broker: TcpStream,
    closed: AtomicBool,
    /// The answer with this correlation id is held and told.
    trapped: Mutex<Option<(u32, Sender<()>)>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToBroker,
    ToClient,
}

impl Proxy {
    /// Listens; refuses everybody until there is a target.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared::default());
        let accepting = shared.clone();
        thread::spawn(move || accept(listener, port, &accepting));
        Ok(Self { port, shared })
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn forward_to(&self, target: &str) {
        *lock(&self.shared.target) = Some(target.to_owned());
    }

    pub fn weather(&self, weather: Weather) {
        *lock(&self.shared.weather) = weather;
    }

    /// Cuts each connection for which `choose` says so.
    pub fn cut(&self, mut choose: impl FnMut() -> bool) {
        let connections: Vec<_> = lock(&self.shared.connections).values().cloned().collect();
        for connection in connections {
            if choose() {
                connection.close();
            }
        }
    }

    /// Tears so many of the next frames in two.
    pub fn tear(&self, frames: i32) {
        self.shared.tears.store(frames, Ordering::SeqCst);
    }

    /// The next request with this key is held at that moment and told; only closing releases it.
    pub fn trap(&self, api_key: i16, moment: Moment) -> Receiver<()> {
        let (tell, told) = mpsc::channel();
        *lock(&self.shared.trap) = Some(Trap {
            api_key,
            moment,
            tell,
        });
        told
    }

    pub fn untrap(&self) {
        *lock(&self.shared.trap) = None;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.cut(|| true);
    }
}

/// Clients tell a port nobody listens on from a connection that is closed at once: while connections are
/// refused, there is no listener.
fn accept(first: TcpListener, port: u16, shared: &Arc<Shared>) {
    let mut listener = Some(first);
    let mut id = 0;
    while !shared.ended.load(Ordering::SeqCst) {
        if lock(&shared.weather).refuse {
            listener = None;
        } else if listener.is_none() {
            listener = TcpListener::bind(("127.0.0.1", port)).ok();
        }
        let accepted = listener.as_ref().and_then(|listener| {
            listener.set_nonblocking(true).ok()?;
            listener.accept().ok()
        });
        let Some((client, _)) = accepted else {
            thread::sleep(LOOK);
            continue;
        };
        id += 1;
        if let Some(connection) = shared.connect(client) {
            lock(&shared.connections).insert(id, connection.clone());
            for direction in [Direction::ToBroker, Direction::ToClient] {
                let (shared, connection) = (shared.clone(), connection.clone());
                thread::spawn(move || {
                    let _why = pump(&shared, &connection, direction);
                    connection.close();
                    lock(&shared.connections).remove(&id);
                });
            }
        }
    }
}

impl Shared {
    fn connect(&self, client: TcpStream) -> Option<Arc<Connection>> {
        let target = lock(&self.target).clone()?;
        let broker = TcpStream::connect(target).ok()?;
        client.set_nonblocking(false).ok()?;
        client.set_nodelay(true).ok()?;
        broker.set_nodelay(true).ok()?;
        Some(Arc::new(Connection {
            client,
            broker,
            closed: AtomicBool::new(false),
            trapped: Mutex::new(None),
        }))
    }
}

impl Connection {
    fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.broker.shutdown(Shutdown::Both);
    }

    fn hold(&self) {
        while !self.closed.load(Ordering::SeqCst) {
            thread::sleep(LOOK);
        }
    }
}

/// Until one side closes or the connection is cut.
fn pump(shared: &Shared, connection: &Connection, direction: Direction) -> Result<()> {
    let (mut from, mut to) = match direction {
        Direction::ToBroker => (&connection.client, &connection.broker),
        Direction::ToClient => (&connection.broker, &connection.client),
    };
    loop {
        let frame = read_frame(&mut from)?;
        let delay = lock(&shared.weather).delay;
        if !delay.is_zero() {
            thread::sleep(delay);
        }
        while lock(&shared.weather).freeze && !connection.closed.load(Ordering::SeqCst) {
            thread::sleep(LOOK);
        }
        if shared.tears.fetch_sub(1, Ordering::SeqCst) > 0 {
            to.write_all(&frame[..frame.len() / 2])?;
            return Ok(());
        }
        shared.tears.fetch_max(0, Ordering::SeqCst);
        match direction {
            Direction::ToBroker => {
                let passed = shared.ask(connection, &frame);
                to.write_all(&frame)?;
                if let Some(tell) = passed {
                    let _ = tell.send(());
                }
            }
            Direction::ToClient => {
                answer(connection, &frame);
                to.write_all(&frame)?;
            }
        }
    }
}

impl Shared {
    /// Looks whether a request is the one the trap waits for; answers whom to tell once it has passed.
    fn ask(&self, connection: &Connection, frame: &[u8]) -> Option<Sender<()>> {
        let api_key = i16::from_be_bytes(frame.get(4..6)?.try_into().ok()?);
        let correlation = u32::from_be_bytes(frame.get(8..12)?.try_into().ok()?);
        let mut waiting = lock(&self.trap);
        if waiting.as_ref()?.api_key != api_key {
            return None;
        }
        let trap = waiting.take()?;
        drop(waiting);
        match trap.moment {
            Moment::Asked => {
                let _ = trap.tell.send(());
                connection.hold();
                None
            }
            Moment::Passed => Some(trap.tell),
            Moment::Answered => {
                *lock(&connection.trapped) = Some((correlation, trap.tell));
                None
            }
        }
    }
}

fn answer(connection: &Connection, frame: &[u8]) {
    let correlation = frame.get(4..8).and_then(|bytes| bytes.try_into().ok());
    let mut trapped = lock(&connection.trapped);
    let is_it = trapped
        .as_ref()
        .is_some_and(|(id, _)| Some(id.to_be_bytes()) == correlation);
    if is_it && let Some((_, tell)) = trapped.take() {
        drop(trapped);
        let _ = tell.send(());
        connection.hold();
    }
}

/// A frame with its length.
fn read_frame(from: &mut &TcpStream) -> Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let bytes = usize::try_from(u32::from_be_bytes(length))?;
    anyhow::ensure!(bytes <= FRAME_BYTES_MAX, "a frame of {bytes} bytes");
    let mut frame = length.to_vec();
    frame.resize(4 + bytes, 0);
    from.read_exact(&mut frame[4..]).context("frame")?;
    Ok(frame)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
