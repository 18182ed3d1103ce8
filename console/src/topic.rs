//! `tidelog topic`.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::{CreatePartitionsRequest, DeleteTopicsRequest};
use serde_json::{Value, json};
use tidelog_client::wire::said;
use tidelog_client::{BrokerError, Client, Error};

use crate::configs;
use crate::create::{self, Shape};
use crate::names::{name_of, topic_name};
use crate::place::Place;
use crate::server::{CHANGE_WAIT_MS, Server, metadata};
use crate::word::Pair;
use crate::{Misuse, Out};

#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// List topics
    List {
        /// Internal topics, too
        #[arg(long)]
        all: bool,
    },
    /// Create a topic
    Create {
        name: String,
        #[command(flatten)]
        shape: Shape,
        /// How records become columns [tidelog.table.mode]; inline with --schema
        #[arg(long, value_name = "MODE")]
        mode: Option<String>,
        /// Schema of the values, a JSON text or the file that holds it [tidelog.table.schema]
        #[arg(long, value_name = "FILE|JSON")]
        schema: Option<String>,
    },
    /// Show partitions, offsets and configs of topics
    Describe {
        #[arg(required = true)]
        names: Vec<String>,
        /// Configs that are not set, too
        #[arg(long)]
        all: bool,
    },
    /// Delete topics and all their records
    Delete {
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Change configs, or add partitions
    Alter {
        name: String,
        /// How many partitions there shall be
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
        partitions: Option<i32>,
        /// A config; may be repeated
        #[arg(long, value_name = "NAME=VALUE")]
        set: Vec<Pair>,
        /// A config to take back; may be repeated
        #[arg(long, value_name = "NAME")]
        unset: Vec<String>,
    },
}

impl Command {
    pub async fn run(self, server: &Server) -> Result<()> {
        match self {
            Self::List { all } => list(server, all).await,
            Self::Create {
                name,
                shape,
                mode,
                schema,
            } => {
                let mode = mode.or_else(|| schema.is_some().then(|| "inline".to_owned()));
                let schema = schema.as_deref().map(create::schema_text).transpose()?;
                let mode = mode.map(|mode| Pair::new("tidelog.table.mode", mode));
                let schema = schema.map(|schema| Pair::new("tidelog.table.schema", schema));
                shape
                    .create(server, &name, mode.into_iter().chain(schema).collect())
                    .await
            }
            Self::Describe { names, all } => describe(server, &names, all).await,
            Self::Delete { names } => delete(server, &names).await,
            Self::Alter {
                name,
                partitions,
                set,
                unset,
            } => {
                if partitions.is_none() && set.is_empty() && unset.is_empty() {
                    bail!(Misuse(
                        "nothing to change: give --partitions, --set or --unset".to_owned()
                    ));
                }
                let client = server.connect().await?;
                // Configs first: they are refused as a whole, while partitions cannot be taken back.
                if !set.is_empty() || !unset.is_empty() {
                    configs::alter(&client, &name, &set, &unset).await?;
                }
                if let Some(count) = partitions {
                    grow(&client, &name, count).await?;
                }
                told(server, "altered", &[name])
            }
        }
    }
}

/// Says what was done.
fn told(server: &Server, done: &str, names: &[String]) -> Result<()> {
    let mut out = Out::new();
    match server.json {
        true => out.json(&json!({done: names}))?,
        false => names
            .iter()
            .try_for_each(|name| out.line(&format!("{done} {name}")))?,
    }
    out.done()
}

async fn list(server: &Server, all: bool) -> Result<()> {
    let client = server.connect().await?;
    let mut topics = metadata(&client, None).await?.topics;
    topics.retain(|topic| topic.name.is_some() && (all || !topic.is_internal));
    topics.sort_by(|one, other| one.name.cmp(&other.name));
    let mut out = Out::new();
    if server.json {
        let topics = topics.iter().map(|topic| {
            json!({
                "name": name_of(topic.name.as_ref()),
                "id": topic.topic_id.to_string(),
                "partitions": topic.partitions.len(),
                "is_internal": topic.is_internal,
            })
        });
        out.json(&Value::Array(topics.collect()))?;
    } else {
        let rows = topics.iter().map(|topic| {
            let partitions = topic.partitions.len().to_string();
            vec![
                name_of(topic.name.as_ref()),
                partitions,
                topic.topic_id.to_string(),
            ]
        });
        out.table(&["TOPIC", "PARTITIONS", "ID"], &rows.collect::<Vec<_>>())?;
    }
    out.done()
}

