//! Dead letters, read back from their table, as the rows they may be by now.
//!
//! Each is made the record again that it was, and decoded like those of the log.

use std::collections::HashSet;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch, StructArray};
use bytes::Bytes;
use tidelog_records::{BatchBuilder, BuildError};
use tidelog_tiering::{Redecoder, SourceError};
use tidelog_typed::{DecodeLimits, OffsetRange, RowSchema, Wanted, WrittenBy, decode_batches};

/// How much is decoded at a time.
const LIMITS: DecodeLimits = DecodeLimits {
    records_max: usize::MAX,
    bytes_max: 64 << 20,
    batch_bytes_max: 256 << 20,
};

/// Decodes by one schema of the topic's rows. Blocking: for the lake's own threads.
pub struct DeadRows {
    schema: RowSchema,
    /// Writers that the table has to learn first; what they wrote stays a dead letter until then.
    pub wanted: HashSet<WrittenBy>,
}

/// The columns of dead letters, as their table has them.
struct Columns<'a> {
    rows: &'a RecordBatch,
    kafka: &'a StructArray,
}

impl DeadRows {
    pub fn new(schema: RowSchema) -> Self {
        Self {
            schema,
            wanted: HashSet::new(),
        }
    }

    fn decode(&mut self, partition: i32, rows: &RecordBatch) -> Result<RecordBatch, String> {
        let columns = Columns::of(rows).ok_or("the dead-letter table has other columns")?;
        let batches: Option<Vec<_>> = (0..rows.num_rows())
            .map(|row| columns.record(row))
            .collect();
        let batches = batches.ok_or("the dead-letter table has other columns")?;
        let batches: Result<Vec<_>, BuildError> = batches.into_iter().collect();
        let batches = batches.map_err(|error| error.to_string())?;
        let mut found = Vec::new();
        let mut rest = match (batches.first(), batches.last()) {
            (Some((first, _)), Some((last, _))) => OffsetRange {
                first: *first,
                end: last + 1,
            },
            _ => OffsetRange { first: 0, end: 0 },
        };
        while rest.first < rest.end {
            let from = batches.partition_point(|(offset, _)| *offset < rest.first);
            let records = batches[from..].iter().map(|(_, batch)| batch.clone());
            let decoded = decode_batches(&self.schema, partition, rest, records, &LIMITS);
            let decoded = decoded.map_err(|error| error.to_string())?;
            rest.first = decoded.end_offset;
            if let Some(wanted) = decoded.wanted {
                // Columns to come cannot be told from this record alone: it stays what it is.
                if let Wanted::Writer(writer) = wanted {
                    self.wanted.insert(writer);
                }
                rest.first += 1;
            }
            found.push(decoded.rows);
        }
        let schema = self.schema.arrow();
        arrow_select::concat::concat_batches(schema, &found).map_err(|error| error.to_string())
    }
}

impl Redecoder for DeadRows {
    fn redecode(
        &mut self,
        partition: i32,
        dead_letters: &RecordBatch,
    ) -> Result<RecordBatch, SourceError> {
        self.decode(partition, dead_letters)
            .map_err(|reason| SourceError {
                partition,
                offset: -1,
                reason,
            })
    }
}

impl<'a> Columns<'a> {
    fn of(rows: &'a RecordBatch) -> Option<Self> {
        let kafka = rows.column_by_name("_kafka")?.as_struct_opt()?;
        Some(Self { rows, kafka })
    }

    /// Offset and batch of one record; `None` if a column is not what it should be.
    fn record(&self, row: usize) -> Option<Result<(i64, Bytes), BuildError>> {
        let offsets = self.rows.column_by_name("_offset")?;
        let offset = offsets.as_primitive_opt::<Int64Type>()?.value(row);
        let times = self.rows.column_by_name("_timestamp")?;
        let times = times.as_primitive_opt::<TimestampMicrosecondType>()?;
        let time_ms = match times.is_null(row) {
            true => -1,
            false => times.value(row).div_euclid(1_000),
        };
        let types = self.kafka.column_by_name("timestamp_type")?;
        let types = types.as_primitive_opt::<Int32Type>()?;
        let builder = BatchBuilder::new().base_offset(offset);
        let builder = match types.is_valid(row) && types.value(row) == 1 {
            true => builder.log_append_time(time_ms),
            false => builder,
        };
        let key = bytes_at(self.kafka.column_by_name("key")?, row)?;
        let value = bytes_at(self.rows.column_by_name("value")?, row)?;
        let headers = headers_at(self.kafka.column_by_name("headers")?, row)?;
        Some(batch(builder, time_ms, key, value, &headers).map(|batch| (offset, batch)))
    }
}

fn batch(
    mut builder: BatchBuilder,
    time_ms: i64,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[(Vec<u8>, Option<Vec<u8>>)],
) -> Result<Bytes, BuildError> {
    let headers = headers
        .iter()
        .map(|(key, value)| (&key[..], value.as_deref()));
    builder.append(time_ms, key, value, headers)?;
    builder.finish()
}

/// A binary value; the outer `None` for a column of another kind.
fn bytes_at(column: &ArrayRef, row: usize) -> Option<Option<&[u8]>> {
    if column.is_null(row) {
        return Some(None);
    }
    match column.as_binary_opt::<i64>() {
        Some(bytes) => Some(Some(bytes.value(row))),
        None => Some(Some(column.as_binary_opt::<i32>()?.value(row))),
    }
}

type OwnedHeaders = Vec<(Vec<u8>, Option<Vec<u8>>)>;

fn headers_at(column: &ArrayRef, row: usize) -> Option<OwnedHeaders> {
    let lists = column.as_list_opt::<i32>()?;
    if lists.is_null(row) {
        return Some(Vec::new());
    }
    let list = lists.value(row);
    let pairs = list.as_struct_opt()?;
    let keys = pairs.column_by_name("key")?.as_string_opt::<i32>()?;
    let values = pairs.column_by_name("value")?;
    let header = |at: usize| {
        let value = bytes_at(values, at)?.map(<[u8]>::to_vec);
        Some((keys.value(at).as_bytes().to_vec(), value))
    };
    (0..pairs.len()).map(header).collect()
}
