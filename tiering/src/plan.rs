//! Which offsets a pass moves. Pure: the mark and the log's bounds in, reads out.

use std::collections::BTreeMap;

use crate::mark::{OffsetRange, Suspension};

/// What one partition's log holds for the lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogBounds {
    /// First offset still in the log.
    pub log_start: i64,
    /// End of what may be tiered: synced, acknowledged, and before any open transaction.
    pub stable_end: i64,
}

/// The range to move from each partition that has any, in partition order.
///
/// A partition new to the lake begins where its log begins. One whose lake end is beyond its
/// stable end (the log was recovered short of what is in the lake) has nothing to move.
///
/// # Errors
/// [`Suspension::Gap`] when the log starts after the lake end: those offsets can never come.
pub fn ranges(
    ends: &BTreeMap<i32, i64>,
    log: &BTreeMap<i32, LogBounds>,
) -> Result<BTreeMap<i32, OffsetRange>, Suspension> {
    let mut ranges = BTreeMap::new();
    for (&partition, bounds) in log {
        let lake_end = ends.get(&partition).copied().unwrap_or(bounds.log_start);
        if lake_end < bounds.log_start {
            let log_start = bounds.log_start;
            return Err(Suspension::Gap {
                partition,
                lake_end,
                log_start,
            });
        }
        if lake_end < bounds.stable_end {
            ranges.insert(
                partition,
                OffsetRange {
                    start: lake_end,
                    end: bounds.stable_end,
                },
            );
        }
    }
    Ok(ranges)
}

/// The share of `bytes_max` each of `partitions` gets, so that a busy one cannot starve the rest.
pub fn share(bytes_max: usize, partitions: usize) -> usize {
    (bytes_max / partitions.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(log_start: i64, stable_end: i64) -> LogBounds {
        LogBounds {
            log_start,
            stable_end,
        }
    }

    #[test]
    fn a_pass_goes_from_the_lake_end_to_the_stable_end() {
        let ends = BTreeMap::from([(0, 10), (1, 20), (2, 30)]);
        let log = BTreeMap::from([
            (0, bounds(0, 15)),
            (1, bounds(20, 20)),
            (2, bounds(0, 25)),
            (3, bounds(7, 9)),
        ]);
        let expected = BTreeMap::from([
            (0, OffsetRange { start: 10, end: 15 }),
            (3, OffsetRange { start: 7, end: 9 }),
        ]);
        assert_eq!(ranges(&ends, &log).unwrap(), expected);
    }

    #[test]
    fn offsets_lost_from_the_log_suspend() {
        let ends = BTreeMap::from([(4, 10)]);
        let log = BTreeMap::from([(4, bounds(11, 12))]);
        let gap = Suspension::Gap {
            partition: 4,
            lake_end: 10,
            log_start: 11,
        };
        assert_eq!(ranges(&ends, &log), Err(gap));
    }
}
