//! What is known of one topic's way to the lake: shared by its task, by requests, and by retention.
//!
//! Invariant: while tiering knows a mark, the floor of every partition is the lower of its lake end
//! and of what leases hold. Both change under one lock, so a lease is never granted on a cut that
//! retention was just told to forget.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tidelog_storage::{Marks, Partition, Standing as LogStanding};
use tidelog_tiering::union::{self, PartitionPlan};
use tidelog_tiering::{LogBounds, TierMark};
use tokio::sync::Notify;
use uuid::Uuid;

use super::arrivals::Arrivals;
use super::leases::{Cut, Leases};
use crate::log::Log;

/// Whether rows move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The table was not looked at yet.
    Starting,
    Active,
    /// Rows do not move, or not all of them, until the reason goes away; tried again now and then.
    Stopped(String),
}

impl Standing {
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Stopped(reason) => Some(reason),
            Self::Starting | Self::Active => None,
        }
    }
}

/// Why there is no cut to read from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoCut {
    #[error("the topic is not kept in the lake: see tidelog.lake.enable and tidelog.table.mode")]
    NotTiered,
    #[error("the lake table was not looked at yet; try again")]
    NotReady,
    #[error("tiering has stopped: {0}")]
    Stopped(String),
    /// It will be counted and passed over by the next commit.
    #[error("{0}; try again")]
    Gap(String),
    #[error("the lease has ended: begin again with a new cut")]
    LeaseEnded,
    #[error("too many leases on this topic: renew or give up those there are")]
    TooManyLeases,
}

/// What a reader may do with a topic's lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseAsk {
    None,
    New { id: Uuid, lease_ms: i64 },
    Renew { id: Uuid, lease_ms: i64 },
    GiveUp { id: Uuid },
}

/// One partition, as the status shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionStatus {
    pub partition: i32,
    pub lake_end: i64,
    pub stable_end: i64,
    pub lag_ms: i64,
    pub pending_bytes: u64,
}

/// One topic on its way to the lake.
pub struct TopicLake {
    pub id: Uuid,
    log: Arc<Log>,
    state: Mutex<State>,
    asked: AtomicBool,
    retry_asked: AtomicBool,
    pub(super) nudge: Notify,
}

struct State {
    standing: Standing,
    mark: Option<TierMark>,
    arrivals: BTreeMap<i32, Arrivals>,
    leases: Leases,
}

impl TopicLake {
    pub fn new(id: Uuid, log: Arc<Log>) -> Self {
        let state = State {
            standing: Standing::Starting,
            mark: None,
            arrivals: BTreeMap::new(),
            leases: Leases::default(),
        };
        Self {
            id,
            log,
            state: Mutex::new(state),
            asked: AtomicBool::new(false),
            retry_asked: AtomicBool::new(false),
            nudge: Notify::new(),
        }
    }

    /// The partitions there are, with their indexes.
    fn partitions(&self, count: i32) -> impl Iterator<Item = (i32, Arc<Partition>)> {
        (0..count).filter_map(|index| Some((index, self.log.partition(self.id, index)?)))
    }

    /// Bounds of the partitions that can be read.
    pub fn bounds(&self, count: i32) -> BTreeMap<i32, LogBounds> {
        self.partitions(count)
            .filter(|(_, partition)| partition.standing() == LogStanding::Open)
            .map(|(index, partition)| (index, bounds_of(partition.marks())))
            .collect()
    }

    /// Whether the lake has everything below these stable ends.
    pub fn has(&self, wanted: &BTreeMap<i32, LogBounds>) -> bool {
        let state = self.state.lock();
        let end = |partition| state.mark.as_ref()?.ends.get(partition).copied();
        wanted.iter().all(|(partition, bounds)| {
            end(partition).unwrap_or(bounds.log_start) >= bounds.stable_end
        })
    }

    pub fn standing(&self) -> Standing {
        self.state.lock().standing.clone()
    }

    pub fn mark(&self) -> Option<TierMark> {
        self.state.lock().mark.clone()
    }

    /// Snapshots that somebody may come back to.
    pub(super) fn pinned(&self) -> BTreeSet<i64> {
        let state = self.state.lock();
        let of_mark = state.mark.as_ref().and_then(|mark| mark.snapshot_id);
        state.leases.snapshots().chain(of_mark).collect()
    }

    pub(super) fn set_standing(&self, standing: Standing) {
        self.state.lock().standing = standing;
    }

    /// The table was read: this is how far it is.
    pub(super) fn set_mark(&self, mark: TierMark) {
        let mut state = self.state.lock();
        state.mark = Some(mark);
        self.set_floors(&state);
    }

    /// Asks for a commit at once.
    pub fn tier_now(&self) {
        self.asked.store(true, Ordering::Release);
        self.nudge.notify_one();
    }

    /// Whether a commit was asked for since the last question.
    pub(super) fn take_asked(&self) -> bool {
        self.asked.swap(false, Ordering::AcqRel)
    }

    /// Asks that dead letters be tried again, once what waits has moved.
    pub fn retry_dead_letters(&self) {
        self.retry_asked.store(true, Ordering::Release);
        self.nudge.notify_one();
    }

