//! Maintenance of a lake table: few snapshots, few manifests, few files, no garbage.
//!
//! ```text
//! next_step ─▶ run ─┬─ Compact  packing ▶ sorted ▶ data file ─┐   keyed tables: and delete files
//!                   ├─ Merge    packer ───────────────────────┴▶ replace ▶ commit
//!                   ├─ Thin     thinning ▶ commit ▶ reach ─┐
//!                   ├─ Clean    listing ▶ reach ───────────┴▶ waiting for their grace
//!                   └─ Delete                                   ▲ deletes from there
//! ```
//!
//! The caller drives it, one [`Step`] after the other, with the time as an argument; a step makes
//! one commit at most. Nothing is locked: a tier commit that comes in between makes the step's
//! commit try again, and the other way round.
//!
//! Promises, whatever fails or crashes at any point:
//! 1. The rows of the table stay what they are.
//! 2. No file is deleted that a snapshot of the table reaches, nor any before its grace is over.
//! 3. Snapshots that the caller pins, that branches or tags name, and that of the last tier commit
//!    stay; so tiering finds its mark.
//! 4. A suspended table is not touched.
//!
//! What waits for its grace is kept in memory only: after a restart the orphan search finds it.

mod clean;
mod compact;
mod compact_keyed;
mod error;
mod listing;
mod merge;
pub(crate) mod packer;
mod packing;
mod policy;
mod reach;
mod replace;
mod report;
mod schedule;
mod site;
pub(crate) mod sorted;
mod thin;
mod thinning;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use iceberg::TableIdent;

pub use error::MaintainError;
pub use listing::{FileListing, ListedFile};
pub use policy::{Cleaning, Compaction, Merging, Pace, Policy, Thinning};
pub use replace::MAINTENANCE_KEY;
pub(crate) use replace::{can_rewrite, is_ours};
pub use report::{Change, StepReport};
pub use schedule::Step;

use crate::env::Env;
use crate::mark::TopicIdentity;
use crate::port::CommitPort;
use reach::Locations;
use schedule::Schedule;
use site::Site;

/// Keeps one topic's table in shape.
pub struct Maintainer {
    port: Arc<dyn CommitPort>,
    /// Lists the table's folder; without one orphans stay.
    listing: Option<Arc<dyn FileListing>>,
    env: Arc<dyn Env>,
    table: TableIdent,
    identity: TopicIdentity,
    policy: Policy,
    schedule: Schedule,
    waiting: VecDeque<Doomed>,
    memory: compact::Memory,
}

/// A file that nothing names since a while.
#[derive(Debug)]
struct Doomed {
    location: String,
    due_ms: i64,
}

impl Maintainer {
    /// A maintainer of `table`, which must be the one `identity` tiers to. `now_ms` is
    /// milliseconds since 1970-01-01 UTC, here and below; of `env` only ids are used.
    pub fn new(
        port: Arc<dyn CommitPort>,
        listing: Option<Arc<dyn FileListing>>,
        env: Arc<dyn Env>,
        table: TableIdent,
        identity: TopicIdentity,
        policy: Policy,
        now_ms: i64,
    ) -> Self {
        let mut schedule = Schedule::new(policy.pace, now_ms);
        if listing.is_none() {
            schedule.set(Step::Clean, i64::MAX);
        }
        Self {
            port,
            listing,
            env,
            table,
            identity,
            policy,
            schedule,
            waiting: VecDeque::new(),
            memory: compact::Memory::default(),
        }
    }

    /// The step that is due, if one is. Asking changes nothing.
    pub fn next_step(&self, now_ms: i64) -> Option<Step> {
        let (step, due_ms) = self.schedule.next();
        (due_ms <= now_ms).then_some(step)
    }

    /// When the next step is due; in the past if one is.
    pub fn next_due_ms(&self) -> i64 {
        self.schedule.next().1
    }

    /// Files that wait for their grace.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Runs a step. Snapshots whose ids are `pinned` stay; a reader may pin a snapshot that is
    /// younger than [`Thinning::keep_all_ms`] while this runs.
    ///
    /// Decodes and encodes on the thread that drives the future. May be dropped at any point.
    ///
    /// # Errors
    /// See [`MaintainError`]; the step is due again after [`Pace::retry_ms`].
    pub async fn run(
        &mut self,
        step: Step,
        now_ms: i64,
        pinned: &BTreeSet<i64>,
    ) -> Result<StepReport, MaintainError> {
        let result = Box::pin(self.work(step, now_ms, pinned)).await;
        match &result {
            Ok(report) => self.schedule.ended(step, now_ms, report.more),
            Err(_) => self.schedule.failed(step, now_ms),
        }
        if let Some(first) = self.waiting.front() {
            self.schedule.set(Step::Delete, first.due_ms);
        }
        result
    }

    async fn work(
        &mut self,
        step: Step,
        now_ms: i64,
        pinned: &BTreeSet<i64>,
    ) -> Result<StepReport, MaintainError> {
        let site = Site {
            port: self.port.as_ref(),
            env: self.env.as_ref(),
            table: &self.table,
            identity: self.identity,
            attempts_max: self.policy.attempts_max,
            now_ms,
        };
        match step {
            Step::Compact => compact::run(&site, &self.policy, &mut self.memory).await,
            Step::Merge => merge::run(&site, self.policy.merging).await,
            Step::Thin => {
                let (report, doomed) = thin::run(&site, self.policy.thinning, pinned).await?;
                self.doom(doomed, now_ms);
                Ok(report)
            }
            Step::Clean => {
                let Some(listing) = &self.listing else {
                    return Ok(StepReport::nothing(step));
                };
                let (report, orphans) =
                    clean::run(&site, listing.as_ref(), self.policy.cleaning).await?;
                self.doom(orphans, now_ms);
                Ok(report)
            }
            Step::Delete => {
                let mut report = StepReport::nothing(step);
                let batch = due(&mut self.waiting, self.policy.cleaning.batch_max, now_ms);
                report.deleted = site.discard(&batch).await;
                Ok(report)
            }
        }
    }

    fn doom(&mut self, locations: Locations, now_ms: i64) {
        let cleaning = self.policy.cleaning;
        let room = cleaning.waiting_max.saturating_sub(self.waiting.len());
        let due_ms = now_ms.saturating_add(cleaning.grace_ms);
        let doomed = locations.into_values().take(room);
        self.waiting
            .extend(doomed.map(|location| Doomed { location, due_ms }));
    }
}

/// Takes the files that are due, up to `max`.
fn due(waiting: &mut VecDeque<Doomed>, max: usize, now_ms: i64) -> Vec<String> {
    let due = waiting.iter().take(max);
    let count = due.take_while(|doomed| doomed.due_ms <= now_ms).count();
    waiting
        .drain(..count)
        .map(|doomed| doomed.location)
        .collect()
}
