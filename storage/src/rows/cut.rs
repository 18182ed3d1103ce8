//! Cuts chosen columns out of a block: a new header, and ranges of the bytes as they lie.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_buffer::Buffer as ArrowBuffer;
use arrow_ipc::reader::read_record_batch;
use arrow_ipc::{Buffer, MetadataVersion, root_as_message};
use bytes::Bytes;

use super::layout::{BlockLayout, LayoutError, unframe};
use super::message::{self, Contents};
use super::{Compression, EncodeError, EncodedBlock, OFFSET_COLUMN, Projection, Shape};
use crate::disk::DiskFile;
use crate::ids::Offset;

/// One encapsulated Arrow record batch message: `header`, then the pieces of `body` in order.
#[derive(Debug, Clone)]
pub struct ProjectedMessage {
    /// First offset it answers for.
    pub first_offset: Offset,
    /// Next offset after the last one it answers for.
    pub end_offset: Offset,
    pub rows: u64,
    /// Framed. Of no bytes, as is the body, when no column was asked for.
    pub header: Bytes,
    pub body: Vec<Piece>,
    pub body_len: u64,
    /// crc32c of each projected column's bytes in the body, in the schema's order.
    pub checksums: Vec<u32>,
}

/// Bytes in memory or in a file.
#[derive(Clone)]
pub enum Piece {
    Memory(Bytes),
    File {
        file: Arc<dyn DiskFile>,
        pos: u64,
        len: u64,
    },
}

/// Why a block's columns cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

impl ProjectedMessage {
    /// What answers for `offsets` without a row.
    pub fn without_rows(offsets: Range<Offset>) -> Self {
        Self {
            first_offset: offsets.start,
            end_offset: offsets.end,
            rows: 0,
            header: Bytes::new(),
            body: Vec::new(),
            body_len: 0,
            checksums: Vec::new(),
        }
    }

    /// Rows with the columns of `projection`, all that are wanted at `offsets`, encoded anew.
    ///
    /// # Errors
    /// [`ProjectError`], for rows of another schema.
    pub fn of_rows(
        projection: &Projection,
        rows: &RecordBatch,
        offsets: Range<Offset>,
        compression: Compression,
    ) -> Result<Self, ProjectError> {
        if rows.num_rows() == 0 || projection.is_empty() {
            return Ok(Self {
                rows: rows.num_rows() as u64,
                ..Self::without_rows(offsets)
            });
        }
        let shape = Shape::shared(Arc::clone(projection.schema()))
            .map_err(|_| LayoutError("a projected type that rows files do not hold"))?;
        let Range { start, end } = offsets;
        let block = EncodedBlock::encode_unchecked(&shape, rows, start, end, compression)?;
        block.project(&Projection::all(&shape), start)
    }

    /// The whole message, read.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut out = self.header.to_vec();
        for piece in &self.body {
            piece.read_into(&mut out)?;
        }
        Ok(out)
    }

    /// Bytes of header and body.
    pub fn len(&self) -> u64 {
        self.header.len() as u64 + self.body_len
    }

    /// True when no column was asked for.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Piece {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { len, .. } => *len,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends its bytes to `out`.
    pub fn read_into(&self, out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Memory(bytes) => out.extend_from_slice(bytes),
            Self::File { file, pos, len } => {
                let start = out.len();
                let len = usize::try_from(*len).map_err(|_| io::ErrorKind::FileTooLarge)?;
                out.resize(start + len, 0);
                file.read_exact_at(&mut out[start..], *pos)?;
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Memory(bytes) => write!(f, "Memory({} bytes)", bytes.len()),
            Self::File { pos, len, .. } => write!(f, "File({pos}, {len} bytes)"),
        }
    }
}

impl EncodedBlock {
    /// The columns of `projection` for the rows at or after `from`.
    ///
    /// # Errors
    /// [`ProjectError::Layout`] for a projection of another schema; [`ProjectError::Encode`] only
    /// when `from` lies inside the block.
    pub fn project(
        &self,
        projection: &Projection,
        from: Offset,
    ) -> Result<ProjectedMessage, ProjectError> {
        let place = |range: Range<u64>| {
            Piece::Memory(self.body.slice(range.start as usize..range.end as usize))
        };
        project(&self.layout, projection, from, place)
    }

    /// The columns of `projection`, decoded.
    ///
    /// # Errors
    /// As [`project`](Self::project).
    pub fn decode(&self, projection: &Projection) -> Result<RecordBatch, ProjectError> {
        let whole = self.project(projection, self.layout.base_offset())?;
        decode(&self.layout, projection, &whole)
    }
}

/// Projects a block whose body's bytes `place` finds.
pub(super) fn project(
    layout: &BlockLayout,
    projection: &Projection,
    from: Offset,
    place: impl Fn(Range<u64>) -> Piece,
) -> Result<ProjectedMessage, ProjectError> {
    if !layout.fits(projection.shape()) {
        return Err(LayoutError("the block has other columns than its schema").into());
    }
    if from <= layout.base_offset() {
        return Ok(cut(layout, projection, place));
    }
    project_inside(layout, projection, from, place)
}

