//! ColumnarProduce: rows in columns become records that every Kafka client reads, and rows again.
//!
//! Method: what was sent is read back as text by Fetch and as columns by ColumnarFetch, and both are
//! compared; then everything that Produce promises (duplicates, order, transactions, keys) and
//! everything that must be refused, damaged bytes among it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::{
    ArrayRef, BinaryArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use support::data::{batches, now_ms, values};
use support::fuzz::{Dice, seeds};
use support::group::text;
use support::table::{columnar, decode};
use support::txn::{Speaks, Transactor, committed_values};
use support::{Client, PATIENCE, TestBroker};
use tidelog_arrow_messages::{Compression, read_rows, read_schema, rows_message, schema_message};
use tidelog_protocol_ext::ErrorCode;
use tidelog_protocol_ext::ext::columnar_produce::{
    ColumnarProduceRequest, ProducePartition, ProduceTopic, ProducedPartition,
};
use tidelog_protocol_ext::ext::lookup::{LookupKey, LookupRequest, LookupResponse};
use tidelog_records::{BatchHeader, Codec, Records};
use tidelog_registry::{Format, Registration};
use uuid::Uuid;

const SCHEMA: &str = r#"{"fields":[
    {"name":"id","type":"long","nullable":false},
    {"name":"city","type":"string"},
    {"name":"amount","type":"double"}
]}"#;

const TYPED: [(&str, &str); 2] = [
    ("tidelog.table.mode", "inline"),
    ("tidelog.table.schema", SCHEMA),
];

/// A request for partition 0 of a topic, without a producer id.
fn request(topic_id: Uuid, rows: &[RecordBatch]) -> ColumnarProduceRequest {
    let schema = rows.first().map(|rows| rows.schema());
    let schema = schema.unwrap_or_else(|| Arc::new(Schema::empty()));
    let messages = rows
        .iter()
        .map(|rows| rows_message(rows, Compression::None).unwrap());
    ColumnarProduceRequest {
        transactional_id: None,
        acks: -1,
        timeout_ms: 10_000,
        topics: vec![ProduceTopic {
            topic_id,
            name: None,
            schema_id: -1,
            arrow_schema: schema_message(&schema).unwrap(),
            partitions: vec![ProducePartition {
                partition: 0,
                producer_id: -1,
                producer_epoch: -1,
                base_sequence: -1,
                rows: messages.collect::<Vec<_>>().into(),
            }],
        }],
    }
}

/// As [`request`], of an idempotent producer.
fn sequenced(
    topic_id: Uuid,
    rows: &RecordBatch,
    (id, epoch): (i64, i16),
    sequence: i32,
) -> ColumnarProduceRequest {
    let mut request = request(topic_id, std::slice::from_ref(rows));
    let part = &mut request.topics[0].partitions[0];
    (part.producer_id, part.producer_epoch) = (id, epoch);
    part.base_sequence = sequence;
    request
}

impl Client {
    /// The answer for the one partition of a request.
    async fn send_rows(&mut self, request: &ColumnarProduceRequest) -> ProducedPartition {
        let mut answer = self.call_ext(request).await;
        assert_eq!(answer.topics.len(), 1);
        answer.topics[0].partitions.remove(0)
    }

    async fn written(&mut self, topic_id: Uuid, rows: &RecordBatch) -> i64 {
        let answer = self
            .send_rows(&request(topic_id, std::slice::from_ref(rows)))
            .await;
        assert_eq!(answer.error_code, 0, "{answer:?}");
        assert!(answer.error_message.is_none() && answer.record_errors.is_empty());
        answer.base_offset
    }

    /// Code and message of a refusal.
    async fn refused(&mut self, request: &ColumnarProduceRequest) -> (ErrorCode, String) {
        let answer = self.send_rows(request).await;
        assert_eq!(answer.base_offset, -1, "{answer:?}");
        let code = ErrorCode::from_code(answer.error_code).unwrap();
        (code, answer.error_message.unwrap().to_string())
    }

