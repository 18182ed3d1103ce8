//! Writes one segment file, own or pack, a block at a time.
//!
//! At most one block of batches (held by reference, not copied) and one stage of bytes are in
//! memory, whatever the length of the file.

use std::io;
use std::mem;
use std::sync::Arc;

use arrow_ipc::Block;
use arrow_schema::Schema;
use tidelog_records::BatchHeader;

use super::layout::{self, BLOCK_BYTES_MAX, FORMAT_VERSION};
use super::{EpochStart, FileId, SegmentKind, SegmentMeta, StoredBatch, block, ipc};
use crate::directory::SEGMENTS;
use crate::disk::Disk;
use crate::ids::{Offset, PartitionId};
use crate::sink::Sink;

/// Why a segment could not be written. The file then has no final name.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("writing segment {file}: {source}")]
    Io { file: FileId, source: io::Error },
    #[error("batch at offset {offset} of {partition} does not follow {expected}")]
    OutOfOrder {
        partition: PartitionId,
        offset: Offset,
        expected: Offset,
    },
    #[error("batch at offset {offset} of {partition} contradicts its header")]
    BadBatch {
        partition: PartitionId,
        offset: Offset,
    },
    #[error("{partition} does not follow the partition before it in a pack file")]
    PartitionOrder { partition: PartitionId },
    #[error("pack segment {file} got a batch before its first partition")]
    NoPartition { file: FileId },
    #[error("segment {file} got no batch")]
    Empty { file: FileId },
}

/// A segment file in the making; dropping it unfinished removes what was written.
pub struct SegmentWriter {
    file: FileId,
    kind: SegmentKind,
    sink: Sink,
    schema: Schema,
    part: Option<Part>,
    /// Batches of the block being gathered, and their bytes.
    pending: Vec<StoredBatch>,
    pending_bytes: usize,
    footer: Vec<Block>,
    done: Vec<(PartitionId, SegmentMeta)>,
}

/// The partition being written.
struct Part {
    partition: PartitionId,
    meta: SegmentMeta,
}

impl SegmentWriter {
    /// Starts a file for one partition. `from` is the first offset the segment covers: at or below
    /// its first batch's base offset.
    pub fn own(
        disk: Arc<dyn Disk>,
        file: FileId,
        partition: PartitionId,
        from: Offset,
    ) -> Result<Self, WriteError> {
        let mut writer = Self::create(disk, file, SegmentKind::Own, Some(partition))?;
        writer.part = Some(Part::new(file, SegmentKind::Own, partition, from));
        Ok(writer)
    }

    /// Starts a file for many partitions; [`begin`](Self::begin) comes next.
    pub fn pack(disk: Arc<dyn Disk>, file: FileId) -> Result<Self, WriteError> {
        Self::create(disk, file, SegmentKind::Pack, None)
    }

    /// Ends the partition before and starts the next one of a pack; ids must ascend. `from` as for
    /// [`own`](Self::own). A partition that gets no batch is left out.
    pub fn begin(&mut self, partition: PartitionId, from: Offset) -> Result<(), WriteError> {
        let before = self.part.as_ref().map(|part| part.partition);
        if self.kind == SegmentKind::Own || before.is_some_and(|before| before >= partition) {
            return Err(WriteError::PartitionOrder { partition });
        }
        self.end_part()?;
        self.part = Some(Part::new(self.file, self.kind, partition, from));
        Ok(())
    }

    /// Adds a batch; offsets must ascend. Gaps are fine.
    pub fn push(&mut self, batch: StoredBatch) -> Result<(), WriteError> {
        self.part
            .as_ref()
            .ok_or(WriteError::NoPartition { file: self.file })?
            .check(&batch)?;
        if self.pending_bytes + batch.bytes.len() > BLOCK_BYTES_MAX {
            self.flush_block()?;
        }
        if let Some(part) = &mut self.part {
            part.count(&batch.header, batch.bytes.len());
        }
        self.pending_bytes += batch.bytes.len();
        self.pending.push(batch);
        Ok(())
    }

    /// Lets the partition being written cover offsets up to `end`, where that is behind its last
    /// batch: offsets whose batches are gone. Call it last; `finish` or `begin` follows.
    pub fn cover_to(&mut self, end: Offset) {
        if let Some(part) = &mut self.part {
            part.meta.end_offset = part.meta.end_offset.max(end);
        }
    }

