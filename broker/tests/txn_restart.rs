//! Transactions outlive their broker, their client, and their own time.

mod support;

use std::time::{Duration, Instant};

use support::data::batch;
use support::txn::*;
use support::{Client, PATIENCE, TestBroker};

const SMALL: [&str; 2] = [
    "offsets.topic.num.partitions=3",
    "transaction.state.log.num.partitions=3",
];

async fn broker() -> (TestBroker, Client) {
    let broker = TestBroker::start(&SMALL).await;
    let mut client = broker.client().await;
    client.make_topic("t", 2, &[]).await;
    (broker, client)
}

async fn again(broker: TestBroker, killed: bool) -> TestBroker {
    match killed {
        true => broker.kill().await,
        false => broker.restart().await,
    }
}

#[tokio::test]
async fn an_open_transaction_goes_on_after_a_restart() {
    let (mut broker, _) = broker().await;
    let mut expected = Vec::new();
    let mut committed = -1;
    for speaks in Speaks::BOTH {
        for (killed, commit) in [(false, true), (false, false), (true, true), (true, false)] {
            let id = format!("{speaks:?}-{killed}-{commit}");
            let mut txn = Transactor::open(broker.client().await, &id, speaks).await;
            txn.produce("t", 0, &[&format!("{id} before")]).await;
            txn.commit_offset("g", ("t", 0), committed + 1).await;
            broker = again(broker, killed).await;
            txn.client = broker.client().await;
            let mut client = broker.client().await;
            let described = describe(&mut client, &id).await;
            assert_eq!(described.transaction_state.as_str(), "Ongoing", "{id}");
            let unstable = fetch_offset(&mut client, "g", ("t", 0), true).await;
            assert_eq!(unstable, (88, -1), "{id}");
            let open = read_committed(&mut client, "t", 0).await;
            assert!(open.stable_end < open.high_watermark, "{id}");
            txn.produce("t", 0, &[&format!("{id} after")]).await;
            txn.produce("t", 1, &["elsewhere"]).await;
            txn.finish(commit).await;
            if commit {
                expected.extend([format!("{id} before"), format!("{id} after")]);
                committed += 1;
            }
            assert_eq!(
                committed_values(&mut client, "t", 0).await,
                expected,
                "{id}"
            );
            let stable = fetch_offset(&mut client, "g", ("t", 0), true).await;
            assert_eq!(stable, (0, committed), "{id}");
        }
    }
}

#[tokio::test]
async fn an_outcome_that_was_answered_is_carried_out_whatever_comes() {
    let (mut broker, _) = broker().await;
    let mut expected = 0;
    for speaks in Speaks::BOTH {
        for commit in [true, false] {
            let id = format!("{speaks:?}-{commit}");
            let mut txn = Transactor::open(broker.client().await, &id, speaks).await;
            for partition in [0, 1] {
                txn.produce("t", partition, &["v"]).await;
            }
            txn.end(commit).await;
            // At once: the markers may or may not be there.
            broker = broker.kill().await;
            txn.client = broker.client().await;
            txn.wait_for(if commit {
                "CompleteCommit"
            } else {
                "CompleteAbort"
            })
            .await;
            expected += usize::from(commit);
            let mut client = broker.client().await;
            for partition in [0, 1] {
                let read = read_committed(&mut client, "t", partition).await;
                assert_eq!(read.values.len(), expected, "{id}");
                assert_eq!(read.stable_end, read.high_watermark, "{id}");
            }
            // And the producer goes on where it was.
            txn.produce("t", 0, &["next"]).await;
            txn.finish(false).await;
        }
    }
}

#[tokio::test]
async fn settled_ids_keep_their_epochs_and_producers_their_sequences() {
    let (broker, _) = broker().await;
    let mut txn = Transactor::open(broker.client().await, "txn", Speaks::V1).await;
    txn.produce("t", 0, &["a", "b"]).await;
    txn.finish(true).await;
    let broker = broker.restart().await;
    txn.client = broker.client().await;
    assert_eq!(txn.produce("t", 0, &["c"]).await, 3);
    txn.finish(true).await;
    let (id, epoch) = txn.producer;
    let next = Transactor::open(broker.client().await, "txn", Speaks::V1).await;
    assert_eq!(next.producer, (id, epoch + 1));
    let other = Transactor::open(broker.client().await, "other", Speaks::V1).await;
    assert!(other.producer.0 > id, "ids are not given out twice");
}

