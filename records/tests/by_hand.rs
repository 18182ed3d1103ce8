//! Batches put together by hand from the format's table: what is read, what is refused and why.

mod common;

use bytes::Bytes;
use common::{LIMIT, hex, seal};
use tidelog_records::control::{MarkerError, Outcome, TxnMarker};
use tidelog_records::validate::{check, check_intact, validate_records};
use tidelog_records::{
    BatchBuilder, BatchError, BatchHeader, BuildError, RecordError, RecordFault, Records,
    RecordsError,
};

const HEADER: &str = "
    00 00 00 00 00 00 00 05   00 00 00 00   00 00 00 02   02   00 00 00 00
    00 00   00 00 00 01
    00 00 00 00 00 00 03 e8   00 00 00 00 00 00 03 e8
    ff ff ff ff ff ff ff ff   ff ff   ff ff ff ff   00 00 00 02";

/// Key "k", value "vv", headers h=1, h=null; then 10 ms earlier, null key, empty value.
const RECORDS: &str = "
    20   00 00 00   02 6b   04 76 76   04   02 68 02 31   02 68 01
    0c   00 13 02   01   00   00";

fn batch(header: &str, records: &str) -> Vec<u8> {
    let mut bytes = [hex(header), hex(records)].concat();
    let length = (bytes.len() - 12) as i32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    seal(&mut bytes);
    bytes
}

fn good() -> Vec<u8> {
    batch(HEADER, RECORDS)
}

/// `good` with `bytes` written at `at` and a true crc.
fn with(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut batch = good();
    batch[at..at + bytes.len()].copy_from_slice(bytes);
    seal(&mut batch);
    batch
}

#[test]
fn fields_are_read() {
    let bytes = Bytes::from(good());
    let header = check(&bytes).unwrap();
    assert_eq!((header.base_offset, header.partition_leader_epoch), (5, 2));
    assert_eq!((header.last_offset(), header.last_sequence()), (6, -1));
    assert_eq!(header.encode(), bytes[..61]);

    let records = Records::open(&bytes, LIMIT).unwrap();
    let read: Vec<_> = records.iter().map(Result::unwrap).collect();
    assert_eq!((read[0].offset, read[0].timestamp), (5, 1000));
    assert_eq!(
        (read[0].key, read[0].value),
        (Some(&b"k"[..]), Some(&b"vv"[..]))
    );
    let headers: Vec<_> = read[0].headers.clone().collect();
    assert_eq!(headers, [(&b"h"[..], Some(&b"1"[..])), (&b"h"[..], None)]);
    assert_eq!((read[1].offset, read[1].timestamp), (6, 990));
    assert_eq!((read[1].key, read[1].value), (None, Some(&b""[..])));
    assert_eq!(read[1].headers.len(), 0);

    let summary = validate_records(&bytes, LIMIT).unwrap();
    assert_eq!((summary.min_timestamp, summary.max_timestamp), (990, 1000));
    assert_eq!(
        (summary.max_timestamp_offset_delta, summary.first_null_key),
        (0, Some(1))
    );
}

#[test]
fn the_builder_makes_these_bytes() {
    let mut b = BatchBuilder::new().base_offset(5).leader_epoch(2);
    let headers = [(&b"h"[..], Some(&b"1"[..])), (&b"h"[..], None)];
    b.append(1000, Some(b"k"), Some(b"vv"), headers).unwrap();
    b.append(990, None, Some(b""), []).unwrap();
    assert_eq!(b.size_bytes(), good().len());
    assert_eq!(b.finish().unwrap(), good());
}

