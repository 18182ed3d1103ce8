//! The Kafka side of the network: listeners, connections, order, back-pressure.
//!
//! One task per listener accepts; one task per connection serves ([`connection`]). A panic in a
//! handler ends its connection's task and nothing else.

pub mod connection;
mod dispatch;
mod frame;
pub mod ledger;
pub mod listener;
mod outbox;
pub mod read_budget;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;
use tracing::{error, warn};

use crate::api::Api;
use crate::api::context::Principal;
use crate::broker::Broker;
use connection::Connection;
use listener::Listener;

/// Pause after a failed accept, most often for want of file descriptors, so that it is not retried
/// in a tight loop.
const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(100);

/// How often a full broker looks whether `max.connections` allows another connection. Connections
/// of other listeners may end without this one hearing of it.
const FULL_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Accepts connections for `apis` until the broker stops, then waits for those that are open; they
/// are cut after the shutdown timeout.
pub async fn listen(
    broker: Arc<Broker>,
    apis: &'static [Api],
    listener: Arc<Listener>,
    socket: TcpListener,
) {
    let mut stop = broker.shutdown_signal();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.stopping() => break,
            Some(ended) = connections.join_next() => report(ended),
            accepted = accept(&broker, &socket) => match accepted {
                Ok((stream, peer)) => {
                    let open = OpenConnection::new(&broker);
                    connections.spawn(serve(open, apis, Arc::clone(&listener), stream, peer));
                }
                Err(error) => {
                    warn!(listener = %listener.bound, %error, "cannot accept connections");
                    sleep(ACCEPT_RETRY_PAUSE).await;
                }
            },
        }
    }
    drop(socket);
    let timeout_ms = broker.settings().shutdown_timeout_ms.unsigned_abs();
    let drained = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    if tokio::time::timeout(Duration::from_millis(timeout_ms), drained)
        .await
        .is_err()
    {
        warn!(listener = %listener.bound, connections = connections.len(), "cut at shutdown");
        connections.shutdown().await;
    }
}

/// Waits for room, then for a connection. A full broker leaves clients in the system's backlog.
async fn accept(broker: &Broker, socket: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    while broker.metrics().connections.get() >= i64::from(broker.settings().max_connections) {
        sleep(FULL_CHECK_INTERVAL).await;
    }
    socket.accept().await
}

async fn serve(
    open: OpenConnection,
    apis: &'static [Api],
    listener: Arc<Listener>,
    stream: TcpStream,
    peer: SocketAddr,
) {
    // Replies are whole when written; waiting for more to send only adds latency.
    if let Err(error) = stream.set_nodelay(true) {
        warn!(%peer, %error, "cannot set TCP_NODELAY");
    }
    let principal = Principal::anonymous();
    let connection = Connection {
        broker: Arc::clone(&open.0),
        apis,
        listener,
        peer,
        principal,
    };
    connection::serve(connection, stream).await;
}

/// Counts a connection while it exists, also if its task panics or is cut.
struct OpenConnection(Arc<Broker>);

impl OpenConnection {
    fn new(broker: &Arc<Broker>) -> Self {
        broker.metrics().connections.inc();
        Self(Arc::clone(broker))
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.metrics().connections.dec();
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        error!(%error, "a handler panicked; its connection is closed");
    }
}