    /// The row of key `a`, once the index is there.
    async fn row_of_a(&mut self, topic_id: Uuid, columns: &[&str]) -> LookupResponse {
        let lookup = LookupRequest {
            max_wait_ms: 0,
            topic_id,
            projection: Some(columns.iter().map(|name| text(name)).collect()),
            min_offsets: None,
            keys: vec![LookupKey {
                partition: -1,
                key: Bytes::from_static(b"a"),
            }],
            prefixes: Vec::new(),
        };
        let started = Instant::now();
        loop {
            let found = self.call_ext(&lookup).await;
            assert_eq!(found.error_code, 0, "{found:?}");
            if found.results[0].error_code != ErrorCode::CoordinatorLoadInProgress.code() {
                return found;
            }
            assert!(started.elapsed() < PATIENCE, "{found:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn texts(&mut self, topic: &str, offset: i64) -> Vec<String> {
        let fetched = self.fetch(topic, 0, offset).await;
        let values = values(&fetched.records).into_iter();
        values.map(|(_, value)| value).collect()
    }

    /// Rows from an offset up to another, all columns, as Arrow reads them.
    async fn read(&mut self, topic: Uuid, from: i64, end: i64) -> Vec<RecordBatch> {
        let runs = self.rows_up_to(columnar(topic, from, None), end).await;
        let table = self.describe_table(topic).await;
        decode(&table, None, &runs)
    }
}

fn orders(ids: &[i64]) -> RecordBatch {
    let cities = ids.iter().map(|id| (id % 2 == 0).then_some("Kiel"));
    RecordBatch::try_from_iter_with_nullable([
        (
            "city",
            Arc::new(StringArray::from_iter(cities)) as ArrayRef,
            true,
        ),
        ("id", Arc::new(Int64Array::from(ids.to_vec())), true),
    ])
    .unwrap()
}

#[tokio::test]
async fn every_type_there_and_back() {
    let fields = r#"{"name":"i","type":"int","nullable":false},{"name":"b","type":"bool"},{"name":"l","type":"long"},
        {"name":"f","type":"float"},{"name":"d","type":"double"},{"name":"n","type":"decimal(12,2)"},{"name":"s","type":"string"},
        {"name":"x","type":"binary"},{"name":"day","type":"date"},{"name":"t","type":"time"},{"name":"ms","type":"timestamp(ms)"},
        {"name":"us","type":"timestamp(us)"},{"name":"lms","type":"local_timestamp(ms)"},{"name":"lus","type":"local_timestamp(us)"},
        {"name":"list","type":{"list":{"struct":[{"name":"q","type":"int"},{"name":"tags","type":{"list":"string"}}]}}},
        {"name":"m","type":{"map":"decimal(4,1)","keys":"long"}},{"name":"o","type":{"struct":[{"name":"p","type":{"map":"bool"}}]}}"#;
    let schema = format!(r#"{{"fields":[{fields}]}}"#);
    let settings = [
        ("tidelog.table.mode", "inline"),
        ("tidelog.table.schema", &schema),
    ];
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let topic = client.make_topic("t", 1, &settings).await;
    let full = r#"{"i":-7,"b":true,"l":9007199254740993,"f":0.1,"d":1e-300,"n":-12345.67,"s":"a\"\u0001ü🌊","x":"AP8=","day":"2026-02-28",
        "t":"23:59:59.999999","ms":"1969-12-31T23:59:59.999Z","us":-62135596800000001,"lms":"2026-01-01T00:00:00.001","lus":1,
        "list":[{"q":1,"tags":["a",null,""]},null,{}],"m":{"-1":1.5,"7":null},"o":{"p":{"k":false}}}"#;
    let few = r#"{"i":1,"list":[],"m":{},"o":{}}"#;
    let sent = support::data::batch(&[full, few, r#"{"i":2}"#]);
    assert_eq!(client.produce("t", 0, sent).await.error_code, 0);
    let before = client.read(topic, 0, 3).await.remove(0);

    // The same rows as they came, but for what only the broker says.
    let own = ["_partition", "_offset", "_timestamp_type"];
    let kept: Vec<_> = (0..before.num_columns())
        .filter(|at| !own.contains(&before.schema().field(*at).name().as_str()))
        .collect();
    let rows = before.project(&kept).unwrap();
    for (turn, schema_id) in [(1, 1), (2, -1)] {
        let mut request = request(topic, &[rows.slice(0, 1), rows.slice(1, 2)]);
        request.topics[0].schema_id = schema_id;
        let answer = client.send_rows(&request).await;
        assert_eq!(
            (answer.error_code, answer.base_offset),
            (0, 3 * turn),
            "{answer:?}"
        );
        let after = client.read(topic, 3 * turn, 3 * (turn + 1)).await;
        let after = after[0].project(&kept).unwrap();
        assert_eq!(after, rows, "schema {schema_id}");
    }
    let texts = client.texts("t", 3).await;
    assert_eq!(texts[..3], texts[3..]);
    assert_eq!(texts[1..3], [few.to_owned(), r#"{"i":2}"#.to_owned()]);
    assert!(
        texts[0].starts_with(
            r#"{"i":-7,"b":true,"l":9007199254740993,"f":0.1,"d":1e-300,"n":-12345.67,"#
        )
    );
    // Keys, times and headers too.
    let fetched = client.fetch("t", 0, 0).await;
    let stored = batches(&fetched.records);
    let first = |batch: &Bytes| {
        let records = Records::open(batch, 1 << 20).unwrap();
        let record = records.iter().next().unwrap().unwrap();
        (record.key.map(<[u8]>::to_vec), record.timestamp)
    };
    assert_eq!(first(&stored[0]), first(&stored[1]));
}

#[tokio::test]
async fn keys_times_headers_and_codecs_of_a_topic_of_bytes() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let key_value = [("tidelog.table.mode", "key_value")];
    for (name, settings) in [("t", &key_value[..]), ("no table", &[])] {
        let topic = client
            .make_topic(&name.replace(' ', "-"), 1, settings)
            .await;
        let rows = RecordBatch::try_from_iter_with_nullable([
            (
                "value",
                Arc::new(BinaryArray::from(vec![Some(&b"\xff\0"[..]), None])) as ArrayRef,
                true,
            ),
            (
                "_key",
                Arc::new(StringArray::from(vec![None, Some("k")])),
                true,
            ),
            (
                "_timestamp",
                Arc::new(
                    TimestampMicrosecondArray::from(vec![Some(1_700_000_000_123_456), None])
                        .with_timezone("UTC"),
                ),
                true,
            ),
        ])
        .unwrap();
        for (compression, codec) in [
            (Compression::None, Codec::None),
            (Compression::Lz4, Codec::Lz4),
            (Compression::Zstd, Codec::Zstd),
        ] {
            let mut request = request(topic, std::slice::from_ref(&rows));
            let message = rows_message(&rows, compression).unwrap();
            request.topics[0].partitions[0].rows = vec![message].into();
            let sent_ms = now_ms();
            let answer = client.send_rows(&request).await;
            assert_eq!(
                (answer.error_code, answer.log_append_time_ms),
                (0, -1),
                "{answer:?}"
            );
            let fetched = client
                .fetch(&name.replace(' ', "-"), 0, answer.base_offset)
                .await;
            let batch = batches(&fetched.records).remove(0);
            let header = BatchHeader::read(&batch).unwrap();
            // Small buffers are not compressed, but the message says how.
            assert_eq!((header.codec(), header.record_count), (Some(codec), 2));
            let records = Records::open(&batch, 1 << 20).unwrap();
            let records: Vec<_> = records.iter().map(Result::unwrap).collect();
            assert_eq!(
                (records[0].key, records[0].value),
                (None, Some(&b"\xff\0"[..]))
            );
            assert_eq!((records[1].key, records[1].value), (Some(&b"k"[..]), None));
            assert_eq!(records[0].timestamp, 1_700_000_000_123);
            assert!((sent_ms..=now_ms()).contains(&records[1].timestamp));
        }
    }
}

#[tokio::test]
async fn a_producer_is_numbered_as_by_produce() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let topic = client.make_topic("t", 1, &TYPED).await;
    let producer = (4_000, 0);
    let first = sequenced(topic, &orders(&[0, 1, 2]), producer, 0);
    assert_eq!(client.send_rows(&first).await.base_offset, 0);
    let next = sequenced(topic, &orders(&[3]), producer, 3);
    assert_eq!(client.send_rows(&next).await.base_offset, 3);
    // Sent again: answered as before, written once.
    for (again, offset) in [(&first, 0), (&next, 3)] {
        let answer = client.send_rows(again).await;
        assert_eq!((answer.error_code, answer.base_offset), (0, offset));
    }
    let ahead = sequenced(topic, &orders(&[5]), producer, 5);
    let (code, _) = client.refused(&ahead).await;
    assert_eq!(code, ErrorCode::OutOfOrderSequenceNumber);
    let newer = sequenced(topic, &orders(&[4]), (producer.0, 1), 0);
    assert_eq!(client.send_rows(&newer).await.base_offset, 4);
    let (code, _) = client
        .refused(&sequenced(topic, &orders(&[9]), producer, 4))
        .await;
    assert_eq!(code, ErrorCode::InvalidProducerEpoch);
    let ids = (0..5).map(|id| match id % 2 {
        0 => format!(r#"{{"id":{id},"city":"Kiel"}}"#),
        _ => format!(r#"{{"id":{id}}}"#),
    });
    // Columns are written in the order they came.
    let texts = client.texts("t", 0).await;
    let parsed = |texts: Vec<String>| -> Vec<serde_json::Value> {
        texts
            .iter()
            .map(|text| serde_json::from_str(text).unwrap())
            .collect()
    };
    assert_eq!(parsed(texts), parsed(ids.collect()));
}

#[tokio::test]
async fn what_is_no_row_of_the_table_is_refused_with_its_name() {
    use ErrorCode::*;
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let topic = client.make_topic("t", 1, &TYPED).await;
    let small = [TYPED[0], TYPED[1], ("max.message.bytes", "200")];
    let narrow = client.make_topic("narrow", 1, &small).await;
    let view = client
        .make_topic("v", -1, &[("tidelog.view.of", "t")])
        .await;
    let columns = |columns: Vec<(&str, ArrayRef)>| RecordBatch::try_from_iter(columns).unwrap();
    let ids = || -> ArrayRef { Arc::new(Int32Array::from(vec![1, 2])) };
    let texts = || -> ArrayRef { Arc::new(StringArray::from(vec!["a", "b"])) };
    let floats = || -> ArrayRef { Arc::new(Float64Array::from(vec![1.0, f64::NAN])) };
    let offsets = ("_offset", ids());
    for (id, rows, expected) in [
        (
            topic,
            columns(vec![("id", texts())]),
            (InvalidRequest, "column id: Utf8 does not fit long"),
        ),
        (
            topic,
            columns(vec![("id", ids()), ("town", texts())]),
            (InvalidRequest, "the table has no column town"),
        ),
        (
            topic,
            columns(vec![offsets, ("id", ids())]),
            (InvalidRequest, "column _offset is the broker's to give"),
        ),
        (
            topic,
            columns(vec![("city", texts())]),
            (
                InvalidRecord,
                "row 0: field id: no value, and null is not allowed",
            ),
        ),
        (
            topic,
            columns(vec![("id", ids()), ("amount", floats())]),
            (
                InvalidRecord,
                "row 1: a number is not finite, and JSON has no text for it",
            ),
        ),
        (
            topic,
            orders(&[]),
            (InvalidRecord, "the request has no rows for this partition"),
        ),
        (
            narrow,
            orders(&[0; 20]),
            (
                MessageTooLarge,
                "the rows come to more than max.message.bytes (200) as records: send fewer at a time",
            ),
        ),
        (
            view,
            orders(&[1]),
            (
                InvalidTopicException,
                "the topic is a view: use t, whose records it shows",
            ),
        ),
        (
            Uuid::from_u128(7),
            orders(&[1]),
            (UnknownTopicId, "there is no topic of this id"),
        ),
    ] {
        let (code, message) = client.refused(&request(id, &[rows])).await;
        assert_eq!((code, message.as_str()), expected);
    }
    // A few bytes that would be many.
    let mut bomb = request(narrow, &[orders(&[0])]);
    let zeros = columns(vec![("id", Arc::new(Int64Array::from(vec![0; 1 << 16])))]);
    bomb.topics[0].arrow_schema = schema_message(&zeros.schema()).unwrap();
    let zeros = rows_message(&zeros, Compression::Zstd).unwrap();
    assert!(zeros.len() < 1_000);
    bomb.topics[0].partitions[0].rows = vec![zeros].into();
    let (code, message) = client.refused(&bomb).await;
    assert_eq!(
        (code, message.as_str()),
        (MessageTooLarge, "rows of more than 3200 bytes")
    );
    let faulty = columns(vec![("city", texts())]);
    let answer = client
        .send_rows(&request(topic, &[orders(&[1]), orders(&[2])]))
        .await;
    assert_eq!(answer.base_offset, 0, "several messages are one batch");
    let answer = client.send_rows(&request(topic, &[faulty])).await;
    let rows: Vec<_> = answer.record_errors.iter().map(|error| error.row).collect();
    assert_eq!(rows, [0, 1], "{answer:?}");
    assert_eq!(
        &*answer.record_errors[1].message,
        "field id: no value, and null is not allowed"
    );

    let mut wrong = request(topic, &[orders(&[1])]);
    for acks in [0, 2] {
        wrong.acks = acks;
        assert_eq!(client.refused(&wrong).await.0, InvalidRequiredAcks);
    }
    wrong.acks = 1;
    wrong.topics[0].schema_id = 9;
    let (code, message) = client.refused(&wrong).await;
    assert_eq!(
        (code, message.as_str()),
        (InvalidRequest, "the table has no schema 9")
    );
    wrong.topics[0].schema_id = 1;
    wrong.topics[0].partitions[0].partition = 1;
    assert_eq!(client.refused(&wrong).await.0, UnknownTopicOrPartition);
    wrong.topics[0].partitions[0].partition = 0;
    // By name, and two topics with other fates.
    let mut two = request(Uuid::nil(), &[orders(&[8])]);
    two.topics[0].name = Some(text("t"));
    two.topics.push(ProduceTopic {
        name: Some(text("none")),
        ..two.topics[0].clone()
    });
    let answer = client.call_ext(&two).await;
    assert_eq!(answer.topics[0].name.as_deref(), Some("t"));
    let codes: Vec<_> = answer
        .topics
        .iter()
        .map(|topic| topic.partitions[0].error_code)
        .collect();
    assert_eq!(codes, [0, UnknownTopicOrPartition.code()]);
    assert_eq!(
        client.texts("t", 0).await.len(),
        3,
        "what was refused left nothing"
    );
}

#[tokio::test]
async fn rows_belong_to_transactions() {
    let broker = TestBroker::start(&["offsets.topic.num.partitions=2"]).await;
    let mut client = broker.client().await;
    let topic = client.make_topic("t", 1, &TYPED).await;
    let mut expected = Vec::new();
    for speaks in Speaks::BOTH {
        let id = format!("{speaks:?}");
        let mut txn = Transactor::open(broker.client().await, &id, speaks).await;
        let mut sequence = 0;
        for commit in [true, false, true] {
            if speaks == Speaks::V1 {
                assert_eq!(txn.add_partitions(3, "t", &[0]).await, 0);
            }
            for part in 0..2 {
                let mut request = sequenced(topic, &orders(&[part]), txn.producer, sequence);
                request.transactional_id = Some(text(&id));
                let started = Instant::now();
                let answer = loop {
                    let answer = client.send_rows(&request).await;
                    let code = ErrorCode::from_code(answer.error_code).unwrap();
                    if !code.is_retriable() {
                        break answer;
                    }
                    assert!(started.elapsed() < PATIENCE, "{answer:?}");
                };
                assert_eq!(answer.error_code, 0, "{answer:?}");
                sequence += 1;
                if commit {
                    expected.push(match part {
                        0 => r#"{"city":"Kiel","id":0}"#,
                        _ => r#"{"id":1}"#,
                    });
                }
            }
            let before = txn.producer;
            txn.finish(commit).await;
            if txn.producer != before {
                sequence = 0;
            }
        }
    }
    assert_eq!(committed_values(&mut client, "t", 0).await, expected);
    // Of no transaction that the coordinator knows.
    let mut stray = sequenced(topic, &orders(&[1]), (77, 0), 0);
    stray.transactional_id = Some(text("stray"));
    let answer = client.send_rows(&stray).await;
    assert_ne!(answer.error_code, 0, "{answer:?}");
}

#[tokio::test]
async fn a_keyed_table_takes_rows_by_their_keys() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let settings = [TYPED[0], TYPED[1], ("tidelog.table.key", "record_key")];
    let topic = client.make_topic("t", 1, &settings).await;
    let rows = |key: Option<&str>, id: i64| {
        RecordBatch::try_from_iter_with_nullable([
            (
                "_key",
                Arc::new(StringArray::from(vec![key])) as ArrayRef,
                true,
            ),
            ("id", Arc::new(Int64Array::from(vec![id])), false),
        ])
        .unwrap()
    };
    assert_eq!(client.written(topic, &rows(Some("a"), 1)).await, 0);
    assert_eq!(client.written(topic, &rows(Some("a"), 2)).await, 1);
    let answer = client.send_rows(&request(topic, &[rows(None, 3)])).await;
    assert_eq!(
        answer.error_code,
        ErrorCode::InvalidRecord.code(),
        "{answer:?}"
    );
    assert_eq!(answer.record_errors[0].row, 0);
    // What was acknowledged is found at once.
    let found = client.row_of_a(topic, &["id"]).await;
    assert_eq!(
        (found.error_code, found.results[0].offset),
        (0, 1),
        "{found:?}"
    );
}

/// Under an engine that merges columns, those that are sent count, a null among them.
#[tokio::test]
async fn columns_that_are_sent_are_those_that_merge() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let fields = r#"{"fields":[{"name":"n","type":"long"},{"name":"s","type":"string"}]}"#;
    let settings = [
        ("tidelog.table.mode", "inline"),
        ("tidelog.table.schema", fields),
        ("tidelog.table.key", "record_key"),
        ("tidelog.table.merge", "partial"),
    ];
    let topic = client.make_topic("t", 1, &settings).await;
    let key = || -> ArrayRef { Arc::new(StringArray::from(vec!["a"])) };
    let n = |n: Option<i64>| -> ArrayRef { Arc::new(Int64Array::from(vec![n])) };
    let s: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    for column in [("n", n(Some(1))), ("s", s), ("n", n(None))] {
        let rows = RecordBatch::try_from_iter_with_nullable([
            ("_key", key(), true),
            (column.0, column.1, true),
        ]);
        client.written(topic, &rows.unwrap()).await;
    }
    assert_eq!(
        client.texts("t", 0).await[1..],
        [r#"{"s":"x"}"#, r#"{"n":null}"#]
    );
    let found = client.row_of_a(topic, &["n", "s"]).await;
    let table = client.describe_table(topic).await;
    let schema = read_schema(&table.schemas[0].arrow_schema).unwrap();
    let wanted: Vec<_> = ["n", "s"]
        .iter()
        .map(|name| schema.index_of(name).unwrap())
        .collect();
    let schema = Arc::new(schema.project(&wanted).unwrap());
    let rows = read_rows(found.messages.to_bytes(), &schema, &[], 1 << 20).unwrap();
    assert!(
        arrow_array::Array::is_null(rows[0].column(0), 0),
        "{rows:?}"
    );
    assert_eq!(rows[0].column(1).as_string::<i32>().value(0), "x");
}

#[tokio::test]
async fn an_inferred_table_learns_columns_that_are_sent() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let topic = client
        .make_topic("t", 1, &[("tidelog.table.mode", "inferred")])
        .await;
    assert_eq!(client.written(topic, &orders(&[0, 1])).await, 0);
    client.rows_up_to(columnar(topic, 0, None), 2).await;
    let more = RecordBatch::try_from_iter([
        ("id", Arc::new(Int32Array::from(vec![2])) as ArrayRef),
        ("amount", Arc::new(Float64Array::from(vec![2.5]))),
    ])
    .unwrap();
    assert_eq!(client.written(topic, &more).await, 2);
    assert_eq!(client.texts("t", 2).await, [r#"{"id":2,"amount":2.5}"#]);
    let rows = client.read(topic, 2, 3).await;
    let amount = rows[0].column_by_name("amount").unwrap();
    assert_eq!(
        amount
            .as_primitive::<arrow_array::types::Float64Type>()
            .value(0),
        2.5
    );
    let wrong =
        RecordBatch::try_from_iter([("id", Arc::new(StringArray::from(vec!["x"])) as ArrayRef)]);
    let (code, message) = client.refused(&request(topic, &[wrong.unwrap()])).await;
    let expected = (
        ErrorCode::InvalidRequest,
        "column id: Utf8 does not fit long".to_owned(),
    );
    assert_eq!((code, message), expected);
}

async fn register(broker: &TestBroker, subject: &str, format: Format, schema: &str) -> i32 {
    let registration = Registration {
        text: schema.to_owned(),
        format,
        references: Vec::new(),
        metadata: None,
        rule_set: None,
        id: None,
        version: None,
        normalize: false,
    };
    let service = broker.running().broker.registry().service();
    let registered = service.register(subject.to_owned(), registration).await;
    registered.unwrap().id.0
}

#[tokio::test]
async fn values_are_of_the_newest_schema_of_the_registry() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let prefix = [("tidelog.table.mode", "value_schema_id_prefix")];
    let topic = client.make_topic("t", 1, &prefix).await;
    let (code, message) = client.refused(&request(topic, &[orders(&[0])])).await;
    let expected = "subject t-value has no schema, and so nobody knows how values are written";
    assert_eq!(
        (code, message.as_str()),
        (ErrorCode::InvalidRequest, expected)
    );

    let avro = r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"int"},{"name":"city","type":["null","string"]}]}"#;
    let id = register(&broker, "t-value", Format::Avro, avro).await;
    assert_eq!(client.written(topic, &orders(&[0, 1])).await, 0);
    let fetched = client.fetch("t", 0, 0).await;
    let batch = batches(&fetched.records).remove(0);
    let records = Records::open(&batch, 1 << 20).unwrap();
    let values: Vec<_> = records
        .iter()
        .map(|record| record.unwrap().value.unwrap().to_vec())
        .collect();
    let frame = [&[0][..], &id.to_be_bytes()].concat();
    assert_eq!(values[0], [&frame[..], b"\x00\x02\x08Kiel"].concat());
    assert_eq!(values[1], [&frame[..], b"\x02\x00"].concat());
    let rows = client.read(topic, 0, 2).await;
    let cities = rows[0].column_by_name("city").unwrap().as_string::<i32>();
    assert_eq!(cities.iter().collect::<Vec<_>>(), [Some("Kiel"), None]);

    // Values of the newest schema are bare where none says its own.
    let latest = client
        .make_topic("l", 1, &[("tidelog.table.mode", "value_schema_latest")])
        .await;
    register(&broker, "l-value", Format::Avro, avro).await;
    assert_eq!(client.written(latest, &orders(&[1])).await, 0);
    assert_eq!(client.texts("l", 0).await, ["\u{2}\0"]);
    let too_large = client
        .refused(&request(latest, &[orders(&[1 << 40])]))
        .await;
    let expected = "row 0: field id: not exactly a value of int";
    assert_eq!(too_large, (ErrorCode::InvalidRecord, expected.to_owned()));

    let json = client.make_topic("j", 1, &prefix).await;
    let schema = r#"{"type":"object","properties":{"id":{"type":"integer"},"city":{"type":"string"}},"required":["id"]}"#;
    let id = register(&broker, "j-value", Format::Json, schema).await;
    assert_eq!(client.written(json, &orders(&[1])).await, 0);
    let framed = [&[0][..], &id.to_be_bytes(), br#"{"id":1}"#].concat();
    assert_eq!(client.texts("j", 0).await[0].as_bytes(), framed);

    let proto = client.make_topic("p", 1, &prefix).await;
    let schema = r#"syntax = "proto3"; message Order { int64 id = 1; }"#;
    let id = register(&broker, "p-value", Format::Protobuf, schema).await;
    let (code, message) = client.refused(&request(proto, &[orders(&[1])])).await;
    let expected =
        format!("schema {id} is Protobuf, whose values are not made of columns: use Produce");
    assert_eq!((code, message), (ErrorCode::InvalidRequest, expected));
}

/// Damaged schemas and rows: what is taken can be read back, and everything else is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_messages_are_refused_or_rows() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let fields = r#"{"fields":[{"name":"id","type":"long"},{"name":"city","type":"string"},{"name":"l","type":{"list":"double"}}]}"#;
    let inline = [
        ("tidelog.table.mode", "inline"),
        ("tidelog.table.schema", fields),
    ];
    let topics = [
        ("inline", client.make_topic("inline", 1, &inline).await),
        (
            "inferred",
            client
                .make_topic("inferred", 1, &[("tidelog.table.mode", "inferred")])
                .await,
        ),
    ];
    let lists = arrow_array::ListArray::from_iter_primitive::<arrow_array::types::Float64Type, _, _>(
        (0..40).map(|row| (row % 3 > 0).then(|| vec![Some(f64::from(row)); 3])),
    );
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("city", DataType::Utf8, true),
        Field::new("l", lists_type(&lists), true),
    ]);
    let cities =
        StringArray::from_iter((0..40).map(|row| (row % 5 > 0).then(|| format!("city {row}"))));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(0..40)),
        Arc::new(cities),
        Arc::new(lists),
    ];
    let rows = RecordBatch::try_new(Arc::new(schema), columns).unwrap();
    let mut taken = [0_i64; 2];
    let mut refused = 0;
    for seed in seeds(2) {
        let mut dice = Dice::new(seed);
        for _ in 0..400 {
            let (at, (_, topic)) = match dice.one_in(2) {
                true => (0, topics[0]),
                false => (1, topics[1]),
            };
            let compression =
                [Compression::None, Compression::Lz4, Compression::Zstd][dice.below(3)];
            let mut request = request(topic, std::slice::from_ref(&rows));
            let mut message = rows_message(&rows, compression).unwrap().to_vec();
            let mut schema = request.topics[0].arrow_schema.to_vec();
            match dice.below(4) {
                0 => dice.damage(&mut schema),
                1 => message.extend(message.clone()),
                _ => dice.damage(&mut message),
            }
            request.topics[0].arrow_schema = schema.into();
            request.topics[0].partitions[0].rows = vec![Bytes::from(message)].into();
            let answer = client.send_rows(&request).await;
            match answer.error_code {
                0 => taken[at] += 1,
                -1 => panic!("seed {seed}: {answer:?}"),
                _ => refused += 1,
            }
        }
    }
    assert!(
        refused > 100 && taken[0] > 50,
        "{refused} refused, {taken:?} taken"
    );
    // What was taken fits the table: no record of it is left out of the rows.
    let end = client.fetch("inline", 0, 0).await.high_watermark;
    let read: usize = client
        .read(topics[0].1, 0, end)
        .await
        .iter()
        .map(RecordBatch::num_rows)
        .sum();
    assert_eq!(i64::try_from(read).unwrap(), end);
}

