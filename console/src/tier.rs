//! `tidelog tier`: the state of lake tables.

use anyhow::{Context as _, Result};
use clap::Subcommand;
use serde_json::{Value, json};
use tidelog_client::wire::{Ours, said, text};
use tidelog_client::{BrokerError, Error};
use tidelog_protocol_ext::ext::tier_status::{
    ACTION_RETRY_DEAD_LETTERS, ACTION_STATUS, ACTION_TIER_NOW, TierStatusRequest, TierTopic,
    TierTopicStatus,
};

use crate::Out;
use crate::server::Server;

#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Show how far lake tables are behind their topics; of every tiered topic if none is named
    Status { topics: Vec<String> },
    /// Start commits now, without waiting for them, and show the state
    Now {
        #[arg(required = true)]
        topics: Vec<String>,
    },
    /// Try records that did not decode again, and move those that do by now from the dead-letter table
    /// to the topic's own, without waiting for it; and show the state
    RetryDlq {
        #[arg(required = true)]
        topics: Vec<String>,
    },
}

impl Command {
    pub async fn run(self, server: &Server) -> Result<()> {
        let (action, topics) = match self {
            Self::Status { topics } => (ACTION_STATUS, topics),
            Self::Now { topics } => (ACTION_TIER_NOW, topics),
            Self::RetryDlq { topics } => (ACTION_RETRY_DEAD_LETTERS, topics),
        };
        let named = topics.iter().map(|name| TierTopic {
            name: Some(text(name)),
            ..TierTopic::default()
        });
        let request = Ours(TierStatusRequest {
            action,
            topics: (!topics.is_empty()).then(|| named.collect()),
        });
        let answer = server.connect().await?.call_any(&request).await?;
        BrokerError::check("TierStatus", answer.error_code, || {
            said("the request", answer.error_message.as_deref())
        })
        .map_err(Error::from)?;
        print(server, &answer.topics)?;
        // What could be shown was shown.
        let failed = answer.topics.iter().try_for_each(|topic| {
            let name = topic.name.as_deref().unwrap_or("without a name");
            BrokerError::check("TierStatus", topic.error_code, || {
                said(&format!("topic {name}"), topic.error_message.as_deref())
            })
        });
        Ok(failed.map_err(Error::from)?)
    }
}

fn print(server: &Server, topics: &[TierTopicStatus]) -> Result<()> {
    let mut out = Out::new();
    let shown = topics.iter().filter(|topic| topic.error_code == 0);
    if server.json {
        out.json(&Value::Array(shown.map(as_json).collect()))?;
        return out.done();
    }
    let mut rows = Vec::new();
    for topic in shown {
        let name = topic.name.as_deref().context("a topic without a name")?;
        for one in &topic.partitions {
            let behind = (one.stable_end - one.lake_end).max(0);
            let numbers = [one.lake_end, one.stable_end, behind, one.lag_ms];
            let numbers = numbers.iter().map(ToString::to_string);
            let place = [name.to_owned(), one.partition.to_string()];
            rows.push(place.into_iter().chain(numbers).collect());
        }
    }
    let heads = [
        "TOPIC",
        "PARTITION",
        "LAKE END",
        "STABLE END",
        "BEHIND",
        "LAG MS",
    ];
    out.table(&heads, &rows)?;
    for topic in topics {
        if let Some(reason) = &topic.suspended_reason {
            let name = topic.name.as_deref().unwrap_or_default();
            out.line(&format!("{name} is suspended: {}", &reason[..]))?;
        }
    }
    out.done()
}

fn as_json(topic: &TierTopicStatus) -> Value {
    let partitions = topic.partitions.iter().map(|one| {
        json!({
            "partition": one.partition, "lake_end": one.lake_end, "stable_end": one.stable_end,
            "lag_ms": one.lag_ms,
        })
    });
    let known = |number: i64| (number >= 0).then_some(number);
    json!({
        "topic": topic.name.as_deref(),
        "id": topic.topic_id.to_string(),
        "mode": &topic.mode[..],
        "snapshot_id": known(topic.last_snapshot_id),
        "committed_ms": known(topic.last_commit_ms),
        "pending_bytes": topic.pending_bytes,
        "suspended_reason": topic.suspended_reason.as_deref(),
        "partitions": partitions.collect::<Vec<_>>(),
    })
}
