//! What producers send and what becomes of it: codes and offsets, order, silence, repetition.
//! Raw requests against a broker in this process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use bytes::Bytes;
use kafka_protocol::messages::{ProduceRequest, TransactionalId};
use support::TestBroker;
use support::data::*;
use support::group::text;
use tidelog_records::{BatchBuilder, BatchHeader, Codec};
use uuid::Uuid;

/// A batch of a producer with this id, epoch and first sequence.
fn idempotent(id: i64, epoch: i16, sequence: i32, values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new().producer(id, epoch, sequence);
    for value in values {
        let value = Some(value.as_bytes());
        builder.append(now_ms(), Some(b"k"), value, []).unwrap();
    }
    builder.finish().unwrap()
}

#[tokio::test]
async fn every_version_answers_with_the_offset() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let id = client.make_topic("t", 1, &[]).await;
    for (offset, version) in (0..).zip(3..=13) {
        let mut request = produce_request(-1, "t", &[(0, batch(&["v"]))]);
        if version >= 13 {
            request.topic_data[0].name = Default::default();
            request.topic_data[0].topic_id = id;
        }
        let answer = client.call(version, &request).await;
        let topic = &answer.responses[0];
        match version {
            13.. => assert_eq!(topic.topic_id, id),
            _ => assert_eq!(&*topic.name.0, "t"),
        }
        let part = &topic.partition_responses[0];
        assert_eq!(
            (part.error_code, part.base_offset),
            (0, offset),
            "v{version}"
        );
        assert_eq!(part.log_append_time_ms, -1);
        let log_start = if version >= 5 { 0 } else { -1 };
        assert_eq!(part.log_start_offset, log_start);
    }
}

#[tokio::test]
async fn each_error_has_its_code_and_harms_no_neighbour() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    client.make_topic("t", 3, &[]).await;
    client
        .make_topic("compact", 1, &[("cleanup.policy", "compact")])
        .await;
    client
        .make_topic("small", 1, &[("max.message.bytes", "80")])
        .await;
    client
        .make_topic("stamped", 1, &[("message.timestamp.type", "LogAppendTime")])
        .await;

    let good = batch(&["v"]);
    let mut corrupt = good.to_vec();
    *corrupt.last_mut().unwrap() ^= 1;
    let mut keyless = BatchBuilder::new();
    keyless.append(now_ms(), None, Some(b"v"), []).unwrap();
    let keyless = keyless.finish().unwrap();
    let future = batch_at(Codec::Gzip, now_ms() + 7_200_000, &["v"]);
    let zstd = batch_at(Codec::Zstd, now_ms(), &["v"]);
    let two = Bytes::from([&good[..], &good[..]].concat());

    let cases: Vec<(&str, i16, i32, Bytes, i16, usize)> = vec![
        ("nothing", 12, 0, good.clone(), 3, 0),
        ("t", 12, 7, good.clone(), 3, 0),
        ("t", 12, -1, good.clone(), 3, 0),
        ("__cluster_metadata", 12, 0, good.clone(), 3, 0),
        ("t", 12, 0, Bytes::new(), 87, 0),
        ("t", 12, 0, two, 87, 0),
        ("t", 12, 0, corrupt.into(), 2, 0),
        ("t", 6, 0, zstd.clone(), 76, 0),
        ("t", 12, 0, future, 32, 1),
        ("t", 12, 0, idempotent(5, 0, -1, &["v"]), 87, 0),
        ("compact", 12, 0, keyless, 87, 1),
        ("small", 12, 0, batch(&["a longer value"]), 10, 0),
    ];
    for (topic, version, partition, batch, code, bad_records) in cases {
        let mut request = produce_request(-1, topic, &[(partition, batch)]);
        let neighbour = produce_request(-1, "t", &[(2, good.clone())]);
        request.topic_data.extend(neighbour.topic_data);
        let answer = client.call(version, &request).await;
        let part = &answer.responses[0].partition_responses[0];
        assert_eq!(part.error_code, code, "{topic}: {part:?}");
        assert_eq!(part.index, partition);
        assert_eq!((part.base_offset, part.log_append_time_ms), (-1, -1));
        assert_eq!(part.record_errors.len(), bad_records);
        assert_eq!(part.error_message.is_some(), version >= 8);
        let topics = answer.responses.last().unwrap();
        let neighbour = topics.partition_responses.last().unwrap();
        assert_eq!((neighbour.index, neighbour.error_code), (2, 0));
    }
    let nothing = client.fetch("t", 0, 0).await;
    assert_eq!(
        nothing.high_watermark, 0,
        "nothing of what was refused was written"
    );

    let allowed = client
        .call(7, &produce_request(-1, "t", &[(0, zstd)]))
        .await;
    assert_eq!(allowed.responses[0].partition_responses[0].error_code, 0);
}

