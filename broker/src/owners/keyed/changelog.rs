//! How a table changed, for who builds the rows of its topic.
//!
//! ```text
//! index: below rows_to │ overlay ─ take ─▶ blocks in memory ─▶ rows file ─▶ rows_to ─▶ index
//! ```
//! - The index goes no further than rows files do, and a checkpoint no further than the index. So neither
//!   retention nor compaction reaches what rows are not made of yet, and after a restart the same rows
//!   come again.
//! - A file is asked for where the index waits for one: for room in memory, or for a checkpoint.
//! - Writers do not wait for rows that cannot be built: the index then goes on without them. Once they
//!   can be, it is made anew from a checkpoint that lies before them.

use std::sync::atomic::Ordering;

use tidelog_keyed::{ChangelogError, ChangelogPart, KeyedTable};
use tidelog_storage::ids::Offset;
use tracing::{info, warn};

use super::Table;
use super::table::NotReady;

impl Table {
    /// The changes from `from` on that are stable, about `max_bytes` of them. Blocks.
    ///
    /// # Errors
    /// As [`Table::catch_up`]; also while the index is ahead of the rows, and made anew therefore.
    pub fn changelog(&self, from: Offset, max_bytes: usize) -> Result<ChangelogPart, NotReady> {
        let table = self.opened()?;
        let begin = self.changelog_from.load(Ordering::Relaxed);
        let rows_to = self.partition().rows_to().max(begin);
        let kept = table.hold(rows_to);
        kept.map_err(|error| self.failed_to_keep(&error))?;
        self.fold_on(&table, self.partition().marks().stable_end)?;
        let part = table.changelog(from.max(begin), max_bytes);
        part.map_err(|error| self.failed_to_keep(&error))
    }

    /// Lets the index have what is in rows files.
    pub fn release_rows(&self) {
        if let Ok(table) = self.opened() {
            let rows_to = self.partition().rows_to();
            // Refused where it has more than that already.
            let _ = table.hold(rows_to);
        }
    }

    /// Lets the index go on without rows.
    pub fn give_up_rows(&self) {
        if let Ok(table) = self.opened() {
            let partition = self.partition().id;
            info!(%partition, "the key index goes on ahead of its changelog");
            table.release();
        }
    }

    /// Asks for a rows file.
    pub(super) fn want_rows(&self) {
        if !self.rows_wanted.swap(true, Ordering::Relaxed) {
            self.partition().announce();
        }
    }

    /// A rows file is about to be written: whoever asks from now on may mean the next one.
    pub fn begin_rows(&self) {
        self.rows_wanted.store(false, Ordering::Relaxed);
    }

    /// Whether a rows file was asked for.
    pub fn are_rows_wanted(&self) -> bool {
        self.rows_wanted.load(Ordering::Relaxed)
    }

    /// Keeps the changes of a table that has folded nothing yet: those that are in no rows file.
    pub(super) fn keep_changes(&self, table: &KeyedTable) -> Result<(), ChangelogError> {
        let (rows_to, applied) = (self.partition().rows_to(), table.applied());
        if applied > rows_to {
            let partition = self.partition().id;
            warn!(%partition, rows_to, applied, "changes between these offsets are in no changelog");
        }
        let begin = rows_to.max(applied);
        self.changelog_from.store(begin, Ordering::Relaxed);
        table.hold(begin)
    }

    fn failed_to_keep(&self, error: &ChangelogError) -> NotReady {
        match error {
            ChangelogError::Engine(error) => self.failed(error),
            ChangelogError::NotHeld { .. } => {
                self.close(error);
                NotReady::Loading
            }
        }
    }
}