/// The message of all rows, and no byte of the body touched.
fn cut(
    layout: &BlockLayout,
    projection: &Projection,
    place: impl Fn(Range<u64>) -> Piece,
) -> ProjectedMessage {
    let mut nodes = Vec::new();
    let mut buffers = Vec::new();
    let mut ranges: Vec<Range<u64>> = Vec::new();
    let mut body_len = 0;
    for node in projection.columns().iter().flatten() {
        let node = &layout.nodes[*node];
        let moved = body_len as i64 - node.bytes.start as i64;
        let own = layout.buffers[node.buffers.clone()].iter();
        buffers.extend(own.map(|buffer| Buffer::new(buffer.offset() + moved, buffer.length())));
        nodes.push(node.node);
        body_len += node.bytes.end - node.bytes.start;
        match ranges.last_mut() {
            Some(last) if last.end == node.bytes.start => last.end = node.bytes.end,
            _ => ranges.push(node.bytes.clone()),
        }
    }
    let header = if projection.is_empty() {
        Bytes::new()
    } else {
        message::encode(&Contents {
            rows: layout.rows,
            nodes: &nodes,
            buffers: &buffers,
            compression: layout.compression,
            body_len,
            entry: None,
        })
    };
    let columns = projection.columns().iter();
    ProjectedMessage {
        first_offset: layout.base_offset(),
        end_offset: layout.end_offset(),
        rows: layout.rows,
        header,
        body: ranges
            .into_iter()
            .filter(|range| !range.is_empty())
            .map(place)
            .collect(),
        body_len,
        checksums: columns.map(|nodes| checksum(layout, nodes)).collect(),
    }
}

/// The crc of nodes laid side by side, from the crcs of each.
fn checksum(layout: &BlockLayout, nodes: &[usize]) -> u32 {
    let mut parts = nodes.iter().map(|node| {
        let bytes = &layout.nodes[*node].bytes;
        (layout.info.crcs[*node], (bytes.end - bytes.start) as usize)
    });
    let (first, _) = parts.next().unwrap_or_default();
    parts.fold(first, |crc, (next, len)| {
        crc32c::crc32c_combine(crc, next, len)
    })
}

/// Rows from `from` on: compressed buffers cannot be cut by row, so the wanted columns are decoded
/// and encoded again.
fn project_inside(
    layout: &BlockLayout,
    projection: &Projection,
    from: Offset,
    place: impl Fn(Range<u64>) -> Piece,
) -> Result<ProjectedMessage, ProjectError> {
    let (only_offsets, _) = Projection::select(projection.shape(), &[OFFSET_COLUMN]);
    let offsets = decode(layout, &only_offsets, &cut(layout, &only_offsets, &place))?;
    let offsets = offsets
        .columns()
        .first()
        .and_then(|column| column.as_primitive_opt::<Int64Type>())
        .ok_or(EncodeError::NoOffsets)?;
    let skipped = offsets.values().partition_point(|offset| *offset < from);
    let rows = offsets.len() - skipped;
    let range = from.min(layout.end_offset())..layout.end_offset();
    if rows == 0 {
        return Ok(ProjectedMessage::without_rows(range));
    }
    let columns = decode(layout, projection, &cut(layout, projection, &place))?;
    let columns = columns.slice(skipped, rows);
    ProjectedMessage::of_rows(projection, &columns, range, layout.compression)
}

/// The rows of `message`, which `projection` cut whole; its bytes are checked against their crcs
/// before anything is made of them.
pub(super) fn decode(
    layout: &BlockLayout,
    projection: &Projection,
    message: &ProjectedMessage,
) -> Result<RecordBatch, ProjectError> {
    let mut body = Vec::new();
    for piece in &message.body {
        piece.read_into(&mut body)?;
    }
    let mut rest = &body[..];
    for (nodes, crc) in projection.columns().iter().zip(&message.checksums) {
        let bytes = nodes.iter().map(|node| &layout.nodes[*node].bytes);
        let len: u64 = bytes.map(|bytes| bytes.end - bytes.start).sum();
        let (column, after) = rest
            .split_at_checked(len as usize)
            .ok_or(LayoutError("a column is cut short"))?;
        if crc32c::crc32c(column) != *crc {
            return Err(LayoutError("a column does not match its crc").into());
        }
        rest = after;
    }
    if projection.is_empty() {
        let options =
            arrow_array::RecordBatchOptions::new().with_row_count(Some(layout.rows as usize));
        let schema = Arc::clone(projection.schema());
        return RecordBatch::try_new_with_options(schema, Vec::new(), &options)
            .map_err(|error| EncodeError::Arrow(error).into());
    }
    let batch = unframe(&message.header)
        .and_then(|flatbuffer| root_as_message(flatbuffer).ok())
        .and_then(|message| message.header_as_record_batch())
        .ok_or(LayoutError("the header is of no record batch"))?;
    read_record_batch(
        &ArrowBuffer::from_vec(body),
        batch,
        Arc::clone(projection.schema()),
        &Default::default(),
        None,
        &MetadataVersion::V5,
    )
    .map_err(|error| EncodeError::Arrow(error).into())
}
