//! `tidelog migrate`: topics and group offsets of any Kafka-compatible cluster, copied as they are.
//!
//! ```text
//! source ── Fetch ─▶ copy ── ImportRecords ─▶ target
//!    │                 └── where to go on: the target's own end
//!    ├── Fetch ─▶ verify ◀── Fetch ── target
//!    └── OffsetFetch ─▶ groups ── OffsetCommit ─▶ target
//! ```
//!
//! Promises:
//! - **Verbatim.** Batches keep offsets, gaps, timestamps, headers, codecs, producers and the outcome of
//!   their transactions; see [`verify`] for the proof.
//! - **Nothing to remember.** What was copied is what the target holds. Whoever is killed, the same command
//!   goes on, and proves everything anew.
//! - **One writer at a time.** A topic takes records from here, or from producers once it was cut over;
//!   producers that come early wait.
//! - **Following.** Topics, partitions and configs that come to the source meanwhile come over too.
//! - **Patient.** A cluster that goes away is waited for.

mod batches;
mod cluster;
mod configs;
mod copy;
mod groups;
mod part;
mod plan;
mod progress;
mod throttle;
mod verify;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use clap::Args;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::time::sleep;

use cluster::{Cluster, End, say};
use groups::Groups;
use part::Part;
use plan::Topic;
use progress::{GroupsReceipt, PartReceipt, Receipt, Tally};
use throttle::Throttle;

/// Between two looks at the source when there is nothing to copy.
const IDLE: Duration = Duration::from_millis(200);
/// Between two looks at group offsets, and at what there is at the source.
const FOLLOW_EVERY: Duration = Duration::from_secs(3);
/// Pieces of one partition verified before others are copied again.
const VERIFY_TURNS: usize = 4;

/// What to copy, and how.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The cluster to copy from, any that speaks Kafka's protocol; several addresses with commas
    #[arg(long, value_name = "HOST:PORT")]
    pub from: String,
    /// The Tidelog broker to copy to
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092")]
    pub to: String,
    /// Topics to copy, with * and ?; several with commas. Internal ones are left out
    #[arg(long, value_name = "GLOB", value_delimiter = ',', default_value = "*")]
    pub topics: Vec<String>,
    /// Go on copying what comes to the source, until stopped
    #[arg(long)]
    pub follow: bool,
    /// Go on until nothing comes to the source any more, then make the topics the target's own
    #[arg(long)]
    pub cut_over: bool,
    /// How long nothing may have come to the source before the cut-over, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3)]
    pub quiet: u64,
    /// Copy on where the source has dropped records that were not copied yet
    #[arg(long)]
    pub allow_gap: bool,
    /// Most bytes to read from the source per second
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: Option<u64>,
    /// How many partitions are copied at the same time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub streams: u16,
    /// Print the receipt as JSON
    #[arg(long)]
    pub json: bool,
}

/// Both clusters, and what goes between them.
pub struct Both {
    source: Cluster,
    target: Cluster,
    throttle: Throttle,
    tally: Tally,
}

/// A migration under way.
struct Migration<'a> {
    both: &'a Both,
    options: &'a Options,
    /// What is being copied, as the source had it when it was looked at last.
    topics: BTreeMap<String, Topic>,
    /// Their partitions, by topic and index.
    parts: Vec<Part>,
    groups: Groups,
    followed_at: Option<Instant>,
    done_before: Vec<String>,
    /// Since when nothing has come to the source.
    quiet_since: Instant,
}

/// Runs the migration and prints what became of it.
///
/// # Errors
/// In words for people. What was copied stays; the same command goes on.
pub async fn run(options: Options) -> Result<()> {
    let started = Instant::now();
    let both = Both {
        source: Cluster::new("source", &options.from),
        target: Cluster::new("target", &options.to),
        throttle: Throttle::new(options.rate),
        tally: Tally::default(),
    };
    let mut migration = Migration {
        both: &both,
        options: &options,
        topics: BTreeMap::new(),
        parts: Vec::new(),
        groups: Groups::default(),
        followed_at: None,
        done_before: Vec::new(),
        quiet_since: Instant::now(),
    };
    let ended = tokio::select! {
        ended = migration.run() => ended?,
        () = both.tally.show() => Ended::Stopped,
        () = stopped() => Ended::Stopped,
    };
    let receipt = migration.receipt(ended, started.elapsed());
    let text = match options.json {
        true => serde_json::to_string_pretty(&receipt)? + "\n",
        false => receipt.table(),
    };
    // A reader that went away is its own business.
    let _ = std::io::stdout().write_all(text.as_bytes());
    ensure!(
        receipt.groups.failed.is_empty(),
        "offsets of {} groups were not copied",
        receipt.groups.failed.len()
    );
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Copied,
    CutOver,
    Stopped,
}

