//! One connection to one broker: requests are written as they come, answers read in their order.
//!
//! ```text
//! call ─► outgoing ─► write loop ─► socket
//!              └───► in flight ─► read loop ◄─ socket
//! call ◄──────────────── reply ──────┘
//! ```
//!
//! Both loops are one task, so that the end of either ends the other; whoever waits then learns why.
//! A caller that goes away leaves its answer to be read and dropped.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::ApiVersionsRequest;
use tidelog_protocol_ext::shape::Span;
use tidelog_protocol_ext::{WireError, frame, header};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::api::Call;
use crate::config::Config;
use crate::error::{BrokerError, Error, Result};

/// Requests without an answer on one connection; brokers take fewer than this at once.
const IN_FLIGHT_MAX: usize = 64;
/// Memory taken on the word of a size alone.
const FRAME_BYTES_BELIEVED: usize = 4 << 20;

#[derive(Debug)]
pub(crate) struct Connection {
    address: Arc<str>,
    client_id: String,
    outgoing: mpsc::Sender<Outgoing>,
    /// What the broker offers, by API key.
    versions: BTreeMap<i16, Span>,
    next_id: AtomicI32,
    ended: Arc<OnceLock<String>>,
    task: AbortHandle,
}

/// A request on its way.
struct Outgoing {
    frame: Vec<Bytes>,
    due: Due,
}

/// An answer that is due.
struct Due {
    key: i16,
    version: i16,
    correlation_id: i32,
    reply: oneshot::Sender<Bytes>,
}

impl Connection {
    /// Connects and asks what the broker offers.
    pub(crate) async fn open(address: &str, config: &Config) -> Result<Self> {
        let failed = |reason: String| Error::Connect {
            address: address.to_owned(),
            reason,
        };
        let stream = timeout(config.connect_timeout, TcpStream::connect(address))
            .await
            .map_err(|_| failed(format!("no answer within {:?}", config.connect_timeout)))?
            .map_err(|error| failed(error.to_string()))?;
        stream
            .set_nodelay(true)
            .map_err(|error| failed(error.to_string()))?;
        let mut connection = Self::over(stream, address, config);
        let request = ApiVersionsRequest::default();
        let answer = connection
            .call_at(0, &request, config.request_timeout)
            .await?;
        BrokerError::check("ApiVersions", answer.error_code, || address.to_owned())?;
        connection.versions = answer
            .api_keys
            .iter()
            .map(|api| (api.api_key, Span::new(api.min_version, api.max_version)))
            .collect();
        Ok(connection)
    }

    fn over(stream: TcpStream, address: &str, config: &Config) -> Self {
        let (outgoing, requests) = mpsc::channel(IN_FLIGHT_MAX);
        let ended = Arc::new(OnceLock::new());
        let reason = Arc::clone(&ended);
        let bytes_max = config.response_bytes_max;
        let task = tokio::spawn(async move {
            if let Err(error) = run(stream, requests, bytes_max).await {
                // Somebody may have said so before.
                let _ = reason.set(error.to_string());
            }
        });
        Self {
            address: address.into(),
            client_id: config.client_id.clone(),
            outgoing,
            versions: BTreeMap::new(),
            next_id: AtomicI32::new(0),
            ended,
            task: task.abort_handle(),
        }
    }

    /// Whether requests can still be sent.
    pub(crate) fn is_open(&self) -> bool {
        self.ended.get().is_none() && !self.outgoing.is_closed()
    }

    /// Whether the broker offers an API in a version known here.
    pub(crate) fn offers<C: Call>(&self) -> bool {
        self.version_of::<C>().is_some()
    }

    /// Sends a request in the newest version both sides know, and waits for its answer.
    pub(crate) async fn call<C: Call>(&self, request: &C, within: Duration) -> Result<C::Answer> {
        let version = self.version_of::<C>();
        let version = version.ok_or_else(|| self.without::<C>())?;
        self.call_at(version, request, within).await
    }

    /// That the broker does not offer an API.
    pub(crate) fn without<C: Call>(&self) -> Error {
        Error::Unsupported {
            address: self.address.to_string(),
            api: C::NAME,
        }
    }

    fn version_of<C: Call>(&self) -> Option<i16> {
        let theirs = self.versions.get(&C::KEY)?;
        let version = theirs.last.min(C::VERSIONS.last);
        (version >= theirs.first && version >= C::VERSIONS.first).then_some(version)
    }

