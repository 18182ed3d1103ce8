//! A compacted partition in the world: the newest record of each key must be what was sent last, and
//! whatever else is left must be as it was sent.

use std::collections::HashMap;

use bytes::Bytes;
use rand::Rng;
use rand::rngs::StdRng;
use tidelog_records::{BatchBuilder, BatchHeader, Record, Records};
use tidelog_storage::{CompactionOptions, CompactionSettings, LogSettings, Marks};

use super::Sent;

/// Few, so that most records are replaced; too many for one segment, and for one round's map.
const KEYS: u32 = 40;

/// Little memory, and a few kilobytes per tick.
pub fn options() -> CompactionOptions {
    CompactionOptions {
        map_bytes: 24 * 20,
        bytes_per_tick: 24 << 10,
        interval_ms: 0,
    }
}

pub fn settings() -> LogSettings {
    let compaction = CompactionSettings {
        min_dirty_ratio: 0.1,
        delete_retention_ms: 25_000,
        seal_bytes: 4 << 10,
        ..CompactionSettings::default()
    };
    LogSettings {
        compaction: Some(compaction),
        ..LogSettings::default()
    }
}

/// Adds a record of some key, often a tombstone.
pub fn append(batch: &mut BatchBuilder, rng: &mut StdRng, now: i64, value: &[u8]) {
    let key = rng.random_range(0..KEYS).to_be_bytes();
    let value = (rng.random_range(0..4) > 0).then_some(value);
    batch.append(now, Some(&key), value, []).expect("small");
}

/// Everything of a record but its place in the batch.
type Seen = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>);

fn records(batch: &Bytes, from: i64) -> Vec<Seen> {
    let records = Records::open(batch, 1 << 20).expect("a batch");
    let seen = |record: Record<'_>| {
        let (key, value) = (
            record.key.map(<[u8]>::to_vec),
            record.value.map(<[u8]>::to_vec),
        );
        (record.offset + from, record.timestamp, key, value)
    };
    records
        .iter()
        .map(|record| seen(record.expect("whole")))
        .collect()
}

/// Holds what was `read` from log start to high watermark against what was sent.
pub fn check(marks: &Marks, read: &[Bytes], sent: &[Sent]) {
    let range = marks.log_start..marks.high_watermark;
    let sent: HashMap<i64, &Sent> = sent.iter().map(|sent| (sent.base_offset, sent)).collect();
    let mut left = Vec::new();
    for batch in read {
        let header = BatchHeader::read(batch).expect("a whole batch");
        let before = sent.get(&header.base_offset).expect("sent");
        assert_eq!(header.last_offset_delta, before.header.last_offset_delta);
        assert_eq!(header.base_sequence, before.header.base_sequence);
        let all = records(&before.original, before.base_offset);
        let of_batch = records(batch, 0);
        assert!(
            of_batch.iter().all(|record| all.contains(record)),
            "{header:?}"
        );
        left.extend(of_batch);
    }
    assert!(left.is_sorted_by_key(|record| record.0), "in order");
    let mut all: Vec<_> = sent
        .values()
        .flat_map(|s| records(&s.original, s.base_offset))
        .collect();
    all.sort_by_key(|record| record.0);
    let newest = |records: Vec<Seen>| -> HashMap<_, _> {
        let readable = records
            .into_iter()
            .filter(|record| range.contains(&record.0));
        readable.map(|record| (record.2.clone(), record)).collect()
    };
    let (expected, found) = (newest(all), newest(left));
    for (key, record) in &expected {
        match found.get(key) {
            Some(found) => assert_eq!(found, record, "newest of its key: {marks:?}"),
            None => assert_eq!(record.3, None, "{record:?} is gone: {marks:?}"),
        }
    }
}
