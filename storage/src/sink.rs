//! A file in the making, under its temporary name: staged writes, running crc, then sync, name, sync.

use std::io::{self, Write};
use std::sync::Arc;

use crate::directory::Directory;
use crate::disk::{Disk, DiskFile};
use crate::segment::FileId;

/// Small writes are gathered up to this many bytes; larger ones go straight to the file.
const STAGE_BYTES: usize = 1 << 20;
/// The file is synced each time this many bytes came: one great sync at the end would make the WAL's
/// syncs wait behind it in the device.
const SYNC_BYTES: u64 = 16 << 20;

/// Writes one immutable file from front to back. Dropping it unfinished removes what was written.
pub struct Sink {
    disk: Arc<dyn Disk>,
    directory: Directory,
    id: FileId,
    file: Arc<dyn DiskFile>,
    staged: Vec<u8>,
    /// Bytes handed to the file; the stage follows them.
    written: u64,
    synced: u64,
    crc: u32,
    named: bool,
}

impl Sink {
    /// # Errors
    /// The file cannot be made; its id is to be new.
    pub fn create(disk: Arc<dyn Disk>, directory: Directory, id: FileId) -> io::Result<Self> {
        let file = disk.create(&directory.temporary_path(id))?;
        Ok(Self {
            disk,
            directory,
            id,
            file,
            staged: Vec::new(),
            written: 0,
            synced: 0,
            crc: 0,
            named: false,
        })
    }

    /// Position of the next byte.
    pub(crate) fn pos(&self) -> u64 {
        self.written + self.staged.len() as u64
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// Of the disk; the file is then of no more use.
    pub fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        if self.staged.len() + bytes.len() > STAGE_BYTES {
            self.unstage()?;
        }
        if bytes.len() >= STAGE_BYTES {
            self.hand_over(bytes)?;
        } else {
            self.staged.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Zeros up to the next multiple of 8.
    pub(crate) fn pad8(&mut self) -> io::Result<()> {
        let padding = self.pos().next_multiple_of(8) - self.pos();
        self.put(&[0; 8][..padding as usize])
    }

    /// Makes the file durable, then its name. Answers its length and crc32c.
    ///
    /// # Errors
    /// Of the disk. The file then has no final name, except after a failed sync of the directory,
    /// where it may have one.
    pub fn finish(mut self) -> io::Result<(u64, u32)> {
        self.unstage()?;
        self.file.sync()?;
        let (directory, id) = (self.directory, self.id);
        self.disk
            .rename(&directory.temporary_path(id), &directory.path(id))?;
        self.named = true;
        self.disk.sync_dir(directory.name())?;
        Ok((self.written, self.crc))
    }

    fn unstage(&mut self) -> io::Result<()> {
        let mut staged = std::mem::take(&mut self.staged);
        self.hand_over(&staged)?;
        staged.clear();
        self.staged = staged;
        Ok(())
    }

    fn hand_over(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.written)?;
        self.written += bytes.len() as u64;
        if self.written - self.synced >= SYNC_BYTES {
            self.file.sync()?;
            self.synced = self.written;
        }
        Ok(())
    }
}

/// For encoders that write into something; `flush` has nothing to do before `finish`.
impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if !self.named {
            // Best effort: what stays is swept at the next start.
            let _ = self.disk.remove(&self.directory.temporary_path(self.id));
        }
    }
}
