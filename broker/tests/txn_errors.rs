//! What each request of a transaction is refused with, version by version: a client of any age must be
//! able to tell "again" from "give up". Codes as Kafka's `TransactionCoordinator` and `KafkaApis` have them.

mod support;

use bytes::Bytes;
use kafka_protocol::messages::InitProducerIdRequest;
use support::data::produce_request;
use support::group::{Member, QUICK};
use support::txn::*;
use support::{Client, TestBroker};

const UNKNOWN_TOPIC: i16 = 3;
const ILLEGAL_GENERATION: i16 = 22;
const INVALID_GROUP_ID: i16 = 24;
const UNKNOWN_MEMBER: i16 = 25;
const INVALID_REQUEST: i16 = 42;
const OUT_OF_ORDER: i16 = 45;
const INVALID_TIMEOUT: i16 = 50;
const NO_AUTHORIZATION: i16 = 53;
const NOT_ATTEMPTED: i16 = 55;

async fn broker() -> (TestBroker, Client) {
    let settings = [
        QUICK,
        &[
            "offsets.topic.num.partitions=3",
            "transaction.state.log.num.partitions=3",
        ],
    ];
    let broker = TestBroker::start(&settings.concat()).await;
    let mut client = broker.client().await;
    client.make_topic("t", 2, &[]).await;
    (broker, client)
}

/// What a version calls a producer that was replaced.
fn fenced(version: i16, from: i16) -> i16 {
    if version >= from {
        PRODUCER_FENCED
    } else {
        INVALID_PRODUCER_EPOCH
    }
}

#[tokio::test]
async fn init_producer_id() {
    let (broker, mut client) = broker().await;
    for version in 0..=5 {
        for (timeout_ms, code) in [
            (0, INVALID_TIMEOUT),
            (-1, INVALID_TIMEOUT),
            (900_001, INVALID_TIMEOUT),
            (900_000, 0),
        ] {
            let request = init_request(&format!("v{version}"), timeout_ms);
            let given = client.call(version, &request).await;
            assert_eq!(given.error_code, code, "v{version} {timeout_ms} ms");
            if code != 0 {
                assert_eq!((given.producer_id.0, given.producer_epoch), (-1, -1));
            }
        }
        let empty = client.call(version, &init_request("", 1_000)).await;
        assert_eq!(empty.error_code, INVALID_REQUEST, "v{version}");
    }
    // From version 3 on clients say what they hold (KIP-360).
    let txn = Transactor::open(broker.client().await, "held", Speaks::V1).await;
    let (id, epoch) = txn.producer;
    for version in 3..=5 {
        for held in [(id, epoch + 5), (id + 1_000_000, epoch)] {
            let refused = init_as(&mut client, version, "held", held).await;
            assert_eq!(
                refused.error_code,
                fenced(version, 4),
                "v{version} {held:?}"
            );
        }
        let half = InitProducerIdRequest::default()
            .with_transactional_id(Some(transactional_id("held")))
            .with_transaction_timeout_ms(1_000)
            .with_producer_id(id.into())
            .with_producer_epoch(-1);
        assert_eq!(
            client.call(version, &half).await.error_code,
            INVALID_REQUEST
        );
    }
    let next = init_as(&mut client, 4, "held", (id, epoch)).await;
    assert_eq!((next.error_code, next.producer_epoch), (0, epoch + 1));
    let again = init_as(&mut client, 4, "held", (id, epoch)).await;
    assert_eq!(
        (again.error_code, again.producer_epoch),
        (0, epoch + 1),
        "whoever missed the answer is given it again"
    );
}

#[tokio::test]
async fn a_transaction_under_way_is_aborted_before_its_id_is_given_to_another() {
    let (broker, mut client) = broker().await;
    let mut first = Transactor::open(broker.client().await, "txn", Speaks::V2).await;
    first.produce("t", 0, &["lost"]).await;
    let asked = client.call(4, &init_request("txn", 60_000)).await;
    assert_eq!(asked.error_code, CONCURRENT);
    let mut second = Transactor::open(broker.client().await, "txn", Speaks::V2).await;
    assert_eq!(second.producer.0, first.producer.0);
    assert!(second.producer.1 > first.producer.1);

    // The first is fenced wherever it comes.
    let (code, _) = first.try_produce("t", 0, &["late"]).await;
    assert_eq!(code, INVALID_PRODUCER_EPOCH);
    let (code, _) = first.try_produce("t", 1, &["late"]).await;
    assert_eq!(code, INVALID_PRODUCER_EPOCH);
    for version in 0..=5 {
        let ended = first.try_end(version, true).await;
        assert_eq!(ended.error_code, fenced(version, 2), "EndTxn v{version}");
    }
    for version in 0..=3 {
        let code = first.add_partitions(version, "t", &[0]).await;
        assert_eq!(code, fenced(version, 2), "AddPartitionsToTxn v{version}");
    }
    for version in 0..=4 {
        let code = first.add_offsets(version, "g").await;
        assert_eq!(code, fenced(version, 2), "AddOffsetsToTxn v{version}");
    }
    for version in 0..=5 {
        let commit = txn_commit_request("txn", first.producer, "g", ("t", 0), 1);
        let answer = client.call(version, &commit).await;
        let code = answer.topics[0].partitions[0].error_code;
        assert_eq!(code, INVALID_PRODUCER_EPOCH, "TxnOffsetCommit v{version}");
    }
    second.produce("t", 0, &["kept"]).await;
    second.finish(true).await;
    assert_eq!(committed_values(&mut client, "t", 0).await, ["kept"]);
}

