//! Record batch messages, framed: continuation marker, length, flatbuffer, padding.

use arrow_ipc::{
    BodyCompressionBuilder, BodyCompressionMethod, Buffer, FieldNode, KeyValue, KeyValueBuilder,
    MessageBuilder, MessageHeader, MetadataVersion, RecordBatchBuilder,
};
use bytes::Bytes;
use flatbuffers::{FlatBufferBuilder, ForwardsUOffset, Vector, WIPOffset};

use super::{Compression, pad8};

/// Bytes in front of the flatbuffer.
pub(super) const FRAME_LEN: usize = 8;
/// Stands before every message.
pub(super) const CONTINUATION: [u8; 4] = [0xff; 4];

/// What a message says of its body.
pub(super) struct Contents<'a> {
    pub(super) rows: u64,
    pub(super) nodes: &'a [FieldNode],
    pub(super) buffers: &'a [Buffer],
    pub(super) compression: Compression,
    pub(super) body_len: u64,
    /// One entry of custom metadata.
    pub(super) entry: Option<(&'a str, &'a str)>,
}

/// The message without its body.
pub(super) fn encode(contents: &Contents<'_>) -> Bytes {
    let mut builder = FlatBufferBuilder::new();
    let metadata = contents.entry.map(|entry| metadata(&mut builder, entry));
    let compression = contents.compression.to_arrow().map(|codec| {
        let mut compression = BodyCompressionBuilder::new(&mut builder);
        compression.add_method(BodyCompressionMethod::BUFFER);
        compression.add_codec(codec);
        compression.finish()
    });
    let nodes = builder.create_vector(contents.nodes);
    let buffers = builder.create_vector(contents.buffers);
    let mut batch = RecordBatchBuilder::new(&mut builder);
    batch.add_length(contents.rows as i64);
    batch.add_nodes(nodes);
    batch.add_buffers(buffers);
    if let Some(compression) = compression {
        batch.add_compression(compression);
    }
    let batch = batch.finish().as_union_value();

    let mut message = MessageBuilder::new(&mut builder);
    message.add_version(MetadataVersion::V5);
    message.add_header_type(MessageHeader::RecordBatch);
    message.add_bodyLength(contents.body_len as i64);
    message.add_header(batch);
    if let Some(metadata) = metadata {
        message.add_custom_metadata(metadata);
    }
    let root = message.finish();
    builder.finish(root, None);
    frame(builder.finished_data())
}

type Entries<'f> = WIPOffset<Vector<'f, ForwardsUOffset<KeyValue<'f>>>>;

fn metadata<'f>(builder: &mut FlatBufferBuilder<'f>, (key, value): (&str, &str)) -> Entries<'f> {
    let key = builder.create_string(key);
    let value = builder.create_string(value);
    let mut entry = KeyValueBuilder::new(builder);
    entry.add_key(key);
    entry.add_value(value);
    let entry = entry.finish();
    builder.create_vector(&[entry])
}

fn frame(flatbuffer: &[u8]) -> Bytes {
    let padded = pad8(flatbuffer.len() as u64) as usize;
    let mut out = Vec::with_capacity(FRAME_LEN + padded);
    out.extend_from_slice(&CONTINUATION);
    out.extend_from_slice(&(padded as i32).to_le_bytes());
    out.extend_from_slice(flatbuffer);
    out.resize(FRAME_LEN + padded, 0);
    Bytes::from(out)
}