#[test]
fn batches_that_are_refused() {
    let mut flipped = good();
    flipped[70] ^= 1;
    let mut two = good();
    two.extend(good());
    let mut v1 = good();
    v1[16] = 1;
    let mut longer = good();
    longer[8..12].copy_from_slice(&i32::MAX.to_be_bytes());
    let mut shorter = good();
    shorter[8..12].copy_from_slice(&48i32.to_be_bytes());
    let (needed, got) = (good().len(), good().len() - 1);
    let count = |count, last_offset_delta| BatchError::RecordCount {
        count,
        last_offset_delta,
    };

    let cases = [
        (vec![], BatchError::Empty, false),
        (
            good()[..40].to_vec(),
            BatchError::Truncated {
                needed: 61,
                got: 40,
            },
            false,
        ),
        (
            good()[..got].to_vec(),
            BatchError::Truncated { needed, got },
            false,
        ),
        (
            longer,
            BatchError::Truncated {
                needed: i32::MAX as usize + 12,
                got: needed,
            },
            false,
        ),
        (shorter, BatchError::BatchLength(48), true),
        (v1.clone(), BatchError::Magic(1), false),
        (v1[..34].to_vec(), BatchError::Magic(1), false),
        (two, BatchError::TrailingBytes { bytes: needed }, false),
        (with(21, &[0, 5]), BatchError::UnknownCodec(5), false),
        (with(21, &[0, 0x20]), BatchError::Control, false),
        (
            with(21, &[0, 0x10]),
            BatchError::TransactionalWithoutProducer,
            false,
        ),
        (with(57, &[0, 0, 0, 3]), count(3, 1), false),
        (with(57, &[0, 0, 0, 0]), count(0, 1), false),
        (with(57, &[0xff; 4]), count(-1, 1), false),
        (with(23, &i32::MAX.to_be_bytes()), count(2, i32::MAX), false),
        (
            with(43, &[0, 0, 0, 0, 0, 0, 0, 9]),
            BatchError::Sequence {
                producer_id: 9,
                base_sequence: -1,
            },
            false,
        ),
    ];
    for (bytes, error, corrupt) in cases {
        assert_eq!(check(&bytes), Err(error));
        assert_eq!(error.is_corrupt(), corrupt, "{error}");
    }
    let error = check(&flipped).unwrap_err();
    assert!(matches!(error, BatchError::Crc { .. }) && error.is_corrupt());
}

#[test]
fn records_that_are_refused() {
    const FIRST: &str = "0c 00 00 00 01 01 00";
    // What stands behind the first of two records, where the walk stops, and why.
    let cases = [
        ("", 1, RecordFault::Missing),
        (
            "0c 00 02 00 01 01 00",
            1,
            RecordFault::OffsetDelta {
                expected: 1,
                got: 0,
            },
        ),
        (
            "0c 00 02 04 01 01 00",
            1,
            RecordFault::OffsetDelta {
                expected: 1,
                got: 2,
            },
        ),
        ("0e 00 02 02 01 01 00", 1, RecordFault::Truncated),
        ("0a 00 02 02 01 01 00", 1, RecordFault::Truncated),
        (
            "0e 00 02 02 01 01 00 00",
            1,
            RecordFault::Slack { bytes: 1 },
        ),
        ("01", 1, RecordFault::NegativeLength(-1)),
        ("0c 00 02 02 03 01 00", 1, RecordFault::NegativeLength(-2)),
        ("0c 00 02 02 01 01 01", 1, RecordFault::NegativeLength(-1)),
        (
            "10 00 02 02 01 01 02 01 01",
            1,
            RecordFault::NegativeLength(-1),
        ),
        (
            "14 00 02 02 01 01 fe ff ff ff 0f",
            1,
            RecordFault::Truncated,
        ),
        ("ff ff ff ff 7f 00", 1, RecordFault::Varint),
        (
            "0c 00 02 02 01 01 00 00 00",
            2,
            RecordFault::TrailingBytes { bytes: 2 },
        ),
    ];
    for (second, index, fault) in cases {
        let bytes = Bytes::from(batch(HEADER, &format!("{FIRST} {second}")));
        let error = RecordError { index, fault };
        assert_eq!(
            validate_records(&bytes, LIMIT),
            Err(error.into()),
            "{second}"
        );

        // Gaps are legal where compaction made them: only a produced batch may have none.
        let last = Records::open(&bytes, LIMIT)
            .unwrap()
            .iter()
            .last()
            .map(|r| r.err());
        let gap = matches!(fault, RecordFault::OffsetDelta { .. });
        assert_eq!(last, Some((!gap).then_some(error)), "{second}");
    }
}

#[test]
fn huge_declared_counts_end_with_the_bytes() {
    let mut bytes = with(57, &i32::MAX.to_be_bytes());
    bytes[23..27].copy_from_slice(&(i32::MAX - 1).to_be_bytes());
    seal(&mut bytes);
    check(&bytes).unwrap();
    let error = RecordError {
        index: 2,
        fault: RecordFault::Missing,
    };
    assert_eq!(
        validate_records(&bytes, LIMIT),
        Err(RecordsError::Record(error))
    );
}

