//! `tidelog group`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, DeleteGroupsRequest, DescribeGroupsRequest, ListGroupsRequest,
};
use serde_json::{Value, json};
use tidelog_client::wire::{said, text};
use tidelog_client::{BrokerError, Client, Error, ErrorCode};

use crate::offsets::{Offsets, committed};
use crate::place::Place;
use crate::server::{Server, addresses, coordinator, metadata};
use crate::{Out, assignment, reset};

#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// List groups
    List,
    /// Show members of groups, and how far each partition is behind
    Describe {
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Delete groups without members, and their offsets
    Delete {
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Move a group's offsets; shows what would be done until --execute is given
    Reset(reset::Options),
}

impl Command {
    pub async fn run(self, server: &Server) -> Result<()> {
        match self {
            Self::List => list(server).await,
            Self::Describe { names } => describe(server, &names).await,
            Self::Delete { names } => delete(server, &names).await,
            Self::Reset(options) => options.run(server).await,
        }
    }
}

/// A group as brokers list it.
struct Listed {
    name: String,
    kind: String,
    state: String,
    protocol: String,
}

async fn all_groups(client: &Client) -> Result<Vec<Listed>, Error> {
    let mut groups = Vec::new();
    for address in addresses(&metadata(client, Some(&[])).await?) {
        let request = ListGroupsRequest::default();
        let answer = client.call(&address, &request, Duration::ZERO).await?;
        BrokerError::check("ListGroups", answer.error_code, || {
            format!("broker {address}")
        })?;
        groups.extend(answer.groups.into_iter().map(|group| Listed {
            name: group.group_id.to_string(),
            kind: group.group_type.to_lowercase(),
            state: group.group_state.to_string(),
            protocol: group.protocol_type.to_string(),
        }));
    }
    groups.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(groups)
}

async fn list(server: &Server) -> Result<()> {
    let groups = all_groups(&server.connect().await?).await?;
    let mut out = Out::new();
    if server.json {
        let groups = groups.iter().map(|group| {
            json!({
                "name": group.name, "type": group.kind, "state": group.state,
                "protocol_type": group.protocol,
            })
        });
        out.json(&Value::Array(groups.collect()))?;
    } else {
        let row = |group: Listed| vec![group.name, group.kind, group.state, group.protocol];
        let rows: Vec<_> = groups.into_iter().map(row).collect();
        out.table(&["GROUP", "TYPE", "STATE", "PROTOCOL"], &rows)?;
    }
    out.done()
}

/// A group as it is shown.
struct Described {
    name: String,
    state: String,
    members: Vec<Member>,
    offsets: Vec<Position>,
}

struct Member {
    id: String,
    client: String,
    host: String,
    assigned: BTreeMap<String, Vec<i32>>,
}

/// How far a group is in a partition.
struct Position {
    topic: String,
    partition: i32,
    committed: Option<i64>,
    /// The end of committed records; `None` if the partition is gone.
    end: Option<i64>,
    /// The member that reads it.
    member: Option<String>,
}

impl Position {
    fn lag(&self) -> Option<i64> {
        Some((self.end? - self.committed?).max(0))
    }
}

async fn describe(server: &Server, names: &[String]) -> Result<()> {
    let client = server.connect().await?;
    let listed = all_groups(&client).await?;
    let mut out = Out::new();
    let mut shown = Vec::new();
    for name in names {
        let Some(listed) = listed.iter().find(|group| group.name == *name) else {
            let code = ErrorCode::GroupIdNotFound.code();
            let message = format!("group {name}");
            return Err(Error::from(BrokerError {
                api: "ListGroups",
                code,
                message,
            })
            .into());
        };
        let group = look(&client, listed).await?;
        match server.json {
            true => shown.push(group.json()),
            false => group.print(&mut out)?,
        }
    }
    if server.json {
        out.json(&Value::Array(shown))?;
    }
    out.done()
}

async fn look(client: &Client, listed: &Listed) -> Result<Described, Error> {
    let name = &listed.name;
    let address = coordinator(client, name).await?;
    let (state, members) = match listed.kind == "consumer" {
        true => consumer(client, &address, name).await?,
        false => classic(client, &address, name).await?,
    };
    let offsets = positions(client, &committed(client, name).await?, &members).await?;
    Ok(Described {
        name: name.clone(),
        state,
        members,
        offsets,
    })
}

/// State and members of a group of the first protocol.
async fn classic(
    client: &Client,
    address: &str,
    name: &str,
) -> Result<(String, Vec<Member>), Error> {
    let request = DescribeGroupsRequest::default().with_groups(vec![text(name).into()]);
    let answer = client.call(address, &request, Duration::ZERO).await?;
    let group = answer.groups.into_iter().next().unwrap_or_default();
    BrokerError::check("DescribeGroups", group.error_code, || {
        format!("group {name}")
    })?;
    let members = group.members.into_iter().map(|member| Member {
        id: member.member_id.to_string(),
        client: member.client_id.to_string(),
        host: member.client_host.to_string(),
        // Groups of other kinds, such as Connect's, hand out no partitions.
        assigned: assignment::parse(&member.member_assignment).unwrap_or_default(),
    });
    Ok((group.group_state.to_string(), members.collect()))
}

/// State and members of a group of the newer protocol (KIP-848).
async fn consumer(
    client: &Client,
    address: &str,
    name: &str,
) -> Result<(String, Vec<Member>), Error> {
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![text(name).into()]);
    let answer = client.call(address, &request, Duration::ZERO).await?;
    let group = answer.groups.into_iter().next().unwrap_or_default();
    BrokerError::check("ConsumerGroupDescribe", group.error_code, || {
        said(&format!("group {name}"), group.error_message.as_deref())
    })?;
    let members = group.members.into_iter().map(|member| {
        let assigned = member.assignment.topic_partitions.into_iter();
        Member {
            id: member.member_id.to_string(),
            client: member.client_id.to_string(),
            host: member.client_host.to_string(),
            assigned: assigned
                .map(|topic| (topic.topic_name.to_string(), topic.partitions))
                .collect(),
        }
    });
    Ok((group.group_state.to_string(), members.collect()))
}

