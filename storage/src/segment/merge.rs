//! Joins adjacent small segments of a partition into one.
//!
//! What flushes make is small when many partitions share a WAL file. [`plan`] chooses, [`merge`]
//! copies; the caller then swaps the inputs for the output in one manifest edit.
//!
//! Write amplification is bounded: a run is merged only if it holds at least twice the bytes of its
//! largest member. Whatever segment a byte lies in, merging it at least doubles that segment, so a
//! byte is merged at most `log2(target / its first segment's bytes) + 1` times, and never again once
//! its segment reached the target.

use std::ops::Range;
use std::sync::Arc;

use super::{
    FileId, ReadError, SegmentCache, SegmentMeta, SegmentReader, SegmentWriter, WriteError,
};
use crate::disk::Disk;
use crate::ids::PartitionId;

/// When segments are small and when a run of them is worth a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MergePolicy {
    /// Segments of at least this many bytes of batches are left alone.
    pub target_bytes: u64,
    /// A run below the target is merged once it has this many members.
    pub members_min: usize,
    /// Most members of one merge.
    pub members_max: usize,
}

impl Default for MergePolicy {
    fn default() -> Self {
        Self {
            target_bytes: 16 << 20,
            members_min: 8,
            members_max: 64,
        }
    }
}

/// Chooses the first run of a partition's segments (in offset order) that is worth a merge:
/// adjacent, each below the target, together at the target or `members_min` many. Call again after
/// the swap until it answers `None`.
pub fn plan(segments: &[Arc<SegmentMeta>], policy: &MergePolicy) -> Option<Range<usize>> {
    (0..segments.len()).find_map(|start| run_from(segments, start, policy))
}

/// The longest worthy run that begins at `start`, grown no further once it reached the target.
fn run_from(
    segments: &[Arc<SegmentMeta>],
    start: usize,
    policy: &MergePolicy,
) -> Option<Range<usize>> {
    let (mut total, mut largest, mut best) = (0, 0, None);
    for (members, segment) in segments[start..]
        .iter()
        .enumerate()
        .take(policy.members_max)
    {
        let bytes = segment.batch_bytes;
        if bytes >= policy.target_bytes || total >= policy.target_bytes {
            break;
        }
        total += bytes;
        largest = bytes.max(largest);
        let members = members + 1;
        let enough = members >= policy.members_min || total >= policy.target_bytes;
        if members > 1 && enough && total >= 2 * largest {
            best = Some(start..start + members);
        }
    }
    best
}

/// Why a merge failed; the inputs are untouched.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("nothing to merge")]
    Nothing,
}

/// Copies the batches of `inputs` (adjacent, in offset order) into a new own segment, verbatim.
pub fn merge(
    disk: Arc<dyn Disk>,
    cache: &Arc<SegmentCache>,
    partition: PartitionId,
    inputs: &[Arc<SegmentMeta>],
    output: FileId,
) -> Result<SegmentMeta, MergeError> {
    let [first, .., last] = inputs else {
        return Err(MergeError::Nothing);
    };
    let from = first.base_offset;
    let mut writer = SegmentWriter::own(disk, output, partition, from)?;
    for input in inputs {
        let reader = SegmentReader::new(Arc::clone(cache), partition, Arc::clone(input));
        for batch in reader.batches(input.base_offset) {
            writer.push(batch?)?;
        }
    }
    // Compaction may have left none of the last one's last batches.
    writer.cover_to(last.end_offset);
    let (_, meta) = writer.finish()?.pop().ok_or(MergeError::Nothing)?;
    Ok(meta)
}
