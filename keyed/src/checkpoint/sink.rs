//! A file under its temporary name: staged writes, running crc, then sync, name, sync.

use std::io::{self, Write};
use std::sync::Arc;

use tidelog_storage::checkpoint::{self, DIRECTORY};
use tidelog_storage::disk::{Disk, DiskFile};
use tidelog_storage::segment::FileId;

use super::file;

/// Writes are gathered up to this many bytes.
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
    pub fn create(disk: Arc<dyn Disk>, id: FileId) -> io::Result<Self> {
        let file = disk.create(&file::temporary_path(id))?;
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

    /// Makes the file durable, then its name. Answers its length and crc32c.
    pub fn finish(mut self) -> io::Result<(u64, u32)> {
        self.flush()?;
        self.file.sync()?;
        let (temporary, path) = (file::temporary_path(self.id), checkpoint::path(self.id));
        self.disk.rename(&temporary, &path)?;
        self.named = true;
        self.disk.sync_dir(DIRECTORY)?;
        Ok((self.written, self.crc))
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        self.staged.extend_from_slice(bytes);
        if self.staged.len() >= STAGE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.staged.is_empty() {
            self.file.write_all_at(&self.staged, self.written)?;
            self.written += self.staged.len() as u64;
            self.staged.clear();
        }
        Ok(())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if !self.named {
            // Best effort: what stays is swept by `prepare` at the next start.
            let _ = self.disk.remove(&file::temporary_path(self.id));
        }
    }
}
