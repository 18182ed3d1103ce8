//! What is true of every version of every partition. Each check is a predicate with a name; all
//! run before a record is written and after it is read.

use std::ops::Range;

use crate::checkpoint::KEPT;
use crate::ids::Offset;
use crate::segment::FileId;

use super::producer::PRODUCER_BATCHES_MAX;
use super::state::PartitionManifest;

/// A version that must not be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    #[error("version {got} follows {have}")]
    VersionGap { have: u64, got: u64 },
    #[error("a new partition begins at version 1, not {got}")]
    NotTheFirstVersion { got: u64 },
    #[error("the partition exists already")]
    Exists,
    #[error("the partition does not exist")]
    Unknown,
    #[error("incarnation {got} follows {have}")]
    IncarnationOrder { have: u32, got: u32 },
    #[error("{mark} falls from {from} to {to}")]
    Falls {
        mark: &'static str,
        from: Offset,
        to: Offset,
    },
    #[error("log start {log_start} and covered-to {covered_to} must lie in 0..={next_offset}")]
    OutOfBounds {
        log_start: Offset,
        covered_to: Offset,
        next_offset: Offset,
    },
    #[error("segment {file} is empty or has its blocks out of order")]
    MalformedSegment { file: FileId },
    #[error("segment {file} begins at {base_offset}, not where the one before ends: {expected}")]
    SegmentGap {
        file: FileId,
        base_offset: Offset,
        expected: Offset,
    },
    #[error("segment {file} is named twice")]
    SegmentTwice { file: FileId },
    #[error("segment {file} is not there to be removed")]
    UnknownSegment { file: FileId },
    #[error("offsets from log start {log_start} to {first} are in no segment")]
    HoleAtStart { log_start: Offset, first: Offset },
    #[error("segments end at {end}, covered-to is {covered_to}")]
    CoveredTo { end: Offset, covered_to: Offset },
    #[error("rows file {file} covers nothing or has its blocks out of order")]
    MalformedRows { file: FileId },
    #[error("rows files end at {end}, rows-to is {rows_to}")]
    RowsTo { end: Offset, rows_to: Offset },
    #[error("cleaned-to {cleaned_to} lies beyond covered-to {covered_to}")]
    CleanedTo {
        cleaned_to: Offset,
        covered_to: Offset,
    },
    #[error("{what} are out of order")]
    OutOfOrder { what: &'static str },
    #[error("{count} key checkpoints, and at most {KEPT} are kept")]
    TooManyCheckpoints { count: usize },
    #[error("producer {producer_id} has more than {PRODUCER_BATCHES_MAX} batches")]
    TooManyBatches { producer_id: i64 },
}

/// All that must hold of one version by itself.
pub(super) fn check(manifest: &PartitionManifest) -> Result<(), Violation> {
    marks_are_in_bounds(manifest)?;
    segments_are_well_formed(manifest)?;
    segments_are_contiguous(manifest)?;
    files_are_unique(manifest)?;
    nothing_is_missing_at_the_start(manifest)?;
    covered_to_is_where_segments_end(manifest)?;
    only_segments_are_cleaned(manifest)?;
    rows_are_well_formed(manifest)?;
    rows_are_contiguous(manifest)?;
    rows_to_is_where_rows_end(manifest)?;
    checkpoints_are_few_and_ascend(manifest)?;
    epochs_rise(manifest)?;
    producers_are_sorted_and_bounded(manifest)?;
    transactions_are_sorted(manifest)
}

/// All that must hold of a version and the one it follows.
pub(super) fn check_step(
    before: &PartitionManifest,
    after: &PartitionManifest,
) -> Result<(), Violation> {
    marks_never_fall(before, after)?;
    check(after)
}

/// A partition's first version.
pub(super) fn check_first(manifest: &PartitionManifest) -> Result<(), Violation> {
    if manifest.version != 1 {
        return Err(Violation::NotTheFirstVersion {
            got: manifest.version,
        });
    }
    check(manifest)
}

fn marks_never_fall(
    before: &PartitionManifest,
    after: &PartitionManifest,
) -> Result<(), Violation> {
    for (mark, from, to) in [
        ("log start", before.log_start, after.log_start),
        ("next offset", before.next_offset, after.next_offset),
        ("covered-to", before.covered_to, after.covered_to),
        ("rows-to", before.rows_to, after.rows_to),
        ("cleaned-to", before.cleaned_to, after.cleaned_to),
    ] {
        if to < from {
            return Err(Violation::Falls { mark, from, to });
        }
    }
    Ok(())
}

fn marks_are_in_bounds(manifest: &PartitionManifest) -> Result<(), Violation> {
    let PartitionManifest {
        log_start,
        covered_to,
        next_offset,
        ..
    } = *manifest;
    let bounds = 0..=next_offset;
    if bounds.contains(&log_start) && bounds.contains(&covered_to) {
        return Ok(());
    }
    Err(Violation::OutOfBounds {
        log_start,
        covered_to,
        next_offset,
    })
}

fn segments_are_well_formed(manifest: &PartitionManifest) -> Result<(), Violation> {
    for segment in &manifest.segments {
        let blocks = segment.blocks.iter();
        let blocks = blocks.map(|block| block.base_offset..block.end_offset);
        if !are_blocks_of(segment.base_offset..segment.end_offset, blocks) {
            return Err(Violation::MalformedSegment { file: segment.file });
        }
    }
    Ok(())
}

