//! The bytes of the records of groups of the new protocol.

use std::collections::BTreeMap;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidelog_coordinator::group::{
    Assignment, ClassicMemberMetadata, ConsumerMemberMetadata, ConsumerRecord, CurrentAssignment,
    GroupRecord, MemberState, ResolvedRegex, Since, TopicShape, WireError,
};
use uuid::Uuid;

const TOPIC: Uuid = Uuid::from_bytes(*b"0123456789abcdef");

fn partitions(partitions: &[i32]) -> Assignment {
    partitions
        .iter()
        .map(|&partition| (TOPIC, partition))
        .collect()
}

fn member(classic: Option<ClassicMemberMetadata>) -> ConsumerMemberMetadata {
    ConsumerMemberMetadata {
        instance_id: Some("i".to_owned()),
        rack_id: None,
        client_id: "c".to_owned(),
        client_host: "/h".to_owned(),
        topics: ["t".to_owned(), "u".to_owned()].into(),
        regex: Some(".*".to_owned()),
        rebalance_timeout_ms: 3,
        assignor: Some("range".to_owned()),
        classic,
    }
}

/// Each record with its key and value in Kafka's bytes.
fn table() -> Vec<(ConsumerRecord, &'static [u8], &'static [u8])> {
    let topics = BTreeMap::from([(
        "t".to_owned(),
        TopicShape {
            id: TOPIC,
            partitions: 2,
        },
    )]);
    let classic = ClassicMemberMetadata {
        session_timeout_ms: 9,
        protocols: vec![("r".to_owned(), Bytes::from_static(b"xy"))],
    };
    let current = CurrentAssignment {
        epoch: 5,
        previous_epoch: 4,
        state: MemberState::Unrevoked,
        assigned: partitions(&[0]),
        revoking: partitions(&[1]),
        since: Since::all(&partitions(&[0, 1]), 5),
    };
    let kept = CurrentAssignment {
        epoch: 5,
        previous_epoch: 4,
        state: MemberState::Stable,
        assigned: partitions(&[0, 1]),
        revoking: Assignment::default(),
        since: [((TOPIC, 0), 3), ((TOPIC, 1), 5)].into_iter().collect(),
    };
    let resolved = ResolvedRegex {
        topics: ["t".to_owned()].into(),
        version: 7,
        timestamp_ms: 8,
    };
    let m = || "m".to_owned();
    vec![
        (
            ConsumerRecord::Group(Some(5)),
            b"\0\x03\0\x01g",
            b"\0\0\0\0\0\x05\0",
        ),
        (
            ConsumerRecord::Topics(Some(topics)),
            b"\0\x04\0\x01g",
            b"\0\0\x020123456789abcdef\x02t\0\0\0\x02\x01\0\0",
        ),
        (
            ConsumerRecord::Member {
                member_id: m(),
                value: Some(member(None)),
            },
            b"\0\x05\0\x01g\0\x01m",
            b"\0\0\x02i\0\x02c\x03/h\x03\x02t\x02u\x03.*\0\0\0\x03\x06range\0",
        ),
        (
            ConsumerRecord::Member {
                member_id: m(),
                value: Some(member(Some(classic))),
            },
            b"\0\x05\0\x01g\0\x01m",
            b"\0\0\x02i\0\x02c\x03/h\x03\x02t\x02u\x03.*\0\0\0\x03\x06range\
              \x01\0\x0d\x01\0\0\0\x09\x02\x02r\x03xy\0\0",
        ),
        (
            ConsumerRecord::TargetEpoch(Some(5)),
            b"\0\x06\0\x01g",
            b"\0\0\0\0\0\x05\0",
        ),
        (
            ConsumerRecord::Target {
                member_id: m(),
                value: Some(partitions(&[0, 1])),
            },
            b"\0\x07\0\x01g\0\x01m",
            b"\0\0\x020123456789abcdef\x03\0\0\0\0\0\0\0\x01\0\0",
        ),
        (
            ConsumerRecord::Current {
                member_id: m(),
                value: Some(current),
            },
            b"\0\x08\0\x01g\0\x01m",
            b"\0\0\0\0\0\x05\0\0\0\x04\x01\x020123456789abcdef\x02\0\0\0\0\0\
              \x020123456789abcdef\x02\0\0\0\x01\0\0",
        ),
        (
            ConsumerRecord::Current {
                member_id: m(),
                value: Some(kept),
            },
            b"\0\x08\0\x01g\0\x01m",
            b"\0\0\0\0\0\x05\0\0\0\x04\0\x020123456789abcdef\x03\0\0\0\0\0\0\0\x01\
              \x01\0\x09\x03\0\0\0\x03\0\0\0\x05\x01\0",
        ),
        (
            ConsumerRecord::Regex {
                regex: "t.*".to_owned(),
                value: Some(resolved),
            },
            b"\0\x10\0\x01g\0\x03t.*",
            b"\0\0\x02\x02t\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x08\0",
        ),
    ]
}

