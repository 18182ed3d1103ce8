//! The broker a command talks to, and requests that many commands make.

use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};
use kafka_protocol::messages::{
    FindCoordinatorRequest, MetadataRequest, MetadataResponse,
    metadata_request::MetadataRequestTopic,
};
use tidelog_client::wire::{said, text};
use tidelog_client::{BrokerError, Client, Config, Error};
use tokio::time::{Instant, sleep};

use crate::names::topic_name;

/// How long a command tries what may pass.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// How long a broker may take to carry a change out.
pub const CHANGE_WAIT: Duration = Duration::from_secs(30);
/// The same as requests have it.
pub const CHANGE_WAIT_MS: i32 = 30_000;
/// Between two attempts.
pub const PAUSE: Duration = Duration::from_millis(200);

/// Which broker, and how to print.
#[derive(Debug, Clone, Args)]
pub struct Server {
    /// Brokers to connect to, several with commas
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "TIDELOG_BOOTSTRAP",
        default_value = "127.0.0.1:9092",
        global = true
    )]
    pub bootstrap: String,
    /// Print JSON: one document, or a line for each record or row
    #[arg(long, global = true)]
    pub json: bool,
}

/// A command and where it goes.
#[derive(Debug, Clone, Args)]
pub struct At<C: Subcommand> {
    #[command(flatten)]
    pub server: Server,
    #[command(subcommand)]
    pub command: C,
}

impl Server {
    /// # Errors
    /// None of the brokers can be reached.
    pub async fn connect(&self) -> Result<Client, Error> {
        let config = Config {
            client_id: "tidelog-console".to_owned(),
            retry_for: PATIENCE,
            ..Config::default()
        };
        Client::connect_with(&self.bootstrap, config).await
    }
}

/// Brokers and these topics, or all.
///
/// # Errors
/// No broker answers.
pub async fn metadata(
    client: &Client,
    topics: Option<&[String]>,
) -> Result<MetadataResponse, Error> {
    let named = |name: &String| MetadataRequestTopic::default().with_name(Some(topic_name(name)));
    let request = MetadataRequest::default()
        .with_topics(topics.map(|topics| topics.iter().map(named).collect()))
        .with_allow_auto_topic_creation(false);
    client.call_any(&request).await
}

/// `host:port` of every broker.
pub fn addresses(metadata: &MetadataResponse) -> Vec<String> {
    let brokers = metadata.brokers.iter();
    brokers
        .map(|broker| address(&broker.host, broker.port))
        .collect()
}

/// The broker that keeps a group.
///
/// # Errors
/// There is none, or the broker asked does not say.
pub async fn coordinator(client: &Client, group: &str) -> Result<String, Error> {
    let request = FindCoordinatorRequest::default().with_key(text(group));
    patiently(async || {
        let answer = client.call_any(&request).await?;
        BrokerError::check("FindCoordinator", answer.error_code, || {
            said(&format!("group {group}"), answer.error_message.as_deref())
        })?;
        Ok(address(&answer.host, answer.port))
    })
    .await
}

/// Tries on while a broker refuses what it will not refuse a little later: a coordinator that loads.
/// Nothing for what must not be carried out twice.
///
/// # Errors
/// The last.
pub async fn patiently<T>(mut attempt: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
    let since = Instant::now();
    loop {
        match attempt().await {
            Err(error @ Error::Broker(_)) if error.is_transient() && since.elapsed() < PATIENCE => {
                sleep(PAUSE).await;
            }
            ended => return ended,
        }
    }
}

fn address(host: &str, port: i32) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}
