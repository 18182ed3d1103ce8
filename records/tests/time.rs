//! What a broker does with timestamps: corrects, stamps, clears, searches.

mod common;

use bytes::Bytes;
use common::{LIMIT, T, fixture};
use tidelog_records::search::{TimestampedOffset, first_at_or_after, max_timestamp};
use tidelog_records::validate::{check, check_intact};
use tidelog_records::{Records, patch, set_base_offset, set_leader_epoch};

#[test]
fn patches_redo_the_crc_only_for_a_change() {
    let original = fixture("java-zstd.bin");
    let mut batch = original.to_vec();
    assert!(!patch::set_max_timestamp(&mut batch, T + 95));
    assert!(!patch::clear_timestamp_type(&mut batch));
    assert_eq!(batch, original);

    assert!(patch::set_max_timestamp(&mut batch, 7));
    assert_eq!(check(&batch).unwrap().max_timestamp, 7);

    assert!(patch::stamp_log_append_time(&mut batch, T + 5000));
    assert!(!patch::stamp_log_append_time(&mut batch, T + 5000));
    let header = check(&batch).unwrap();
    assert!(header.is_log_append_time());
    assert_eq!(header.max_timestamp, T + 5000);

    assert!(patch::clear_timestamp_type(&mut batch));
    assert!(patch::set_max_timestamp(&mut batch, T + 95));
    assert_eq!(batch, original);
}

#[test]
fn an_unchanged_batch_keeps_a_false_crc() {
    let mut batch = fixture("java-none.bin").to_vec();
    batch[100] ^= 1;
    assert!(!patch::set_max_timestamp(&mut batch, T + 95));
    assert!(check(&batch).is_err());
}

#[test]
fn offset_and_epoch_lie_outside_the_crc() {
    let mut batch = fixture("java-none.bin").to_vec();
    set_base_offset(&mut batch, i64::MAX);
    set_leader_epoch(&mut batch, 99);
    let header = check_intact(&batch).unwrap();
    assert_eq!(
        (header.base_offset, header.partition_leader_epoch),
        (i64::MAX, 99)
    );
}

#[test]
fn search_by_time() {
    let records = Records::open(&fixture("java-gzip.bin"), LIMIT).unwrap();
    let at = |delta: i64, ms: i64| {
        Some(TimestampedOffset {
            offset: 40 + delta,
            timestamp: T + ms,
        })
    };
    let find = |ms: i64| first_at_or_after(&records, T + ms).unwrap();
    assert_eq!(find(-T), at(0, 0));
    assert_eq!(find(0), at(0, 0));
    assert_eq!(find(1), at(1, 5));
    assert_eq!(find(6), at(3, 15), "record 2 went back in time");
    assert_eq!(find(90), at(18, 90));
    assert_eq!(find(91), at(19, 95));
    assert_eq!(find(96), None);
    assert_eq!(max_timestamp(&records).unwrap(), at(19, 95));
}

#[test]
fn append_time_is_every_records_time() {
    let records = Records::open(&fixture("java-txn-append-time.bin"), LIMIT).unwrap();
    let first = Some(TimestampedOffset {
        offset: 40,
        timestamp: T + 1000,
    });
    assert_eq!(first_at_or_after(&records, T + 1000).unwrap(), first);
    assert_eq!(max_timestamp(&records).unwrap(), first);
    assert_eq!(first_at_or_after(&records, T + 1001).unwrap(), None);
}

#[test]
fn a_bad_record_is_met_only_if_sought() {
    let mut bytes = fixture("java-none.bin").to_vec();
    let last = bytes.len() - 1;
    bytes[last] ^= 0x80;
    let records = Records::open(&Bytes::from(bytes), LIMIT).unwrap();
    assert!(first_at_or_after(&records, T).is_ok());
    assert!(max_timestamp(&records).is_err());
}
