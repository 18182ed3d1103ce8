//! Encodes rows as one block: header and body, ready for a file or to be projected from memory.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, RecordBatch};
use arrow_ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions};
use arrow_ipc::{Buffer, CompressionType, FieldNode, MetadataVersion, root_as_message};
use arrow_schema::ArrowError;
use bytes::Bytes;

use super::info::{self, BlockInfo};
use super::layout::BlockLayout;
use super::message::{self, Contents};
use super::{ColumnStats, OFFSET_COLUMN, Shape, pad8};
use crate::ids::Offset;

/// Compression of each buffer of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    None,
    Lz4,
    #[default]
    Zstd,
}

impl Compression {
    /// By the name topic configs use.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "none" => Self::None,
            "lz4" => Self::Lz4,
            "zstd" => Self::Zstd,
            _ => return None,
        })
    }

    pub(super) fn from_arrow(codec: CompressionType) -> Option<Self> {
        Some(match codec {
            CompressionType::LZ4_FRAME => Self::Lz4,
            CompressionType::ZSTD => Self::Zstd,
            _ => return None,
        })
    }

    pub(super) fn to_arrow(self) -> Option<CompressionType> {
        match self {
            Self::None => None,
            Self::Lz4 => Some(CompressionType::LZ4_FRAME),
            Self::Zstd => Some(CompressionType::ZSTD),
        }
    }
}

/// Why rows are no block.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error("a block needs a row")]
    Empty,
    #[error("the rows have another schema than the block")]
    Schema,
    /// Not `Int64` without nulls.
    #[error("there is no column _offset of non-null longs")]
    NoOffsets,
    #[error("offset {offset} is out of order or outside {base_offset}..{end_offset}")]
    Offsets {
        offset: Offset,
        base_offset: Offset,
        end_offset: Offset,
    },
    #[error("encoding columns: {0}")]
    Arrow(#[from] ArrowError),
}

/// A block in memory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EncodedBlock {
    pub(super) layout: Arc<BlockLayout>,
    pub(super) header: Bytes,
    pub(super) body: Bytes,
}

impl EncodedBlock {
    /// Encodes `rows`, which are all there are in `base_offset..end_offset` and have the schema of
    /// `shape` (metadata aside).
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn encode(
        shape: &Shape,
        rows: &RecordBatch,
        base_offset: Offset,
        end_offset: Offset,
        compression: Compression,
    ) -> Result<Self, EncodeError> {
        check_offsets(rows, base_offset, end_offset)?;
        Self::encode_unchecked(shape, rows, base_offset, end_offset, compression)
    }

    /// Encodes rows in any order, for an answer: to be projected from offset 0 on, never to be
    /// stored.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn encode_unordered(
        shape: &Shape,
        rows: &RecordBatch,
        compression: Compression,
    ) -> Result<Self, EncodeError> {
        Self::encode_unchecked(shape, rows, 0, Offset::MAX, compression)
    }

    /// As [`encode`](Self::encode) for rows whose offsets are known to be right, or left out.
    pub(super) fn encode_unchecked(
        shape: &Shape,
        rows: &RecordBatch,
        base_offset: Offset,
        end_offset: Offset,
        compression: Compression,
    ) -> Result<Self, EncodeError> {
        if rows.num_rows() == 0 {
            return Err(EncodeError::Empty);
        }
        if rows.schema_ref().fields() != shape.schema().fields() {
            return Err(EncodeError::Schema);
        }
        let encoded = Columns::encode(shape, rows, compression)?;
        let stats = rows.columns().iter().map(|column| ColumnStats::of(column));
        let info = BlockInfo {
            base_offset,
            end_offset,
            crcs: encoded.crcs,
            stats: stats.collect(),
        };
        let text = info.to_text();
        let header = message::encode(&Contents {
            rows: rows.num_rows() as u64,
            nodes: &encoded.nodes,
            buffers: &encoded.buffers,
            compression,
            body_len: encoded.body.len() as u64,
            entry: Some((info::KEY, &text)),
        });
        let count = rows.num_rows() as u64;
        let (nodes, buffers) = (&encoded.nodes, encoded.buffers);
        let layout = BlockLayout::assemble(count, compression, nodes, buffers, info, shape)
            .ok_or(EncodeError::Schema)?;
        Ok(Self {
            layout: Arc::new(layout),
            header,
            body: Bytes::from(encoded.body),
        })
    }

    pub fn layout(&self) -> &Arc<BlockLayout> {
        &self.layout
    }

    /// The framed message in front of the body.
    pub fn header(&self) -> &Bytes {
        &self.header
    }

    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Bytes it holds in memory, nearly.
    pub fn size_bytes(&self) -> usize {
        self.header.len() + self.body.len() + self.layout.cost()
    }
}

