//! Request bodies, right and wrong, through the shape walk and the generated decoders.
//!
//! Aim: the shapes describe exactly what the decoders read, and nothing they accept can hurt. Method: bodies
//! are made from the shapes, decoded by the generated code and encoded back to the same bytes; then they
//! are damaged, and whatever the walk still accepts must decode to the same last byte. A decode that succeeds
//! had bytes for every count it allocated for, so memory is bounded too.

use std::time::{Duration, Instant};

use crate::generator::{Generator, mutate};
use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, Message, VersionRange};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidelog_protocol_ext::shape::{Shape, check};
use tidelog_protocol_ext::{Fault, WireError, decode, newer, shapes};

/// What the generated code makes of a body.
struct Decoded {
    trailing: usize,
    encoded: Bytes,
}

fn decode_as<T: Decodable + Encodable>(version: i16, mut body: Bytes) -> Result<Decoded, String> {
    let message = T::decode(&mut body, version).map_err(|error| error.to_string())?;
    let mut encoded = BytesMut::new();
    message.encode(&mut encoded, version).unwrap();
    Ok(Decoded {
        trailing: body.remaining(),
        encoded: encoded.freeze(),
    })
}

macro_rules! requests {
    ($($key:literal $request:ty;)*) => {
        fn decode_generated(key: i16, version: i16, body: Bytes) -> Result<Decoded, String> {
            match key {
                $($key => decode_as::<$request>(version, body),)*
                _ => panic!("key {key} has a shape and no line here"),
            }
        }

        fn generated_versions(key: i16) -> VersionRange {
            match key {
                $($key => <$request>::VERSIONS,)*
                _ => panic!("key {key} has a shape and no line here"),
            }
        }
    };
}

requests! {
    0 ProduceRequest;
    1 FetchRequest;
    2 newer::ListOffsetsRequest;
    3 MetadataRequest;
    8 newer::OffsetCommitRequest;
    9 newer::OffsetFetchRequest;
    10 FindCoordinatorRequest;
    11 JoinGroupRequest;
    12 HeartbeatRequest;
    13 LeaveGroupRequest;
    14 SyncGroupRequest;
    15 DescribeGroupsRequest;
    16 ListGroupsRequest;
    17 SaslHandshakeRequest;
    18 ApiVersionsRequest;
    19 CreateTopicsRequest;
    20 DeleteTopicsRequest;
    21 DeleteRecordsRequest;
    22 InitProducerIdRequest;
    23 OffsetForLeaderEpochRequest;
    24 AddPartitionsToTxnRequest;
    25 AddOffsetsToTxnRequest;
    26 EndTxnRequest;
    27 newer::WriteTxnMarkersRequest;
    28 TxnOffsetCommitRequest;
    29 DescribeAclsRequest;
    30 CreateAclsRequest;
    31 DeleteAclsRequest;
    32 DescribeConfigsRequest;
    33 AlterConfigsRequest;
    34 AlterReplicaLogDirsRequest;
    35 newer::DescribeLogDirsRequest;
    36 SaslAuthenticateRequest;
    37 CreatePartitionsRequest;
    42 DeleteGroupsRequest;
    43 ElectLeadersRequest;
    44 IncrementalAlterConfigsRequest;
    45 AlterPartitionReassignmentsRequest;
    46 ListPartitionReassignmentsRequest;
    47 OffsetDeleteRequest;
    48 DescribeClientQuotasRequest;
    49 AlterClientQuotasRequest;
    50 DescribeUserScramCredentialsRequest;
    55 DescribeQuorumRequest;
    57 UpdateFeaturesRequest;
    60 DescribeClusterRequest;
    61 DescribeProducersRequest;
    64 UnregisterBrokerRequest;
    65 DescribeTransactionsRequest;
    66 ListTransactionsRequest;
    68 ConsumerGroupHeartbeatRequest;
    69 ConsumerGroupDescribeRequest;
    74 ListConfigResourcesRequest;
    75 DescribeTopicPartitionsRequest;
    80 newer::AddRaftVoterRequest;
    81 RemoveRaftVoterRequest;
}

/// Every shape in every version.
fn versions() -> impl Iterator<Item = (&'static Shape, i16)> {
    let of = |shape: &&'static Shape| {
        let shape = *shape;
        (shape.versions.first..=shape.versions.last).map(move |version| (shape, version))
    };
    shapes::ALL.iter().flat_map(of)
}

fn random_body(rng: &mut SmallRng, shape: &Shape, version: i16) -> Vec<u8> {
    let mut generator = Generator::new(rng, version, version >= shape.flexible);
    generator.structure(shape.fields);
    generator.bytes
}

/// Whether a decoded message holds everything: those of ours leave out unknown tags, and what nobody
/// here reads.
fn is_lossless(key: i16, version: i16) -> bool {
    !matches!((key, version), (8 | 9, 10) | (27, _) | (80, 1))
}

