//! Encapsulated Arrow record batch messages as arrays, and the checks they must pass first.
//!
//! ```text
//! ff ff ff ff | length i32 | flatbuffer: rows, nodes, buffers | body: the columns' buffers
//!                                                               └ crc32c ┘└ crc32c ┘ …
//! ```
//!
//! Nothing is believed of a message: buffers must lie one behind the other inside the body, lengths
//! within their buffers, and no more is decompressed than was allowed. Arrays are validated as they
//! are built. Buffers that are not compressed are not copied unless they lie askew.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions, make_array};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow_data::ArrayData;
use arrow_ipc::{BodyCompressionMethod, CompressionType, MetadataVersion};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use tidelog_records::{Codec, codec};

use crate::{Fault, malformed, unframe, verified};

/// In front of a compressed buffer stands how long it is decompressed, −1 if it is as it was.
const LENGTH_BYTES: usize = 8;

/// Reads messages that lie one behind the other, each holding all columns of `schema`.
///
/// `checksums` holds, per message, the crc32c of each column; none at all if there is nothing to
/// compare with. `bytes_max` bounds what one message decompresses to.
///
/// # Errors
/// [`Fault`]; nothing of the rows is answered then.
pub fn read_rows(
    mut bytes: Bytes,
    schema: &SchemaRef,
    checksums: &[u32],
    bytes_max: usize,
) -> Result<Vec<RecordBatch>, Fault> {
    let columns = schema.fields().len();
    let mut due = checksums.chunks(columns.max(1));
    let mut batches = Vec::new();
    while !bytes.is_empty() {
        let expected = match due.next() {
            Some(sums) if sums.len() == columns => Some(sums),
            None if checksums.is_empty() => None,
            _ => return Err(miscounted(checksums, columns)),
        };
        let (batch, taken) = read_first(&bytes, schema, expected, bytes_max)?;
        batches.push(batch);
        bytes = bytes.slice(taken..);
    }
    match due.next() {
        None => Ok(batches),
        Some(_) => Err(miscounted(checksums, columns)),
    }
}

fn miscounted(checksums: &[u32], columns: usize) -> Fault {
    let got = checksums.len();
    Fault::ChecksumCount { got, columns }
}

/// The codec of the buffers of the first message of `bytes`.
///
/// # Errors
/// [`Fault::Malformed`].
pub fn codec_of(bytes: &[u8]) -> Result<Codec, Fault> {
    let (metadata, _) = unframe(bytes).ok_or_else(|| malformed("cut short"))?;
    let codec = codec_in(&record_batch(&verified(metadata)?)?)?;
    Ok(codec.unwrap_or(Codec::None))
}

/// The first message of `bytes` and how many of them it takes; see [`read_rows`].
///
/// # Errors
/// [`Fault`].
pub fn read_first(
    bytes: &Bytes,
    schema: &SchemaRef,
    checksums: Option<&[u32]>,
    bytes_max: usize,
) -> Result<(RecordBatch, usize), Fault> {
    let (metadata, rest) = unframe(bytes).ok_or_else(|| malformed("cut short"))?;
    let message = verified(metadata)?;
    let batch = record_batch(&message)?;
    let body_len = usize::try_from(message.bodyLength()).unwrap_or(usize::MAX);
    let start = bytes.len() - rest.len();
    let body = match body_len <= rest.len() {
        true => bytes.slice(start..start + body_len),
        false => return Err(malformed("the body is cut short")),
    };
    let nodes = batch.nodes().into_iter().flatten();
    let buffers = batch.buffers().into_iter().flatten();
    let mut body = Body {
        lengths: nodes
            .map(|node| (node.length(), node.null_count()))
            .collect(),
        buffers: in_order(buffers.map(|it| (it.offset(), it.length())), body_len)?,
        bytes: body,
        codec: codec_in(&batch)?,
        node: 0,
        buffer: 0,
        bytes_left: bytes_max,
        bytes_max,
    };
    let rows = count(batch.length())?;
    let columns = body.columns(schema, rows, checksums)?;
    let columns = columns.into_iter().map(make_array).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(malformed)?;
    Ok((batch, start + body_len))
}

