//! Reads size-prefixed frames from a connection.
//!
//! A frame is held in memory only as far as it has arrived: the buffer begins small and at most
//! quadruples when full, so that announcing 100 MB costs the sender 25 MB before it costs us 100.
//! The buffer's bytes are charged to the [`Ledger`] and given back when the last slice of the
//! frame is dropped. Between frames nothing is held.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes};
use tidelog_protocol_ext::{WireError, frame};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::timeout;

use super::ledger::{Charge, Ledger, Place};

/// First size of a frame's buffer; most requests fit.
const START_BYTES: usize = 16 * 1024;

/// Frames larger than this share a part of the ledger. Producers send 1 MiB unless told otherwise.
const LARGE_BYTES: usize = 4 << 20;

/// Within a frame, bytes must keep coming: one that stalls holds memory that others wait for.
const STALL_MAX: Duration = Duration::from_secs(10);

/// Why no frame came. All of them end the connection.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("the client closed the connection")]
    Closed,
    #[error("the client closed the connection within a request")]
    Truncated,
    #[error("no whole request arrived within {0:?}")]
    Idle(Duration),
    #[error(transparent)]
    Size(#[from] WireError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// How frames of one connection are read.
#[derive(Debug)]
pub struct FrameReader {
    pub ledger: Arc<Ledger>,
    pub frame_max_bytes: usize,
    pub idle_max: Duration,
}

impl FrameReader {
    /// Waits for the next frame and returns its content without the size. Each of the two must
    /// arrive within the idle time, and no gap within the content may be longer than [`STALL_MAX`],
    /// so that no client holds memory by sending ever more slowly.
    ///
    /// # Errors
    /// The connection ended or must end.
    pub async fn next(&self, socket: &mut OwnedReadHalf) -> Result<Bytes, FrameError> {
        let idle = |_| FrameError::Idle(self.idle_max);
        let size = timeout(self.idle_max, self.size(socket))
            .await
            .map_err(idle)??;
        timeout(self.idle_max, self.content(socket, size))
            .await
            .map_err(idle)?
    }

    async fn size(&self, socket: &mut OwnedReadHalf) -> Result<usize, FrameError> {
        let mut prefix = [0; frame::SIZE_BYTES];
        let mut filled = 0;
        while filled < prefix.len() {
            match socket.read(&mut prefix[filled..]).await? {
                0 if filled == 0 => return Err(FrameError::Closed),
                0 => return Err(FrameError::Truncated),
                read => filled += read,
            }
        }
        Ok(frame::parse_size(prefix, self.frame_max_bytes)?)
    }

    async fn content(&self, socket: &mut OwnedReadHalf, size: usize) -> Result<Bytes, FrameError> {
        let start = size.min(START_BYTES);
        let place = match size > LARGE_BYTES {
            true => Some(self.ledger.place(size).await),
            false => None,
        };
        let charge = self.ledger.reserve(start).await;
        let mut frame = Frame {
            bytes: Vec::with_capacity(start),
            charge,
            _place: place,
        };
        while frame.bytes.len() < size {
            frame.make_room(size).await;
            let room = frame.bytes.capacity().min(size) - frame.bytes.len();
            let stall_max = STALL_MAX.min(self.idle_max);
            let mut space = (&mut frame.bytes).limit(room);
            let read = timeout(stall_max, socket.read_buf(&mut space)).await;
            if read.map_err(|_| FrameError::Idle(stall_max))?? == 0 {
                return Err(FrameError::Truncated);
            }
        }
        Ok(Bytes::from_owner(frame))
    }
}

/// A frame's bytes and what pays for them.
struct Frame {
    bytes: Vec<u8>,
    charge: Charge,
    _place: Option<Place>,
}

impl Frame {
    /// Enlarges a full buffer, to no more than the frame's `size`.
    async fn make_room(&mut self, size: usize) {
        let len = self.bytes.len();
        if len < self.bytes.capacity() {
            return;
        }
        let more = (len * 4).min(size) - len;
        self.charge.grow(more).await;
        self.bytes.reserve_exact(more);
    }
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
