//! One round over one partition, a stretch of a segment at a time.
//!
//! Between two steps the partition lives on: its tail is flushed, its log start moves, files below
//! it go. So a step looks into the manifest of its moment for the segment that comes next. What may
//! not happen meanwhile is a merge.

use std::mem;
use std::sync::Arc;

use super::filter::{Filter, LastOfProducers, Rules};
use super::group::Group;
use super::index::KeyIndex;
use super::keys::KeyMap;
use super::{CompactionError, CompactionSettings, Dirt};
use crate::disk::Disk;
use crate::ids::{Offset, PartitionId, Timestamp};
use crate::manifest::{AbortedTransaction, ManifestEdit, PartitionManifest};
use crate::partition::AbortedRanges;
use crate::segment::{SegmentCache, SegmentMeta, SegmentReader, StoredBatch};
use crate::store::FreshId;

/// Where a round reads and writes.
pub(crate) struct Site<'a> {
    pub disk: &'a Arc<dyn Disk>,
    pub cache: &'a Arc<SegmentCache>,
    pub fresh_id: &'a FreshId,
    /// A group of segments ends before it holds more.
    pub segment_bytes_max: u64,
    /// Bytes of batches read in one step, about.
    pub step_bytes: u64,
}

/// A round under way.
pub(crate) struct Round {
    partition: PartitionId,
    limit: Offset,
    now: Timestamp,
    delete_retention_ms: i64,
    phase: Phase,
}

enum Phase {
    Index {
        /// The next offset to index.
        at: Offset,
        index: KeyIndex,
        aborted: AbortedRanges,
    },
    Rewrite {
        /// The next offset to rewrite.
        at: Offset,
        filter: Box<Filter>,
        group: Box<Group>,
    },
    Over,
}

/// What a step did.
pub(crate) struct Step {
    /// Bytes read and written.
    pub bytes: u64,
    /// To be made durable, and shown to readers, before the next step.
    pub edit: Option<ManifestEdit>,
    /// True if there is no next step.
    pub is_last: bool,
}

impl Round {
    /// A round over what `dirt` found. `aborted` are all transactions aborted below its limit, by
    /// ascending first offset; `seed` is any number that nobody can know beforehand.
    pub(crate) fn new(
        manifest: &PartitionManifest,
        dirt: &Dirt,
        settings: &CompactionSettings,
        aborted: &[AbortedTransaction],
        map_bytes: usize,
        seed: u64,
        now: Timestamp,
    ) -> Self {
        let keys = KeyMap::new(map_bytes, dirt.dirty_records, seed);
        Self {
            partition: manifest.partition,
            limit: dirt.limit,
            now,
            delete_retention_ms: settings.delete_retention_ms,
            phase: Phase::Index {
                at: dirt.from,
                index: KeyIndex::new(dirt.from, keys),
                aborted: AbortedRanges::new(aborted),
            },
        }
    }

    pub(crate) fn partition(&self) -> PartitionId {
        self.partition
    }

    /// Goes on by a stretch. `manifest` is the partition's present version.
    ///
    /// # Errors
    /// [`CompactionError`]; the round is then over.
    pub(crate) fn step(
        &mut self,
        manifest: &PartitionManifest,
        site: &Site<'_>,
    ) -> Result<Step, CompactionError> {
        match mem::replace(&mut self.phase, Phase::Over) {
            Phase::Index { at, index, aborted } => self.index(manifest, site, at, index, aborted),
            Phase::Rewrite { at, filter, group } => self.rewrite(manifest, site, at, filter, group),
            Phase::Over => Ok(Step {
                bytes: 0,
                edit: None,
                is_last: true,
            }),
        }
    }

    fn index(
        &mut self,
        manifest: &PartitionManifest,
        site: &Site<'_>,
        at: Offset,
        mut index: KeyIndex,
        aborted: AbortedRanges,
    ) -> Result<Step, CompactionError> {
        let segment = segment_below(manifest, at, self.limit);
        let Some(stretch) = segment.map(|segment| Stretch::of(segment, at, site.step_bytes)) else {
            return Ok(self.begin_to_rewrite(manifest, index, aborted, 0));
        };
        let mut has_room = true;
        stretch.read(self.partition, site, |batch| {
            has_room = has_room && index.add(&batch, &aborted);
            Ok(())
        })?;
        if !has_room {
            return Ok(self.begin_to_rewrite(manifest, index, aborted, stretch.bytes));
        }
        let at = stretch.to;
        self.phase = Phase::Index { at, index, aborted };
        Ok(Step::went_on(stretch.bytes))
    }