fn record_batch<'a>(message: &arrow_ipc::Message<'a>) -> Result<arrow_ipc::RecordBatch<'a>, Fault> {
    if message.version() != MetadataVersion::V5 {
        return Err(malformed("metadata version is not 5"));
    }
    message
        .header_as_record_batch()
        .ok_or_else(|| malformed("not a record batch"))
}

fn codec_in(batch: &arrow_ipc::RecordBatch<'_>) -> Result<Option<Codec>, Fault> {
    Ok(match batch.compression() {
        None => None,
        Some(by) if by.method() != BodyCompressionMethod::BUFFER => {
            return Err(malformed("unknown method of compression"));
        }
        Some(by) => match by.codec() {
            CompressionType::LZ4_FRAME => Some(Codec::Lz4),
            CompressionType::ZSTD => Some(Codec::Zstd),
            _ => return Err(malformed("unknown codec")),
        },
    })
}

/// The buffers' places, if they ascend without overlapping and end inside the body.
fn in_order(
    buffers: impl Iterator<Item = (i64, i64)>,
    body_len: usize,
) -> Result<Vec<Range<usize>>, Fault> {
    let mut end = 0;
    buffers
        .map(|(offset, length)| {
            let start = usize::try_from(offset).ok().filter(|start| *start >= end)?;
            end = start.checked_add(usize::try_from(length).ok()?)?;
            (end <= body_len).then_some(start..end)
        })
        .map(|place| place.ok_or_else(|| malformed("buffers overlap or leave the body")))
        .collect()
}

fn count(length: i64) -> Result<usize, Fault> {
    i32::try_from(length)
        .ok()
        .and_then(|length| usize::try_from(length).ok())
        .ok_or_else(|| malformed(format!("length {length}")))
}

/// A message's body being taken apart, column by column.
struct Body {
    bytes: Bytes,
    /// Length and number of nulls of each node.
    lengths: Vec<(i64, i64)>,
    buffers: Vec<Range<usize>>,
    codec: Option<Codec>,
    /// The next of each to be taken.
    node: usize,
    buffer: usize,
    bytes_left: usize,
    bytes_max: usize,
}

impl Body {
    fn columns(
        &mut self,
        schema: &Schema,
        rows: usize,
        checksums: Option<&[u32]>,
    ) -> Result<Vec<ArrayData>, Fault> {
        let mut columns = Vec::with_capacity(schema.fields().len());
        for (index, field) in schema.fields().iter().enumerate() {
            let first = self.buffer;
            let buffers = buffers_of(field.data_type());
            if let Some(sums) = checksums
                && crc32c::crc32c(self.column_bytes(first..first + buffers)?) != sums[index]
            {
                let column = field.name().clone();
                return Err(Fault::Checksum { column });
            }
            let column = self.array(field)?;
            if column.len() != rows {
                return Err(malformed("columns of different lengths"));
            }
            columns.push(column);
        }
        match self.node == self.lengths.len() && self.buffer == self.buffers.len() {
            true => Ok(columns),
            false => Err(malformed("more columns than the schema has")),
        }
    }

    /// The bytes of a column, padding included: up to where the next one starts.
    fn column_bytes(&self, buffers: Range<usize>) -> Result<&[u8], Fault> {
        let start = |buffer: usize| self.buffers.get(buffer).map(|place| place.start);
        let from = start(buffers.start).unwrap_or(self.bytes.len());
        let to = start(buffers.end).unwrap_or(self.bytes.len());
        self.bytes
            .get(from..to)
            .ok_or_else(|| malformed("buffers missing"))
    }

