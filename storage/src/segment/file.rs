//! Segment files by name.

use std::fmt;
use std::io;

use minicbor::{Decode, Encode};

use crate::directory::SEGMENTS;
use crate::disk::Disk;

/// Where segment files live.
pub const DIRECTORY: &str = SEGMENTS.name();

/// Name of one file: 128 random bits given by whoever writes it, never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct FileId(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 16]);

impl FileId {
    /// Path of the complete segment file.
    pub fn path(self) -> String {
        SEGMENTS.path(self)
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

/// See [`Directory::prepare`](crate::directory::Directory::prepare).
pub fn prepare(disk: &dyn Disk) -> io::Result<()> {
    SEGMENTS.prepare(disk)
}

/// See [`Directory::list`](crate::directory::Directory::list).
pub fn list(disk: &dyn Disk) -> io::Result<Vec<FileId>> {
    SEGMENTS.list(disk)
}

/// See [`Directory::remove`](crate::directory::Directory::remove).
pub fn remove(disk: &dyn Disk, file: FileId) -> io::Result<()> {
    SEGMENTS.remove(disk, file)
}
