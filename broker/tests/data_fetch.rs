//! What consumers ask for and get: limits, order, waiting and waking, sessions. Raw requests
//! against a broker in this process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use kafka_protocol::messages::fetch_request::ForgottenTopic;
use kafka_protocol::messages::{FetchRequest, FetchResponse};
use support::data::*;
use support::group::topic_name;
use support::{Client, TestBroker};
use tidelog_records::{BatchHeader, Codec};
use uuid::Uuid;

/// The same fetch by the topic's id.
fn by_id(mut request: FetchRequest, id: Uuid) -> FetchRequest {
    for topic in &mut request.topics {
        topic.topic = Default::default();
        topic.topic_id = id;
    }
    request
}

/// Partitions of an answer with the number of bytes of each.
fn sizes(answer: &FetchResponse) -> Vec<(i32, usize)> {
    let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
    partitions
        .map(|part| (part.partition_index, part.records.as_ref().unwrap().len()))
        .collect()
}

#[tokio::test]
async fn every_version_reads_what_was_written() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let id = client.make_topic("t", 1, &[]).await;
    let sent = batch(&["a", "b"]);
    client.produce("t", 0, sent.clone()).await;
    for version in 4..=18 {
        for isolation in [0, 1] {
            let mut request = fetch_request("t", &[(0, 0)]).with_isolation_level(isolation);
            if version < 7 {
                request.session_epoch = FetchRequest::default().session_epoch;
            }
            if version >= 13 {
                request = by_id(request, id);
            }
            let part = only(client.call(version, &request).await);
            assert_eq!(part.error_code, 0, "v{version}");
            assert_eq!((part.high_watermark, part.last_stable_offset), (2, 2));
            assert_eq!(part.records.as_ref().unwrap().len(), sent.len());
            assert_eq!(part.aborted_transactions.is_some(), isolation == 1);
            if version >= 5 {
                assert_eq!(part.log_start_offset, 0);
            }
            if version >= 11 {
                assert_eq!(part.preferred_read_replica, -1);
            }
        }
    }
}

#[tokio::test]
async fn offsets_within_a_batch_at_the_end_and_outside() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    client.make_topic("t", 1, &[]).await;
    for values in [["a", "b"], ["c", "d"]] {
        client.produce("t", 0, batch(&values)).await;
    }
    let within = client.fetch("t", 0, 3).await;
    assert_eq!(
        values(&within.records),
        [(2, "c".to_owned()), (3, "d".to_owned())]
    );
    let end = client.fetch("t", 0, 4).await;
    assert_eq!((end.error_code, end.high_watermark), (0, 4));
    assert_eq!(end.records.unwrap().len(), 0, "empty, not null");
    for offset in [-1, 5, i64::MAX] {
        let outside = client.fetch("t", 0, offset).await;
        assert_eq!((outside.error_code, outside.high_watermark), (1, -1));
        assert_eq!(outside.records.unwrap().len(), 0);
    }
}

#[tokio::test]
async fn unknown_topics_by_name_and_by_id() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let id = client.make_topic("t", 1, &[]).await;
    // Nothing to wait for: the answer comes at once.
    let patient = |request: FetchRequest| request.with_max_wait_ms(30_000);
    let code = async |client: &mut Client, version, request| {
        only(client.call(version, &patient(request)).await).error_code
    };
    assert_eq!(
        code(&mut client, 12, fetch_request("nothing", &[(0, 0)])).await,
        3
    );
    assert_eq!(
        code(&mut client, 12, fetch_request("t", &[(1, 0)])).await,
        3
    );
    let unknown = by_id(fetch_request("", &[(0, 0)]), Uuid::from_u128(9));
    assert_eq!(code(&mut client, 13, unknown).await, 100);
    let no_partition = by_id(fetch_request("", &[(1, 0)]), id);
    assert_eq!(code(&mut client, 13, no_partition).await, 3);
    client.delete_topic("t").await;
    let gone = by_id(fetch_request("", &[(0, 0)]), id);
    assert_eq!(code(&mut client, 13, gone).await, 100);
}

