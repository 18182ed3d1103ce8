//! `tidelog produce`: lines to records, or the rows of a file ([`rows`]).
//!
//! A thread reads lines; what has come is sent when the last batch was answered, so that a slow
//! writer's line leaves at once and a fast one's lines leave in large batches. In order, one batch of a
//! partition at a time.

mod rows;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use clap::{Args, ValueEnum};
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use serde_json::json;
use tidelog_client::wire::said;
use tidelog_client::{BrokerError, Client, Error, ErrorCode};
use tidelog_records::partitioner::Rule;
use tidelog_records::{BatchBuilder, Codec};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep};

use crate::names::topic_name;
use crate::server::{CHANGE_WAIT, CHANGE_WAIT_MS, PATIENCE, PAUSE, Server};
use crate::word::Pair;
use crate::{Misuse, Out, lines};

/// Of a record, each perhaps null.
type KeyAndValue<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// What a batch is closed at; brokers take 1 MiB.
const BATCH_BYTES: usize = 512 << 10;
/// Lines at fault that a message names.
const BAD_LINES_MAX: usize = 10;

#[derive(Debug, Clone, Args)]
pub struct Options {
    topic: String,
    #[command(flatten)]
    server: Server,
    /// What comes in
    #[arg(long, value_enum, default_value_t = Input::Lines)]
    input: Input,
    /// Read from here instead of standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// What stands between key and value; without it lines are values without keys
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    key_separator: Option<String>,
    /// An empty value is null: it deletes the key
    #[arg(long, requires = "key_separator")]
    empty_is_null: bool,
    /// A header of every record; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    header: Vec<Pair>,
    /// The partition of every record; otherwise the key decides
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// When a record counts as written
    #[arg(long, value_enum, default_value_t = Acks::All)]
    acks: Acks,
    /// How batches are compressed
    #[arg(long, value_enum, default_value_t = Compression::None)]
    compression: Compression,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Input {
    /// Lines, a record each
    Lines,
    /// An Arrow IPC stream, whose columns are the table's
    Arrow,
    /// A Parquet file, whose columns are the table's
    Parquet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Acks {
    /// When it is safe on disk
    All,
    /// When the leader has written it
    #[value(name = "1")]
    Leader,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Compression {
    fn codec(self) -> Codec {
        match self {
            Self::None => Codec::None,
            Self::Gzip => Codec::Gzip,
            Self::Snappy => Codec::Snappy,
            Self::Lz4 => Codec::Lz4,
            Self::Zstd => Codec::Zstd,
        }
    }
}

impl Options {
    pub async fn run(self) -> Result<()> {
        let client = self.server.connect().await?;
        let partitions: Vec<_> = client
            .topic(&self.topic)
            .await?
            .leaders
            .into_keys()
            .collect();
        if let Some(missing) = self.partition.filter(|one| !partitions.contains(one)) {
            bail!(Misuse(format!(
                "topic {} has no partition {missing}",
                self.topic
            )));
        }
        if self.input != Input::Lines {
            return rows::run(&self, &client).await;
        }
        let rule = self.rule(&client).await?;
        let mut producer = Producer {
            options: &self,
            client,
            partitions,
            rule,
            turn: 0,
            line: 0,
            sent: BTreeMap::new(),
        };
        let produced = producer.all(lines::read(self.file.as_deref())?).await;
        let records: u64 = producer.sent.values().map(|sent| sent.records).sum();
        produced.map_err(|error| match records {
            0 => error,
            // Typed errors keep their type: what to do about them is told by it.
            _ => error.context(format!("after {records} records were acknowledged")),
        })?;
        tell(&self, &producer.sent, records)
    }

    /// What gives a key its partition: the table's own rule, or that of Java's clients.
    async fn rule(&self, client: &Client) -> Result<Rule> {
        if self.key_separator.is_none() || self.partition.is_some() {
            return Ok(Rule::Murmur2);
        }
        let info = client.table(&self.topic).await?.info();
        let Some(name) = info.and_then(|info| info.partitioner.clone()) else {
            return Ok(Rule::Murmur2);
        };
        Rule::named(&name).ok_or_else(|| {
            anyhow!(Misuse(format!(
                "the partitioner of {} is {name}: give --partition",
                self.topic
            )))
        })
    }

    /// Takes a line apart.
    fn split<'a>(&self, line: &'a [u8]) -> Result<KeyAndValue<'a>> {
        let Some(separator) = &self.key_separator else {
            return Ok((None, Some(line)));
        };
        let separator = separator.as_bytes();
        let at = line
            .windows(separator.len())
            .position(|some| some == separator);
        let at = at.with_context(|| {
            let line = String::from_utf8_lossy(&line[..line.len().min(40)]).into_owned();
            format!(
                "there is no {:?} in the line {line:?}",
                self.key_separator.as_deref().unwrap_or_default()
            )
        })?;
        let value = &line[at + separator.len()..];
        let is_null = self.empty_is_null && value.is_empty();
        Ok((Some(&line[..at]), (!is_null).then_some(value)))
    }
}

/// Records of a partition that were acknowledged.
#[derive(Debug, Default)]
struct Sent {
    records: u64,
    /// The offset after the last.
    end: i64,
}

/// Records for one partition, and the lines of the input they came from.
struct Batch {
    records: BatchBuilder,
    lines: Vec<u64>,
}

/// Lines on their way to a topic.
struct Producer<'a> {
    options: &'a Options,
    client: Client,
    partitions: Vec<i32>,
    rule: Rule,
    /// Counts batches, to spread records without keys.
    turn: usize,
    /// Counts lines, from 1.
    line: u64,
    sent: BTreeMap<i32, Sent>,
}

