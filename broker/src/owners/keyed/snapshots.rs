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
pub struct Snapshots {
    bytes_max: usize,
    /// Few, and mostly asked for their newest.
    kept: Mutex<Vec<Kept>>,
}

struct Kept {
    partition: PartitionId,
    reflects: Offset,
    bytes: usize,
    used: Instant,
    snapshot: Arc<Snapshot>,
}

impl Snapshots {
    /// None yet; they may hold so many bytes of memory together.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            kept: Mutex::default(),
        }
    }

    /// The snapshot of a partition at an offset.
    pub fn find(
        &self,
        partition: PartitionId,
        reflects: Offset,
        now: Instant,
    ) -> Option<Arc<Snapshot>> {
        let mut kept = self.kept.lock();
        let mut all = kept.iter_mut();
        let found = all.find(|one| one.partition == partition && one.reflects == reflects)?;
        found.used = now;
        Some(Arc::clone(&found.snapshot))
    }

    /// Keeps a snapshot for whoever comes again.
    pub fn keep(&self, snapshot: &Arc<Snapshot>, now: Instant) {
        let (partition, reflects) = (snapshot.partition(), snapshot.reflects());
        if self.find(partition, reflects, now).is_some() {
            return;
        }
        let one = Kept {
            partition,
            reflects,
            bytes: snapshot.view.held_bytes(),
            used: now,
            snapshot: Arc::clone(snapshot),
        };
        let given_up = give_up(&mut self.kept.lock(), one, self.bytes_max);
        // Not under the lock: engines clean up when snapshots go.
        drop(given_up);
    }

    /// Gives up those that nobody uses any more.
    pub fn expire(&self, now: Instant) {
        self.retain(|one| now.saturating_duration_since(one.used) < IDLE_MAX);
    }

    /// Gives up those of partitions.
    pub fn forget(&self, partitions: &[PartitionId]) {
        self.retain(|one| !partitions.contains(&one.partition));
    }

    /// Gives up one that is of no use.
    pub fn remove(&self, snapshot: &Arc<Snapshot>) {
        self.retain(|one| !Arc::ptr_eq(&one.snapshot, snapshot));
    }

    fn retain(&self, is_kept: impl Fn(&Kept) -> bool) {
        let given_up: Vec<_> = self
            .kept
            .lock()
            .extract_if(.., |one| !is_kept(one))
            .collect();
        drop(given_up);
    }
}

/// Makes room for one more; answers what had to go.
fn give_up(kept: &mut Vec<Kept>, one: Kept, bytes_max: usize) -> Vec<Kept> {
    let mut given_up = Vec::new();
    let mut bytes = kept.iter().map(|one| one.bytes).sum::<usize>() + one.bytes;
    while kept.len() >= SNAPSHOTS_MAX || bytes > bytes_max {
        let oldest = kept.iter().enumerate().min_by_key(|(_, one)| one.used);
        let Some((at, _)) = oldest else { break };
        let oldest = kept.swap_remove(at);
        bytes -= oldest.bytes;
        given_up.push(oldest);
    }
    kept.push(one);
    given_up
}
