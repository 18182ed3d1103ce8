//! What compaction makes of one batch: fewer records, or none, under the same header.
//!
//! A batch keeps its base and last offset, leader epoch, producer fields, codec and flags, so that
//! readers step over the offsets that are gone and the producer's sequence goes on behind it. Its
//! timestamps follow the records that are left. The base timestamp is the first record's, or the
//! *delete horizon*: the time from which on tombstones (in a control batch: the marker) may go, told
//! by attribute bit 6.
//!
//! Source: Kafka documentation, "Record Batch"; KIP-534 (delete horizon).

use bytes::Bytes;

use crate::header::{APPEND_TIME_BIT, CONTROL_BIT, CRC_COVERS_FROM, TRANSACTIONAL_BIT};
use crate::{
    BatchBuilder, BatchError, BatchHeader, BuildError, HEADER_LEN, LOG_OVERHEAD, Record,
    RecordError, Records, validate,
};

/// Why a batch cannot be written anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RetainError {
    /// The batch as a whole is not one.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// One of its records is wrong.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// What is left cannot be encoded.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// The batch with those of its records for which `keep` answers true, asked once for each in order;
/// with `delete_horizon` (ms) stamped, or none. If nothing is to be kept,
/// [`without_records`] gives the batch.
///
/// # Errors
/// [`RetainError`].
pub fn retain(
    records: &Records,
    delete_horizon: Option<i64>,
    mut keep: impl FnMut(&Record<'_>) -> bool,
) -> Result<Bytes, RetainError> {
    let header = records.header();
    let mut batch = builder(header, delete_horizon)?;
    for record in records {
        let record = record?;
        if keep(&record) {
            // Fits: an offset delta is an i32 in the record, too.
            let delta = record.offset.wrapping_sub(header.base_offset) as i32;
            let Record {
                timestamp,
                key,
                value,
                headers,
                ..
            } = record;
            batch.append_at(delta, timestamp, key, value, headers)?;
        }
    }
    Ok(batch.cover_to(header.last_offset_delta).finish()?)
}

/// An empty batch with the header's settings.
fn builder(header: &BatchHeader, delete_horizon: Option<i64>) -> Result<BatchBuilder, BatchError> {
    let codec = validate::known_codec(header)?;
    let mut batch = BatchBuilder::new()
        .base_offset(header.base_offset)
        .leader_epoch(header.partition_leader_epoch)
        .producer(
            header.producer_id,
            header.producer_epoch,
            header.base_sequence,
        )
        .codec(codec, None);
    if header.is_log_append_time() {
        batch = batch.log_append_time(header.max_timestamp);
    }
    if header.is_transactional() {
        batch = batch.transactional();
    }
    if header.is_control() {
        batch = batch.control();
    }
    Ok(match delete_horizon {
        Some(horizon) => batch.delete_horizon(horizon),
        None => batch,
    })
}

/// The batch without any record: a header that still tells the offsets it took, and the producer's
/// last sequence. It keeps its max timestamp, has no codec, no base timestamp and no horizon.
pub fn without_records(header: &BatchHeader) -> Bytes {
    let mut header = BatchHeader {
        batch_length: (HEADER_LEN - LOG_OVERHEAD) as i32,
        attributes: header.attributes & (APPEND_TIME_BIT | TRANSACTIONAL_BIT | CONTROL_BIT),
        base_timestamp: -1,
        record_count: 0,
        ..*header
    };
    header.crc = crc32c::crc32c(&header.encode()[CRC_COVERS_FROM..]);
    Bytes::copy_from_slice(&header.encode())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Codec;

    const LIMIT: usize = 1 << 20;

    /// Five records at offsets 70 to 74, of times 100, 101 and so on.
    fn batch(change: impl FnOnce(BatchBuilder) -> BatchBuilder) -> Records {
        let mut batch = change(
            BatchBuilder::new()
                .base_offset(70)
                .leader_epoch(4)
                .producer(9, 2, 30),
        );
        for i in 0..5u8 {
            let headers = [(&b"h"[..], Some(&[i][..])), (&b"h"[..], None)];
            let value = (i != 3).then_some(&b"value"[..]);
            batch
                .append(100 + i64::from(i), Some(&[i]), value, headers)
                .unwrap();
        }
        Records::open(&batch.finish().unwrap(), LIMIT).unwrap()
    }

    fn reopen(bytes: &Bytes) -> Records {
        validate::check_intact(bytes).unwrap();
        Records::open(bytes, LIMIT).unwrap()
    }

    #[test]
    fn what_is_kept_is_as_it_was_whatever_the_codec() {
        for codec in (0..5).filter_map(Codec::from_id) {
            let before = batch(|b| b.codec(codec, None).transactional());
            let odd = |record: &Record<'_>| record.offset % 2 == 1;
            let after = reopen(&retain(&before, None, odd).unwrap());
            let kept = before.iter().map(Result::unwrap).filter(odd);
            assert!(kept.eq(after.iter().map(Result::unwrap)), "{codec:?}");
            let expected = BatchHeader {
                batch_length: after.header().batch_length,
                crc: after.header().crc,
                base_timestamp: 101,
                max_timestamp: 103,
                record_count: 2,
                ..*before.header()
            };
            assert_eq!(*after.header(), expected, "{codec:?}");
        }
    }

    #[test]
    fn a_horizon_takes_the_base_timestamp_and_no_record_notices() {
        let before = batch(|b| b);
        let after = reopen(&retain(&before, Some(5_000), |_| true).unwrap());
        assert_eq!(before.header().delete_horizon(), None);
        assert_eq!(after.header().delete_horizon(), Some(5_000));
        assert_eq!(after.header().max_timestamp, 104);
        let [before, after] = [&before, &after].map(|r| r.iter().map(Result::unwrap));
        assert!(before.eq(after));
    }

    #[test]
    fn append_time_stays_the_time_of_every_record() {
        let before = batch(|b| b.log_append_time(900));
        let after = reopen(&retain(&before, Some(5_000), |r| r.offset > 72).unwrap());
        assert_eq!(after.header().max_timestamp, 900);
        let times: Vec<_> = after.iter().map(|r| r.unwrap().timestamp).collect();
        assert_eq!(times, [900, 900]);
    }

    #[test]
    fn an_empty_batch_still_tells_where_it_was_and_whose() {
        let before = batch(|b| b.codec(Codec::Zstd, None).transactional());
        let after = reopen(&without_records(before.header()));
        let expected = BatchHeader {
            batch_length: 49,
            crc: after.header().crc,
            attributes: 0x10,
            base_timestamp: -1,
            record_count: 0,
            ..*before.header()
        };
        assert_eq!(*after.header(), expected);
        assert_eq!(after.header().last_sequence(), 34);
        assert_eq!(after.iter().count(), 0);
    }
}
