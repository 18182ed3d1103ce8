//! What must be true of a compacted log, told from all that was ever written to it.

use std::collections::{BTreeMap, HashMap};

use tidelog_records::{Record, validate};

use super::*;
use crate::partition::AbortedRanges;

/// All that was written, and what is known of it.
#[derive(Default)]
pub(super) struct Model {
    pub(super) batches: Vec<StoredBatch>,
    pub(super) aborted: Vec<AbortedTransaction>,
    /// Tombstones that a round may have seen, and when the first of those rounds began.
    seen: BTreeMap<Offset, Timestamp>,
    now: Timestamp,
}

/// A record without the lifetime of its batch.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owned {
    offset: Offset,
    timestamp: Timestamp,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl From<Record<'_>> for Owned {
    fn from(record: Record<'_>) -> Self {
        let headers = record
            .headers
            .map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec)));
        Self {
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: headers.collect(),
        }
    }
}

fn records_of(batch: &StoredBatch) -> Vec<Owned> {
    let records = Records::open(&batch.bytes, 1 << 20).unwrap();
    records
        .iter()
        .map(|record| record.unwrap().into())
        .collect()
}

impl Model {
    /// A round begins that may touch what lies below `limit`.
    pub(super) fn round_begins(&mut self, limit: Offset, now: Timestamp) {
        self.now = now;
        for record in self
            .batches
            .iter()
            .filter(|b| !b.header.is_control())
            .flat_map(records_of)
        {
            if record.offset < limit && record.value.is_none() {
                self.seen.entry(record.offset).or_insert(now);
            }
        }
    }

    pub(super) fn check(&self, log: &Log, delete_retention_ms: i64) {
        let left = log.batches();
        self.batches_are_what_is_left_of_those_written(&left);
        self.newest_records_are_there(log, &left, delete_retention_ms);
        self.markers_outlive_records(log, &left);
        let end = left.last().map(|last| last.header.last_offset() + 1);
        assert!(log.manifest.segments.is_empty() || end == Some(log.manifest.covered_to));
        for producer in &log.manifest.producers {
            let last = producer.batches.last().map(|batch| batch.last_offset);
            let is_there = left.iter().any(|b| Some(b.header.last_offset()) == last);
            let is_gone = last < Some(log.manifest.log_start);
            assert!(is_there || is_gone, "last batch of {producer:?}");
        }
    }

    fn batches_are_what_is_left_of_those_written(&self, left: &[StoredBatch]) {
        let mut written = self.batches.iter();
        for batch in left {
            let header = &batch.header;
            assert_eq!(validate::check_intact(&batch.bytes).as_ref(), Ok(header));
            let before = written
                .find(|b| b.header.base_offset == header.base_offset)
                .expect("written, and in this order");
            let same = |h: &BatchHeader| {
                let flags = h.attributes & 0x38;
                let producer = (h.producer_id, h.producer_epoch, h.base_sequence);
                (
                    h.last_offset_delta,
                    h.partition_leader_epoch,
                    producer,
                    flags,
                )
            };
            assert_eq!(same(header), same(&before.header));
            let (records, all) = (records_of(batch), records_of(before));
            let mut all = all.iter();
            assert!(records.iter().all(|r| all.any(|b| b == r)), "{header:?}");
            if !records.is_empty() {
                assert_eq!(header.codec(), before.header.codec());
            }
            let is_whole = header.record_count == before.header.record_count;
            if is_whole && header.delete_horizon().is_none() {
                assert_eq!(batch.bytes, before.bytes, "kept byte for byte");
            }
        }
    }

    /// Records that count, by offset: no markers, nothing aborted.
    fn visible(&self, log: &Log, batches: &[StoredBatch]) -> Vec<Owned> {
        let aborted = AbortedRanges::new(&self.aborted);
        let counts = |b: &&StoredBatch| aborted.is_committed(&b.header);
        let range = log.manifest.log_start..log.manifest.covered_to;
        batches
            .iter()
            .filter(counts)
            .flat_map(records_of)
            .filter(|record| range.contains(&record.offset) && record.key.is_some())
            .collect()
    }

    fn newest_records_are_there(&self, log: &Log, left: &[StoredBatch], retention_ms: i64) {
        let newest = |batches| -> HashMap<_, _> {
            let records = self.visible(log, batches);
            records
                .into_iter()
                .map(|record| (record.key.clone(), record))
                .collect()
        };
        let (expected, found) = (newest(&self.batches), newest(left));
        for (key, record) in &expected {
            match found.get(key) {
                Some(found) => assert_eq!(found, record),
                None => {
                    assert_eq!(
                        record.value, None,
                        "the newest of its key is gone: {record:?}"
                    );
                    let seen = self.seen.get(&record.offset).expect("seen by a round");
                    assert!(
                        self.now - seen >= retention_ms,
                        "{record:?} went at {}",
                        self.now
                    );
                }
            }
        }
        assert!(found.keys().all(|key| expected.contains_key(key)));
    }

    fn markers_outlive_records(&self, log: &Log, left: &[StoredBatch]) {
        let mut open: HashMap<i64, Offset> = HashMap::new();
        for batch in &self.batches {
            let header = &batch.header;
            let is_left = || {
                left.iter()
                    .any(|b| b.header.base_offset == header.base_offset)
            };
            if header.base_offset >= log.manifest.covered_to {
                break;
            } else if header.is_control() {
                let last = open.remove(&header.producer_id);
                assert!(last.is_none() || is_left(), "no marker behind {last:?}");
            } else if header.is_transactional() && is_left() {
                open.insert(header.producer_id, header.base_offset);
            }
        }
    }

    /// After a whole round: one record of each key, and nothing that never counts.
    pub(super) fn check_clean_part(&self, log: &Log) {
        let range = log.manifest.log_start..log.manifest.cleaned_to;
        let left = log.batches();
        let data = left.iter().filter(|b| !b.header.is_control());
        let all = data
            .flat_map(records_of)
            .filter(|r| range.contains(&r.offset));
        let all: Vec<_> = all.collect();
        let counted = self.visible(log, &left).into_iter();
        assert!(
            counted
                .filter(|r| range.contains(&r.offset))
                .eq(all.iter().cloned())
        );
        let keys: HashSet<_> = all.iter().map(|record| &record.key).collect();
        assert_eq!(keys.len(), all.len(), "one record of each key in {range:?}");
    }
}
