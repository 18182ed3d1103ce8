//! Finding a record by time inside a batch, for ListOffsets.
//!
//! Timestamps need not rise within a batch, so both searches walk it. Whether a batch is worth
//! opening, its header's max timestamp tells.

use crate::{Record, RecordError, Records};

/// Where a record is, and its effective timestamp (ms).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampedOffset {
    /// The record's own offset, not the batch's.
    pub offset: i64,
    /// Milliseconds since the Unix epoch.
    pub timestamp: i64,
}

impl From<Record<'_>> for TimestampedOffset {
    fn from(record: Record<'_>) -> Self {
        Self {
            offset: record.offset,
            timestamp: record.timestamp,
        }
    }
}

/// The first record whose timestamp is `timestamp` or later; `None` if all are earlier.
///
/// # Errors
/// The first bad record, if it lies before the one sought.
pub fn first_at_or_after(
    records: &Records,
    timestamp: i64,
) -> Result<Option<TimestampedOffset>, RecordError> {
    for record in records {
        let record = record?;
        if record.timestamp >= timestamp {
            return Ok(Some(record.into()));
        }
    }
    Ok(None)
}

/// The first of the records that have the greatest timestamp; `None` in a batch of no records.
///
/// # Errors
/// The first bad record.
pub fn max_timestamp(records: &Records) -> Result<Option<TimestampedOffset>, RecordError> {
    let mut max: Option<TimestampedOffset> = None;
    for record in records {
        let record = record?;
        if max.is_none_or(|max| record.timestamp > max.timestamp) {
            max = Some(record.into());
        }
    }
    Ok(max)
}
