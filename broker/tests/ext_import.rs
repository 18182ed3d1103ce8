//! Topics filled from another cluster: offsets stay what they were, producers wait, transactions end as
//! they did there, and producer ids of the other cluster are never given out here.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use bytes::Bytes;
use kafka_protocol::messages::InitProducerIdRequest;
use support::data::*;
use support::{Client, TestBroker};
use tidelog_protocol_ext::Rope;
use tidelog_protocol_ext::ext::import_records::{ImportRecordsRequest, ImportRecordsResponse};
use tidelog_records::BatchBuilder;
use tidelog_records::control::{Outcome, TxnMarker};
use uuid::Uuid;

const IMPORT: (&str, &str) = ("tidelog.import", "true");

const CORRUPT: i16 = 2;
const NOT_LEADER: i16 = 6;
const INVALID_REQUEST: i16 = 42;
const INVALID_RECORD: i16 = 87;
const UNKNOWN_TOPIC_ID: i16 = 100;

fn at(offset: i64, values: &[&str]) -> Bytes {
    of(offset, None, values)
}

/// A batch at `offset`; in a transaction of this producer if there is one.
fn of(offset: i64, producer: Option<(i64, i32)>, values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new().base_offset(offset);
    if let Some((id, sequence)) = producer {
        builder = builder.producer(id, 0, sequence).transactional();
    }
    for value in values {
        builder
            .append(now_ms(), None, Some(value.as_bytes()), [])
            .unwrap();
    }
    builder.finish().unwrap()
}

fn marker(offset: i64, producer: i64, outcome: Outcome) -> Bytes {
    let marker = TxnMarker {
        outcome,
        coordinator_epoch: 3,
    };
    marker.to_batch(producer, 0, offset, 0, now_ms()).unwrap()
}

fn no_id() -> InitProducerIdRequest {
    InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_producer_id((-1).into())
        .with_producer_epoch(-1)
}

impl Client {
    async fn import(
        &mut self,
        topic_id: Uuid,
        log_start_offset: i64,
        batches: &[Bytes],
    ) -> ImportRecordsResponse {
        let request = ImportRecordsRequest {
            topic_id,
            partition: 0,
            log_start_offset,
            records: Rope::from(batches.to_vec()),
        };
        self.call_ext(&request).await
    }

    async fn import_ends(&mut self, id: Uuid, log_start: i64, batches: &[Bytes]) -> (i64, i64) {
        let answer = self.import(id, log_start, batches).await;
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        (answer.log_start_offset, answer.end_offset)
    }
}

#[tokio::test]
async fn offsets_and_gaps_stay_and_survive() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let id = client.make_topic("t", 1, &[IMPORT]).await;
    assert_eq!(client.import_ends(id, -1, &[]).await, (0, 0));
    // The source's log starts within its first batch.
    let first = [at(40, &["a", "b", "c"]), at(50, &["d"])];
    assert_eq!(client.import_ends(id, 41, &first).await, (41, 51));
    let broker = broker.kill().await;
    let mut client = broker.client().await;
    assert_eq!(client.import_ends(id, -1, &[]).await, (41, 51));
    assert_eq!(
        client.import_ends(id, 41, &[at(60, &["e"])]).await,
        (41, 61)
    );
    let found = client.fetch("t", 0, 41).await;
    let expected = [(40, "a"), (41, "b"), (42, "c"), (50, "d"), (60, "e")];
    let expected: Vec<_> = expected
        .map(|(offset, value)| (offset, value.to_owned()))
        .into();
    assert_eq!(values(&found.records), expected);
    // The log start follows the source's, as far as there is a log.
    assert_eq!(client.import_ends(id, 50, &[]).await, (50, 61));
    assert_eq!(client.import_ends(id, 99, &[]).await, (61, 61));
}

#[tokio::test]
async fn an_empty_log_begins_where_the_source_ends() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let id = client.make_topic("t", 1, &[IMPORT]).await;
    assert_eq!(client.import_ends(id, 700, &[]).await, (700, 700));
    let broker = broker.kill().await;
    let mut client = broker.client().await;
    assert_eq!(client.import_ends(id, 700, &[]).await, (700, 700));
    client.set_config("t", "tidelog.import", "false").await;
    let answer = client.produce("t", 0, batch(&["v"])).await;
    assert_eq!((answer.error_code, answer.base_offset), (0, 700));
}

