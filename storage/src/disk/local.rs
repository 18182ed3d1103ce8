//! The local file system as a [`Disk`].
//!
//! Everything below one data directory, held by an exclusive lock from open to drop. The
//! directory's lock is an `flock` on `LOCK`, so it falls with the process however that ends.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{AlignedBuf, BLOCK, Disk, DiskFile, WriteMode};

const LOCK_FILE: &str = "LOCK";
/// Written at once while a file is zeroed.
const ZEROS_BYTES: usize = 64 * BLOCK;

/// Why a data directory could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum OpenDirError {
    #[error(
        "data directory {path} is locked by another process; stop it or choose another --data-dir"
    )]
    Locked { path: PathBuf },
    #[error("data directory {path} cannot be used: {source}")]
    Io { path: PathBuf, source: io::Error },
}

/// A locked data directory.
pub struct LocalDisk {
    root: PathBuf,
    /// Held for its lock; closing it gives the directory up.
    _lock: File,
}

impl LocalDisk {
    /// Makes the directory if needed and takes its lock.
    pub fn open(root: &Path) -> Result<Self, OpenDirError> {
        let fail = |source| OpenDirError::Io {
            path: root.to_owned(),
            source,
        };
        fs::create_dir_all(root).map_err(fail)?;
        let root = root.canonicalize().map_err(fail)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(root.join(LOCK_FILE))
            .map_err(fail)?;
        match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { root, _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenDirError::Locked { path: root }),
            Err(errno) => Err(fail(errno.into())),
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

struct LocalFile(File);

impl DiskFile for LocalFile {
    fn read_exact_at(&self, buf: &mut [u8], pos: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, pos)
    }

    fn write_all_at(&self, buf: &[u8], pos: u64) -> io::Result<()> {
        self.0.write_all_at(buf, pos)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

impl Disk for LocalDisk {
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(self.at(path))?;
        Ok(Arc::new(LocalFile(file)))
    }

    fn create_zeroed(&self, path: &str, len: u64) -> io::Result<()> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(self.at(path))?;
        // Past the page cache, block by block: written back at once, tens of megabytes of zeros
        // would stand before the syncs of those who wait for an acknowledgement.
        let filled = self
            .open_write(path, WriteMode::Direct)
            .and_then(|direct| fill_with_zeros(&file, direct.as_ref(), len))
            .and_then(|()| file.sync_all());
        if filled.is_err() {
            // Half a file would eat the very space whose lack made this fail.
            let _ = fs::remove_file(self.at(path));
        }
        filled
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(LocalFile(File::open(self.at(path))?)))
    }

    fn open_write(&self, path: &str, mode: WriteMode) -> io::Result<Arc<dyn DiskFile>> {
        let buffered = || {
            OpenOptions::new()
                .read(true)
                .write(true)
                .open(self.at(path))
        };
        let file = match mode {
            WriteMode::Buffered => buffered()?,
            WriteMode::Direct => OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(libc::O_DIRECT)
                .open(self.at(path))
                // tmpfs and some network file systems refuse O_DIRECT.
                .or_else(|_| buffered())?,
        };
        Ok(Arc::new(LocalFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        // A hard link never replaces; rename would.
        fs::hard_link(self.at(from), self.at(to))?;
        fs::remove_file(self.at(from))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        match fs::remove_file(self.at(path)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn create_dir(&self, path: &str) -> io::Result<()> {
        let mut made = self.root.clone();
        for part in Path::new(path).components() {
            let parent = made.clone();
            made.push(part);
            match fs::create_dir(&made) {
                Ok(()) => File::open(&parent)?.sync_all()?,
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.at(dir)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.extend(entry.file_name().into_string());
            }
        }
        names.sort();
        Ok(names)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        File::open(self.at(dir))?.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.root)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Real zeros, not only reserved blocks: a first write into reserved blocks changes metadata, and
/// then every sync pays for the file system's journal too.
fn fill_with_zeros(file: &File, direct: &dyn DiskFile, len: u64) -> io::Result<()> {
    rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, len)?;
    let mut zeros = AlignedBuf::with_capacity(ZEROS_BYTES);
    zeros.extend(&[0; ZEROS_BYTES]);
    let (zeros, unit) = (zeros.as_slice(), ZEROS_BYTES as u64);
    for pos in (0..len / unit).map(|n| n * unit) {
        direct.write_all_at(zeros, pos)?;
    }
    // What is no whole block cannot go past the page cache.
    let rest = (len % unit) as usize;
    file.write_all_at(&zeros[..rest], len - rest as u64)
}
