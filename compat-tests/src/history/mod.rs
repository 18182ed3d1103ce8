//! What clients did and saw while a broker had a bad time, and what is wrong with it.
//!
//! The programs under `clients/*/soak.*` write one JSON line for each thing they do, before they do it, and
//! for each thing they learn, after it. A record's value says where it is from, so a reader's history is
//! comparable with a writer's: `WRITER TXN SEQ`, with TXN 0 outside of transactions, SEQ growing for a writer
//! whatever happens to its records, and for the copy of a record the source's offset as a fourth word.
//!
//! [`check::check`] is pure: lines in, [`Anomaly`] values out. Its idea is that all readers of a partition saw
//! the same log, which therefore is the union of what they saw; everything else is compared with that.
//!
//! ```text
//! send ──▶ ending ──▶ end(committed | aborted | unknown)      writers
//!   │                                                          a copier's `send` holds what it read
//!   ▼
//! partition: offset → value ◀── union of every reader's polls
//! ```

mod anomaly;
mod check;
mod copies;
mod log;
mod progress;
mod written;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

pub use anomaly::Anomaly;
pub use check::check;
pub use progress::{since, stalled};

/// The topic writers write to.
pub const SOURCE: &str = "events";
/// The topic each committed record of [`SOURCE`] is copied to, into the same partition.
pub const COPIES: &str = "copies";

/// One line. Times are milliseconds since 1970 by the clock all programs share.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Event {
    /// A process begins: what it will do, so that somebody who never does anything is missed.
    Hello {
        at: u64,
        process: String,
        writers: Vec<String>,
        readers: Vec<String>,
    },
    /// Before records are sent: (partition, seq) each.
    Send {
        at: u64,
        writer: String,
        txn: u64,
        topic: String,
        records: Vec<(u32, u64)>,
    },
    /// The broker's answers: (seq, offset) each; an offset below zero is one the library does not know.
    Acked {
        at: u64,
        writer: String,
        records: Vec<(u64, i64)>,
    },
    /// Before the first call that ends a transaction.
    Ending {
        at: u64,
        writer: String,
        txn: u64,
        commit: bool,
    },
    /// What the library said became of it.
    End {
        at: u64,
        writer: String,
        txn: u64,
        outcome: Outcome,
    },
    /// What one poll gave: (partition, offset, value) each, in the order given.
    Poll {
        at: u64,
        reader: String,
        isolation: Isolation,
        topic: String,
        records: Vec<(u32, u64, String)>,
    },
    /// A process was killed; it owes nothing any more.
    Killed { at: u64, process: String },
    /// For people: errors, chaos.
    Note { at: u64, who: String, text: String },
    /// This process's writers have ended.
    Stopped { at: u64, process: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Committed,
    Aborted,
    /// The answer got lost: both are right, as long as it is all of one.
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    Committed,
    Uncommitted,
}

/// Events of each process in its order; those of different processes in none.
#[derive(Debug, Clone, Default)]
pub struct History {
    pub events: Vec<Event>,
}

impl History {
    /// Reads every `*.jsonl` file of a folder. The last line of a process that was killed may be torn.
    pub fn load(folder: &Path) -> Result<Self> {
        let mut events = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "jsonl")
            {
                load_file(&path, &mut events).with_context(|| path.display().to_string())?;
            }
        }
        Ok(Self { events })
    }

    /// Names of processes that were killed.
    pub(crate) fn killed(&self) -> Vec<&str> {
        let killed = self.events.iter().filter_map(|event| match event {
            Event::Killed { process, .. } => Some(process.as_str()),
            _ => None,
        });
        killed.collect()
    }

    /// (writers, readers) of the processes that were not killed.
    pub(crate) fn expected(&self) -> (Vec<&str>, Vec<&str>) {
        let killed = self.killed();
        let (mut all_writers, mut all_readers) = (Vec::new(), Vec::new());
        for event in &self.events {
            if let Event::Hello {
                process,
                writers,
                readers,
                ..
            } = event
                && !killed.contains(&process.as_str())
            {
                all_writers.extend(writers.iter().map(String::as_str));
                all_readers.extend(readers.iter().map(String::as_str));
            }
        }
        (all_writers, all_readers)
    }
}

fn load_file(path: &Path, events: &mut Vec<Event>) -> Result<()> {
    let mut file = BufReader::new(File::open(path)?);
    let mut line = String::new();
    for number in 1.. {
        line.clear();
        let length = file.read_line(&mut line)?;
        if length == 0 || !line.ends_with('\n') {
            break; // The end, or a line that is still being written.
        }
        let event = serde_json::from_str(&line).with_context(|| format!("line {number}: {line}"));
        events.push(event?);
    }
    Ok(())
}
