//! The first half of a round: the keys of the dirty part and where each was last written.

use tidelog_records::{Records, RecordsError};

use super::RECORDS_BYTES_MAX;
use super::keys::KeyMap;
use crate::ids::Offset;
use crate::partition::AbortedRanges;
use crate::segment::StoredBatch;

/// The map in the making.
pub(super) struct KeyIndex {
    from: Offset,
    keys: KeyMap,
    /// Set when the map is full: keys from here on are not in it.
    full_at: Option<Offset>,
}

impl KeyIndex {
    /// For keys written at `from` or later.
    pub(super) fn new(from: Offset, keys: KeyMap) -> Self {
        Self {
            from,
            keys,
            full_at: None,
        }
    }

    /// Takes the keys of the next batch; false once the map is full.
    pub(super) fn add(&mut self, batch: &StoredBatch, aborted: &AbortedRanges) -> bool {
        let header = &batch.header;
        if self.full_at.is_none() && aborted.is_committed(header) {
            match self.add_records(batch) {
                // Between two batches, if the round can get on so.
                Ok(Some(offset)) if header.base_offset <= self.from => self.full_at = Some(offset),
                Ok(Some(_)) => self.full_at = Some(header.base_offset),
                Ok(None) => {}
                // The batch is kept as it is, whatever of it is in the map.
                Err(error) => {
                    let offset = header.base_offset;
                    tracing::debug!(offset, %error, "a batch cannot be indexed");
                }
            }
        }
        self.full_at.is_none()
    }

    /// Answers the first offset whose key has no room.
    fn add_records(&mut self, batch: &StoredBatch) -> Result<Option<Offset>, RecordsError> {
        let records = Records::open(&batch.bytes, RECORDS_BYTES_MAX)?;
        for record in &records {
            let record = record?;
            if record.offset < self.from {
                continue;
            }
            if let Some(key) = record.key
                && !self.keys.note(key, record.offset)
            {
                return Ok(Some(record.offset));
            }
        }
        Ok(None)
    }

    /// The map, and up to which offset it knows every key; `limit` if all fitted.
    pub(super) fn finish(self, limit: Offset) -> (KeyMap, Offset) {
        (self.keys, self.full_at.unwrap_or(limit))
    }
}
