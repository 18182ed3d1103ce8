//! Which snapshots may go. Pure.
//!
//! All of the youngest stay, then the newest of every hour, then the newest of every day, hours
//! and days being those of UTC: a snapshot that was the newest of its hour stays it.

use std::collections::{BTreeMap, BTreeSet};

use super::policy::{DAY_MS, HOUR_MS, Thinning};

/// A snapshot, as far as thinning cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub snapshot_id: i64,
    pub timestamp_ms: i64,
}

/// The hour or day one snapshot of which stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    Hour(i64),
    Day(i64),
}

/// The snapshots that need not stay at `now_ms`, none of them `kept`.
pub fn removable(
    snapshots: &[Moment],
    kept: &BTreeSet<i64>,
    policy: Thinning,
    now_ms: i64,
) -> Vec<i64> {
    let mut newest: BTreeMap<Slot, Moment> = BTreeMap::new();
    let mut removable = Vec::new();
    for &moment in snapshots {
        let age_ms = now_ms.saturating_sub(moment.timestamp_ms);
        let slot = if age_ms < policy.keep_all_ms {
            continue;
        } else if age_ms < policy.hourly_ms {
            Slot::Hour(moment.timestamp_ms.div_euclid(HOUR_MS))
        } else if age_ms < policy.daily_ms {
            Slot::Day(moment.timestamp_ms.div_euclid(DAY_MS))
        } else {
            removable.push(moment.snapshot_id);
            continue;
        };
        let best = newest.entry(slot).or_insert(moment);
        if best.snapshot_id == moment.snapshot_id {
            continue;
        }
        let older = if best.timestamp_ms <= moment.timestamp_ms {
            std::mem::replace(best, moment)
        } else {
            moment
        };
        removable.push(older.snapshot_id);
    }
    removable.retain(|id| !kept.contains(id));
    removable
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maintain::Policy;

    const SECOND_MS: i64 = 1_000;

    #[test]
    fn all_then_hours_then_days() {
        let now_ms = 100 * DAY_MS + 30 * 60 * SECOND_MS;
        let snapshots: Vec<_> = (0..10 * DAY_MS / (60 * SECOND_MS))
            .map(|minute| Moment {
                snapshot_id: minute,
                timestamp_ms: now_ms - minute * 60 * SECOND_MS,
            })
            .collect();
        let policy = Policy::default().thinning;
        let old = 9 * 24 * 60;
        let gone = removable(&snapshots, &BTreeSet::from([old]), policy, now_ms);
        let gone: BTreeSet<_> = gone.into_iter().collect();
        let left: Vec<i64> = (0..snapshots.len() as i64)
            .filter(|id| !gone.contains(id))
            .collect();
        // 15 minutes, the rest of 24 hours, seven days, and the one that is kept.
        assert_eq!(left[..15], (0..15).collect::<Vec<_>>());
        assert_eq!(left.last(), Some(&old));
        assert!(
            (15 + 24 + 6..=15 + 25 + 8).contains(&left.len()),
            "{left:?}"
        );
        // What is left stays left.
        let rest: Vec<_> = snapshots
            .iter()
            .filter(|moment| left.contains(&moment.snapshot_id))
            .copied()
            .collect();
        assert!(removable(&rest, &BTreeSet::from([old]), policy, now_ms).is_empty());
    }
}
