//! Names of segment files, and their directory.
//!
//! One flat directory: `segments/<file id, 32 hex digits>.arrow`. A file being written ends in
//! `.tmp` instead. Flat, because making a name durable then costs one directory sync.

use std::fmt;
use std::io;

use minicbor::{Decode, Encode};

use crate::disk::Disk;

/// Where segment files live.
pub const DIRECTORY: &str = "segments";

const FINAL_SUFFIX: &str = ".arrow";
const TEMPORARY_SUFFIX: &str = ".tmp";

/// Name of one segment file: 128 random bits given by whoever writes it, never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct FileId(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 16]);

impl FileId {
    /// Path of the complete file.
    pub fn path(self) -> String {
        format!("{DIRECTORY}/{self}{FINAL_SUFFIX}")
    }

    /// Path while the file is being written.
    pub(super) fn temporary_path(self) -> String {
        format!("{DIRECTORY}/{self}{TEMPORARY_SUFFIX}")
    }

    /// The id in a complete file's name; `None` for any other name.
    fn from_name(name: &str) -> Option<Self> {
        let hex = name.strip_suffix(FINAL_SUFFIX)?;
        let id = Self(u128::from_str_radix(hex, 16).ok()?.to_be_bytes());
        // One spelling only: no capitals, no sign, no missing zeros.
        (id.to_string() == hex).then_some(id)
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileId({self})")
    }
}

/// Makes the directory and removes what an interrupted writer left. Called once at start, before
/// the first [`SegmentWriter`](super::SegmentWriter).
pub fn prepare(disk: &dyn Disk) -> io::Result<()> {
    disk.create_dir(DIRECTORY)?;
    for name in disk
        .list(DIRECTORY)?
        .iter()
        .filter(|name| name.ends_with(TEMPORARY_SUFFIX))
    {
        disk.remove(&format!("{DIRECTORY}/{name}"))?;
    }
    Ok(())
}

/// Ids of all complete files, sorted. Only a cleaner may look here: what is in use is what a
/// manifest names, never what a listing shows.
pub fn list(disk: &dyn Disk) -> io::Result<Vec<FileId>> {
    Ok(disk
        .list(DIRECTORY)?
        .iter()
        .filter_map(|name| FileId::from_name(name))
        .collect())
}

/// Removes a complete file; fine if it is gone. Only for files that no manifest names any more.
pub fn remove(disk: &dyn Disk, file: FileId) -> io::Result<()> {
    disk.remove(&file.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        let id = FileId([0xab; 16]);
        let path = id.path();
        assert_eq!(path, "segments/abababababababababababababababab.arrow");
        assert_eq!(FileId::from_name(&path["segments/".len()..]), Some(id));
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
            assert_eq!(FileId::from_name(name), None, "{name}");
        }
        assert_eq!(FileId::from_name(&signed), None);
    }
}