fn lists_type(lists: &arrow_array::ListArray) -> DataType {
    use arrow_array::Array;
    lists.data_type().clone()
}

/// The client of this repository: partitions by key, slices that fit, what went wrong in words.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_writes_what_it_reads() {
    let broker = TestBroker::start(&[]).await;
    let mut raw = broker.client().await;
    let small = [TYPED[0], TYPED[1], ("max.message.bytes", "20000")];
    raw.make_topic("t", 3, &small).await;
    let client = tidelog_client::Client::connect(&broker.address().to_string())
        .await
        .unwrap();
    let table = client.table("t").await.unwrap();
    let mut producer = table.producer().compression(Compression::None);
    let ids = Int64Array::from_iter_values(0..5_000);
    let keys = StringArray::from_iter_values((0..5_000).map(|id| format!("k{}", id % 50)));
    let rows =
        RecordBatch::try_from_iter([("_key", Arc::new(keys) as ArrayRef), ("id", Arc::new(ids))]);
    let rows = rows.unwrap();
    let written = producer.send(&rows).await.unwrap();
    assert!(written.len() > 6, "20 kB a batch: {written:?}");
    let again = producer.send_to(1, &rows.slice(0, 1)).await.unwrap();
    assert_eq!((again[0].partition, again[0].rows), (1, 1));
    let mut scan = table
        .scan()
        .columns(["id", "_key"])
        .until_end()
        .open()
        .await
        .unwrap();
    let mut seen = vec![0; 5_000];
    let mut partition_of = std::collections::BTreeMap::new();
    while let Some(rows) = scan.next().await.unwrap() {
        let ids = rows.batch.column_by_name("id").unwrap();
        let keys = rows
            .batch
            .column_by_name("_key")
            .unwrap()
            .as_binary::<i32>();
        for (at, id) in ids
            .as_primitive::<arrow_array::types::Int64Type>()
            .values()
            .iter()
            .enumerate()
        {
            seen[usize::try_from(*id).unwrap()] += 1;
            if seen[usize::try_from(*id).unwrap()] == 1 && *id > 0 {
                let before = partition_of.insert(keys.value(at).to_vec(), rows.partition);
                assert!(before.is_none_or(|before| before == rows.partition));
            }
        }
    }
    assert_eq!(seen[0], 2);
    assert!(seen[1..].iter().all(|times| *times == 1), "each row once");
    let wrong =
        RecordBatch::try_from_iter([("town", Arc::new(StringArray::from(vec!["x"])) as ArrayRef)]);
    let error = producer.send(&wrong.unwrap()).await.unwrap_err();
    assert!(
        error.to_string().contains("the table has no column town"),
        "{error}"
    );
    assert!(!error.is_transient());
    producer.send(&rows.slice(1, 3)).await.unwrap();
    // Rows that were read are written as they came.
    let mut scan = table.scan().until_end().open().await.unwrap();
    let read = scan.next().await.unwrap().unwrap();
    let written = producer.send_to(2, &read.batch.slice(0, 2)).await.unwrap();
    assert_eq!(written[0].rows, 2);
    let error = producer.send_to(9, &rows).await.unwrap_err();
    assert_eq!(error.error_code(), Some(ErrorCode::UnknownTopicOrPartition));
}

