//! The writer against the generated encoder: the same bytes for random content in every version.

use bytes::BytesMut;
use kafka_protocol::messages::fetch_response as theirs;
use kafka_protocol::messages::{FetchResponse as TheirResponse, ProducerId, TopicName};
use kafka_protocol::protocol::{Encodable, Message};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;

#[test]
fn bytes_equal_the_generated_encoder() {
    assert_eq!(TheirResponse::VERSIONS.min, VERSIONS.first);
    assert_eq!(TheirResponse::VERSIONS.max, VERSIONS.last);
    for version in VERSIONS.first..=VERSIONS.last {
        for seed in 0..60 {
            let ours = random_response(&mut SmallRng::seed_from_u64(seed));
            let chunks = ours.encode(version, 42).unwrap();
            assert!(chunks.iter().all(|chunk| !chunk.is_empty()));
            let expected = frame::response(KEY, version, 42, &translated(&ours, version)).unwrap();
            let bytes = Rope::from(chunks).to_bytes();
            assert_eq!(bytes, expected, "version {version}, seed {seed}");
        }
    }
}

#[test]
fn empty_records_are_not_null() {
    let mut response = random_response(&mut SmallRng::seed_from_u64(3));
    response.topics.truncate(0);
    response.topics.push(FetchTopic {
        name: "t".into(),
        topic_id: Uuid::nil(),
        partitions: vec![FetchPartition {
            records: Rope::new(),
            ..random_partition(&mut SmallRng::seed_from_u64(4))
        }],
    });
    for version in [4, 12] {
        let mut frame = Rope::from(response.encode(version, 1).unwrap()).to_bytes();
        let _ = frame.split_to(frame::SIZE_BYTES);
        let (_, mut body) = crate::header::parse_response(KEY, version, frame).unwrap();
        let decoded =
            <TheirResponse as kafka_protocol::protocol::Decodable>::decode(&mut body, version)
                .unwrap();
        assert_eq!(
            decoded.responses[0].partitions[0].records,
            Some(Bytes::new())
        );
    }
}

#[test]
fn records_are_not_copied() {
    let records = Bytes::from(vec![1; 1 << 20]);
    let mut partition = random_partition(&mut SmallRng::seed_from_u64(1));
    partition.records = records.clone().into();
    let response = FetchResponse {
        throttle_time_ms: 0,
        error_code: ErrorCode::None,
        session_id: 0,
        topics: vec![FetchTopic {
            name: "t".into(),
            topic_id: Uuid::nil(),
            partitions: vec![partition],
        }],
        node_endpoints: Vec::new(),
    };
    let chunks = response.encode(12, 1).unwrap();
    assert_eq!(chunks.len(), 3);
    assert_eq!(chunks[1].as_ptr(), records.as_ptr());
}

#[test]
fn versions_outside_the_range_are_refused() {
    let response = random_response(&mut SmallRng::seed_from_u64(0));
    for version in [3, 19] {
        assert!(response.encode(version, 1).is_err());
    }
}

fn random_response(rng: &mut SmallRng) -> FetchResponse {
    FetchResponse {
        throttle_time_ms: rng.random(),
        error_code: random_error(rng),
        session_id: rng.random(),
        topics: (0..rng.random_range(0..4))
            .map(|index| FetchTopic {
                name: format!("topic-{index}").into(),
                topic_id: Uuid::from_u128(rng.random()),
                partitions: (0..rng.random_range(0..4))
                    .map(|_| random_partition(rng))
                    .collect(),
            })
            .collect(),
        node_endpoints: (0..rng.random_range(0..3))
            .map(|id| NodeEndpoint {
                node_id: id,
                host: "localhost".into(),
                port: rng.random(),
                rack: rng.random_bool(0.5).then(|| "r".into()),
            })
            .collect(),
    }
}

