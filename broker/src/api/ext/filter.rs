//! Which rows a reader wants, for every schema that rows of a table may carry.
//!
//! ```text
//! block ─ statistics ─┬ no row:   passed over, its header read and nothing else
//!                     ├ every:    cut, as without a filter
//!                     └ perhaps:  the filter's columns are decoded and the rows tested
//!                                   ├ no row, every: as above
//!                                   └ some: the wanted columns are decoded, too, and encoded anew
//! ```
//! All of this blocks and computes: it belongs on threads that may.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_schema::Schema;
use arrow_select::filter::filter_record_batch;
use tidelog_predicate::{
    BindError, Bound, Bounds, DecodeError, Predicate, Stats, Value, Verdict, bind_version, resolve,
};
use tidelog_storage::ReadError;
use tidelog_storage::ids::Offset;
use tidelog_storage::rows::{
    self, BlockLayout, EncodedBlock, OFFSET_COLUMN, ProjectedMessage, Projection, RowsBlock,
    RowsReader, Shape,
};

use super::source::SourceError;
use crate::jobs::rows::format::Format;

/// What a block costs at least, in bytes looked at: its header, and the way to it.
const BLOCK_COST_MIN: u64 = 64 << 10;

/// Why there is no filter to read by.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    #[error("filter: {0}")]
    Decode(#[from] DecodeError),
    #[error("filter: {0}")]
    Bind(#[from] BindError),
}

/// One test for each schema.
#[derive(Debug)]
pub struct Filter {
    by_schema: Vec<(i32, Tests)>,
}

#[derive(Debug)]
struct Tests {
    /// On all columns of the schema, by their statistics.
    of_block: Bound,
    /// What it looks at.
    columns: Projection,
    /// On those columns.
    of_rows: Bound,
}

/// What was done for a filter.
#[derive(Debug, Clone, Copy, Default)]
pub struct Looked {
    /// Bytes looked at, as far as they count for the limit.
    pub bytes: u64,
    pub blocks_read: u64,
    /// Of which the statistics said enough.
    pub blocks_skipped: u64,
    pub rows_tested: u64,
    pub rows_matched: u64,
}

/// A block, wherever it lies.
#[derive(Clone, Copy)]
pub enum Block<'a> {
    File(&'a RowsReader, &'a RowsBlock),
    Memory(&'a EncodedBlock),
}

impl Filter {
    /// Reads the filter of a request on a table with rows of `formats`, the last one in force.
    ///
    /// # Errors
    /// [`FilterError`].
    pub fn of(formats: &[Arc<Format>], bytes: &[u8]) -> Result<Self, FilterError> {
        let predicate = Predicate::decode(bytes)?;
        let newest_first = formats.iter().rev().map(|format| &**format.shape.schema());
        let newest_first: Vec<&Schema> = newest_first.collect();
        let predicate = resolve(&predicate, &newest_first)?;
        let columns: Vec<&str> = predicate.columns().into_iter().collect();
        let by_schema = formats.iter().map(|format| {
            let (columns, _) = Projection::select(&format.shape, &columns);
            let tests = Tests {
                of_block: bind_version(&predicate, format.shape.schema())?,
                of_rows: bind_version(&predicate, columns.schema())?,
                columns,
            };
            Ok((format.schema_id, tests))
        });
        let by_schema = by_schema.collect::<Result<_, FilterError>>()?;
        Ok(Self { by_schema })
    }

    /// The wanted columns of the rows of `block` at or after `from` that it is true of. What that
    /// took is added to `looked`.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn project(
        &self,
        schema_id: i32,
        block: Block<'_>,
        wanted: &Projection,
        from: Offset,
        looked: &mut Looked,
    ) -> Result<ProjectedMessage, SourceError> {
        let tests = self.by_schema.iter().find(|(id, _)| *id == schema_id);
        let (_, tests) = tests.ok_or(SourceError::Schema(schema_id))?;
        let layout = block.layout(wanted.shape())?;
        let range = from.max(layout.base_offset())..layout.end_offset();
        looked.bytes += BLOCK_COST_MIN;
        match tests.of_block.prune(&BlockStats(&layout)) {
            Verdict::None => {
                looked.blocks_skipped += 1;
                return Ok(ProjectedMessage::without_rows(range));
            }
            Verdict::All => {
                looked.blocks_skipped += 1;
                looked.rows_matched += layout.rows();
                return block.project(wanted, from);
            }
            Verdict::Some => looked.blocks_read += 1,
        }
        let skipped = block.rows_before(from, &layout, wanted.shape())?;
        let rows = block.decode(&tests.columns, looked)?;
        let tested = rows.slice(skipped, rows.num_rows() - skipped);
        let matches = tests.of_rows.eval(&tested)?;
        let count = matches.true_count();
        looked.rows_tested += tested.num_rows() as u64;
        looked.rows_matched += count as u64;
        if count == 0 {
            return Ok(ProjectedMessage::without_rows(range));
        }
        if count == rows.num_rows() {
            return block.project(wanted, from);
        }
        if wanted.is_empty() {
            let rows = count as u64;
            return Ok(ProjectedMessage {
                rows,
                ..ProjectedMessage::without_rows(range)
            });
        }
        let rows = block.decode(wanted, looked)?;
        let rows = rows.slice(skipped, rows.num_rows() - skipped);
        let rows = filter_record_batch(&rows, &matches)?;
        let message = ProjectedMessage::of_rows(wanted, &rows, range, layout.compression())?;
        Ok(message)
    }
}

