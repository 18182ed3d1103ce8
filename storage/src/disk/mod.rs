//! The seam to disk.
//!
//! Everything storage does to a disk goes through [`Disk`]: the local adapter (`local`) and the
//! in-memory one that keeps only what was synced (`sim`) are its two implementations, so a
//! power-cut test can stop at every step.
//!
//! Rules an adapter keeps, and callers rely on:
//! - Bytes of a file are durable once [`DiskFile::sync`] returned after they were written.
//! - A name is durable once [`Disk::sync_dir`] of its directory returned after it was made, linked
//!   or removed. Data first, name second: sync the file, then its directory.
//! - Paths are relative to the data directory and use `/`. Nothing outside it is touched.
//! - A failed `sync` is never retried on the same file: what it covered is unknown from then on.

mod aligned;
mod fault;
mod local;
mod sim;

use std::io;
use std::sync::Arc;

pub(crate) use aligned::AlignedBuf;
pub use fault::Fault;
pub use local::{LocalDisk, OpenDirError};
pub use sim::SimDisk;

/// One open file. All positions and lengths are in bytes.
pub trait DiskFile: Send + Sync {
    /// Fills `buf` from `pos`; an end of file inside `buf` is `UnexpectedEof`.
    fn read_exact_at(&self, buf: &mut [u8], pos: u64) -> io::Result<()>;

    /// Writes all of `buf` at `pos`, growing the file where needed.
    fn write_all_at(&self, buf: &[u8], pos: u64) -> io::Result<()>;

    /// Makes all bytes written so far durable (fdatasync).
    fn sync(&self) -> io::Result<()>;

    /// Present length.
    fn len(&self) -> io::Result<u64>;

    /// True for a file of no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// How a file is opened for writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteMode {
    /// Through the page cache.
    Buffered,
    /// Past the page cache where the file system allows it: buffers, positions and lengths must be
    /// multiples of [`BLOCK`]; falls back to buffered writes elsewhere.
    Direct,
}

/// Alignment of direct writes and padding of WAL slots, in bytes.
pub const BLOCK: usize = 4096;

/// A directory tree of files.
pub trait Disk: Send + Sync {
    /// Makes a new empty file for reading and writing; `AlreadyExists` if the name is taken.
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Makes a new file of `len` zero bytes whose blocks are allocated and durable (the name is
    /// not, until `sync_dir`). `StorageFull` when they cannot be had.
    fn create_zeroed(&self, path: &str, len: u64) -> io::Result<()>;

    /// Opens an existing file for reading.
    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens an existing file for reading and writing.
    fn open_write(&self, path: &str, mode: WriteMode) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives `from` the name `to`; `AlreadyExists` if `to` is taken (never replaces).
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file; fine if it is already gone.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Makes a directory and its parents, durably.
    fn create_dir(&self, path: &str) -> io::Result<()>;

    /// File names (not paths) directly inside a directory, sorted; none if it does not exist.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;

    /// Makes names created, renamed or removed in `dir` durable.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;

    /// Bytes that can still be written to this file system by an ordinary user.
    fn free_bytes(&self) -> io::Result<u64>;
}
