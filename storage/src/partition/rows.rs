//! The rows files of a partition, as readers see them.

use std::sync::Arc;

use super::{LogState, Partition};
use crate::ids::Offset;
use crate::rows::{RowsMeta, RowsReader};

/// Most files one look hands out; who wants more looks again from where they end.
const FILES_MAX: usize = 16;

/// What rows files hold from an offset on, of one moment.
pub struct RowsView {
    /// End of what all rows files answer for.
    pub rows_to: Offset,
    /// In offset order, each beginning where the one before ends.
    pub files: Vec<RowsReader>,
}

/// The rows files of a partition.
#[derive(Default)]
pub(crate) struct RowsFiles {
    to: Offset,
    files: Vec<RowsReader>,
}

impl RowsFiles {
    pub(crate) fn new(rows_to: Offset, files: Vec<RowsReader>) -> Self {
        Self { to: rows_to, files }
    }

    pub(crate) fn to(&self) -> Offset {
        self.to
    }

    /// Those wholly below `offset`.
    pub(crate) fn below(&self, offset: Offset) -> impl Iterator<Item = &Arc<RowsMeta>> {
        let metas = self.files.iter().map(RowsReader::meta);
        metas.take_while(move |meta| meta.end_offset <= offset)
    }
}

impl Partition {
    /// The rows files from the one that answers for `offset` on, some of them.
    pub fn rows_from(&self, offset: Offset) -> RowsView {
        let log = self.log_state();
        let files = &log.rows.files;
        let first = files.partition_point(|file| file.meta().end_offset <= offset);
        RowsView {
            rows_to: log.rows.to,
            files: files[first..].iter().take(FILES_MAX).cloned().collect(),
        }
    }

    /// End of what rows files answer for; 0 before the first.
    pub fn rows_to(&self) -> Offset {
        self.log_state().rows.to
    }

    /// The oldest rows file.
    pub fn first_rows(&self) -> Option<Arc<RowsMeta>> {
        let log = self.log_state();
        log.rows.files.first().map(|file| Arc::clone(file.meta()))
    }

    /// What the manifest says of every rows file, in offset order.
    pub fn rows_files(&self) -> Vec<Arc<RowsMeta>> {
        let log = self.log_state();
        let metas = log.rows.files.iter().map(RowsReader::meta);
        metas.cloned().collect()
    }

    /// Wakes everybody who waits: rows were built, which storage does not see by itself.
    pub fn announce(&self) {
        self.watchers.wake();
    }

    pub(crate) fn add_rows(&self, file: RowsReader) {
        let mut log = self.log_state();
        log.rows.to = file.meta().end_offset;
        log.rows.files.push(file);
        drop(log);
        self.watchers.wake();
    }
}

impl LogState {
    /// Lets go of the rows files that a durable edit removed.
    pub(crate) fn remove_rows(&mut self, removed: &[crate::segment::FileId]) {
        let files = &mut self.rows.files;
        files.retain(|file| !removed.contains(&file.meta().file));
    }
}
