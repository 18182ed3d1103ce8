//! The log of one topic as rows for the lake.
//!
//! Offsets without a row (control batches, records that do not decode) are covered all the same.
//! A record that does not decode stays readable by Kafka clients; it is counted here, named once per
//! pass, and given as a dead letter where the topic's settings have it so. Where they say suspend, its
//! partition ends before it.

use std::sync::Arc;

use arrow_array::RecordBatch;
use tidelog_coordinator::cluster::settings::InvalidRecords;
use tidelog_storage::{Committed, ReadEnd};
use tidelog_tiering::{ReadRange, RowBatch, RowSource, SourceError};
use tidelog_typed::{
    DecodeError, DecodeLimits, OffsetRange, RowBatch as Decoded, RowSchema, Undecodable, Wanted,
    dead_letters, decode_batches,
};
use uuid::Uuid;

use crate::log::Log;

/// Log bytes read at a time.
const READ_BYTES: u64 = 4 << 20;

/// Most records of one row batch.
const ROWS_MAX: usize = 65_536;

/// A batch larger than this when decompressed is not one a producer could have sent.
const BATCH_BYTES_MAX: usize = 256 << 20;

/// Reads one topic's log. Blocking: for the lake's own threads.
pub struct LogRows {
    log: Arc<Log>,
    topic: Uuid,
    schema: RowSchema,
    invalid: InvalidRecords,
    /// Records that did not decode and were passed over, over all reads.
    pub undecodable: u64,
    /// Partition and offset of the first of them, and why.
    pub first_undecodable: Option<(i32, i64, String)>,
    pub wanted: Vec<Asked>,
    /// Partitions that end before a record that does not decode, and what it is.
    pub suspended: Vec<(i32, String)>,
}

/// What the table has to learn before it takes the record at an offset of a partition.
pub type Asked = (i32, i64, Wanted);

impl LogRows {
    pub fn new(log: Arc<Log>, topic: Uuid, schema: RowSchema, invalid: InvalidRecords) -> Self {
        Self {
            log,
            topic,
            schema,
            invalid,
            undecodable: 0,
            first_undecodable: None,
            wanted: Vec::new(),
            suspended: Vec::new(),
        }
    }

    fn read(&mut self, range: ReadRange) -> Result<Option<RowBatch>, String> {
        let Some(committed) = self.load(range)? else {
            return Ok(None);
        };
        let offsets = OffsetRange {
            first: range.from_offset,
            end: range.to_offset.min(committed.end),
        };
        let limits = DecodeLimits {
            records_max: ROWS_MAX,
            bytes_max: range.bytes_max,
            batch_bytes_max: BATCH_BYTES_MAX,
        };
        let partition = range.partition;
        let decoded = decode_batches(&self.schema, partition, offsets, committed.batches, &limits)
            .map_err(|error| error.to_string())?;
        let decoded = match self.invalid {
            InvalidRecords::Suspend => decoded.before_undecodable(),
            InvalidRecords::DeadLetter | InvalidRecords::Drop | InvalidRecords::Reject => decoded,
        };
        if decoded.end_offset == decoded.first_offset && self.stands_still(&decoded) {
            return Ok(None);
        }
        let dead_letters = self.passed_over(partition, &decoded.undecodable);
        Ok(Some(RowBatch {
            partition,
            first_offset: decoded.first_offset,
            end_offset: decoded.end_offset,
            rows: decoded.rows,
            dead_letters: dead_letters.map_err(|error| error.to_string())?,
        }))
    }

    /// Notes why the first record asked for was not taken; false if nothing stands in the way.
    fn stands_still(&mut self, decoded: &Decoded) -> bool {
        let (partition, offset) = (decoded.partition, decoded.end_offset);
        if let Some(wanted) = &decoded.wanted {
            self.wanted.push((partition, offset, wanted.clone()));
        } else if let Some(first) = decoded.undecodable.first() {
            let reason = &first.reason;
            let why = format!(
                "offset {offset} does not decode (tidelog.table.invalid.records=suspend): {reason}"
            );
            self.suspended.push((partition, why));
        } else {
            return false;
        }
        true
    }

    /// What counts of the batches from the one that holds the first offset on; `None` when there is
    /// nothing.
    fn load(&self, range: ReadRange) -> Result<Option<Committed>, String> {
        let partition = self.log.partition(self.topic, range.partition);
        let Some(partition) = partition else {
            return Ok(None);
        };
        let from = range.from_offset;
        let plan = partition.plan_read_to(ReadEnd::StableEnd, from, READ_BYTES, true);
        let plan = plan.map_err(|error| error.to_string())?;
        if plan.is_empty() {
            return Ok(None);
        }
        let pieces = plan.load().map_err(|error| error.to_string())?;
        let committed = partition.committed(from, pieces);
        Ok(Some(committed.map_err(|error| error.to_string())?))
    }

    /// Counts records without a row that are covered; gives those that go elsewhere.
    fn passed_over(
        &mut self,
        partition: i32,
        undecodable: &[Undecodable],
    ) -> Result<Option<RecordBatch>, DecodeError> {
        // One that suspends is where the batch ends, and not covered.
        let is_covered = self.invalid != InvalidRecords::Suspend;
        let Some(first) = undecodable.first().filter(|_| is_covered) else {
            return Ok(None);
        };
        self.undecodable += undecodable.len() as u64;
        self.first_undecodable
            .get_or_insert_with(|| (partition, first.offset, first.reason.to_string()));
        match self.invalid {
            InvalidRecords::Drop | InvalidRecords::Suspend => Ok(None),
            // What could not be refused when it was produced is not lost.
            InvalidRecords::DeadLetter | InvalidRecords::Reject => {
                dead_letters(partition, undecodable).map(Some)
            }
        }
    }
}

impl RowSource for LogRows {
    fn next(&mut self, range: ReadRange) -> Result<Option<RowBatch>, SourceError> {
        self.read(range).map_err(|reason| SourceError {
            partition: range.partition,
            offset: range.from_offset,
            reason,
        })
    }
}
