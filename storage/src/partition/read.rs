//! Reading a partition: a plan is taken under the lock in moments, its bytes are loaded later.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tidelog_records::{BatchHeader, HEADER_LEN};

use super::{LogState, Partition, Run, Span, Standing};
use crate::ids::{Offset, Timestamp};
use crate::segment::{self, SegmentReader, StoredBatch};

/// Most pieces of segments one plan loads; each is one read of up to a block.
const SEGMENT_PIECES_MAX: usize = 8;

/// Why a partition cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("offset {offset} is outside the log, which holds {log_start} to {high_watermark}")]
    OutOfRange {
        offset: Offset,
        log_start: Offset,
        high_watermark: Offset,
    },
    #[error("the topic was deleted")]
    Deleted,
    #[error("the partition is damaged: {0}")]
    Damaged(String),
    #[error(transparent)]
    Segment(#[from] segment::ReadError),
    #[error("reading the WAL: {0}")]
    Wal(#[from] io::Error),
}

/// How far a read goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadEnd {
    /// All that is durable, as Kafka's read_uncommitted.
    HighWatermark,
    /// What no open transaction can change any more, as read_committed.
    StableEnd,
}

/// What to read, decided at one moment; stays valid whatever happens to the partition.
pub struct ReadPlan {
    source: Source,
}

enum Source {
    Nothing,
    Tail(Vec<Span>),
    Segments {
        readers: Vec<Arc<SegmentReader>>,
        range: Range<Offset>,
        max_bytes: u64,
        at_least_one: bool,
    },
}

/// A record found by its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampHit {
    /// Base offset of the batch to look into.
    pub batch_offset: Offset,
    pub leader_epoch: i32,
}

impl ReadPlan {
    /// True when there is nothing to read at that offset yet.
    pub fn is_empty(&self) -> bool {
        match &self.source {
            Source::Nothing => true,
            Source::Tail(spans) => spans.is_empty(),
            Source::Segments { .. } => false,
        }
    }

    /// Bytes, as far as they are known without I/O; segments count as much as was asked for.
    pub fn bytes(&self) -> u64 {
        match &self.source {
            Source::Nothing => 0,
            Source::Tail(spans) => spans.iter().map(|span| u64::from(span.len)).sum(),
            Source::Segments { max_bytes, .. } => *max_bytes,
        }
    }

    /// The bytes, if all of them are in memory.
    pub fn in_memory(&self) -> Option<Vec<Bytes>> {
        match &self.source {
            Source::Nothing => Some(Vec::new()),
            Source::Tail(spans) => spans.iter().map(Span::in_memory).collect(),
            Source::Segments { .. } => None,
        }
    }

    /// The bytes: whole batches in offset order. May block on the disk.
    pub fn load(&self) -> Result<Vec<Bytes>, ReadError> {
        match &self.source {
            Source::Nothing => Ok(Vec::new()),
            Source::Tail(spans) => Ok(spans.iter().map(Span::load).collect::<io::Result<_>>()?),
            Source::Segments {
                readers,
                range,
                max_bytes,
                at_least_one,
            } => load_segments(readers, range.clone(), *max_bytes, *at_least_one),
        }
    }
}

fn load_segments(
    readers: &[Arc<SegmentReader>],
    mut wanted: Range<Offset>,
    mut max_bytes: u64,
    mut at_least_one: bool,
) -> Result<Vec<Bytes>, ReadError> {
    let mut pieces = Vec::new();
    for reader in readers {
        while let Some(range) = reader.locate(wanted.clone(), max_bytes, at_least_one)? {
            if range.len == 0 || pieces.len() == SEGMENT_PIECES_MAX {
                return Ok(pieces);
            }
            pieces.push(Bytes::from(range.read()?));
            wanted.start = range.next_offset;
            max_bytes = max_bytes.saturating_sub(range.len);
            at_least_one = false;
        }
    }
    Ok(pieces)
}

impl Partition {
    /// Plans a read up to the high watermark: see [`plan_read_to`](Self::plan_read_to).
    pub fn plan_read(
        &self,
        offset: Offset,
        max_bytes: u64,
        at_least_one: bool,
    ) -> Result<ReadPlan, ReadError> {
        self.plan_read_to(ReadEnd::HighWatermark, offset, max_bytes, at_least_one)
    }

    /// Plans a read of whole batches from the one that holds `offset` on (in a gap: the next), up to
    /// `end` and `max_bytes`; with `at_least_one` the first batch comes however large it is. From
    /// `end` to the high watermark the plan is empty.
    pub fn plan_read_to(
        &self,
        end: ReadEnd,
        offset: Offset,
        max_bytes: u64,
        at_least_one: bool,
    ) -> Result<ReadPlan, ReadError> {
        let log = self.log.lock();
        log.check_readable()?;
        log.check_start(offset)?;
        let end = match end {
            ReadEnd::HighWatermark => log.high_watermark,
            ReadEnd::StableEnd => log.stable_end(),
        };
        let in_tail = offset >= log.covered_to
            || log
                .runs
                .front()
                .is_some_and(|run| run.first_offset <= offset);
        let source = if offset >= end {
            Source::Nothing
        } else if in_tail {
            Source::Tail(log.cut_tail(offset..end, max_bytes, at_least_one))
        } else {
            let readers = log.segments_from(offset).to_vec();
            Source::Segments {
                readers,
                range: offset..end,
                max_bytes,
                at_least_one,
            }
        };
        Ok(ReadPlan { source })
    }