#[tokio::test]
async fn limits_hold_but_the_first_batch_always_comes() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    client.make_topic("t", 3, &[]).await;
    let sent = batch_at(Codec::None, now_ms(), &["0123456789"]);
    let len = sent.len();
    for partition in [1, 2] {
        for _ in 0..4 {
            client.produce("t", partition, sent.clone()).await;
        }
    }
    // Partition 0 is empty: the first batch is that of whoever has one.
    let all = [(0, 0), (1, 0), (2, 0)];
    let ask = |max_bytes: usize, part_max: usize| {
        let mut request = fetch_request("t", &all).with_max_bytes(max_bytes as i32);
        for part in &mut request.topics[0].partitions {
            part.partition_max_bytes = part_max as i32;
        }
        request
    };
    let cases = [
        (1, 1, [0, 1, 0]),
        (0, 0, [0, 1, 0]),
        (9 * len, 1, [0, 1, 0]),
        (9 * len, len, [0, 1, 1]),
        (9 * len, 2 * len + 1, [0, 2, 2]),
        (2 * len - 1, 9 * len, [0, 1, 0]),
        (5 * len, 9 * len, [0, 4, 1]),
        (9 * len, 9 * len, [0, 4, 4]),
    ];
    for (max_bytes, part_max, counts) in cases {
        let answer = client.call(FETCH, &ask(max_bytes, part_max)).await;
        let expected: Vec<_> = (0..).zip(counts.map(|count| count * len)).collect();
        assert_eq!(sizes(&answer), expected, "{max_bytes} {part_max}");
    }
    let mut turned = fetch_request("t", &[(2, 0), (1, 0)]).with_max_bytes(1);
    assert_eq!(
        sizes(&client.call(FETCH, &turned).await),
        [(2, len), (1, 0)]
    );
    turned.max_bytes = -1;
    assert_eq!(
        sizes(&client.call(FETCH, &turned).await),
        [(2, len), (1, 0)]
    );
}

#[tokio::test]
async fn the_brokers_own_limit_holds_too() {
    let broker = TestBroker::start(&["fetch.max.bytes=1024"]).await;
    let mut client = broker.client().await;
    client.make_topic("t", 1, &[]).await;
    let sent = batch(&["0123456789"; 20]);
    for _ in 0..20 {
        client.produce("t", 0, sent.clone()).await;
    }
    // More than the broker gives is not waited for.
    let request = fetch_request("t", &[(0, 0)])
        .with_min_bytes(1 << 20)
        .with_max_wait_ms(30_000);
    let part = only(client.call(FETCH, &request).await);
    let len = part.records.unwrap().len();
    assert_eq!(len, 1024 / sent.len() * sent.len());
}

#[tokio::test]
async fn an_empty_fetch_takes_as_long_as_it_was_told() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    client.make_topic("t", 1, &[]).await;
    for wait_ms in [0, 150, 300] {
        let request = fetch_request("t", &[(0, 0)]).with_max_wait_ms(wait_ms);
        let started = Instant::now();
        let part = only(client.call(FETCH, &request).await);
        let took = started.elapsed();
        assert_eq!((part.error_code, part.records.unwrap().len()), (0, 0));
        let wait = Duration::from_millis(wait_ms as u64);
        assert!(
            took >= wait && took < wait + Duration::from_millis(500),
            "{took:?}"
        );
    }
}

/// Sends a fetch that would wait for long and gives it time to settle.
async fn park(client: &mut Client, request: FetchRequest) {
    client.send(FETCH, &request.with_max_wait_ms(60_000)).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn a_waiting_fetch_wakes_with_enough_bytes() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    client.make_topic("t", 2, &[]).await;
    let sent = batch(&["v"]);
    let mut reader = broker.client().await;
    let enough = i32::try_from(sent.len() * 3).unwrap();
    park(
        &mut reader,
        fetch_request("t", &[(0, 0), (1, 0)]).with_min_bytes(enough),
    )
    .await;
    for partition in [0, 1, 0] {
        client.produce("t", partition, sent.clone()).await;
    }
    let answer = reader.receive::<FetchRequest>(FETCH).await;
    assert_eq!(sizes(&answer), [(0, 2 * sent.len()), (1, sent.len())]);
}

