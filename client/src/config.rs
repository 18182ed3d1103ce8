//! How patient a client is and how much it takes in.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::{Error, Result};

/// Settings of a [`Client`](crate::Client); [`Default`] suits a broker in the same data centre.
#[derive(Debug, Clone)]
pub struct Config {
    /// Sent with every request, for the broker's logs and quotas.
    pub client_id: String,
    /// Whether to use the columnar extensions of brokers that offer them. Without them every table
    /// is read as from Apache Kafka: records fetched whole and decoded here.
    pub use_extensions: bool,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long an answer may take, beyond the time the request itself allows the broker to wait.
    pub request_timeout: Duration,
    /// How long transient failures are retried without any progress.
    pub retry_for: Duration,
    /// The pause after the first failure; it doubles up to [`backoff_max`](Self::backoff_max).
    pub backoff: Duration,
    pub backoff_max: Duration,
    /// The largest answer taken from a broker.
    pub response_bytes_max: usize,
    /// The most bytes that one Arrow message or one record batch may decompress to.
    pub decoded_bytes_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            client_id: "tidelog-client".to_owned(),
            use_extensions: true,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            retry_for: Duration::from_secs(30),
            backoff: Duration::from_millis(50),
            backoff_max: Duration::from_secs(1),
            response_bytes_max: 256 << 20,
            decoded_bytes_max: 512 << 20,
        }
    }
}

impl Config {
    /// The pause before trying again after `failures` in a row.
    pub(crate) fn backoff_after(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        self.backoff
            .saturating_mul(1 << doublings)
            .min(self.backoff_max)
    }
}

/// A run of failures, from the first on.
#[derive(Debug)]
pub(crate) struct Retry {
    first: Option<Instant>,
    failures: u32,
}

impl Retry {
    pub(crate) fn new() -> Self {
        Self {
            first: None,
            failures: 0,
        }
    }

    /// The pause to make after `error`; `None` when trying on is of no use.
    pub(crate) fn pause(&mut self, config: &Config, error: &Error) -> Option<Duration> {
        self.pause_if(config, error.is_transient())
    }

    fn pause_if(&mut self, config: &Config, is_transient: bool) -> Option<Duration> {
        let first = *self.first.get_or_insert_with(Instant::now);
        self.failures += 1;
        let goes_on = is_transient && first.elapsed() < config.retry_for;
        goes_on.then(|| config.backoff_after(self.failures))
    }

    /// Waits as [`pause`](Self::pause) says, or answers `error` itself.
    pub(crate) async fn wait(&mut self, config: &Config, error: Error) -> Result<()> {
        let is_transient = error.is_transient();
        self.wait_if(config, error, is_transient).await
    }

    /// The same for an error of which the caller knows whether it passes.
    pub(crate) async fn wait_if(
        &mut self,
        config: &Config,
        error: Error,
        is_transient: bool,
    ) -> Result<()> {
        match self.pause_if(config, is_transient) {
            Some(pause) => {
                sleep(pause).await;
                Ok(())
            }
            None => Err(error),
        }
    }

    /// Things go well again.
    pub(crate) fn reset(&mut self) {
        *self = Self::new();
    }
}
