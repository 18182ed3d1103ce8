//! Where everything in one block lies: its header, read once and kept.

use arrow_ipc::{Buffer, FieldNode, MessageHeader, root_as_message};

use super::info::{self, BlockInfo};
use super::message::{CONTINUATION, FRAME_LEN};
use super::{ColumnStats, Compression, Shape, pad8};
use crate::ids::Offset;

/// A block's header, checked: its buffers follow each other from the body's start to its end, each
/// padded to 8 bytes, and belong to the nodes of a [`Shape`].
#[derive(Debug, Clone, PartialEq)]
pub struct BlockLayout {
    pub(super) rows: u64,
    pub(super) compression: Compression,
    pub(super) nodes: Vec<NodeLayout>,
    pub(super) buffers: Vec<Buffer>,
    pub(super) body_len: u64,
    pub(super) info: BlockInfo,
}

/// One field's part of a body.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NodeLayout {
    pub(super) node: FieldNode,
    /// Its buffers among all.
    pub(super) buffers: std::ops::Range<usize>,
    /// Where they lie in the body, padding included.
    pub(super) bytes: std::ops::Range<u64>,
}

/// Why bytes are no header of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LayoutError(pub(super) &'static str);

impl BlockLayout {
    /// Reads a header as [`EncodedBlock::header`](super::EncodedBlock::header) has it.
    ///
    /// # Errors
    /// [`LayoutError`] for whatever is not exactly such a header with the columns of `shape`.
    pub fn parse(header: &[u8], shape: &Shape) -> Result<Self, LayoutError> {
        let message = unframe(header)
            .and_then(|bytes| root_as_message(bytes).ok())
            .ok_or(LayoutError("the header is no Arrow message"))?;
        let batch = Some(message)
            .filter(|message| message.header_type() == MessageHeader::RecordBatch)
            .and_then(|message| message.header_as_record_batch())
            .ok_or(LayoutError("the header is of no record batch"))?;
        let info = message
            .custom_metadata()
            .and_then(|entries| entries.iter().find(|entry| entry.key() == Some(info::KEY)))
            .and_then(|entry| BlockInfo::from_text(entry.value()?))
            .ok_or(LayoutError("the header has no tidelog.block"))?;
        let compression = match batch.compression() {
            None => Compression::None,
            Some(compression) => Compression::from_arrow(compression.codec())
                .ok_or(LayoutError("a codec that rows files do not use"))?,
        };
        let count = |number: i64| {
            u64::try_from(number).map_err(|_| LayoutError("the header has a negative number"))
        };
        let (rows, body_len) = (count(batch.length())?, count(message.bodyLength())?);
        let nodes: Vec<_> = batch.nodes().iter().flatten().copied().collect();
        let buffers: Vec<_> = batch.buffers().iter().flatten().copied().collect();
        Self::assemble(rows, compression, &nodes, buffers, info, shape)
            .filter(|layout| layout.body_len == body_len)
            .ok_or(LayoutError("the header contradicts itself or its schema"))
    }

    /// First offset covered; at or below the first row's.
    pub fn base_offset(&self) -> Offset {
        self.info.base_offset
    }

    /// Next offset after the last one covered.
    pub fn end_offset(&self) -> Offset {
        self.info.end_offset
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Of each top-level column, in the schema's order.
    pub fn stats(&self) -> &[ColumnStats] {
        &self.info.stats
    }

    /// How its buffers are compressed.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Bytes of the body: all columns' buffers.
    pub fn body_len(&self) -> u64 {
        self.body_len
    }

    /// Memory it takes, in bytes, nearly.
    pub(super) fn cost(&self) -> usize {
        size_of::<Self>()
            + size_of_val(&self.nodes[..])
            + size_of_val(&self.buffers[..])
            + size_of_val(&self.info.crcs[..])
            + self.info.stats.len() * (size_of::<ColumnStats>() + 64)
    }

    /// True if it has the nodes and buffers of `shape`.
    pub(super) fn fits(&self, shape: &Shape) -> bool {
        let wanted = shape.nodes().iter().map(|node| node.buffers);
        wanted.eq(self.nodes.iter().map(|node| node.buffers.len()))
            && self.info.stats.len() == shape.schema().fields().len()
    }

    /// `None` unless numbers, nodes and buffers agree with each other and with `shape`.
    pub(super) fn assemble(
        rows: u64,
        compression: Compression,
        nodes: &[FieldNode],
        buffers: Vec<Buffer>,
        info: BlockInfo,
        shape: &Shape,
    ) -> Option<Self> {
        let mut laid = Vec::with_capacity(shape.nodes().len());
        let (mut first, mut at) = (0, 0_u64);
        for (node, wanted) in nodes.iter().zip(shape.nodes()) {
            let own = first..first + wanted.buffers;
            let start = at;
            for buffer in buffers.get(own.clone())? {
                let len = u64::try_from(buffer.length()).ok()?;
                if u64::try_from(buffer.offset()).ok()? != at {
                    return None;
                }
                at = at.checked_add(len)?.checked_next_multiple_of(8)?;
            }
            first = own.end;
            laid.push(NodeLayout {
                node: *node,
                buffers: own,
                bytes: start..at,
            });
        }
        let columns = shape.schema().fields().len();
        let agrees = nodes.len() == shape.nodes().len()
            && first == buffers.len()
            && info.crcs.len() == nodes.len()
            && info.stats.len() == columns
            && 0 <= info.base_offset
            && info.base_offset < info.end_offset
            && shape
                .columns()
                .all(|(_, node)| nodes[node].length() == rows as i64);
        agrees.then_some(Self {
            rows,
            compression,
            nodes: laid,
            buffers,
            body_len: at,
            info,
        })
    }
}

/// The flatbuffer of a framed header.
pub(super) fn unframe(header: &[u8]) -> Option<&[u8]> {
    let (frame, flatbuffer) = header.split_at_checked(FRAME_LEN)?;
    let len = i32::from_le_bytes(frame[4..].try_into().ok()?);
    let whole = frame[..4] == CONTINUATION
        && usize::try_from(len) == Ok(flatbuffer.len())
        && pad8(flatbuffer.len() as u64) == flatbuffer.len() as u64;
    whole.then_some(flatbuffer)
}
