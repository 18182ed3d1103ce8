//! One connection that says exactly what it is told to, and hears frames, silence or the end.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::codec::put_varint;
use super::schema::Api;

/// Larger answers are a mistake of the broker.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// What a broker does after a request.
#[derive(Debug)]
pub enum Heard {
    /// A frame without its length.
    Frame(Vec<u8>),
    Closed,
    Silence,
}

#[derive(Debug)]
pub struct Line {
    address: String,
    stream: TcpStream,
    last_id: i32,
}

/// A request that was sent and what its answer must carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    correlation_id: i32,
}

impl Line {
    pub fn open(address: &str) -> Result<Self> {
        Ok(Self {
            address: address.to_owned(),
            stream: connect(address)?,
            last_id: 0,
        })
    }

    /// Begins anew after the broker closed the connection.
    pub fn reopen(&mut self) -> Result<()> {
        self.stream = connect(&self.address)?;
        Ok(())
    }

    /// Sends a request with a sound header.
    pub fn send(&mut self, api: &Api, version: i16, body: &[u8]) -> Result<Sent> {
        self.last_id += 1;
        let mut frame = header(api.key, version, self.last_id, Some("differential"));
        if api.is_flexible(version) {
            put_varint(&mut frame, 0);
        }
        frame.extend(body);
        self.send_frame(&frame)?;
        Ok(Sent {
            correlation_id: self.last_id,
        })
    }

    /// Sends bytes behind their length.
    pub fn send_frame(&mut self, frame: &[u8]) -> Result<()> {
        self.send_raw(&(frame.len() as i32).to_be_bytes())?;
        self.send_raw(frame)
    }

    /// Sends bytes as they are. A broker that hangs up early is heard of by [`Line::hear`].
    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<()> {
        match self.stream.write_all(bytes) {
            Err(error) if is_end(error.kind()) => Ok(()),
            sent => sent.context("sending"),
        }
    }

    pub fn hear(&mut self, patience: Duration) -> Result<Heard> {
        self.stream.set_read_timeout(Some(patience))?;
        let mut length = [0; 4];
        if let Some(end) = self.fill(&mut length)? {
            return Ok(end);
        }
        let length = u32::from_be_bytes(length) as usize;
        ensure!(length <= FRAME_BYTES_MAX, "an answer of {length} bytes");
        let mut frame = vec![0; length];
        match self.fill(&mut frame)? {
            Some(Heard::Silence) => bail!("an answer stopped half way"),
            Some(end) => Ok(end),
            None => Ok(Heard::Frame(frame)),
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<Option<Heard>> {
        match self.stream.read_exact(bytes) {
            Ok(()) => Ok(None),
            Err(error) if is_end(error.kind()) => Ok(Some(Heard::Closed)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(Some(Heard::Silence))
            }
            Err(error) => Err(error).context("hearing"),
        }
    }
}

/// The body of the answer to a request.
pub fn open_frame<'a>(api: &Api, version: i16, sent: Sent, frame: &'a [u8]) -> Result<&'a [u8]> {
    let (id, body) = frame.split_first_chunk().context("no correlation id")?;
    let id = i32::from_be_bytes(*id);
    ensure!(id == sent.correlation_id, "the answer of request {id}");
    // Whoever asks which versions there are cannot know the header's version either (KIP-511).
    if !api.is_flexible(version) || api.name == "ApiVersions" {
        return Ok(body);
    }
    body.strip_prefix(&[0]).context("tags in the header")
}

/// The fields that all request headers have.
pub fn header(key: i16, version: i16, correlation_id: i32, client_id: Option<&str>) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(key.to_be_bytes());
    bytes.extend(version.to_be_bytes());
    bytes.extend(correlation_id.to_be_bytes());
    bytes.extend(client_id.map_or(-1, |id| id.len() as i16).to_be_bytes());
    bytes.extend(client_id.unwrap_or_default().as_bytes());
    bytes
}

fn connect(address: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn is_end(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    )
}
