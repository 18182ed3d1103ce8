//! Tables: requests of our own, and the rows in their answers.

use std::io::Cursor;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use bytes::Bytes;
use tidelog_protocol_ext::ext::columnar_fetch::{
    ColumnarFetchRequest, FetchPartition, FetchTopic, PartitionRows, Run, TopicRows,
};
use tidelog_protocol_ext::ext::describe_table::{DescribeTableRequest, Table, TableName};
use tidelog_protocol_ext::{ext, header};
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use super::group::text;
use super::{Client, PATIENCE, TestBroker};

/// End of an Arrow stream.
const END_OF_STREAM: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

impl Client {
    /// Sends a request of ours in its newest version and reads its answer.
    pub async fn call_ext<R: ext::Request>(&mut self, request: &R) -> R::Response {
        self.call_ext_at(R::VERSIONS.last, request).await
    }

    pub async fn call_ext_at<R: ext::Request>(&mut self, version: i16, request: &R) -> R::Response {
        self.correlation_id += 1;
        let id = self.correlation_id;
        let frame = ext::encode_request(version, id, Some(&self.client_id), request).unwrap();
        // In one piece: with several, the last would wait until the first is acknowledged.
        self.socket.write_all(&frame.concat()).await.unwrap();
        let frame = tokio::time::timeout(PATIENCE, self.frame()).await.unwrap();
        let (answered, body) = header::parse_response(R::KEY, version, frame).unwrap();
        assert_eq!(answered, id);
        ext::decode_response::<R>(version, body).unwrap()
    }

    pub async fn describe_table(&mut self, topic_id: Uuid) -> Table {
        let request = DescribeTableRequest {
            topics: vec![TableName {
                topic_id,
                name: None,
            }],
        };
        self.call_ext(&request).await.topics.remove(0)
    }

    /// The answer for the one topic asked for.
    pub async fn columnar(&mut self, request: &ColumnarFetchRequest) -> TopicRows {
        let mut answer = self.call_ext(request).await;
        assert_eq!((answer.error_code, answer.topics.len()), (0, 1));
        answer.topics.remove(0)
    }

    /// Rows of one partition, without an error.
    pub async fn rows(&mut self, request: &ColumnarFetchRequest) -> PartitionRows {
        let mut topic = self.columnar(request).await;
        assert_eq!(topic.error_code, 0, "{:?}", topic.error_message);
        let rows = topic.partitions.remove(0);
        assert_eq!(rows.error_code, 0, "{:?}", rows.error_message);
        rows
    }

    /// Every row from an offset up to another, in as many fetches as it takes.
    pub async fn rows_up_to(&mut self, mut request: ColumnarFetchRequest, end: i64) -> Vec<Run> {
        let started = Instant::now();
        let mut runs = Vec::new();
        request.max_wait_ms = 500;
        loop {
            let at = &mut request.topics[0].partitions[0];
            if at.fetch_offset >= end {
                return runs;
            }
            let from = at.fetch_offset;
            let rows = self.rows(&request).await;
            assert!(rows.next_offset >= from, "{rows:?}");
            request.topics[0].partitions[0].fetch_offset = rows.next_offset;
            runs.extend(rows.runs);
            assert!(
                started.elapsed() < PATIENCE,
                "stuck at {}",
                rows.next_offset
            );
        }
    }

    /// Waits until a partition's rows files reach an offset.
    pub async fn wait_for_rows_to(&mut self, topic_id: Uuid, rows_to: i64) {
        let started = Instant::now();
        while self.describe_table(topic_id).await.partitions[0].rows_to < rows_to {
            assert!(started.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl TestBroker {
    /// Blocks read and blocks skipped for filters so far.
    pub fn filter_blocks(&self) -> (u64, u64) {
        let metrics = self.running.broker.metrics();
        let (read, skipped) = (&metrics.filter_blocks_read, &metrics.filter_blocks_skipped);
        (read.get(), skipped.get())
    }
}

/// A fetch from partition 0 that does not wait; `None` for all columns.
pub fn columnar(topic_id: Uuid, from: i64, columns: Option<&[&str]>) -> ColumnarFetchRequest {
    ColumnarFetchRequest {
        max_wait_ms: 0,
        min_rows: 1,
        max_bytes: 50 << 20,
        topics: vec![FetchTopic {
            topic_id,
            projection: columns.map(|names| names.iter().map(|name| text(name)).collect()),
            filter: None,
            partitions: vec![FetchPartition {
                partition: 0,
                current_leader_epoch: -1,
                fetch_offset: from,
                partition_max_bytes: 50 << 20,
            }],
        }],
    }
}

/// The rows of runs, decoded by Arrow's own reader, once the checksums hold.
pub fn decode(table: &Table, columns: Option<&[&str]>, runs: &[Run]) -> Vec<RecordBatch> {
    let batches = runs.iter().flat_map(|run| {
        let batches = decode_messages(table, columns, run.schema_id, &run.messages.to_bytes());
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(rows, usize::try_from(run.row_count).unwrap());
        let width = batches.first().map_or(0, RecordBatch::num_columns);
        assert_eq!(run.checksums.len(), batches.len() * width);
        batches
    });
    batches.collect()
}

/// Messages without a schema, as rows of one of the table's.
pub fn decode_messages(
    table: &Table,
    columns: Option<&[&str]>,
    schema_id: i32,
    messages: &[u8],
) -> Vec<RecordBatch> {
    let mut schemas = table.schemas.iter();
    let schema = schemas.find(|schema| schema.schema_id == schema_id);
    decode_stream(&projected(&schema.unwrap().arrow_schema, columns), messages)
}

/// A schema message and those of rows.
pub fn decode_stream(schema: &[u8], messages: &[u8]) -> Vec<RecordBatch> {
    let stream = [schema, messages, &END_OF_STREAM].concat();
    let reader = StreamReader::try_new(Cursor::new(stream), None).unwrap();
    reader.map(Result::unwrap).collect()
}

/// The values of a column of 64-bit integers.
pub fn longs(batches: &[RecordBatch], column: &str) -> Vec<i64> {
    let columns = batches.iter().flat_map(|batch| {
        let column = batch.column_by_name(column).expect("projected");
        column.as_primitive::<Int64Type>().values().to_vec()
    });
    columns.collect()
}

/// How many rows runs have.
pub fn rows(runs: &[Run]) -> i64 {
    runs.iter().map(|run| i64::from(run.row_count)).sum()
}

/// A schema message with only some of its top-level columns.
fn projected(message: &Bytes, columns: Option<&[&str]>) -> Vec<u8> {
    let stream = [&message[..], &END_OF_STREAM].concat();
    let reader = StreamReader::try_new(Cursor::new(stream), None).unwrap();
    let whole = reader.schema();
    let wanted = |name: &str| columns.is_none_or(|columns| columns.contains(&name));
    let kept: Vec<_> = (0..whole.fields().len())
        .filter(|at| wanted(whole.field(*at).name()))
        .collect();
    let mut out = Vec::new();
    // The schema alone: dropped before it ends the stream.
    StreamWriter::try_new(&mut out, &whole.project(&kept).unwrap()).unwrap();
    out
}