impl Migration<'_> {
    async fn run(&mut self) -> Result<Ended> {
        self.both.target.refresh().await?;
        self.take_up().await?;
        if self.parts.is_empty() {
            ensure!(
                !self.done_before.is_empty(),
                "the source has no topics that match {}",
                self.options.topics.join(",")
            );
            say("all of these topics were cut over before");
            return Ok(Ended::CutOver);
        }
        loop {
            self.look().await?;
            let has_copied = self.copy().await?;
            self.both.tally.look(&self.parts);
            let has_verified = self.verify(VERIFY_TURNS).await?;
            let is_level = self.parts.iter().all(|part| part.lag() == 0);
            let follows = self.options.follow || self.options.cut_over;
            if !follows && is_level {
                self.settle(false).await?;
                return Ok(Ended::Copied);
            }
            if follows
                && self
                    .followed_at
                    .is_none_or(|at| at.elapsed() > FOLLOW_EVERY)
            {
                self.groups.copy(self.both, &self.parts, false).await?;
                self.take_up().await?;
                self.followed_at = Some(Instant::now());
            }
            if self.options.cut_over && self.is_quiet() && self.cut_over().await? {
                return Ok(Ended::CutOver);
            }
            if !has_copied && !has_verified {
                sleep(IDLE).await;
            }
        }
    }

    /// Takes up what the source has and did not have at the last look: topics, partitions, configs. Whether
    /// there is more to copy.
    async fn take_up(&mut self) -> Result<bool> {
        let before = self.parts.len();
        for topic in plan::topics(self.both, &self.options.topics).await? {
            // A topic that is being made has no partitions yet.
            if topic.partitions > 0 && !self.done_before.contains(&topic.name) {
                self.take_up_topic(topic).await?;
            }
        }
        let has_grown = self.parts.len() > before;
        if has_grown {
            self.parts
                .sort_by(|one, other| (&one.topic, one.index).cmp(&(&other.topic, other.index)));
            let topics = self.topics.len() as u64;
            self.both.tally.topics.store(topics, Ordering::Relaxed);
            self.quiet_since = Instant::now();
        }
        Ok(has_grown)
    }

    async fn take_up_topic(&mut self, topic: Topic) -> Result<()> {
        let name = &topic.name;
        let known = self.topics.get(name);
        let copied = known.map_or(0, |known| known.partitions);
        ensure!(
            topic.partitions >= copied,
            "topic {name}: {} partitions on the source, {copied} are being copied: it was made anew",
            topic.partitions
        );
        if let Some(known) = known {
            configs::bring(self.both, name, &known.configs, &topic.configs).await?;
        }
        if topic.partitions > copied {
            match plan::prepare(self.both, &topic).await? {
                Some(parts) => self
                    .parts
                    .extend(parts.into_iter().filter(|part| part.index >= copied)),
                None if copied == 0 => {
                    self.done_before.push(topic.name);
                    return Ok(());
                }
                None => bail!("topic {name}: its import was ended by somebody else"),
            }
        }
        // Once the source has dropped records it does not bring them back.
        for part in self.parts.iter_mut().filter(|part| part.topic == *name) {
            part.is_compacted |= topic.is_compacted;
        }
        self.topics.insert(name.clone(), topic);
        Ok(())
    }

    /// Lists the source, and refuses what it has dropped.
    async fn look(&mut self) -> Result<()> {
        let before: i64 = self.parts.iter().map(|part| part.source.end).sum();
        // Without --follow what there was at first is enough.
        let follows = self.options.follow || self.options.cut_over;
        let ends: Vec<_> = self.parts.iter().map(|part| part.source.end).collect();
        plan::list(&self.both.source, &mut self.parts, |part| &mut part.source).await?;
        if !follows {
            for (part, end) in self.parts.iter_mut().zip(ends) {
                let known = end.max(part.target.end).max(part.source.start);
                part.source.end = known.min(part.source.end);
            }
        }
        let after: i64 = self.parts.iter().map(|part| part.source.end).sum();
        if after != before {
            self.quiet_since = Instant::now();
        }
        for part in &self.parts {
            let is_gap = !part.is_empty() && part.source.start > part.target.end;
            if is_gap && !self.options.allow_gap {
                bail!(
                    "{part}: the source has dropped offsets {} to {}, which were not copied yet; \
                     --allow-gap goes on without them",
                    part.target.end,
                    part.source.start - 1
                );
            }
            if part.source.end < part.target.end {
                bail!(
                    "{part}: the source ends at {}, the target at {}: records were lost at the source, or \
                     the topic was made anew",
                    part.source.end,
                    part.target.end
                );
            }
        }
        self.both.tally.look(&self.parts);
        Ok(())
    }

    /// A turn for every partition that is behind; false if none is.
    async fn copy(&mut self) -> Result<bool> {
        let streams = usize::from(self.options.streams);
        let both = self.both;
        let behind = |part: &&mut Part| part.lag() > 0 || part.source.start > part.target.start;
        let behind: Vec<_> = self.parts.iter_mut().filter(behind).collect();
        let has_work = behind.iter().any(|part| part.lag() > 0);
        let turns = behind.into_iter().enumerate().map(|(at, part)| async move {
            match part.lag() {
                0 => copy::move_start(both, part).await,
                _ => copy::turn(both, part, at % streams).await,
            }
        });
        stream::iter(turns)
            .buffer_unordered(streams)
            .try_collect::<()>()
            .await?;
        Ok(has_work)
    }

    /// Turns of every partition that is not compared to its end; false if none is left.
    async fn verify(&mut self, turns: usize) -> Result<bool> {
        let streams = usize::from(self.options.streams);
        let both = self.both;
        let left = |part: &&mut Part| part.verified.range.end < part.target.end;
        let left = self.parts.iter_mut().filter(left).enumerate();
        let verified = left.map(|(at, part)| async move {
            let mut has_verified = false;
            for _ in 0..turns {
                if !verify::turn(both, part, at % streams).await? {
                    break;
                }
                has_verified = true;
            }
            Ok::<_, anyhow::Error>(has_verified)
        });
        let verified = stream::iter(verified).buffer_unordered(streams);
        let verified: Vec<bool> = verified.try_collect().await?;
        Ok(verified.contains(&true))
    }

    /// Brings group offsets, and compares all that is left to be compared.
    async fn settle(&mut self, settled: bool) -> Result<()> {
        self.groups.copy(self.both, &self.parts, settled).await?;
        while self.verify(usize::MAX).await? {}
        self.groups.verify(self.both).await
    }

    fn is_quiet(&self) -> bool {
        let is_level = self
            .parts
            .iter()
            .all(|part| part.source.end == part.target.end);
        is_level && self.quiet_since.elapsed() >= Duration::from_secs(self.options.quiet)
    }

    /// Makes the topics the target's own; false if something came to the source meanwhile.
    async fn cut_over(&mut self) -> Result<bool> {
        let keys: Vec<_> = self.parts.iter().map(Part::key).collect();
        let stable = self.both.source.ends(&keys, End::Stable).await?;
        let open = self
            .parts
            .iter()
            .find(|part| stable.get(&part.key()) != Some(&part.source.end));
        if let Some(part) = open {
            say(&format!(
                "{part}: a transaction is open at the source; waiting for its end"
            ));
            sleep(Duration::from_secs(1)).await;
            return Ok(false);
        }
        self.settle(true).await?;
        if self.take_up().await? {
            return Ok(false);
        }
        self.look().await?;
        let is_proven = |part: &Part| part.verified.range.end == part.source.end || part.is_empty();
        if !self.is_quiet() || !self.parts.iter().all(is_proven) {
            return Ok(false);
        }
        let topics: Vec<_> = self.topics.keys().map(String::as_str).collect();
        configs::set_import(self.both, &topics, false).await?;
        Ok(true)
    }

    fn receipt(&self, ended: Ended, elapsed: Duration) -> Receipt {
        let partitions: Vec<_> = self.parts.iter().map(PartReceipt::of).collect();
        Receipt {
            from: self.both.source.bootstrap(),
            to: self.both.target.bootstrap(),
            cut_over: ended == Ended::CutOver,
            verified: ended != Ended::Stopped && partitions.iter().all(|part| part.equal),
            seconds: elapsed.as_secs_f64(),
            copied_bytes: self.both.tally.bytes(),
            partitions,
            groups: GroupsReceipt::of(&self.groups),
            done_before: self.done_before.clone(),
        }
    }
}

/// SIGINT or SIGTERM.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    let signals = signals.into_iter().filter_map(Result::ok);
    let received: Vec<_> = signals
        .map(|mut signal| Box::pin(async move { signal.recv().await }))
        .collect();
    match received.is_empty() {
        true => std::future::pending().await,
        false => drop(futures::future::select_all(received).await),
    }
}