#[tokio::test]
async fn strangers_to_a_transactional_id() {
    let (broker, mut client) = broker().await;
    let txn = Transactor::open(broker.client().await, "txn", Speaks::V1).await;
    let other = (txn.producer.0 + 1_000_000, 0);
    for (id, producer, code) in [
        ("nobody", txn.producer, ID_MAPPING),
        ("txn", other, ID_MAPPING),
        ("", txn.producer, INVALID_REQUEST),
    ] {
        for version in 0..=5 {
            let ended = client.call(version, &end_request(id, producer, true)).await;
            assert_eq!(ended.error_code, code, "EndTxn v{version} {id:?}");
        }
        for version in 0..=3 {
            let add = add_request(id, producer, "t", &[0, 1]);
            let answer = client.call(version, &add).await;
            let results = &answer.results_by_topic_v3_and_below[0].results_by_partition;
            let codes: Vec<_> = results.iter().map(|r| r.partition_error_code).collect();
            assert_eq!(codes, [code, code], "AddPartitionsToTxn v{version} {id:?}");
        }
        for version in 0..=4 {
            let add = add_offsets_request(id, producer, "g");
            let code_told = client.call(version, &add).await.error_code;
            assert_eq!(code_told, code, "AddOffsetsToTxn v{version} {id:?}");
        }
        for version in [0, 3, 5] {
            let commit = txn_commit_request(id, producer, "g", ("t", 0), 1);
            let answer = client.call(version, &commit).await;
            let told = answer.topics[0].partitions[0].error_code;
            assert_eq!(told, code, "TxnOffsetCommit v{version} {id:?}");
        }
        for version in [11, 12] {
            let batch = transactional(producer, 0, &["v"]);
            let told = produce(&mut client, version, id, &[(0, batch)]).await;
            assert_eq!(told, [code], "Produce v{version} {id:?}");
        }
    }
}

#[tokio::test]
async fn one_unknown_partition_keeps_the_others_out() {
    let (broker, mut client) = broker().await;
    let txn = Transactor::open(broker.client().await, "txn", Speaks::V1).await;
    for version in 0..=3 {
        let add = add_request("txn", txn.producer, "t", &[0, 7]);
        let answer = client.call(version, &add).await;
        let results = &answer.results_by_topic_v3_and_below[0].results_by_partition;
        let codes: Vec<_> = results
            .iter()
            .map(|r| (r.partition_index, r.partition_error_code))
            .collect();
        assert_eq!(
            codes,
            [(0, NOT_ATTEMPTED), (7, UNKNOWN_TOPIC)],
            "v{version}"
        );
    }
    assert_eq!(
        describe(&mut client, "txn")
            .await
            .transaction_state
            .as_str(),
        "Empty"
    );
}

#[tokio::test]
async fn what_was_not_announced_is_not_written() {
    let (broker, mut client) = broker().await;
    let txn = Transactor::open(broker.client().await, "txn", Speaks::V1).await;
    for version in 3..=11 {
        let batch = transactional(txn.producer, 0, &["v"]);
        let code = if version >= 11 {
            TRANSACTION_ABORTABLE
        } else {
            INVALID_TXN_STATE
        };
        let told = produce(&mut client, version, "txn", &[(0, batch)]).await;
        assert_eq!(told, [code], "Produce v{version}");
    }
    for version in 0..=4 {
        let commit = txn_commit_request("txn", txn.producer, "g", ("t", 0), 1);
        let answer = client.call(version, &commit).await;
        let code = if version >= 4 {
            TRANSACTION_ABORTABLE
        } else {
            INVALID_TXN_STATE
        };
        let told = answer.topics[0].partitions[0].error_code;
        assert_eq!(told, code, "TxnOffsetCommit v{version}");
    }
    let read = read_committed(&mut client, "t", 0).await;
    assert_eq!(read.high_watermark, 0);
}