    async fn call_at<C: Call>(
        &self,
        version: i16,
        request: &C,
        within: Duration,
    ) -> Result<C::Answer> {
        let correlation_id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let frame = request
            .frame(version, correlation_id, &self.client_id)
            .map_err(|source| self.misread(source))?;
        let (reply, answer) = oneshot::channel();
        let due = Due {
            key: C::KEY,
            version,
            correlation_id,
            reply,
        };
        let exchange = async {
            self.outgoing.send(Outgoing { frame, due }).await.ok()?;
            answer.await.ok()
        };
        match timeout(within, exchange).await {
            Ok(Some(body)) => C::answer(version, body).map_err(|source| self.misread(source)),
            Ok(None) => Err(self.disconnected()),
            Err(_) => Err(self.give_up(C::NAME, within)),
        }
    }

    /// Answers come in order: behind one that does not come there will be no other.
    fn give_up(&self, api: &'static str, after: Duration) -> Error {
        let _ = self.ended.set(format!("{api} was not answered"));
        self.task.abort();
        Error::TimedOut {
            address: self.address.to_string(),
            api,
            after,
        }
    }

    fn disconnected(&self) -> Error {
        Error::Disconnected {
            address: self.address.to_string(),
            reason: self.ended.get().map_or("closed", String::as_str).to_owned(),
        }
    }

    fn misread(&self, source: WireError) -> Error {
        let address = self.address.to_string();
        match source {
            // The broker's newest version does not carry the request.
            WireError::UnsupportedVersion { api, .. } => Error::Unsupported { address, api },
            source => Error::Wire { address, source },
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    stream: TcpStream,
    requests: mpsc::Receiver<Outgoing>,
    bytes_max: usize,
) -> io::Result<()> {
    let (reader, writer) = stream.into_split();
    let (flying, in_flight) = mpsc::channel(IN_FLIGHT_MAX);
    tokio::select! {
        ended = write_all(writer, requests, flying) => ended,
        ended = read_all(reader, in_flight, bytes_max) => ended,
    }
}

async fn write_all(
    mut writer: OwnedWriteHalf,
    mut requests: mpsc::Receiver<Outgoing>,
    flying: mpsc::Sender<Due>,
) -> io::Result<()> {
    while let Some(Outgoing { frame, due }) = requests.recv().await {
        // Before the request leaves, so that no answer can come unexpected.
        if flying.send(due).await.is_err() {
            break;
        }
        for chunk in frame {
            writer.write_all(&chunk).await?;
        }
    }
    Ok(())
}

async fn read_all(
    mut reader: OwnedReadHalf,
    mut in_flight: mpsc::Receiver<Due>,
    bytes_max: usize,
) -> io::Result<()> {
    let mut first = [0];
    loop {
        let due = tokio::select! {
            biased;
            due = in_flight.recv() => due,
            peeked = reader.peek(&mut first) => {
                // The end of the stream, or the answer to a request sent just now.
                peeked?;
                Some(in_flight.try_recv().map_err(|_| out_of_turn())?)
            }
        };
        let Some(due) = due else { return Ok(()) };
        let frame = read_frame(&mut reader, bytes_max).await?;
        let (id, body) = header::parse_response(due.key, due.version, frame).map_err(malformed)?;
        if id != due.correlation_id {
            let expected = due.correlation_id;
            return Err(malformed(format!("answer {id} where {expected} is due")));
        }
        // Nobody may be waiting any more.
        let _ = due.reply.send(body);
    }
}

async fn read_frame(reader: &mut OwnedReadHalf, bytes_max: usize) -> io::Result<Bytes> {
    let mut size = [0; frame::SIZE_BYTES];
    reader.read_exact(&mut size).await?;
    let size = frame::parse_size(size, bytes_max).map_err(malformed)?;
    let mut bytes = Vec::with_capacity(size.min(FRAME_BYTES_BELIEVED));
    reader.take(size as u64).read_to_end(&mut bytes).await?;
    match bytes.len() == size {
        true => Ok(bytes.into()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// The broker closed the connection, or sent what nobody asked for.
fn out_of_turn() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "closed by the broker")
}

fn malformed(error: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}