/// Whether blocks, at least one, follow each other within the file's offsets. Gaps are legal.
fn are_blocks_of(file: Range<Offset>, blocks: impl Iterator<Item = Range<Offset>>) -> bool {
    let mut end = None;
    for block in blocks {
        if block.start < end.unwrap_or(file.start) || block.is_empty() {
            return false;
        }
        end = Some(block.end);
    }
    end.is_some_and(|end| end <= file.end)
}

fn segments_are_contiguous(manifest: &PartitionManifest) -> Result<(), Violation> {
    let segments = manifest.segments.iter();
    are_contiguous(segments.map(|one| (one.file, one.base_offset..one.end_offset)))
}

/// Each file begins where the one before ends.
fn are_contiguous(files: impl Iterator<Item = (FileId, Range<Offset>)>) -> Result<(), Violation> {
    let mut end = None;
    for (file, offsets) in files {
        if let Some(expected) = end.filter(|expected| *expected != offsets.start) {
            return Err(Violation::SegmentGap {
                file,
                base_offset: offsets.start,
                expected,
            });
        }
        end = Some(offsets.end);
    }
    Ok(())
}

fn files_are_unique(manifest: &PartitionManifest) -> Result<(), Violation> {
    let mut files: Vec<_> = manifest.files().collect();
    files.sort_unstable();
    match files.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Violation::SegmentTwice { file: pair[0] }),
        None => Ok(()),
    }
}

fn nothing_is_missing_at_the_start(manifest: &PartitionManifest) -> Result<(), Violation> {
    let log_start = manifest.log_start;
    let first = manifest
        .segments
        .first()
        .map_or(manifest.covered_to, |first| first.base_offset);
    if first > log_start {
        Err(Violation::HoleAtStart { log_start, first })
    } else {
        Ok(())
    }
}

fn covered_to_is_where_segments_end(manifest: &PartitionManifest) -> Result<(), Violation> {
    let covered_to = manifest.covered_to;
    match manifest.segments.last().map(|last| last.end_offset) {
        Some(end) if end != covered_to => Err(Violation::CoveredTo { end, covered_to }),
        _ => Ok(()),
    }
}

fn only_segments_are_cleaned(manifest: &PartitionManifest) -> Result<(), Violation> {
    let (cleaned_to, covered_to) = (manifest.cleaned_to, manifest.covered_to);
    if cleaned_to > covered_to {
        Err(Violation::CleanedTo {
            cleaned_to,
            covered_to,
        })
    } else {
        Ok(())
    }
}

fn rows_are_well_formed(manifest: &PartitionManifest) -> Result<(), Violation> {
    for rows in &manifest.rows {
        let blocks = rows.blocks.iter();
        let blocks = blocks.map(|block| block.base_offset..block.end_offset);
        let covered = rows.base_offset..rows.end_offset;
        let is_well_formed = match rows.blocks.is_empty() {
            true => !covered.is_empty(),
            false => are_blocks_of(covered, blocks),
        };
        if !is_well_formed {
            return Err(Violation::MalformedRows { file: rows.file });
        }
    }
    Ok(())
}

/// Nobody can tell an offset without a row from one that is missing, so nothing may be missing.
fn rows_are_contiguous(manifest: &PartitionManifest) -> Result<(), Violation> {
    let rows = manifest.rows.iter();
    are_contiguous(rows.map(|one| (one.file, one.base_offset..one.end_offset)))
}

fn rows_to_is_where_rows_end(manifest: &PartitionManifest) -> Result<(), Violation> {
    let rows_to = manifest.rows_to;
    match manifest.rows.last().map(|last| last.end_offset) {
        Some(end) if end != rows_to => Err(Violation::RowsTo { end, rows_to }),
        _ => Ok(()),
    }
}

fn checkpoints_are_few_and_ascend(manifest: &PartitionManifest) -> Result<(), Violation> {
    let checkpoints = &manifest.checkpoints;
    let count = checkpoints.len();
    if count > KEPT {
        return Err(Violation::TooManyCheckpoints { count });
    }
    let ascend = checkpoints.is_sorted_by_key(|checkpoint| checkpoint.reflects);
    in_order(ascend, "key checkpoints")
}

fn epochs_rise(manifest: &PartitionManifest) -> Result<(), Violation> {
    let rises = manifest
        .epochs
        .windows(2)
        .all(|pair| pair[0].epoch < pair[1].epoch && pair[0].start_offset <= pair[1].start_offset);
    in_order(rises, "epochs")
}

fn producers_are_sorted_and_bounded(manifest: &PartitionManifest) -> Result<(), Violation> {
    let producers = &manifest.producers;
    let sorted = producers
        .windows(2)
        .all(|pair| pair[0].producer_id < pair[1].producer_id);
    in_order(sorted, "producers")?;
    match producers
        .iter()
        .find(|producer| producer.batches.len() > PRODUCER_BATCHES_MAX)
    {
        Some(producer) => Err(Violation::TooManyBatches {
            producer_id: producer.producer_id,
        }),
        None => Ok(()),
    }
}

fn transactions_are_sorted(manifest: &PartitionManifest) -> Result<(), Violation> {
    in_order(
        manifest.aborted.is_sorted_by_key(|t| t.last_offset),
        "aborted transactions",
    )?;
    in_order(
        manifest
            .open_transactions
            .is_sorted_by_key(|t| t.first_offset),
        "open transactions",
    )
}

fn in_order(sorted: bool, what: &'static str) -> Result<(), Violation> {
    if sorted {
        Ok(())
    } else {
        Err(Violation::OutOfOrder { what })
    }
}
