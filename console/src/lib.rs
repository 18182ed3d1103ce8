//! The commands for people: `tidelog topic | table | group | produce | consume | lookup | tier`.
//!
//! ```text
//! Command ─► Server::connect ─► Client ─► Kafka's requests and ours
//!    └─ one file for each noun ─► Out ─► text for people, or JSON with --json
//! ```
//!
//! Promises:
//! - **Only the wire.** Nothing here knows more of a broker than its answers.
//! - **For scripts.** `--json` prints one document, or one line for each record or row. Exit codes
//!   are 0, 1 for what failed and 2 for a command that makes no sense; an error is one line on
//!   stderr that says what to do.
//! - **No record twice.** A batch whose fate is unknown is an error and is not sent again.
//! - **Bounded.** Records and rows are printed as they come.
//! - A reader of the output that goes away ends the command; that is no failure.

mod assignment;
mod cells;
mod columns;
mod configs;
mod consume;
mod create;
mod format;
mod group;
mod group_rows;
mod keyed;
mod lines;
mod lookup;
mod names;
mod offsets;
mod out;
mod place;
mod produce;
mod records;
mod reset;
mod rows;
mod server;
mod sink;
mod table;
mod tier;
mod topic;
mod word;

use std::io;

use anyhow::{Error, Result};
use clap::Subcommand;
use tidelog_client::ErrorCode;

use out::Out;
use server::At;

/// What people can ask for.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// List, create, describe, delete and alter topics
    Topic(At<topic::Command>),
    /// Create, describe and alter tables
    Table(At<table::Command>),
    /// List, describe and delete consumer groups, and move their offsets
    Group(At<group::Command>),
    /// Write lines to a topic, each a record
    Produce(produce::Options),
    /// Read records of a topic, or rows by column
    Consume(consume::Options),
    /// Look up the latest rows of a keyed table
    Lookup(lookup::Options),
    /// See how far the lake is behind, and have it catch up
    Tier(At<tier::Command>),
}

/// The command makes no sense as it was given.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misuse(pub String);

/// Carries a command out.
///
/// # Errors
/// One line for people. [`Misuse`] if the command itself is at fault.
pub async fn run(command: Command) -> Result<()> {
    let done = Box::pin(command.run()).await;
    match done {
        Err(error) if is_closed_pipe(&error) => Ok(()),
        Err(error) => Err(advise(error)),
        Ok(()) => Ok(()),
    }
}

impl Command {
    async fn run(self) -> Result<()> {
        match self {
            Self::Topic(At { server, command }) => command.run(&server).await,
            Self::Table(At { server, command }) => command.run(&server).await,
            Self::Group(At { server, command }) => command.run(&server).await,
            Self::Produce(options) => options.run().await,
            Self::Consume(options) => options.run().await,
            Self::Lookup(options) => options.run().await,
            Self::Tier(At { server, command }) => command.run(&server).await,
        }
    }
}

fn is_closed_pipe(error: &Error) -> bool {
    error.chain().any(|cause| {
        let cause = cause.downcast_ref::<io::Error>();
        cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// One line with all causes, and what to do about it where that is known.
fn advise(error: Error) -> Error {
    if error.is::<Misuse>() {
        return error;
    }
    let line = format!("{error:#}").replace('\n', " ");
    let client = error.downcast_ref::<tidelog_client::Error>();
    match client.and_then(advice) {
        Some(advice) => Error::msg(format!("{}; {advice}", line.trim_end_matches('.'))),
        None => Error::msg(line),
    }
}

fn advice(error: &tidelog_client::Error) -> Option<&'static str> {
    use tidelog_client::Error as Client;
    Some(match error {
        Client::Connect { .. } => {
            "is `tidelog serve` running there? --bootstrap names another broker"
        }
        Client::Unsupported {
            api: "ConsumerGroupHeartbeat",
            ..
        } => "a group on columns needs a broker with KIP-848, as Apache Kafka is from 4.0 on",
        Client::Unsupported { .. } => {
            "the broker is no Tidelog, or has tidelog.extensions.enable=false"
        }
        Client::UnknownColumn { .. } => "`tidelog table describe` shows those there are",
        other => match other.error_code()? {
            ErrorCode::UnknownTopicOrPartition => "`tidelog topic list` shows those there are",
            ErrorCode::TopicAlreadyExists => {
                "`tidelog topic alter` changes it, --if-not-exists leaves it as it is"
            }
            ErrorCode::NonEmptyGroup | ErrorCode::UnknownMemberId => {
                "stop its members first; `tidelog group describe` shows them"
            }
            ErrorCode::GroupIdNotFound => "`tidelog group list` shows those there are",
            _ => return None,
        },
    })
}
