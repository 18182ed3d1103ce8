//! One connection: reads requests, runs them in order, writes replies in the same order.
//!
//! ```text
//!   read frame → parse → admit → handler ─ outcome → outbox → gather ready → one vectored write
//! ```
//! Both halves run in one task. While a handler waits (a long poll) the connection is watched, and
//! when the client goes away the handler is dropped; what changes something is carried out. Between requests a connection holds no buffer.
//! Whatever is wrong with a request ends the connection: Kafka has no other answer.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use tidelog_protocol_ext::WireError;
use tidelog_protocol_ext::frame::SIZE_BYTES;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tracing::debug;

use super::dispatch::Call;
use super::frame::{FrameError, FrameReader};
use super::listener::Listener;
use super::outbox::{Batch, Outbox};
use crate::api::Api;
use crate::api::context::{Outcome, Principal};
use crate::broker::Broker;

/// How often a client is checked for being gone while its next request already waits to be read.
/// Without a waiting request the system tells at once.
const GONE_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// A client that takes nothing of a reply for this long is cut off: the reply holds memory that others
/// wait for.
const UNTAKEN_MAX: Duration = Duration::from_secs(60);

/// Slices given to one vectored write.
const SLICES_MAX: usize = 64;

/// What stays the same for all requests of a connection.
#[derive(Debug)]
pub struct Connection {
    pub broker: Arc<Broker>,
    /// The APIs that are answered: [`crate::api::APIS`], or fewer in tests.
    pub apis: &'static [Api],
    pub listener: Arc<Listener>,
    pub peer: SocketAddr,
    pub principal: Principal,
}

/// Why a connection stopped reading requests.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the broker is stopping")]
    Stopping,
    #[error("the client went away while it waited for an answer")]
    Gone,
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Malformed(#[from] WireError),
}

impl End {
    /// Whether the replies still owed are worth writing.
    fn drains(&self) -> bool {
        matches!(self, End::Stopping | End::Frame(FrameError::Closed))
    }
}

/// Serves one connection until it ends.
pub async fn serve(connection: Connection, socket: TcpStream) {
    let settings = connection.broker.settings();
    let idle_max = Duration::from_millis(settings.connections_max_idle_ms.unsigned_abs());
    let frames = FrameReader {
        ledger: Arc::clone(connection.broker.ledger()),
        frame_max_bytes: settings.socket_request_max_bytes.unsigned_abs() as usize,
        idle_max,
    };
    drop(settings);
    let (read_half, write_half) = socket.into_split();
    let outbox = Outbox::default();
    let reading = read_requests(&connection, &frames, read_half, &outbox);
    let writing = write_replies(&connection, &outbox, write_half, idle_max.min(UNTAKEN_MAX));
    tokio::pin!(reading, writing);

    let end = tokio::select! {
        end = &mut reading => end,
        written = &mut writing => {
            debug!(peer = %connection.peer, ?written, "closed by the writing half");
            return;
        }
    };
    debug!(peer = %connection.peer, reason = %end, "no more requests");
    if end.drains() {
        outbox.finish();
        // The client may be gone by now; there is nobody left to tell.
        let _ = writing.await;
    }
}

/// Reads and runs requests until the connection ends.
async fn read_requests(
    connection: &Connection,
    frames: &FrameReader,
    mut socket: OwnedReadHalf,
    outbox: &Outbox,
) -> End {
    let mut stop = connection.broker.shutdown_signal();
    loop {
        let call = tokio::select! {
            biased;
            () = stop.stopping() => Err(End::Stopping),
            call = next_call(connection, frames, &mut socket) => call,
        };
        let call = match call {
            Ok(call) => call,
            Err(end) => return end,
        };
        outbox.admit(call.pipelined()).await;
        match run(call, &socket).await {
            Some(outcome) => outbox.push(outcome),
            None => return End::Gone,
        }
    }
}

async fn next_call(
    connection: &Connection,
    frames: &FrameReader,
    socket: &mut OwnedReadHalf,
) -> Result<Call, End> {
    let frame = frames.next(socket).await?;
    let bytes = SIZE_BYTES + frame.len();
    connection.broker.metrics().bytes_in.inc_by(bytes as u64);
    Ok(Call::parse(connection, frame)?)
}

/// Runs a handler, or drops one that only waits with `None` when the client goes away.
async fn run(call: Call, socket: &OwnedReadHalf) -> Option<Outcome> {
    if !call.waits() {
        return Some(Box::pin(call.run()).await);
    }
    // Boxed, so that a connection that waits for its next request is not as large as the largest
    // handler.
    let running = Box::pin(call.run());
    tokio::select! {
        biased;
        outcome = running => Some(outcome),
        () = gone(socket.as_ref()) => None,
    }
}

/// Ends when the client has closed its side.
async fn gone(socket: &TcpStream) {
    loop {
        match socket.peek(&mut [0]).await {
            Ok(0) | Err(_) => return,
            // The next request has arrived. It is not read before this one is answered.
            Ok(_) => {
                let ready = socket.ready(Interest::READABLE).await;
                if ready.is_ok_and(|ready| ready.is_read_closed()) {
                    return;
                }
                tokio::time::sleep(GONE_CHECK_INTERVAL).await;
            }
        }
    }
}

/// Writes replies until the outbox ends, one of them closes the connection, or the client stops
/// taking them.
async fn write_replies(
    connection: &Connection,
    outbox: &Outbox,
    socket: OwnedWriteHalf,
    untaken_max: Duration,
) -> io::Result<()> {
    let mut held = None;
    while let Some(mut batch) = outbox.next_batch(&mut held).await {
        let written = write_all(&socket, &mut batch, untaken_max).await?;
        connection.broker.metrics().bytes_out.inc_by(written);
        if batch.close {
            break;
        }
        outbox.written(&batch);
    }
    Ok(())
}

/// Writes every piece of `batch` and returns how many bytes they were.
async fn write_all(
    socket: &OwnedWriteHalf,
    batch: &mut Batch,
    untaken_max: Duration,
) -> io::Result<u64> {
    let mut total = 0;
    while !batch.pieces.is_empty() {
        match write_some(socket, batch) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                total += written as u64;
                advance(batch, written);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::timeout(untaken_max, socket.writable()).await??;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}

fn write_some(socket: &OwnedWriteHalf, batch: &Batch) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    let count = batch.pieces.len().min(SLICES_MAX);
    for (slice, piece) in slices.iter_mut().zip(&batch.pieces) {
        *slice = IoSlice::new(piece);
    }
    socket.try_write_vectored(&slices[..count])
}

/// Drops the first `written` bytes.
fn advance(batch: &mut Batch, mut written: usize) {
    while let Some(piece) = batch.pieces.front_mut() {
        if written < piece.len() {
            piece.advance(written);
            return;
        }
        written -= piece.len();
        batch.pieces.pop_front();
    }
}