#[tokio::test]
async fn wrong_acks_unknown_ids_and_nameless_transactions_are_refused() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    client.make_topic("t", 1, &[]).await;
    let code = |answer: kafka_protocol::messages::ProduceResponse| {
        answer.responses[0].partition_responses[0].error_code
    };
    for acks in [2, -2, i16::MAX] {
        let request = produce_request(acks, "t", &[(0, batch(&["v"]))]);
        assert_eq!(code(client.call(12, &request).await), 21);
    }
    let mut unknown = produce_request(-1, "", &[(0, batch(&["v"]))]);
    unknown.topic_data[0].topic_id = Uuid::from_u128(77);
    assert_eq!(code(client.call(13, &unknown).await), 100);

    let mut transactional = BatchBuilder::new().producer(5, 0, 0).transactional();
    transactional.append(now_ms(), None, None, []).unwrap();
    let transactional = transactional.finish().unwrap();
    let request = produce_request(-1, "t", &[(0, transactional)]);
    let answer = client.call(12, &request).await;
    let part = &answer.responses[0].partition_responses[0];
    assert_eq!(part.error_code, 53);
    assert_eq!(
        part.error_message.as_deref(),
        Some("transactional records need a transactional id")
    );
    let named = produce_request(-1, "t", &[(0, batch(&["v"]))])
        .with_transactional_id(Some(TransactionalId(text("me"))));
    assert_eq!(
        code(client.call(12, &named).await),
        0,
        "nothing transactional in it"
    );
}

#[tokio::test]
async fn internal_topics_are_the_brokers() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let offsets = kafka_protocol::messages::FindCoordinatorRequest::default()
        .with_coordinator_keys(vec![text("group")]);
    client.call(4, &offsets).await;
    // The topic is made with the first group, and that may take a moment.
    let started = std::time::Instant::now();
    loop {
        let refused = client.produce("__consumer_offsets", 0, batch(&["v"])).await;
        if refused.error_code == 17 {
            break;
        }
        assert_eq!(refused.error_code, 3);
        assert!(started.elapsed() < support::PATIENCE);
        support::group::fetch(&mut client, "group", "t", 0).await;
    }
}

#[tokio::test]
async fn batches_of_every_codec_come_back_byte_for_byte() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    client.make_topic("t", 1, &[]).await;
    let long = "value ".repeat(30_000);
    for codec in [
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ] {
        for value in ["short", &long] {
            let sent = batch_at(codec, now_ms(), &[value, value]);
            let written = client.produce("t", 0, sent.clone()).await;
            assert_eq!(written.error_code, 0);
            let read = client.fetch("t", 0, written.base_offset).await;
            let mut stored = batches(&read.records).remove(0).to_vec();
            let header = BatchHeader::read(&stored).unwrap();
            assert_eq!(header.base_offset, written.base_offset);
            // Offset and leader epoch are ours to set; the rest is the producer's.
            stored[..8].copy_from_slice(&sent[..8]);
            stored[12..16].copy_from_slice(&sent[12..16]);
            assert!(stored == sent, "{codec:?}");
        }
    }
}

#[tokio::test]
async fn append_time_topics_tell_their_time() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    client
        .make_topic("t", 1, &[("message.timestamp.type", "LogAppendTime")])
        .await;
    let before = now_ms();
    let sent = batch_at(Codec::Lz4, 12, &["a", "b"]);
    let written = client.produce("t", 0, sent).await;
    assert!((before..=now_ms()).contains(&written.log_append_time_ms));
    let read = client.fetch("t", 0, 0).await;
    let header = BatchHeader::read(&read.records.unwrap()).unwrap();
    assert_eq!(header.max_timestamp, written.log_append_time_ms);
    assert!(header.is_log_append_time());
}

