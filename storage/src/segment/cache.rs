//! Open files and row indexes shared by all segment readers, each bounded.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::index::RowIndex;
use super::lru::Lru;
use super::{BlockMeta, FileId};
use crate::disk::{Disk, DiskFile};

/// One per broker. Readers load what is missing outside its locks, so that a slow disk holds up
/// only those who wait for that file; two may load the same thing at once, which is harmless.
pub struct SegmentCache {
    disk: Arc<dyn Disk>,
    files: Mutex<Lru<FileId, Arc<dyn DiskFile>>>,
    /// By file and position of the index in it.
    indexes: Mutex<Lru<(FileId, u64), Arc<RowIndex>>>,
}

impl SegmentCache {
    /// Keeps at most `files_max` files open and `index_bytes_max` bytes of row indexes.
    pub fn new(disk: Arc<dyn Disk>, files_max: usize, index_bytes_max: usize) -> Self {
        let files = Mutex::new(Lru::new(files_max));
        Self {
            disk,
            files,
            indexes: Mutex::new(Lru::new(index_bytes_max)),
        }
    }

    /// Drops what is kept of a file that is to be removed. Readers that hold it may go on.
    pub fn forget(&self, file: FileId) {
        self.files.lock().remove(&file);
        self.indexes
            .lock()
            .remove_where(|(owner, _)| *owner == file);
    }

    pub(crate) fn file(&self, id: FileId) -> io::Result<Arc<dyn DiskFile>> {
        if let Some(file) = self.files.lock().get(&id) {
            return Ok(file);
        }
        let file = self.disk.open(&id.path())?;
        self.files.lock().put(id, Arc::clone(&file), 1);
        Ok(file)
    }

    pub(super) fn index(&self, file: FileId, block: &BlockMeta) -> Option<Arc<RowIndex>> {
        self.indexes.lock().get(&(file, block.index_pos))
    }

    pub(super) fn keep_index(&self, file: FileId, block: &BlockMeta, index: &Arc<RowIndex>) {
        self.indexes
            .lock()
            .put((file, block.index_pos), Arc::clone(index), index.cost());
    }
}