/// If the walk accepts, the decoder must too, and stop at the same byte.
fn assert_accepted_bodies_decode(shape: &Shape, version: i16, body: Bytes) -> bool {
    let Ok(walked) = check(shape, version, &body) else {
        return false;
    };
    let decoded = decode_generated(shape.key, version, body.clone())
        .unwrap_or_else(|error| panic!("{} v{version}: {error}: {body:?}", shape.name));
    assert_eq!(
        walked.trailing, decoded.trailing,
        "{} v{version}",
        shape.name
    );
    true
}

#[test]
fn shapes_cover_the_versions_that_decode() {
    for shape in shapes::ALL {
        let theirs = generated_versions(shape.key);
        let ours = (shape.versions.first, shape.versions.last);
        assert_eq!(ours, (theirs.min, theirs.max), "{}", shape.name);
    }
}

#[test]
fn bodies_made_from_shapes_survive_the_generated_codec() {
    let mut rng = SmallRng::seed_from_u64(1);
    for (shape, version) in versions() {
        for _ in 0..40 {
            let body = Bytes::from(random_body(&mut rng, shape, version));
            let place = format!("{} v{version}", shape.name);
            let walked = check(shape, version, &body).unwrap();
            assert_eq!(walked.trailing, 0, "{place}");
            let decoded = decode_generated(shape.key, version, body.clone()).expect(&place);
            assert_eq!(decoded.trailing, 0, "{place}");
            if is_lossless(shape.key, version) {
                assert_eq!(decoded.encoded, body, "{place}");
            } else {
                let again = decode_generated(shape.key, version, decoded.encoded.clone());
                assert_eq!(again.expect(&place).encoded, decoded.encoded, "{place}");
            }
        }
    }
}

#[test]
fn every_proper_prefix_is_refused() {
    let mut rng = SmallRng::seed_from_u64(2);
    for (shape, version) in versions() {
        let body = Bytes::from(random_body(&mut rng, shape, version));
        for end in 0..body.len() {
            let error = check(shape, version, &body.slice(..end)).unwrap_err();
            assert!(matches!(error, WireError::Body { .. }), "{error}");
        }
    }
}

#[test]
fn damaged_bodies_are_refused_or_decode() {
    let mut rng = SmallRng::seed_from_u64(3);
    let mut accepted = 0;
    for (shape, version) in versions() {
        for _ in 0..1000 {
            let mut body = random_body(&mut rng, shape, version);
            mutate(&mut rng, &mut body);
            accepted += usize::from(assert_accepted_bodies_decode(shape, version, body.into()));
        }
    }
    assert!(
        accepted > 1000,
        "too few accepted to mean anything: {accepted}"
    );
}

#[test]
fn random_bytes_are_refused_or_decode() {
    let mut rng = SmallRng::seed_from_u64(4);
    for (shape, version) in versions() {
        for _ in 0..1000 {
            let size = rng.random_range(0..64);
            // Small values make plausible lengths.
            let top = if rng.random() { 255 } else { 3 };
            let body: Vec<u8> = (0..size).map(|_| rng.random_range(0..=top)).collect();
            assert_accepted_bodies_decode(shape, version, body.into());
        }
    }
}

