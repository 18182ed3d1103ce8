//! Offsets by place, by time and by leader epoch. Raw requests against a broker in this process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{ListOffsetsRequest, OffsetForLeaderEpochRequest};
use support::data::*;
use support::group::topic_name;
use support::{Client, TestBroker};
use tidelog_protocol_ext::newer;
use tidelog_records::{BatchBuilder, Codec};

/// Topics here keep records of 1970.
const KEPT: &[(&str, &str)] = &[("retention.ms", "-1")];

/// Error, offset, timestamp and leader epoch of one partition.
async fn list(
    client: &mut Client,
    version: i16,
    request: ListOffsetsRequest,
) -> (i16, i64, i64, i32) {
    let request = newer::ListOffsetsRequest::from(request);
    let answer = client.call(version, &request).await;
    let part = &answer.topics[0].partitions[0];
    (
        part.error_code,
        part.offset,
        part.timestamp,
        part.leader_epoch,
    )
}

async fn produce_at(client: &mut Client, codec: Codec, times: &[i64]) {
    let mut builder = BatchBuilder::new().codec(codec, None);
    for time in times {
        builder.append(*time, Some(b"k"), Some(b"v"), []).unwrap();
    }
    let batch = builder.finish().unwrap();
    assert_eq!(client.produce("t", 0, batch).await.error_code, 0);
}

#[tokio::test]
async fn special_times_stand_for_places() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    client.make_topic("t", 1, KEPT).await;
    for version in 1..=11 {
        let epoch = if version >= 4 { 0 } else { -1 };
        let mut ask = async |time| list(&mut client, version, list_request("t", 0, time)).await;
        assert_eq!(ask(-1).await, (0, 0, -1, epoch), "v{version}");
        assert_eq!(ask(-2).await, (0, 0, -1, epoch), "v{version}");
        assert_eq!(ask(0).await, (0, -1, -1, -1), "v{version}");
    }
    produce_at(&mut client, Codec::None, &[100, 300]).await;
    produce_at(&mut client, Codec::Zstd, &[200, 400, 400, 50]).await;
    produce_at(&mut client, Codec::Lz4, &[250]).await;
    let cases = [
        (-1, 1, (0, 7, -1)),
        (-2, 1, (0, 0, -1)),
        (-3, 6, (35, -1, -1)),
        (-3, 7, (0, 3, 400)),
        (-4, 7, (35, -1, -1)),
        (-4, 8, (0, 0, -1)),
        (-5, 8, (35, -1, -1)),
        (-5, 9, (0, -1, -1)),
        (-6, 10, (35, -1, -1)),
        (-6, 11, (0, -1, -1)),
        (-7, 11, (35, -1, -1)),
        (i64::MIN, 10, (35, -1, -1)),
        (0, 1, (0, 0, 100)),
        (100, 5, (0, 0, 100)),
        (101, 5, (0, 1, 300)),
        (301, 10, (0, 3, 400)),
        (401, 10, (0, -1, -1)),
        (i64::MAX, 10, (0, -1, -1)),
    ];
    for (time, version, expected) in cases {
        for isolation in [0, 1] {
            let request = list_request("t", 0, time).with_isolation_level(isolation);
            // Version 1 has no isolation level.
            let version = version.max(i16::from(isolation) * 2);
            let (code, offset, timestamp, _) = list(&mut client, version, request).await;
            assert_eq!((code, offset, timestamp), expected, "{time} v{version}");
        }
    }
}

