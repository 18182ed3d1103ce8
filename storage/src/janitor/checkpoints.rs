//! Key checkpoints: written and synced by whoever folds the table, named by the manifest here.
//!
//! Like a rows file, a checkpoint proves that its offsets were given: see the module `rows`.

use std::sync::Arc;

use super::{ChoreError, InstallError, Janitor};
use crate::checkpoint::{self, CheckpointMeta};
use crate::manifest::ManifestEdit;
use crate::partition::{Partition, Standing};
use crate::segment::FileId;
use crate::store::FlushMode;

impl Janitor {
    /// Puts `checkpoints`, at most two and oldest first, in the place of those the partition has.
    /// Returns once the manifest that names them is durable; from then on the log may go up to the
    /// older one. Files that are named no longer are removed.
    ///
    /// # Errors
    /// [`InstallError`]; new files are then removed, at the latest by the next start.
    pub fn install_checkpoints(
        &mut self,
        partition: &Arc<Partition>,
        checkpoints: Vec<CheckpointMeta>,
    ) -> Result<(), InstallError> {
        let named = partition.checkpoints();
        // A deletion that comes after this look is forgotten after it, too, by this same thread.
        if partition.standing() == Standing::Deleted {
            let new = checkpoints.iter().filter(|new| !named.contains(new));
            self.doom_checkpoints(new.map(|new| new.file));
            return Err(InstallError::Deleted);
        }
        if self.store.options.flush_mode == FlushMode::Os {
            self.syncer.sync().map_err(InstallError::Wal)?;
        }
        let edit = ManifestEdit {
            checkpoints: Some(checkpoints.clone()),
            ..ManifestEdit::default()
        };
        let records = self.records([(&**partition, edit)].into_iter());
        self.commit(&records)?;
        let gone = named.iter().filter(|old| !checkpoints.contains(old));
        self.doom_checkpoints(gone.map(|old| old.file));
        partition.log_state().checkpoints = checkpoints;
        Ok(())
    }

    /// Whoever opens a table now may still be reading them, so they stay for a grace.
    pub(super) fn doom_checkpoints(&mut self, files: impl Iterator<Item = FileId>) {
        let from = self.now + self.store.options.removal_grace_ms;
        self.doomed_checkpoints
            .extend(files.map(|file| (file, from)));
    }

    pub(super) fn remove_doomed_checkpoints(&mut self) -> Result<(), ChoreError> {
        let now = self.now;
        let doomed = self.doomed_checkpoints.drain(..);
        let (due, waiting): (Vec<_>, _) = doomed.partition(|(_, from)| *from <= now);
        self.doomed_checkpoints = waiting;
        for (file, _) in due {
            checkpoint::remove(&*self.store.disk, file)?;
        }
        Ok(())
    }
}
