//! Record batches in, rows out.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::ArrowError;
use bytes::Bytes;
use tidelog_records::{BatchHeader, Record, Records, RecordsError};

use crate::column::{Column, Data, Full, Group};
use crate::json::Reason;
use crate::writers::{Found, SchemaRef, schema_header, written_by};
use crate::{RowSchema, WrittenBy, system};

/// Offsets `first..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetRange {
    pub first: i64,
    pub end: i64,
}

/// Where one call stops. At least one record is always taken.
#[derive(Debug, Clone, Copy)]
pub struct DecodeLimits {
    /// Rows and undecodable records.
    pub records_max: usize,
    /// Bytes of columns and undecodable records, nearly: they are counted every 16 KiB of records, or
    /// a 64th of this where that is less.
    pub bytes_max: usize,
    /// Largest decompressed batch.
    pub batch_bytes_max: usize,
}

/// What the records of a range came to.
#[derive(Debug, Clone)]
pub struct RowBatch {
    pub partition: i32,
    /// First offset answered for.
    pub first_offset: i64,
    /// One past the last offset answered for: the end asked for, or where a limit was reached.
    pub end_offset: i64,
    /// In offset order, of [`RowSchema::arrow`]'s schema.
    pub rows: RecordBatch,
    /// In offset order.
    pub undecodable: Vec<Undecodable>,
    /// Why the record at `end_offset` was not taken, if the table has something to learn first.
    pub wanted: Option<Wanted>,
}

/// What a table has to learn before it can take a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Who wrote the value: teach [`RowSchema::writers`], then go on.
    Writer(WrittenBy),
    /// Columns that an inferred table does not have yet ([`crate::infer`]): let the table grow, then go
    /// on.
    Columns,
}

/// A record that is no row, as it was, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecodable {
    pub offset: i64,
    /// Milliseconds since 1970; −1 for none.
    pub timestamp_ms: i64,
    /// 0 = set by the producer, 1 = set at append.
    pub timestamp_type: i32,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<(Bytes, Option<Bytes>)>,
    /// The schema that the value names, in a topic whose values do.
    pub schema: Option<SchemaRef>,
    pub reason: Reason,
}

/// Why a range cannot be decoded at all.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The log itself is damaged: batches were checked when they were produced.
    #[error("the batch at offset {base_offset} of partition {partition}: {source}")]
    Batch {
        partition: i32,
        base_offset: i64,
        source: RecordsError,
    },
    /// Batches or records do not ascend.
    #[error("offset {offset} of partition {partition} stands behind offset {before}")]
    Order {
        partition: i32,
        before: i64,
        offset: i64,
    },
    /// Keys or headers alone pass what 32-bit positions reach: `bytes_max` is set too high.
    #[error("more than 2 GiB in one column at offset {offset} of partition {partition}")]
    TooLarge { partition: i32, offset: i64 },
    #[error("columns do not make a batch: {0}")]
    Arrow(#[from] ArrowError),
}

impl RowBatch {
    /// The same up to its first undecodable record, which stays as the reason for stopping there.
    pub fn before_undecodable(mut self) -> Self {
        let Some(first) = self.undecodable.first() else {
            return self;
        };
        let end = first.offset;
        let rows = match self.rows.column_by_name(system::name::OFFSET) {
            Some(offsets) => {
                let offsets = offsets.as_primitive::<Int64Type>();
                offsets.values().partition_point(|offset| *offset < end)
            }
            None => 0,
        };
        self.rows = self.rows.slice(0, rows);
        self.undecodable.truncate(1);
        Self {
            end_offset: end,
            wanted: None,
            ..self
        }
    }
}

/// Decodes the records of `range` from `batches`: whole record batches of one partition in offset
/// order, decompressed here. Records outside the range are passed over, and so are control
/// batches; the caller leaves out batches of aborted transactions.
///
/// The answer's `end_offset` is `range.end` once `batches` are used up, else the offset of the first
/// record not taken: go on from there, once the table has learned what is `wanted`.
///
/// # Errors
/// [`DecodeError`]; nothing is answered for then. A record that does not fit the schema is not an
/// error but [`Undecodable`].
pub fn decode_batches(
    schema: &RowSchema,
    partition: i32,
    range: OffsetRange,
    batches: impl IntoIterator<Item = Bytes>,
    limits: &DecodeLimits,
) -> Result<RowBatch, DecodeError> {
    let mut rows = Rows::new(schema, partition);
    let mut next = range.first;
    for batch in batches {
        let header = BatchHeader::read(&batch);
        if header.is_some_and(|header| passed_over(&header, next, range.end)) {
            continue;
        }
        let damaged = |source| DecodeError::Batch {
            partition,
            base_offset: header.map_or(-1, |header| header.base_offset),
            source,
        };
        let records = Records::open(&batch, limits.batch_bytes_max).map_err(damaged)?;
        let timestamp_type = i32::from(records.header().is_log_append_time());
        let mut before = i64::MIN;
        for record in &records {
            let record = record.map_err(|error| damaged(error.into()))?;
            if record.offset <= before {
                let offset = record.offset;
                return Err(DecodeError::Order {
                    partition,
                    before,
                    offset,
                });
            }
            before = record.offset;
            if record.offset < next || record.offset >= range.end {
                continue;
            }
            if rows.reached(limits) {
                return rows.finish(range.first, record.offset);
            }
            if let Some(wanted) = rows.push(&record, timestamp_type)? {
                let taken = rows.finish(range.first, record.offset)?;
                return Ok(RowBatch {
                    wanted: Some(wanted),
                    ..taken
                });
            }
            // Below `range.end`, so there is a next one.
            next = record.offset + 1;
        }
    }
    rows.finish(range.first, range.end)
}