/// How long to go on with further seeds: `TIDELOG_FUZZ_SECONDS`, or not at all.
fn extra_time() -> Duration {
    let seconds = std::env::var("TIDELOG_FUZZ_SECONDS");
    Duration::from_secs(seconds.ok().and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// A length in the place of any byte, as large as lengths can be, in each way lengths are written.
#[test]
fn huge_counts_anywhere_are_refused_or_backed() {
    const COUNTS: [&[u8]; 4] = [
        &[0x7f, 0xff, 0xff, 0xff],
        &[0x80, 0x00, 0x00, 0x00],
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0x7f, 0xff],
    ];
    let (started, extra) = (Instant::now(), extra_time());
    for seed in 7.. {
        let mut rng = SmallRng::seed_from_u64(seed);
        for (shape, version) in versions() {
            let body = random_body(&mut rng, shape, version);
            for at in 0..body.len() {
                let count = COUNTS[rng.random_range(0..COUNTS.len())];
                let mut hostile = body.clone();
                let end = hostile.len().min(at + count.len());
                hostile[at..end].copy_from_slice(&count[..end - at]);
                assert_accepted_bodies_decode(shape, version, hostile.clone().into());
                // And put in between, so that what follows moves.
                hostile.splice(at..at, count.iter().copied());
                mutate(&mut rng, &mut hostile);
                assert_accepted_bodies_decode(shape, version, hostile.into());
            }
        }
        if started.elapsed() >= extra {
            break;
        }
    }
}

#[test]
fn null_is_allowed_where_the_schema_says_so() {
    let mut rng = SmallRng::seed_from_u64(5);
    for (shape, version) in versions() {
        for site in 0..40 {
            let flexible = version >= shape.flexible;
            let mut generator = Generator::new(&mut rng, version, flexible).forcing_null_at(site);
            generator.structure(shape.fields);
            let (allowed, body) = (generator.forced_null_allowed, Bytes::from(generator.bytes));
            let place = format!("{} v{version}, null at {site}", shape.name);
            match (allowed, check(shape, version, &body)) {
                (None, result) => assert!(result.is_ok(), "{place}"),
                (Some(true), result) => {
                    assert!(result.is_ok(), "{place}");
                    let decoded = decode_generated(shape.key, version, body.clone());
                    let encoded = decoded.expect(&place).encoded;
                    let lossless = is_lossless(shape.key, version);
                    assert!(!lossless || encoded == body, "{place}");
                }
                (Some(false), result) => {
                    let error = result.expect_err(&place);
                    let WireError::Body {
                        field, malformed, ..
                    } = error
                    else {
                        panic!("{place}: {error}")
                    };
                    assert_eq!(malformed.fault, Fault::Null, "{place}");
                    // The generated decoder knows no versions of nullability; these are all it lets pass.
                    if decode_generated(shape.key, version, body).is_ok() {
                        let earlier = matches!(
                            (shape.key, version, field),
                            (3, 0, "topics") | (3, ..=9, "name") | (9, ..=1, "topics")
                        );
                        assert!(earlier, "{place}: {field}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_small_body_cannot_ask_for_gigabytes() {
    // Fetch v4: the header fields, then a count of topics that nothing backs.
    let mut body = vec![0; 17];
    body.extend_from_slice(&i32::MAX.to_be_bytes());
    let error = decode::<FetchRequest>(1, 4, body.into()).unwrap_err();
    let WireError::Body {
        field, malformed, ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(field, "topics");
    assert_eq!(
        (malformed.at, malformed.fault),
        (
            21,
            Fault::CountExceedsBytes {
                count: i32::MAX as usize,
                left: 0
            }
        )
    );
}

#[test]
fn bytes_after_the_body_are_tolerated() {
    let decoded = decode::<HeartbeatRequest>(
        12,
        0,
        Bytes::from_static(&[0, 1, b'g', 0, 0, 0, 7, 0, 1, b'm', 0xde, 0xad]),
    );
    assert_eq!(decoded.unwrap().generation_id, 7);
}

#[test]
fn payloads_are_slices_of_the_frame() {
    let mut rng = SmallRng::seed_from_u64(6);
    let shape = shapes::find(0).unwrap();
    let body = Bytes::from(random_body(&mut rng, shape, 9));
    let frame = body.as_ptr_range();
    let request = decode::<ProduceRequest>(0, 9, body.clone()).unwrap();
    let partitions = request
        .topic_data
        .iter()
        .flat_map(|topic| &topic.partition_data);
    for records in partitions.filter_map(|partition| partition.records.as_ref()) {
        assert!(records.is_empty() || frame.contains(&records.as_ptr()));
    }
}

#[test]
fn unknown_keys_and_versions_are_named() {
    let unknown = decode::<FetchRequest>(4, 0, Bytes::new()).unwrap_err();
    assert_eq!(unknown, WireError::UnknownApi(4));
    let version = decode::<FetchRequest>(1, 3, Bytes::new()).unwrap_err();
    assert_eq!(version.to_string(), "Fetch has no version 3");
}

#[test]
fn a_tag_is_checked_against_version_and_size() {
    // Replica, wait, min, max, isolation, session, epoch; then no topics, none forgotten, no rack.
    let fetch = [vec![0; 4 + 4 + 4 + 4 + 1 + 4 + 4], vec![1, 1, 1]].concat();
    let with_tags = |tags: &[u8]| {
        let body = [&fetch[..], tags].concat();
        check(shapes::find(1).unwrap(), 12, &body.into())
    };
    let fault = |result: Result<_, WireError>| match result.unwrap_err() {
        WireError::Body { malformed, .. } => malformed.fault,
        other => panic!("{other}"),
    };
    assert!(with_tags(&[0]).is_ok());
    assert!(with_tags(&[1, 0, 2, 2, b'c']).is_ok());
    assert_eq!(
        fault(with_tags(&[1, 0, 3, 2, b'c', 0])),
        Fault::TagSize {
            tag: 0,
            claimed: 3,
            held: 2
        }
    );
    assert_eq!(fault(with_tags(&[1, 1, 1, 0])), Fault::TagNotValid(1));
    assert_eq!(
        fault(with_tags(&[1, 9, 5, 0])),
        Fault::Truncated { needed: 5, left: 1 }
    );
}