fn random_partition(rng: &mut SmallRng) -> FetchPartition {
    let pieces = rng.random_range(0..4);
    let epoch_end = |rng: &mut SmallRng| {
        rng.random_bool(0.3).then(|| EpochEnd {
            epoch: rng.random_range(0..100),
            end_offset: rng.random(),
        })
    };
    FetchPartition {
        partition: rng.random(),
        error_code: random_error(rng),
        high_watermark: rng.random(),
        last_stable_offset: rng.random(),
        log_start_offset: rng.random(),
        diverging_epoch: epoch_end(rng),
        snapshot_id: epoch_end(rng),
        current_leader: rng.random_bool(0.3).then(|| Leader {
            leader_id: rng.random_range(0..100),
            leader_epoch: rng.random(),
        }),
        aborted_transactions: rng.random_bool(0.7).then(|| {
            (0..rng.random_range(0..3))
                .map(|_| AbortedTransaction {
                    producer_id: rng.random(),
                    first_offset: rng.random(),
                })
                .collect()
        }),
        preferred_read_replica: rng.random(),
        records: (0..pieces)
            .map(|_| Bytes::from(vec![rng.random(); rng.random_range(0..600)]))
            .collect(),
    }
}

fn random_error(rng: &mut SmallRng) -> ErrorCode {
    ErrorCode::from_code(rng.random_range(-1..=133)).unwrap()
}

/// The same response for the generated encoder, which refuses fields the version does not have.
fn translated(ours: &FetchResponse, version: i16) -> TheirResponse {
    let since = |first: i16| version >= first;
    let mut response = TheirResponse::default()
        .with_throttle_time_ms(ours.throttle_time_ms)
        .with_responses(
            ours.topics
                .iter()
                .map(|topic| translated_topic(topic, version))
                .collect(),
        );
    if since(7) {
        response.error_code = ours.error_code.code();
        response.session_id = ours.session_id;
    }
    if since(16) {
        response.node_endpoints = ours.node_endpoints.iter().map(translated_node).collect();
    }
    // The generated size must agree as well: it sizes the buffer.
    let mut encoded = BytesMut::new();
    response.encode(&mut encoded, version).unwrap();
    assert_eq!(response.compute_size(version).unwrap(), encoded.len());
    response
}

fn translated_node(node: &NodeEndpoint) -> theirs::NodeEndpoint {
    theirs::NodeEndpoint::default()
        .with_node_id(node.node_id.into())
        .with_host(node.host.clone())
        .with_port(node.port)
        .with_rack(node.rack.clone())
}

fn translated_topic(topic: &FetchTopic, version: i16) -> theirs::FetchableTopicResponse {
    let partitions = topic.partitions.iter();
    let mut out = theirs::FetchableTopicResponse::default().with_partitions(
        partitions
            .map(|p| translated_partition(p, version))
            .collect(),
    );
    if version >= 13 {
        out.topic_id = topic.topic_id;
    } else {
        out.topic = TopicName(topic.name.clone());
    }
    out
}

fn translated_partition(ours: &FetchPartition, version: i16) -> theirs::PartitionData {
    let aborted = |list: &Vec<AbortedTransaction>| {
        list.iter()
            .map(|t| {
                theirs::AbortedTransaction::default()
                    .with_producer_id(ProducerId(t.producer_id))
                    .with_first_offset(t.first_offset)
            })
            .collect()
    };
    let mut out = theirs::PartitionData::default()
        .with_partition_index(ours.partition)
        .with_error_code(ours.error_code.code())
        .with_high_watermark(ours.high_watermark)
        .with_last_stable_offset(ours.last_stable_offset)
        .with_log_start_offset(ours.log_start_offset)
        .with_aborted_transactions(ours.aborted_transactions.as_ref().map(aborted))
        .with_records(Some(ours.records.to_bytes()));
    if version >= 11 {
        out.preferred_read_replica = ours.preferred_read_replica.into();
    }
    if version >= FLEXIBLE {
        if let Some(end) = ours.diverging_epoch {
            out.diverging_epoch.epoch = end.epoch;
            out.diverging_epoch.end_offset = end.end_offset;
        }
        if let Some(leader) = ours.current_leader {
            out.current_leader.leader_id = leader.leader_id.into();
            out.current_leader.leader_epoch = leader.leader_epoch;
        }
        if let Some(end) = ours.snapshot_id {
            out.snapshot_id.epoch = end.epoch;
            out.snapshot_id.end_offset = end.end_offset;
        }
    }
    out
}
