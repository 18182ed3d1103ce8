//! Walking the records of a batch.
//!
//! [`Records`] owns the decompressed bytes, [`RecordIter`] borrows from them. The walk ends with
//! `None` only if every record that the header counts was there and no byte was left; anything
//! else is one last `Err`.

use std::borrow::Cow;

use bytes::Bytes;

use crate::record::RawRecord;
use crate::{
    BatchError, BatchHeader, CodecError, HEADER_LEN, Record, RecordFault, codec, validate,
};

/// Why the records of a batch cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordsError {
    /// The batch as a whole is not one.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// Its records do not decompress, or not within the limit.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// One of its records is wrong.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// The first bad record of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("record {index}: {fault}")]
pub struct RecordError {
    /// Position in the batch, from 0; equal to the record count for bytes behind the last record.
    pub index: i32,
    /// What is wrong with it.
    pub fault: RecordFault,
}

/// A batch opened for reading: its header and its records, decompressed.
#[derive(Debug, Clone)]
pub struct Records {
    header: BatchHeader,
    bytes: Bytes,
}

impl Records {
    /// Opens one whole batch. Records of an uncompressed batch stay where they are, sharing the
    /// allocation of `batch`; otherwise one buffer of at most `limit_bytes` takes them.
    ///
    /// The crc is not checked: see [`validate::check`] and [`validate::check_intact`].
    ///
    /// # Errors
    /// [`RecordsError::Batch`] for a wrong length, magic or codec id, [`RecordsError::Codec`] for
    /// records that do not decompress within `limit_bytes`.
    pub fn open(batch: &Bytes, limit_bytes: usize) -> Result<Self, RecordsError> {
        let header = validate::check_shape(batch)?;
        let codec = validate::known_codec(&header)?;
        let bytes = match codec::decompress(codec, &batch[HEADER_LEN..], limit_bytes)? {
            Cow::Borrowed(_) => batch.slice(HEADER_LEN..),
            Cow::Owned(bytes) => Bytes::from(bytes),
        };
        Ok(Self { header, bytes })
    }

    /// The batch's header, as it stands in its bytes.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The decompressed records; `slice_ref` makes an owned key or value of a borrowed one.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The records from the first on.
    pub fn iter(&self) -> RecordIter<'_> {
        RecordIter::new(&self.header, &self.bytes)
    }
}

impl<'a> IntoIterator for &'a Records {
    type Item = Result<Record<'a>, RecordError>;
    type IntoIter = RecordIter<'a>;

    fn into_iter(self) -> RecordIter<'a> {
        self.iter()
    }
}

/// The records of a batch in offset order, borrowed; see the module text for how it ends.
#[derive(Debug, Clone)]
pub struct RecordIter<'a> {
    base_offset: i64,
    base_timestamp: i64,
    /// Stands for every record's timestamp where the broker's clock gave it.
    append_time: Option<i64>,
    count: i32,
    index: i32,
    rest: &'a [u8],
}

impl<'a> RecordIter<'a> {
    /// `bytes` are the decompressed records of the batch that `header` heads. A negative record
    /// count is read as none.
    pub fn new(header: &BatchHeader, bytes: &'a [u8]) -> Self {
        Self {
            base_offset: header.base_offset,
            base_timestamp: header.base_timestamp,
            append_time: header.is_log_append_time().then_some(header.max_timestamp),
            count: header.record_count.max(0),
            index: 0,
            rest: bytes,
        }
    }

    pub(crate) fn next_raw(&mut self) -> Option<Result<RawRecord<'a>, RecordError>> {
        let due = self.index < self.count;
        let fault = match (due, self.rest.len()) {
            (false, 0) => return None,
            (false, bytes) => RecordFault::TrailingBytes { bytes },
            (true, 0) => RecordFault::Missing,
            (true, _) => match RawRecord::take(&mut self.rest) {
                Ok(record) => {
                    self.index += 1;
                    return Some(Ok(record));
                }
                Err(fault) => fault,
            },
        };
        Some(Err(self.stop(fault)))
    }

    /// Ends the walk: whatever follows a bad record cannot be found.
    fn stop(&mut self, fault: RecordFault) -> RecordError {
        let index = self.index;
        self.count = index;
        self.rest = &[];
        RecordError { index, fault }
    }

    pub(crate) fn timestamp(&self, record: &RawRecord<'_>) -> i64 {
        self.append_time
            .unwrap_or(self.base_timestamp.wrapping_add(record.timestamp_delta))
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<Record<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        let raw = match self.next_raw()? {
            Ok(raw) => raw,
            Err(e) => return Some(Err(e)),
        };
        Some(Ok(Record {
            offset: self.base_offset.wrapping_add(i64::from(raw.offset_delta)),
            timestamp: self.timestamp(&raw),
            key: raw.key,
            value: raw.value,
            headers: raw.headers,
        }))
    }
}
