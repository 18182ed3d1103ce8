//! The lives of tombstones and markers, told step by step; then random lives beside a model.

mod life;
mod model;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidelog_records::control::{Outcome, TxnMarker};
use tidelog_records::{BatchBuilder, BatchHeader, Codec, Header, Records};

use super::*;
use crate::disk::{Disk, SimDisk};
use crate::ids::{Offset, PartitionId, TopicId};
use crate::manifest::{
    AbortedTransaction, ManifestEdit, PartitionManifest, ProducerBatch, ProducerState,
};
use crate::segment::{self, FileId, SegmentCache, SegmentReader, SegmentWriter, StoredBatch};
use crate::store::FreshId;

const PARTITION: PartitionId = PartitionId {
    topic: TopicId([7; 16]),
    index: 0,
};
const LEADER_EPOCH: i32 = 5;

/// A partition of segments on a disk, without WAL and janitor.
struct Log {
    disk: Arc<dyn Disk>,
    cache: Arc<SegmentCache>,
    fresh_id: FreshId,
    manifest: PartitionManifest,
    /// Written, and not in a segment yet.
    pending: Vec<StoredBatch>,
    next_offset: Offset,
    /// Small enough for many steps and groups.
    step_bytes: u64,
    segment_bytes_max: u64,
}

impl Log {
    fn new() -> Self {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
        segment::prepare(&*disk).unwrap();
        let ids = AtomicU64::new(1);
        let fresh = move || u128::from(ids.fetch_add(1, Ordering::Relaxed)).to_be_bytes();
        Self {
            cache: Arc::new(SegmentCache::new(Arc::clone(&disk), 16, 1 << 16)),
            disk,
            fresh_id: Arc::new(fresh),
            manifest: PartitionManifest::new(PARTITION, 0),
            pending: Vec::new(),
            next_offset: 0,
            step_bytes: 1 << 20,
            segment_bytes_max: 1 << 20,
        }
    }

    /// Appends what `builder` makes, at the log's end.
    fn append(&mut self, builder: BatchBuilder) -> BatchHeader {
        let builder = builder
            .base_offset(self.next_offset)
            .leader_epoch(LEADER_EPOCH);
        let batch = StoredBatch::parse(builder.finish().unwrap()).unwrap();
        let header = batch.header;
        self.next_offset = header.last_offset() + 1;
        self.pending.push(batch);
        header
    }

    fn append_marker(&mut self, producer_id: i64, outcome: Outcome) -> BatchHeader {
        let marker = TxnMarker {
            outcome,
            coordinator_epoch: 0,
        };
        let offset = self.next_offset;
        let bytes = marker
            .to_batch(producer_id, 0, offset, LEADER_EPOCH, 10)
            .unwrap();
        let batch = StoredBatch::parse(bytes).unwrap();
        let header = batch.header;
        self.next_offset += 1;
        self.pending.push(batch);
        header
    }

    /// Makes a segment of what is pending.
    fn seal(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let file = FileId((self.fresh_id)());
        let from = self.manifest.covered_to;
        let disk = Arc::clone(&self.disk);
        let mut writer = SegmentWriter::own(disk, file, PARTITION, from).unwrap();
        for batch in self.pending.drain(..) {
            writer.push(batch).unwrap();
        }
        let (_, meta) = writer.finish().unwrap().remove(0);
        self.apply(&ManifestEdit {
            next_offset: Some(self.next_offset),
            covered_to: Some(self.next_offset),
            add_segments: vec![Arc::new(meta)],
            ..ManifestEdit::default()
        });
    }

    fn apply(&mut self, edit: &ManifestEdit) {
        self.manifest = self.manifest.apply(edit).unwrap();
    }

    fn dirt(&self, end: Offset, settings: &CompactionSettings, now: Timestamp) -> Option<Dirt> {
        let log_start = self.manifest.log_start;
        Dirt::of(&self.manifest, Bounds { log_start, end }, settings, now)
    }

    fn step(&self, round: &mut Round) -> round::Step {
        let site = Site {
            disk: &self.disk,
            cache: &self.cache,
            fresh_id: &self.fresh_id,
            segment_bytes_max: self.segment_bytes_max,
            step_bytes: self.step_bytes,
        };
        round.step(&self.manifest, &site).unwrap()
    }

    /// A whole round over all that is sealed.
    fn compact(&mut self, settings: &CompactionSettings, now: Timestamp) {
        let dirt = self.dirt(self.manifest.covered_to, settings, now).unwrap();
        let aborted = self.manifest.aborted.clone();
        let mut round = Round::new(&self.manifest, &dirt, settings, &aborted, 1 << 16, 1, now);
        loop {
            let step = self.step(&mut round);
            if let Some(edit) = step.edit {
                self.apply(&edit);
            }
            if step.is_last {
                return;
            }
        }
    }

    /// All batches in segments.
    fn batches(&self) -> Vec<StoredBatch> {
        let reader = |meta: &Arc<_>| {
            SegmentReader::new(Arc::clone(&self.cache), PARTITION, Arc::clone(meta))
        };
        let read = |meta: &Arc<segment::SegmentMeta>| {
            let reader = reader(meta);
            reader
                .batches(meta.base_offset)
                .map(Result::unwrap)
                .collect::<Vec<_>>()
        };
        self.manifest.segments.iter().flat_map(read).collect()
    }