/// Columns as the body of a message.
struct Columns {
    nodes: Vec<FieldNode>,
    buffers: Vec<Buffer>,
    /// Of each node's buffers, padding included.
    crcs: Vec<u32>,
    body: Vec<u8>,
}

impl Columns {
    fn encode(
        shape: &Shape,
        rows: &RecordBatch,
        compression: Compression,
    ) -> Result<Self, ArrowError> {
        let options = IpcWriteOptions::try_new(8, false, MetadataVersion::V5)?
            .try_with_compression(compression.to_arrow())?;
        let (_, encoded) = IpcDataGenerator::default().encode(
            rows,
            &mut DictionaryTracker::new(false),
            &options,
            &mut Default::default(),
        )?;
        Self::repack(shape, &encoded.ipc_message, &encoded.arrow_data).ok_or_else(|| {
            ArrowError::IpcError("the message is not as it was asked for".to_owned())
        })
    }

    /// Lays the library's buffers side by side, without the validity of nodes that have no null:
    /// all its bits would be set, and readers take none for that.
    fn repack(shape: &Shape, message: &[u8], encoded: &[u8]) -> Option<Self> {
        let batch = root_as_message(message).ok()?.header_as_record_batch()?;
        let nodes: Vec<_> = batch.nodes()?.iter().copied().collect();
        let mut from = batch.buffers()?.iter();
        let mut out = Self {
            nodes,
            buffers: Vec::with_capacity(batch.buffers()?.len()),
            crcs: Vec::with_capacity(shape.nodes().len()),
            body: Vec::with_capacity(encoded.len()),
        };
        for (index, wanted) in shape.nodes().iter().enumerate() {
            let start = out.body.len();
            for place in 0..wanted.buffers {
                let buffer = from.next()?;
                let needless = place == 0 && out.nodes.get(index)?.null_count() == 0;
                let (pos, len) = (buffer.offset(), buffer.length());
                let range = usize::try_from(pos).ok()?..usize::try_from(pos + len).ok()?;
                let bytes = encoded.get(range).filter(|_| !needless).unwrap_or_default();
                let at = out.body.len();
                out.buffers.push(Buffer::new(at as i64, bytes.len() as i64));
                out.body.extend_from_slice(bytes);
                out.body.resize(pad8(out.body.len() as u64) as usize, 0);
            }
            out.crcs.push(crc32c::crc32c(&out.body[start..]));
        }
        Some(out)
    }
}

fn check_offsets(rows: &RecordBatch, base: Offset, end: Offset) -> Result<(), EncodeError> {
    let offsets = rows
        .column_by_name(OFFSET_COLUMN)
        .and_then(|column| column.as_primitive_opt::<Int64Type>())
        .filter(|offsets| offsets.null_count() == 0)
        .ok_or(EncodeError::NoOffsets)?;
    let mut floor = base.max(0);
    for &offset in offsets.values() {
        if offset < floor || offset >= end {
            return Err(EncodeError::Offsets {
                offset,
                base_offset: base,
                end_offset: end,
            });
        }
        // Rows of one change share their offset.
        floor = offset;
    }
    Ok(())
}
