//! From WAL to segments: copies what is durable of some partitions into new segment files.
//!
//! A partition with much gets files of its own; the small remainders of all others go into one pack
//! file, so that a flush of a thousand partitions costs one sync. Nothing is published here.

use std::io;
use std::sync::Arc;

use crate::ids::{Offset, PartitionId, Timestamp};
use crate::manifest::{ManifestEdit, PartitionManifest};
use crate::partition::{LogState, Partition, Run, batches_of};
use crate::producers::Producers;
use crate::segment::{FileId, SegmentMeta, SegmentWriter, StoredBatch, WriteError};
use crate::store::Store;

/// Why a flush failed; nothing was changed, though files may have been left that nothing names.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("reading the WAL: {0}")]
    Wal(#[from] io::Error),
    #[error("the WAL of {partition} is damaged at offset {offset}")]
    Damaged {
        partition: PartitionId,
        offset: Offset,
    },
}

/// A partition whose data is in segment files now; the edit says which.
pub struct Flushed {
    pub partition: Arc<Partition>,
    pub edit: ManifestEdit,
}

/// What of one partition is to be written.
struct Job {
    partition: Arc<Partition>,
    from: Offset,
    log_start: Offset,
    end: Offset,
    runs: Vec<Arc<Run>>,
    bytes: u64,
    producers: Producers,
    segments: Vec<SegmentMeta>,
}

/// Writes segments for what is durable and uncovered of `partitions`, at most about a segment of each.
pub fn write<'a>(
    store: &Store,
    partitions: &[Arc<Partition>],
    manifest: impl Fn(PartitionId) -> Option<&'a Arc<PartitionManifest>>,
    now: Timestamp,
) -> Result<Vec<Flushed>, FlushError> {
    let bytes_max = store.options.segment_bytes_max;
    let of = |partition| Job::of(partition, bytes_max);
    let mut jobs: Vec<Job> = partitions.iter().filter_map(of).collect();
    for job in &mut jobs {
        let known = manifest(job.partition.id).map_or(&[][..], |m| &m.producers);
        job.producers = Producers::restore(known);
    }
    jobs.sort_by_key(|job| job.partition.id);
    let (mut large, mut small): (Vec<_>, Vec<_>) = jobs
        .into_iter()
        .partition(|job| job.bytes >= store.options.segment_bytes_min);
    for job in &mut large {
        write_own(store, job)?;
    }
    write_pack(store, &mut small)?;
    large.extend(small);
    Ok(large
        .into_iter()
        .map(|job| job.into_flushed(store, now))
        .collect())
}

impl Job {
    /// The oldest runs up to about `bytes_max`: the WAL gets room piece by piece, while appends wait
    /// for little.
    fn of(partition: &Arc<Partition>, bytes_max: u64) -> Option<Self> {
        let log = partition.log_state();
        let mut runs = Vec::new();
        let mut bytes = 0;
        for run in log.durable_runs() {
            if bytes >= bytes_max {
                break;
            }
            bytes += run.bytes();
            runs.push(Arc::clone(run));
        }
        let end = runs.last()?.end_offset;
        Some(Self {
            partition: Arc::clone(partition),
            from: log.covered_to.max(log.log_start),
            log_start: log.log_start,
            end,
            bytes,
            runs,
            producers: Producers::default(),
            segments: Vec::new(),
        })
    }

    /// Calls `each` for every batch that a segment must hold, and keeps the producers up to it.
    fn for_each_batch(
        &mut self,
        now: Timestamp,
        mut each: impl FnMut(StoredBatch) -> Result<(), FlushError>,
    ) -> Result<(), FlushError> {
        for run in &self.runs {
            let mut next = run.first_offset;
            for batch in batches_of(run.whole().load()?) {
                next = batch.header.last_offset() + 1;
                self.producers.apply(&batch.header, now);
                if next > self.from.max(self.log_start) {
                    each(batch)?;
                }
            }
            if next != run.end_offset {
                let partition = self.partition.id;
                return Err(FlushError::Damaged {
                    partition,
                    offset: next,
                });
            }
        }
        Ok(())
    }

    fn into_flushed(mut self, store: &Store, now: Timestamp) -> Flushed {
        self.producers
            .expire(now, store.options.producer_idle_ms_max);
        let covered_to = self.end.max(self.from);
        let log = self.partition.log_state();
        let edit = ManifestEdit {
            log_start: Some(self.log_start),
            next_offset: Some(covered_to),
            covered_to: Some(covered_to),
            epochs: Some(log.epochs.below(covered_to)),
            producers: Some(self.producers.snapshot()),
            add_segments: self.segments.into_iter().map(Arc::new).collect(),
            ..ManifestEdit::default()
        };
        drop(log);
        Flushed {
            partition: self.partition,
            edit,
        }
    }
}

fn fresh_file(store: &Store) -> FileId {
    FileId((store.fresh_id)())
}

fn write_own(store: &Store, job: &mut Job) -> Result<(), FlushError> {
    let id = job.partition.id;
    let start = |from| SegmentWriter::own(Arc::clone(&store.disk), fresh_file(store), id, from);
    let mut writer: Option<SegmentWriter> = None;
    let (mut from, mut bytes) = (job.from, 0);
    let mut segments = Vec::new();
    job.for_each_batch(-1, |batch| {
        let next = batch.header.last_offset() + 1;
        bytes += batch.bytes.len() as u64;
        match &mut writer {
            Some(writer) => writer.push(batch)?,
            None => writer.insert(start(from)?).push(batch)?,
        }
        if bytes >= store.options.segment_bytes_max {
            finish(store, writer.take(), &mut segments)?;
            (from, bytes) = (next, 0);
        }
        Ok(())
    })?;
    finish(store, writer, &mut segments)?;
    job.segments = segments.into_iter().map(|(_, meta)| meta).collect();
    Ok(())
}

fn write_pack(store: &Store, jobs: &mut [Job]) -> Result<(), FlushError> {
    let mut writer: Option<SegmentWriter> = None;
    for job in jobs.iter_mut() {
        let (id, from) = (job.partition.id, job.from);
        let mut begun = false;
        job.for_each_batch(-1, |batch| {
            if writer.is_none() {
                writer = Some(SegmentWriter::pack(
                    Arc::clone(&store.disk),
                    fresh_file(store),
                )?);
            }
            if let Some(writer) = &mut writer {
                if !std::mem::replace(&mut begun, true) {
                    writer.begin(id, from)?;
                }
                writer.push(batch)?;
            }
            Ok(())
        })?;
    }
    let mut segments = Vec::new();
    finish(store, writer, &mut segments)?;
    for (id, meta) in segments {
        if let Ok(at) = jobs.binary_search_by_key(&id, |job| job.partition.id) {
            jobs[at].segments.push(meta);
        }
    }
    Ok(())
}

fn finish(
    store: &Store,
    writer: Option<SegmentWriter>,
    into: &mut Vec<(PartitionId, SegmentMeta)>,
) -> Result<(), FlushError> {
    let Some(writer) = writer else { return Ok(()) };
    let written = writer.finish()?;
    store.count_segment(written.first().map_or(0, |(_, meta)| meta.file_len));
    into.extend(written);
    Ok(())
}

impl LogState {
    /// Tail runs below the high watermark, oldest first.
    pub(crate) fn durable_runs(&self) -> impl Iterator<Item = &Arc<Run>> {
        self.runs
            .iter()
            .take_while(|run| run.end_offset <= self.high_watermark)
    }
}
