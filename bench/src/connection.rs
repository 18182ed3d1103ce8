//! A blocking connection to a broker: whole frames out, whole frames in, in order.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use kafka_protocol::protocol::{Decodable as _, Request, StrBytes};
use tidelog_protocol_ext::{frame, header};

/// Larger answers mean that the stream is out of step.
const FRAME_MAX_BYTES: usize = 256 << 20;
/// A broker that says nothing for so long is stuck.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Where a request frame holds its correlation id: after size, key and version.
const CORRELATION_AT: usize = 8;

#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// The last frame's memory, once given back.
    spare: Vec<u8>,
}

impl Connection {
    pub fn open(bootstrap: &str) -> Result<Self> {
        let stream =
            TcpStream::connect(bootstrap).with_context(|| format!("connecting to {bootstrap}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        stream.set_write_timeout(Some(SILENCE_MAX))?;
        Ok(Self {
            stream,
            spare: Vec::new(),
        })
    }

    /// The same connection for a second thread, so that one may write while the other reads.
    pub fn second_handle(&self) -> Result<Self> {
        Ok(Self {
            stream: self.stream.try_clone()?,
            spare: Vec::new(),
        })
    }

    /// Ends the connection for all its handles; whoever waits on it gets an error.
    pub fn shut_down(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    pub fn send(&mut self, frame: &[u8]) -> Result<()> {
        self.stream.write_all(frame).context("sending a request")
    }

    /// The next frame without its size: correlation id, then the rest of header and body.
    pub fn receive(&mut self) -> Result<(i32, Bytes)> {
        let mut size = [0; 4];
        self.stream
            .read_exact(&mut size)
            .context("waiting for an answer")?;
        let size = frame::parse_size(size, FRAME_MAX_BYTES)?;
        let mut buffer = std::mem::take(&mut self.spare);
        buffer.clear();
        (&mut self.stream)
            .take(size as u64)
            .read_to_end(&mut buffer)?;
        ensure!(
            buffer.len() == size && size >= 4,
            "the connection ended inside a frame"
        );
        let frame = Bytes::from(buffer);
        let id = i32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
        Ok((id, frame))
    }

    /// Gives a frame's memory back for the next one; copies nothing when no slice of it is left.
    pub fn recycle(&mut self, frame: Bytes) {
        if frame.is_unique() {
            self.spare = frame.into();
        }
    }

    /// One request, one answer.
    pub fn call<R: Request>(&mut self, version: i16, request: &R) -> Result<R::Response> {
        self.send(&encode(version, request)?)?;
        let (_, frame) = self.receive()?;
        decode::<R>(version, frame)
    }
}

/// A request as a whole frame with correlation id 0.
pub fn encode<R: Request>(version: i16, request: &R) -> Result<Vec<u8>> {
    let header = header::RequestHeader {
        api_key: R::KEY,
        api_version: version,
        correlation_id: 0,
        client_id: Some(StrBytes::from_static_str("tidelog-bench")),
    };
    Ok(frame::request(&header, request)?.into())
}

pub fn set_correlation_id(frame: &mut [u8], id: i32) {
    frame[CORRELATION_AT..CORRELATION_AT + 4].copy_from_slice(&id.to_be_bytes());
}

/// The body of an answer to an `R`.
pub fn decode<R: Request>(version: i16, frame: Bytes) -> Result<R::Response> {
    let (_, mut body) = header::parse_response(R::KEY, version, frame)?;
    R::Response::decode(&mut body, version)
}
