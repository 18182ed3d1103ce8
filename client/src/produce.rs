//! Rows into a topic: columns as they are, of which the broker makes records that every Kafka client
//! reads.
//!
//! ```text
//! rows ─► partitions (by `_key`, else in turn) ─► slices ─► ColumnarProduce ─► offsets
//!                                                    └ too large: halved ┘
//! ```
//! - A slice is sent again under its own sequence numbers until it is answered, and is written once.
//! - One slice of a partition at a time, so rows of a partition keep their order.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::{ArrowError, DataType};
use arrow_select::take::take_record_batch;
use bytes::Bytes;
use kafka_protocol::messages::InitProducerIdRequest;
use tidelog_arrow_messages::{Compression, rows_message, schema_message};
use tidelog_protocol_ext::ErrorCode;
use tidelog_protocol_ext::ext::columnar_produce::{
    ColumnarProduceRequest, ProducePartition, ProduceTopic, ProducedPartition,
};
use tidelog_records::partitioner::Rule;

use crate::api::Ours;
use crate::config::Retry;
use crate::error::{BrokerError, Error, Result, said};
use crate::prepare::prepare;
use crate::table::Table;

/// Bytes of rows that are sent at once to begin with: brokers take records of 1 MiB together, and
/// columns become longer as JSON.
const SLICE_BYTES: usize = 256 << 10;
/// How long the broker may wait for room.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Stands for the names of columns as they are now.
const BY_NAME: i32 = -1;
/// The system column that is a record's key.
const KEY: &str = "_key";

/// Rows of a partition that are in the log, synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    pub partition: i32,
    /// The offset of the first; the others follow without a gap.
    pub base_offset: i64,
    pub rows: usize,
}

/// Writes rows to a table: see [`Table::producer`].
///
/// Columns go by name. A nullable column of the table may be left out; `_key`, `_timestamp` and
/// `_headers` may stand among the columns and become those of the records. `_partition`, `_offset`
/// and `_timestamp_type`, which only the broker gives, are left out, so that rows of a scan can be
/// written as they are. Dictionaries and views become plain values.
#[derive(Debug)]
pub struct Producer {
    table: Table,
    compression: Compression,
    /// Who writes, once it was asked for: id and epoch.
    identity: Option<(i64, i16)>,
    /// The next of each partition.
    sequences: BTreeMap<i32, i32>,
    /// Leaders by partition, as far as they are believed.
    leaders: BTreeMap<i32, String>,
    turn: usize,
    rows_written: u64,
}

/// Rows of one partition, and where each stands in what was given.
struct Part {
    partition: i32,
    rows: RecordBatch,
    places: UInt32Array,
}

impl Part {
    fn slice(&self, at: usize, rows: usize) -> Self {
        Self {
            partition: self.partition,
            rows: self.rows.slice(at, rows),
            places: self.places.slice(at, rows),
        }
    }
}

impl Producer {
    pub(crate) fn new(table: Table) -> Self {
        Self {
            table,
            compression: Compression::Lz4,
            identity: None,
            sequences: BTreeMap::new(),
            leaders: BTreeMap::new(),
            turn: 0,
            rows_written: 0,
        }
    }

    /// Rows that are synced, those included that were written by a call that failed later.
    pub fn rows_written(&self) -> u64 {
        self.rows_written
    }

