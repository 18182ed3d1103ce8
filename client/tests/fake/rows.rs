//! Rows as a broker stores and sends them.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, Int64Array, ListArray, RecordBatch, StringArray, StructArray};
use arrow_ipc::writer::{
    CompressionContext, DictionaryTracker, IpcDataGenerator, IpcWriteOptions, write_message,
};
use arrow_ipc::{CompressionType, root_as_message};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use bytes::Bytes;
use tidelog_predicate::{Predicate, bind};
use tidelog_protocol_ext::ext::columnar_fetch::Run;

/// A column with its id.
pub fn field(id: i32, name: &str, data_type: DataType) -> Field {
    let metadata = [("PARQUET:field_id".to_owned(), id.to_string())];
    Field::new(name, data_type, true).with_metadata(metadata.into())
}

/// `_offset`, city, amount and address { street, zip }.
pub fn order_schema() -> SchemaRef {
    let address = Fields::from(vec![
        field(4, "street", DataType::Utf8),
        field(5, "zip", DataType::Int64),
    ]);
    Arc::new(Schema::new(vec![
        field(-2, "_offset", DataType::Int64).with_nullable(false),
        field(1, "city", DataType::Utf8),
        field(2, "amount", DataType::Int64),
        field(3, "address", DataType::Struct(address)),
    ]))
}

/// Orders at these offsets; every value follows from the offset.
pub fn orders(offsets: impl IntoIterator<Item = i64>) -> RecordBatch {
    let offsets: Vec<i64> = offsets.into_iter().collect();
    let text = |what: &str| -> ArrayRef {
        let values = offsets
            .iter()
            .map(|o| (o % 7 != 0).then(|| format!("{what} {o}")));
        Arc::new(StringArray::from_iter(values))
    };
    let schema = order_schema();
    let DataType::Struct(members) = schema.field(3).data_type() else {
        unreachable!("address is a struct");
    };
    let zip = Int64Array::from_iter_values(offsets.iter().map(|o| o + 10_000));
    let address = StructArray::new(members.clone(), vec![text("street"), Arc::new(zip)], None);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(offsets.clone())),
        text("city"),
        Arc::new(Int64Array::from_iter_values(
            offsets.iter().map(|o| o * 100),
        )),
        Arc::new(address),
    ];
    RecordBatch::try_new(schema, columns).unwrap()
}

/// Rows that share a schema.
pub struct StoredRun {
    pub schema_id: i32,
    pub first_offset: i64,
    pub last_offset: i64,
    /// Written as one message each; all with a column `_offset`.
    pub batches: Vec<RecordBatch>,
    pub compression: Option<CompressionType>,
}

impl StoredRun {
    /// Orders at these offsets, for which the run answers alone.
    pub fn of(schema_id: i32, batch: RecordBatch) -> Self {
        let offsets = offsets(&batch).values();
        Self {
            schema_id,
            first_offset: offsets[0],
            last_offset: *offsets.last().unwrap(),
            batches: vec![batch],
            compression: Some(CompressionType::LZ4_FRAME),
        }
    }

    /// What an answer holds for a reader that comes at `from`.
    pub fn cut(&self, from: i64, wanted: &[String], filter: Option<&Predicate>) -> Run {
        let mut run = Run {
            schema_id: self.schema_id,
            first_offset: self.first_offset.max(from),
            last_offset: self.last_offset,
            ..Run::default()
        };
        for batch in &self.batches {
            let skipped = offsets(batch)
                .values()
                .partition_point(|offset| *offset < from);
            let batch = batch.slice(skipped, batch.num_rows() - skipped);
            let batch = filter.map_or(batch.clone(), |filter| keep(&batch, filter));
            run.row_count += batch.num_rows() as i32;
            let projected = project(&batch, wanted);
            if projected.num_columns() > 0 && batch.num_rows() > 0 {
                let (message, checksums) = record_batch_message(&projected, self.compression);
                run.messages.push(message);
                run.checksums.extend(checksums);
            }
        }
        run
    }
}

/// The rows of which `filter` is true.
pub fn keep(batch: &RecordBatch, filter: &Predicate) -> RecordBatch {
    let bound = bind(filter, batch.schema_ref()).unwrap();
    filter_record_batch(batch, &bound.eval(batch).unwrap()).unwrap()
}

