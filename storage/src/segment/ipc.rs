//! Arrow IPC file framing, written by hand.
//!
//! Source: Arrow columnar format, "IPC File Format". The messages are the library's flatbuffers;
//! only their bodies are laid down here, so that batch bytes go to the file without being copied
//! into an Arrow array and out again.

use arrow_ipc::convert::IpcSchemaEncoder;
use arrow_ipc::{
    Block, Buffer, FieldNode, FooterBuilder, MessageBuilder, MessageHeader, MetadataVersion,
    RecordBatchBuilder,
};
use arrow_schema::Schema;
use flatbuffers::{FlatBufferBuilder, UnionWIPOffset, WIPOffset};

use super::layout::pad8;

/// First bytes of the file, padded to 8.
pub(crate) const HEAD: &[u8; 8] = b"ARROW1\0\0";
/// Last bytes of the file.
const TAIL: &[u8; 6] = b"ARROW1";
/// Stands before every message; followed by a zero length it ends the stream of them.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// The schema message, framed.
pub(crate) fn schema_message(schema: &Schema) -> Vec<u8> {
    let mut builder = FlatBufferBuilder::new();
    let header = IpcSchemaEncoder::new().schema_to_fb_offset(&mut builder, schema);
    message(builder, MessageHeader::Schema, header.as_union_value(), 0)
}

/// A record batch message, framed, without its body. `buffers` are the unpadded lengths of each
/// column's buffers in body order; every column has an empty validity buffer in front, and the last
/// column two more buffers (offsets, data).
pub(super) fn block_message(rows: u64, columns: usize, buffers: &[u64]) -> Vec<u8> {
    let mut builder = FlatBufferBuilder::new();
    let nodes = vec![FieldNode::new(rows as i64, 0); columns];
    let (places, body_len) = place(buffers, columns);
    let nodes = builder.create_vector(&nodes);
    let places = builder.create_vector(&places);
    let mut batch = RecordBatchBuilder::new(&mut builder);
    batch.add_length(rows as i64);
    batch.add_nodes(nodes);
    batch.add_buffers(places);
    let header = batch.finish().as_union_value();
    message(builder, MessageHeader::RecordBatch, header, body_len)
}

/// The end of the file: end of stream, footer, its length, magic.
pub(crate) fn footer(schema: &Schema, blocks: &[Block]) -> Vec<u8> {
    let mut builder = FlatBufferBuilder::new();
    let dictionaries = builder.create_vector::<Block>(&[]);
    let blocks = builder.create_vector(blocks);
    let schema = IpcSchemaEncoder::new().schema_to_fb_offset(&mut builder, schema);
    let mut footer = FooterBuilder::new(&mut builder);
    footer.add_version(MetadataVersion::V5);
    footer.add_schema(schema);
    footer.add_dictionaries(dictionaries);
    footer.add_recordBatches(blocks);
    let root = footer.finish();
    builder.finish(root, None);
    let footer = builder.finished_data();

    let mut out = CONTINUATION.to_vec();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(footer);
    out.extend_from_slice(&(footer.len() as i32).to_le_bytes());
    out.extend_from_slice(TAIL);
    out
}

/// Places buffers one after the other at multiples of 8; answers them and the body's length.
fn place(buffers: &[u64], columns: usize) -> (Vec<Buffer>, u64) {
    let mut places = Vec::with_capacity(buffers.len() + columns);
    let mut at = 0;
    for (i, len) in buffers.iter().enumerate() {
        if i < columns {
            places.push(Buffer::new(at as i64, 0));
        }
        places.push(Buffer::new(at as i64, *len as i64));
        at += pad8(*len);
    }
    (places, at)
}

fn message(
    mut builder: FlatBufferBuilder<'_>,
    kind: MessageHeader,
    header: WIPOffset<UnionWIPOffset>,
    body_len: u64,
) -> Vec<u8> {
    let mut message = MessageBuilder::new(&mut builder);
    message.add_version(MetadataVersion::V5);
    message.add_header_type(kind);
    message.add_bodyLength(body_len as i64);
    message.add_header(header);
    let root = message.finish();
    builder.finish(root, None);
    let bytes = builder.finished_data();

    let padded = pad8(bytes.len() as u64) as usize;
    let mut out = CONTINUATION.to_vec();
    out.extend_from_slice(&(padded as i32).to_le_bytes());
    out.extend_from_slice(bytes);
    out.resize(8 + padded, 0);
    out
}