/// True for a batch without a record to take: then it need not be decompressed.
fn passed_over(header: &BatchHeader, first: i64, end: i64) -> bool {
    header.is_control() || header.last_offset() < first || header.base_offset >= end
}

/// Rows in the making.
struct Rows<'a> {
    schema: &'a RowSchema,
    partition: i32,
    offsets: Vec<i64>,
    timestamps: Column,
    timestamp_types: Vec<i32>,
    keys: Column,
    headers: Column,
    values: Group,
    undecodable: Vec<Undecodable>,
    undecodable_bytes: usize,
    /// Bytes of records since `size_bytes` was looked at, which goes through all columns.
    uncounted: usize,
}

/// Records whose columns are not counted yet come to less than this.
const UNCOUNTED_BYTES_MAX: usize = 16 << 10;

impl<'a> Rows<'a> {
    fn new(schema: &'a RowSchema, partition: i32) -> Self {
        let [_, _, timestamp, _, key, headers] = system::fields();
        Self {
            schema,
            partition,
            offsets: Vec::new(),
            timestamps: Column::new(&timestamp),
            timestamp_types: Vec::new(),
            keys: Column::new(&key),
            headers: Column::new(&headers),
            values: Group::new(schema.value_fields()),
            undecodable: Vec::new(),
            undecodable_bytes: 0,
            uncounted: 0,
        }
    }

    fn reached(&mut self, limits: &DecodeLimits) -> bool {
        let records = self.offsets.len() + self.undecodable.len();
        if records == 0 || records >= limits.records_max {
            return records > 0;
        }
        if self.uncounted < UNCOUNTED_BYTES_MAX.min(limits.bytes_max / 64) {
            return false;
        }
        self.uncounted = 0;
        self.size_bytes() >= limits.bytes_max
    }

    fn size_bytes(&self) -> usize {
        let fixed = self.offsets.len() * (size_of::<i64>() + 2 * size_of::<i32>());
        let columns = [&self.timestamps, &self.keys, &self.headers];
        let columns: usize = columns.into_iter().map(Column::size_bytes).sum();
        fixed + columns + self.values.size_bytes() + self.undecodable_bytes
    }

    /// Takes a record, unless the table has something to learn first.
    fn push(
        &mut self,
        record: &Record<'_>,
        timestamp_type: i32,
    ) -> Result<Option<Wanted>, DecodeError> {
        self.uncounted += payload_bytes(record);
        let (partition, offset) = (self.partition, record.offset);
        let too_large = |Full| DecodeError::TooLarge { partition, offset };
        let pushed = match self.push_value(record) {
            Ok(None) => Ok(()),
            Ok(wanted) => return Ok(wanted),
            Err(reason) if reason.wants_column() => return Ok(Some(Wanted::Columns)),
            Err(reason) => Err(reason),
        };
        if let Err(reason) = pushed {
            if reason.is_full() {
                return Err(too_large(Full));
            }
            let mut undecodable = Undecodable::new(record, timestamp_type, reason);
            let writers = self.schema.writers().filter(|writers| writers.is_framed());
            undecodable.schema = writers
                .and_then(|_| written_by(record))
                .map(|(schema, _)| schema);
            self.undecodable_bytes += undecodable.size_bytes();
            self.undecodable.push(undecodable);
            return Ok(None);
        }
        push_bytes(&mut self.keys, record.key).map_err(too_large)?;
        push_headers(&mut self.headers, record.headers.clone()).map_err(too_large)?;
        push_timestamp(&mut self.timestamps, record.timestamp);
        self.timestamp_types.push(timestamp_type);
        self.offsets.push(record.offset);
        Ok(None)
    }