/// Every partition that was committed or is assigned.
async fn positions(
    client: &Client,
    committed: &Offsets,
    members: &[Member],
) -> Result<Vec<Position>, Error> {
    let mut readers = BTreeMap::new();
    for member in members {
        for (topic, partitions) in &member.assigned {
            for partition in partitions {
                readers.insert((topic.clone(), *partition), member.id.clone());
            }
        }
    }
    let keys: BTreeSet<_> = committed.keys().chain(readers.keys()).cloned().collect();
    let ends = ends(client, &keys).await?;
    let position = |key: (String, i32)| Position {
        committed: committed.get(&key).copied(),
        end: ends.get(&key).copied(),
        member: readers.remove(&key),
        topic: key.0,
        partition: key.1,
    };
    Ok(keys.into_iter().map(position).collect())
}

/// Where partitions end; those that are gone are left out.
async fn ends(client: &Client, keys: &BTreeSet<(String, i32)>) -> Result<Offsets, Error> {
    let topics: BTreeSet<_> = keys.iter().map(|(topic, _)| topic).collect();
    let mut ends = Offsets::new();
    for topic in topics {
        let view = match client.topic(topic).await {
            Err(error) if error.error_code() == Some(ErrorCode::UnknownTopicOrPartition) => {
                continue;
            }
            view => view?,
        };
        let of_topic = keys.iter().filter(|(name, _)| name == topic);
        let partitions: Vec<_> = of_topic
            .map(|(_, partition)| *partition)
            .filter(|partition| view.leaders.contains_key(partition))
            .collect();
        for (partition, end) in Place::Latest.find(client, topic, &partitions).await? {
            ends.insert((topic.clone(), partition), end);
        }
    }
    Ok(ends)
}

impl Described {
    fn json(&self) -> Value {
        let members = self.members.iter().map(|member| {
            json!({
                "id": member.id, "client_id": member.client, "host": member.host,
                "assigned": member.assigned,
            })
        });
        let offsets = self.offsets.iter().map(|one| {
            json!({
                "topic": one.topic, "partition": one.partition, "committed": one.committed,
                "end": one.end, "lag": one.lag(), "member": one.member,
            })
        });
        json!({
            "name": self.name,
            "state": self.state,
            "members": members.collect::<Vec<_>>(),
            "offsets": offsets.collect::<Vec<_>>(),
        })
    }

    fn print(&self, out: &mut Out) -> Result<()> {
        let (name, state, members) = (&self.name, &self.state, self.members.len());
        out.line(&format!("{name}  {state}, {members} members"))?;
        let number =
            |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |it| it.to_string());
        let rows = self.offsets.iter().map(|one| {
            let member = one.member.clone().unwrap_or_else(|| "-".to_owned());
            let partition = one.partition.to_string();
            let numbers = [one.committed, one.end, one.lag()].map(number);
            [one.topic.clone(), partition]
                .into_iter()
                .chain(numbers)
                .chain([member])
                .collect()
        });
        let heads = ["TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "MEMBER"];
        out.table(&heads, &rows.collect::<Vec<_>>())?;
        if !self.members.is_empty() {
            let rows = self.members.iter().map(|member| {
                vec![
                    member.id.clone(),
                    member.client.clone(),
                    member.host.clone(),
                ]
            });
            out.table(&["MEMBER", "CLIENT", "HOST"], &rows.collect::<Vec<_>>())?;
        }
        Ok(())
    }
}

async fn delete(server: &Server, names: &[String]) -> Result<()> {
    let client = server.connect().await?;
    for name in names {
        let request = DeleteGroupsRequest::default().with_groups_names(vec![text(name).into()]);
        let address = coordinator(&client, name).await?;
        let answer = client.call(&address, &request, Duration::ZERO).await?;
        let result = answer.results.into_iter().next();
        let result = result.context("the broker says nothing of the group")?;
        let deleted = BrokerError::check("DeleteGroups", result.error_code, || {
            format!("group {name}")
        });
        if let Err(error) = deleted {
            bail!(Error::from(error));
        }
    }
    let mut out = Out::new();
    match server.json {
        true => out.json(&json!({"deleted": names}))?,
        false => names
            .iter()
            .try_for_each(|name| out.line(&format!("deleted {name}")))?,
    }
    out.done()
}
