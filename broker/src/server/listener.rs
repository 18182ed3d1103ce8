//! One address the broker accepts Kafka clients on, and the address clients are told.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::settings::{Address, Endpoint, Settings};

/// A bound listener as answers describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Name in `listeners`, such as `PLAINTEXT`.
    pub name: String,
    /// Where connections arrive; the port is the real one even if 0 was asked for.
    pub bound: SocketAddr,
    /// What Metadata and FindCoordinator answer.
    pub advertised: Address,
}

impl Listener {
    /// Binds `endpoint` and works out what it advertises.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn bind(endpoint: &Endpoint, settings: &Settings) -> io::Result<(Self, TcpListener)> {
        let socket = TcpListener::bind(endpoint.address.bind_target()).await?;
        let bound = socket.local_addr()?;
        let advertised = advertised(endpoint, settings, bound.port());
        Ok((
            Self {
                name: endpoint.name.clone(),
                bound,
                advertised,
            },
            socket,
        ))
    }
}

/// The advertised address: the configured one, else the listener's own, else the machine's name.
fn advertised(endpoint: &Endpoint, settings: &Settings, bound_port: u16) -> Address {
    let configured = settings
        .advertised_listeners
        .iter()
        .find(|e| e.name == endpoint.name);
    let mut address = configured.unwrap_or(endpoint).address.clone();
    if address.is_wildcard() {
        address.host = machine_name();
    }
    if address.port == 0 {
        address.port = bound_port;
    }
    address
}

/// The machine's host name, or `localhost` where the system does not tell.
fn machine_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() {
        "localhost".to_owned()
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Loader, Value};

    #[test]
    fn advertises_what_clients_can_reach() {
        let machine = machine_name();
        let cases = [
            ("127.0.0.1:0", "", "127.0.0.1:5000".to_owned()),
            (":9092", "", format!("{machine}:9092")),
            (
                "0.0.0.0:9092",
                "broker.example:80",
                "broker.example:80".to_owned(),
            ),
            (
                "127.0.0.1:9092",
                "broker.example:0",
                "broker.example:5000".to_owned(),
            ),
        ];
        for (listeners, advertised_listeners, expected) in cases {
            let mut loader = Loader::default();
            loader.set(&format!("listeners={listeners}")).unwrap();
            loader
                .set(&format!("advertised.listeners={advertised_listeners}"))
                .unwrap();
            let (settings, _) = loader.finish().unwrap();
            let address = advertised(&settings.listeners[0], &settings, 5000);
            assert_eq!(
                address.render(),
                expected,
                "{listeners} {advertised_listeners}"
            );
        }
    }
}
