//! Changes that a broker makes to a batch it accepted, in place.
//!
//! The crc is computed again, and only if a byte changed. Each function says whether one did.
//! `batch` is exactly one batch that [`validate::check`](crate::validate::check) accepted;
//! anything shorter than a header panics. Base offset and leader epoch lie outside the crc:
//! [`set_base_offset`](crate::set_base_offset), [`set_leader_epoch`](crate::set_leader_epoch).

use crate::header::{APPEND_TIME_BIT, ATTRIBUTES_AT, CRC_AT, CRC_COVERS_FROM, MAX_TIMESTAMP_AT};

/// Sets the max timestamp (ms), for a header that does not tell its records' true one.
pub fn set_max_timestamp(batch: &mut [u8], max_timestamp: i64) -> bool {
    let changed = put_max_timestamp(batch, max_timestamp);
    redo_crc(batch, changed)
}

/// Makes it a LogAppendTime batch of `now` (ms): every record then reads as of that time (KIP-32).
pub fn stamp_log_append_time(batch: &mut [u8], now: i64) -> bool {
    let attributes = attributes(batch) | APPEND_TIME_BIT;
    let changed = put_attributes(batch, attributes) | put_max_timestamp(batch, now);
    redo_crc(batch, changed)
}

/// Makes it a CreateTime batch. The max timestamp stays as it is: where it was an append time,
/// follow with [`set_max_timestamp`].
pub fn clear_timestamp_type(batch: &mut [u8]) -> bool {
    let attributes = attributes(batch) & !APPEND_TIME_BIT;
    let changed = put_attributes(batch, attributes);
    redo_crc(batch, changed)
}

fn attributes(batch: &[u8]) -> i16 {
    let at = ATTRIBUTES_AT.start;
    i16::from_be_bytes([batch[at], batch[at + 1]])
}

fn put_attributes(batch: &mut [u8], attributes: i16) -> bool {
    put(&mut batch[ATTRIBUTES_AT], &attributes.to_be_bytes())
}

fn put_max_timestamp(batch: &mut [u8], max_timestamp: i64) -> bool {
    put(&mut batch[MAX_TIMESTAMP_AT], &max_timestamp.to_be_bytes())
}

fn put(field: &mut [u8], bytes: &[u8]) -> bool {
    let changed = field != bytes;
    field.copy_from_slice(bytes);
    changed
}

fn redo_crc(batch: &mut [u8], changed: bool) -> bool {
    if changed {
        let crc = crc32c::crc32c(&batch[CRC_COVERS_FROM..]);
        batch[CRC_AT].copy_from_slice(&crc.to_be_bytes());
    }
    changed
}