    /// How rows travel, and how their records are stored where the topic leaves it to producers. LZ4.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Writes rows, each to the partition of its `_key`; those without one go to one partition after
    /// the other, a call at a time. Answers when all are synced.
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to). Rows of other partitions, or earlier ones, may be written then.
    /// [`Error::Schema`] for a table whose partitioner is not known here.
    pub async fn send(&mut self, rows: &RecordBatch) -> Result<Vec<Written>> {
        let partitions = self.partitions().await?;
        let rows = prepare(rows).map_err(|error| self.unwritable(&error))?;
        let parts = self.split(&rows, &partitions)?;
        self.turn = self.turn.wrapping_add(1);
        let mut written = Vec::new();
        for part in parts {
            written.extend(self.slices(&part).await?);
        }
        Ok(written)
    }

    /// Writes rows to one partition.
    ///
    /// # Errors
    /// [`Error::Broker`] with INVALID_REQUEST for columns that are none of the table's and with
    /// INVALID_RECORD for rows; the message names them. [`Error::Unsupported`] where there is no
    /// ColumnarProduce. After a transient error it is not known whether the rows were written.
    pub async fn send_to(&mut self, partition: i32, rows: &RecordBatch) -> Result<Vec<Written>> {
        if !self.partitions().await?.contains(&partition) {
            return Err(self.refusal(partition, ErrorCode::UnknownTopicOrPartition));
        }
        let rows = prepare(rows).map_err(|error| self.unwritable(&error))?;
        self.slices(&whole(partition, rows)).await
    }

    /// Every partition of the topic, in order.
    async fn partitions(&mut self) -> Result<Vec<i32>> {
        if self.leaders.is_empty() {
            self.find_leaders().await?;
        }
        Ok(self.leaders.keys().copied().collect())
    }

    async fn find_leaders(&mut self) -> Result<()> {
        let view = self.table.client().topic(self.table.name()).await?;
        let leaders = view.leaders.into_iter();
        self.leaders = leaders
            .map(|(partition, leader)| (partition, leader.map(|leader| leader.address)))
            .map(|(partition, address)| (partition, address.unwrap_or_default()))
            .collect();
        Ok(())
    }

    /// Rows by partition.
    fn split(&self, rows: &RecordBatch, partitions: &[i32]) -> Result<Vec<Part>> {
        let Some(next) = partitions.get(self.turn % partitions.len().max(1)) else {
            return Err(self.refusal(0, ErrorCode::LeaderNotAvailable));
        };
        let Some(keys) = rows.column_by_name(KEY).filter(|_| partitions.len() > 1) else {
            return Ok(vec![whole(*next, rows.clone())]);
        };
        let rule = self.rule()?;
        let mut places = BTreeMap::<i32, Vec<u32>>::new();
        for (row, place) in (0..rows.num_rows()).zip(0_u32..) {
            let partition = match key_at(keys, row) {
                // Partitions are numbered from 0 without a gap.
                Some(key) => rule.partition(key, partitions.len().try_into().unwrap_or(i32::MAX)),
                None => *next,
            };
            places.entry(partition).or_default().push(place);
        }
        let parts = places.into_iter().map(|(partition, places)| {
            let places = UInt32Array::from(places);
            let rows = take_record_batch(rows, &places);
            Ok(Part {
                partition,
                rows: rows.map_err(|error| self.unwritable(&error))?,
                places,
            })
        });
        parts.collect()
    }

    /// How keys find their partitions: as the table says, else as Java's producer has it.
    fn rule(&self) -> Result<Rule> {
        let info = self.table.info();
        let name = info.as_ref().and_then(|info| info.partitioner.as_deref());
        let rule = name.map_or(Some(Rule::Murmur2), Rule::named);
        rule.ok_or_else(|| {
            let name = name.unwrap_or_default();
            let reason = format!("its partitioner is {name}: each row's partition has to be said");
            self.table.unusable(reason)
        })
    }

    /// Writes rows a slice at a time, in order.
    async fn slices(&mut self, part: &Part) -> Result<Vec<Written>> {
        let mut written = Vec::new();
        let mut at = 0;
        let rows = part.rows.num_rows();
        let mut size = slice_rows(&part.rows);
        while at < rows {
            let slice = part.slice(at, size.min(rows - at));
            match self.slice(&slice).await {
                Ok(done) => {
                    at += done.rows;
                    self.rows_written += done.rows as u64;
                    written.push(done);
                }
                Err(error) if is_too_large(&error) && slice.rows.num_rows() > 1 => {
                    size = slice.rows.num_rows().div_ceil(2);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    /// Writes rows as one record batch, sent again until it is known what became of them.
    async fn slice(&mut self, part: &Part) -> Result<Written> {
        let (partition, rows) = (part.partition, &part.rows);
        let schema = schema_message(&rows.schema()).map_err(|error| self.unwritable(&error))?;
        let message = rows_message(rows, self.compression);
        let message = message.map_err(|error| self.unwritable(&error))?;
        let mut retry = Retry::new();
        loop {
            let attempt = self.attempt(part, schema.clone(), message.clone()).await;
            let error = match attempt {
                Ok(base_offset) => {
                    let sequence = self.sequences.entry(partition).or_default();
                    *sequence = after(*sequence, rows.num_rows());
                    let rows = rows.num_rows();
                    return Ok(Written {
                        partition,
                        base_offset,
                        rows,
                    });
                }
                Err(error) => error,
            };
            let leaves_doubt = error.is_transient() || is_out_of_step(&error);
            self.leaders.clear();
            if let Err(error) = retry.wait(self.table.client().config(), error).await {
                if leaves_doubt {
                    // Sequence numbers from here on would not follow those the broker knows.
                    self.identity = None;
                    self.sequences.clear();
                }
                return Err(error);
            }
        }
    }

    /// The offset of the first row.
    async fn attempt(&mut self, part: &Part, schema: Bytes, rows: Bytes) -> Result<i64> {
        let (partition, places) = (part.partition, &part.places);
        if self.leaders.is_empty() {
            self.find_leaders().await?;
        }
        let leader = self.leaders.get(&partition).filter(|it| !it.is_empty());
        let address = leader
            .cloned()
            .ok_or_else(|| self.refusal(partition, ErrorCode::LeaderNotAvailable))?;
        let (producer_id, producer_epoch) = self.identity(&address).await?;
        let part = ProducePartition {
            partition,
            producer_id,
            producer_epoch,
            base_sequence: self.sequences.get(&partition).copied().unwrap_or(0),
            rows: vec![rows].into(),
        };
        let topic = ProduceTopic {
            topic_id: self.table.topic_id(),
            name: None,
            schema_id: BY_NAME,
            arrow_schema: schema,
            partitions: vec![part],
        };
        let request = Ours(ColumnarProduceRequest {
            transactional_id: None,
            acks: -1,
            timeout_ms: i32::try_from(TIMEOUT.as_millis()).unwrap_or(i32::MAX),
            topics: vec![topic],
        });
        let link = self.table.client().link(&address);
        let answer = link.call(&request, TIMEOUT).await?;
        let answers = answer.topics.into_iter();
        let answer = answers.flat_map(|topic| topic.partitions).next();
        match answer {
            Some(answer) => self.base_offset(&answer, places),
            None => Err(self.refusal(partition, ErrorCode::UnknownServerError)),
        }
    }

    fn base_offset(&self, answer: &ProducedPartition, places: &UInt32Array) -> Result<i64> {
        BrokerError::check("ColumnarProduce", answer.error_code, || {
            let place = format!(
                "table {}, partition {}",
                self.table.name(),
                answer.partition
            );
            // The broker counts the rows of the partition; who gave the rows counts what it gave.
            let bad = answer.record_errors.iter().map(|bad| {
                let at = usize::try_from(bad.row)
                    .ok()
                    .filter(|at| *at < places.len());
                at.map(|at| format!("row {}: {}", places.value(at), &*bad.message))
            });
            let bad: Vec<_> = bad.flatten().collect();
            match bad.as_slice() {
                [] => said(&place, answer.error_message.as_deref()),
                bad => said(&place, Some(&bad.join("; "))),
            }
        })?;
        Ok(answer.base_offset)
    }

    /// Id and epoch under which rows are numbered.
    async fn identity(&mut self, address: &str) -> Result<(i64, i16)> {
        if let Some(identity) = self.identity {
            return Ok(identity);
        }
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(0);
        let link = self.table.client().link(address);
        let answer = link.call(&request, Duration::ZERO).await?;
        BrokerError::check("InitProducerId", answer.error_code, || address.to_owned())?;
        let identity = (answer.producer_id.0, answer.producer_epoch);
        self.identity = Some(identity);
        Ok(identity)
    }

    fn refusal(&self, partition: i32, code: ErrorCode) -> Error {
        let error = BrokerError {
            api: "ColumnarProduce",
            code: code.code(),
            message: format!("table {}, partition {partition}", self.table.name()),
        };
        error.into()
    }

    fn unwritable(&self, error: &ArrowError) -> Error {
        self.table
            .unusable(format!("rows that cannot be sent: {error}"))
    }
}

/// All rows for one partition.
fn whole(partition: i32, rows: RecordBatch) -> Part {
    let places = (0..rows.num_rows()).zip(0_u32..).map(|(_, place)| place);
    Part {
        partition,
        places: UInt32Array::from_iter_values(places),
        rows,
    }
}

/// How many rows make about [`SLICE_BYTES`].
fn slice_rows(rows: &RecordBatch) -> usize {
    let bytes = rows.get_array_memory_size().max(1);
    (rows.num_rows().saturating_mul(SLICE_BYTES) / bytes).max(1)
}

/// The sequence number after `rows` more; they wrap from 2³¹ − 1 to 0.
fn after(sequence: i32, rows: usize) -> i32 {
    let next = i64::from(sequence).saturating_add_unsigned(rows as u64);
    // Below 2³¹.
    (next % (1 << 31)) as i32
}

fn is_too_large(error: &Error) -> bool {
    error.error_code() == Some(ErrorCode::MessageTooLarge)
}

/// The broker's numbers of this producer are others than ours.
fn is_out_of_step(error: &Error) -> bool {
    use ErrorCode::{InvalidProducerEpoch, OutOfOrderSequenceNumber, UnknownProducerId};
    let codes = [
        InvalidProducerEpoch,
        OutOfOrderSequenceNumber,
        UnknownProducerId,
    ];
    error.error_code().is_some_and(|code| codes.contains(&code))
}

/// A key's bytes; `None` for a null, and for a type that the broker will refuse.
fn key_at(keys: &ArrayRef, row: usize) -> Option<&[u8]> {
    match keys.data_type() {
        _ if keys.is_null(row) => None,
        DataType::Utf8 => Some(keys.as_string::<i32>().value(row).as_bytes()),
        DataType::LargeUtf8 => Some(keys.as_string::<i64>().value(row).as_bytes()),
        DataType::Binary => Some(keys.as_binary::<i32>().value(row)),
        DataType::LargeBinary => Some(keys.as_binary::<i64>().value(row)),
        DataType::FixedSizeBinary(_) => Some(keys.as_fixed_size_binary().value(row)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::Int64Array;

    use super::*;

    #[test]
    fn sequences_wrap() {
        assert_eq!(after(0, 3), 3);
        assert_eq!(after(i32::MAX, 1), 0);
        assert_eq!(after(i32::MAX - 1, 4), 2);
    }

    #[test]
    fn slices_are_of_some_size_and_never_empty() {
        let rows = |count: i64| {
            let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..count));
            RecordBatch::try_from_iter([("a", column)]).unwrap()
        };
        assert_eq!(slice_rows(&rows(0)), 1);
        assert!(slice_rows(&rows(100)) >= 100);
        let many = rows(1 << 20);
        let slice = slice_rows(&many);
        assert!((10_000..60_000).contains(&slice), "{slice}");
    }
}
