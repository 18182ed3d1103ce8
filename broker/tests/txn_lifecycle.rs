//! Transactions from their beginning to their end, through every version of the requests that make
//! them up. Raw requests against a broker in this process.

mod support;

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTransaction;
use kafka_protocol::messages::{AddPartitionsToTxnRequest, InitProducerIdRequest};
use support::data::produce_request;
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
async fn both_kinds_of_transactions_commit_and_abort_in_two_partitions_and_a_group() {
    let (broker, mut client) = broker().await;
    let mut expected = Vec::new();
    let mut committed = -1;
    for (round, speaks) in Speaks::BOTH.into_iter().enumerate() {
        let id = format!("{speaks:?}");
        let mut txn = Transactor::open(broker.client().await, &id, speaks).await;
        for (at, commit) in [true, false, true].into_iter().enumerate() {
            let offset = (round * 10 + at) as i64;
            let value = format!("{speaks:?}-{at}");
            txn.produce("t", 0, &[&value]).await;
            txn.produce("t", 1, &[&value]).await;
            txn.produce("t", 0, &[&value]).await;
            txn.commit_offset("g", ("t", 0), offset).await;
            assert_eq!(
                fetch_offset(&mut client, "g", ("t", 0), false).await,
                (0, committed),
                "nobody sees what is not committed"
            );
            let before = txn.producer;
            txn.finish(commit).await;
            let epochs = i16::from(speaks == Speaks::V2);
            assert_eq!(txn.producer, (before.0, before.1 + epochs), "{speaks:?}");
            if commit {
                expected.push(value);
                committed = offset;
            }
            let position = fetch_offset(&mut client, "g", ("t", 0), true).await;
            assert_eq!(position, (0, committed));
        }
    }
    let twice: Vec<_> = expected
        .iter()
        .flat_map(|v| [v.clone(), v.clone()])
        .collect();
    assert_eq!(committed_values(&mut client, "t", 0).await, twice);
    assert_eq!(committed_values(&mut client, "t", 1).await, expected);
    let read = read_committed(&mut client, "t", 0).await;
    assert_eq!(read.stable_end, read.high_watermark);
}

#[tokio::test]
async fn every_version_of_every_request_of_a_transaction_is_answered() {
    let (_broker, mut client) = broker().await;
    let mut expected = Vec::new();
    // Old and new of each, so that all versions of all requests come in.
    for step in 0..=5i16 {
        let id = format!("txn-{step}");
        let given = loop {
            let given = client.call(step, &init_request(&id, 60_000)).await;
            if !RETRIABLE.contains(&given.error_code) {
                break given;
            }
        };
        assert_eq!(given.error_code, 0, "InitProducerId v{step}");
        let producer = (given.producer_id.0, given.producer_epoch);
        assert_eq!(producer.1, 0);

        // Versions 4 and 5 are those between brokers.
        let code = match step {
            0..=3 => {
                let add = add_request(&id, producer, "t", &[0]);
                let added = client.call(step, &add).await;
                added.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code
            }
            _ => {
                let added = client
                    .call(step, &batched(&id, producer, false, &[0]))
                    .await;
                let result = &added.results_by_transaction[0];
                assert_eq!(&*result.transactional_id.0, id);
                result.topic_results[0].results_by_partition[0].partition_error_code
            }
        };
        assert_eq!(code, 0, "AddPartitionsToTxn v{step}");
        let added = client
            .call(step.min(4), &add_offsets_request(&id, producer, "g"))
            .await;
        assert_eq!(added.error_code, 0, "AddOffsetsToTxn v{}", step.min(4));

        let value = format!("v{step}");
        let batch = transactional(producer, 0, &[&value]);
        let request = produce_request(-1, "t", &[(0, batch)])
            .with_transactional_id(Some(transactional_id(&id)));
        // 3 to 8, all of them before transactions version 2.
        let written = client.call(3 + step, &request).await;
        let written = &written.responses[0].partition_responses[0];
        assert_eq!(written.error_code, 0, "Produce v{}", 3 + step);

        let commit = txn_commit_request(&id, producer, "g", ("t", 0), i64::from(step));
        let answer = client.call(step, &commit).await;
        let code = answer.topics[0].partitions[0].error_code;
        assert_eq!(code, 0, "TxnOffsetCommit v{step}");

        let ended = client.call(step, &end_request(&id, producer, true)).await;
        assert_eq!(ended.error_code, 0, "EndTxn v{step}");
        if step >= 5 {
            assert_eq!((ended.producer_id.0, ended.producer_epoch), (producer.0, 1));
        }
        let mut looker = Transactor::looking(client, &id);
        looker.wait_for("CompleteCommit").await;
        client = looker.client;
        expected.push(value);
        let position = fetch_offset(&mut client, "g", ("t", 0), true).await;
        assert_eq!(position, (0, i64::from(step)));
    }
    assert_eq!(committed_values(&mut client, "t", 0).await, expected);
}