    /// Whether another try of dead letters was asked for.
    pub(super) fn is_retry_asked(&self) -> bool {
        self.retry_asked.load(Ordering::Acquire)
    }

    /// The same since the last question.
    pub(super) fn take_retry_asked(&self) -> bool {
        self.retry_asked.swap(false, Ordering::AcqRel)
    }

    /// Looks at the partitions; gives the age of the oldest row and the bytes that wait.
    pub(super) fn look(&self, count: i32, now_ms: i64) -> Waiting {
        let mut state = self.state.lock();
        let mut waiting = Waiting::default();
        for (index, partition) in self.partitions(count) {
            let marks = partition.marks();
            let lake_end = lake_end(state.mark.as_ref(), index, marks);
            let arrivals = state.arrivals.entry(index).or_default();
            arrivals.look(marks.stable_end, lake_end, now_ms);
            waiting.age_ms = waiting.age_ms.max(arrivals.age_ms(lake_end, now_ms));
            if lake_end < marks.stable_end {
                waiting.rows = true;
                waiting.bytes += partition.bytes_from(lake_end);
            }
        }
        waiting
    }

    /// Each partition as it is now, in order.
    pub fn status(&self, count: i32, now_ms: i64) -> Vec<PartitionStatus> {
        let state = self.state.lock();
        self.partitions(count)
            .map(|(partition, log)| {
                let marks = log.marks();
                let lake_end = lake_end(state.mark.as_ref(), partition, marks);
                let behind = lake_end < marks.stable_end;
                let arrivals = state.arrivals.get(&partition).filter(|_| behind);
                PartitionStatus {
                    partition,
                    lake_end,
                    stable_end: marks.stable_end,
                    lag_ms: arrivals.map_or(0, |arrivals| arrivals.age_ms(lake_end, now_ms)),
                    pending_bytes: if behind { log.bytes_from(lake_end) } else { 0 },
                }
            })
            .collect()
    }

    /// A cut to read from, held as long as `ask` says.
    ///
    /// # Errors
    /// See [`NoCut`].
    pub fn cut(&self, count: i32, ask: LeaseAsk, now_ms: i64) -> Result<Arc<Cut>, NoCut> {
        let mut state = self.state.lock();
        let cut = match ask {
            LeaseAsk::None => Arc::new(self.new_cut(&state, count)?),
            LeaseAsk::New { id, lease_ms } => {
                state.leases.expire(now_ms);
                let cut = Arc::new(self.new_cut(&state, count)?);
                let until_ms = now_ms.saturating_add(lease_ms);
                if !state.leases.grant(id, Arc::clone(&cut), until_ms) {
                    return Err(NoCut::TooManyLeases);
                }
                cut
            }
            LeaseAsk::Renew { id, lease_ms } => {
                let until_ms = now_ms.saturating_add(lease_ms);
                let renewed = state.leases.renew(id, now_ms, until_ms);
                renewed.ok_or(NoCut::LeaseEnded)?
            }
            LeaseAsk::GiveUp { id } => {
                let ended = state.leases.end(id, now_ms);
                ended.ok_or(NoCut::LeaseEnded)?
            }
        };
        self.set_floors(&state);
        Ok(cut)
    }

    /// Lets go of what ended leases held.
    pub(super) fn expire_leases(&self, now_ms: i64) {
        let mut state = self.state.lock();
        state.leases.expire(now_ms);
        self.set_floors(&state);
    }

    fn new_cut(&self, state: &State, count: i32) -> Result<Cut, NoCut> {
        let mark = match (&state.mark, &state.standing) {
            (Some(mark), _) => mark,
            (None, Standing::Stopped(reason)) => return Err(NoCut::Stopped(reason.clone())),
            (None, _) => return Err(NoCut::NotReady),
        };
        let log = self.partitions(count);
        let log = log
            .map(|(index, partition)| (index, bounds_of(partition.marks())))
            .collect();
        let plan = union::plan(mark, &log).map_err(|gap| NoCut::Gap(gap.to_string()))?;
        let end = |plan: &PartitionPlan| plan.log.start;
        Ok(Cut {
            snapshot_id: plan.snapshot_id,
            metadata_location: mark.metadata_location.clone(),
            lake_ends: plan
                .partitions
                .iter()
                .map(|(p, plan)| (*p, end(plan)))
                .collect(),
        })
    }

    fn set_floors(&self, state: &State) {
        let Some(mark) = &state.mark else { return };
        for (&index, &end) in &mark.ends {
            let held = state.leases.lowest(index);
            if let Some(partition) = self.log.partition(self.id, index) {
                partition.set_floor(held.map_or(end, |held| held.min(end)));
            }
        }
    }
}

/// What is not in the lake yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waiting {
    pub rows: bool,
    pub age_ms: i64,
    pub bytes: u64,
}

/// The first offset of a partition that is not in the lake.
fn lake_end(mark: Option<&TierMark>, partition: i32, marks: Marks) -> i64 {
    let end = mark.and_then(|mark| mark.ends.get(&partition).copied());
    end.unwrap_or(marks.log_start)
}

fn bounds_of(marks: Marks) -> LogBounds {
    LogBounds {
        log_start: marks.log_start,
        stable_end: marks.stable_end,
    }
}
