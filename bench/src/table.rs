//! Markdown tables of a comparison: the median of the rounds, and the lowest to the highest.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use crate::compare::System;

/// Heading and where its figure stands in a run's line.
const COLUMNS: &[(&str, &str)] = &[
    ("produce MB/s", "/produce/mb_per_s"),
    ("records/s", "/produce/records_per_s"),
    ("CPU-s/GB", "/produce/broker/cpu_s_per_gb"),
    ("bytes written/produced", "/produce/broker/written_per_byte"),
    ("fetch MB/s", "/consume/mb_per_s"),
    ("fetch CPU-s/GB", "/consume/broker/cpu_s_per_gb"),
    ("end to end p50 ms", "/latency/latency_us/p50"),
    ("p99 ms", "/latency/latency_us/p99"),
    ("p99.9 ms", "/latency/latency_us/p99.9"),
    ("acknowledged p50 ms", "/latency/ack_latency_us/p50"),
    ("peak memory MB", "/latency/broker/rss_peak_mb"),
    ("idle memory MB", "/idle_rss_mb"),
    ("start ms", "/start_ms"),
];

/// One table for each number of partitions and record size.
pub fn markdown(lines: &[Value], systems: &[System]) -> String {
    let loads: BTreeSet<_> = lines
        .iter()
        .filter_map(|line| Some((line["partitions"].as_i64()?, line["record_size"].as_u64()?)))
        .collect();
    let mut text = String::new();
    for (partitions, record_size) in loads {
        let of_load: Vec<_> = lines
            .iter()
            .filter(|line| line["partitions"] == partitions && line["record_size"] == record_size)
            .collect();
        // Writing to a string cannot fail.
        let _ = write_load(&mut text, &of_load, systems, partitions, record_size);
    }
    text
}

fn write_load(
    text: &mut String,
    lines: &[&Value],
    systems: &[System],
    partitions: i64,
    record_size: u64,
) -> std::fmt::Result {
    let raw =
        Spread::of(lines, "/disk/mb_per_s", 1.0).map_or(String::new(), |spread| spread.to_string());
    let sync = Spread::of(lines, "/disk/sync_us/p50", 1e-3)
        .map_or(String::new(), |spread| spread.to_string());
    writeln!(
        text,
        "### {partitions} partition(s), records of {record_size} B\n"
    )?;
    writeln!(
        text,
        "Disk in the same minutes: {raw} MB/s, one synced 4 KiB write {sync} ms.\n"
    )?;
    let titles: Vec<_> = systems.iter().map(|system| system.title()).collect();
    writeln!(text, "| | {} |", titles.join(" | "))?;
    writeln!(text, "|---|{}", "---|".repeat(titles.len()))?;
    for (heading, pointer) in COLUMNS {
        let scale = if pointer.contains("_us/") { 1e-3 } else { 1.0 };
        write!(text, "| {heading} |")?;
        for system in systems {
            let name = system.to_string();
            let own: Vec<_> = lines
                .iter()
                .filter(|line| line["system"] == name.as_str())
                .copied()
                .collect();
            match Spread::of(&own, pointer, scale) {
                Some(spread) => write!(text, " {spread} |")?,
                None => write!(text, " – |")?,
            }
        }
        writeln!(text)?;
    }
    writeln!(text)
}

/// Median, lowest and highest of some runs.
#[derive(Debug, PartialEq)]
struct Spread {
    median: f64,
    low: f64,
    high: f64,
}

impl Spread {
    fn of(lines: &[&Value], pointer: &str, scale: f64) -> Option<Self> {
        let mut values: Vec<_> = lines
            .iter()
            .filter_map(|line| Some(line.pointer(pointer)?.as_f64()? * scale))
            .collect();
        values.sort_by(f64::total_cmp);
        let (low, high) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self { median, low, high })
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Three digits that count.
        let short = |value: f64| match value {
            v if v.abs() >= 100.0 => format!("{v:.0}"),
            v if v.abs() >= 10.0 => format!("{v:.1}"),
            v => format!("{v:.2}"),
        };
        write!(
            f,
            "**{}** ({}–{})",
            short(self.median),
            short(self.low),
            short(self.high)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_shows_median_and_spread() {
        let run = |rate: f64| {
            json!({
                "system": "kafka", "partitions": 1, "record_size": 100,
                "produce": { "mb_per_s": rate }, "latency": { "latency_us": { "p99.9": 2500 } },
            })
        };
        let text = markdown(&[run(30.0), run(10.0), run(20.0)], &[System::Kafka]);
        assert!(
            text.contains("### 1 partition(s), records of 100 B"),
            "{text}"
        );
        assert!(
            text.contains("| produce MB/s | **20.0** (10.0–30.0) |"),
            "{text}"
        );
        assert!(
            text.contains("| p99.9 ms | **2.50** (2.50–2.50) |"),
            "{text}"
        );
        assert!(text.contains("| start ms | – |"), "{text}");
    }
}