#[tokio::test]
async fn produce_requests_that_mix_things_up() {
    let (broker, mut client) = broker().await;
    let mut one = Transactor::open(broker.client().await, "one", Speaks::V2).await;
    let two = Transactor::open(broker.client().await, "two", Speaks::V2).await;
    let (of_one, of_two) = (one.batch("t", 0, &["1"]), two.batch("t", 1, &["2"]));
    for version in [11, 12] {
        let batches = [(0, of_one.clone()), (1, of_two.clone())];
        let told = produce(&mut client, version, "one", &batches).await;
        assert_eq!(told, [ID_MAPPING, ID_MAPPING], "v{version}");
    }
    let nameless = produce_request(-1, "t", &[(0, of_one)]);
    let told = client.call(12, &nameless).await;
    let told = told.responses[0].partition_responses[0].error_code;
    assert_eq!(told, NO_AUTHORIZATION);

    one.produce("t", 0, &["first"]).await;
    let gap = transactional(one.producer, 5, &["gap"]);
    assert_eq!(
        produce(&mut client, 12, "one", &[(0, gap)]).await,
        [OUT_OF_ORDER]
    );
    one.finish(true).await;
    assert_eq!(committed_values(&mut client, "t", 0).await, ["first"]);
}

#[tokio::test]
async fn a_batch_with_a_sequence_that_does_not_begin_a_transaction_of_version_2() {
    let (broker, mut client) = broker().await;
    let mut txn = Transactor::open(broker.client().await, "txn", Speaks::V2).await;
    let late = transactional(txn.producer, 3, &["late"]);
    assert_eq!(
        produce(&mut client, 12, "txn", &[(1, late)]).await,
        [OUT_OF_ORDER]
    );
    // The partition became part of the transaction, and its end still comes there.
    txn.produce("t", 0, &["kept"]).await;
    txn.finish(true).await;
    assert_eq!(committed_values(&mut client, "t", 0).await, ["kept"]);
}

#[tokio::test]
async fn offsets_of_a_transaction_are_held_against_the_group() {
    let (broker, mut client) = broker().await;
    let mut member = Member::connect(&broker, "g").await;
    assert_eq!(member.join().await.error_code, 0);
    let own = member.id.clone();
    assert_eq!(member.sync(&[(&own, "all")]).await.error_code, 0);

    let mut txn = Transactor::open(broker.client().await, "txn", Speaks::V2).await;
    let cases = [
        (
            own.as_str(),
            member.generation + 1,
            None,
            ILLEGAL_GENERATION,
        ),
        ("stranger", member.generation, None, UNKNOWN_MEMBER),
        (
            own.as_str(),
            member.generation,
            Some("instance"),
            UNKNOWN_MEMBER,
        ),
        (own.as_str(), member.generation, None, 0),
        // From before KIP-447, or outside of group management.
        ("", -1, None, 0),
    ];
    for version in 3..=5 {
        txn.speaks = if version >= 5 { Speaks::V2 } else { Speaks::V1 };
        if version < 5 {
            assert_eq!(txn.add_offsets(4, "g").await, 0);
        }
        for (member_id, generation, instance, code) in cases {
            let commit = txn_commit_request("txn", txn.producer, "g", ("t", 0), 7)
                .with_generation_id(generation)
                .with_member_id(support::group::text(member_id))
                .with_group_instance_id(instance.map(support::group::text));
            let answer = client.call(version, &commit).await;
            let told = answer.topics[0].partitions[0].error_code;
            assert_eq!(told, code, "v{version} {member_id:?} {generation}");
        }
        txn.finish(true).await;
        txn.init(60_000).await;
    }
    for version in [3, 5] {
        let unknown = txn_commit_request("txn", txn.producer, "g", ("t", 9), 7);
        let answer = client.call(version, &unknown).await;
        assert_eq!(answer.topics[0].partitions[0].error_code, UNKNOWN_TOPIC);
        let nameless = txn_commit_request("txn", txn.producer, "", ("t", 0), 7);
        let answer = client.call(version, &nameless).await;
        let told = answer.topics[0].partitions[0].error_code;
        assert_eq!(told, INVALID_GROUP_ID, "v{version}");
        let described = describe(&mut client, "txn").await;
        assert_eq!(described.transaction_state.as_str(), "Empty", "v{version}");
    }
}

/// One code for each batch of topic `t`, sent once it is not to be retried.
async fn produce(
    client: &mut Client,
    version: i16,
    id: &str,
    batches: &[(i32, Bytes)],
) -> Vec<i16> {
    let request =
        produce_request(-1, "t", batches).with_transactional_id(Some(transactional_id(id)));
    loop {
        let answer = client.call(version, &request).await;
        let parts = &answer.responses[0].partition_responses;
        let codes: Vec<_> = parts.iter().map(|part| part.error_code).collect();
        if !codes.iter().any(|code| RETRIABLE.contains(code)) {
            return codes;
        }
    }
}
