//! What a step did, for metrics and logs.

use super::schedule::Step;

/// A count before a step and after it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    pub before: u64,
    pub after: u64,
}

impl Change {
    pub(super) fn new(before: usize, after: usize) -> Self {
        Self {
            before: before as u64,
            after: after as u64,
        }
    }
}

/// What one step did. Counts that a step has no part in are zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepReport {
    pub step: Step,
    /// There is more of the same to do at once.
    pub more: bool,
    /// Snapshots of the table.
    pub snapshots: Change,
    /// Manifests of the current snapshot.
    pub manifests: Change,
    /// Data files read and written by a compaction.
    pub data_files: Change,
    /// Delete files of a keyed table read and written by a compaction.
    pub delete_files: Change,
    /// The bytes of all these.
    pub data_bytes: Change,
    /// Files found that nothing names any more; deleted once their grace is over.
    pub doomed: u64,
    /// Files deleted.
    pub deleted: u64,
}

impl StepReport {
    pub(super) fn nothing(step: Step) -> Self {
        Self {
            step,
            more: false,
            snapshots: Change::default(),
            manifests: Change::default(),
            data_files: Change::default(),
            delete_files: Change::default(),
            data_bytes: Change::default(),
            doomed: 0,
            deleted: 0,
        }
    }

    /// Whether the step changed the table or its files.
    pub fn did_something(&self) -> bool {
        *self != Self::nothing(self.step)
    }
}
