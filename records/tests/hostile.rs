//! Bytes from people who mean harm: nothing panics, no result and no buffer passes the limit, and
//! what is built comes back the same. Seeds are fixed; a failure prints its round.

mod common;

use std::borrow::Cow;
use std::io::Write;

use bytes::Bytes;
use common::{LIMIT, Owned, fixture, seal};
use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};
use tidelog_records::codec::{Codec, CodecError, compress, decompress};
use tidelog_records::search::max_timestamp;
use tidelog_records::validate::{check, validate_records};
use tidelog_records::{BatchBuilder, BatchHeader, RecordIter, Records};

const COMPRESSED: [Codec; 4] = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

/// Decompresses, and holds the result to its promise.
fn bounded(codec: Codec, bytes: &[u8], limit: usize) -> Result<Vec<u8>, CodecError> {
    let out = decompress(codec, bytes, limit)?;
    assert!(out.len() <= limit);
    if let Cow::Owned(out) = &out {
        assert!(out.capacity() <= limit, "{codec:?} took more than {limit}");
    }
    Ok(out.into_owned())
}

/// Everything that may be done with a batch nobody vouches for.
fn use_in_every_way(batch: &Bytes, limit: usize) {
    let _ = check(batch);
    if let Ok(summary) = validate_records(batch, limit) {
        assert!(summary.records_bytes <= limit);
    }
    if let Ok(records) = Records::open(batch, limit) {
        assert!(records.bytes().len() <= limit);
        for record in &records {
            let Ok(record) = record else { continue };
            assert_eq!(record.headers.len(), record.headers.count());
        }
        let _ = max_timestamp(&records);
    }
}

#[test]
fn the_limit_is_exact() {
    let text = b"the same words again and again, ".repeat(9000);
    let noise: Vec<u8> = {
        let mut bytes = vec![0; 150_000];
        SmallRng::seed_from_u64(1).fill_bytes(&mut bytes);
        bytes
    };
    for codec in COMPRESSED {
        for content in [&text, &noise] {
            let packed = compress(codec, None, content).unwrap();
            assert!(
                bounded(codec, &packed, content.len()).unwrap() == *content,
                "{codec:?}"
            );
            let limit_bytes = content.len() - 1;
            let refused = Err(CodecError::LimitExceeded { codec, limit_bytes });
            assert_eq!(bounded(codec, &packed, limit_bytes), refused);
        }
    }
    let limit_bytes = 3;
    let refused = CodecError::LimitExceeded {
        codec: Codec::None,
        limit_bytes,
    };
    assert_eq!(bounded(Codec::None, b"four", limit_bytes), Err(refused));
}

#[test]
fn bombs_stop_at_the_limit() {
    let zeros = vec![0u8; 20 << 20];
    for codec in COMPRESSED {
        let bomb = compress(codec, None, &zeros).unwrap();
        for limit_bytes in [0, 1, 1000, LIMIT] {
            let refused = CodecError::LimitExceeded { codec, limit_bytes };
            assert_eq!(bounded(codec, &bomb, limit_bytes), Err(refused));
        }
    }
}

#[test]
fn nothing_and_everything_cut_short_is_malformed() {
    let content = b"some words to be cut, some words to be cut".repeat(50);
    for codec in COMPRESSED {
        assert!(
            matches!(bounded(codec, b"", 9), Err(CodecError::Malformed { .. })),
            "{codec:?}"
        );
        let packed = compress(codec, None, &content).unwrap();
        // Snappy's framing has no end of its own: an empty stream is a header alone.
        let shortest = if codec == Codec::Snappy { 17 } else { 1 };
        for len in shortest..packed.len() {
            let cut = bounded(codec, &packed[..len], LIMIT);
            assert!(
                matches!(cut, Err(CodecError::Malformed { .. })),
                "{codec:?} at {len}"
            );
        }
    }
}

#[test]
fn false_sizes_take_no_memory() {
    // A raw snappy block that declares 4 GiB − 1, and one within the limit but out of proportion.
    let huge = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
    let large = [0x80, 0x80, 0x20, 0x00];
    for block in [&huge[..], &large[..]] {
        assert!(bounded(Codec::Snappy, block, LIMIT).is_err());
    }
    // A zstd frame header that declares 2^60 bytes.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xe0];
    frame.extend((1u64 << 60).to_le_bytes());
    frame.extend([1, 0, 0]);
    assert!(bounded(Codec::Zstd, &frame, LIMIT).is_err());
}

#[test]
fn streams_put_one_behind_the_other_are_one() {
    let (a, b) = (b"first part ".repeat(400), b"second part ".repeat(4000));
    let both = [&a[..], &b[..]].concat();
    for codec in COMPRESSED {
        let packed = [
            compress(codec, None, &a).unwrap(),
            compress(codec, None, &b).unwrap(),
        ];
        assert!(
            bounded(codec, &packed.concat(), both.len()).unwrap() == both,
            "{codec:?}"
        );
    }
}

