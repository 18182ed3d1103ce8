//! Reads one partition's part of a segment file, lazily and without its Arrow footer.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::index::{Row, RowIndex};
use super::named::{NamedFile, ReadError, read_vec};
use super::{BlockMeta, SegmentCache, SegmentMeta, StoredBatch, layout};
use crate::disk::DiskFile;
use crate::ids::{Offset, PartitionId, Timestamp};

/// Whole batches side by side in a file.
#[derive(Clone)]
pub struct FileRange {
    pub file: Arc<dyn DiskFile>,
    /// Position and length in bytes.
    pub pos: u64,
    pub len: u64,
    /// Base offset of the first batch.
    pub base_offset: Offset,
    /// Next offset after the last batch in the range.
    pub next_offset: Offset,
}

impl FileRange {
    /// Reads all of it. Nothing is checked here: each batch carries its producer's crc.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        read_vec(&*self.file, self.pos, self.len)
    }
}

/// One partition's part of one segment file.
#[derive(Clone)]
pub struct SegmentReader {
    cache: Arc<SegmentCache>,
    partition: PartitionId,
    meta: Arc<SegmentMeta>,
}

impl SegmentReader {
    /// Touches no file yet.
    pub fn new(cache: Arc<SegmentCache>, partition: PartitionId, meta: Arc<SegmentMeta>) -> Self {
        Self {
            cache,
            partition,
            meta,
        }
    }

    pub fn meta(&self) -> &Arc<SegmentMeta> {
        &self.meta
    }

    /// Whole batches from the one that holds the first of the offsets `wanted` (or, in a gap, the
    /// next one) on, those that end within them: at most `max_bytes` and not past their block. If the
    /// first batch alone is larger, the answer is that batch when `at_least_one` is set, else a range
    /// of no bytes; so it is if the first batch ends behind `wanted`. `None`: no batch from there on.
    pub fn locate(
        &self,
        wanted: Range<Offset>,
        max_bytes: u64,
        at_least_one: bool,
    ) -> Result<Option<FileRange>, ReadError> {
        let Some(block) = self.blocks_from(wanted.start).first() else {
            return Ok(None);
        };
        let index = self.index(block)?;
        let from = index.find(wanted.start);
        let Some(first) = index.rows().get(from) else {
            return Ok(None);
        };
        let rows = &index.rows()[from..index.find(wanted.end).max(from)];
        let fitting = rows.partition_point(|row| row.end - first.start <= max_bytes);
        let count = if at_least_one {
            fitting.max(1).min(rows.len())
        } else {
            fitting
        };
        self.range(block, &rows[..count], first).map(Some)
    }

    /// The first batch at or after `from` that may hold a record of timestamp `timestamp` or later:
    /// its max timestamp reaches it.
    pub fn find_timestamp(
        &self,
        timestamp: Timestamp,
        from: Offset,
    ) -> Result<Option<FileRange>, ReadError> {
        let late = |block: &&BlockMeta| block.max_timestamp >= timestamp;
        for block in self.blocks_from(from).iter().filter(late) {
            let index = self.index(block)?;
            let rows = &index.rows()[index.find(from)..];
            if let Some(row) = rows.iter().find(|row| row.max_timestamp >= timestamp) {
                return self.range(block, std::slice::from_ref(row), row).map(Some);
            }
        }
        Ok(None)
    }

