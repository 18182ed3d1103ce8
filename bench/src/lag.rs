//! How far rows and the lake are behind while a topic is written at a steady rate.
//!
//! Both lags are measured from outside. A batch's *rows lag* runs from its acknowledgement until a
//! columnar reader has its last row. The *lake lag* is sampled: how long ago the first record that no
//! snapshot holds was acknowledged.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde_json::{Value, json};
use tidelog_protocol_ext::ext::union_read_offsets::UnionReadOffsetsRequest;

use crate::columns::request;
use crate::connection::Connection;
use crate::payload::Prepared;
use crate::produce::{expect_success, join};
use crate::shape::Shape;
use crate::stats::{self, Stats, Window};
use crate::{Target, ours, topic};

const SAMPLE: Duration = Duration::from_millis(100);
const READ_BYTES: i32 = 4 << 20;

#[derive(Debug, Clone, Args)]
pub struct Options {
    #[command(flatten)]
    target: Target,
    /// Orders each second
    #[arg(long, default_value_t = 20_000)]
    rate: u64,
    /// Time from batch to batch
    #[arg(long, default_value_t = 10)]
    tick_ms: u64,
    /// `tidelog.lake.target.lag.ms` of the topic
    #[arg(long, default_value_t = 5000)]
    lake_target_ms: u64,
}

/// When the end of each batch was acknowledged, for those not in the lake yet.
type Acknowledged = Arc<Mutex<VecDeque<(i64, Instant)>>>;

pub fn run(options: &Options) -> Result<Value> {
    let target = &options.target;
    ensure!(target.partitions == 1, "lag writes one partition");
    let mut connection = Connection::open(&target.bootstrap)?;
    let mut configs = Shape::Orders.configs()?;
    configs.push(("tidelog.lake.enable".into(), "true".into()));
    let lag = options.lake_target_ms.to_string();
    configs.push(("tidelog.lake.target.lag.ms".into(), lag));
    topic::ensure_with(&mut connection, &target.topic, 1, configs)?;

    let window = Window::of(target);
    let acknowledged = Acknowledged::default();
    let reader = {
        let (target, acknowledged) = (target.clone(), Arc::clone(&acknowledged));
        thread::spawn(move || rows_lag(&target, window, &acknowledged))
    };
    let lake = {
        let (target, acknowledged) = (target.clone(), Arc::clone(&acknowledged));
        thread::spawn(move || lake_lag(&target, window, &acknowledged))
    };
    let producer = {
        let options = options.clone();
        thread::spawn(move || produce(connection, &options, window, &acknowledged))
    };
    let usage = stats::watch(target.broker_pid, window)?;
    let written = join(producer)?;
    let (rows, lake) = (join(reader)?, join(lake)?);
    let mut line = stats::report("lag", target, &written, usage);
    line["rate"] = options.rate.into();
    line["rows_lag_us"] = stats::percentiles(&rows.latency_us);
    line["lake_lag_us"] = stats::percentiles(&lake.latency_us);
    line["lake_target_ms"] = options.lake_target_ms.into();
    Ok(json!(line))
}

fn produce(
    mut connection: Connection,
    options: &Options,
    window: Window,
    acknowledged: &Acknowledged,
) -> Result<Stats> {
    let topic = options.target.topic.as_str();
    let per_tick = (options.rate * options.tick_ms / 1000).max(1);
    let mut stats = Stats::new()?;
    let mut end = topic::ends(&mut connection, topic, &[0])?[0];
    let (started, mut tick) = (Instant::now(), 0);
    while !window.over() {
        let first = tick * per_tick;
        let values = (first..first + per_tick).map(|n| Shape::Orders.row(n));
        let values: Vec<_> = values.collect();
        let values = values.iter().map(String::as_bytes);
        let batch = Prepared::of((topic, 0), -1, values)?;
        let due = started + Duration::from_millis(options.tick_ms * tick);
        stats::sleep_until(due);
        connection.send(&batch.frame)?;
        expect_success(connection.receive()?.1)?;
        let now = Instant::now();
        end += i64::from(batch.records);
        lock(acknowledged).push_back((end, now));
        if window.holds(now) {
            stats.count(per_tick, batch.batch_bytes);
            stats.took(now - due, per_tick)?;
        }
        tick += 1;
    }
    Ok(stats)
}

/// A reader of one column at the live end.
fn rows_lag(target: &Target, window: Window, acknowledged: &Acknowledged) -> Result<Stats> {
    let mut connection = Connection::open(&target.bootstrap)?;
    let topic_id = ours::table(&mut connection, &target.topic)?.topic_id;
    let mut next = topic::ends(&mut connection, &target.topic, &[0])?[0];
    let mut stats = Stats::new()?;
    let mut seen_to = next;
    while !window.over() {
        let wanted = request(topic_id, Some(&["order_id"]), next, READ_BYTES);
        let (answer, _) = ours::call(&mut connection, &wanted)?;
        let mut rows = answer.topics.into_iter().flat_map(|topic| topic.partitions);
        let rows = rows.next().context("an answer without the partition")?;
        ensure!(rows.error_code == 0, "error code {}", rows.error_code);
        next = rows.next_offset;
        let now = Instant::now();
        for &(end, acked) in lock(acknowledged).iter() {
            if end > seen_to && end <= next {
                seen_to = end;
                if window.holds(now) {
                    stats.took(now.saturating_duration_since(acked), 1)?;
                }
            }
        }
    }
    Ok(stats)
}

fn lake_lag(target: &Target, window: Window, acknowledged: &Acknowledged) -> Result<Stats> {
    let mut connection = Connection::open(&target.bootstrap)?;
    let topic_id = ours::table(&mut connection, &target.topic)?.topic_id;
    let request = UnionReadOffsetsRequest {
        topic_id,
        ..UnionReadOffsetsRequest::default()
    };
    let mut stats = Stats::new()?;
    while !window.over() {
        thread::sleep(SAMPLE);
        let (answer, _) = ours::call(&mut connection, &request)?;
        // Before the first commit there is no lake to speak of, and everything waits.
        let lake_end = answer.partitions.first().map_or(0, |cut| cut.lake_end);
        let now = Instant::now();
        let mut waiting = lock(acknowledged);
        // The reader of rows looks at these too, and is never so far behind.
        while waiting.front().is_some_and(|&(end, _)| end <= lake_end) {
            waiting.pop_front();
        }
        if window.holds(now) {
            let oldest = waiting.front().map_or(now, |&(_, acked)| acked);
            stats.took(now - oldest, 1)?;
        }
    }
    Ok(stats)
}

fn lock(acknowledged: &Acknowledged) -> std::sync::MutexGuard<'_, VecDeque<(i64, Instant)>> {
    // A thread that panicked ends the run anyway.
    acknowledged.lock().unwrap_or_else(PoisonError::into_inner)
}
