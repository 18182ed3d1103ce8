//! Rows by Fetch, for brokers without columns: record batches are checked and decoded here.
//!
//! Committed records only: batches of aborted transactions are left out by the list that comes with
//! each answer, as Kafka's consumers do. The rows are those ColumnarFetch would answer.

use std::collections::BTreeSet;

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{FetchRequest, TopicName};
use tidelog_protocol_ext::ErrorCode;
use tidelog_records::control::{Outcome, TxnMarker};
use tidelog_records::{BatchHeader, Records, RecordsError, validate};
use tidelog_typed::{DecodeError, DecodeLimits, OffsetRange, RowSchema, decode_batches};

use crate::client::text;
use crate::columns::Columns;
use crate::conform::conform;
use crate::error::{BrokerError, Result};
use crate::filter::RowFilter;
use crate::message::RowsFault;
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
        let aborted = data.aborted_transactions.unwrap_or_default();
        let aborted = aborted
            .iter()
            .map(|txn| (txn.first_offset, txn.producer_id.0));
        let bytes_max = self.table.client().config().decoded_bytes_max;
        let batches = whole_batches(data.records.unwrap_or_default())?;
        let end = batches.last().map_or(ask.offset, |(header, _)| {
            header.last_offset().saturating_add(1).max(ask.offset)
        });
        let end = ask.end.map_or(end, |wanted| end.min(wanted));
        let mut left = committed(batches, aborted.collect(), bytes_max)?;
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

fn records(error: impl ToString) -> RowsFault {
    RowsFault::Records(error.to_string())
}

type Batch = (BatchHeader, Bytes);

/// The batches of an answer, each intact; what is cut short at the end is left for the next one.
fn whole_batches(mut bytes: Bytes) -> Result<Vec<Batch>, RowsFault> {
    let mut batches = Vec::new();
    while let Some(header) = BatchHeader::read(&bytes) {
        if header.total_len() > bytes.len() {
            break;
        }
        let batch = bytes.split_to(header.total_len());
        let header = validate::check_intact(&batch).map_err(records)?;
        batches.push((header, batch));
    }
    Ok(batches)
}

/// Leaves out markers, and what transactions wrote that were aborted: `aborted` holds the first
/// offset and the producer of each.
fn committed(
    batches: Vec<Batch>,
    aborted: BTreeSet<(i64, i64)>,
    bytes_max: usize,
) -> Result<Vec<Batch>, RowsFault> {
    let mut to_come = aborted.into_iter().peekable();
    let mut open = BTreeSet::new();
    let mut kept = Vec::new();
    for (header, batch) in batches {
        while let Some((_, producer)) = to_come.next_if(|(at, _)| *at <= header.last_offset()) {
            open.insert(producer);
        }
        if header.is_control() {
            if is_abort(&batch, bytes_max).map_err(records)? {
                open.remove(&header.producer_id);
            }
        } else if !(header.is_transactional() && open.contains(&header.producer_id)) {
            kept.push((header, batch));
        }
    }
    Ok(kept)
}

fn is_abort(batch: &Bytes, bytes_max: usize) -> Result<bool, RecordsError> {
    let records = Records::open(batch, bytes_max)?;
    match records.iter().next().transpose()? {
        // Control records of other kinds end no transaction.
        Some(record) => Ok(TxnMarker::decode(record.key, record.value)
            .is_ok_and(|marker| marker.outcome == Outcome::Abort)),
        None => Ok(false),
    }
}
