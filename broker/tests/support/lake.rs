//! The lake from outside: status and cuts over the wire, the catalog over HTTP, rows out of files.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use tidelog_protocol_ext::ext::tier_status::{
    ACTION_STATUS, ACTION_TIER_NOW, TierStatusRequest, TierTopic, TierTopicStatus,
};
use tidelog_protocol_ext::ext::{Request, decode_response, encode_request};
use tidelog_protocol_ext::header::parse_response;
use tidelog_tiering::union::lake_files;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

use super::{PATIENCE, TestBroker};

/// Settings of a tiered topic of orders with an aim of one second.
pub const ORDERS: [(&str, &str); 4] = [
    ("tidelog.table.mode", "inline"),
    (
        "tidelog.table.schema",
        r#"{"fields":[{"name":"id","type":"long","nullable":false},{"name":"city","type":"string"}]}"#,
    ),
    ("tidelog.lake.enable", "true"),
    ("tidelog.lake.target.lag.ms", "1000"),
];

/// Calls one of our own APIs on a connection of its own.
pub async fn call<R: Request>(address: SocketAddr, request: &R) -> R::Response {
    let mut socket = TcpStream::connect(address).await.unwrap();
    for chunk in encode_request(0, 7, Some("test"), request).unwrap() {
        socket.write_all(&chunk).await.unwrap();
    }
    let size = socket.read_i32().await.unwrap();
    let mut frame = vec![0; usize::try_from(size).unwrap()];
    socket.read_exact(&mut frame).await.unwrap();
    let (correlation_id, body) = parse_response(R::KEY, 0, frame.into()).unwrap();
    assert_eq!(correlation_id, 7);
    decode_response::<R>(0, body).unwrap()
}

pub async fn status(broker: &TestBroker, topic: Uuid, action: i8) -> TierTopicStatus {
    let asked = TierTopic {
        topic_id: topic,
        name: None,
    };
    let request = TierStatusRequest {
        action,
        topics: Some(vec![asked]),
    };
    let mut answer = call(broker.address(), &request).await;
    assert_eq!(answer.error_code, 0, "{answer:?}");
    answer.topics.remove(0)
}

/// Asks for the status until it is as wanted.
pub async fn wait_for(
    broker: &TestBroker,
    topic: Uuid,
    is_wanted: impl Fn(&TierTopicStatus) -> bool,
) -> TierTopicStatus {
    let started = Instant::now();
    loop {
        let status = status(broker, topic, ACTION_STATUS).await;
        if is_wanted(&status) {
            return status;
        }
        assert!(started.elapsed() < PATIENCE, "{status:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Asks for a commit and waits until the lake has everything.
pub async fn tier(broker: &TestBroker, topic: Uuid) -> TierTopicStatus {
    status(broker, topic, ACTION_TIER_NOW).await;
    wait_for(broker, topic, |status| {
        let done = status.partitions.iter().all(|p| p.lake_end == p.stable_end);
        done && !status.partitions.is_empty() && status.suspended_reason.is_none()
    })
    .await
}

/// What a `GET` of the catalog answers: status and body.
pub async fn get(broker: &TestBroker, path: &str) -> (u16, Value) {
    let address = broker.running().catalog.unwrap();
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    answer(socket).await
}

pub async fn delete(broker: &TestBroker, path: &str) -> u16 {
    let address = broker.running().catalog.unwrap();
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!("DELETE {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    answer(socket).await.0
}

async fn answer(mut socket: TcpStream) -> (u16, Value) {
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let code = head.split_whitespace().nth(1).unwrap().parse().unwrap();
    (code, serde_json::from_str(body).unwrap_or(Value::Null))
}

/// Every row of the current snapshot, read from its Parquet files: (partition, offset) → column
/// `column` as text. Panics on a row that is there twice.
pub async fn rows(broker: &TestBroker, table: &str, column: &str) -> BTreeMap<(i32, i64), String> {
    let catalog = broker.running().broker.lake().catalog();
    let ident = iceberg::TableIdent::from_strs(["tidelog", table]).unwrap();
    let loaded = catalog.load_table(&ident).await.unwrap();
    let Some(snapshot) = loaded.metadata.current_snapshot_id() else {
        return BTreeMap::new();
    };
    let io = tidelog_tiering::CommitPort::file_io(catalog.as_ref());
    let mut rows = BTreeMap::new();
    for file in lake_files(io, &loaded.metadata, snapshot).await.unwrap() {
        let path = file.location.strip_prefix("file://").unwrap();
        let bytes = Bytes::from(std::fs::read(path).unwrap());
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
        for batch in reader.build().unwrap() {
            for (place, text) in texts(&batch.unwrap(), column) {
                assert_eq!(rows.insert(place, text), None, "{place:?} is there twice");
            }
        }
    }
    rows
}

/// Each snapshot's `tidelog.moved`, oldest first; checked to be a chain without gap or overlap.
pub async fn chain(broker: &TestBroker, table: &str) -> Vec<BTreeMap<String, (i64, i64)>> {
    let (code, loaded) = get(broker, &format!("/v1/namespaces/tidelog/tables/{table}")).await;
    assert_eq!(code, 200, "{loaded}");
    let mut snapshots: Vec<Value> = match loaded["metadata"]["snapshots"].as_array() {
        Some(snapshots) => snapshots.clone(),
        None => Vec::new(),
    };
    snapshots.sort_by_key(|snapshot| snapshot["sequence-number"].as_i64());
    let mut ends: BTreeMap<String, i64> = BTreeMap::new();
    let mut moves = Vec::new();
    for snapshot in snapshots {
        // Maintenance moves no rows.
        if snapshot["summary"]["operation"] == "replace" {
            continue;
        }
        let moved = snapshot["summary"]["tidelog.moved"].as_str().unwrap();
        let moved: BTreeMap<String, (i64, i64)> = serde_json::from_str(moved).unwrap();
        for (partition, (start, end)) in &moved {
            let before = ends.insert(partition.clone(), *end).unwrap_or(*start);
            assert_eq!(before, *start, "partition {partition}");
        }
        moves.push(moved);
    }
    moves
}

fn texts(batch: &RecordBatch, column: &str) -> Vec<((i32, i64), String)> {
    let column_of = |name| batch.column_by_name(name).unwrap();
    let partitions = column_of("_kafka_partition").as_primitive::<Int32Type>();
    let offsets = column_of("_offset").as_primitive::<Int64Type>();
    let values = column_of(column);
    let text = |row: usize| match values.as_string_opt::<i32>() {
        Some(texts) => texts.value(row).to_owned(),
        None => String::from_utf8(values.as_bytes_value(row)).unwrap(),
    };
    let place = |row: usize| (partitions.value(row), offsets.value(row));
    (0..batch.num_rows())
        .map(|row| (place(row), text(row)))
        .collect()
}

trait BytesValue {
    fn as_bytes_value(&self, row: usize) -> Vec<u8>;
}

impl BytesValue for dyn Array {
    fn as_bytes_value(&self, row: usize) -> Vec<u8> {
        match self.as_binary_opt::<i32>() {
            Some(bytes) => bytes.value(row).to_vec(),
            None => self.as_binary::<i64>().value(row).to_vec(),
        }
    }
}
