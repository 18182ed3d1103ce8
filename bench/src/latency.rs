//! Open loop: a batch is due every tick whether or not the broker keeps up, and a record's latency
//! counts from the moment it was due until a consumer on another connection holds it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde_json::Value;
use tidelog_records::Records;

use crate::connection::{Connection, set_correlation_id};
use crate::consume::{Limits, Reader};
use crate::payload::{Prepared, noise};
use crate::produce::{expect_success, join};
use crate::stats::{self, Stats, Window};
use crate::{Target, topic};

/// How long after the last record was due one waits for what is missing.
const TAIL: Duration = Duration::from_secs(10);
const STAMP_BYTES: usize = 8;

#[derive(Debug, Clone, Args)]
pub struct Options {
    #[command(flatten)]
    target: Target,
    /// Bytes of a record's value
    #[arg(long, default_value_t = 1024)]
    record_size: usize,
    /// Records each second, over all partitions
    #[arg(long, default_value_t = 10_000)]
    rate: u64,
    /// Time from batch to batch; partitions take turns
    #[arg(long, default_value_t = 1000)]
    tick_us: u64,
    /// -1 (all) or 1
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    acks: i16,
}

pub fn run(options: &Options) -> Result<Value> {
    let target = &options.target;
    let mut sender = Connection::open(&target.bootstrap)?;
    topic::ensure(&mut sender, &target.topic, target.partitions)?;
    prime(&mut sender, options)?;
    let (answers, handle) = (sender.second_handle()?, sender.second_handle()?);
    let limits = Limits {
        max_bytes: 16 << 20,
        partition_max_bytes: 1 << 20,
        max_wait_ms: 500,
    };
    let partitions = (0..target.partitions).collect();
    let mut reader = Reader::open(&target.bootstrap, &target.topic, partitions, limits)?;
    reader.skip_to_end();

    let window = Window::of(target);
    let schedule = Schedule::new(window, options);
    let given_up = Arc::new(AtomicBool::new(false));
    let producer = {
        let (options, given_up) = (options.clone(), Arc::clone(&given_up));
        thread::spawn(move || produce(sender, &options, schedule, &given_up))
    };
    let acks = {
        let given_up = Arc::clone(&given_up);
        thread::spawn(move || take_answers(answers, schedule, window, &given_up))
    };
    let consumer = thread::spawn(move || consume(reader, schedule, window));

    let usage = stats::watch(target.broker_pid, window)?;
    let (seen, kept_up) = join(consumer)?;
    given_up.store(true, Ordering::Release);
    if !kept_up {
        handle.shut_down();
    }
    join(producer)?;
    let acked = join(acks)?;

    let mut line = stats::report("latency", target, &seen, usage);
    line["rate"] = options.rate.into();
    line["kept_up"] = kept_up.into();
    line["ack_latency_us"] = stats::percentiles(&acked.latency_us);
    Ok(line)
}

/// Writes to every partition once: first touches are slow, and an open loop would carry their backlog
/// into the measured window.
fn prime(connection: &mut Connection, options: &Options) -> Result<()> {
    for partition in 0..options.target.partitions {
        let place = (options.target.topic.as_str(), partition);
        let request = Prepared::fill(place, options.acks, options.record_size, 0, None)?;
        connection.send(&request.frame)?;
        expect_success(connection.receive()?.1)?;
    }
    Ok(())
}

/// When which batch is due.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    epoch: Instant,
    tick: Duration,
    ticks: u64,
    records_per_tick: u64,
}

impl Schedule {
    /// From now to the end of the window.
    fn new(window: Window, options: &Options) -> Self {
        let epoch = Instant::now();
        let tick = Duration::from_micros(options.tick_us.max(1));
        let ticks = (window.to - epoch).as_micros() / tick.as_micros();
        let records_per_tick = (options.rate * options.tick_us / 1_000_000).max(1);
        Self {
            epoch,
            tick,
            ticks: ticks as u64,
            records_per_tick,
        }
    }

    fn due(&self, tick: u64) -> Instant {
        self.epoch + Duration::from_nanos(self.tick.as_nanos() as u64 * tick)
    }
}

fn produce(
    mut connection: Connection,
    options: &Options,
    schedule: Schedule,
    given_up: &AtomicBool,
) -> Result<()> {
    let mut values: Vec<_> = (0..schedule.records_per_tick)
        .map(|n| noise(n, options.record_size.max(STAMP_BYTES)))
        .collect();
    for tick in 0..schedule.ticks {
        for value in &mut values {
            value[..STAMP_BYTES].copy_from_slice(&tick.to_le_bytes());
        }
        let partition = (tick % options.target.partitions as u64) as i32;
        let place = (options.target.topic.as_str(), partition);
        let mut request = Prepared::of(place, options.acks, values.iter().map(Vec::as_slice))?;
        set_correlation_id(&mut request.frame, tick as i32);
        stats::sleep_until(schedule.due(tick));
        match connection.send(&request.frame) {
            Err(_) if given_up.load(Ordering::Acquire) => break,
            sent => sent?,
        }
    }
    Ok(())
}

/// From due to acknowledged; what never was counts with the time it has waited.
fn take_answers(
    mut connection: Connection,
    schedule: Schedule,
    window: Window,
    given_up: &AtomicBool,
) -> Result<Stats> {
    let mut stats = Stats::new()?;
    let mut silent = false;
    for tick in 0..schedule.ticks {
        if !silent {
            match connection.receive() {
                Err(_) if given_up.load(Ordering::Acquire) => silent = true,
                Err(error) => return Err(error),
                Ok((id, frame)) => {
                    ensure!(id == tick as i32, "answer {id} to request {tick}");
                    expect_success(frame)?;
                }
            }
        }
        let due = schedule.due(tick);
        if window.holds(due) {
            stats.took(Instant::now() - due, schedule.records_per_tick)?;
        }
    }
    Ok(stats)
}

/// From due to held by the consumer, and whether all came before the patience ended; what did not
/// counts with the time it has waited.
fn consume(mut reader: Reader, schedule: Schedule, window: Window) -> Result<(Stats, bool)> {
    let mut stats = Stats::new()?;
    let mut missing: BTreeSet<u64> = (0..schedule.ticks).collect();
    while !missing.is_empty() && Instant::now() < window.to + TAIL {
        reader.fetch(|header, batch| {
            let now = Instant::now();
            let tick = stamp(&batch)?;
            missing.remove(&tick);
            if window.holds(schedule.due(tick)) {
                stats.count(header.record_count as u64, batch.len() as u64);
                stats.took(now - schedule.due(tick), header.record_count as u64)?;
            }
            Ok(())
        })?;
    }
    let now = Instant::now();
    for due in missing
        .iter()
        .map(|&tick| schedule.due(tick))
        .filter(|&due| window.holds(due))
    {
        stats.took(now - due, schedule.records_per_tick)?;
    }
    Ok((stats, missing.is_empty()))
}

/// The tick that a batch's first record carries.
fn stamp(batch: &bytes::Bytes) -> Result<u64> {
    let records = Records::open(batch, batch.len())?;
    let first = records.iter().next().context("an empty batch")??;
    let stamp = first
        .value
        .and_then(|value| value.first_chunk())
        .context("a record without its tick")?;
    Ok(u64::from_le_bytes(*stamp))
}