#[tokio::test]
async fn what_is_refused() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let plain = client.make_topic("plain", 1, &[]).await;
    let table = [
        IMPORT,
        ("tidelog.table.mode", "key_value"),
        ("tidelog.table.key", "record_key"),
    ];
    let keyed = client.make_topic("keyed", 1, &table).await;
    let id = client.make_topic("t", 1, &[IMPORT]).await;
    let good = at(0, &["v"]);
    let mut corrupt = good.to_vec();
    *corrupt.last_mut().unwrap() ^= 1;
    let mut old = good.to_vec();
    old[16] = 1;
    let cut = good.slice(..good.len() - 1);
    let huge = of(0, Some((i64::MAX, 0)), &["v"]);
    for (what, topic, batch, expected) in [
        ("an ordinary topic", plain, good.clone(), INVALID_REQUEST),
        ("a keyed table", keyed, good.clone(), INVALID_REQUEST),
        (
            "no topic",
            Uuid::from_u128(7),
            good.clone(),
            UNKNOWN_TOPIC_ID,
        ),
        ("a wrong crc", id, corrupt.into(), CORRUPT),
        ("an old format", id, old.into(), INVALID_RECORD),
        ("half a batch", id, cut, INVALID_RECORD),
        ("a negative offset", id, at(-5, &["v"]), INVALID_RECORD),
        ("a producer id that leaves none", id, huge, INVALID_REQUEST),
    ] {
        let answer = client.import(topic, -1, &[batch]).await;
        assert_eq!(answer.error_code, expected, "{what}: {answer:?}");
    }
    assert_eq!(client.import_ends(id, -1, &[at(5, &["v"])]).await, (0, 6));
    let again = client.import(id, -1, &[at(5, &["v"])]).await;
    assert_eq!(again.error_code, INVALID_REQUEST, "{again:?}");
    assert_eq!(client.import_ends(id, -1, &[]).await, (0, 6));
}

#[tokio::test]
async fn producers_wait_until_the_import_ends() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let id = client.make_topic("t", 1, &[IMPORT]).await;
    client.import_ends(id, -1, &[at(0, &["a"])]).await;
    let answer = client.produce("t", 0, batch(&["early"])).await;
    assert_eq!(answer.error_code, NOT_LEADER);
    client.set_config("t", "tidelog.import", "false").await;
    let answer = client.produce("t", 0, batch(&["late"])).await;
    assert_eq!((answer.error_code, answer.base_offset), (0, 1));
    let answer = client.import(id, -1, &[at(9, &["b"])]).await;
    assert_eq!(answer.error_code, INVALID_REQUEST);
}

#[tokio::test]
async fn transactions_end_as_they_did_and_their_producers_ids_are_taken() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let id = client.make_topic("t", 1, &[IMPORT]).await;
    // An id of ours, from a block that has more.
    let ours = client.call(4, &no_id()).await;
    assert!((0..900).contains(&ours.producer_id.0), "{ours:?}");
    let batches = [
        of(0, Some((900, 0)), &["kept"]),
        of(1, Some((7_001, 0)), &["dropped"]),
        marker(2, 900, Outcome::Commit),
        marker(3, 7_001, Outcome::Abort),
        of(4, Some((900, 1)), &["open"]),
    ];
    assert_eq!(client.import_ends(id, -1, &batches).await, (0, 5));
    let mut request = fetch_request("t", &[(0, 0)]);
    request.isolation_level = 1;
    let found = only(client.call(11, &request).await);
    assert_eq!((found.high_watermark, found.last_stable_offset), (5, 4));
    let aborted = found.aborted_transactions.unwrap();
    let aborted: Vec<_> = aborted
        .iter()
        .map(|a| (a.producer_id.0, a.first_offset))
        .collect();
    assert_eq!(aborted, [(7_001, 1)]);

    for _ in 0..3 {
        let given = client.call(4, &no_id()).await;
        assert!(given.producer_id.0 > 7_001, "{given:?}");
    }
    let broker = broker.kill().await;
    let given = broker.client().await.call(4, &no_id()).await;
    assert!(given.producer_id.0 > 7_001, "{given:?}");
}
