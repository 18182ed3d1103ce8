//! Batches of one record at a steady rate over many typed partitions: the worst there is for columns.
//!
//! Open loop: a record is due every so often whether or not the broker keeps up; partitions take turns,
//! as do the connections. Meanwhile one reader asks for two columns of the newest thousand rows of one
//! partition after the other, and looks at how far rows are behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde_json::Value;

use crate::columns::request;
use crate::connection::Connection;
use crate::payload::Prepared;
use crate::produce::{expect_success, join};
use crate::shape::Shape;
use crate::stats::{self, Stats, Window};
use crate::{Target, ours, topic};

const CONNECTIONS: u64 = 4;
/// Between two looks of the reader.
const LOOK: Duration = Duration::from_millis(20);
const LOOK_ROWS: i64 = 1_000;
const READ_BYTES: i32 = 1 << 20;
const COLUMNS: [&str; 2] = ["customer_id", "amount"];

#[derive(Debug, Clone, Args)]
pub struct Options {
    #[command(flatten)]
    target: Target,
    /// Records each second, over all partitions; each is a batch and a request
    #[arg(long, default_value_t = 5_000)]
    rate: u64,
    /// Folder of the broker, to report what it takes on disk
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

pub fn run(options: &Options) -> Result<Value> {
    let target = &options.target;
    let mut connection = Connection::open(&target.bootstrap)?;
    let configs = Shape::Orders.configs()?;
    topic::ensure_with(&mut connection, &target.topic, target.partitions, configs)?;

    let window = Window::of(target);
    let reader = {
        let target = target.clone();
        thread::spawn(move || read(&target, window))
    };
    let producers: Vec<_> = (0..CONNECTIONS)
        .map(|turn| {
            let options = options.clone();
            thread::spawn(move || produce(&options, window, turn))
        })
        .collect();
    let usage = stats::watch(target.broker_pid, window)?;
    let written: Result<Vec<_>> = producers.into_iter().map(join).collect();
    let written = Stats::merge(written?)?;
    let looks = join(reader)?;

    let mut line = stats::report("trickle", target, &written, usage);
    line["rate"] = options.rate.into();
    line["read_latency_us"] = stats::percentiles(&looks.asked.latency_us);
    line["records_behind"] = stats::percentiles(&looks.behind.latency_us);
    if let Some(dir) = &options.data_dir {
        for part in ["wal", "segments", "rows"] {
            line[format!("{part}_mb")] =
                stats::round(size_of(&dir.join(part))? as f64 / 1e6).into();
        }
        line["all_mb"] = stats::round(size_of(dir)? as f64 / 1e6).into();
    }
    Ok(line)
}

fn produce(options: &Options, window: Window, turn: u64) -> Result<Stats> {
    let target = &options.target;
    let mut connection = Connection::open(&target.bootstrap)?;
    let mut stats = Stats::new()?;
    let between = Duration::from_secs(CONNECTIONS) / u32::try_from(options.rate)?;
    let started = Instant::now() + between * turn as u32 / CONNECTIONS as u32;
    for tick in 0.. {
        if window.over() {
            break;
        }
        let number = tick * CONNECTIONS + turn;
        let value = Shape::Orders.row(number);
        let partition = (number % target.partitions as u64) as i32;
        let batch = Prepared::of(
            (&target.topic, partition),
            -1,
            [value.as_bytes()].into_iter(),
        )?;
        let due = started + between * tick as u32;
        stats::sleep_until(due);
        connection.send(&batch.frame)?;
        expect_success(connection.receive()?.1)?;
        let now = Instant::now();
        if window.holds(due) {
            stats.count(1, value.len() as u64);
            stats.took(now - due, 1)?;
        }
    }
    Ok(stats)
}

/// What the reader saw.
struct Looks {
    /// From question to answer, in microseconds.
    asked: Stats,
    /// Records below the stable end that the answer did not cover; counted, not timed.
    behind: Stats,
}

fn read(target: &Target, window: Window) -> Result<Looks> {
    let mut connection = Connection::open(&target.bootstrap)?;
    let topic_id = ours::table(&mut connection, &target.topic)?.topic_id;
    let mut looks = Looks {
        asked: Stats::new()?,
        behind: Stats::new()?,
    };
    for partition in (0..target.partitions).cycle() {
        if window.over() {
            break;
        }
        thread::sleep(LOOK);
        let end = topic::ends(&mut connection, &target.topic, &[partition])?;
        let end = *end.first().context("no end")?;
        let mut wanted = request(
            topic_id,
            Some(&COLUMNS),
            (end - LOOK_ROWS).max(0),
            READ_BYTES,
        );
        wanted.max_wait_ms = 0;
        wanted.topics[0].partitions[0].partition = partition;
        let asked = Instant::now();
        let (answer, _) = ours::call(&mut connection, &wanted)?;
        let took = asked.elapsed();
        let rows = answer.topics.into_iter().flat_map(|topic| topic.partitions);
        let rows = rows.last().context("an answer without the partition")?;
        ensure!(rows.error_code == 0, "error code {}", rows.error_code);
        if window.holds(asked) {
            looks.asked.took(took, 1)?;
            let behind = u64::try_from(end - rows.next_offset).unwrap_or(0);
            looks.behind.took(Duration::from_micros(behind), 1)?;
        }
    }
    Ok(looks)
}

/// Bytes that the files below take on the disk.
fn size_of(at: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    if !at.exists() {
        return Ok(0);
    }
    let mut bytes = 0;
    for entry in fs::read_dir(at)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        bytes += match meta.is_dir() {
            true => size_of(&entry.path())?,
            false => meta.blocks() * 512,
        };
    }
    Ok(bytes)
}