    /// Writes the footer, makes the file durable, then its name. Answers one meta per partition
    /// that got a batch.
    pub fn finish(mut self) -> Result<Vec<(PartitionId, SegmentMeta)>, WriteError> {
        self.end_part()?;
        let file = self.file;
        if self.done.is_empty() {
            return Err(WriteError::Empty { file });
        }
        let fail = |source| WriteError::Io { file, source };
        self.sink
            .put(&ipc::footer(&self.schema, &self.footer))
            .map_err(fail)?;
        let (file_len, file_crc) = self.sink.finish().map_err(fail)?;
        for (_, meta) in &mut self.done {
            (meta.file_len, meta.file_crc) = (file_len, file_crc);
        }
        Ok(self.done)
    }

    fn create(
        disk: Arc<dyn Disk>,
        file: FileId,
        kind: SegmentKind,
        owner: Option<PartitionId>,
    ) -> Result<Self, WriteError> {
        let schema = layout::schema(kind, owner);
        let fail = |source| WriteError::Io { file, source };
        let mut sink = Sink::create(disk, SEGMENTS, file).map_err(fail)?;
        sink.put(ipc::HEAD).map_err(fail)?;
        sink.put(&ipc::schema_message(&schema)).map_err(fail)?;
        Ok(Self {
            file,
            kind,
            sink,
            schema,
            part: None,
            pending: Vec::new(),
            pending_bytes: 0,
            footer: Vec::new(),
            done: Vec::new(),
        })
    }

    fn end_part(&mut self) -> Result<(), WriteError> {
        self.flush_block()?;
        if let Some(part) = self.part.take().filter(|part| !part.meta.blocks.is_empty()) {
            self.done.push((part.partition, part.meta));
        }
        Ok(())
    }

    fn flush_block(&mut self) -> Result<(), WriteError> {
        let batches = mem::take(&mut self.pending);
        self.pending_bytes = 0;
        let Some(part) = self.part.as_mut().filter(|_| !batches.is_empty()) else {
            return Ok(());
        };
        let (meta, place) = block::write(&mut self.sink, self.kind, part.partition, &batches)
            .map_err(|source| WriteError::Io {
                file: self.file,
                source,
            })?;
        part.meta.blocks.push(meta);
        self.footer.push(place);
        Ok(())
    }
}

impl Part {
    fn new(file: FileId, kind: SegmentKind, partition: PartitionId, from: Offset) -> Self {
        let meta = SegmentMeta {
            file,
            format_version: FORMAT_VERSION,
            kind,
            base_offset: from,
            end_offset: from,
            batch_bytes: 0,
            record_count: 0,
            min_timestamp: -1,
            max_timestamp: -1,
            max_timestamp_offset: from,
            epochs: Vec::new(),
            file_len: 0,
            file_crc: 0,
            blocks: Vec::new(),
        };
        Self { partition, meta }
    }

    /// The batch must follow what is there and be what its header says.
    fn check(&self, batch: &StoredBatch) -> Result<(), WriteError> {
        let header = &batch.header;
        let (partition, offset) = (self.partition, header.base_offset);
        if offset < self.meta.end_offset {
            let expected = self.meta.end_offset;
            return Err(WriteError::OutOfOrder {
                partition,
                offset,
                expected,
            });
        }
        let whole = header.total_len() == batch.bytes.len();
        let delta = i64::from(header.last_offset_delta);
        // The next offset, delta + 1 further, must be an offset too.
        if !whole || offset < 0 || delta < 0 || offset.checked_add(delta + 1).is_none() {
            return Err(WriteError::BadBatch { partition, offset });
        }
        Ok(())
    }

    fn count(&mut self, header: &BatchHeader, bytes: usize) {
        let meta = &mut self.meta;
        if meta.batch_bytes == 0 || header.max_timestamp > meta.max_timestamp {
            meta.max_timestamp = header.max_timestamp;
            meta.max_timestamp_offset = header.base_offset;
        }
        let first = first_timestamp(header);
        if first >= 0 && (meta.min_timestamp < 0 || first < meta.min_timestamp) {
            meta.min_timestamp = first;
        }
        let epoch = header.partition_leader_epoch;
        if meta.epochs.last().is_none_or(|last| last.epoch != epoch) {
            meta.epochs.push(EpochStart {
                epoch,
                start_offset: header.base_offset,
            });
        }
        meta.batch_bytes += bytes as u64;
        meta.record_count += header.record_count.max(0) as u64;
        meta.end_offset = header.last_offset() + 1;
    }
}

/// Under LogAppendTime, and where compaction stamped a delete horizon, only the max timestamp is one
/// of a record.
fn first_timestamp(header: &BatchHeader) -> i64 {
    if header.is_log_append_time() || header.delete_horizon().is_some() {
        header.max_timestamp
    } else {
        header.base_timestamp
    }
}
