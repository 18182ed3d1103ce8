//! What readers see of transactions: stable ends, lists of aborted ones, offsets that may still change.

mod support;

use std::time::{Duration, Instant};

use kafka_protocol::messages::FetchRequest;
use support::data::*;
use support::txn::*;
use support::{Client, TestBroker};

async fn broker() -> (TestBroker, Client) {
    let broker = TestBroker::start(&[
        "offsets.topic.num.partitions=3",
        "transaction.state.log.num.partitions=3",
    ])
    .await;
    let mut client = broker.client().await;
    client.make_topic("t", 2, &[]).await;
    (broker, client)
}

#[tokio::test]
async fn committed_reads_end_where_the_oldest_transaction_begins() {
    let (broker, mut client) = broker().await;
    let mut one = Transactor::open(broker.client().await, "one", Speaks::V2).await;
    let mut two = Transactor::open(broker.client().await, "two", Speaks::V1).await;
    client.produce("t", 0, batch(&["plain"])).await;
    assert_eq!(one.produce("t", 0, &["one"]).await, 1);
    assert_eq!(two.produce("t", 0, &["two"]).await, 2);
    client.produce("t", 0, batch(&["after"])).await;
    for version in 4..=12 {
        let request = committed_request("t", &[(0, 0)]);
        let part = only(client.call(version, &request).await);
        assert_eq!(
            (part.last_stable_offset, part.high_watermark),
            (1, 4),
            "v{version}"
        );
        assert_eq!(batches(&part.records).len(), 1, "v{version}");
        assert_eq!(part.aborted_transactions, Some(vec![]), "v{version}");
        let all = only(client.call(version, &fetch_request("t", &[(0, 0)])).await);
        assert_eq!(batches(&all.records).len(), 4, "v{version}");
        assert_eq!(all.aborted_transactions, None, "v{version}");
    }
    one.finish(true).await;
    let read = read_committed(&mut client, "t", 0).await;
    assert_eq!((read.stable_end, read.high_watermark), (2, 5));
    two.finish(false).await;
    let read = read_committed(&mut client, "t", 0).await;
    assert_eq!((read.stable_end, read.high_watermark), (6, 6));
    let expected = [(0, "plain"), (1, "one"), (3, "after")];
    assert_eq!(
        read.values,
        expected.map(|(at, value)| (at, value.to_owned()))
    );
}

#[tokio::test]
async fn aborted_transactions_are_named_wherever_a_fetch_begins() {
    let (broker, mut client) = broker().await;
    let mut one = Transactor::open(broker.client().await, "one", Speaks::V1).await;
    let mut two = Transactor::open(broker.client().await, "two", Speaks::V1).await;
    one.produce("t", 0, &["a0", "a1"]).await;
    two.produce("t", 0, &["b2"]).await;
    one.produce("t", 0, &["a3"]).await;
    one.finish(false).await;
    two.produce("t", 0, &["b5"]).await;
    two.finish(false).await;
    one.produce("t", 0, &["a7"]).await;
    one.finish(true).await;
    let (of_one, of_two) = (one.producer.0, two.producer.0);
    let list = |part: &kafka_protocol::messages::fetch_response::PartitionData| {
        let aborted = part.aborted_transactions.clone().unwrap_or_default();
        let mut list: Vec<_> = aborted
            .iter()
            .map(|aborted| (aborted.first_offset, aborted.producer_id.0))
            .collect();
        list.sort_unstable();
        list
    };
    // One has its marker at 4, two at 6, the last one at 8.
    for (from, expected) in [
        (0, vec![(0, of_one), (2, of_two)]),
        (3, vec![(0, of_one), (2, of_two)]),
        (4, vec![(0, of_one), (2, of_two)]),
        (5, vec![(2, of_two)]),
        (6, vec![(2, of_two)]),
        (7, vec![]),
        (9, vec![]),
    ] {
        let request = committed_request("t", &[(0, from)]);
        let part = only(client.call(FETCH, &request).await);
        assert_eq!(list(&part), expected, "from {from}");
        assert_eq!(part.last_stable_offset, 9);
    }
    assert_eq!(committed_values(&mut client, "t", 0).await, ["a7"]);
    // The same after a restart, from what is on the disk.
    let broker = broker.restart().await;
    let mut client = broker.client().await;
    assert_eq!(committed_values(&mut client, "t", 0).await, ["a7"]);
    let part = only(client.call(FETCH, &committed_request("t", &[(0, 5)])).await);
    assert_eq!(list(&part), [(2, of_two)]);
}

