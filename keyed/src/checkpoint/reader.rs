//! Streams the rows of a checkpoint, a block at a time.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{BinaryArray, Int64Array, RecordBatch};
use arrow_ipc::reader::FileReader;
use arrow_schema::{ArrowError, DataType};
use bytes::Bytes;
use tidelog_storage::disk::{Disk, DiskFile};
use tidelog_storage::segment::FileId;

use super::writer::RULES;
use super::{CheckpointMeta, FORMAT_VERSION, path};
use crate::merge::RuleLog;
use crate::row::Change;

/// Bytes read at a time while the crc is checked.
const VERIFY_CHUNK: u64 = 1 << 20;

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("reading checkpoint {file}: {source}")]
    Io { file: FileId, source: io::Error },
    #[error("checkpoint {file} is corrupt: {what}")]
    Corrupt { file: FileId, what: &'static str },
    #[error("checkpoint {file} is no Arrow file of ours: {source}")]
    Arrow { file: FileId, source: ArrowError },
    #[error("checkpoint {file} needs a reader of version {min_reader}")]
    TooNew { file: FileId, min_reader: u16 },
}

/// An open checkpoint whose bytes are proven.
pub struct CheckpointReader {
    reader: FileReader<FileCursor>,
    meta: CheckpointMeta,
    rows: u64,
    last_key: Option<Bytes>,
}

impl CheckpointReader {
    /// Opens the file and checks its length and crc, which reads all of it once.
    pub fn open(disk: &dyn Disk, meta: &CheckpointMeta) -> Result<Self, ReadError> {
        let file = meta.file;
        if meta.min_reader > FORMAT_VERSION {
            let min_reader = meta.min_reader;
            return Err(ReadError::TooNew { file, min_reader });
        }
        let handle = open_verified(disk, meta)?;
        let cursor = FileCursor {
            file: handle,
            pos: 0,
            len: meta.file_len,
        };
        let arrow = |source| ReadError::Arrow { file, source };
        let reader = FileReader::try_new(cursor, None).map_err(arrow)?;
        let types: Vec<_> = reader
            .schema()
            .fields()
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        let expected = [
            DataType::Binary,
            DataType::Int64,
            DataType::Int64,
            DataType::Binary,
        ];
        if types != expected {
            let what = "its columns are others";
            return Err(ReadError::Corrupt { file, what });
        }
        Ok(Self {
            reader,
            meta: meta.clone(),
            rows: 0,
            last_key: None,
        })
    }

    /// The rules that made the rows, by which they are to be read.
    pub fn rules(&self) -> Result<RuleLog, ReadError> {
        let schema = self.reader.schema();
        let rules = schema.metadata().get(RULES);
        let rules = rules.map(|text| RuleLog::from_json(text)).transpose();
        let rules = rules.map_err(|_| self.corrupt("its rules cannot be read"))?;
        Ok(rules.unwrap_or_default())
    }

    /// The next block of rows in key order, as changes that put them; `None` after the last.
    pub fn next_block(&mut self) -> Result<Option<Vec<Change>>, ReadError> {
        let file = self.meta.file;
        match self.reader.next() {
            Some(Ok(block)) => {
                let changes = changes(&block);
                self.check(&changes)?;
                Ok(Some(changes))
            }
            Some(Err(source)) => Err(ReadError::Arrow { file, source }),
            None if self.rows == self.meta.rows => Ok(None),
            None => Err(self.corrupt("rows are missing")),
        }
    }

    fn check(&mut self, changes: &[Change]) -> Result<(), ReadError> {
        for change in changes {
            if self
                .last_key
                .as_ref()
                .is_some_and(|last| *last >= change.key)
            {
                return Err(self.corrupt("keys do not ascend"));
            }
            if !(0..self.meta.reflects).contains(&change.offset) {
                return Err(self.corrupt("a row is newer than the checkpoint"));
            }
            self.last_key = Some(change.key.clone());
        }
        self.rows += changes.len() as u64;
        Ok(())
    }

    fn corrupt(&self, what: &'static str) -> ReadError {
        let file = self.meta.file;
        ReadError::Corrupt { file, what }
    }
}

fn open_verified(disk: &dyn Disk, meta: &CheckpointMeta) -> Result<Arc<dyn DiskFile>, ReadError> {
    let file = meta.file;
    let io = |source| ReadError::Io { file, source };
    let handle = disk.open(&path(file)).map_err(io)?;
    if handle.len().map_err(io)? != meta.file_len {
        let what = "its length is another";
        return Err(ReadError::Corrupt { file, what });
    }
    let (mut crc, mut pos) = (0, 0);
    let mut chunk = vec![0; VERIFY_CHUNK.min(meta.file_len) as usize];
    while pos < meta.file_len {
        let len = VERIFY_CHUNK.min(meta.file_len - pos) as usize;
        handle.read_exact_at(&mut chunk[..len], pos).map_err(io)?;
        crc = crc32c::crc32c_append(crc, &chunk[..len]);
        pos += len as u64;
    }
    if crc != meta.file_crc {
        let what = "its crc is another";
        return Err(ReadError::Corrupt { file, what });
    }
    Ok(handle)
}

/// The columns' types were checked when the file was opened.
fn changes(block: &RecordBatch) -> Vec<Change> {
    let keys = slices(block.column(0).as_binary());
    let offsets: &Int64Array = block.column(1).as_primitive::<Int64Type>();
    let timestamps: &Int64Array = block.column(2).as_primitive::<Int64Type>();
    let values = slices(block.column(3).as_binary());
    keys.zip(values)
        .zip(offsets.values().iter().zip(timestamps.values()))
        .map(|((key, value), (offset, timestamp))| Change {
            key,
            offset: *offset,
            timestamp: *timestamp,
            value: Some(value),
        })
        .collect()
}

/// The values of a column, sharing one copy of its data.
fn slices(column: &BinaryArray) -> impl Iterator<Item = Bytes> {
    let data = Bytes::copy_from_slice(column.value_data());
    let ends = column.value_offsets().windows(2);
    ends.map(move |ends| data.slice(ends[0] as usize..ends[1] as usize))
}

/// A disk file as the Arrow reader wants it.
struct FileCursor {
    file: Arc<dyn DiskFile>,
    pos: u64,
    len: u64,
}

impl Read for FileCursor {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let rest = self.len.saturating_sub(self.pos);
        let len = rest.min(buf.len() as u64) as usize;
        self.file.read_exact_at(&mut buf[..len], self.pos)?;
        self.pos += len as u64;
        Ok(len)
    }
}

impl Seek for FileCursor {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(pos) => Some(pos),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.pos.checked_add_signed(by),
        };
        self.pos = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.pos)
    }
}
