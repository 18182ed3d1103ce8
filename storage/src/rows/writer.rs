//! Writes one rows file, a block at a time; holds none.

use std::io;
use std::sync::Arc;

use arrow_ipc::Block;
use arrow_schema::Schema;

use super::{EncodedBlock, FORMAT_VERSION, MIN_READER, RowsBlock, RowsMeta, Shape};
use crate::directory::SEGMENTS;
use crate::disk::Disk;
use crate::ids::{Offset, PartitionId};
use crate::segment::{FileId, ipc};
use crate::sink::Sink;

/// Why a rows file could not be written. It then has no final name.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("writing rows file {file}: {source}")]
    Io { file: FileId, source: io::Error },
    #[error("a block from offset {offset} of {partition} does not follow {expected}")]
    OutOfOrder {
        partition: PartitionId,
        offset: Offset,
        expected: Offset,
    },
    #[error("a block from offset {offset} of {partition} has other columns than its file")]
    OtherSchema {
        partition: PartitionId,
        offset: Offset,
    },
    #[error("rows file {file} covers no offset")]
    Empty { file: FileId },
}

/// A rows file in the making; dropping it unfinished removes what was written.
pub struct RowsWriter {
    partition: PartitionId,
    shape: Arc<Shape>,
    schema: Schema,
    sink: Sink,
    meta: RowsMeta,
    footer: Vec<Block>,
}

impl RowsWriter {
    /// Starts a file. `from` is the first offset it covers: at or below its first block's.
    ///
    /// # Errors
    /// [`WriteError::Io`].
    pub fn create(
        disk: Arc<dyn Disk>,
        file: FileId,
        partition: PartitionId,
        schema_id: i32,
        shape: Arc<Shape>,
        from: Offset,
    ) -> Result<Self, WriteError> {
        let fail = |source| WriteError::Io { file, source };
        let schema = file_schema(&shape, partition, schema_id);
        let mut sink = Sink::create(disk, SEGMENTS, file).map_err(fail)?;
        sink.put(ipc::HEAD).map_err(fail)?;
        sink.put(&ipc::schema_message(&schema)).map_err(fail)?;
        let meta = RowsMeta {
            file,
            format_version: FORMAT_VERSION,
            schema_id,
            base_offset: from,
            end_offset: from,
            row_count: 0,
            column_bytes: 0,
            file_len: 0,
            file_crc: 0,
            blocks: Vec::new(),
        };
        Ok(Self {
            partition,
            shape,
            schema,
            sink,
            meta,
            footer: Vec::new(),
        })
    }

    /// Adds a block; the ranges that blocks cover must ascend. Gaps are covered without a row.
    ///
    /// # Errors
    /// [`WriteError`]; the file is then of no more use, except after `OutOfOrder` and
    /// `OtherSchema`, which change nothing.
    pub fn push(&mut self, block: &EncodedBlock) -> Result<(), WriteError> {
        let (partition, offset) = (self.partition, block.layout.base_offset());
        if offset < self.meta.end_offset {
            let expected = self.meta.end_offset;
            return Err(WriteError::OutOfOrder {
                partition,
                offset,
                expected,
            });
        }
        if !block.layout.fits(&self.shape) {
            return Err(WriteError::OtherSchema { partition, offset });
        }
        let pos = self.sink.pos();
        self.put(&block.header)?;
        self.put(&block.body)?;
        self.count(block, pos);
        Ok(())
    }

    /// Bytes of the file so far.
    pub fn file_len(&self) -> u64 {
        self.sink.pos()
    }

    /// Writes the footer, makes the file durable, then its name. The file covers offsets up to
    /// `end_offset`, or its last block's end if that is later; without a block it says that they have
    /// no row.
    ///
    /// # Errors
    /// [`WriteError::Io`], [`WriteError::Empty`].
    pub fn finish(mut self, end_offset: Offset) -> Result<RowsMeta, WriteError> {
        let file = self.meta.file;
        self.meta.end_offset = self.meta.end_offset.max(end_offset);
        if self.meta.end_offset <= self.meta.base_offset {
            return Err(WriteError::Empty { file });
        }
        self.put(&ipc::footer(&self.schema, &self.footer))?;
        let fail = |source| WriteError::Io { file, source };
        (self.meta.file_len, self.meta.file_crc) = self.sink.finish().map_err(fail)?;
        Ok(self.meta)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let file = self.meta.file;
        self.sink
            .put(bytes)
            .map_err(|source| WriteError::Io { file, source })
    }

    fn count(&mut self, block: &EncodedBlock, pos: u64) {
        let layout = &block.layout;
        let meta = &mut self.meta;
        let header_len = block.header.len();
        meta.end_offset = layout.end_offset();
        meta.row_count += layout.rows();
        meta.column_bytes += layout.body_len();
        meta.blocks.push(RowsBlock {
            base_offset: layout.base_offset(),
            end_offset: layout.end_offset(),
            rows: layout.rows(),
            pos,
            header_len: header_len as u32,
            header_crc: crc32c::crc32c(&block.header),
            body_len: layout.body_len(),
        });
        let (pos, body_len) = (pos as i64, layout.body_len() as i64);
        self.footer
            .push(Block::new(pos, header_len as i32, body_len));
    }
}

/// The table's schema, and whose rows these are.
fn file_schema(shape: &Shape, partition: PartitionId, schema_id: i32) -> Schema {
    let mut metadata = shape.schema().metadata().clone();
    let entries = [
        ("tidelog.kind", "rows".to_owned()),
        ("tidelog.format_version", FORMAT_VERSION.to_string()),
        ("tidelog.min_reader", MIN_READER.to_string()),
        ("tidelog.topic_id", partition.topic.to_string()),
        ("tidelog.partition", partition.index.to_string()),
        ("tidelog.schema_id", schema_id.to_string()),
    ];
    metadata.extend(entries.map(|(key, value)| (key.to_owned(), value)));
    Schema::new_with_metadata(shape.schema().fields().clone(), metadata)
}