    /// All batches from the one that holds `from`, verbatim, each block checked against its crc.
    /// Holds one block in memory. Ends after the first error.
    pub fn batches(&self, from: Offset) -> Batches<'_> {
        let blocks = self.blocks_from(from).iter();
        Batches {
            reader: self,
            blocks,
            block: None,
            from,
            failed: false,
        }
    }

    /// Reads everything: every block of this partition, then the crc of the whole file.
    pub fn verify(&self) -> Result<(), ReadError> {
        self.batches(self.meta.base_offset)
            .try_for_each(|batch| batch.map(drop))?;
        self.named().verify(self.meta.base_offset)
    }

    /// The blocks that end after `offset`.
    fn blocks_from(&self, offset: Offset) -> &[BlockMeta] {
        let blocks = &self.meta.blocks;
        &blocks[blocks.partition_point(|block| block.end_offset <= offset)..]
    }

    fn named(&self) -> NamedFile<'_> {
        NamedFile {
            cache: &self.cache,
            partition: self.partition,
            file: self.meta.file,
            version: self.meta.format_version,
            newest_version: layout::FORMAT_VERSION,
            len: self.meta.file_len,
            crc: self.meta.file_crc,
        }
    }

    fn index(&self, block: &BlockMeta) -> Result<Arc<RowIndex>, ReadError> {
        if let Some(index) = self.cache.index(self.meta.file, block) {
            return Ok(index);
        }
        let index = Arc::new(self.load_index(block)?);
        self.cache.keep_index(self.meta.file, block, &index);
        Ok(index)
    }

    fn load_index(&self, block: &BlockMeta) -> Result<RowIndex, ReadError> {
        // Checked here, once, for every range that the index leads to.
        self.check_inside(block, block.data_pos, block.data_len)?;
        let bytes = self.read(block, block.index_pos, block.index_len)?;
        RowIndex::parse(&bytes, block).map_err(|what| self.named().corrupt(block.base_offset, what))
    }

    /// Reads bytes that the manifest says belong to `block`; nothing is allocated for what the file
    /// does not have.
    fn read(&self, block: &BlockMeta, pos: u64, len: u64) -> Result<Vec<u8>, ReadError> {
        self.check_inside(block, pos, len)?;
        let named = self.named();
        let file = named.open(block.base_offset)?;
        read_vec(&*file, pos, len).map_err(|source| named.io(source))
    }

    fn check_inside(&self, block: &BlockMeta, pos: u64, len: u64) -> Result<(), ReadError> {
        match pos.checked_add(len) {
            Some(end) if end <= self.meta.file_len => Ok(()),
            _ => Err(self
                .named()
                .corrupt(block.base_offset, "a block lies outside the file")),
        }
    }

    /// The file range of `rows`, which begin with `first` or are none.
    fn range(&self, block: &BlockMeta, rows: &[Row], first: &Row) -> Result<FileRange, ReadError> {
        let file = self.named().cached()?;
        let end = rows.last().map_or(first.start, |row| row.end);
        let next_offset = rows
            .last()
            .map_or(first.base_offset, |row| row.last_offset + 1);
        let (pos, len) = (block.data_pos + first.start, end - first.start);
        Ok(FileRange {
            file,
            pos,
            len,
            base_offset: first.base_offset,
            next_offset,
        })
    }
}

/// Iterator of [`SegmentReader::batches`].
pub struct Batches<'a> {
    reader: &'a SegmentReader,
    blocks: std::slice::Iter<'a, BlockMeta>,
    block: Option<LoadedBlock>,
    from: Offset,
    failed: bool,
}

struct LoadedBlock {
    index: RowIndex,
    next_row: usize,
    data: Bytes,
}

impl Iterator for Batches<'_> {
    type Item = Result<StoredBatch, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let item = self.advance().transpose();
        self.failed = matches!(item, Some(Err(_)));
        item
    }
}

impl Batches<'_> {
    fn advance(&mut self) -> Result<Option<StoredBatch>, ReadError> {
        loop {
            if let Some(loaded) = &mut self.block
                && let Some(row) = loaded.index.rows().get(loaded.next_row)
            {
                loaded.next_row += 1;
                let bytes = loaded.data.slice(row.start as usize..row.end as usize);
                return self.reader.check_batch(row, bytes).map(Some);
            }
            // Let the last block go before the next one is read: one in memory at a time.
            self.block = None;
            let Some(block) = self.blocks.next() else {
                return Ok(None);
            };
            self.block = Some(self.reader.load(block, self.from)?);
        }
    }
}

impl SegmentReader {
    fn load(&self, block: &BlockMeta, from: Offset) -> Result<LoadedBlock, ReadError> {
        let index = self.load_index(block)?;
        let data = Bytes::from(self.read(block, block.data_pos, block.data_len)?);
        if crc32c::crc32c(&data) != block.data_crc {
            return Err(self
                .named()
                .corrupt(block.base_offset, "the batches do not match their crc"));
        }
        let next_row = index.find(from);
        Ok(LoadedBlock {
            index,
            next_row,
            data,
        })
    }

    /// The batch in `bytes` is the one the row index promises.
    fn check_batch(&self, row: &Row, bytes: Bytes) -> Result<StoredBatch, ReadError> {
        StoredBatch::parse(bytes)
            .filter(|batch| batch.header.base_offset == row.base_offset)
            .filter(|batch| {
                i64::from(batch.header.last_offset_delta) == row.last_offset - row.base_offset
            })
            .ok_or_else(|| {
                self.named()
                    .corrupt(row.base_offset, "the batch contradicts its row")
            })
    }
}