#[test]
fn zstd_frames_that_do_not_tell_their_size() {
    let content = b"streamed without a known size; ".repeat(20_000);
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 19).unwrap();
    encoder.write_all(&content).unwrap();
    let packed = encoder.finish().unwrap();
    assert!(bounded(Codec::Zstd, &packed, content.len()).unwrap() == content);
    assert!(bounded(Codec::Zstd, &packed, content.len() - 1).is_err());
}

#[test]
fn levels_out_of_range_are_brought_into_it() {
    let content = b"level ".repeat(300);
    for codec in COMPRESSED {
        for level in [i32::MIN, -1, 0, 1, 9, 22, i32::MAX] {
            let packed = compress(codec, Some(level), &content).unwrap();
            assert!(
                bounded(codec, &packed, LIMIT).unwrap() == content,
                "{codec:?} {level}"
            );
        }
    }
}

#[test]
fn random_bytes() {
    let mut rng = SmallRng::seed_from_u64(2);
    for _ in 0..20_000 {
        let mut bytes = vec![0; rng.random_range(0..200)];
        rng.fill_bytes(&mut bytes);
        for codec in COMPRESSED {
            let _ = bounded(codec, &bytes, 4096);
        }
        // Past the header's own checks, so that the walk is reached.
        if let Some(header) = BatchHeader::read(&bytes) {
            let _ = RecordIter::new(&header, &bytes[61..]).count();
            bytes[16] = 2;
            let length = bytes.len() as i32 - 12;
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
        }
        use_in_every_way(&Bytes::from(bytes), 4096);
    }
}

#[test]
fn mutated_batches() {
    let names = ["none", "gzip", "snappy", "lz4", "zstd"];
    let clients = ["java", "python", "kafkajs"];
    let mut batches: Vec<Bytes> = clients
        .iter()
        .flat_map(|client| names.iter().map(move |name| (client, name)))
        .filter(|pair| *pair != (&"kafkajs", &"zstd"))
        .map(|(client, name)| fixture(&format!("{client}-{name}.bin")))
        .collect();
    batches.push(fixture("java-commit.bin"));

    let mut rng = SmallRng::seed_from_u64(3);
    for round in 0..3000 {
        let original = &batches[round % batches.len()];
        let mut bytes = original.to_vec();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(17..bytes.len());
            bytes[at] = rng.random();
        }
        if bytes[17..] != original[17..] {
            assert!(
                check(&bytes).is_err(),
                "round {round}: the crc sees every change"
            );
        }
        seal(&mut bytes);
        use_in_every_way(&Bytes::from(bytes), 200_000);
    }
}

fn any_bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..max)
}

fn any_record() -> impl Strategy<Value = Owned> {
    let header = (any_bytes(6), prop::option::of(any_bytes(6)));
    (
        any::<i64>(),
        prop::option::of(any_bytes(20)),
        prop::option::of(any_bytes(300)),
        prop::collection::vec(header, 0..4),
    )
        .prop_map(|(timestamp, key, value, headers)| Owned {
            timestamp,
            key,
            value,
            headers,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_is_built_is_read(
        records in prop::collection::vec(any_record(), 1..30),
        codec_id in 0i16..5,
        base_offset in 0..i64::MAX / 2,
    ) {
        let codec = Codec::from_id(codec_id).unwrap();
        let mut builder = BatchBuilder::new()
            .base_offset(base_offset)
            .producer(7, 1, i32::MAX)
            .codec(codec, None);
        records.iter().for_each(|r| r.append_to(&mut builder));
        let size = builder.size_bytes();
        let batch = builder.finish().unwrap();

        let header = check(&batch).unwrap();
        let summary = validate_records(&batch, LIMIT).unwrap();
        prop_assert_eq!(summary.records_bytes, size - 61);
        prop_assert_eq!(summary.max_timestamp, header.max_timestamp);
        prop_assert_eq!(summary.min_timestamp, records.iter().map(|r| r.timestamp).min().unwrap());
        let null = records.iter().position(|r| r.key.is_none()).map(|at| at as i32);
        prop_assert_eq!(summary.first_null_key, null);

        let opened = Records::open(&batch, LIMIT).unwrap();
        let max = max_timestamp(&opened).unwrap().unwrap();
        let max_offset = base_offset + i64::from(summary.max_timestamp_offset_delta);
        prop_assert_eq!((max.offset, max.timestamp), (max_offset, summary.max_timestamp));
        let read: Vec<Owned> = opened.iter().map(|r| r.unwrap().into()).collect();
        prop_assert_eq!(read, records);
    }

    #[test]
    fn any_bytes_through_every_codec(content in any_bytes(5000)) {
        for codec in COMPRESSED {
            let packed = compress(codec, None, &content).unwrap();
            prop_assert_eq!(&bounded(codec, &packed, content.len()).unwrap(), &content);
        }
    }
}