#[tokio::test]
async fn a_waiting_fetch_ends_when_its_topic_is_deleted() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    client.make_topic("t", 1, &[]).await;
    let mut reader = broker.client().await;
    park(&mut reader, fetch_request("t", &[(0, 0)])).await;
    client.delete_topic("t").await;
    let part = only(reader.receive::<FetchRequest>(FETCH).await);
    assert_eq!(part.error_code, 3);
}

#[tokio::test]
async fn unknown_topics_do_not_hurry_those_who_wait_for_others() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    client.make_topic("t", 1, &[]).await;
    let mut request = fetch_request("nothing", &[(0, 0)]).with_max_wait_ms(200);
    request.topics.extend(fetch_request("t", &[(0, 0)]).topics);
    let started = Instant::now();
    let answer = client.call(FETCH, &request).await;
    assert!(started.elapsed() >= Duration::from_millis(200));
    assert_eq!(answer.responses[0].partitions[0].error_code, 3);
    assert_eq!(answer.responses[1].partitions[0].error_code, 0);
    // Errors that may pass with a new position are told at once.
    request.max_wait_ms = 60_000;
    request.topics[1].partitions[0].fetch_offset = 1;
    let answer = client.call(FETCH, &request).await;
    assert_eq!(answer.responses[1].partitions[0].error_code, 1);
}

#[tokio::test]
async fn a_stopping_broker_answers_those_who_wait() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    client.make_topic("t", 1, &[]).await;
    park(&mut client, fetch_request("t", &[(0, 0)])).await;
    broker.running().broker.begin_shutdown();
    let part = only(client.receive::<FetchRequest>(FETCH).await);
    assert_eq!(part.error_code, 0);
}

#[tokio::test]
async fn what_is_not_durable_is_not_read() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    client.make_topic("t", 1, &[]).await;
    let mut reader = broker.client().await;
    for round in 0..50 {
        park_briefly(&mut reader, round).await;
        let request = produce_request(1, "t", &[(0, batch(&["v"]))]);
        client.send(PRODUCE, &request).await;
        let read = only(reader.receive::<FetchRequest>(FETCH).await);
        let header = BatchHeader::read(&read.records.unwrap()).unwrap();
        assert!(read.high_watermark > header.last_offset());
        client
            .receive::<kafka_protocol::messages::ProduceRequest>(PRODUCE)
            .await;
    }
}

async fn park_briefly(reader: &mut Client, offset: i64) {
    let request = fetch_request("t", &[(0, offset)]).with_max_wait_ms(60_000);
    reader.send(FETCH, &request).await;
}

/// A fetch within a session.
fn session_request(id: i32, epoch: i32, offsets: &[(i32, i64)]) -> FetchRequest {
    let mut request = fetch_request("t", offsets)
        .with_session_id(id)
        .with_session_epoch(epoch);
    if offsets.is_empty() {
        request.topics.clear();
    }
    request
}

#[tokio::test]
async fn a_session_names_partitions_once_and_tells_only_news() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    client.make_topic("t", 3, &[]).await;
    let all = [(0, 0), (1, 0), (2, 0)];
    let first = client.call(FETCH, &session_request(0, 0, &all)).await;
    let id = first.session_id;
    assert!(id > 0);
    assert_eq!(sizes(&first).len(), 3, "the first answer is full");

    let quiet = client.call(FETCH, &session_request(id, 1, &[])).await;
    assert_eq!((quiet.session_id, quiet.responses.len()), (id, 0));

    let sent = batch(&["v"]);
    client.produce("t", 1, sent.clone()).await;
    let news = client.call(FETCH, &session_request(id, 2, &[])).await;
    assert_eq!(sizes(&news), [(1, sent.len())]);

    // Another position, one partition less, and back to nothing new.
    let mut change = session_request(id, 3, &[(1, 1)]);
    let forgotten = ForgottenTopic::default()
        .with_topic(topic_name("t"))
        .with_partitions(vec![2]);
    change.forgotten_topics_data = vec![forgotten];
    let quiet = client.call(FETCH, &change).await;
    assert_eq!(quiet.responses.len(), 0);
    client.produce("t", 2, sent.clone()).await;
    client.produce("t", 0, sent.clone()).await;
    let news = client.call(FETCH, &session_request(id, 4, &[])).await;
    assert_eq!(sizes(&news), [(0, sent.len())]);

    // A waiting round ends with news, too.
    let moved = session_request(id, 5, &[(0, 1)]);
    park(&mut client, moved).await;
    broker.client().await.produce("t", 1, sent.clone()).await;
    let news = client.receive::<FetchRequest>(FETCH).await;
    assert_eq!(sizes(&news), [(1, sent.len())]);
}

