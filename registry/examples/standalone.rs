//! The registry by itself, in memory, to try clients on: `standalone HOST:PORT`.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tidelog_registry::{Command, Outcome, Refusal, Registry, Service, Store, Work, http};
use tokio::net::TcpListener;

/// Forgets everything when it ends.
#[derive(Default)]
struct Memory(Mutex<Registry>);

#[async_trait]
impl Store for Memory {
    fn image(&self) -> Arc<Registry> {
        let registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::new(registry.clone())
    }

    async fn submit(&self, command: Command) -> Result<Outcome, Refusal> {
        let mut registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (records, outcome) = registry.decide(command)?;
        records.iter().for_each(|record| registry.apply(record));
        Ok(outcome)
    }

    async fn compute(&self, work: Work) -> Result<(), Refusal> {
        work();
        Ok(())
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1);
    let address = address.unwrap_or_else(|| "127.0.0.1:8081".to_owned());
    let service = Service::new(Arc::new(Memory::default()));
    let socket = TcpListener::bind(address).await?;
    axum::serve(socket, http::router(service, "standalone")).await
}
