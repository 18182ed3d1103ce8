//! Names of checkpoint files, and their directory.
//!
//! Flat, as for segments: `checkpoints/<file id, 32 hex digits>.arrow`, and `.tmp` while one is
//! being written.

use std::collections::HashSet;
use std::io;

use tidelog_storage::checkpoint::{DIRECTORY, path};
use tidelog_storage::disk::Disk;
use tidelog_storage::segment::FileId;

const TEMPORARY_SUFFIX: &str = ".tmp";

/// Path while it is being written.
pub(super) fn temporary_path(file: FileId) -> String {
    format!("{DIRECTORY}/{file}{TEMPORARY_SUFFIX}")
}

/// Makes the directory and removes what an interrupted writer left. Once at start, before the first
/// checkpoint is written.
pub fn prepare(disk: &dyn Disk) -> io::Result<()> {
    disk.create_dir(DIRECTORY)?;
    let names = disk.list(DIRECTORY)?;
    names
        .iter()
        .filter(|name| name.ends_with(TEMPORARY_SUFFIX))
        .try_for_each(|name| disk.remove(&format!("{DIRECTORY}/{name}")))
}

/// Removes complete files that no manifest names: those whose writer stopped before the manifest
/// knew, or whose removal was cut short. Once at start; `named` are the ids in all manifests.
pub fn sweep(disk: &dyn Disk, named: &HashSet<FileId>) -> io::Result<()> {
    let keep: HashSet<_> = named.iter().map(|file| path(*file)).collect();
    let paths = disk.list(DIRECTORY)?;
    paths
        .iter()
        .map(|name| format!("{DIRECTORY}/{name}"))
        .filter(|path| path.ends_with(".arrow") && !keep.contains(path))
        .try_for_each(|path| disk.remove(&path))
}
