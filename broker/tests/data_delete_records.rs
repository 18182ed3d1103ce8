//! Moving the start of a log up: what is refused and what can no longer be read. Raw requests against a broker in this process.

mod support;

use std::time::Duration;

use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::{DeleteRecordsRequest, FetchRequest};
use support::data::*;
use support::group::topic_name;
use support::{Client, TestBroker};

/// Error code and low watermark.
async fn delete(client: &mut Client, version: i16, topic: &str, before: i64) -> (i16, i64) {
    let partition = DeleteRecordsPartition::default().with_offset(before);
    let topic = DeleteRecordsTopic::default()
        .with_name(topic_name(topic))
        .with_partitions(vec![partition]);
    let request = DeleteRecordsRequest::default()
        .with_timeout_ms(10_000)
        .with_topics(vec![topic]);
    let answer = client.call(version, &request).await;
    let part = &answer.topics[0].partitions[0];
    (part.error_code, part.low_watermark)
}

#[tokio::test]
async fn the_start_only_moves_up_and_not_beyond_the_end() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    client.make_topic("t", 1, &[]).await;
    client
        .make_topic("compact", 1, &[("cleanup.policy", "compact")])
        .await;
    for _ in 0..3 {
        client.produce("t", 0, batch(&["a", "b", "c"])).await;
    }
    let cases = [
        (0, "t", 4, (0, 4)),
        (1, "t", 2, (0, 4)),
        (2, "t", 10, (1, -1)),
        (2, "t", -2, (1, -1)),
        (2, "t", 9, (0, 9)),
        (2, "t", -1, (0, 9)),
        (2, "nothing", 0, (3, -1)),
        (2, "compact", 0, (44, -1)),
    ];
    for (version, topic, before, expected) in cases {
        assert_eq!(delete(&mut client, version, topic, before).await, expected);
    }
    // Offsets go on where they were.
    assert_eq!(client.produce("t", 0, batch(&["d"])).await.base_offset, 9);
}

#[tokio::test]
async fn deleted_records_are_out_of_range_and_not_found_by_time() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    client.make_topic("t", 1, &[]).await;
    let time = now_ms();
    let sent = batch_at(tidelog_records::Codec::None, time, &["a", "b", "c"]);
    client.produce("t", 0, sent).await;
    delete(&mut client, 2, "t", 2).await;
    let below = client.fetch("t", 0, 1).await;
    assert_eq!(below.error_code, 1);
    let rest = client.fetch("t", 0, 2).await;
    assert_eq!((rest.error_code, rest.log_start_offset), (0, 2));
    // The batch comes whole; its reader skips what is before its position.
    assert_eq!(values(&rest.records).len(), 3);
    for (asked, offset) in [(-2, 2), (time, 2), (-3, 2)] {
        let found = client.call(10, &list_request("t", 0, asked)).await;
        assert_eq!(found.topics[0].partitions[0].offset, offset, "{asked}");
    }
}

#[tokio::test]
async fn a_waiting_reader_of_deleted_records_is_told() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    client.make_topic("t", 1, &[]).await;
    client.produce("t", 0, batch(&["a", "b"])).await;
    let mut reader = broker.client().await;
    let patient = fetch_request("t", &[(0, 0)])
        .with_min_bytes(1 << 20)
        .with_max_wait_ms(60_000);
    reader.send(FETCH, &patient).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    delete(&mut client, 2, "t", 1).await;
    let part = only(reader.receive::<FetchRequest>(FETCH).await);
    assert_eq!(part.error_code, 1);
}
