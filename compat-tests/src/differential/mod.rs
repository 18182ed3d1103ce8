//! One corpus of raw requests, answered by Apache Kafka once and by Tidelog in each run.
//!
//! ```text
//! corpus (scripts) ──▶ talk ──▶ broker                    Kafka: differential/recorded/*.json
//!                       │  messages of schema, codec      ours:  a run of the real binary
//!                       ▼
//!                  transcript (normalised answers) ──▶ compare ──▶ verdict ──▶ REPORT.md
//!                                                        ▲
//!                                                  allowed.toml
//! ```
//!
//! Nothing here uses the broker's own message types. Scripts make topics, groups and ids of their own
//! and run several at a time, in any order.

pub mod allowed;
pub mod batch;
pub mod codec;
pub mod compare;
pub mod corpus;
pub mod line;
pub mod normal;
pub mod report;
pub mod schema;
pub mod talk;
pub mod transcript;
pub mod verdict;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use self::codec::{decode_response, encode_request};
use self::corpus::Script;
use self::line::{Heard, Line, open_frame};
use self::schema::{Api, Messages, Versions};
use self::talk::{Partner, now_ms};
use self::transcript::Transcripts;
use crate::workspace;

/// Scripts that run at the same time; they mostly wait.
const TALKS: usize = 6;

/// Coordinators that are new take this long at most until they answer.
const WARM_UP: Duration = Duration::from_secs(60);

/// Settings that make the two brokers comparable. The records of the corpus are years old, so that
/// nobody may look at their age.
pub const COMMON_SETTINGS: &[&str] = &[
    "group.initial.rebalance.delay.ms=0",
    "log.retention.check.interval.ms=3600000",
];
/// What Kafka needs besides: new assignments at once, and no look at records' age at the start either.
pub const KAFKA_SETTINGS: &[&str] = &[
    "log.initial.task.delay.ms=3600000",
    "group.consumer.assignment.interval.ms=0",
];
/// What Tidelog needs besides.
pub const TIDELOG_SETTINGS: &[&str] = &["tidelog.replication.factor.policy=refuse"];

/// The folder of the corpus' files.
pub fn folder() -> PathBuf {
    workspace().join("compat-tests/differential")
}

/// Runs scripts against the broker at `address`.
pub fn run(address: &str, messages: &Messages, scripts: &[Script]) -> Result<Transcripts> {
    let partner = Partner {
        address,
        messages,
        listed: listed(address, messages)?,
        began: now_ms(),
    };
    warm_up(&partner)?;
    let queue: Mutex<VecDeque<&Script>> = Mutex::new(scripts.iter().collect());
    let next = || queue.lock().ok()?.pop_front();
    let work = || {
        let mut done = Transcripts::new();
        while let Some(script) = next() {
            let transcript = talk::run(script.name, &partner, script.body);
            done.insert(script.name.to_owned(), transcript);
        }
        done
    };
    thread::scope(|scope| {
        let talks: Vec<_> = (0..TALKS).map(|_| scope.spawn(work)).collect();
        let mut all = Transcripts::new();
        for talk in talks {
            match talk.join() {
                Ok(done) => all.extend(done),
                Err(_) => bail!("a script panicked"),
            }
        }
        Ok(all)
    })
}

/// The versions the broker lists.
fn listed(address: &str, messages: &Messages) -> Result<BTreeMap<i16, Versions>> {
    let api = messages.by_name("ApiVersions")?;
    let body = json!({"client_software_name": "differential", "client_software_version": "1"});
    let answer = ask(&mut Line::open(address)?, api, 3, &body)?;
    let listed = answer["api_keys"].as_array().context("no list")?.iter();
    let versions = listed.map(|row| {
        let number = |field: &str| i16::try_from(row[field].as_i64()?).ok();
        let versions = number("min_version")?..=number("max_version")?;
        Some((number("api_key")?, versions))
    });
    versions
        .collect::<Option<_>>()
        .context("a list without numbers")
}

/// Makes the topics of the coordinators and waits until these serve.
fn warm_up(partner: &Partner) -> Result<()> {
    let deadline = Instant::now() + WARM_UP;
    let mut line = Line::open(partner.address)?;
    let mut settle = |api: &Api, version, body: serde_json::Value| -> Result<()> {
        loop {
            let answer = ask(&mut line, api, version, &body)?;
            if answer["error_code"] == 0 {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{} does not settle: {answer}", api.name);
            }
            thread::sleep(Duration::from_millis(50));
        }
    };
    let key = "diff.warm-up";
    let find = partner.messages.by_name("FindCoordinator")?;
    settle(find, 1, json!({ "key": key }))?;
    let commits = partner.messages.by_name("OffsetFetch")?;
    settle(commits, 5, json!({"group_id": key, "topics": []}))?;
    let transactions = partner.messages.by_name("AddPartitionsToTxn")?;
    if partner.listed.contains_key(&transactions.key) {
        settle(find, 1, json!({"key": key, "key_type": 1}))?;
        let ids = partner.messages.by_name("InitProducerId")?;
        let body = json!({"transactional_id": key, "transaction_timeout_ms": 60_000});
        settle(ids, 1, body)?;
    }
    Ok(())
}

fn ask(
    line: &mut Line,
    api: &Api,
    version: i16,
    body: &serde_json::Value,
) -> Result<serde_json::Value> {
    let sent = line.send(api, version, &encode_request(api, version, body)?)?;
    match line.hear(WARM_UP)? {
        Heard::Frame(frame) => {
            let body = open_frame(api, version, sent, &frame)?;
            decode_response(api, version, body)
        }
        other => bail!("{} v{version}: {other:?}", api.name),
    }
}
