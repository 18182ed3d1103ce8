//! Batches that Java, kafka-python and kafkajs wrote: each is accepted, holds the story, and where
//! nothing is compressed our encoder makes the very same bytes.

mod common;

use common::{LIMIT, Owned, T, fixture, story};
use tidelog_records::codec::{Codec, decompress};
use tidelog_records::control::{Outcome, TxnMarker};
use tidelog_records::validate::{RecordsSummary, check, check_intact, validate_records};
use tidelog_records::{BatchBuilder, Records};

const CODECS: [(&str, Codec); 5] = [
    ("none", Codec::None),
    ("gzip", Codec::Gzip),
    ("snappy", Codec::Snappy),
    ("lz4", Codec::Lz4),
    ("zstd", Codec::Zstd),
];

#[test]
fn every_batch_holds_the_story() {
    for client in ["java", "python", "kafkajs"] {
        for (name, codec) in CODECS {
            if (client, name) == ("kafkajs", "zstd") {
                continue;
            }
            let file = format!("{client}-{name}.bin");
            let batch = fixture(&file);
            let header = check(&batch).unwrap_or_else(|e| panic!("{file}: {e}"));
            assert_eq!(header.codec(), Some(codec), "{file}");
            assert_eq!(header.record_count, 20, "{file}");
            assert_eq!(header.max_timestamp, T + 95, "{file}");

            let records = Records::open(&batch, LIMIT).unwrap_or_else(|e| panic!("{file}: {e}"));
            let read: Vec<Owned> = records.iter().map(|r| r.unwrap().into()).collect();
            let told = story(codec != Codec::None, client != "kafkajs");
            assert!(read == told, "{file} holds other records");

            let summary = validate_records(&batch, LIMIT).unwrap();
            let expected = RecordsSummary {
                record_count: 20,
                records_bytes: records.bytes().len(),
                min_timestamp: T - 17,
                max_timestamp: T + 95,
                max_timestamp_offset_delta: 19,
                first_null_key: Some(3),
            };
            assert_eq!(summary, expected, "{file}");
        }
    }
}

#[test]
fn uncompressed_java_bytes_are_ours() {
    let mut batch = BatchBuilder::new().base_offset(40).leader_epoch(7);
    story(false, true)
        .iter()
        .for_each(|r| r.append_to(&mut batch));
    assert_eq!(batch.finish().unwrap(), fixture("java-none.bin"));
}

#[test]
fn append_time_transaction_is_javas_byte_for_byte() {
    let java = fixture("java-txn-append-time.bin");
    let mut batch = BatchBuilder::new()
        .base_offset(40)
        .leader_epoch(7)
        .producer(9000, 3, 2_147_483_640)
        .transactional()
        .log_append_time(T + 1000);
    story(false, true)
        .iter()
        .for_each(|r| r.append_to(&mut batch));
    assert_eq!(batch.finish().unwrap(), java);

    let header = check(&java).unwrap();
    assert!(header.is_log_append_time() && header.is_transactional() && !header.is_control());
    assert_eq!(
        header.last_sequence(),
        11,
        "sequences wrap to 0 after 2147483647"
    );
    let records = Records::open(&java, LIMIT).unwrap();
    assert!(records.iter().all(|r| r.unwrap().timestamp == T + 1000));
}

#[test]
fn markers_are_javas_byte_for_byte() {
    let cases = [
        (
            "java-commit.bin",
            77,
            TxnMarker {
                outcome: Outcome::Commit,
                coordinator_epoch: 12,
            },
        ),
        (
            "java-abort.bin",
            78,
            TxnMarker {
                outcome: Outcome::Abort,
                coordinator_epoch: 13,
            },
        ),
    ];
    for (file, offset, marker) in cases {
        let batch = fixture(file);
        let header = check_intact(&batch).unwrap();
        assert!(header.is_control() && header.is_transactional());
        let records = Records::open(&batch, LIMIT).unwrap();
        let record = records.iter().next().unwrap().unwrap();
        assert_eq!(TxnMarker::decode(record.key, record.value), Ok(marker));
        assert_eq!(marker.to_batch(9000, 3, offset, 7, T).unwrap(), batch);
    }
}

#[test]
fn lz4_frames_of_every_kind_are_read() {
    let content: String = (0..6000)
        .map(|n| format!("line {n} of a frame that spans blocks\n"))
        .collect();
    let linked = fixture("frame-linked-all-checks.lz4");
    let bare = fixture("frame-independent-bare.lz4");
    for frame in [&linked, &bare] {
        let read = decompress(Codec::Lz4, frame, content.len()).unwrap();
        assert!(read == content.as_bytes());
        assert!(decompress(Codec::Lz4, frame, content.len() - 1).is_err());
        for cut in [1, 4, 5, 100, frame.len() - 8] {
            assert!(decompress(Codec::Lz4, &frame[..frame.len() - cut], LIMIT).is_err());
        }
    }
    let both = [&linked[..], &bare[..]].concat();
    let twice = decompress(Codec::Lz4, &both, 2 * content.len()).unwrap();
    assert!(twice == content.repeat(2).as_bytes());
}

#[test]
fn a_flipped_bit_in_a_checked_lz4_frame_is_found() {
    let frame = fixture("frame-linked-all-checks.lz4");
    for at in (0..frame.len()).step_by(97) {
        let mut bytes = frame.to_vec();
        bytes[at] ^= 0x10;
        assert!(decompress(Codec::Lz4, &bytes, LIMIT).is_err(), "byte {at}");
    }
}