    /// Each batch in one word: its offsets, and those of its records.
    fn shape(&self) -> Vec<String> {
        let word = |batch: &StoredBatch| {
            let header = &batch.header;
            let records = Records::open(&batch.bytes, 1 << 20).unwrap();
            let offsets: Vec<_> = records
                .iter()
                .map(|r| r.unwrap().offset.to_string())
                .collect();
            let kind = if header.is_control() { "marker " } else { "" };
            let base = header.base_offset;
            format!(
                "{kind}{base}..={}: {}",
                header.last_offset(),
                offsets.join(" ")
            )
        };
        self.batches().iter().map(word).collect()
    }
}

/// A batch of records, each a key and perhaps a value, all of time 10.
fn batch(records: &[(&str, Option<&str>)]) -> BatchBuilder {
    let mut batch = BatchBuilder::new();
    for (key, value) in records {
        let (key, value) = (key.as_bytes(), value.map(str::as_bytes));
        batch.append(10, Some(key), value, []).unwrap();
    }
    batch
}

fn settings(delete_retention_ms: i64) -> CompactionSettings {
    CompactionSettings {
        delete_retention_ms,
        ..CompactionSettings::default()
    }
}

#[test]
fn the_newest_of_each_key_stays_where_it_was() {
    let mut log = Log::new();
    log.append(batch(&[
        ("a", Some("1")),
        ("b", Some("1")),
        ("a", Some("2")),
    ]));
    log.append(batch(&[("c", Some("1")), ("d", Some("1"))]));
    log.seal();
    log.append(batch(&[("a", Some("3"))]));
    log.append(batch(&[("b", Some("2")), ("d", Some("2"))]));
    log.seal();
    let verbatim = log.batches()[3].clone();
    log.compact(&settings(100), 1_000);
    assert_eq!(log.shape(), ["3..=4: 3", "5..=5: 5", "6..=7: 6 7"]);
    assert_eq!(log.batches()[2], verbatim);
    assert_eq!(log.manifest.segments.len(), 1, "small segments are merged");
    assert_eq!(
        (log.manifest.cleaned_to, log.manifest.delete_horizon),
        (8, None)
    );
    // What comes later cleans what was clean.
    log.append(batch(&[("c", Some("2")), ("b", Some("3"))]));
    log.seal();
    log.compact(&settings(100), 2_000);
    assert_eq!(log.shape(), ["5..=5: 5", "6..=7: 7", "8..=9: 8 9"]);
}

#[test]
fn a_tombstone_stays_for_its_time_and_no_older_value_comes_back() {
    let mut log = Log::new();
    log.append(batch(&[("a", Some("1")), ("b", Some("1"))]));
    log.append(batch(&[("a", None)]));
    log.append(batch(&[("z", Some("1"))]));
    log.seal();
    log.compact(&settings(100), 1_000);
    assert_eq!(log.shape(), ["0..=1: 1", "2..=2: 2", "3..=3: 3"]);
    assert_eq!(log.manifest.delete_horizon, Some(1_100));
    assert_eq!(log.batches()[1].header.delete_horizon(), Some(1_100));
    // Still in its time: the horizon does not move.
    log.compact(&settings(100), 1_099);
    assert_eq!(log.manifest.delete_horizon, Some(1_100));
    let dirt = |now| {
        log.dirt(4, &settings(100), now)
            .unwrap()
            .urgency(&settings(100), now)
    };
    assert_eq!((dirt(1_099), dirt(1_100)), (None, Some(0.0)));
    log.compact(&settings(100), 1_100);
    assert_eq!(log.shape(), ["0..=1: 1", "3..=3: 3"]);
    assert_eq!(log.manifest.delete_horizon, None);
}

#[test]
fn the_last_batches_of_log_and_producers_stay_if_need_be_empty() {
    let mut log = Log::new();
    let of_producer = |sequence| batch(&[("a", Some("1"))]).producer(9, 0, sequence);
    log.append(of_producer(0));
    let last = log.append(of_producer(1));
    log.append(batch(&[("a", Some("2"))]));
    let mut keyless = BatchBuilder::new();
    keyless.append(10, None, Some(b"no key"), []).unwrap();
    log.append(keyless);
    log.seal();
    log.apply(&ManifestEdit {
        producers: Some(vec![producer(9, &[last])]),
        ..ManifestEdit::default()
    });
    log.compact(&settings(100), 1_000);
    assert_eq!(log.shape(), ["1..=1: ", "2..=2: 2", "3..=3: "]);
    let empty = log.batches()[0].header;
    assert_eq!((empty.producer_id, empty.last_sequence()), (9, 1));
    assert_eq!(
        log.manifest.segments[0].max_timestamp, 10,
        "it still expires"
    );
    let reader = SegmentReader::new(
        Arc::clone(&log.cache),
        PARTITION,
        Arc::clone(&log.manifest.segments[0]),
    );
    let hit = reader.find_timestamp(5, 0).unwrap().unwrap();
    assert_eq!(
        hit.base_offset, 2,
        "an empty batch has no record to be found"
    );
}

