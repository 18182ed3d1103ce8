//! Tables at one offset, kept for scans that come again for more.
//!
//! - A snapshot is named by its partition and the offset it reflects, and by nothing else: what two
//!   scans see at one offset is the same, so they share it, and one that is gone may be made again
//!   as long as the table stands where it stood.
//! - An abandoned scan costs little and not for long: a snapshot holds on to what its engine has
//!   replaced since (disk) and to the overlay of its moment (memory). Snapshots are given up when
//!   nobody has used them for a while, and before that, the longest unused first, when they are too
//!   many or hold too much.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tidelog_keyed::scan::KeyRange;
use tidelog_keyed::{KeyedTable, Page, TableView};
use tidelog_storage::ids::{Offset, PartitionId};
use tokio::time::Instant;

use super::table::{NotReady, Table};

/// A scan that comes no more for this long is over.
const IDLE_MAX: Duration = Duration::from_secs(300);
/// Snapshots kept at once, of all tables. A scan reads its partitions one after the other, so this
/// is about how many scans may be under way.
const SNAPSHOTS_MAX: usize = 64;

/// A table as of one offset.
pub struct Snapshot {
    table: Arc<Table>,
    /// What it was taken of. Holding that would keep a table that failed from being opened again.
    open: Weak<KeyedTable>,
    view: TableView,
}

impl Snapshot {
    pub(super) fn new(table: Arc<Table>, open: Weak<KeyedTable>, view: TableView) -> Self {
        Self { table, open, view }
    }

    pub fn partition(&self) -> PartitionId {
        self.table.partition().id
    }

    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// The rows are the fold of all records below this offset and of none at or above it.
    pub fn reflects(&self) -> Offset {
        self.view.reflects
    }

    /// As [`TableView::page`]. Blocks.
    ///
    /// # Errors
    /// The engine failed: the table is opened anew, and this snapshot is of no more use.
    pub fn page(
        &self,
        range: &KeyRange,
        after: Option<&[u8]>,
        rows_max: usize,
        bytes_max: usize,
    ) -> Result<Page, NotReady> {
        let page = self.view.page(range, after, rows_max, bytes_max);
        page.map_err(|error| match self.table.is_still(&self.open) {
            true => self.table.failed(&error),
            // Its engine was removed; the one of today is another.
            false => NotReady::Loading,
        })
    }
}

/// The snapshots that are kept.
pub struct Snapshots(Mutex<Shelf<Arc<Snapshot>>>);

impl Snapshots {
    /// None yet; they may hold so many bytes of memory together.
    pub fn new(bytes_max: usize) -> Self {
        Self(Mutex::new(Shelf {
            bytes_max,
            kept: Vec::new(),
        }))
    }

    /// The snapshot of a partition at an offset.
    pub fn find(
        &self,
        partition: PartitionId,
        reflects: Offset,
        now: Instant,
    ) -> Option<Arc<Snapshot>> {
        let mut shelf = self.0.lock();
        shelf.find((partition, reflects), now).cloned()
    }

    /// Keeps a snapshot for whoever comes again.
    pub fn keep(&self, snapshot: &Arc<Snapshot>, now: Instant) {
        let one = Kept {
            of: (snapshot.partition(), snapshot.reflects()),
            bytes: snapshot.view.held_bytes(),
            used: now,
            snapshot: Arc::clone(snapshot),
        };
        // Not under the lock: engines clean up when snapshots go.
        let given_up = self.0.lock().keep(one);
        drop(given_up);
    }

    /// Gives up those that nobody uses any more.
    pub fn expire(&self, now: Instant) {
        let given_up = self.0.lock().expire(now);
        drop(given_up);
    }

    /// Gives up those of partitions.
    pub fn forget(&self, partitions: &[PartitionId]) {
        let is_of = |one: &Kept<_>| partitions.contains(&one.of.0);
        let given_up = self.0.lock().take(is_of);
        drop(given_up);
    }

    /// Gives up one that is of no use.
    pub fn remove(&self, snapshot: &Arc<Snapshot>) {
        let is_it = |one: &Kept<_>| Arc::ptr_eq(&one.snapshot, snapshot);
        let given_up = self.0.lock().take(is_it);
        drop(given_up);
    }
}

