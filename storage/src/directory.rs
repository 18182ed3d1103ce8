//! Flat directories of immutable files, each named by its id.
//!
//! `<directory>/<file id, 32 hex digits>.arrow`. A file being written ends in `.tmp` instead. Flat,
//! because making a name durable then costs one directory sync.

use std::io;

use crate::disk::Disk;
use crate::segment::FileId;

const FINAL_SUFFIX: &str = ".arrow";
const TEMPORARY_SUFFIX: &str = ".tmp";

/// One such directory, below the data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Directory(&'static str);

/// Batches and rows files.
pub const SEGMENTS: Directory = Directory("segments");
/// Checkpoints of key tables.
pub const CHECKPOINTS: Directory = Directory("checkpoints");

impl Directory {
    pub const fn name(self) -> &'static str {
        self.0
    }

    /// Path of a complete file.
    pub fn path(self, file: FileId) -> String {
        format!("{}/{file}{FINAL_SUFFIX}", self.0)
    }

    /// Path of a file while it is being written.
    pub(crate) fn temporary_path(self, file: FileId) -> String {
        format!("{}/{file}{TEMPORARY_SUFFIX}", self.0)
    }

    /// Makes the directory and removes what interrupted writers left. Once at start, before the
    /// first file is written.
    pub fn prepare(self, disk: &dyn Disk) -> io::Result<()> {
        disk.create_dir(self.0)?;
        let names = disk.list(self.0)?;
        let unfinished = names.iter().filter(|name| name.ends_with(TEMPORARY_SUFFIX));
        unfinished
            .map(|name| format!("{}/{name}", self.0))
            .try_for_each(|path| disk.remove(&path))
    }

    /// Ids of all complete files, sorted. Only a cleaner may look here: what is in use is what a
    /// manifest names, never what a listing shows.
    pub fn list(self, disk: &dyn Disk) -> io::Result<Vec<FileId>> {
        let names = disk.list(self.0)?;
        Ok(names.iter().filter_map(|name| id_in(name)).collect())
    }

    /// Removes a complete file; fine if it is gone. Only for files that no manifest names any more.
    pub fn remove(self, disk: &dyn Disk, file: FileId) -> io::Result<()> {
        disk.remove(&self.path(file))
    }
}

/// The id in a complete file's name; `None` for any other name.
fn id_in(name: &str) -> Option<FileId> {
    let hex = name.strip_suffix(FINAL_SUFFIX)?;
    let id = FileId(u128::from_str_radix(hex, 16).ok()?.to_be_bytes());
    // One spelling only: no capitals, no sign, no missing zeros.
    (id.to_string() == hex).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        let id = FileId([0xab; 16]);
        let path = SEGMENTS.path(id);
        assert_eq!(path, "segments/abababababababababababababababab.arrow");
        assert_eq!(id_in(&path["segments/".len()..]), Some(id));
    }

    #[test]
    fn foreign_names_are_no_ids() {
        let upper = format!("{}.arrow", "AB".repeat(16));
        let signed = format!("+{}.arrow", "a".repeat(31));
        for name in [
            "x.arrow",
            "",
            ".arrow",
            "abababababababababababababababab.tmp",
            &upper,
        ] {
            assert_eq!(id_in(name), None, "{name}");
        }
        assert_eq!(id_in(&signed), None);
    }
}