#[tokio::test]
async fn every_version_of_produce_opens_a_transaction() {
    let (_broker, mut client) = broker().await;
    let id = client.make_topic("by-id", 1, &[]).await;
    let mut expected = Vec::new();
    for version in 3..=13 {
        let name = format!("txn-{version}");
        let speaks = if version >= 12 {
            Speaks::V2
        } else {
            Speaks::V1
        };
        let mut txn = Transactor::open(client, &name, speaks).await;
        if speaks == Speaks::V1 {
            assert_eq!(txn.add_partitions(3, "by-id", &[0]).await, 0);
        }
        let value = format!("v{version}");
        let batch = txn.batch("by-id", 0, &[&value]);
        let mut request = produce_request(-1, "by-id", &[(0, batch)])
            .with_transactional_id(Some(transactional_id(&name)));
        if version >= 13 {
            request.topic_data[0].name = Default::default();
            request.topic_data[0].topic_id = id;
        }
        let written = txn.client.call(version, &request).await;
        let written = &written.responses[0].partition_responses[0];
        assert_eq!(written.error_code, 0, "v{version}: {written:?}");
        txn.finish(true).await;
        client = txn.client;
        expected.push(value);
    }
    assert_eq!(committed_values(&mut client, "by-id", 0).await, expected);
}

#[tokio::test]
async fn a_transaction_of_nothing_ends_as_each_version_has_it() {
    let (broker, _) = broker().await;
    let mut old = Transactor::open(broker.client().await, "old", Speaks::V1).await;
    for commit in [true, false] {
        assert_eq!(old.try_end(4, commit).await.error_code, INVALID_TXN_STATE);
    }
    let mut new = Transactor::open(broker.client().await, "new", Speaks::V2).await;
    let refused = new.try_end(5, true).await;
    assert_eq!(refused.error_code, INVALID_TXN_STATE);
    assert_eq!((refused.producer_id.0, refused.producer_epoch), (-1, -1));
    let (id, epoch) = new.producer;
    // An abort is always possible, and raises the epoch.
    assert_eq!(new.try_end(5, false).await.error_code, 0);
    assert_eq!(new.producer, (id, epoch + 1));
}

#[tokio::test]
async fn an_end_that_is_sent_again_is_answered_as_before() {
    let (broker, mut client) = broker().await;
    for speaks in Speaks::BOTH {
        let mut txn = Transactor::open(broker.client().await, &format!("{speaks:?}"), speaks).await;
        for commit in [true, false] {
            let held = txn.producer;
            txn.produce("t", 0, &["v"]).await;
            txn.finish(commit).await;
            let again = end_request(&txn.id, held, commit);
            let answer = client.call(speaks.end(), &again).await;
            assert_eq!(answer.error_code, 0, "{speaks:?} {commit}");
            if speaks == Speaks::V2 {
                let told = (answer.producer_id.0, answer.producer_epoch);
                assert_eq!(told, txn.producer);
            }
            let other = end_request(&txn.id, held, !commit);
            let answer = client.call(speaks.end(), &other).await;
            assert_eq!(answer.error_code, INVALID_TXN_STATE, "{speaks:?} {commit}");
        }
    }
}

#[tokio::test]
async fn a_batch_that_is_sent_again_is_there_once() {
    let (broker, mut client) = broker().await;
    for speaks in Speaks::BOTH {
        let id = format!("{speaks:?}");
        let mut txn = Transactor::open(broker.client().await, &id, speaks).await;
        let batch = txn.batch("t", 0, &["a", "b"]);
        let first = txn.produce("t", 0, &["a", "b"]).await;
        let request = produce_request(-1, "t", &[(0, batch)])
            .with_transactional_id(Some(transactional_id(&id)));
        for _ in 0..2 {
            let again = client.call(speaks.produce(), &request).await;
            let again = &again.responses[0].partition_responses[0];
            assert_eq!((again.error_code, again.base_offset), (0, first));
        }
        txn.finish(true).await;
    }
    assert_eq!(
        committed_values(&mut client, "t", 0).await,
        ["a", "b", "a", "b"]
    );
}

#[tokio::test]
async fn brokers_ask_whether_partitions_belong_to_a_transaction() {
    let (broker, mut client) = broker().await;
    let mut txn = Transactor::open(broker.client().await, "txn", Speaks::V1).await;
    assert_eq!(txn.add_partitions(3, "t", &[1]).await, 0);
    for version in [4, 5] {
        let answer = client
            .call(version, &batched("txn", txn.producer, true, &[0, 1]))
            .await;
        let results = &answer.results_by_transaction[0].topic_results[0].results_by_partition;
        let codes: Vec<_> = results
            .iter()
            .map(|result| (result.partition_index, result.partition_error_code))
            .collect();
        assert_eq!(codes, [(0, TRANSACTION_ABORTABLE), (1, 0)], "v{version}");
    }
    // Asking adds nothing.
    let described = describe(&mut client, "txn").await;
    assert_eq!(described.topics[0].partitions, [1]);
}

#[tokio::test]
async fn a_producer_without_a_transactional_id_is_no_transactor() {
    let (_broker, mut client) = broker().await;
    let mut ids = Vec::new();
    for version in 0..=5 {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_producer_id((-1).into())
            .with_producer_epoch(-1);
        let given = client.call(version, &request).await;
        assert_eq!(
            (given.error_code, given.producer_epoch),
            (0, 0),
            "v{version}"
        );
        ids.push(given.producer_id.0);
    }
    ids.dedup();
    assert_eq!(ids.len(), 6, "each comes once: {ids:?}");
}

/// Of versions 4 and 5.
fn batched(
    id: &str,
    producer: (i64, i16),
    verify_only: bool,
    partitions: &[i32],
) -> AddPartitionsToTxnRequest {
    let transaction = AddPartitionsToTxnTransaction::default()
        .with_transactional_id(transactional_id(id))
        .with_producer_id(producer.0.into())
        .with_producer_epoch(producer.1)
        .with_verify_only(verify_only)
        .with_topics(vec![add_topic("t", partitions)]);
    AddPartitionsToTxnRequest::default().with_transactions(vec![transaction])
}
