//! One version of one partition, and the edits that make the next.
//!
//! Field numbers are for ever. A field and the part of an edit that changes it share a number.
//! Reserved, for what is not kept yet: 16 lake mark, 17 owner.

use std::sync::Arc;

use minicbor::{Decode, Encode};

use super::codec;
use super::invariants::{self, Violation};
use super::producer::{AbortedTransaction, OpenTransaction, ProducerState};
use crate::checkpoint::CheckpointMeta;
use crate::ids::{Offset, PartitionId, Timestamp};
use crate::rows::RowsMeta;
use crate::segment::{EpochStart, FileId, SegmentMeta};

/// A partition at one version.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PartitionManifest {
    #[cbor(n(0), with = "codec::partition")]
    pub partition: PartitionId,
    /// 1 at creation; each edit adds 1.
    #[n(1)]
    pub version: u64,
    /// Number of the incarnation that created the partition. The leader epoch is the present
    /// incarnation's number less this.
    #[n(2)]
    pub created_incarnation: u32,
    /// First offset that may be read.
    #[n(3)]
    pub log_start: Offset,
    /// No offset below this is ever given again, even when the log is empty.
    #[n(4)]
    pub next_offset: Offset,
    /// Everything below lies in segments (or is deleted); the WAL from here on is still needed.
    #[n(5)]
    pub covered_to: Offset,
    /// In offset order, each beginning where the one before ends.
    #[cbor(n(6), with = "codec::shared")]
    pub segments: Vec<Arc<SegmentMeta>>,
    /// Leader epochs and where they start, ascending.
    #[n(7)]
    pub epochs: Vec<EpochStart>,
    /// As of `covered_to`, by ascending producer id.
    #[n(8)]
    pub producers: Vec<ProducerState>,
    /// Up to `covered_to`, by ascending last offset. Those wholly below `log_start` go by themselves.
    #[n(9)]
    pub aborted: Vec<AbortedTransaction>,
    /// As of `covered_to`, by ascending first offset.
    #[n(10)]
    pub open_transactions: Vec<OpenTransaction>,
    /// End of what rows files answer for, kept when the last of them goes; 0 before the first.
    #[cbor(n(11), skip_if = "is_zero")]
    pub rows_to: Offset,
    /// In offset order, each beginning where the one before ends, the last ending at `rows_to`.
    #[cbor(n(12), with = "codec::shared", skip_if = "Vec::is_empty")]
    pub rows: Vec<Arc<RowsMeta>>,
    /// Up to here the last whole round of compaction went; 0 before the first.
    #[cbor(n(13), skip_if = "is_zero")]
    pub cleaned_to: Offset,
    /// When the first of the tombstones and markers that round left may go; `None` if it left none.
    #[n(14)]
    pub delete_horizon: Option<Timestamp>,
    /// Of a keyed partition: at most two, oldest first.
    #[cbor(n(15), skip_if = "Vec::is_empty")]
    pub checkpoints: Vec<CheckpointMeta>,
}

/// What the next version changes; whatever is `None` or empty stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ManifestEdit {
    #[n(3)]
    pub log_start: Option<Offset>,
    #[n(4)]
    pub next_offset: Option<Offset>,
    #[n(5)]
    pub covered_to: Option<Offset>,
    #[cbor(n(6), with = "codec::shared", skip_if = "Vec::is_empty")]
    pub add_segments: Vec<Arc<SegmentMeta>>,
    /// The whole new table.
    #[n(7)]
    pub epochs: Option<Vec<EpochStart>>,
    /// The whole new set.
    #[n(8)]
    pub producers: Option<Vec<ProducerState>>,
    /// Added after those that are there.
    #[cbor(n(9), skip_if = "Vec::is_empty")]
    pub add_aborted: Vec<AbortedTransaction>,
    /// The whole new set.
    #[n(10)]
    pub open_transactions: Option<Vec<OpenTransaction>>,
    /// Each begins at the `rows_to` it finds, and moves it to its end.
    #[cbor(n(12), with = "codec::shared", skip_if = "Vec::is_empty")]
    pub add_rows: Vec<Arc<RowsMeta>>,
    #[n(13)]
    pub cleaned_to: Option<Offset>,
    /// -1 for none.
    #[n(14)]
    pub delete_horizon: Option<Timestamp>,
    /// All there are from now on.
    #[n(15)]
    pub checkpoints: Option<Vec<CheckpointMeta>>,
    /// Each must be there. A merge removes its inputs and adds its output in one edit.
    #[cbor(n(32), skip_if = "Vec::is_empty")]
    pub remove_segments: Vec<FileId>,
    /// Each must be there.
    #[cbor(n(33), skip_if = "Vec::is_empty")]
    pub remove_rows: Vec<FileId>,
    /// Last offsets, ascending, of aborted transactions of which compaction left nothing.
    #[cbor(n(34), skip_if = "Vec::is_empty")]
    pub remove_aborted: Vec<Offset>,
}

