//! Reads one rows file, lazily and without its Arrow footer.

use std::io::ErrorKind;
use std::sync::Arc;

use arrow_array::RecordBatch;
use parking_lot::Mutex;

use super::cut::{self, Piece, ProjectError, ProjectedMessage};
use super::layout::BlockLayout;
use super::{FORMAT_VERSION, Projection, RowsBlock, RowsMeta, Shape};
use crate::ids::{Offset, PartitionId};
use crate::segment::lru::Lru;
use crate::segment::named::NamedFile;
use crate::segment::{FileId, ReadError, SegmentCache};

/// Headers of blocks shared by all readers, bounded; files are those of the segments' cache. One
/// per broker.
pub struct RowsCache {
    files: Arc<SegmentCache>,
    /// By file and position in it.
    layouts: Mutex<Lru<(FileId, u64), Arc<BlockLayout>>>,
}

impl RowsCache {
    /// Keeps at most `layout_bytes_max` bytes of headers.
    pub fn new(files: Arc<SegmentCache>, layout_bytes_max: usize) -> Self {
        let layouts = Mutex::new(Lru::new(layout_bytes_max));
        Self { files, layouts }
    }

    /// Drops what is kept of a file that is to be removed.
    pub fn forget(&self, file: FileId) {
        self.files.forget(file);
        self.layouts
            .lock()
            .remove_where(|(owner, _)| *owner == file);
    }
}

/// One rows file of one partition.
#[derive(Clone)]
pub struct RowsReader {
    cache: Arc<RowsCache>,
    partition: PartitionId,
    meta: Arc<RowsMeta>,
}

impl RowsReader {
    /// Touches no file yet.
    pub fn new(cache: Arc<RowsCache>, partition: PartitionId, meta: Arc<RowsMeta>) -> Self {
        Self {
            cache,
            partition,
            meta,
        }
    }

    pub fn meta(&self) -> &Arc<RowsMeta> {
        &self.meta
    }

    /// The blocks that end after `offset`, in order. Offsets between them, and up to the file's
    /// end, have no row.
    pub fn blocks_from(&self, offset: Offset) -> &[RowsBlock] {
        let blocks = &self.meta.blocks;
        &blocks[blocks.partition_point(|block| block.end_offset <= offset)..]
    }

    /// The columns of `projection` for the rows of `block` at or after `from`. Reads nothing but
    /// the header, which is cached, unless `from` lies inside the block.
    ///
    /// # Errors
    /// [`ReadError`]; `Corrupt` also for a projection of another schema than the file's.
    pub fn project(
        &self,
        block: &RowsBlock,
        projection: &Projection,
        from: Offset,
    ) -> Result<ProjectedMessage, ReadError> {
        let layout = self.layout(block, projection.shape())?;
        let place = self.placer(block)?;
        cut::project(&layout, projection, from, place).map_err(|error| self.failed(block, error))
    }

    /// The columns of `projection` for all rows of `block`, decoded and checked.
    ///
    /// # Errors
    /// As [`project`](Self::project), and `Corrupt` for a column that does not match its crc.
    pub fn read(
        &self,
        block: &RowsBlock,
        projection: &Projection,
    ) -> Result<RecordBatch, ReadError> {
        let layout = self.layout(block, projection.shape())?;
        let place = self.placer(block)?;
        cut::project(&layout, projection, block.base_offset, place)
            .and_then(|whole| cut::decode(&layout, projection, &whole))
            .map_err(|error| self.failed(block, error))
    }

    /// The header of `block`: its statistics, and where its columns lie.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn layout(&self, block: &RowsBlock, shape: &Shape) -> Result<Arc<BlockLayout>, ReadError> {
        let key = (self.meta.file, block.pos);
        if let Some(layout) = self.cache.layouts.lock().get(&key) {
            return Ok(layout);
        }
        let layout = Arc::new(self.load(block, shape)?);
        let cost = layout.cost();
        self.cache
            .layouts
            .lock()
            .put(key, Arc::clone(&layout), cost);
        Ok(layout)
    }

    /// Reads everything: every column of every block, then the crc of the whole file.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn verify(&self, shape: &Arc<Shape>) -> Result<(), ReadError> {
        let all = Projection::all(shape);
        for block in &self.meta.blocks {
            self.read(block, &all)?;
        }
        self.named().verify(self.meta.base_offset)
    }

    fn load(&self, block: &RowsBlock, shape: &Shape) -> Result<BlockLayout, ReadError> {
        let named = self.named();
        let corrupt = |what| named.corrupt(block.base_offset, what);
        let header_len = u64::from(block.header_len);
        let end = block
            .pos
            .checked_add(header_len)
            .and_then(|end| end.checked_add(block.body_len));
        if end.is_none_or(|end| end > self.meta.file_len) {
            return Err(corrupt("a block lies outside the file"));
        }
        let file = named.open(block.base_offset)?;
        let mut header = vec![0; header_len as usize];
        file.read_exact_at(&mut header, block.pos)
            .map_err(|source| named.io(source))?;
        if crc32c::crc32c(&header) != block.header_crc {
            return Err(corrupt("a block's header does not match its crc"));
        }
        let layout = BlockLayout::parse(&header, shape).map_err(|error| corrupt(error.0))?;
        let as_promised = layout.base_offset() == block.base_offset
            && layout.end_offset() == block.end_offset
            && layout.rows() == block.rows
            && layout.body_len() == block.body_len;
        if as_promised {
            Ok(layout)
        } else {
            Err(corrupt("a block's header contradicts the manifest"))
        }
    }

    /// Finds ranges of the block's body in the file.
    fn placer(
        &self,
        block: &RowsBlock,
    ) -> Result<impl Fn(std::ops::Range<u64>) -> Piece + use<>, ReadError> {
        let file = self.named().open(block.base_offset)?;
        // Inside the file, or the block's header would not have been read.
        let body = block.pos + u64::from(block.header_len);
        Ok(move |range: std::ops::Range<u64>| Piece::File {
            file: Arc::clone(&file),
            pos: body + range.start,
            len: range.end - range.start,
        })
    }

    fn named(&self) -> NamedFile<'_> {
        NamedFile {
            cache: &self.cache.files,
            partition: self.partition,
            file: self.meta.file,
            version: self.meta.format_version,
            newest_version: FORMAT_VERSION,
            len: self.meta.file_len,
            crc: self.meta.file_crc,
        }
    }

    fn failed(&self, block: &RowsBlock, error: ProjectError) -> ReadError {
        let named = self.named();
        match error {
            ProjectError::Io(source) => named.io(source),
            ProjectError::Layout(error) => named.corrupt(block.base_offset, error.0),
            ProjectError::Encode(error) => {
                named.io(std::io::Error::new(ErrorKind::InvalidData, error))
            }
        }
    }
}