#[tokio::test]
async fn errors_of_list_offsets() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    client.make_topic("t", 1, KEPT).await;
    let code = async |client: &mut Client, request| list(client, 10, request).await.0;
    assert_eq!(code(&mut client, list_request("nothing", 0, -1)).await, 3);
    assert_eq!(code(&mut client, list_request("t", 1, -1)).await, 3);
    for (epoch, expected) in [(-1, 0), (0, 0), (1, 75)] {
        let mut request = list_request("t", 0, -1);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        assert_eq!(code(&mut client, request).await, expected);
    }
    let mut twice = list_request("t", 0, -1);
    twice.topics.extend(list_request("t", 0, -2).topics);
    let answer = client.call(10, &twice).await;
    let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
    let codes: Vec<_> = partitions.map(|partition| partition.error_code).collect();
    assert_eq!(codes, [42], "refused, and once");
}

#[tokio::test]
async fn leader_epochs_count_restarts_and_end_where_the_next_begins() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    client.make_topic("t", 1, KEPT).await;
    produce_at(&mut client, Codec::None, &[1, 2, 3]).await;
    let broker = broker.restart().await;
    let mut client = broker.client().await;
    produce_at(&mut client, Codec::None, &[4]).await;

    // Epoch known, epoch asked for: error, epoch found, its end.
    let cases = [
        (-1, 0, (0, 0, 3)),
        (1, 0, (0, 0, 3)),
        (1, 1, (0, 1, 4)),
        (1, 2, (0, -1, -1)),
        (-1, -1, (0, -1, -1)),
        (0, 0, (74, -1, -1)),
        (2, 0, (75, -1, -1)),
    ];
    for version in 2..=4 {
        for (current, epoch, expected) in cases {
            let answer = client
                .call(version, &epoch_request("t", 0, current, epoch))
                .await;
            let part = &answer.topics[0].partitions[0];
            let found = (part.error_code, part.leader_epoch, part.end_offset);
            assert_eq!(found, expected, "v{version}: {current} {epoch}");
        }
        for (topic, partition) in [("t", 1), ("nothing", 0)] {
            let answer = client
                .call(version, &epoch_request(topic, partition, -1, 0))
                .await;
            assert_eq!(answer.topics[0].partitions[0].error_code, 3);
        }
    }

    // The same epochs in Fetch and ListOffsets.
    for (known, expected) in [(-1, 0), (1, 0), (0, 74), (2, 75)] {
        let mut fetch = fetch_request("t", &[(0, 0)]);
        fetch.topics[0].partitions[0].current_leader_epoch = known;
        assert_eq!(only(client.call(FETCH, &fetch).await).error_code, expected);
        let mut at = list_request("t", 0, 4);
        at.topics[0].partitions[0].current_leader_epoch = known;
        assert_eq!(list(&mut client, 10, at).await.0, expected);
    }
    assert_eq!(
        list(&mut client, 10, list_request("t", 0, 4)).await,
        (0, 3, 4, 1)
    );
    assert_eq!(
        list(&mut client, 10, list_request("t", 0, -2)).await,
        (0, 0, -1, 0)
    );

    // A reader whose last record is of epoch 0 beyond its end has read what is gone.
    for (offset, epoch, diverges) in [(3, 0, false), (4, 0, true), (4, 1, false)] {
        let mut fetch = fetch_request("t", &[(0, offset)]);
        fetch.topics[0].partitions[0].last_fetched_epoch = epoch;
        let part = only(client.call(FETCH, &fetch).await);
        assert_eq!(part.error_code, 0);
        let end = (part.diverging_epoch.epoch, part.diverging_epoch.end_offset);
        assert_eq!(
            end,
            if diverges { (0, 3) } else { (-1, -1) },
            "{offset} {epoch}"
        );
    }
}

fn epoch_request(
    topic: &str,
    partition: i32,
    current: i32,
    epoch: i32,
) -> OffsetForLeaderEpochRequest {
    let partition = OffsetForLeaderPartition::default()
        .with_partition(partition)
        .with_current_leader_epoch(current)
        .with_leader_epoch(epoch);
    let topic = OffsetForLeaderTopic::default()
        .with_topic(topic_name(topic))
        .with_partitions(vec![partition]);
    OffsetForLeaderEpochRequest::default().with_topics(vec![topic])
}