/// A topic as it is shown.
struct Described {
    name: String,
    id: String,
    /// Leader, first offset and end by partition.
    partitions: BTreeMap<i32, (Option<String>, i64, i64)>,
    configs: Vec<configs::Config>,
}

async fn look(client: &Client, name: &str, all: bool) -> Result<Described, Error> {
    let view = client.topic(name).await?;
    let indices: Vec<_> = view.leaders.keys().copied().collect();
    let starts = Place::Earliest.find(client, name, &indices).await?;
    let ends = Place::Latest.find(client, name, &indices).await?;
    let of = |offsets: &BTreeMap<i32, i64>, index| offsets.get(&index).copied().unwrap_or(-1);
    let partitions = view.leaders.into_iter().map(|(index, leader)| {
        let leader = leader.map(|leader| leader.address);
        (index, (leader, of(&starts, index), of(&ends, index)))
    });
    let mut configs = configs::of_topic(client, name).await?;
    configs.retain(|config| all || config.is_own);
    Ok(Described {
        name: name.to_owned(),
        id: view.id.to_string(),
        partitions: partitions.collect(),
        configs,
    })
}

async fn describe(server: &Server, names: &[String], all: bool) -> Result<()> {
    let client = server.connect().await?;
    let mut out = Out::new();
    let mut shown = Vec::new();
    for name in names {
        let topic = look(&client, name, all).await?;
        match server.json {
            true => shown.push(topic.json()),
            false => topic.print(&mut out)?,
        }
    }
    if server.json {
        out.json(&Value::Array(shown))?;
    }
    out.done()
}

impl Described {
    fn json(&self) -> Value {
        let partitions = self.partitions.iter();
        let partitions: Vec<_> = partitions
            .map(|(index, (leader, start, end))| {
                json!({"partition": index, "leader": leader, "start": start, "end": end})
            })
            .collect();
        let configs: Vec<_> = self.configs.iter().map(configs::Config::json).collect();
        json!({"name": self.name, "id": self.id, "partitions": partitions, "configs": configs})
    }

    fn print(&self, out: &mut Out) -> Result<()> {
        out.line(&format!("{}  {}", self.name, self.id))?;
        for config in &self.configs {
            let value = config.value.as_deref().unwrap_or("(hidden)");
            out.line(&format!("  {}={value}", config.name))?;
        }
        let rows = self.partitions.iter().map(|(index, (leader, start, end))| {
            let leader = leader.clone().unwrap_or_else(|| "none".to_owned());
            let records = (end - start).max(0);
            vec![
                index.to_string(),
                leader,
                start.to_string(),
                end.to_string(),
                records.to_string(),
            ]
        });
        let heads = ["PARTITION", "LEADER", "START", "END", "OFFSETS"];
        out.table(&heads, &rows.collect::<Vec<_>>())?;
        Ok(())
    }
}

async fn delete(server: &Server, names: &[String]) -> Result<()> {
    let client = server.connect().await?;
    let request = DeleteTopicsRequest::default()
        .with_topic_names(names.iter().map(|name| topic_name(name)).collect())
        .with_timeout_ms(CHANGE_WAIT_MS);
    let answer = client.call_any(&request).await?;
    let mut deleted = Vec::new();
    let mut failure = Ok(());
    for topic in &answer.responses {
        let name = name_of(topic.name.as_ref());
        let outcome = BrokerError::check("DeleteTopics", topic.error_code, || {
            said(&format!("topic {name}"), topic.error_message.as_deref())
        });
        match outcome {
            Ok(()) => deleted.push(name),
            Err(error) => failure = failure.and(Err(Error::from(error))),
        }
    }
    told(server, "deleted", &deleted)?;
    Ok(failure?)
}

async fn grow(client: &Client, name: &str, count: i32) -> Result<()> {
    let topic = CreatePartitionsTopic::default()
        .with_name(topic_name(name))
        .with_count(count)
        .with_assignments(None);
    let request = CreatePartitionsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(CHANGE_WAIT_MS);
    let result = client.call_any(&request).await?.results.into_iter().next();
    let result = result.context("the broker says nothing of the topic")?;
    BrokerError::check("CreatePartitions", result.error_code, || {
        said(&format!("topic {name}"), result.error_message.as_deref())
    })
    .map_err(Error::from)?;
    Ok(())
}
