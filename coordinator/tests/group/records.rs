//! The bytes of `__consumer_offsets`: what we write, every version we read, and hostile bytes.

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidelog_coordinator::group::{
    CommittedOffset, GroupMetadata, GroupRecord, MemberMetadata, WireError, subscribed_topics,
};

use super::script::subscription;

fn offset_record(value: Option<CommittedOffset>) -> GroupRecord {
    GroupRecord::Offset {
        group: "g".to_owned(),
        topic: "t".to_owned(),
        partition: 7,
        value,
    }
}

fn committed(leader_epoch: i32, expire_timestamp_ms: Option<i64>) -> CommittedOffset {
    CommittedOffset {
        offset: 5,
        leader_epoch,
        metadata: "m".to_owned(),
        commit_timestamp_ms: 9,
        expire_timestamp_ms,
    }
}

fn group_record(version: i16) -> GroupRecord {
    let member = MemberMetadata {
        member_id: "a-1".to_owned(),
        instance_id: (version >= 3).then(|| "i".to_owned()),
        client_id: "a".to_owned(),
        client_host: "/h".to_owned(),
        rebalance_timeout_ms: if version >= 1 { 3 } else { 4 },
        session_timeout_ms: 4,
        subscription: Bytes::from_static(b"sub"),
        assignment: Bytes::from_static(b"x"),
    };
    let value = GroupMetadata {
        protocol_type: "consumer".to_owned(),
        generation: 2,
        protocol: Some("range".to_owned()),
        leader: None,
        state_timestamp_ms: (version >= 2).then_some(9),
        members: vec![member],
    };
    GroupRecord::Group {
        group: "g".to_owned(),
        value: Some(value),
    }
}

const OFFSET_KEY_V1: &[u8] = b"\0\x01\0\x01g\0\x01t\0\0\0\x07";
const GROUP_KEY: &[u8] = b"\0\x02\0\x01g";

#[test]
fn offsets_are_written_in_kafkas_bytes() {
    let (key, value) = offset_record(Some(committed(3, None))).encode();
    assert_eq!(key, OFFSET_KEY_V1);
    let v3: &[u8] = b"\0\x03\0\0\0\0\0\0\0\x05\0\0\0\x03\0\x01m\0\0\0\0\0\0\0\x09";
    assert_eq!(value.unwrap(), v3);
    let (_, value) = offset_record(Some(committed(-1, Some(11)))).encode();
    let v1: &[u8] = b"\0\x01\0\0\0\0\0\0\0\x05\0\x01m\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x0b";
    assert_eq!(value.unwrap(), v1);
    assert_eq!(offset_record(None).encode().1, None);
}

#[test]
fn every_version_of_an_offset_is_read() {
    let table: &[(&[u8], CommittedOffset)] = &[
        (
            b"\0\0\0\0\0\0\0\0\0\x05\0\x01m\0\0\0\0\0\0\0\x09",
            committed(-1, None),
        ),
        (
            b"\0\x01\0\0\0\0\0\0\0\x05\0\x01m\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x0b",
            committed(-1, Some(11)),
        ),
        (
            b"\0\x01\0\0\0\0\0\0\0\x05\0\x01m\0\0\0\0\0\0\0\x09\xff\xff\xff\xff\xff\xff\xff\xff",
            committed(-1, None),
        ),
        (
            b"\0\x02\0\0\0\0\0\0\0\x05\0\x01m\0\0\0\0\0\0\0\x09",
            committed(-1, None),
        ),
        (
            b"\0\x03\0\0\0\0\0\0\0\x05\0\0\0\x03\0\x01m\0\0\0\0\0\0\0\x09",
            committed(3, None),
        ),
        // The topic id is tagged field 0.
        (
            b"\0\x04\0\0\0\0\0\0\0\x05\0\0\0\x03\x02m\0\0\0\0\0\0\0\x09\x01\0\x100123456789abcdef",
            committed(3, None),
        ),
    ];
    for (bytes, expected) in table {
        for key in [OFFSET_KEY_V1, b"\0\0\0\x01g\0\x01t\0\0\0\x07"] {
            let record = GroupRecord::decode(key, Some(bytes)).unwrap();
            assert_eq!(record, Some(offset_record(Some(expected.clone()))));
        }
    }
}