#[tokio::test]
async fn sessions_that_cannot_go_on_say_why() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let topic_id = client.make_topic("t", 1, &[]).await;
    let first = client.call(FETCH, &session_request(0, 0, &[(0, 0)])).await;
    let id = first.session_id;
    let by_ids = by_id(session_request(id, 1, &[(0, 0)]), topic_id);
    let unknown = id.wrapping_add(1).max(1);
    let cases = [
        (12, session_request(unknown, 1, &[]), 70),
        (12, session_request(id, 2, &[]), 71),
        (13, by_ids, 106),
        (12, session_request(id, 1, &[]), 0),
        (12, session_request(id, 1, &[]), 71),
        // An end of the session, and one more.
        (12, session_request(id, -1, &[(0, 0)]), 0),
        (12, session_request(id, 2, &[]), 70),
    ];
    for (version, request, code) in cases {
        let answer = client.call(version, &request).await;
        assert_eq!(answer.error_code, code, "{request:?}");
        let goes_on = code == 0 && request.session_epoch >= 0;
        assert_eq!(answer.session_id, if goes_on { id } else { 0 });
    }
}

#[tokio::test]
async fn a_session_notices_that_its_topic_was_made_again() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let old = client.make_topic("t", 1, &[]).await;
    let first = by_id(session_request(0, 0, &[(0, 0)]), old);
    let id = client.call(13, &first).await.session_id;
    client.delete_topic("t").await;
    let gone = only(client.call(13, &session_request(id, 1, &[])).await);
    assert_eq!(gone.error_code, 100);
    client.make_topic("t", 1, &[]).await;
    let renewed = only(client.call(13, &session_request(id, 2, &[])).await);
    assert_eq!(renewed.error_code, 103);
}

#[tokio::test]
async fn without_room_a_session_is_refused() {
    let broker = TestBroker::start(&["max.incremental.fetch.session.cache.slots=1"]).await;
    let mut client = broker.client().await;
    client.make_topic("t", 1, &[]).await;
    let begin = session_request(0, 0, &[(0, 0)]);
    assert_ne!(client.call(FETCH, &begin).await.session_id, 0);
    let refused = client.call(FETCH, &begin).await;
    assert_eq!((refused.error_code, refused.session_id), (0, 0));
    assert_eq!(sizes(&refused).len(), 1);
}

#[tokio::test]
async fn partitions_take_turns_in_a_session() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    client.make_topic("t", 3, &[]).await;
    for partition in 0..3 {
        client.produce("t", partition, batch(&["v"])).await;
    }
    let mut request = session_request(0, 0, &[(0, 0), (1, 0), (2, 0)]).with_max_bytes(1);
    let first = client.call(FETCH, &request).await;
    let served = |answer: &FetchResponse| {
        let mut with_records = sizes(answer).into_iter().filter(|(_, len)| *len > 0);
        with_records.next().unwrap().0
    };
    let mut turns = vec![served(&first)];
    for epoch in 1..6 {
        request = session_request(first.session_id, epoch, &[]).with_max_bytes(1);
        turns.push(served(&client.call(FETCH, &request).await));
    }
    assert_eq!(turns, [0, 1, 2, 0, 1, 2]);
}

#[tokio::test]
async fn what_was_written_before_a_restart_is_read_after_it() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    client.make_topic("t", 1, &[]).await;
    let sent = batch(&["a", "b"]);
    for _ in 0..10 {
        client.produce("t", 0, sent.clone()).await;
    }
    let before = client.fetch("t", 0, 0).await;
    let broker = broker.restart().await;
    let after = broker.client().await.fetch("t", 0, 0).await;
    assert_eq!(after.records, before.records);
    assert_eq!(after.high_watermark, 20);
}
