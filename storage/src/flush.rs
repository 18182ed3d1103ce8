//! From WAL to segments: copies what is durable of some partitions into new segment files.
//!
//! A partition with much gets files of its own; the small remainders of all others go into one pack
//! file, so that a flush of a thousand partitions costs one sync. Nothing is published here.
//!
//! The manifest's producers, open transactions and aborted ones are carried on by the same batches: from
//! where they stand, `covered_to`, to exactly where the flush ends.

use std::io;
use std::sync::Arc;

use tidelog_records::control::{Outcome, TxnMarker};

use crate::ids::{Offset, PartitionId, Timestamp};
use crate::manifest::{AbortedTransaction, ManifestEdit, PartitionManifest};
use crate::partition::{LogState, Partition, Run, batches_of};
use crate::producers::{Entry, Producers};
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
    /// Below, nothing is written: it is covered, or deleted. Runs there still tell of producers.
    from: Offset,
    end: Offset,
    runs: Vec<Arc<Run>>,
    /// Of batches to be written, about.
    bytes: u64,
    now: Timestamp,
    producers: Producers,
    aborted: Vec<AbortedTransaction>,
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
    let of = |partition: &Arc<Partition>| {
        let known = manifest(partition.id).map(|known| &**known);
        Job::of(partition, known, bytes_max, now)
    };
    let mut jobs: Vec<Job> = partitions.iter().filter_map(of).collect();
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
        .map(|job| job.into_flushed(store))
        .collect())
}

impl Job {
    /// The oldest runs up to about `bytes_max`: the WAL gets room piece by piece, while appends wait
    /// for little. `known` is what the partition's manifest says by now.
    fn of(
        partition: &Arc<Partition>,
        known: Option<&PartitionManifest>,
        bytes_max: u64,
        now: Timestamp,
    ) -> Option<Self> {
        let log = partition.log_state();
        // A log start that moved since comes into the manifest by itself.
        let from = log.covered_to.max(known.map_or(0, |known| known.log_start));
        let mut runs = Vec::new();
        let mut bytes = 0;
        for run in log.durable_runs() {
            if bytes >= bytes_max {
                break;
            }
            if run.end_offset > from {
                bytes += run.bytes();
            }
            runs.push(Arc::clone(run));
        }
        let end = runs.last()?.end_offset;
        let producers = known.map(|known| {
            let (open, to) = (&known.open_transactions, known.covered_to);
            Producers::restore(&known.producers, open, to)
        });
        Some(Self {
            partition: Arc::clone(partition),
            from,
            end,
            bytes,
            runs,
            now,
            producers: producers.unwrap_or_default(),
            aborted: Vec::new(),
            segments: Vec::new(),
        })
    }

    /// Calls `each` for every batch that a segment must hold, and keeps count of producers.
    fn for_each_batch(
        &mut self,
        mut each: impl FnMut(StoredBatch) -> Result<(), FlushError>,
    ) -> Result<(), FlushError> {
        for run in std::mem::take(&mut self.runs) {
            if run.end_offset <= self.from {
                self.pass(&run)?;
                continue;
            }
            let mut next = run.first_offset;
            for batch in batches_of(run.whole().load()?) {
                let marker = self.marker_of(&batch)?;
                next = batch.header.last_offset() + 1;
                self.note(&Entry {
                    header: batch.header,
                    marker,
                });
                if next > self.from {
                    each(batch)?;
                }
            }
            if next != run.end_offset {
                return Err(self.damaged(next));
            }
        }
        Ok(())
    }

    /// Nothing of the run is to be written, and what is to be known stands in its slot's footer.
    fn pass(&mut self, run: &Run) -> Result<(), FlushError> {
        let damaged = |_| self.damaged(run.first_offset);
        let entries = run.slot.entries()?.map_err(damaged)?;
        let id = self.partition.id;
        let offsets = run.first_offset..run.end_offset;
        for entry in &entries {
            if entry.is_batch()
                && entry.partition == id
                && offsets.contains(&entry.batch.base_offset)
            {
                self.note(&entry.of_producer());
            }
        }
        Ok(())
    }

    fn note(&mut self, entry: &Entry) {
        match self.producers.apply(entry, self.now) {
            Some(ended) if ended.outcome == Outcome::Abort => self.aborted.push(ended.into()),
            _ => {}
        }
    }

    fn marker_of(&self, batch: &StoredBatch) -> Result<Option<TxnMarker>, FlushError> {
        if !batch.header.is_control() {
            return Ok(None);
        }
        let marker = TxnMarker::of_batch(&batch.bytes);
        marker.map_err(|_| self.damaged(batch.header.base_offset))
    }

    fn damaged(&self, offset: Offset) -> FlushError {
        let partition = self.partition.id;
        FlushError::Damaged { partition, offset }
    }

    fn into_flushed(mut self, store: &Store) -> Flushed {
        self.producers
            .expire(self.now, store.options.producer_idle_ms_max);
        let end = self.end.max(self.from);
        let edit = ManifestEdit {
            next_offset: Some(end),
            covered_to: Some(self.end),
            epochs: Some(self.partition.log_state().epochs.below(end)),
            producers: Some(self.producers.snapshot()),
            open_transactions: Some(self.producers.open_transactions()),
            add_aborted: self.aborted,
            add_segments: self.segments.into_iter().map(Arc::new).collect(),
            ..ManifestEdit::default()
        };
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
    job.for_each_batch(|batch| {
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
        job.for_each_batch(|batch| {
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
