//! Cuts that readers asked to keep in place for a while. Pure.
//!
//! A lease holds the log from its cut on (within the topic's retention budget), and its snapshot from
//! being thinned. Leases live in memory: a restart ends them all, and
//! their holders start again with a new cut.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use uuid::Uuid;

/// The longest a lease lasts without being renewed, in milliseconds.
pub const LEASE_MS_MAX: i32 = 30 * 60 * 1000;

/// Leases of one topic at a time.
const LEASES_MAX: usize = 1024;

/// One moment of a table and the log behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// `None`: the log holds every row.
    pub snapshot_id: Option<i64>,
    pub metadata_location: String,
    /// Partition → first offset to read from the log; every partition of the topic.
    pub lake_ends: BTreeMap<i32, i64>,
}

#[derive(Debug)]
struct Lease {
    cut: Arc<Cut>,
    until_ms: i64,
}

/// The leases of one topic.
#[derive(Debug, Default)]
pub struct Leases {
    held: HashMap<Uuid, Lease>,
}

impl Leases {
    /// Grants a lease; false when too many are held.
    pub fn grant(&mut self, id: Uuid, cut: Arc<Cut>, until_ms: i64) -> bool {
        let fits = self.held.len() < LEASES_MAX;
        if fits {
            self.held.insert(id, Lease { cut, until_ms });
        }
        fits
    }

    /// The cut of a lease, which from now on lasts until `until_ms`; `None` if it has ended.
    pub fn renew(&mut self, id: Uuid, now_ms: i64, until_ms: i64) -> Option<Arc<Cut>> {
        self.expire(now_ms);
        let lease = self.held.get_mut(&id)?;
        lease.until_ms = until_ms;
        Some(Arc::clone(&lease.cut))
    }

    /// Gives a lease up, and its cut; `None` if it has ended.
    pub fn end(&mut self, id: Uuid, now_ms: i64) -> Option<Arc<Cut>> {
        self.expire(now_ms);
        self.held.remove(&id).map(|lease| lease.cut)
    }

    pub fn expire(&mut self, now_ms: i64) {
        self.held.retain(|_, lease| lease.until_ms > now_ms);
    }

    /// The snapshots that leases read.
    pub fn snapshots(&self) -> impl Iterator<Item = i64> {
        self.held.values().filter_map(|lease| lease.cut.snapshot_id)
    }

    /// The lowest offset of `partition` that a lease holds.
    pub fn lowest(&self, partition: i32) -> Option<i64> {
        let ends = |lease: &Lease| lease.cut.lake_ends.get(&partition).copied();
        self.held.values().filter_map(ends).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(end: i64) -> Arc<Cut> {
        Arc::new(Cut {
            snapshot_id: Some(end),
            metadata_location: "m".to_owned(),
            lake_ends: BTreeMap::from([(0, end)]),
        })
    }

    #[test]
    fn a_lease_holds_until_it_ends() {
        let (mut leases, [a, b]) = (Leases::default(), [1, 2].map(Uuid::from_u128));
        assert!(leases.grant(a, cut(10), 1_000) && leases.grant(b, cut(20), 2_000));
        assert_eq!((leases.lowest(0), leases.lowest(1)), (Some(10), None));
        assert_eq!(leases.renew(a, 999, 1_500), Some(cut(10)));
        leases.expire(1_500);
        assert_eq!(leases.lowest(0), Some(20));
        assert_eq!(leases.renew(a, 1_500, 9_000), None);
        assert_eq!(leases.end(b, 1_600), Some(cut(20)));
        assert_eq!(leases.end(b, 1_600), None);
        assert_eq!(leases.lowest(0), None);
    }

    #[test]
    fn leases_are_bounded() {
        let mut leases = Leases::default();
        let granted = (0..2_000)
            .filter(|n| leases.grant(Uuid::from_u128(*n), cut(0), 1))
            .count();
        assert_eq!(granted, LEASES_MAX);
    }
}
