//! A file under its temporary name: staged writes, running crc, then sync, name, sync.

use std::io;
use std::sync::Arc;

use super::{DIRECTORY, FileId};
use crate::disk::{Disk, DiskFile};

/// Small writes are gathered up to this many bytes; larger ones go straight to the file.
const STAGE_BYTES: usize = 1 << 20;
/// The file is synced each time this many bytes came: one great sync at the end would make the WAL's
/// syncs wait behind it in the device.
const SYNC_BYTES: u64 = 16 << 20;

pub(crate) struct Sink {
    disk: Arc<dyn Disk>,
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
    pub(crate) fn create(disk: Arc<dyn Disk>, id: FileId) -> io::Result<Self> {
        let file = disk.create(&id.temporary_path())?;
        Ok(Self {
            disk,
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

    pub(crate) fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        if self.staged.len() + bytes.len() > STAGE_BYTES {
            self.flush()?;
        }
        if bytes.len() >= STAGE_BYTES {
            self.write(bytes)?;
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
    pub(crate) fn finish(mut self) -> io::Result<(u64, u32)> {
        self.flush()?;
        self.file.sync()?;
        self.disk
            .rename(&self.id.temporary_path(), &self.id.path())?;
        self.named = true;
        self.disk.sync_dir(DIRECTORY)?;
        Ok((self.written, self.crc))
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut staged = std::mem::take(&mut self.staged);
        self.write(&staged)?;
        staged.clear();
        self.staged = staged;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.written)?;
        self.written += bytes.len() as u64;
        if self.written - self.synced >= SYNC_BYTES {
            self.file.sync()?;
            self.synced = self.written;
        }
        Ok(())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if !self.named {
            // Best effort: what stays is swept by `prepare` at the next start.
            let _ = self.disk.remove(&self.id.temporary_path());
        }
    }
}
