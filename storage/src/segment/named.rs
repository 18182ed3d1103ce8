//! A file as a manifest names it: opened, proved to be that file, and named in errors.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use super::{FileId, SegmentCache};
use crate::disk::DiskFile;
use crate::ids::{Offset, PartitionId};

/// Bytes read at a time while a whole file is checked.
const VERIFY_CHUNK: u64 = 1 << 20;

/// Why bytes of a segment cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("reading {path} for {partition}: {source}")]
    Io {
        path: String,
        partition: PartitionId,
        source: io::Error,
    },
    #[error("{path} is corrupt at offset {offset} of {partition}: {what}")]
    Corrupt {
        path: String,
        partition: PartitionId,
        offset: Offset,
        what: &'static str,
    },
    #[error("{path} has format version {version}, which this build cannot read")]
    TooNew { path: String, version: u16 },
}

/// What a manifest says of a file, and for which partition it is read.
pub(crate) struct NamedFile<'a> {
    pub cache: &'a SegmentCache,
    pub partition: PartitionId,
    pub file: FileId,
    pub version: u16,
    /// Newest version that this build reads.
    pub newest_version: u16,
    pub len: u64,
    /// crc32c of the whole file.
    pub crc: u32,
}

impl NamedFile<'_> {
    /// The open file, proved to be as long as the manifest says. `offset` names the place in errors.
    pub(crate) fn open(&self, offset: Offset) -> Result<Arc<dyn DiskFile>, ReadError> {
        if self.version > self.newest_version {
            return Err(ReadError::TooNew {
                path: self.file.path(),
                version: self.version,
            });
        }
        let file = self.cached()?;
        if file.len().map_err(|source| self.io(source))? != self.len {
            return Err(self.corrupt(offset, "the file has another length than the manifest says"));
        }
        Ok(file)
    }

    /// The open file, unproved.
    pub(crate) fn cached(&self) -> Result<Arc<dyn DiskFile>, ReadError> {
        let file = self.cache.file(self.file);
        file.map_err(|source| self.io(source))
    }

    /// Reads all of it and checks its crc. `offset` names the place in errors.
    pub(crate) fn verify(&self, offset: Offset) -> Result<(), ReadError> {
        let file = self.open(offset)?;
        let (mut pos, mut crc) = (0, 0);
        while pos < self.len {
            let len = VERIFY_CHUNK.min(self.len - pos);
            let chunk = read_vec(&*file, pos, len).map_err(|source| self.io(source))?;
            crc = crc32c::crc32c_append(crc, &chunk);
            pos += len;
        }
        if crc == self.crc {
            Ok(())
        } else {
            Err(self.corrupt(offset, "the file does not match its crc"))
        }
    }

    pub(crate) fn io(&self, source: io::Error) -> ReadError {
        ReadError::Io {
            path: self.file.path(),
            partition: self.partition,
            source,
        }
    }

    pub(crate) fn corrupt(&self, offset: Offset, what: &'static str) -> ReadError {
        ReadError::Corrupt {
            path: self.file.path(),
            partition: self.partition,
            offset,
            what,
        }
    }
}

pub(crate) fn read_vec(file: &dyn DiskFile, pos: u64, len: u64) -> io::Result<Vec<u8>> {
    let len = usize::try_from(len).map_err(|_| ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, pos)?;
    Ok(bytes)
}
