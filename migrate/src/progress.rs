//! What people and programs are told: a line a second on stderr, a table or JSON at the end.

use std::io::IsTerminal as _;
use std::io::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use crate::groups::Groups;
use crate::part::Part;

/// Counts that the line is made of.
#[derive(Default)]
pub struct Tally {
    pub topics: AtomicU64,
    pub partitions: AtomicU64,
    /// Partitions that hold all the source was seen to hold.
    pub level: AtomicU64,
    bytes: AtomicU64,
    /// Offsets that are still to be copied, and to be verified.
    pub lag: AtomicI64,
    pub unverified: AtomicI64,
}

impl Tally {
    pub fn copied(&self, bytes: usize, offsets: i64) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.lag.fetch_sub(offsets, Ordering::Relaxed);
        self.unverified.fetch_add(offsets, Ordering::Relaxed);
    }

    pub fn verified(&self, offsets: i64) {
        self.unverified.fetch_sub(offsets, Ordering::Relaxed);
    }

    /// Sets what is counted over all partitions.
    pub fn look(&self, parts: &[Part]) {
        let level = parts.iter().filter(|part| part.lag() == 0).count();
        let unverified = |part: &Part| {
            let first = part.target.start.max(part.source.start);
            part.target.end - part.verified.range.end.max(first)
        };
        self.partitions.store(parts.len() as u64, Ordering::Relaxed);
        self.level.store(level as u64, Ordering::Relaxed);
        self.lag
            .store(parts.iter().map(Part::lag).sum(), Ordering::Relaxed);
        let unverified = parts.iter().map(unverified).sum();
        self.unverified.store(unverified, Ordering::Relaxed);
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Writes a line every second, for ever. On a terminal it takes the place of the one before.
    pub async fn show(&self) {
        let ends = if std::io::stderr().is_terminal() {
            "\x1b[K\r"
        } else {
            "\n"
        };
        let mut tick = interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.tick().await;
        let (mut before, mut bytes_before) = (Instant::now(), 0);
        loop {
            tick.tick().await;
            if self.partitions.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let (now, bytes) = (Instant::now(), self.bytes());
            let rate = (bytes - bytes_before) as f64 / 1e6 / (now - before).as_secs_f64();
            (before, bytes_before) = (now, bytes);
            let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
            let line = format!(
                "migrate: {} topics, {}/{} partitions level, {rate:.1} MB/s, lag {} records, {} to verify",
                of(&self.topics),
                of(&self.level),
                of(&self.partitions),
                self.lag.load(Ordering::Relaxed).max(0),
                self.unverified.load(Ordering::Relaxed).max(0),
            );
            // Nobody may be reading; the work goes on.
            let _ = write!(std::io::stderr(), "{line}{ends}");
        }
    }
}

/// What was done, as JSON.
#[derive(Serialize)]
pub struct Receipt {
    pub from: String,
    pub to: String,
    /// Whether the topics are ordinary topics of the target now.
    pub cut_over: bool,
    /// All partitions are equal over the ranges given, and all group offsets are.
    pub verified: bool,
    pub seconds: f64,
    pub copied_bytes: u64,
    pub partitions: Vec<PartReceipt>,
    pub groups: GroupsReceipt,
    /// Topics that were cut over by an earlier run.
    pub done_before: Vec<String>,
}

#[derive(Serialize)]
pub struct PartReceipt {
    pub topic: String,
    pub partition: i32,
    pub source: [i64; 2],
    pub target: [i64; 2],
    /// Offsets compared.
    pub verified: [i64; 2],
    /// Of the source, markers of transactions included.
    pub records: u64,
    pub bytes: u64,
    /// Of offsets and batches from their attributes on (xxh64).
    pub source_hash: String,
    pub target_hash: String,
    pub equal: bool,
    /// Records that compaction took from the source after they were copied; with any, every record that is
    /// left there was compared instead of whole batches.
    pub dropped_since: u64,
}

#[derive(Serialize)]
pub struct GroupsReceipt {
    pub copied: usize,
    pub offsets: usize,
    pub active_on_target: Vec<String>,
    pub failed: Vec<String>,
}

impl PartReceipt {
    pub fn of(part: &Part) -> Self {
        let verified = &part.verified;
        let hex = |hash: u64| format!("{hash:016x}");
        let is_all = verified.range.end >= part.target.end;
        let is_equal = verified.source == verified.target || part.is_compacted;
        Self {
            topic: part.topic.clone(),
            partition: part.index,
            source: [part.source.start, part.source.end],
            target: [part.target.start, part.target.end],
            verified: [verified.range.start, verified.range.end],
            records: verified.source.records,
            bytes: verified.source.bytes,
            source_hash: hex(verified.source.hash()),
            target_hash: hex(verified.target.hash()),
            equal: is_all && is_equal,
            dropped_since: verified.dropped,
        }
    }
}

impl GroupsReceipt {
    pub fn of(groups: &Groups) -> Self {
        let failed = groups
            .failed
            .iter()
            .map(|(group, why)| format!("{group}: {why}"));
        Self {
            copied: groups
                .copied
                .values()
                .filter(|offsets| !offsets.is_empty())
                .count(),
            offsets: groups.offsets(),
            active_on_target: groups.active.iter().cloned().collect(),
            failed: failed.collect(),
        }
    }
}

impl Receipt {
    /// The same for people.
    pub fn table(&self) -> String {
        let head = ["partition", "source", "target", "records", "hash", ""].map(str::to_owned);
        let range = |[start, end]: [i64; 2]| format!("{start}..{end}");
        let rows = self.partitions.iter().map(|part| {
            let equal = match (part.equal, part.dropped_since) {
                (true, 0) => "equal".to_owned(),
                (true, dropped) => format!("equal but {dropped} that the source compacted since"),
                (false, _) => "not verified".to_owned(),
            };
            [
                format!("{}-{}", part.topic, part.partition),
                range(part.source),
                range(part.target),
                part.records.to_string(),
                part.target_hash.clone(),
                equal,
            ]
        });
        let rows: Vec<_> = [head].into_iter().chain(rows).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths: Vec<_> = (0..6).map(width).collect();
        let mut text = String::new();
        for row in &rows {
            let cells = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"));
            text += cells.collect::<Vec<_>>().join("  ").trim_end();
            text.push('\n');
        }
        let groups = &self.groups;
        text += &format!(
            "groups: {} with {} offsets\n",
            groups.copied, groups.offsets
        );
        for group in &groups.active_on_target {
            text += &format!("group {group} has members on the target and was left alone\n");
        }
        for group in &groups.failed {
            text += &format!("group {group}\n");
        }
        for topic in &self.done_before {
            text += &format!("topic {topic} was cut over before\n");
        }
        let state = match (self.cut_over, self.verified) {
            (true, _) => "cut over: producers go on at the target",
            (false, true) => "copied and equal; --cut-over makes the topics the target's own",
            (false, false) => "stopped; the same command goes on from here",
        };
        text + state + "\n"
    }
}