#[tokio::test]
async fn a_marker_wakes_readers_of_committed_records() {
    let (broker, _) = broker().await;
    for speaks in Speaks::BOTH {
        for commit in [true, false] {
            let id = format!("{speaks:?}{commit}");
            let mut txn = Transactor::open(broker.client().await, &id, speaks).await;
            let at = txn.produce("t", 0, &["v"]).await;
            let mut reader = broker.client().await;
            let request = committed_request("t", &[(0, at)])
                .with_max_wait_ms(15_000)
                .with_min_bytes(1);
            let started = Instant::now();
            reader.send(FETCH, &request).await;
            // A write behind the open transaction is nothing to wake for.
            let mut client = broker.client().await;
            client.produce("t", 1, batch(&["elsewhere"])).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            txn.end(commit).await;
            let part = only(reader.receive::<FetchRequest>(FETCH).await);
            assert!(
                started.elapsed() < Duration::from_secs(5),
                "{:?}",
                started.elapsed()
            );
            assert!(part.last_stable_offset > at, "{part:?}");
            assert!(!batches(&part.records).is_empty());
            assert_eq!(
                part.aborted_transactions.unwrap().len(),
                usize::from(!commit)
            );
        }
    }
}

#[tokio::test]
async fn a_reader_of_committed_records_waits_for_its_time_when_nothing_ends() {
    let (broker, mut client) = broker().await;
    let mut txn = Transactor::open(broker.client().await, "txn", Speaks::V2).await;
    txn.produce("t", 0, &["open"]).await;
    let request = committed_request("t", &[(0, 0)])
        .with_max_wait_ms(300)
        .with_min_bytes(1);
    let started = Instant::now();
    let part = only(client.call(FETCH, &request).await);
    assert!(started.elapsed() >= Duration::from_millis(290));
    assert!(batches(&part.records).is_empty());
    assert_eq!((part.last_stable_offset, part.high_watermark), (0, 1));
}

#[tokio::test]
async fn ends_are_told_by_isolation() {
    let (broker, mut client) = broker().await;
    client
        .produce(
            "t",
            0,
            batch_at(tidelog_records::Codec::None, 1_000, &["old"]),
        )
        .await;
    let mut txn = Transactor::open(broker.client().await, "txn", Speaks::V2).await;
    txn.produce("t", 0, &["open"]).await;
    let ask =
        |timestamp, isolation: i8| list_request("t", 0, timestamp).with_isolation_level(isolation);
    for version in 2..=11 {
        for (isolation, end) in [(0, 2), (1, 1)] {
            let request: tidelog_protocol_ext::newer::ListOffsetsRequest =
                ask(-1, isolation).into();
            let answer = client.call(version, &request).await;
            let part = &answer.topics[0].partitions[0];
            assert_eq!(
                (part.error_code, part.offset),
                (0, end),
                "v{version} {isolation}"
            );
        }
    }
    // A time is not looked for beyond the stable end.
    for (isolation, found) in [(0, 1), (1, -1)] {
        let answer = client.call(10, &ask(2_000, isolation)).await;
        assert_eq!(
            answer.topics[0].partitions[0].offset, found,
            "isolation {isolation}"
        );
    }
    txn.finish(true).await;
    let answer = client.call(10, &ask(-1, 1)).await;
    assert_eq!(answer.topics[0].partitions[0].offset, 3);
    let answer = client.call(10, &ask(2_000, 1)).await;
    assert_eq!(answer.topics[0].partitions[0].offset, 1);
}

#[tokio::test]
async fn offsets_that_may_change_are_told_only_to_who_does_not_mind() {
    let (broker, mut client) = broker().await;
    for speaks in Speaks::BOTH {
        let group = format!("g{speaks:?}");
        let mut txn = Transactor::open(broker.client().await, &group, speaks).await;
        txn.commit_offset(&group, ("t", 0), 5).await;
        txn.finish(true).await;
        for (commit, expected) in [(false, 5), (true, 9)] {
            txn.commit_offset(&group, ("t", 0), 9).await;
            let loose = fetch_offset(&mut client, &group, ("t", 0), false).await;
            assert_eq!(loose, (0, 5));
            let stable = fetch_offset(&mut client, &group, ("t", 0), true).await;
            assert_eq!(stable, (UNSTABLE_OFFSET_COMMIT, -1));
            let other = fetch_offset(&mut client, &group, ("t", 1), true).await;
            assert_eq!(other, (0, -1), "another partition is not concerned");
            txn.finish(commit).await;
            let stable = fetch_offset(&mut client, &group, ("t", 0), true).await;
            assert_eq!(stable, (0, expected), "{speaks:?} {commit}");
        }
    }
}

const UNSTABLE_OFFSET_COMMIT: i16 = 88;