/// Who gave rows is told of them as it gave them, and what was written although others were refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_tells_what_it_wrote_and_which_row_is_at_fault() {
    let broker = TestBroker::start(&[]).await;
    let mut raw = broker.client().await;
    raw.make_topic("t", 2, &TYPED).await;
    let address = broker.address().to_string();
    let client = tidelog_client::Client::connect(&address).await.unwrap();
    let mut producer = client.table("t").await.unwrap().producer();
    let keys = StringArray::from_iter_values((0..20).map(|row| format!("k{row}")));
    let ids = Int64Array::from_iter((0..20).map(|row| (row != 15).then_some(row)));
    let rows =
        RecordBatch::try_from_iter([("_key", Arc::new(keys) as ArrayRef), ("id", Arc::new(ids))]);
    let error = producer.send(&rows.unwrap()).await.unwrap_err();
    assert_eq!(error.error_code(), Some(ErrorCode::InvalidRecord));
    assert!(error.to_string().contains("row 15: field id"), "{error}");
    let mut stored = 0;
    for partition in 0..2 {
        stored += values(&raw.fetch("t", partition, 0).await.records).len();
    }
    assert_eq!(producer.rows_written(), stored as u64);
}

/// A table that librdkafka's first records gave its rule takes columns by that rule.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_find_their_partitions_by_the_rule_of_the_table() {
    let broker = TestBroker::start(&[]).await;
    let mut raw = broker.client().await;
    for rule in ["crc32", "fnv1a", "murmur2"] {
        let keyed = [
            TYPED[0],
            TYPED[1],
            ("tidelog.table.key", "record_key"),
            ("tidelog.partitioner", rule),
        ];
        raw.make_topic(rule, 3, &keyed).await;
        let address = broker.address().to_string();
        let client = tidelog_client::Client::connect(&address).await.unwrap();
        let mut producer = client.table(rule).await.unwrap().producer();
        let keys = StringArray::from_iter_values((0..50).map(|id| format!("k{id}")));
        let ids = Int64Array::from_iter_values(0..50);
        let rows = [("_key", Arc::new(keys) as ArrayRef), ("id", Arc::new(ids))];
        let rows = RecordBatch::try_from_iter(rows).unwrap();
        let written = producer.send(&rows).await.unwrap();
        assert!(written.len() >= 3, "{rule}: {written:?}");
        assert_eq!(producer.rows_written(), 50, "{rule}");
    }
}
