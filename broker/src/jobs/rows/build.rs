//! From record batches to encoded blocks of rows: pure and blocking.

use bytes::Bytes;
use tidelog_records::BatchHeader;
use tidelog_storage::ids::Offset;
use tidelog_storage::rows::{EncodeError, EncodedBlock, ProjectError, Projection};
use tidelog_typed::{DecodeError, DecodeLimits, OffsetRange, Wanted, decode_batches};

use super::changes::CellsError;
use super::format::Format;

/// Where a block ends. The bytes are those of decoded columns.
const LIMITS: DecodeLimits = DecodeLimits {
    records_max: 10_000,
    bytes_max: 4 << 20,
    // What Produce admits: a batch that was taken can be decoded.
    batch_bytes_max: 128 << 20,
};
/// Fewer rows make a small block, which is worth merging while it has little in it.
const SMALL_ROWS_MAX: u64 = 1_000;
const SMALL_BYTES_MAX: u64 = 1 << 20;

/// Why rows could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error(transparent)]
    Project(#[from] ProjectError),
    #[error("merging columns: {0}")]
    Merge(#[from] arrow_schema::ArrowError),
    #[error(transparent)]
    Images(#[from] tidelog_records::BuildError),
    #[error(transparent)]
    Cells(#[from] CellsError),
}

/// What a range of records came to.
#[derive(Debug, Default)]
pub struct Built {
    /// In offset order; each covers what lies between it and the one before.
    pub blocks: Vec<EncodedBlock>,
    /// Next offset after those answered for; behind the last block where no row followed it.
    pub end: Offset,
    pub rows: u64,
    pub undecodable: u64,
    /// Offset of the first record that is no row, and why.
    pub first_undecodable: Option<(Offset, String)>,
    /// What the table has to learn before the record at `end` can be a row.
    pub wanted: Option<Wanted>,
}

/// Builds the rows of `range` out of `batches`; the first block answers for offsets from `base` on,
/// at or below the range.
///
/// # Errors
/// [`BuildError`]: the log is damaged, or a row is larger than columns can hold.
pub fn build(
    format: &Format,
    partition: i32,
    range: OffsetRange,
    base: Offset,
    batches: &[Bytes],
) -> Result<Built, BuildError> {
    let mut built = Built {
        end: range.first,
        ..Built::default()
    };
    let (mut base, mut batches) = (base, batches);
    while built.end < range.end {
        let rest = OffsetRange {
            first: built.end,
            end: range.end,
        };
        let done = batches.partition_point(|batch| end_of(batch) <= rest.first);
        batches = &batches[done..];
        let some = decode_batches(
            &format.schema,
            partition,
            rest,
            batches.iter().cloned(),
            &LIMITS,
        )?;
        built.end = some.end_offset;
        built.undecodable += some.undecodable.len() as u64;
        if let (None, Some(first)) = (&built.first_undecodable, some.undecodable.first()) {
            built.first_undecodable = Some((first.offset, first.reason.to_string()));
        }
        if some.rows.num_rows() > 0 {
            built.rows += some.rows.num_rows() as u64;
            let (shape, codec) = (&format.shape, format.compression);
            let block = EncodedBlock::encode(shape, &some.rows, base, built.end, codec)?;
            built.blocks.push(block);
            base = built.end;
        }
        if some.wanted.is_some() {
            built.wanted = some.wanted;
            break;
        }
    }
    Ok(built)
}

fn end_of(batch: &Bytes) -> Offset {
    BatchHeader::read(batch).map_or(Offset::MAX, |header| header.last_offset() + 1)
}

/// True for a block that is worth merging with its neighbours.
pub fn is_small(block: &EncodedBlock) -> bool {
    let layout = block.layout();
    layout.rows() < SMALL_ROWS_MAX && layout.body_len() < SMALL_BYTES_MAX
}

/// One block for each run of small neighbours; the others stay as they are.
///
/// # Errors
/// [`BuildError`], only for blocks of another format.
pub fn merge(format: &Format, blocks: &[EncodedBlock]) -> Result<Vec<EncodedBlock>, BuildError> {
    let mut merged = Vec::new();
    let mut run: Vec<EncodedBlock> = Vec::new();
    for block in blocks {
        if is_small(block) {
            run.push(block.clone());
            if run.iter().map(|small| small.layout().rows()).sum::<u64>() >= SMALL_ROWS_MAX
                || run
                    .iter()
                    .map(|small| small.layout().body_len())
                    .sum::<u64>()
                    >= SMALL_BYTES_MAX
            {
                merged.push(merge_run(format, &run)?);
                run.clear();
            }
        } else {
            if !run.is_empty() {
                merged.push(merge_run(format, &run)?);
                run.clear();
            }
            merged.push(block.clone());
        }
    }
    if !run.is_empty() {
        merged.push(merge_run(format, &run)?);
    }
    Ok(merged)
}

fn merge_run(format: &Format, run: &[EncodedBlock]) -> Result<EncodedBlock, BuildError> {
    let [first, .., last] = run else {
        // Never empty.
        return Ok(run[0].clone());
    };
    let all = Projection::all(&format.shape);
    let decoded: Result<Vec<_>, _> = run.iter().map(|block| block.decode(&all)).collect();
    let rows = arrow_select::concat::concat_batches(format.shape.schema(), &decoded?)?;
    let (base, end) = (first.layout().base_offset(), last.layout().end_offset());
    let block = EncodedBlock::encode(&format.shape, &rows, base, end, format.compression)?;
    Ok(block)
}