    fn begin_to_rewrite(
        &mut self,
        manifest: &PartitionManifest,
        index: KeyIndex,
        aborted: AbortedRanges,
        bytes: u64,
    ) -> Step {
        let (keys, end) = index.finish(self.limit);
        let rules = Rules {
            end,
            last_end: last_end(manifest, end),
            now: self.now,
            delete_retention_ms: self.delete_retention_ms,
            aborted,
            producers: LastOfProducers::new(&manifest.producers),
        };
        let at = manifest.segments.first().map_or(end, |s| s.base_offset);
        self.phase = Phase::Rewrite {
            at,
            filter: Box::new(Filter::new(rules, keys)),
            group: Box::new(Group::new(self.partition, at)),
        };
        Step::went_on(bytes)
    }

    fn rewrite(
        &mut self,
        manifest: &PartitionManifest,
        site: &Site<'_>,
        at: Offset,
        mut filter: Box<Filter>,
        mut group: Box<Group>,
    ) -> Result<Step, CompactionError> {
        let Some(segment) = segment_below(manifest, at, filter.end()) else {
            return self.finish(manifest, &mut filter, group);
        };
        let stretch = Stretch::of(segment, at, site.step_bytes);
        let mut written = 0;
        stretch.read(self.partition, site, |batch| {
            let verdict = filter.judge(&batch);
            written += group.add(&batch, verdict, site)?;
            Ok(())
        })?;
        let mut step = Step::went_on(stretch.bytes + written);
        let at = stretch.to;
        if at == segment.end_offset {
            group.end_of(segment);
            let next = segment_below(manifest, at, filter.end());
            if next.is_some_and(|next| group.is_whole(next, site.segment_bytes_max)) {
                step.edit = Some(ManifestEdit {
                    remove_aborted: filter.take_gone_markers(),
                    ..group.finish(manifest)?
                });
                group = Box::new(Group::new(self.partition, at));
            }
        }
        self.phase = Phase::Rewrite { at, filter, group };
        Ok(step)
    }

    fn finish(
        &self,
        manifest: &PartitionManifest,
        filter: &mut Filter,
        group: Box<Group>,
    ) -> Result<Step, CompactionError> {
        let edit = ManifestEdit {
            cleaned_to: Some(filter.end()),
            delete_horizon: Some(filter.next_horizon().unwrap_or(-1)),
            remove_aborted: filter.take_gone_markers(),
            ..group.finish(manifest)?
        };
        Ok(Step {
            bytes: 0,
            edit: Some(edit),
            is_last: true,
        })
    }
}

impl Step {
    fn went_on(bytes: u64) -> Self {
        Self {
            bytes,
            edit: None,
            is_last: false,
        }
    }
}

/// The segment that holds `at`, or the first one behind it, if it begins below `end`.
fn segment_below(
    manifest: &PartitionManifest,
    at: Offset,
    end: Offset,
) -> Option<&Arc<SegmentMeta>> {
    manifest
        .segment_at(at)
        .filter(|segment| segment.base_offset < end)
}

/// Where the last batch ends of the last segment that begins below `end`.
fn last_end(manifest: &PartitionManifest, end: Offset) -> Offset {
    let below = manifest
        .segments
        .partition_point(|segment| segment.base_offset < end);
    let last = manifest.segments[..below].last();
    let block = last.and_then(|segment| segment.blocks.last());
    block.map_or(end, |block| block.end_offset)
}

/// Some blocks of a segment.
struct Stretch<'a> {
    segment: &'a Arc<SegmentMeta>,
    at: Offset,
    /// Next offset after them; the segment's end if there are no more.
    to: Offset,
    bytes: u64,
}

impl<'a> Stretch<'a> {
    /// Blocks from the one that holds `at` on: of about `bytes_max`, but one at least.
    fn of(segment: &'a Arc<SegmentMeta>, at: Offset, bytes_max: u64) -> Self {
        let blocks = segment.blocks.iter().filter(|block| block.end_offset > at);
        let (mut to, mut bytes) = (segment.end_offset, 0);
        for block in blocks {
            if bytes > 0 && bytes + block.data_len > bytes_max {
                to = block.base_offset;
                break;
            }
            bytes += block.data_len;
        }
        Self {
            segment,
            at,
            to,
            bytes,
        }
    }

    fn read(
        &self,
        partition: PartitionId,
        site: &Site<'_>,
        mut each: impl FnMut(StoredBatch) -> Result<(), CompactionError>,
    ) -> Result<(), CompactionError> {
        let reader =
            SegmentReader::new(Arc::clone(site.cache), partition, Arc::clone(self.segment));
        for batch in reader.batches(self.at) {
            let batch = batch?;
            if batch.header.base_offset >= self.to {
                break;
            }
            each(batch)?;
        }
        Ok(())
    }
}
