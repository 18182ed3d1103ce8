//! One typed topic read at full speed by classic Fetch, and by ColumnarFetch with ever fewer columns.
//!
//! Neither way decodes what it gets: Fetch walks batch headers, ColumnarFetch counts rows. Answers are
//! bounded alike. A broker without columns (Apache Kafka) is read by Fetch alone.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde_json::{Value, json};
use tidelog_protocol_ext::StrBytes;
use tidelog_protocol_ext::ext::columnar_fetch::{
    ColumnarFetchRequest, FetchPartition, FetchTopic, PartitionRows,
};
use uuid::Uuid;

use crate::connection::Connection;
use crate::consume::{Limits, Reader};
use crate::payload::Prepared;
use crate::produce::expect_success;
use crate::shape::Shape;
use crate::stats::{self, Stats, Window};
use crate::{Target, ours, topic};

/// How long rows may take to be in files after the last record.
const FILES_WAIT: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Args)]
pub struct Options {
    #[command(flatten)]
    target: Target,
    /// What rows look like
    #[arg(long, value_enum, default_value_t = Shape::Orders)]
    shape: Shape,
    /// Rows to write before reading, if the topic has fewer
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// How many columns each columnar run asks for
    #[arg(long, value_delimiter = ',', default_values_t = [20, 10, 5, 2, 1, 0])]
    read: Vec<usize>,
    /// The broker has no columns: only classic Fetch
    #[arg(long)]
    plain: bool,
    /// Records of a produced batch
    #[arg(long, default_value_t = 1000)]
    batch_records: u64,
    /// Most bytes of an answer, and of a partition in it
    #[arg(long, default_value_t = 4 << 20)]
    max_bytes: i32,
}

pub fn run(options: &Options) -> Result<Value> {
    let target = &options.target;
    ensure!(target.partitions == 1, "columns reads one partition");
    let mut connection = Connection::open(&target.bootstrap)?;
    let configs = match options.plain {
        true => Vec::new(),
        false => options.shape.configs()?,
    };
    topic::ensure_with(&mut connection, &target.topic, 1, configs)?;
    fill(&mut connection, options)?;
    let mut line = json!({
        "mode": "columns",
        "shape": format!("{:?}", options.shape),
        "rows": options.rows,
        "fetch": null,
    });
    if !options.plain {
        line["rows_in_files"] = wait_for_files(&mut connection, &target.topic)?.into();
        for &width in &options.read {
            line[format!("columns_{width}")] = columnar(options, width)?;
        }
    }
    line["fetch"] = classic(options)?;
    Ok(line)
}

fn fill(connection: &mut Connection, options: &Options) -> Result<()> {
    let topic = options.target.topic.as_str();
    let end = topic::ends(connection, topic, &[0])?;
    let mut next = end.first().map_or(0, |&end| end as u64);
    while next < options.rows {
        let to = options.rows.min(next + options.batch_records);
        let values: Vec<_> = (next..to).map(|n| options.shape.row(n)).collect();
        let values = values.iter().map(String::as_bytes);
        let batch = Prepared::of((topic, 0), -1, values)?;
        connection.send(&batch.frame)?;
        expect_success(connection.receive()?.1)?;
        next = to;
    }
    Ok(())
}

/// The end of rows in files, once it is that of the log or patience ends.
fn wait_for_files(connection: &mut Connection, topic: &str) -> Result<i64> {
    let deadline = Instant::now() + FILES_WAIT;
    loop {
        let table = ours::table(connection, topic)?;
        let partition = table.partitions.first().context("no partition")?;
        if partition.rows_to >= partition.stable_end || Instant::now() > deadline {
            return Ok(partition.rows_to);
        }
        thread::sleep(POLL);
    }
}

fn classic(options: &Options) -> Result<Value> {
    let target = &options.target;
    let limits = Limits {
        max_bytes: options.max_bytes,
        partition_max_bytes: options.max_bytes,
        max_wait_ms: 500,
    };
    let mut reader = Reader::open(&target.bootstrap, &target.topic, vec![0], limits)?;
    measure(target, || {
        let got = reader.fetch(|_, _| Ok(()))?;
        reader.rewind();
        Ok((got.records, got.bytes))
    })
}

/// Reads `width` columns, spread evenly over the row.
fn columnar(options: &Options, width: usize) -> Result<Value> {
    let target = &options.target;
    let all = options.shape.columns();
    let width = width.min(all.len());
    let spread = (0..width).map(|at| at * all.len() / width);
    let columns: Vec<_> = spread.map(|at| all[at].0.as_str()).collect();
    let mut connection = Connection::open(&target.bootstrap)?;
    let topic_id = ours::table(&mut connection, &target.topic)?.topic_id;
    let mut next = 0;
    measure(target, || {
        let request = request(topic_id, Some(&columns), next, options.max_bytes);
        let (answer, frame) = ours::call(&mut connection, &request)?;
        let rows = answer.topics.into_iter().flat_map(|topic| topic.partitions);
        let rows = rows.last().context("an answer without the partition")?;
        ensure!(rows.error_code == 0, "error code {}", rows.error_code);
        next = match rows.next_offset {
            end if end >= rows.stable_end => 0,
            next => next,
        };
        let counted = count(&rows);
        drop(rows);
        connection.recycle(frame);
        Ok(counted)
    })
}

/// Rows and their bytes.
fn count(rows: &PartitionRows) -> (u64, u64) {
    let records = rows.runs.iter().map(|run| run.row_count as u64).sum();
    let bytes = rows.runs.iter().map(|run| run.messages.len() as u64).sum();
    (records, bytes)
}

/// Rows of one partition from `offset` on.
pub fn request(
    topic_id: Uuid,
    columns: Option<&[&str]>,
    offset: i64,
    max_bytes: i32,
) -> ColumnarFetchRequest {
    let name = |name: &&str| StrBytes::from_string((*name).to_owned());
    let partition = FetchPartition {
        partition: 0,
        current_leader_epoch: -1,
        fetch_offset: offset,
        partition_max_bytes: max_bytes,
    };
    ColumnarFetchRequest {
        max_wait_ms: 500,
        min_rows: 1,
        max_bytes,
        topics: vec![FetchTopic {
            topic_id,
            projection: columns.map(|names| names.iter().map(name).collect()),
            filter: None,
            partitions: vec![partition],
        }],
    }
}

/// Calls `read`, which answers records and bytes, until the window is over.
fn measure(target: &Target, mut read: impl FnMut() -> Result<(u64, u64)>) -> Result<Value> {
    let window = Window::of(target);
    let watched = {
        let broker = target.broker_pid;
        thread::spawn(move || stats::watch(broker, window))
    };
    let mut stats = Stats::new()?;
    while !window.over() {
        let asked = Instant::now();
        let (records, bytes) = read()?;
        let now = Instant::now();
        if window.holds(now) {
            stats.count(records, bytes);
            stats.took(now - asked, 1)?;
        }
    }
    let usage = crate::produce::join(watched)?;
    let mut line = stats::report("columns", target, &stats, usage);
    line["bytes_per_record"] = stats::round(stats.bytes as f64 / stats.records as f64).into();
    Ok(line)
}
