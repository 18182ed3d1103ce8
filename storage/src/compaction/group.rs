//! Segments that become one: as many neighbours as a segment may hold.
//!
//! A group has at least one batch left; segments that have none go with those behind them, so that
//! what comes of a group covers all its offsets.

use std::sync::Arc;

use bytes::Bytes;

use super::CompactionError;
use super::filter::Verdict;
use super::round::Site;
use crate::ids::{Offset, PartitionId};
use crate::manifest::{ManifestEdit, PartitionManifest};
use crate::segment::{FileId, SegmentMeta, SegmentWriter, StoredBatch};

pub(super) struct Group {
    partition: PartitionId,
    /// Offsets covered: from where the first of the inputs begins to where the last ends.
    from: Offset,
    end: Offset,
    inputs: Vec<FileId>,
    input_bytes: u64,
    /// Once there is a batch to be written.
    writer: Option<SegmentWriter>,
}

impl Group {
    /// A group that begins with the segment at `from`.
    pub(super) fn new(partition: PartitionId, from: Offset) -> Self {
        Self {
            partition,
            from,
            end: from,
            inputs: Vec::new(),
            input_bytes: 0,
            writer: None,
        }
    }

    /// Writes what is left of the next batch; answers how many bytes.
    pub(super) fn add(
        &mut self,
        batch: &StoredBatch,
        verdict: Verdict,
        site: &Site<'_>,
    ) -> Result<u64, CompactionError> {
        let left = match verdict {
            Verdict::Drop => return Ok(0),
            // Copied: a batch is a slice of its block, and few of each block may stay.
            Verdict::Keep => StoredBatch {
                header: batch.header,
                bytes: Bytes::copy_from_slice(&batch.bytes),
            },
            Verdict::Replace(left) => left,
        };
        let written = left.bytes.len() as u64;
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let file = FileId((site.fresh_id)());
                let disk = Arc::clone(site.disk);
                let writer = SegmentWriter::own(disk, file, self.partition, self.from)?;
                self.writer.insert(writer)
            }
        };
        writer.push(left)?;
        Ok(written)
    }

    /// All batches of `segment` have passed.
    pub(super) fn end_of(&mut self, segment: &SegmentMeta) {
        self.inputs.push(segment.file);
        self.input_bytes += segment.batch_bytes;
        self.end = segment.end_offset;
    }

    /// True if the group is to end before `next`.
    pub(super) fn is_whole(&self, next: &SegmentMeta, bytes_max: u64) -> bool {
        self.writer.is_some() && self.input_bytes + next.batch_bytes > bytes_max
    }

    /// Finishes the new file; the edit puts it in the place of the inputs. An edit of nothing if the
    /// log start has passed them meanwhile.
    pub(super) fn finish(
        self,
        manifest: &PartitionManifest,
    ) -> Result<ManifestEdit, CompactionError> {
        let is_there = |file: &FileId| manifest.segments.iter().any(|s| s.file == *file);
        let inputs: Vec<_> = self.inputs.into_iter().filter(is_there).collect();
        let Some(mut writer) = self.writer.filter(|_| !inputs.is_empty()) else {
            return Ok(ManifestEdit::default());
        };
        writer.cover_to(self.end);
        let written = writer.finish()?;
        Ok(ManifestEdit {
            add_segments: written
                .into_iter()
                .map(|(_, meta)| Arc::new(meta))
                .collect(),
            remove_segments: inputs,
            ..ManifestEdit::default()
        })
    }
}