impl Producer<'_> {
    async fn all(&mut self, mut lines: Receiver<io::Result<Vec<u8>>>) -> Result<()> {
        while let Some(line) = lines.recv().await {
            let mut batches = BTreeMap::new();
            let mut bytes = self.add(&mut batches, &line?)?;
            while bytes < BATCH_BYTES
                && let Ok(line) = lines.try_recv()
            {
                bytes += self.add(&mut batches, &line?)?;
            }
            for (partition, batch) in batches {
                self.send(partition, batch).await?;
            }
            self.turn += 1;
        }
        Ok(())
    }

    /// Adds a line to the batch of its partition, and answers its bytes.
    fn add(&mut self, batches: &mut BTreeMap<i32, Batch>, line: &[u8]) -> Result<usize> {
        self.line += 1;
        let (key, value) = self.options.split(line)?;
        let partition = self.partition(key)?;
        let batch = batches.entry(partition).or_insert_with(|| Batch {
            records: BatchBuilder::new().codec(self.options.compression.codec(), None),
            lines: Vec::new(),
        });
        let headers = self.options.header.iter();
        let headers = headers.map(|pair| (pair.name.as_bytes(), Some(pair.value.as_bytes())));
        batch.records.append(now_ms(), key, value, headers)?;
        batch.lines.push(self.line);
        Ok(line.len())
    }

    fn partition(&self, key: Option<&[u8]>) -> Result<i32> {
        let count = self.partitions.len();
        ensure!(
            count > 0,
            "topic {} has no partitions now; try again",
            self.options.topic
        );
        Ok(match (self.options.partition, key) {
            (Some(partition), _) => partition,
            (None, Some(key)) => self
                .rule
                .partition(key, i32::try_from(count).unwrap_or(i32::MAX)),
            (None, None) => self.partitions[self.turn % count],
        })
    }

    /// Sends a batch, and sends it again only if it surely was not written.
    async fn send(&mut self, partition: i32, batch: Batch) -> Result<()> {
        let Batch {
            records: batch,
            lines,
        } = batch;
        let records = u64::try_from(batch.record_count()).unwrap_or(0);
        let data = PartitionProduceData::default()
            .with_index(partition)
            .with_records(Some(batch.finish()?));
        let topic = TopicProduceData::default()
            .with_name(topic_name(&self.options.topic))
            .with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_acks(match self.options.acks {
                Acks::All => -1,
                Acks::Leader => 1,
            })
            .with_timeout_ms(CHANGE_WAIT_MS)
            .with_topic_data(vec![topic]);
        let since = Instant::now();
        let base = loop {
            match self.send_once(partition, &request, &lines).await {
                Ok(base) => break base,
                Err(error) if was_not_written(&error) && since.elapsed() < PATIENCE => {
                    sleep(PAUSE).await
                }
                Err(error) if error.is_transient() && !was_not_written(&error) => {
                    let context = "it is not known whether the last batch was written";
                    return Err(anyhow!(error).context(context));
                }
                Err(error) => return Err(error.into()),
            }
        };
        let sent = self.sent.entry(partition).or_default();
        sent.records += records;
        sent.end = base.saturating_add(i64::try_from(records).unwrap_or(i64::MAX));
        Ok(())
    }

    async fn send_once(
        &self,
        partition: i32,
        request: &ProduceRequest,
        lines: &[u64],
    ) -> Result<i64, Error> {
        let topic = &self.options.topic;
        let place = || format!("topic {topic}, partition {partition}");
        let refused = |code: ErrorCode| BrokerError {
            api: "Produce",
            code: code.code(),
            message: place(),
        };
        let leader = self
            .client
            .topic(topic)
            .await?
            .leaders
            .remove(&partition)
            .flatten();
        let leader = leader.ok_or_else(|| refused(ErrorCode::NotLeaderOrFollower))?;
        let answer = self
            .client
            .link(&leader.address)
            .call(request, CHANGE_WAIT)
            .await?;
        let answers = answer.responses.into_iter();
        let answer = answers.flat_map(|topic| topic.partition_responses).next();
        let answer = answer.ok_or_else(|| refused(ErrorCode::UnknownServerError))?;
        BrokerError::check("Produce", answer.error_code, || {
            match bad_lines(&answer, lines).as_slice() {
                [] => said(&place(), answer.error_message.as_deref()),
                bad => said(&place(), Some(&bad.join("; "))),
            }
        })?;
        Ok(answer.base_offset)
    }
}

