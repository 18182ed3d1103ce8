//! Fetch at full speed: walk batch headers for the next offset, decode nothing, begin again at the end.

use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use clap::Args;
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use serde_json::Value;
use tidelog_records::BatchHeader;

use crate::connection::{Connection, decode, encode};
use crate::produce::{join, share};
use crate::stats::{self, Stats, Window};
use crate::{Target, topic};

/// The last version that names topics and not their ids.
const FETCH_VERSION: i16 = 12;

#[derive(Debug, Clone, Args)]
pub struct Options {
    #[command(flatten)]
    target: Target,
    /// Each takes its share of the partitions in turn
    #[arg(long, default_value_t = 2)]
    connections: i32,
    /// Most bytes of an answer
    #[arg(long, default_value_t = 4 << 20)]
    max_bytes: i32,
    /// Most bytes of a partition in an answer
    #[arg(long, default_value_t = 1 << 20)]
    partition_max_bytes: i32,
}

pub fn run(options: &Options) -> Result<Value> {
    let target = &options.target;
    let readers = (0..options.connections)
        .map(|n| reader(options, n))
        .collect::<Result<Vec<_>>>()?;
    let window = Window::of(target);
    let threads: Vec<_> = readers
        .into_iter()
        .map(|reader| thread::spawn(move || run_one(reader, window)))
        .collect();
    let usage = stats::watch(target.broker_pid, window)?;
    let counted = threads.into_iter().map(join).collect::<Result<Vec<_>>>()?;
    Ok(stats::report(
        "consume",
        target,
        &Stats::merge(counted)?,
        usage,
    ))
}

fn reader(options: &Options, number: i32) -> Result<Reader> {
    let target = &options.target;
    let partitions = share(target.partitions, options.connections, number).collect();
    let limits = Limits {
        max_bytes: options.max_bytes,
        partition_max_bytes: options.partition_max_bytes,
        max_wait_ms: 500,
    };
    Reader::open(&target.bootstrap, &target.topic, partitions, limits)
}

fn run_one(mut reader: Reader, window: Window) -> Result<Stats> {
    let mut stats = Stats::new()?;
    ensure!(reader.ends.iter().any(|&end| end > 0), "the topic is empty");
    while !window.over() {
        let asked = Instant::now();
        let got = reader.fetch(|_, _| Ok(()))?;
        let now = Instant::now();
        if window.holds(now) {
            stats.count(got.records, got.bytes);
            stats.took(now - asked, 1)?;
        }
        reader.rewind();
    }
    Ok(stats)
}

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub max_bytes: i32,
    pub partition_max_bytes: i32,
    pub max_wait_ms: i32,
}

/// What one answer held.
#[derive(Debug, Default)]
pub struct Got {
    pub records: u64,
    pub bytes: u64,
}

/// A connection that fetches some partitions of a topic.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    topic: String,
    partitions: Vec<i32>,
    /// Where to go on, by place in `partitions`.
    next: Vec<i64>,
    /// The ends when it was opened.
    ends: Vec<i64>,
    /// The first partition to name: brokers fill an answer in that order.
    turn: usize,
    limits: Limits,
}

impl Reader {
    /// Stands at the start of its partitions.
    pub fn open(
        bootstrap: &str,
        topic: &str,
        partitions: Vec<i32>,
        limits: Limits,
    ) -> Result<Self> {
        let mut connection = Connection::open(bootstrap)?;
        let ends = topic::ends(&mut connection, topic, &partitions)?;
        let next = vec![0; partitions.len()];
        Ok(Self {
            connection,
            topic: topic.to_owned(),
            partitions,
            next,
            ends,
            turn: 0,
            limits,
        })
    }

    /// Goes on at the ends it saw when it was opened.
    pub fn skip_to_end(&mut self) {
        self.next.clone_from(&self.ends);
    }

    /// Sends partitions that were read to the end back to the start.
    pub fn rewind(&mut self) {
        for (next, end) in self.next.iter_mut().zip(&self.ends) {
            if *next >= *end {
                *next = 0;
            }
        }
    }

    /// One Fetch; `each` sees the header and bytes of every whole batch.
    pub fn fetch(
        &mut self,
        mut each: impl FnMut(&BatchHeader, Bytes) -> Result<()>,
    ) -> Result<Got> {
        self.connection
            .send(&encode(FETCH_VERSION, &self.request())?)?;
        let (_, frame) = self.connection.receive()?;
        let answer = decode::<FetchRequest>(FETCH_VERSION, frame.clone())?;
        ensure!(
            answer.error_code == 0,
            "fetch: error code {}",
            answer.error_code
        );
        let mut got = Got::default();
        for found in answer
            .responses
            .into_iter()
            .flat_map(|topic| topic.partitions)
        {
            ensure!(
                found.error_code == 0,
                "partition {}: error code {}",
                found.partition_index,
                found.error_code
            );
            let at = self
                .partitions
                .iter()
                .position(|&index| index == found.partition_index);
            let next = &mut self.next[at.context("a partition nobody asked for")?];
            let mut rest = found.records.unwrap_or_default();
            while let Some(batch) = split_batch(&mut rest) {
                let header = BatchHeader::read(&batch).context("batch header")?;
                *next = header.last_offset() + 1;
                got.records += header.record_count as u64;
                got.bytes += batch.len() as u64;
                each(&header, batch)?;
            }
        }
        self.connection.recycle(frame);
        self.turn += 1;
        Ok(got)
    }

    fn request(&self) -> FetchRequest {
        let count = self.partitions.len();
        let asked = (0..count)
            .map(|n| (n + self.turn) % count)
            .map(|at| {
                FetchPartition::default()
                    .with_partition(self.partitions[at])
                    .with_fetch_offset(self.next[at])
                    .with_partition_max_bytes(self.limits.partition_max_bytes)
            })
            .collect();
        FetchRequest::default()
            .with_max_wait_ms(self.limits.max_wait_ms)
            .with_min_bytes(1)
            .with_max_bytes(self.limits.max_bytes)
            .with_session_epoch(-1)
            .with_topics(vec![
                FetchTopic::default()
                    .with_topic(topic::name(&self.topic))
                    .with_partitions(asked),
            ])
    }
}

/// Takes the first batch off; nothing if what is left is a part of one, as the end of an answer may be.
fn split_batch(rest: &mut Bytes) -> Option<Bytes> {
    let size = BatchHeader::read(rest)?.total_len();
    (size <= rest.len()).then(|| rest.split_to(size))
}
