//! One batch after the other against the rules, as a table.

use std::collections::BTreeMap;

use tidelog_coordinator::cluster::settings::{BrokerSettings, Layers};
use tidelog_protocol_ext::ErrorCode;

use super::*;
use crate::api::error::Coded;

const NOW_MS: i64 = 1_700_000_000_000;
const HOUR_MS: i64 = 3_600_000;

fn settings(overrides: &[(&str, &str)]) -> TopicSettings {
    let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let overrides: BTreeMap<_, _> = overrides.iter().map(text).collect();
    let broker = BrokerSettings::new([]);
    TopicSettings::resolve(&Layers::new(&broker, None, None).with_topic(&overrides))
}

/// Records at these times, with keys.
fn batch(codec: Codec, times: &[i64]) -> Bytes {
    let mut builder = BatchBuilder::new().codec(codec, None);
    for (i, time) in times.iter().enumerate() {
        let headers: [(&[u8], Option<&[u8]>); 3] =
            [(b"h", Some(b"1")), (b"h", None), (b"\xff", Some(b""))];
        let key = format!("k{i}");
        builder
            .append(*time, Some(key.as_bytes()), Some(&[b'v'; 100]), headers)
            .unwrap();
    }
    builder.finish().unwrap()
}

fn keyless(count: usize, keyed_at: usize) -> Bytes {
    let mut builder = BatchBuilder::new();
    for i in 0..count {
        let key: Option<&[u8]> = (i == keyed_at).then_some(b"k");
        builder.append(NOW_MS, key, None, []).unwrap();
    }
    builder.finish().unwrap()
}

/// `batch` with other bytes at a place, its crc made right again.
fn with(batch: &Bytes, at: usize, bytes: &[u8]) -> Bytes {
    let mut copy = batch.to_vec();
    copy[at..at + bytes.len()].copy_from_slice(bytes);
    let crc = crc(&copy[21..]);
    copy[17..21].copy_from_slice(&crc.to_be_bytes());
    copy.into()
}

/// Crc32c, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    })
}

fn judge(batch: &Bytes, overrides: &[(&str, &str)], version: i16) -> Result<Admitted, Refusal> {
    let settings = settings(overrides);
    let rules = Rules {
        settings: &settings,
        version,
        now_ms: NOW_MS,
    };
    admit(batch, &rules)
}

const COMPACT: &[(&str, &str)] = &[("cleanup.policy", "compact")];
const APPEND_TIME: &[(&str, &str)] = &[("message.timestamp.type", "LogAppendTime")];

/// Name, what is sent, the topic's settings, version, expected code.
type Case<'a> = (&'a str, Bytes, &'a [(&'a str, &'a str)], i16, ErrorCode);

#[test]
fn what_is_refused_and_with_which_code() {
    let good = batch(Codec::None, &[NOW_MS, NOW_MS]);
    let mut bad_crc = good.to_vec();
    bad_crc[70] ^= 1;
    let two = [&good[..], &good[..]].concat();
    let old = with(&good, 16, &[1]);
    let zstd = batch(Codec::Zstd, &[NOW_MS]);
    let small: &[(&str, &str)] = &[("max.message.bytes", "100")];
    let past: &[(&str, &str)] = &[("message.timestamp.before.max.ms", "1000")];
    let cases: Vec<Case<'_>> = vec![
        ("nothing", Bytes::new(), &[], 9, ErrorCode::InvalidRecord),
        ("two batches", two.into(), &[], 9, ErrorCode::InvalidRecord),
        ("magic 1", old, &[], 9, ErrorCode::InvalidRecord),
        ("cut", good.slice(..99), &[], 9, ErrorCode::InvalidRecord),
        ("crc", bad_crc.into(), &[], 9, ErrorCode::CorruptMessage),
        (
            "count",
            with(&good, 57, &[0, 0, 0, 3]),
            &[],
            9,
            ErrorCode::InvalidRecord,
        ),
        (
            "count and delta both wrong",
            with(&with(&good, 57, &[0, 0, 0, 3]), 23, &[0, 0, 0, 2]),
            &[],
            9,
            ErrorCode::InvalidRecord,
        ),
        (
            "control",
            with(&good, 22, &[0x20]),
            &[],
            9,
            ErrorCode::InvalidRecord,
        ),
        (
            "codec 7",
            with(&good, 22, &[7]),
            &[],
            9,
            ErrorCode::UnsupportedCompressionType,
        ),
        (
            "not gzip",
            with(&good, 22, &[1]),
            &[],
            9,
            ErrorCode::InvalidRecord,
        ),
        (
            "no sequence",
            with(&good, 43, &7i64.to_be_bytes()),
            &[],
            9,
            ErrorCode::InvalidRecord,
        ),
        (
            "zstd too early",
            zstd,
            &[],
            6,
            ErrorCode::UnsupportedCompressionType,
        ),
        (
            "too large",
            good.clone(),
            small,
            9,
            ErrorCode::MessageTooLarge,
        ),
        (
            "no key",
            keyless(3, 1),
            COMPACT,
            9,
            ErrorCode::InvalidRecord,
        ),
        (
            "claims append time",
            with(&good, 22, &[8]),
            APPEND_TIME,
            9,
            ErrorCode::InvalidTimestamp,
        ),
        (
            "far future",
            batch(Codec::Lz4, &[NOW_MS, NOW_MS + HOUR_MS + 1]),
            &[],
            9,
            ErrorCode::InvalidTimestamp,
        ),
        (
            "past",
            batch(Codec::None, &[NOW_MS - 1001]),
            past,
            9,
            ErrorCode::InvalidTimestamp,
        ),
    ];
    for (name, batch, overrides, version, code) in cases {
        let refusal = judge(&batch, overrides, version).unwrap_err();
        assert_eq!(refusal.code(), code, "{name}: {refusal}");
    }
}

