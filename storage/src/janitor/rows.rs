//! Rows files: written and synced by whoever builds them, named by the manifest here.
//!
//! A rows file proves that its offsets were given, so the log must hold them after a power cut too:
//! where appends do not wait for a sync, the WAL is synced before the manifest names the file.

use std::io;
use std::sync::Arc;

use super::{ChoreError, Janitor};
use crate::manifest::ManifestEdit;
use crate::partition::{Partition, Standing};
use crate::rows::{RowsMeta, RowsReader};
use crate::store::FlushMode;

/// Why a rows file was not taken. What it holds can be built again.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error("the topic was deleted")]
    Deleted,
    #[error("the broker is shutting down")]
    Closing,
    #[error("too many rows files wait to be taken")]
    Busy,
    /// Appending must end: what is on the disk is unknown.
    #[error("sync of the WAL: {0}")]
    Wal(io::Error),
    #[error(transparent)]
    Chore(#[from] ChoreError),
}

impl Janitor {
    /// Makes a finished rows file part of its partition; it begins where the one before ends.
    /// Returns once the manifest that names it is durable and readers see it.
    ///
    /// # Errors
    /// [`InstallError`]; the file is then removed, at the latest by the next start.
    pub fn install_rows(
        &mut self,
        partition: &Arc<Partition>,
        meta: RowsMeta,
    ) -> Result<(), InstallError> {
        // A deletion that comes after this look is forgotten after it, too, by this same thread.
        if partition.standing() == Standing::Deleted {
            let grace = self.store.options.removal_grace_ms;
            self.doomed.push((meta.file, self.now + grace));
            return Err(InstallError::Deleted);
        }
        if self.store.options.flush_mode == FlushMode::Os {
            self.syncer.sync().map_err(InstallError::Wal)?;
        }
        let meta = Arc::new(meta);
        let edit = ManifestEdit {
            add_rows: vec![Arc::clone(&meta)],
            ..ManifestEdit::default()
        };
        let records = self.records([(&**partition, edit)].into_iter());
        self.commit(&records)?;
        *self.references.entry(meta.file).or_default() += 1;
        self.store.count_rows(meta.file_len);
        let cache = Arc::clone(&self.store.rows_cache);
        partition.add_rows(RowsReader::new(cache, partition.id, meta));
        Ok(())
    }
}