#[test]
fn extreme_header_values_do_not_overflow() {
    let mut bytes = good();
    bytes[0..8].copy_from_slice(&i64::MAX.to_be_bytes());
    bytes[23..27].copy_from_slice(&i32::MIN.to_be_bytes());
    bytes[27..35].copy_from_slice(&i64::MIN.to_be_bytes());
    bytes[53..57].copy_from_slice(&7i32.to_be_bytes());
    let header = BatchHeader::read(&bytes).unwrap();
    let _ = (header.last_offset(), header.total_len());
    assert!(header.last_sequence() >= 0);
    assert_eq!(
        Records::open(&Bytes::from(bytes), LIMIT)
            .unwrap()
            .iter()
            .count(),
        2
    );
}

#[test]
fn sequences_wrap_to_zero() {
    let sequence_of = |base: i32, delta: i32| {
        let mut bytes = good();
        bytes[23..27].copy_from_slice(&delta.to_be_bytes());
        bytes[53..57].copy_from_slice(&base.to_be_bytes());
        BatchHeader::read(&bytes).unwrap().last_sequence()
    };
    assert_eq!(sequence_of(i32::MAX - 1, 1), i32::MAX);
    assert_eq!(sequence_of(i32::MAX, 1), 0);
    assert_eq!(sequence_of(i32::MAX, i32::MAX), i32::MAX - 1);
    assert_eq!(sequence_of(-1, 4), -1);
}

#[test]
fn a_batch_with_gaps_keeps_its_offsets() {
    let mut b = BatchBuilder::new().base_offset(100);
    b.append_at(3, 1, None, Some(b"a"), []).unwrap();
    b.append_at(7, 2, None, Some(b"b"), []).unwrap();
    let refused = b.append_at(7, 3, None, None, []);
    assert_eq!(refused, Err(BuildError::OffsetOrder { last: 7, got: 7 }));
    let batch = b.cover_to(9).finish().unwrap();

    let header = check_intact(&batch).unwrap();
    assert_eq!((header.record_count, header.last_offset()), (2, 109));
    assert!(matches!(check(&batch), Err(BatchError::RecordCount { .. })));
    let records = Records::open(&batch, LIMIT).unwrap();
    let offsets: Vec<i64> = records.iter().map(|r| r.unwrap().offset).collect();
    assert_eq!(offsets, [103, 107]);
}

#[test]
fn a_batch_of_no_records_covers_offsets() {
    let batch = BatchBuilder::new()
        .base_offset(10)
        .cover_to(4)
        .finish()
        .unwrap();
    let header = check_intact(&batch).unwrap();
    assert_eq!((header.record_count, header.last_offset()), (0, 14));
    assert_eq!(Records::open(&batch, LIMIT).unwrap().iter().count(), 0);
}

#[test]
fn markers_of_later_versions_and_other_kinds() {
    let commit = hex("00 00 00 01");
    let epoch_5 = hex("00 00 00 00 00 05");
    let decode = |key: &[u8], value: &[u8]| TxnMarker::decode(Some(key), Some(value));
    let marker = TxnMarker {
        outcome: Outcome::Commit,
        coordinator_epoch: 5,
    };
    assert_eq!(decode(&commit, &epoch_5), Ok(marker));
    assert_eq!(
        decode(&hex("00 01 00 01 aa"), &hex("00 01 00 00 00 05 aa")),
        Ok(marker)
    );
    assert_eq!(
        decode(&hex("00 00 00 02"), &epoch_5),
        Err(MarkerError::Type(2))
    );
    assert_eq!(
        decode(&hex("ff ff 00 01"), &epoch_5),
        Err(MarkerError::Version(-1))
    );
    assert_eq!(decode(&commit, &hex("00 00 00")), Err(MarkerError::Short));
    assert_eq!(
        TxnMarker::decode(None, Some(&epoch_5)),
        Err(MarkerError::Short)
    );
}

#[test]
fn a_control_batch_says_what_its_marker_says_or_nothing_any_more() {
    let marker = TxnMarker {
        outcome: Outcome::Abort,
        coordinator_epoch: 8,
    };
    let batch = marker.to_batch(1, 0, 5, 0, 7).unwrap();
    assert_eq!(TxnMarker::of_batch(&batch), Ok(Some(marker)));
    let hollow = BatchBuilder::new().producer(1, 0, -1).control().finish();
    assert_eq!(TxnMarker::of_batch(&hollow.unwrap()), Ok(None));
    let mut other = BatchBuilder::new().producer(1, 0, -1).control();
    other
        .append(7, Some(&[0, 0, 0, 4]), Some(&[0; 6]), [])
        .unwrap();
    let other = TxnMarker::of_batch(&other.finish().unwrap());
    assert_eq!(other, Err(MarkerError::Type(4).into()));
    assert!(TxnMarker::of_batch(&batch.slice(..batch.len() - 1)).is_err());
}