impl Looked {
    pub fn blocks(&self) -> u64 {
        self.blocks_read + self.blocks_skipped
    }

    pub fn add(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.blocks_read += other.blocks_read;
        self.blocks_skipped += other.blocks_skipped;
        self.rows_tested += other.rows_tested;
        self.rows_matched += other.rows_matched;
    }
}

impl Block<'_> {
    /// As [`RowsReader::project`].
    pub fn project(
        self,
        projection: &Projection,
        from: Offset,
    ) -> Result<ProjectedMessage, SourceError> {
        Ok(match self {
            Self::File(file, block) => file
                .project(block, projection, from)
                .map_err(ReadError::Segment)?,
            Self::Memory(block) => block.project(projection, from)?,
        })
    }

    fn layout(self, shape: &Shape) -> Result<Arc<BlockLayout>, SourceError> {
        Ok(match self {
            Self::File(file, block) => file.layout(block, shape).map_err(ReadError::Segment)?,
            Self::Memory(block) => Arc::clone(block.layout()),
        })
    }

    fn decode(
        self,
        projection: &Projection,
        looked: &mut Looked,
    ) -> Result<RecordBatch, SourceError> {
        // Takes no bytes yet.
        looked.bytes += self.project(projection, 0)?.len();
        Ok(match self {
            Self::File(file, block) => file.read(block, projection).map_err(ReadError::Segment)?,
            Self::Memory(block) => block.decode(projection)?,
        })
    }

    /// How many of its rows stand before `from`.
    fn rows_before(
        self,
        from: Offset,
        layout: &BlockLayout,
        shape: &Arc<Shape>,
    ) -> Result<usize, SourceError> {
        if from <= layout.base_offset() {
            return Ok(0);
        }
        let (offsets, _) = Projection::select(shape, &[OFFSET_COLUMN]);
        let offsets = self.decode(&offsets, &mut Looked::default())?;
        let offsets = offsets.columns().first();
        let offsets = offsets.and_then(|column| column.as_primitive_opt::<Int64Type>());
        Ok(offsets.map_or(0, |offsets| {
            offsets.values().partition_point(|offset| *offset < from)
        }))
    }
}

struct BlockStats<'a>(&'a BlockLayout);

impl Stats for BlockStats<'_> {
    fn rows(&self) -> u64 {
        self.0.rows()
    }

    /// Members of structs have none.
    fn column(&self, place: &[usize]) -> Option<Bounds<'_>> {
        let [place] = place else { return None };
        let stats = self.0.stats().get(*place)?;
        Some(Bounds {
            nulls: Some(stats.null_count),
            min: stats.min.as_ref().map(value),
            max: stats.max.as_ref().map(value),
        })
    }
}

fn value(bound: &rows::Bound) -> Value<'_> {
    match bound {
        rows::Bound::Bool(truth) => Value::Bool(*truth),
        rows::Bound::Int(int) => Value::Int(i128::from(*int)),
        rows::Bound::Float(float) => Value::Float(*float),
        rows::Bound::Decimal(unscaled) => Value::Int(*unscaled),
        rows::Bound::Bytes(bytes) => Value::Bytes(bytes),
    }
}