/// Where the rows stand.
pub fn offsets(batch: &RecordBatch) -> &Int64Array {
    batch.column_by_name("_offset").unwrap().as_primitive()
}

/// The columns that `wanted` names by id, in the order of the schema.
pub fn project(batch: &RecordBatch, wanted: &[String]) -> RecordBatch {
    let (fields, columns): (Vec<_>, Vec<_>) =
        kept(batch.schema().fields(), batch.columns(), wanted)
            .into_iter()
            .unzip();
    let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let schema = Arc::new(Schema::new(fields));
    RecordBatch::try_new_with_options(schema, columns, &options).unwrap()
}

fn kept(fields: &Fields, columns: &[ArrayRef], wanted: &[String]) -> Vec<(Field, ArrayRef)> {
    let pairs = fields.iter().zip(columns);
    pairs
        .filter_map(|(field, column)| {
            let id = format!("#{}", field.metadata()["PARQUET:field_id"]);
            let kept: ArrayRef = match field.data_type() {
                _ if wanted.contains(&id) => Arc::clone(column),
                DataType::Struct(_) => Arc::new(members(column.as_struct(), wanted)?),
                DataType::List(element) if element.data_type().is_nested() => {
                    let list = column.as_list::<i32>();
                    let members = members(list.values().as_struct(), wanted)?;
                    let element = Field::clone(element).with_data_type(members.data_type().clone());
                    let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
                    Arc::new(ListArray::new(
                        Arc::new(element),
                        offsets,
                        Arc::new(members),
                        nulls,
                    ))
                }
                _ => return None,
            };
            let field = Field::clone(field).with_data_type(kept.data_type().clone());
            Some((field, kept))
        })
        .collect()
}

fn members(whole: &StructArray, wanted: &[String]) -> Option<StructArray> {
    let members = kept(whole.fields(), whole.columns(), wanted);
    let (fields, columns): (Vec<_>, Vec<_>) = members.into_iter().unzip();
    (!fields.is_empty())
        .then(|| StructArray::new(Fields::from(fields), columns, whole.nulls().cloned()))
}

/// A schema as a framed message.
pub fn schema_message(schema: &Schema) -> Bytes {
    let options = IpcWriteOptions::default();
    let mut tracker = DictionaryTracker::new(false);
    let encoded = IpcDataGenerator::default().schema_to_bytes_with_dictionary_tracker(
        schema,
        &mut tracker,
        &options,
    );
    let mut out = Vec::new();
    write_message(&mut out, encoded, &options).unwrap();
    out.into()
}

/// Rows as a framed message, and the crc32c of each column in it.
pub fn record_batch_message(
    batch: &RecordBatch,
    compression: Option<CompressionType>,
) -> (Bytes, Vec<u32>) {
    let bytes = encode(batch, compression);
    let (places, body) = buffers(&bytes);
    let mut starts: Vec<usize> = Vec::new();
    let mut first = 0;
    for column in 0..batch.num_columns() {
        starts.push(places[first]);
        first += buffers(&encode(&batch.project(&[column]).unwrap(), None))
            .0
            .len();
    }
    starts.push(body.len());
    let columns = starts
        .windows(2)
        .map(|pair| crc32c::crc32c(&body[pair[0]..pair[1]]));
    let checksums = columns.collect();
    (bytes, checksums)
}

fn encode(batch: &RecordBatch, compression: Option<CompressionType>) -> Bytes {
    let options = IpcWriteOptions::default()
        .try_with_compression(compression)
        .unwrap();
    let mut tracker = DictionaryTracker::new(false);
    let (_, encoded) = IpcDataGenerator::default()
        .encode(
            batch,
            &mut tracker,
            &options,
            &mut CompressionContext::default(),
        )
        .unwrap();
    let mut out = Vec::new();
    write_message(&mut out, encoded, &options).unwrap();
    out.into()
}

/// Where the buffers of a message start in its body, and the body.
fn buffers(message: &Bytes) -> (Vec<usize>, Bytes) {
    let length = u32::from_le_bytes(message[4..8].try_into().unwrap()) as usize;
    let root = root_as_message(&message[8..8 + length]).unwrap();
    let batch = root.header_as_record_batch().unwrap();
    let starts = batch.buffers().unwrap().iter();
    let starts = starts.map(|buffer| buffer.offset() as usize).collect();
    (starts, message.slice(8 + length..))
}