#[test]
fn every_version_of_a_group_is_read() {
    let table: &[&[u8]] = &[
        b"\0\0\0\x08consumer\0\0\0\x02\0\x05range\xff\xff\0\0\0\x01\
          \0\x03a-1\0\x01a\0\x02/h\0\0\0\x04\0\0\0\x03sub\0\0\0\x01x",
        b"\0\x01\0\x08consumer\0\0\0\x02\0\x05range\xff\xff\0\0\0\x01\
          \0\x03a-1\0\x01a\0\x02/h\0\0\0\x03\0\0\0\x04\0\0\0\x03sub\0\0\0\x01x",
        b"\0\x02\0\x08consumer\0\0\0\x02\0\x05range\xff\xff\0\0\0\0\0\0\0\x09\0\0\0\x01\
          \0\x03a-1\0\x01a\0\x02/h\0\0\0\x03\0\0\0\x04\0\0\0\x03sub\0\0\0\x01x",
        b"\0\x03\0\x08consumer\0\0\0\x02\0\x05range\xff\xff\0\0\0\0\0\0\0\x09\0\0\0\x01\
          \0\x03a-1\0\x01i\0\x01a\0\x02/h\0\0\0\x03\0\0\0\x04\0\0\0\x03sub\0\0\0\x01x",
        b"\0\x04\x09consumer\0\0\0\x02\x06range\0\0\0\0\0\0\0\0\x09\x02\
          \x04a-1\x02i\x02a\x03/h\0\0\0\x03\0\0\0\x04\x04sub\x02x\0\0",
    ];
    for (version, bytes) in table.iter().enumerate() {
        let record = GroupRecord::decode(GROUP_KEY, Some(bytes))
            .unwrap()
            .unwrap();
        assert_eq!(record, group_record(version as i16), "version {version}");
        let (key, value) = record.encode();
        assert_eq!(key, GROUP_KEY);
        if version == 3 {
            assert_eq!(&value.unwrap(), bytes);
        }
    }
}

#[test]
fn strangers_are_skipped_and_nonsense_is_refused() {
    let decode = GroupRecord::decode;
    assert_eq!(decode(b"\0\x0a\0\x01g", Some(b"\0\0")), Ok(None));
    assert_eq!(decode(b"\xff\xff", None), Ok(None));
    assert!(matches!(
        decode(b"\0", None),
        Err(WireError::CutShort { .. })
    ));
    assert!(matches!(
        decode(b"\0\x02\xff\xff", None),
        Err(WireError::NegativeLength { .. })
    ));
    assert!(matches!(
        decode(b"\0\x02\0\x01\xff", None),
        Err(WireError::NotUtf8 { .. })
    ));
    let unknown = decode(GROUP_KEY, Some(b"\0\x05"));
    assert_eq!(unknown, Err(WireError::UnknownVersion { version: 5 }));
    let many_members = b"\0\0\0\0\0\0\0\0\xff\xff\xff\xff\x7f\xff\xff\xff";
    assert!(matches!(
        decode(GROUP_KEY, Some(many_members)),
        Err(WireError::CutShort { .. })
    ));
    let endless = b"\0\x04\xff\xff\xff\xff\xff\xff";
    assert!(matches!(
        decode(GROUP_KEY, Some(endless)),
        Err(WireError::EndlessVarint { .. })
    ));
}

#[test]
fn subscriptions_tell_their_topics() {
    let topics = subscribed_topics(&subscription(&["t", "u"])).unwrap();
    assert_eq!(topics.into_iter().collect::<Vec<_>>(), ["t", "u"]);
    assert!(subscribed_topics(b"").is_err());
    assert!(subscribed_topics(b"\0\0\x7f\xff\xff\xff\0\x01t").is_err());
    assert!(subscribed_topics(b"\xff\xff\0\0\0\0").is_err());
}

/// Every cut and many single-byte changes of good records: an answer, never a panic.
#[test]
fn broken_bytes_never_panic() {
    let mut rng = SmallRng::seed_from_u64(7);
    let good = [group_record(3), offset_record(Some(committed(3, None)))];
    for (key, value) in good.iter().map(GroupRecord::encode) {
        let value = value.unwrap();
        for cut in 0..value.len() {
            assert!(GroupRecord::decode(&key, Some(&value[..cut])).is_err());
        }
        for _ in 0..20_000 {
            let (mut key, mut value) = (key.to_vec(), value.to_vec());
            let at = rng.random_range(0..value.len());
            value[at] = rng.random();
            value[1] = rng.random_range(0..6);
            if rng.random_bool(0.2) {
                let at = rng.random_range(0..key.len());
                key[at] = rng.random();
            }
            if let Ok(Some(record)) = GroupRecord::decode(&key, Some(&value)) {
                let (key, value) = record.encode();
                assert_eq!(
                    GroupRecord::decode(&key, value.as_deref()),
                    Ok(Some(record))
                );
            }
        }
    }
}