#[tokio::test]
async fn a_topic_with_its_own_codec_stores_nothing_else() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    client
        .make_topic("t", 1, &[("compression.type", "zstd")])
        .await;
    client.produce("t", 0, batch(&["a", "b"])).await;
    client
        .produce("t", 0, batch_at(Codec::Gzip, now_ms(), &["c"]))
        .await;
    let read = client.fetch("t", 0, 0).await;
    let codecs = batches(&read.records)
        .into_iter()
        .map(|b| BatchHeader::read(&b).unwrap().codec());
    assert!(codecs.eq([Some(Codec::Zstd); 2]));
    let expected = [(0, "a"), (1, "b"), (2, "c")].map(|(o, v)| (o, v.to_owned()));
    assert_eq!(values(&read.records), expected);
}

#[tokio::test]
async fn what_is_sent_again_is_answered_as_before_even_after_a_restart() {
    let mut broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    client.make_topic("t", 1, &[]).await;
    let sent: Vec<_> = (0..6)
        .map(|i| idempotent(9, 1, i * 2, &["a", "b"]))
        .collect();
    for (offset, batch) in (0..).step_by(2).zip(&sent) {
        assert_eq!(
            client.produce("t", 0, batch.clone()).await.base_offset,
            offset
        );
    }
    for _ in 0..2 {
        for (offset, batch) in (0..).step_by(2).zip(&sent).skip(1) {
            let again = client.produce("t", 0, batch.clone()).await;
            assert_eq!((again.error_code, again.base_offset), (0, offset));
        }
        let cases = [
            (sent[0].clone(), 45, "more than five batches ago"),
            (idempotent(9, 1, 50, &["c"]), 45, "a gap"),
            (idempotent(9, 2, 3, &["c"]), 45, "a new epoch begins at 0"),
            (idempotent(9, 0, 0, &["c"]), 47, "an old epoch"),
        ];
        for (batch, code, why) in cases {
            assert_eq!(
                client.produce("t", 0, batch).await.error_code,
                code,
                "{why}"
            );
        }
        assert_eq!(client.fetch("t", 0, 0).await.high_watermark, 12);
        broker = broker.restart().await;
        client = broker.client().await;
    }
    assert_eq!(
        client
            .produce("t", 0, idempotent(9, 2, 0, &["c"]))
            .await
            .base_offset,
        12
    );
}

#[tokio::test]
async fn acks_0_is_silent_and_closes_on_an_error() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    client.make_topic("t", 1, &[]).await;
    let silent = produce_request(0, "t", &[(0, batch(&["a"]))]);
    client.send(PRODUCE, &silent).await;
    client.send(PRODUCE, &silent).await;
    // The next answer belongs to the next request.
    let written = client.produce("t", 0, batch(&["b"])).await;
    assert_eq!(written.base_offset, 2);

    for bad in [
        produce_request(0, "nothing", &[(0, batch(&["a"]))]),
        produce_request(0, "t", &[(0, Bytes::new())]),
    ] {
        let mut client = broker.client().await;
        client.send(PRODUCE, &bad).await;
        assert!(client.is_closed().await);
    }
}

#[tokio::test]
async fn pipelined_batches_keep_their_order_light_and_heavy_alike() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    client.make_topic("t", 1, &[]).await;
    let long = "x".repeat(100_000);
    let mut sent = Vec::new();
    let mut requests = Vec::new();
    for i in 0..60 {
        let value = if i % 3 == 0 {
            format!("{i} {long}")
        } else {
            i.to_string()
        };
        let codec = if i % 2 == 0 { Codec::Zstd } else { Codec::None };
        let acks = if i % 5 == 0 { 1 } else { -1 };
        let batch = batch_at(codec, now_ms(), &[&value]);
        requests.push(produce_request(acks, "t", &[(0, batch)]));
        sent.push((i, value));
    }
    let mut producer = broker.client().await;
    for request in &requests {
        producer.send(PRODUCE, request).await;
    }
    for (offset, nth) in (0..60).zip(1..) {
        let answer = producer.receive_nth::<ProduceRequest>(PRODUCE, nth).await;
        assert_eq!(
            answer.responses[0].partition_responses[0].base_offset,
            offset
        );
    }
    let mut read = Vec::new();
    while read.len() < sent.len() {
        let next = read.len() as i64;
        read.extend(values(&client.fetch("t", 0, next).await.records));
    }
    assert_eq!(read, sent);
}
