//! Creating a topic, which may be a table.

use std::path::Path;

use anyhow::{Context as _, Result};
use clap::Args;
use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use serde_json::json;
use tidelog_client::wire::{said, text};
use tidelog_client::{BrokerError, Client, Error, ErrorCode};
use tidelog_typed::TableSchema;

use crate::names::topic_name;
use crate::server::{CHANGE_WAIT_MS, Server};
use crate::word::Pair;
use crate::{Misuse, Out};

/// Leave a number to the broker (KIP-464).
const BY_DEFAULT: i32 = -1;
const BY_DEFAULT_REPLICAS: i16 = -1;

/// What topics and tables have in common when they are made.
#[derive(Debug, Clone, Args)]
pub struct Shape {
    /// How many partitions; the broker's num.partitions if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: Option<i32>,
    /// What makes it a keyed table: record_key, or columns joined by commas [tidelog.table.key]
    #[arg(long, value_name = "record_key|COLUMNS")]
    pub key: Option<String>,
    /// Keep it as an Iceberg table, too [tidelog.lake.enable]
    #[arg(long)]
    pub lake: bool,
    /// Any config of the topic; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<Pair>,
    /// Leave a topic of this name as it is
    #[arg(long)]
    pub if_not_exists: bool,
}

impl Shape {
    /// Creates the topic and says so. `configs` come before those of `--set`.
    ///
    /// # Errors
    /// The broker refuses.
    pub async fn create(&self, server: &Server, name: &str, mut configs: Vec<Pair>) -> Result<()> {
        configs.extend(
            self.key
                .iter()
                .map(|key| Pair::new("tidelog.table.key", key.clone())),
        );
        configs.extend(self.lake.then(|| Pair::new("tidelog.lake.enable", "true")));
        configs.extend(self.set.iter().cloned());
        let client = server.connect().await?;
        let is_new = match self.request(&client, name, &configs).await {
            Err(error)
                if self.if_not_exists
                    && error.error_code() == Some(ErrorCode::TopicAlreadyExists) =>
            {
                false
            }
            created => created.map(|()| true)?,
        };
        let mut out = Out::new();
        match (server.json, is_new) {
            (true, _) => out.json(&json!({"topic": name, "created": is_new}))?,
            (false, true) => out.line(&format!("created {name}"))?,
            (false, false) => out.line(&format!("{name} exists"))?,
        }
        out.done()
    }

    async fn request(&self, client: &Client, name: &str, configs: &[Pair]) -> Result<(), Error> {
        let configs = configs.iter().map(|pair| {
            CreatableTopicConfig::default()
                .with_name(text(&pair.name))
                .with_value(Some(text(&pair.value)))
        });
        let topic = CreatableTopic::default()
            .with_name(topic_name(name))
            .with_num_partitions(self.partitions.unwrap_or(BY_DEFAULT))
            .with_replication_factor(BY_DEFAULT_REPLICAS)
            .with_configs(configs.collect());
        let request = CreateTopicsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(CHANGE_WAIT_MS);
        for topic in client.call_any(&request).await?.topics {
            BrokerError::check("CreateTopics", topic.error_code, || {
                said(&format!("topic {name}"), topic.error_message.as_deref())
            })?;
        }
        Ok(())
    }
}

/// The text of a schema, given itself or as the file that holds it.
///
/// # Errors
/// [`Misuse`] for what is no schema.
pub fn schema_text(schema: &str) -> Result<String> {
    let text = match schema.trim_start().starts_with('{') {
        true => schema.to_owned(),
        false => std::fs::read_to_string(Path::new(schema))
            .with_context(|| format!("the schema file {schema}"))?,
    };
    TableSchema::parse(&text).map_err(|error| Misuse(error.to_string()))?;
    Ok(text)
}
