//! A file under its temporary name: staged writes, running crc, then sync, name, sync.

use std::io;
use std::sync::Arc;

use super::{DIRECTORY, FileId};
use crate::disk::{Disk, DiskFile};

/// Small writes are gathered up to this many bytes; larger ones go straight to the file.
const STAGE_BYTES: usize = 1 << 20;

pub(super) struct Sink {
    disk: Arc<dyn Disk>,
    id: FileId,
    file: Arc<dyn DiskFile>,
    staged: Vec<u8>,
    /// Bytes handed to the file; the stage follows them.
    written: u64,
    crc: u32,
    named: bool,
}

impl Sink {
    pub(super) fn create(disk: Arc<dyn Disk>, id: FileId) -> io::Result<Self> {
        let file = disk.create(&id.temporary_path())?;
        Ok(Self {
            disk,
            id,
            file,
            staged: Vec::new(),
            written: 0,
            crc: 0,
            named: false,
        })
    }

    /// Position of the next byte.
    pub(super) fn pos(&self) -> u64 {
        self.written + self.staged.len() as u64
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        if self.staged.len() + bytes.len() > STAGE_BYTES {
            self.flush()?;
        }
        if bytes.len() >= STAGE_BYTES {
            self.file.write_all_at(bytes, self.written)?;
            self.written += bytes.len() as u64;
        } else {
            self.staged.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Zeros up to the next multiple of 8.
    pub(super) fn pad8(&mut self) -> io::Result<()> {
        let padding = self.pos().next_multiple_of(8) - self.pos();
        self.put(&[0; 8][..padding as usize])
    }

    /// Makes the file durable, then its name. Answers its length and crc32c.
    pub(super) fn finish(mut self) -> io::Result<(u64, u32)> {
        self.flush()?;
        self.file.sync()?;
        self.disk
            .rename(&self.id.temporary_path(), &self.id.path())?;
        self.named = true;
        self.disk.sync_dir(DIRECTORY)?;
        Ok((self.written, self.crc))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.staged, self.written)?;
        self.written += self.staged.len() as u64;
        self.staged.clear();
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