    fn array(&mut self, field: &Field) -> Result<ArrayData, Fault> {
        let data_type = field.data_type();
        let (length, null_count) = *self
            .lengths
            .get(self.node)
            .ok_or_else(|| malformed("columns missing"))?;
        self.node += 1;
        let length = count(length)?;
        let validity = self.take_buffer()?;
        let nulls = match null_count {
            0 => None,
            _ if validity.len() < length.div_ceil(8) => {
                return Err(malformed("validity cut short"));
            }
            _ => Some(NullBuffer::new(BooleanBuffer::new(validity, 0, length))),
        };
        let mut builder = ArrayData::builder(data_type.clone())
            .len(length)
            .nulls(nulls)
            .align_buffers(true);
        for index in 0..own_buffers(data_type) {
            let buffer = self.take_buffer()?;
            // Arrow asserts that a buffer holds whole values.
            let whole = buffer.len() - buffer.len() % value_width(data_type, index);
            builder = builder.add_buffer(buffer.slice_with_length(0, whole));
        }
        for child in children(data_type) {
            builder = builder.add_child_data(self.array(child)?);
        }
        builder.build().map_err(malformed)
    }

    fn take_buffer(&mut self) -> Result<Buffer, Fault> {
        let place = self
            .buffers
            .get(self.buffer)
            .ok_or_else(|| malformed("buffers missing"))?;
        self.buffer += 1;
        let bytes = self.bytes.slice(place.clone());
        match self.codec {
            Some(codec) if !bytes.is_empty() => self.decompress(codec, &bytes),
            _ => Ok(bytes.into()),
        }
    }

    fn decompress(&mut self, codec: Codec, bytes: &Bytes) -> Result<Buffer, Fault> {
        let length = bytes
            .first_chunk()
            .ok_or_else(|| malformed("a compressed buffer without its length"))?;
        let compressed = bytes.slice(LENGTH_BYTES..);
        let length = match i64::from_le_bytes(*length) {
            -1 => return Ok(compressed.into()),
            0 => return Ok(Bytes::new().into()),
            length => usize::try_from(length).map_err(malformed)?,
        };
        let bytes_max = self.bytes_max;
        self.bytes_left = self
            .bytes_left
            .checked_sub(length)
            .ok_or(Fault::TooLarge { bytes_max })?;
        let bytes = codec::decompress(codec, &compressed, length).map_err(malformed)?;
        match bytes.len() == length {
            true => Ok(Buffer::from_vec(bytes.into_owned())),
            false => Err(malformed("a buffer of another length than it says")),
        }
    }
}

/// Buffers of an array without its validity and its children.
fn own_buffers(of: &DataType) -> usize {
    match of {
        DataType::Struct(_) => 0,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary => 2,
        _ => 1,
    }
}

/// Bytes of one value, or of one offset, in one of an array's own buffers.
fn value_width(of: &DataType, buffer: usize) -> usize {
    match of {
        DataType::LargeUtf8 | DataType::LargeBinary | DataType::LargeList(_) if buffer == 0 => 8,
        DataType::Utf8 | DataType::Binary | DataType::List(_) | DataType::Map(_, _)
            if buffer == 0 =>
        {
            4
        }
        other => other.primitive_width().unwrap_or(1),
    }
}

/// Buffers of an array, its validity and its children.
fn buffers_of(of: &DataType) -> usize {
    let below: usize = children(of)
        .iter()
        .map(|child| buffers_of(child.data_type()))
        .sum();
    1 + own_buffers(of) + below
}

/// The arrays inside one of this type, in the order they are laid out.
fn children(of: &DataType) -> &[Arc<Field>] {
    match of {
        DataType::Struct(fields) => fields,
        DataType::List(child) | DataType::LargeList(child) | DataType::Map(child, _) => {
            std::slice::from_ref(child)
        }
        _ => &[],
    }
}

#[cfg(test)]
mod tests;
