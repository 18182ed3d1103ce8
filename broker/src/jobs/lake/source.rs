//! The log of one topic as rows for the lake.
//!
//! Offsets without a row (control batches, records that do not decode) are covered all the same.
//! A record that does not decode stays out of the table and readable by Kafka clients; it is counted
//! here and named once per pass. A dead-letter table for such records comes later.

use std::sync::Arc;

use tidelog_storage::{Committed, ReadEnd};
use tidelog_tiering::{ReadRange, RowBatch, RowSource, SourceError};
use tidelog_typed::{DecodeLimits, OffsetRange, RowSchema, Undecodable, Wanted, decode_batches};
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
    /// Records that did not decode, over all reads.
    pub undecodable: u64,
    /// Partition and offset of the first of them, and why.
    pub first_undecodable: Option<(i32, i64, String)>,
    pub wanted: Vec<Asked>,
}

/// What the table has to learn before it takes the record at an offset of a partition.
pub type Asked = (i32, i64, Wanted);

impl LogRows {
    pub fn new(log: Arc<Log>, topic: Uuid, schema: RowSchema) -> Self {
        Self {
            log,
            topic,
            schema,
            undecodable: 0,
            first_undecodable: None,
            wanted: Vec::new(),
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
        self.count(partition, &decoded.undecodable);
        if let (Some(wanted), true) = (decoded.wanted, decoded.end_offset == decoded.first_offset) {
            self.wanted.push((partition, decoded.end_offset, wanted));
            return Ok(None);
        }
        Ok(Some(RowBatch {
            partition,
            first_offset: decoded.first_offset,
            end_offset: decoded.end_offset,
            rows: decoded.rows,
        }))
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

    fn count(&mut self, partition: i32, undecodable: &[Undecodable]) {
        self.undecodable += undecodable.len() as u64;
        if let (None, Some(first)) = (&self.first_undecodable, undecodable.first()) {
            self.first_undecodable = Some((partition, first.offset, first.reason.to_string()));
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