/// Waits until readers of committed records come to the end of a partition.
async fn wait_until_stable(client: &mut Client, topic: &str, partition: i32) {
    let started = Instant::now();
    loop {
        let read = read_committed(client, topic, partition).await;
        if read.stable_end == read.high_watermark {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{read:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_transaction_whose_time_is_over_is_aborted() {
    let (broker, mut client) = broker().await;
    for speaks in Speaks::BOTH {
        let id = format!("{speaks:?}");
        let mut txn = Transactor::open(broker.client().await, &id, speaks).await;
        txn.init(300).await;
        let started = Instant::now();
        txn.produce("t", 0, &["late"]).await;
        txn.commit_offset("g", ("t", 0), 1).await;
        wait_until_stable(&mut client, "t", 0).await;
        assert!(started.elapsed() >= Duration::from_millis(300));
        txn.wait_for("CompleteAbort").await;
        assert_eq!(
            fetch_offset(&mut client, "g", ("t", 0), true).await,
            (0, -1)
        );
        // The client was not asked: it is fenced.
        let (code, _) = txn.try_produce("t", 0, &["too late"]).await;
        // Version 1 hears it from the coordinator as it announces, version 2 as it writes.
        let expected = match speaks {
            Speaks::V1 => PRODUCER_FENCED,
            Speaks::V2 => INVALID_PRODUCER_EPOCH,
        };
        assert_eq!(code, expected, "{speaks:?}");
        let ended = txn.try_end(speaks.end(), true).await;
        // In version 2 its epoch is that of the end before, whose outcome was another one.
        let expected = match speaks {
            Speaks::V1 => PRODUCER_FENCED,
            Speaks::V2 => INVALID_TXN_STATE,
        };
        assert_eq!(ended.error_code, expected, "{speaks:?}");
        txn.init(60_000).await;
        txn.produce("t", 0, &["in time"]).await;
        txn.finish(true).await;
    }
    assert_eq!(
        committed_values(&mut client, "t", 0).await,
        ["in time", "in time"]
    );
}

#[tokio::test]
async fn time_runs_out_while_the_broker_is_down() {
    let (broker, _) = broker().await;
    let mut txn = Transactor::open(broker.client().await, "txn", Speaks::V2).await;
    txn.init(200).await;
    txn.produce("t", 1, &["v"]).await;
    let broker = broker
        .restart_after(|_| std::thread::sleep(Duration::from_millis(300)))
        .await;
    // Nobody asks for the transaction: its owner starts by itself.
    let mut client = broker.client().await;
    wait_until_stable(&mut client, "t", 1).await;
    assert!(committed_values(&mut client, "t", 1).await.is_empty());
    assert_eq!(
        describe(&mut client, "txn")
            .await
            .transaction_state
            .as_str(),
        "CompleteAbort"
    );
}

#[tokio::test]
async fn a_transaction_in_a_deleted_topic_ends_all_the_same() {
    let (broker, mut client) = broker().await;
    client.make_topic("gone", 1, &[]).await;
    for commit in [true, false] {
        let id = format!("{commit}");
        let mut txn = Transactor::open(broker.client().await, &id, Speaks::V2).await;
        txn.produce("gone", 0, &["v"]).await;
        txn.produce("t", 0, &["v"]).await;
        client.delete_topic("gone").await;
        txn.finish(commit).await;
        client.make_topic("gone", 1, &[]).await;
    }
    assert_eq!(committed_values(&mut client, "t", 0).await, ["v"]);
    client.produce("gone", 0, batch(&["new"])).await;
    assert_eq!(committed_values(&mut client, "gone", 0).await, ["new"]);
}