    fn push_value(&mut self, record: &Record<'_>) -> Result<Option<Wanted>, Reason> {
        let rows = self.offsets.len();
        let Some(writers) = self.schema.writers() else {
            if let Some(column) = self.values.columns.first_mut() {
                push_bytes(column, record.value).map_err(|Full| Reason::full())?;
            }
            return Ok(None);
        };
        let value = record.value.ok_or(Reason::NoValue)?;
        match writers.find(|| schema_header(record), value) {
            Found::Read(plan, payload) => {
                plan.append(&mut self.values, rows, payload)?;
                Ok(None)
            }
            Found::Unknown(writer) => Ok(Some(Wanted::Writer(writer))),
            Found::Refused(reason) => Err(reason),
        }
    }

    fn finish(mut self, first_offset: i64, end_offset: i64) -> Result<RowBatch, DecodeError> {
        let partitions = Int32Array::from_value(self.partition, self.offsets.len());
        let mut columns = vec![
            Arc::new(partitions) as _,
            Arc::new(Int64Array::from(self.offsets)) as _,
            self.timestamps.finish()?,
            Arc::new(Int32Array::from(self.timestamp_types)) as _,
            self.keys.finish()?,
            self.headers.finish()?,
        ];
        if self.schema.is_changelog() {
            columns.extend(inserts(columns[0].len()));
        }
        columns.extend(self.values.finish()?);
        Ok(RowBatch {
            partition: self.partition,
            first_offset,
            end_offset,
            rows: RecordBatch::try_new(Arc::clone(self.schema.arrow()), columns)?,
            undecodable: self.undecodable,
            wanted: None,
        })
    }
}

impl Undecodable {
    fn new(record: &Record<'_>, timestamp_type: i32, reason: Reason) -> Self {
        // Copied: a slice would hold its whole decompressed batch.
        let copy = Bytes::copy_from_slice;
        Self {
            offset: record.offset,
            timestamp_ms: record.timestamp,
            timestamp_type,
            key: record.key.map(copy),
            value: record.value.map(copy),
            headers: record
                .headers
                .clone()
                .map(|(key, value)| (copy(key), value.map(copy)))
                .collect(),
            schema: None,
            reason,
        }
    }

    fn size_bytes(&self) -> usize {
        let len = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers: usize = self
            .headers
            .iter()
            .map(|(key, value)| key.len() + len(value) + size_of::<(Bytes, Option<Bytes>)>())
            .sum();
        size_of::<Self>() + len(&self.key) + len(&self.value) + headers
    }
}

/// What a changelog says of rows that nothing was before.
fn inserts(rows: usize) -> [ArrayRef; 2] {
    let kinds = StringArray::from_iter_values(std::iter::repeat_n(system::INSERT, rows));
    [Arc::new(kinds), Arc::new(Int64Array::new_null(rows))]
}

/// Bytes of key, value and headers, and one for the record itself.
fn payload_bytes(record: &Record<'_>) -> usize {
    let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let headers = record.headers.clone();
    let headers: usize = headers.map(|(key, value)| key.len() + len(value)).sum();
    1 + len(record.key) + len(record.value) + headers
}

pub(crate) fn push_bytes(column: &mut Column, bytes: Option<&[u8]>) -> Result<(), Full> {
    match (&mut column.data, bytes) {
        (Data::Binary(blob) | Data::Text(blob), Some(bytes)) => {
            blob.push(bytes)?;
            column.set();
        }
        _ => column.push_absent(),
    }
    Ok(())
}

/// Milliseconds become microseconds. What Kafka calls no timestamp (−1), one before 1970 and one
/// that microseconds cannot reach become null, as in the lake.
pub(crate) fn push_timestamp(column: &mut Column, timestamp_ms: i64) {
    let us = Some(timestamp_ms)
        .filter(|ms| *ms >= 0)
        .and_then(|ms| ms.checked_mul(1000));
    match (&mut column.data, us) {
        (Data::Long(values), Some(us)) => {
            values.push(us);
            column.set();
        }
        _ => column.push_absent(),
    }
}

pub(crate) fn push_headers<'a>(
    column: &mut Column,
    headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
) -> Result<(), Full> {
    if let Data::List(list) = &mut column.data {
        for (key, value) in headers {
            push_header(&mut list.items, key, value)?;
        }
        let len = list.items.len();
        list.end(len)?;
    }
    column.set();
    Ok(())
}

/// Header keys are UTF-8 by custom only; bytes that are not become U+FFFD here (the log keeps
/// them).
fn push_header(item: &mut Column, key: &[u8], value: Option<&[u8]>) -> Result<(), Full> {
    if let Data::Struct(pair) = &mut item.data
        && let [keys, values] = &mut pair.columns[..]
    {
        push_bytes(keys, Some(String::from_utf8_lossy(key).as_bytes()))?;
        push_bytes(values, value)?;
    }
    item.set();
    Ok(())
}

#[cfg(test)]
mod tests;