fn producer(producer_id: i64, batches: &[BatchHeader]) -> ProducerState {
    let batch = |header: &BatchHeader| ProducerBatch {
        first_sequence: header.base_sequence,
        last_sequence: header.last_sequence(),
        base_offset: header.base_offset,
        last_offset: header.last_offset(),
        timestamp: 0,
    };
    ProducerState {
        producer_id,
        epoch: 0,
        batches: batches.iter().map(batch).collect(),
        last_timestamp: 0,
        coordinator_epoch: None,
    }
}

#[test]
fn a_marker_outlives_its_records() {
    let mut log = Log::new();
    let transactional = |key| batch(&[(key, Some("1"))]).producer(9, 0, 0).transactional();
    log.append(transactional("aborted"));
    log.append_marker(9, Outcome::Abort);
    log.append(transactional("replaced"));
    log.append_marker(9, Outcome::Commit);
    log.append(transactional("kept"));
    log.append_marker(9, Outcome::Commit);
    log.append(batch(&[("replaced", Some("2"))]));
    log.seal();
    log.apply(&ManifestEdit {
        add_aborted: vec![AbortedTransaction {
            producer_id: 9,
            first_offset: 0,
            last_offset: 1,
            last_stable_offset: 2,
        }],
        ..ManifestEdit::default()
    });
    log.compact(&settings(100), 1_000);
    let all_markers = [
        "marker 1..=1: 1",
        "marker 3..=3: 3",
        "4..=4: 4",
        "marker 5..=5: 5",
        "6..=6: 6",
    ];
    assert_eq!(log.shape(), all_markers);
    assert_eq!(
        log.manifest.delete_horizon, None,
        "their records were there a moment ago"
    );
    log.compact(&settings(100), 2_000);
    assert_eq!(log.shape(), all_markers);
    assert_eq!(log.manifest.delete_horizon, Some(2_100));
    assert_eq!(log.manifest.aborted.len(), 1);
    log.compact(&settings(100), 2_100);
    assert_eq!(log.shape(), ["4..=4: 4", "marker 5..=5: 5", "6..=6: 6"]);
    assert_eq!(log.manifest.delete_horizon, None);
    assert_eq!(log.manifest.aborted, [], "nothing is left to be skipped");
}

#[test]
fn keys_that_do_not_fit_wait_for_the_next_round() {
    let mut log = Log::new();
    for round in ["1", "2"] {
        for key in ["a", "b", "c", "d", "e", "f"] {
            log.append(batch(&[(key, Some(round))]));
        }
    }
    log.seal();
    let mut ends = Vec::new();
    while let Some(dirt) = log
        .dirt(12, &settings(100), 1_000)
        .filter(|d| d.dirty_bytes > 0)
    {
        // Four slots are room for three keys.
        let mut round = Round::new(&log.manifest, &dirt, &settings(100), &[], 96, 1, 1_000);
        while !round_is_over(&mut log, &mut round) {}
        ends.push(log.manifest.cleaned_to);
        assert!(ends.len() < 10, "{ends:?}");
    }
    assert_eq!(ends, [3, 6, 9, 12]);
    let newest: Vec<_> = (6..12).map(|i| format!("{i}..={i}: {i}")).collect();
    assert_eq!(log.shape(), newest);
}

#[test]
fn a_round_that_ends_early_leaves_nothing_undone_below() {
    let mut log = Log::new();
    let mut keyless = BatchBuilder::new();
    keyless.append(10, None, Some(b"no key"), []).unwrap();
    log.append(keyless);
    log.seal();
    log.append(batch(&[("a", Some("1")), ("b", Some("1"))]));
    log.seal();
    let dirt = log.dirt(3, &settings(100), 1_000).unwrap();
    // Room for one key: the round ends between the segments, and nothing of the first one stays.
    let mut round = Round::new(&log.manifest, &dirt, &settings(100), &[], 0, 1, 1_000);
    while !round_is_over(&mut log, &mut round) {}
    assert_eq!(log.manifest.cleaned_to, 1);
    assert_eq!(log.shape(), ["0..=0: ", "1..=2: 1 2"]);
}

/// Goes on by a step; true after the last.
fn round_is_over(log: &mut Log, round: &mut Round) -> bool {
    let step = log.step(round);
    if let Some(edit) = step.edit {
        log.apply(&edit);
    }
    step.is_last
}

#[test]
fn what_cannot_be_decoded_is_kept() {
    let mut log = Log::new();
    log.append(batch(&[("a", Some("1"))]));
    let header = log.append(batch(&[("a", Some("2"))]));
    // Its codec bits say gzip, and the crc agrees.
    let mut bytes = log.pending[1].bytes.to_vec();
    bytes[22] |= 1;
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    log.pending[1] = StoredBatch::parse(Bytes::from(bytes)).unwrap();
    log.append(batch(&[("b", Some("1"))]));
    log.seal();
    let before = log.batches();
    log.compact(&settings(100), 1_000);
    assert_eq!(log.batches(), before, "{header:?}");
}