fn record(change: ConsumerRecord) -> GroupRecord {
    let group = "g".to_owned();
    GroupRecord::Consumer { group, change }
}

#[test]
fn records_are_written_and_read_in_kafkas_bytes() {
    for (change, key, value) in table() {
        let record = record(change);
        let (written_key, written_value) = record.encode();
        assert_eq!(written_key, key, "{record:?}");
        assert_eq!(written_value.unwrap(), value, "{record:?}");
        assert_eq!(GroupRecord::decode(key, Some(value)), Ok(Some(record)));
    }
}

#[test]
fn a_key_alone_is_a_tombstone() {
    let m = || "m".to_owned();
    let tombstones = [
        ConsumerRecord::Group(None),
        ConsumerRecord::Topics(None),
        ConsumerRecord::Member {
            member_id: m(),
            value: None,
        },
        ConsumerRecord::TargetEpoch(None),
        ConsumerRecord::Target {
            member_id: m(),
            value: None,
        },
        ConsumerRecord::Current {
            member_id: m(),
            value: None,
        },
        ConsumerRecord::Regex {
            regex: m(),
            value: None,
        },
    ];
    for tombstone in tombstones.map(record) {
        let (key, value) = tombstone.encode();
        assert_eq!(value, None);
        assert_eq!(GroupRecord::decode(&key, None), Ok(Some(tombstone)));
    }
}

/// Kafka 4.1–4.3 tag more fields on: a hash of the topics, the time of the target. Epochs of single
/// partitions are read, also where this broker would leave them out.
#[test]
fn later_tagged_fields_are_read_over() {
    let group = b"\0\0\0\0\0\x05\x01\0\x08\0\0\0\0\0\0\0\x2a";
    for (key, change) in [
        (b"\0\x03\0\x01g", ConsumerRecord::Group(Some(5))),
        (b"\0\x06\0\x01g", ConsumerRecord::TargetEpoch(Some(5))),
    ] {
        assert_eq!(
            GroupRecord::decode(key, Some(group)),
            Ok(Some(record(change)))
        );
    }
    let current = b"\0\0\0\0\0\x05\0\0\0\x04\0\x020123456789abcdef\x02\0\0\0\0\
                    \x01\0\x05\x02\0\0\0\x05\x01\0";
    let expected = CurrentAssignment {
        epoch: 5,
        previous_epoch: 4,
        state: MemberState::Stable,
        assigned: partitions(&[0]),
        revoking: Assignment::default(),
        since: Since::all(&partitions(&[0]), 5),
    };
    let expected = ConsumerRecord::Current {
        member_id: "m".to_owned(),
        value: Some(expected),
    };
    let read = GroupRecord::decode(b"\0\x08\0\x01g\0\x01m", Some(current));
    assert_eq!(read, Ok(Some(record(expected))));
}

#[test]
fn other_versions_are_refused() {
    let read = GroupRecord::decode(b"\0\x03\0\x01g", Some(b"\0\x01\0\0\0\x05\0"));
    assert_eq!(read, Err(WireError::UnknownVersion { version: 1 }));
}

/// Every cut and many single-byte changes of good records: an answer, never a panic.
#[test]
fn broken_bytes_never_panic() {
    let mut rng = SmallRng::seed_from_u64(8);
    for (_, key, value) in table() {
        for cut in 0..value.len() {
            assert!(GroupRecord::decode(key, Some(&value[..cut])).is_err());
        }
        for _ in 0..5_000 {
            let (mut key, mut value) = (key.to_vec(), value.to_vec());
            let at = rng.random_range(2..value.len());
            value[at] = rng.random();
            if rng.random_bool(0.2) {
                let at = rng.random_range(0..key.len());
                key[at] = rng.random();
            }
            if let Ok(Some(record)) = GroupRecord::decode(&key, Some(&value)) {
                let (key, value) = record.encode();
                let again = GroupRecord::decode(&key, value.as_deref());
                assert_eq!(again, Ok(Some(record)));
            }
        }
    }
}