/// What is wrong with which lines, if the broker names records; at most [`BAD_LINES_MAX`] of them.
fn bad_lines(answer: &PartitionProduceResponse, lines: &[u64]) -> Vec<String> {
    let bad = answer.record_errors.iter().filter_map(|bad| {
        let line = lines.get(usize::try_from(bad.batch_index).ok()?)?;
        let why = bad.batch_index_error_message.as_deref()?;
        Some(format!("line {line}: {why}"))
    });
    bad.take(BAD_LINES_MAX).collect()
}

/// What was acknowledged.
fn tell(options: &Options, sent: &BTreeMap<i32, Sent>, records: u64) -> Result<()> {
    let mut out = Out::new();
    if options.server.json {
        let partitions = sent.iter().map(|(partition, sent)| {
            json!({"partition": partition, "records": sent.records, "next_offset": sent.end})
        });
        let partitions: Vec<_> = partitions.collect();
        out.json(&json!({"topic": options.topic, "records": records, "partitions": partitions}))?;
    } else {
        out.line(&format!("{records} records"))?;
        for (partition, sent) in sent {
            let (records, end) = (sent.records, sent.end);
            out.line(&format!(
                "  partition {partition}: {records}, next offset {end}"
            ))?;
        }
    }
    out.done()
}

/// Whether a failed attempt surely left nothing behind.
fn was_not_written(error: &Error) -> bool {
    let refusals = [ErrorCode::NotLeaderOrFollower, ErrorCode::NotEnoughReplicas];
    matches!(error, Error::Connect { .. })
        || error
            .error_code()
            .is_some_and(|code| refusals.contains(&code))
}

/// Milliseconds since 1970, for the records of whoever types now.
fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn options(arguments: &[&str]) -> Options {
        let all = ["produce", "t"].iter().chain(arguments);
        Line::try_parse_from(all).expect("arguments").options
    }

    #[test]
    fn keys_and_values_of_lines() {
        let plain = options(&[]);
        assert_eq!(
            plain.split(b"a:b").expect("a line"),
            (None, Some(&b"a:b"[..]))
        );
        let keyed = options(&["--key-separator", "::", "--empty-is-null"]);
        let (a, b): (&[u8], &[u8]) = (b"a", b"b::c");
        assert_eq!(keyed.split(b"a::b::c").expect("a line"), (Some(a), Some(b)));
        assert_eq!(keyed.split(b"a::").expect("a line"), (Some(a), None));
        assert!(keyed.split(b"a:b").is_err());
        let empty = options(&["--key-separator", ":"]);
        assert_eq!(
            empty.split(b"a:").expect("a line"),
            (Some(a), Some(&b""[..]))
        );
    }
}