impl PartitionManifest {
    /// Version 1: an empty log that starts at offset 0.
    pub fn new(partition: PartitionId, created_incarnation: u32) -> Self {
        Self {
            partition,
            version: 1,
            created_incarnation,
            log_start: 0,
            next_offset: 0,
            covered_to: 0,
            segments: Vec::new(),
            epochs: Vec::new(),
            producers: Vec::new(),
            aborted: Vec::new(),
            open_transactions: Vec::new(),
            rows_to: 0,
            rows: Vec::new(),
            cleaned_to: 0,
            delete_horizon: None,
            checkpoints: Vec::new(),
        }
    }

    /// The next version, checked; `self` stays as it is.
    pub fn apply(&self, edit: &ManifestEdit) -> Result<Self, Violation> {
        let mut next = self.clone();
        next.version = next.version.saturating_add(1);
        next.log_start = edit.log_start.unwrap_or(self.log_start);
        next.next_offset = edit.next_offset.unwrap_or(self.next_offset);
        next.covered_to = edit.covered_to.unwrap_or(self.covered_to);
        next.cleaned_to = edit.cleaned_to.unwrap_or(self.cleaned_to);
        if let Some(horizon) = edit.delete_horizon {
            next.delete_horizon = Some(horizon).filter(|horizon| *horizon >= 0);
        }
        next.change_segments(edit)?;
        next.change_rows(edit)?;
        replace(&mut next.checkpoints, &edit.checkpoints);
        replace(&mut next.epochs, &edit.epochs);
        replace(&mut next.producers, &edit.producers);
        replace(&mut next.open_transactions, &edit.open_transactions);
        next.aborted.extend_from_slice(&edit.add_aborted);
        let is_removed = |last: &Offset| edit.remove_aborted.binary_search(last).is_ok();
        next.aborted
            .retain(|a| a.last_offset >= next.log_start && !is_removed(&a.last_offset));
        invariants::check_step(self, &next)?;
        Ok(next)
    }

    fn change_segments(&mut self, edit: &ManifestEdit) -> Result<(), Violation> {
        for file in &edit.remove_segments {
            let found = self
                .segments
                .iter()
                .position(|segment| segment.file == *file);
            self.segments
                .remove(found.ok_or(Violation::UnknownSegment { file: *file })?);
        }
        self.segments.extend_from_slice(&edit.add_segments);
        self.segments.sort_by_key(|segment| segment.base_offset);
        Ok(())
    }

    fn change_rows(&mut self, edit: &ManifestEdit) -> Result<(), Violation> {
        for added in &edit.add_rows {
            if added.base_offset != self.rows_to {
                return Err(Violation::SegmentGap {
                    file: added.file,
                    base_offset: added.base_offset,
                    expected: self.rows_to,
                });
            }
            self.rows_to = added.end_offset;
            self.rows.push(Arc::clone(added));
        }
        for file in &edit.remove_rows {
            let found = self.rows.iter().position(|rows| rows.file == *file);
            self.rows
                .remove(found.ok_or(Violation::UnknownSegment { file: *file })?);
        }
        Ok(())
    }

    /// Every file it names: segments, then rows.
    pub fn files(&self) -> impl Iterator<Item = FileId> {
        let segments = self.segments.iter().map(|segment| segment.file);
        segments.chain(self.rows.iter().map(|rows| rows.file))
    }

    /// The segment that holds `offset`, or that follows it where the log begins later; `None` at
    /// and after `covered_to`.
    pub fn segment_at(&self, offset: Offset) -> Option<&Arc<SegmentMeta>> {
        self.segments.get(
            self.segments
                .partition_point(|segment| segment.end_offset <= offset),
        )
    }
}

fn is_zero(offset: &Offset) -> bool {
    *offset == 0
}

fn replace<T: Clone>(target: &mut T, new: &Option<T>) {
    if let Some(new) = new {
        target.clone_from(new);
    }
}
