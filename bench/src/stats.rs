//! Counters and latencies of one measured window.

use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::Target;
use crate::process::Usage;

/// The measured part of a run.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    pub from: Instant,
    pub to: Instant,
}

impl Window {
    pub fn of(target: &Target) -> Self {
        let from = Instant::now() + Duration::from_secs(target.warmup_seconds);
        Self {
            from,
            to: from + Duration::from_secs(target.seconds),
        }
    }

    pub fn holds(&self, at: Instant) -> bool {
        at >= self.from && at < self.to
    }

    pub fn over(&self) -> bool {
        Instant::now() >= self.to
    }
}

/// What one thread counted inside the window.
#[derive(Debug)]
pub struct Stats {
    pub requests: u64,
    pub records: u64,
    pub bytes: u64,
    pub latency_us: Histogram<u64>,
}

impl Stats {
    pub fn new() -> Result<Self> {
        // Three digits, growing: a stall of minutes must not be cut off.
        Ok(Self {
            requests: 0,
            records: 0,
            bytes: 0,
            latency_us: Histogram::new(3)?,
        })
    }

    pub fn count(&mut self, records: u64, bytes: u64) {
        self.requests += 1;
        self.records += records;
        self.bytes += bytes;
    }

    /// Fails only where a histogram may not grow, which these may.
    pub fn took(&mut self, time: Duration, records: u64) -> Result<()> {
        self.latency_us
            .record_n(u64::try_from(time.as_micros())?, records)?;
        Ok(())
    }

    pub fn merge(all: impl IntoIterator<Item = Self>) -> Result<Self> {
        let mut sum = Self::new()?;
        for one in all {
            sum.requests += one.requests;
            sum.records += one.records;
            sum.bytes += one.bytes;
            sum.latency_us.add(one.latency_us)?;
        }
        Ok(sum)
    }
}

/// Waits for the window, reading the broker's counters at both its ends.
pub fn watch(broker: Option<u32>, window: Window) -> Result<Option<(Usage, Usage)>> {
    sleep_until(window.from);
    let before = broker.map(Usage::of).transpose()?;
    sleep_until(window.to);
    let after = broker.map(Usage::of).transpose()?;
    Ok(before.zip(after))
}

pub fn sleep_until(at: Instant) {
    std::thread::sleep(at.saturating_duration_since(Instant::now()));
}

/// The JSON line of a run. MB are 10^6 bytes of record batches.
pub fn report(mode: &str, target: &Target, stats: &Stats, usage: Option<(Usage, Usage)>) -> Value {
    let seconds = target.seconds as f64;
    let gigabytes = stats.bytes as f64 / 1e9;
    let mut line = json!({
        "mode": mode,
        "partitions": target.partitions,
        "seconds": target.seconds,
        "mb_per_s": round(gigabytes * 1e3 / seconds),
        "records_per_s": round(stats.records as f64 / seconds),
        "requests": stats.requests,
        "requests_per_s": round(stats.requests as f64 / seconds),
        "latency_us": percentiles(&stats.latency_us),
    });
    if let Some((before, after)) = usage {
        let cpu_seconds = after.cpu_seconds - before.cpu_seconds;
        let written = after.write_bytes.saturating_sub(before.write_bytes) as f64;
        line["broker"] = json!({
            "cpu_s": round(cpu_seconds),
            "cpu_s_per_gb": round(cpu_seconds / gigabytes),
            "written_per_byte": round(written / stats.bytes as f64),
            "rss_mb": round(after.rss_bytes as f64 / 1e6),
            "rss_peak_mb": round(after.rss_peak_bytes as f64 / 1e6),
        });
    }
    line
}

pub fn percentiles(histogram: &Histogram<u64>) -> Value {
    json!({
        "p50": histogram.value_at_quantile(0.5),
        "p99": histogram.value_at_quantile(0.99),
        "p99.9": histogram.value_at_quantile(0.999),
        "max": histogram.max(),
    })
}

/// Three decimals are more than any of this is worth; what is not finite becomes null.
pub fn round(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
