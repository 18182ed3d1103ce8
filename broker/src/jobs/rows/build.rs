//! From record batches to encoded blocks of rows: pure and blocking.

use bytes::Bytes;
use tidelog_records::BatchHeader;
use tidelog_storage::ids::Offset;
use tidelog_storage::rows::{Compression, EncodeError, EncodedBlock, ProjectError, Projection};
use tidelog_typed::{DecodeError, DecodeLimits, OffsetRange, RowBatch, Wanted, decode_batches};

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
    /// Why the record at `end` stands in the way, where such records do.
    pub suspended: Option<String>,
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
    build_by(format, partition, range, base, batches, |decoded| decoded)
}

/// As [`build`], but ends before a record that is no row.
///
/// # Errors
/// [`BuildError`].
pub fn build_before_undecodable(
    format: &Format,
    partition: i32,
    range: OffsetRange,
    base: Offset,
    batches: &[Bytes],
) -> Result<Built, BuildError> {
    let cut = RowBatch::before_undecodable;
    let mut built = build_by(format, partition, range, base, batches, cut)?;
    if let Some((_, reason)) = built.first_undecodable.take() {
        built.undecodable = 0;
        built.suspended = Some(reason);
    }
    Ok(built)
}

fn build_by(
    format: &Format,
    partition: i32,
    range: OffsetRange,
    base: Offset,
    batches: &[Bytes],
    cut: impl Fn(RowBatch) -> RowBatch,
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
        let some = cut(some);
        let is_cut = some
            .undecodable
            .first()
            .is_some_and(|first| first.offset == some.end_offset);
        built.end = some.end_offset;
        built.undecodable += some.undecodable.len() as u64;
        if let (None, Some(first)) = (&built.first_undecodable, some.undecodable.first()) {
            built.first_undecodable = Some((first.offset, first.reason.to_string()));
        }
        if some.rows.num_rows() > 0 {
            built.rows += some.rows.num_rows() as u64;
            let bytes = some.rows.get_array_memory_size() as u64;
            let codec = codec_of(format, some.rows.num_rows() as u64, bytes);
            let block = EncodedBlock::encode(&format.shape, &some.rows, base, built.end, codec)?;
            built.blocks.push(block);
            base = built.end;
        }
        if some.wanted.is_some() || is_cut {
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
    are_few(block.layout().rows(), block.layout().body_len())
}

fn are_few(rows: u64, bytes: u64) -> bool {
    rows < SMALL_ROWS_MAX && bytes < SMALL_BYTES_MAX
}

/// Small blocks are merged before long, and compressed then.
fn codec_of(format: &Format, rows: u64, bytes: u64) -> Compression {
    match are_few(rows, bytes) {
        true => Compression::None,
        false => format.compression,
    }
}

/// One block for each run of small neighbours; the others stay as they are.
///
/// # Errors
/// [`BuildError`], only for blocks of another format.
pub fn merge(format: &Format, blocks: &[EncodedBlock]) -> Result<Vec<EncodedBlock>, BuildError> {
    let merged = runs(blocks).into_iter().map(|run| match run {
        [alone] => Ok(alone.clone()),
        run => {
            let rows = run.iter().map(|block| block.layout().rows()).sum();
            let bytes = run.iter().map(|block| block.layout().body_len()).sum();
            join(format, run, codec_of(format, rows, bytes))
        }
    });
    merged.collect()
}

/// The same for a file: every block compressed as the topic says, however small.
///
/// # Errors
/// As [`merge`].
pub fn merge_for_file(
    format: &Format,
    blocks: &[EncodedBlock],
) -> Result<Vec<EncodedBlock>, BuildError> {
    let merged = runs(blocks).into_iter().map(|run| match run {
        [alone] if alone.layout().compression() == format.compression => Ok(alone.clone()),
        run => join(format, run, format.compression),
    });
    merged.collect()
}

/// Neighbours that make one block: small ones until they are enough, each other one alone.
fn runs(blocks: &[EncodedBlock]) -> Vec<&[EncodedBlock]> {
    let mut runs = Vec::new();
    let mut rest = blocks;
    while !rest.is_empty() {
        let (mut rows, mut bytes) = (0, 0);
        let taken = rest.iter().take_while(|block| {
            let has_room = are_few(rows, bytes);
            rows += block.layout().rows();
            bytes += block.layout().body_len();
            is_small(block) && has_room
        });
        let (run, others) = rest.split_at(taken.count().max(1));
        runs.push(run);
        rest = others;
    }
    runs
}

fn join(
    format: &Format,
    run: &[EncodedBlock],
    codec: Compression,
) -> Result<EncodedBlock, BuildError> {
    // A run is never empty.
    let (first, last) = (run[0].layout(), run[run.len() - 1].layout());
    let all = Projection::all(&format.shape);
    let decoded: Result<Vec<_>, _> = run.iter().map(|block| block.decode(&all)).collect();
    let rows = arrow_select::concat::concat_batches(format.shape.schema(), &decoded?)?;
    let (base, end) = (first.base_offset(), last.end_offset());
    Ok(EncodedBlock::encode(
        &format.shape,
        &rows,
        base,
        end,
        codec,
    )?)
}
