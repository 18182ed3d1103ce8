//! Rows by Fetch, for brokers without columns: record batches are checked and decoded here.
//!
//! Committed records only: batches of aborted transactions are left out by the list that comes with
//! each answer, as Kafka's consumers do. The rows are those ColumnarFetch would answer.

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{FetchRequest, TopicName};
use tidelog_protocol_ext::ErrorCode;
use tidelog_typed::{DecodeError, DecodeLimits, OffsetRange, RowSchema, decode_batches};

use crate::client::text;
use crate::columns::Columns;
use crate::committed::{committed, records};
use crate::conform::conform;
use crate::error::{BrokerError, Result};
use crate::fault::RowsFault;
use crate::filter::RowFilter;
use crate::source::{Answer, Ask, Limits, Progress, damaged, skip_ahead};
use crate::stream::Rows;
use crate::table::Table;

const READ_COMMITTED: i8 = 1;
/// Rows in one batch handed out.
const BATCH_ROWS_MAX: usize = 1 << 16;

/// Records of a topic, by Fetch.
#[derive(Debug)]
pub(crate) struct Plain {
    table: Table,
    schema: RowSchema,
    columns: Columns,
    filter: Option<RowFilter>,
    limits: Limits,
}

impl Plain {
    pub(crate) fn new(
        table: Table,
        schema: RowSchema,
        columns: Columns,
        filter: Option<RowFilter>,
        limits: Limits,
    ) -> Self {
        Self {
            table,
            schema,
            columns,
            filter,
            limits,
        }
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    pub(crate) fn columns(&self) -> &Columns {
        &self.columns
    }

    pub(crate) async fn read(&self, address: &str, asks: &[Ask]) -> Result<Vec<Answer>> {
        let link = self.table.client().link(address);
        let answer = link.call(&self.request(asks), self.limits.max_wait).await?;
        BrokerError::check("Fetch", answer.error_code, || self.table.name().to_owned())?;
        let mut answers = Vec::with_capacity(asks.len());
        for data in answer
            .responses
            .into_iter()
            .flat_map(|topic| topic.partitions)
        {
            if let Some(ask) = asks
                .iter()
                .find(|ask| ask.partition == data.partition_index)
            {
                let partition = ask.partition;
                let outcome = self.progress(ask, data).await;
                answers.push(Answer { partition, outcome });
            }
        }
        Ok(answers)
    }

    fn request(&self, asks: &[Ask]) -> FetchRequest {
        let partitions = asks.iter().map(|ask| {
            FetchPartition::default()
                .with_partition(ask.partition)
                .with_current_leader_epoch(ask.leader_epoch)
                .with_fetch_offset(ask.offset)
                .with_log_start_offset(-1)
                .with_partition_max_bytes(self.limits.partition_max_bytes)
        });
        let topic = FetchTopic::default()
            .with_topic(TopicName(text(self.table.name())))
            .with_partitions(partitions.collect());
        FetchRequest::default()
            .with_replica_id((-1).into())
            .with_max_wait_ms(self.limits.max_wait_ms())
            .with_min_bytes(1)
            .with_max_bytes(self.limits.max_bytes)
            .with_isolation_level(READ_COMMITTED)
            .with_session_epoch(-1)
            .with_topics(vec![topic])
    }

    async fn progress(&self, ask: &Ask, data: PartitionData) -> Result<Progress> {
        if data.error_code == ErrorCode::OffsetOutOfRange.code()
            && let Some(progress) = skip_ahead(&self.table, ask).await?
        {
            return Ok(progress);
        }
        BrokerError::check("Fetch", data.error_code, || {
            let (topic, offset) = (self.table.name(), ask.offset);
            format!("topic {topic}, partition {} at {offset}", ask.partition)
        })?;
        self.decode(ask, data)
            .map_err(|fault| damaged(&self.table, ask.partition, ask.offset, fault))
    }

    fn decode(&self, ask: &Ask, data: PartitionData) -> Result<Progress, RowsFault> {
        let bytes_max = self.table.client().config().decoded_bytes_max;
        let (mut left, end) = committed(data, ask.offset, bytes_max)?;
        let end = ask.end.map_or(end, |wanted| end.min(wanted));
        let limits = DecodeLimits {
            records_max: BATCH_ROWS_MAX,
            bytes_max,
            batch_bytes_max: bytes_max,
        };
        let mut rows = Vec::new();
        let mut next = ask.offset;
        while next < end {
            left.retain(|(header, _)| header.last_offset() >= next);
            let batches = left.iter().map(|(_, batch)| batch.clone());
            let range = OffsetRange { first: next, end };
            let decoded = decode_batches(&self.schema, ask.partition, range, batches, &limits);
            let decoded = decoded.map_err(|error: DecodeError| records(error))?;
            if decoded.end_offset <= next {
                return Err(RowsFault::Answer("records do not go on"));
            }
            let wanted = match &self.filter {
                Some(filter) => filter.keep(&decoded.rows).map_err(RowsFault::fit)?,
                None => decoded.rows,
            };
            if wanted.num_rows() > 0 {
                rows.push(Rows {
                    partition: ask.partition,
                    first_offset: next,
                    next_offset: decoded.end_offset,
                    batch: conform(&wanted, self.columns.target()).map_err(RowsFault::fit)?,
                });
            }
            next = decoded.end_offset;
        }
        if let Some(last) = rows.last_mut() {
            last.next_offset = next;
        }
        Ok(Progress {
            rows,
            next_offset: next,
            needs_offsets: false,
            skipped: false,
        })
    }
}