#[test]
fn every_bad_record_is_named() {
    let refusal = judge(&keyless(4, 1), COMPACT, 9).unwrap_err();
    let bad: Vec<_> = refusal.bad_records().iter().map(|bad| bad.index).collect();
    assert_eq!(bad, [0, 2, 3]);

    let late = batch(Codec::Gzip, &[NOW_MS, NOW_MS + 2 * HOUR_MS, -1]);
    let refusal = judge(&late, &[], 9).unwrap_err();
    let [bad] = refusal.bad_records() else {
        panic!("{refusal}")
    };
    assert_eq!(bad.index, 1);
    assert_eq!(
        bad.fault.to_string(),
        "timestamp 1700007200000 is not in -9223370336854775807 to 1700003600000"
    );
}

#[test]
fn a_record_without_a_time_is_always_timely() {
    let past: &[(&str, &str)] = &[("message.timestamp.before.max.ms", "1000")];
    let admitted = judge(&batch(Codec::None, &[-1, NOW_MS]), past, 9).unwrap();
    assert_eq!(admitted.header.max_timestamp, NOW_MS);
}

#[test]
fn what_needs_no_change_is_the_very_same_bytes() {
    for codec in [
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ] {
        let sent = batch(codec, &[NOW_MS, NOW_MS - 5]);
        let admitted = judge(&sent, &[], 9).unwrap();
        assert_eq!(admitted.bytes.as_ptr(), sent.as_ptr(), "{codec:?}");
        assert_eq!(admitted.append_time_ms, -1);
        let same: &[(&str, &str)] = &[("compression.type", codec_name(codec))];
        assert_eq!(judge(&sent, same, 9).unwrap().bytes.as_ptr(), sent.as_ptr());
    }
}

fn codec_name(codec: Codec) -> &'static str {
    match codec {
        Codec::None => "uncompressed",
        codec => codec.name(),
    }
}

#[test]
fn the_greatest_time_is_made_right_and_a_claimed_append_time_taken_back() {
    let sent = batch(Codec::None, &[NOW_MS, NOW_MS - 5]);
    let wrong = with(&sent, 35, &(NOW_MS + 7).to_be_bytes());
    assert_eq!(judge(&wrong, &[], 9).unwrap().bytes, sent);
    let claimed = with(&wrong, 22, &[8]);
    assert_eq!(judge(&claimed, &[], 9).unwrap().bytes, sent);
}

#[test]
fn append_time_topics_get_the_brokers_time() {
    for overrides in [APPEND_TIME, &[APPEND_TIME[0], ("compression.type", "gzip")]] {
        let sent = batch(Codec::Zstd, &[5, NOW_MS + 9 * HOUR_MS]);
        let admitted = judge(&sent, overrides, 9).unwrap();
        assert_eq!(admitted.append_time_ms, NOW_MS);
        assert!(admitted.header.is_log_append_time());
        assert_eq!(admitted.header.max_timestamp, NOW_MS);
        validate::check(&admitted.bytes).unwrap();
        let records = Records::open(&admitted.bytes, usize::MAX).unwrap();
        assert!(
            records
                .iter()
                .all(|record| record.unwrap().timestamp == NOW_MS)
        );
    }
}

#[test]
fn another_codec_keeps_records_and_producer() {
    let sent = with(
        &batch(Codec::Snappy, &[NOW_MS, 3, NOW_MS]),
        43,
        &[0, 0, 0, 0, 0, 0, 0, 9, 0, 4, 0, 0, 0, 6],
    );
    for codec in [Codec::None, Codec::Gzip, Codec::Lz4, Codec::Zstd] {
        let other: &[(&str, &str)] = &[("compression.type", codec_name(codec))];
        let admitted = judge(&sent, other, 9).unwrap();
        let header = validate::check(&admitted.bytes).unwrap();
        assert_eq!(header, admitted.header);
        assert_eq!(header.codec(), Some(codec));
        let producer = (
            header.producer_id,
            header.producer_epoch,
            header.base_sequence,
        );
        assert_eq!(producer, (9, 4, 6));
        let [before, after] =
            [&sent, &admitted.bytes].map(|batch| Records::open(batch, usize::MAX).unwrap());
        assert!(before.iter().eq(after.iter()), "{codec:?}");
    }
}

#[test]
fn what_grows_beyond_the_limit_is_too_large() {
    let sent = batch(Codec::Gzip, &[NOW_MS; 50]);
    let limit = (sent.len() + 10).to_string();
    let overrides = [
        ("compression.type", "uncompressed"),
        ("max.message.bytes", &*limit),
    ];
    let refusal = judge(&sent, &overrides, 9).unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::MessageTooLarge);
}

#[test]
fn compressed_or_long_batches_are_heavy() {
    let heavy = |batch: &Bytes| is_heavy(batch.len(), std::iter::once(&batch[..]));
    assert!(!heavy(&batch(Codec::None, &[1])));
    assert!(heavy(&batch(Codec::None, &[1; 1000])));
    assert!(heavy(&batch(Codec::Lz4, &[1])));
    assert!(!heavy(&Bytes::from_static(b"rubbish")));
}