/// What is kept, and for how long. What it answers is given up.
struct Shelf<S> {
    bytes_max: usize,
    /// Few.
    kept: Vec<Kept<S>>,
}

struct Kept<S> {
    of: (PartitionId, Offset),
    bytes: usize,
    used: Instant,
    snapshot: S,
}

impl<S> Shelf<S> {
    fn find(&mut self, of: (PartitionId, Offset), now: Instant) -> Option<&S> {
        let found = self.kept.iter_mut().find(|one| one.of == of)?;
        found.used = now;
        Some(&found.snapshot)
    }

    /// Keeps one, unless there is another of the same, and makes room for it.
    fn keep(&mut self, one: Kept<S>) -> Vec<Kept<S>> {
        let mut given_up = Vec::new();
        if self.find(one.of, one.used).is_some() {
            return given_up;
        }
        let mut bytes = self.kept.iter().map(|one| one.bytes).sum::<usize>() + one.bytes;
        while self.kept.len() >= SNAPSHOTS_MAX || bytes > self.bytes_max {
            let oldest = self.kept.iter().enumerate().min_by_key(|(_, one)| one.used);
            let Some((at, _)) = oldest else { break };
            let oldest = self.kept.swap_remove(at);
            bytes -= oldest.bytes;
            given_up.push(oldest);
        }
        self.kept.push(one);
        given_up
    }

    fn expire(&mut self, now: Instant) -> Vec<Kept<S>> {
        self.take(|one| now.saturating_duration_since(one.used) >= IDLE_MAX)
    }

    fn take(&mut self, is_taken: impl Fn(&Kept<S>) -> bool) -> Vec<Kept<S>> {
        self.kept.extract_if(.., |one| is_taken(one)).collect()
    }
}

#[cfg(test)]
mod tests {
    use tidelog_storage::ids::TopicId;

    use super::*;

    fn of(reflects: Offset) -> (PartitionId, Offset) {
        let topic = TopicId([0; 16]);
        (PartitionId { topic, index: 0 }, reflects)
    }

    fn kept(reflects: Offset, bytes: usize, used: Instant) -> Kept<Offset> {
        Kept {
            of: of(reflects),
            bytes,
            used,
            snapshot: reflects,
        }
    }

    fn left(given_up: &[Kept<Offset>]) -> Vec<Offset> {
        given_up.iter().map(|one| one.snapshot).collect()
    }

    #[test]
    fn the_longest_unused_goes_when_there_are_too_many_or_they_hold_too_much() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut shelf = Shelf {
            bytes_max: 1_000,
            kept: Vec::new(),
        };
        for second in 0..SNAPSHOTS_MAX as u64 {
            let one = kept(second.cast_signed(), 10, at(second));
            assert!(shelf.keep(one).is_empty());
        }
        // Used again, and so is one that was kept before.
        assert_eq!(shelf.find(of(0), at(100)), Some(&0));
        assert!(shelf.keep(kept(1, 10, at(101))).is_empty());
        assert_eq!(left(&shelf.keep(kept(900, 10, at(102)))), [2]);
        assert_eq!(left(&shelf.keep(kept(901, 390, at(103)))), [3, 4, 5]);
        // One alone may hold as much as it takes.
        shelf.keep(kept(902, 5_000, at(104)));
        assert_eq!(shelf.kept.len(), 1);
        assert_eq!(shelf.find(of(0), at(105)), None);
    }

    #[test]
    fn nobody_uses_an_abandoned_one() {
        let start = Instant::now();
        let mut shelf = Shelf {
            bytes_max: 1_000,
            kept: Vec::new(),
        };
        shelf.keep(kept(1, 10, start));
        shelf.keep(kept(2, 10, start));
        shelf.find(of(2), start + IDLE_MAX / 2);
        assert_eq!(left(&shelf.expire(start + IDLE_MAX)), [1]);
        assert_eq!(left(&shelf.expire(start + 2 * IDLE_MAX)), [2]);
    }
}
