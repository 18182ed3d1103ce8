//! What is derived from a log holds committed records only: columns in memory, rows files, the lake's table
//! and lookups by key see nothing of an open or aborted transaction, and do not get stuck at its markers.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use bytes::Bytes;
use kafka_protocol::messages::ProduceRequest;
use support::data::{batch, now_ms, produce_request};
use support::fuzz::Dice;
use support::group::text;
use support::lake::{ORDERS, rows, tier};
use support::table::{columnar, decode};
use support::txn::*;
use support::{Client, PATIENCE, TestBroker};
use tidelog_protocol_ext::ext::columnar_fetch::Run;
use tidelog_protocol_ext::ext::lookup::{LookupKey, LookupRequest, MinOffset};
use tidelog_records::BatchBuilder;
use uuid::Uuid;

const LOADING: i16 = 14;

/// A name that does not compress: enough rows of them are worth a file.
fn city(id: i64) -> String {
    let mut dice = Dice::new(id.unsigned_abs() + 1);
    let name: String = (0..6).map(|_| format!("{:016x}", dice.next())).collect();
    format!("city {id} {name}")
}

fn order(id: i64) -> String {
    format!(r#"{{"id":{id},"city":"{}"}}"#, city(id))
}

async fn write(txn: &mut Transactor, ids: std::ops::Range<i64>) {
    let values: Vec<_> = ids.map(order).collect();
    let values: Vec<_> = values.iter().map(String::as_str).collect();
    txn.produce("orders", 0, &values).await;
}

/// Offsets and ids of the rows from an offset up to the end given.
async fn ids(client: &mut Client, topic: Uuid, from: i64, end: i64) -> Vec<(i64, i64)> {
    let columns = ["_offset", "id"];
    let table = client.describe_table(topic).await;
    let runs = client
        .rows_up_to(columnar(topic, from, Some(&columns)), end)
        .await;
    let batches = decode(&table, Some(&columns), &runs);
    let pairs = batches.iter().flat_map(|batch| {
        let column = |at: usize| {
            batch
                .column(at)
                .as_primitive::<Int64Type>()
                .values()
                .to_vec()
        };
        column(0).into_iter().zip(column(1)).collect::<Vec<_>>()
    });
    pairs.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_rows_files_and_the_lake_hold_committed_rows_only() {
    for speaks in Speaks::BOTH {
        let broker = TestBroker::start(&["offsets.topic.num.partitions=3"]).await;
        let mut client = broker.client().await;
        let topic = client.make_topic("orders", 1, &ORDERS).await;
        let mut one = Transactor::open(broker.client().await, "one", speaks).await;
        let mut two = Transactor::open(broker.client().await, "two", speaks).await;
        write(&mut one, 0..3).await; // 0 to 2, committed by the marker at 6
        write(&mut two, 100..103).await; // 3 to 5, aborted by the marker at 8
        let open = client.describe_table(topic).await;
        assert_eq!(open.partitions[0].stable_end, 0);
        let nothing = client.rows(&columnar(topic, 0, None)).await;
        assert_eq!((nothing.runs.len(), nothing.next_offset), (0, 0));
        one.finish(true).await;
        let plain = order(50);
        assert_eq!(
            client
                .produce("orders", 0, batch(&[&plain]))
                .await
                .base_offset,
            7
        );
        // One's rows are stable, as far as two's transaction lets them be.
        let first = [(0, 0), (1, 1), (2, 2)];
        assert_eq!(ids(&mut client, topic, 0, 3).await, first);
        two.finish(false).await;
        let mut expected = first.to_vec();
        expected.push((7, 50));
        assert_eq!(ids(&mut client, topic, 0, 9).await, expected, "{speaks:?}");
        // Only what was aborted, and only markers: the reader comes through without rows.
        assert_eq!(ids(&mut client, topic, 3, 7).await, [(7, 50)]);
        assert!(ids(&mut client, topic, 8, 9).await.is_empty());

        // A run of aborted transactions, then a row.
        for at in 0..5 {
            write(&mut two, 200 + at..201 + at).await;
            two.finish(false).await;
        }
        write(&mut one, 60..61).await;
        one.finish(true).await;
        expected.push((19, 60));
        assert_eq!(ids(&mut client, topic, 0, 21).await, expected, "{speaks:?}");

        // Enough for a file, with an aborted transaction in the middle.
        write(&mut one, 1_000..2_000).await; // from 21
        write(&mut two, 400..410).await; // from 1021
        two.finish(false).await; // 1031
        write(&mut one, 2_000..3_000).await; // from 1032
        one.finish(true).await; // 2032
        expected.extend((0..1_000).map(|at| (21 + at, 1_000 + at)));
        expected.extend((0..1_000).map(|at| (1_032 + at, 2_000 + at)));
        assert_eq!(
            ids(&mut client, topic, 0, 2_033).await,
            expected,
            "{speaks:?}"
        );

        let lake: Vec<_> = expected
            .iter()
            .map(|(offset, id)| ((0, *offset), city(*id)))
            .collect();
        tier(&broker, topic).await;
        let tiered = rows(&broker, "orders", "city").await;
        assert_eq!(tiered.into_iter().collect::<Vec<_>>(), lake, "{speaks:?}");

        // From files, and with a transaction left open over the restart.
        write(&mut two, 300..301).await;
        let broker = broker.restart().await;
        let mut client = broker.client().await;
        client.wait_for_rows_to(topic, 2_033).await;
        assert_eq!(
            ids(&mut client, topic, 0, 2_033).await,
            expected,
            "{speaks:?}"
        );
        two.client = broker.client().await;
        two.finish(true).await;
        expected.push((2_033, 300));
        assert_eq!(
            ids(&mut client, topic, 0, 2_035).await,
            expected,
            "{speaks:?}"
        );
        tier(&broker, topic).await;
        assert_eq!(rows(&broker, "orders", "city").await.len(), expected.len());
    }
}

/// A batch of a transaction for a keyed topic.
fn put(producer: (i64, i16), sequence: i32, records: &[(&str, Option<&str>)]) -> Bytes {
    let mut builder = BatchBuilder::new()
        .producer(producer.0, producer.1, sequence)
        .transactional();
    for (key, value) in records {
        let value = value.map(str::as_bytes);
        builder
            .append(now_ms(), Some(key.as_bytes()), value, [])
            .unwrap();
    }
    builder.finish().unwrap()
}

fn request(id: &str, batch: Bytes) -> ProduceRequest {
    produce_request(-1, "prices", &[(0, batch)]).with_transactional_id(Some(transactional_id(id)))
}

async fn send(client: &mut Client, id: &str, batch: Bytes) -> i64 {
    let started = Instant::now();
    loop {
        let answer = client.call(12, &request(id, batch.clone())).await;
        let part = &answer.responses[0].partition_responses[0];
        if part.error_code == 0 {
            return part.base_offset;
        }
        assert!(RETRIABLE.contains(&part.error_code), "{part:?}");
        assert!(started.elapsed() < PATIENCE, "{part:?}");
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// The values of keys once the table reflects everything below an offset; None for no row.
async fn values(
    client: &mut Client,
    topic: Uuid,
    min_offset: i64,
    keys: &[&str],
) -> Vec<Option<String>> {
    let asked = LookupRequest {
        max_wait_ms: 5_000,
        topic_id: topic,
        projection: Some(vec![text("value")]),
        min_offsets: Some(vec![MinOffset {
            partition: 0,
            min_offset,
        }]),
        keys: keys
            .iter()
            .map(|key| LookupKey {
                partition: -1,
                key: Bytes::copy_from_slice(key.as_bytes()),
            })
            .collect(),
        prefixes: Vec::new(),
    };
    let started = Instant::now();
    let answer = loop {
        let answer = client.call_ext(&asked).await;
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        if answer.results.iter().all(|key| key.error_code != LOADING) {
            break answer;
        }
        assert!(started.elapsed() < PATIENCE, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(
        answer.results.iter().all(|key| key.error_code == 0),
        "{answer:?}"
    );
    let table = client.describe_table(topic).await;
    let mut found = Vec::new();
    if answer.row_count > 0 {
        let run = Run {
            schema_id: answer.schema_id,
            row_count: answer.row_count,
            messages: answer.messages.clone(),
            checksums: vec![0; 1],
            ..Run::default()
        };
        for batch in decode(&table, Some(&["value"]), &[run]) {
            let column = batch.column(0).as_binary::<i32>();
            found.extend((0..batch.num_rows()).map(|at| column.value(at).to_vec()));
        }
    }
    let mut found = found.into_iter();
    let values = answer.results.iter().map(|key| {
        let value = key.found.then(|| found.next().unwrap());
        value.map(|value| String::from_utf8(value).unwrap())
    });
    values.collect()
}

#[tokio::test]
async fn lookups_see_committed_rows_only() {
    let broker = TestBroker::start(&["offsets.topic.num.partitions=3"]).await;
    let mut client = broker.client().await;
    let set = [
        ("tidelog.table.mode", "key_value"),
        ("tidelog.table.key", "record_key"),
    ];
    let topic = client.make_topic("prices", 1, &set).await;
    let some = |text: &str| Some(text.to_owned());
    let mut txn = Transactor::open(broker.client().await, "txn", Speaks::V2).await;

    // Committed: seen when it ends, not before.
    send(
        &mut client,
        "txn",
        put(txn.producer, 0, &[("a", Some("1")), ("b", Some("1"))]),
    )
    .await;
    assert_eq!(
        values(&mut client, topic, 0, &["a", "b"]).await,
        [None, None]
    );
    txn.finish(true).await;
    assert_eq!(
        values(&mut client, topic, 3, &["a", "b"]).await,
        [some("1"), some("1")]
    );

    // Aborted: an overwrite, a delete and a new key are as if they had not been.
    let aborted = [("a", Some("2")), ("b", None), ("c", Some("2"))];
    send(&mut client, "txn", put(txn.producer, 0, &aborted)).await;
    let before = [some("1"), some("1"), None];
    assert_eq!(
        values(&mut client, topic, 3, &["a", "b", "c"]).await,
        before
    );
    txn.finish(false).await;
    assert_eq!(
        values(&mut client, topic, 7, &["a", "b", "c"]).await,
        before
    );

    // A plain write behind an open transaction waits for its end.
    send(
        &mut client,
        "txn",
        put(txn.producer, 0, &[("a", Some("3"))]),
    )
    .await;
    let mut plain = BatchBuilder::new();
    plain
        .append(now_ms(), Some(b"b"), Some(b"plain"), [])
        .unwrap();
    let written = client.produce("prices", 0, plain.finish().unwrap()).await;
    assert_eq!((written.error_code, written.base_offset), (0, 8));
    assert_eq!(
        values(&mut client, topic, 7, &["a", "b"]).await,
        [some("1"), some("1")]
    );
    txn.finish(false).await;
    assert_eq!(
        values(&mut client, topic, 10, &["a", "b"]).await,
        [some("1"), some("plain")]
    );

    // And after a restart, with a transaction open over it.
    send(
        &mut client,
        "txn",
        put(txn.producer, 0, &[("a", Some("4")), ("c", Some("4"))]),
    )
    .await;
    let broker = broker.restart().await;
    let mut client = broker.client().await;
    assert_eq!(
        values(&mut client, topic, 10, &["a", "b", "c"]).await,
        [some("1"), some("plain"), None]
    );
    txn.client = broker.client().await;
    txn.finish(true).await;
    let after = [some("4"), some("plain"), some("4")];
    assert_eq!(
        values(&mut client, topic, 13, &["a", "b", "c"]).await,
        after
    );
}
