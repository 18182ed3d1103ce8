//! A broker's address and the connection to it, made anew when it has ended.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use crate::api::Call;
use crate::config::Config;
use crate::connection::Connection;
use crate::error::Result;

#[derive(Debug)]
pub struct Link {
    address: String,
    config: Arc<Config>,
    /// Held while connecting: all who need the connection wait for the one attempt.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    connection: Option<Arc<Connection>>,
    /// Attempts that failed since the last that did not, and when the next may be made.
    failures: u32,
    not_before: Option<Instant>,
}

impl Link {
    /// Connects when first asked.
    pub fn new(address: String, config: Arc<Config>) -> Self {
        Self {
            address,
            config,
            state: Mutex::default(),
        }
    }

    /// The open connection, or a new one.
    pub(crate) async fn connection(&self) -> Result<Arc<Connection>> {
        let mut state = self.state.lock().await;
        if let Some(connection) = state.connection.as_ref().filter(|open| open.is_open()) {
            return Ok(Arc::clone(connection));
        }
        state.connection = None;
        if let Some(not_before) = state.not_before {
            sleep_until(not_before).await;
        }
        match Connection::open(&self.address, &self.config).await {
            Ok(connection) => {
                let connection = Arc::new(connection);
                *state = State {
                    connection: Some(Arc::clone(&connection)),
                    ..State::default()
                };
                Ok(connection)
            }
            Err(error) => {
                state.failures += 1;
                let pause = self.config.backoff_after(state.failures);
                state.not_before = Some(Instant::now() + pause);
                Err(error)
            }
        }
    }

    /// One attempt at a request that lets the broker wait for `wait`.
    ///
    /// # Errors
    /// Whatever was in the way; see [`Error::is_transient`](crate::Error::is_transient).
    pub async fn call<C: Call>(&self, request: &C, wait: Duration) -> Result<C::Answer> {
        let connection = self.connection().await?;
        let within = self.config.request_timeout.saturating_add(wait);
        connection.call(request, within).await
    }
}