    /// The first batch that may hold a record of `timestamp` or later. May block on the disk.
    pub fn find_timestamp(&self, timestamp: Timestamp) -> Result<Option<TimestampHit>, ReadError> {
        let (segments, runs, log_start, high_watermark) = {
            let log = self.log.lock();
            log.check_readable()?;
            let late = |run: &&Arc<Run>| run.max_timestamp >= timestamp;
            let runs: Vec<_> = log.readable_runs().filter(late).cloned().collect();
            (
                log.segments.clone(),
                runs,
                log.log_start,
                log.high_watermark,
            )
        };
        for reader in segments {
            if let Some(range) = reader.find_timestamp(timestamp, log_start)? {
                return Ok(Some(self.hit(range.base_offset)));
            }
        }
        for run in runs {
            let bytes = run.whole().load()?;
            let found = batches_of(bytes).find(|b| {
                b.header.max_timestamp >= timestamp && b.header.last_offset() >= log_start
            });
            if let Some(batch) = found.filter(|b| b.header.base_offset < high_watermark) {
                return Ok(Some(self.hit(batch.header.base_offset)));
            }
        }
        Ok(None)
    }

    /// The batch that holds the largest timestamp; the first of them if several do.
    pub fn find_max_timestamp(&self) -> Result<Option<TimestampHit>, ReadError> {
        let max = {
            let log = self.log.lock();
            log.check_readable()?;
            let tail = log.readable_runs().map(|run| run.max_timestamp);
            // Blocks, not segments: those count batches that compaction emptied.
            let blocks = log.segments.iter().flat_map(|s| &s.meta().blocks);
            blocks.map(|b| b.max_timestamp).chain(tail).max()
        };
        match max {
            Some(max) if max >= 0 => self.find_timestamp(max),
            _ => Ok(None),
        }
    }

    fn hit(&self, batch_offset: Offset) -> TimestampHit {
        let leader_epoch = self.log.lock().epochs.at(batch_offset).unwrap_or(0);
        TimestampHit {
            batch_offset,
            leader_epoch,
        }
    }

    /// Leader epoch of the record at `offset`, if it is known.
    pub fn epoch_at(&self, offset: Offset) -> Option<i32> {
        self.log.lock().epochs.at(offset)
    }
}

impl LogState {
    pub(crate) fn check_readable(&self) -> Result<(), ReadError> {
        match &self.standing {
            Standing::Open => Ok(()),
            Standing::Deleted => Err(ReadError::Deleted),
            Standing::Damaged(why) => Err(ReadError::Damaged(why.clone())),
        }
    }

    /// Fails unless `offset` lies between log start and high watermark.
    pub(super) fn check_start(&self, offset: Offset) -> Result<(), ReadError> {
        let (log_start, high_watermark) = (self.log_start, self.high_watermark);
        if (log_start..=high_watermark).contains(&offset) {
            return Ok(());
        }
        Err(ReadError::OutOfRange {
            offset,
            log_start,
            high_watermark,
        })
    }

    /// Durable tail runs that do not lie wholly below the log start.
    fn readable_runs(&self) -> impl Iterator<Item = &Arc<Run>> {
        let log_start = self.log_start;
        self.durable_runs()
            .filter(move |run| run.end_offset > log_start)
    }

    fn segments_from(&self, offset: Offset) -> &[Arc<SegmentReader>] {
        &self.segments[self
            .segments
            .partition_point(|s| s.meta().end_offset <= offset)..]
    }

    fn cut_tail(&self, mut wanted: Range<Offset>, max_bytes: u64, at_least_one: bool) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        let mut left = max_bytes;
        let from = self
            .runs
            .partition_point(|run| run.end_offset <= wanted.start);
        // A slot is synced whole, so a run lies wholly below the high watermark or above it.
        let durable = self
            .runs
            .range(from..)
            .take_while(|run| run.end_offset <= self.high_watermark);
        for run in durable {
            let at_least_one = at_least_one && spans.is_empty();
            let Some(span) = run.cut(wanted.clone(), left, at_least_one) else {
                break;
            };
            left = left.saturating_sub(u64::from(span.len));
            wanted.start = span.next_offset;
            let run_ended = wanted.start == run.end_offset;
            spans.push(span);
            if !run_ended {
                break;
            }
        }
        spans
    }
}

/// Splits back-to-back batches; ends at the first byte that starts none.
pub(crate) fn batches_of(mut bytes: Bytes) -> impl Iterator<Item = StoredBatch> {
    std::iter::from_fn(move || {
        let header = BatchHeader::read(&bytes)?;
        let len = header.total_len();
        if len < HEADER_LEN || len > bytes.len() {
            return None;
        }
        Some(StoredBatch {
            header,
            bytes: bytes.split_to(len),
        })
    })
}
