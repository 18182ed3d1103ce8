//! What is done about checkpoint files at start. Where they lie is storage's to say.

use std::collections::HashSet;
use std::io;

use tidelog_storage::directory::CHECKPOINTS;
use tidelog_storage::disk::Disk;
use tidelog_storage::segment::FileId;

/// Makes the directory and removes what an interrupted writer left. Once at start, before the first
/// checkpoint is written.
pub fn prepare(disk: &dyn Disk) -> io::Result<()> {
    CHECKPOINTS.prepare(disk)
}

/// Removes complete files that no manifest names: those whose writer stopped before the manifest
/// knew, or whose removal was cut short. Once at start; `named` are the ids in all manifests.
pub fn sweep(disk: &dyn Disk, named: &HashSet<FileId>) -> io::Result<()> {
    let complete = CHECKPOINTS.list(disk)?;
    let mut orphans = complete.into_iter().filter(|file| !named.contains(file));
    orphans.try_for_each(|file| CHECKPOINTS.remove(disk, file))
}
