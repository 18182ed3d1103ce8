//! `tidelog group reset`: a group's offsets moved, shown first.

use std::str::FromStr;

use anyhow::{Result, bail, ensure};
use clap::Args;
use serde_json::{Value, json};
use tidelog_client::Client;

use crate::offsets::{Offsets, commit, committed};
use crate::place::Place;
use crate::server::Server;
use crate::{Misuse, Out};

#[derive(Debug, Clone, Args)]
pub struct Options {
    group: String,
    /// Topic, or topic and partitions as in orders:0,2; may be repeated
    #[arg(
        long,
        value_name = "TOPIC[:PARTITIONS]",
        required_unless_present = "all_topics"
    )]
    topic: Vec<Target>,
    /// Every partition the group has committed
    #[arg(long, conflicts_with = "topic")]
    all_topics: bool,
    /// earliest, latest, an offset, a time such as 2026-05-01T12:00:00Z, or @ and milliseconds
    #[arg(long, value_name = "PLACE")]
    to: Place,
    /// Do it. Without this it is only shown
    #[arg(long)]
    execute: bool,
}

/// A topic, and which of its partitions; none for all.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    topic: String,
    partitions: Vec<i32>,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (topic, partitions) = match text.split_once(':') {
            Some((topic, partitions)) => (topic, partitions.split(',').map(str::parse).collect()),
            None => (text, Ok(Vec::new())),
        };
        Ok(Self {
            topic: topic.to_owned(),
            partitions: partitions
                .map_err(|_| format!("{text}: partitions are numbers joined by commas"))?,
        })
    }
}

/// What becomes of one partition.
struct Move {
    topic: String,
    partition: i32,
    from: Option<i64>,
    to: i64,
}

impl Options {
    pub async fn run(self, server: &Server) -> Result<()> {
        let client = server.connect().await?;
        let before = committed(&client, &self.group).await?;
        let moves = self.plan(&client, &before).await?;
        ensure!(
            !moves.is_empty(),
            "group {} has committed nothing: name topics with --topic",
            self.group
        );
        if self.execute {
            let offsets = moves
                .iter()
                .map(|one| ((one.topic.clone(), one.partition), one.to));
            commit(&client, &self.group, &offsets.collect()).await?;
        }
        self.print(server, &moves)
    }

    async fn plan(&self, client: &Client, before: &Offsets) -> Result<Vec<Move>> {
        let mut targets = self.topic.clone();
        if self.all_topics {
            for (topic, partition) in before.keys() {
                match targets.iter_mut().find(|target| target.topic == *topic) {
                    Some(target) => target.partitions.push(*partition),
                    None => targets.push(Target {
                        topic: topic.clone(),
                        partitions: vec![*partition],
                    }),
                }
            }
        }
        let mut moves = Vec::new();
        for Target {
            topic,
            mut partitions,
        } in targets
        {
            let view = client.topic(&topic).await?;
            if partitions.is_empty() {
                partitions = view.leaders.keys().copied().collect();
            }
            if let Some(missing) = partitions
                .iter()
                .find(|one| !view.leaders.contains_key(one))
            {
                bail!(Misuse(format!("topic {topic} has no partition {missing}")));
            }
            let to = self.to.find(client, &topic, &partitions).await?;
            moves.extend(partitions.into_iter().filter_map(|partition| {
                Some(Move {
                    from: before.get(&(topic.clone(), partition)).copied(),
                    to: *to.get(&partition)?,
                    topic: topic.clone(),
                    partition,
                })
            }));
        }
        Ok(moves)
    }

    fn print(&self, server: &Server, moves: &[Move]) -> Result<()> {
        let mut out = Out::new();
        if server.json {
            let moves = moves.iter().map(|one| {
                json!({"topic": one.topic, "partition": one.partition, "from": one.from, "to": one.to})
            });
            let moves: Vec<Value> = moves.collect();
            out.json(&json!({"group": self.group, "executed": self.execute, "offsets": moves}))?;
            return out.done();
        }
        let rows = moves.iter().map(|one| {
            let from = one
                .from
                .map_or_else(|| "-".to_owned(), |from| from.to_string());
            vec![
                one.topic.clone(),
                one.partition.to_string(),
                from,
                one.to.to_string(),
            ]
        });
        out.table(
            &["TOPIC", "PARTITION", "FROM", "TO"],
            &rows.collect::<Vec<_>>(),
        )?;
        if !self.execute {
            out.line("nothing was done; --execute does it")?;
        }
        out.done()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let target = |topic: &str, partitions: &[i32]| Target {
            topic: topic.to_owned(),
            partitions: partitions.to_vec(),
        };
        assert_eq!("a".parse(), Ok(target("a", &[])));
        assert_eq!("a:0,2".parse(), Ok(target("a", &[0, 2])));
        assert!("a:x".parse::<Target>().is_err());
        assert!("a:".parse::<Target>().is_err());
    }
}
