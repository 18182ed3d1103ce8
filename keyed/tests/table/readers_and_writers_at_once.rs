//! Lookups, folds, flushes and checkpoints on several threads: each answer is the exact fold up to
//! the offset it says it reflects.
//!
//! Record `n` writes its own offset under key `n % KEYS`, so that any answer can be checked alone.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use tidelog_keyed::{
    CatchUpError, Change, Chunk, EngineError, EngineStore, FjallOptions, FjallStore, KeyEngine,
    KeySnapshot, KeyedTable, TableOptions,
};
use tidelog_records::BatchBuilder;
use tidelog_storage::ids::Offset;

use crate::engines::MemStore;
use crate::world::PARTITION;

const KEYS: i64 = 50;
const BATCH: i64 = 20;
const BATCHES: i64 = 600;

fn batch(number: i64) -> Bytes {
    let base = number * BATCH;
    let mut batch = BatchBuilder::new().base_offset(base);
    for offset in base..base + BATCH {
        let (key, value) = ((offset % KEYS).to_be_bytes(), offset.to_be_bytes());
        batch.append(0, Some(&key), Some(&value), []).unwrap();
    }
    batch.finish().unwrap()
}

/// The newest offset below `end` that wrote `key`.
fn newest(key: i64, end: Offset) -> Option<Offset> {
    (0..end).rev().take(KEYS as usize).find(|n| n % KEYS == key)
}

fn check_lookup(table: &KeyedTable, stable_end: Offset, acked: Offset) {
    let keys: Vec<_> = (0..KEYS)
        .map(|key| Bytes::copy_from_slice(&key.to_be_bytes()))
        .collect();
    let lookup = table.lookup(&keys, stable_end).unwrap();
    assert!(
        lookup.reflects >= acked,
        "acked {acked}, {}",
        lookup.reflects
    );
    for (key, row) in (0..KEYS).zip(lookup.rows) {
        let offset = row.map(|row| row.offset);
        assert_eq!(
            offset,
            newest(key, lookup.reflects),
            "at {}",
            lookup.reflects
        );
    }
}

fn check_snapshot(table: &KeyedTable) {
    let snapshot = table.snapshot().unwrap();
    let applied = snapshot.applied().unwrap().unwrap();
    for row in snapshot.rows() {
        let (key, row) = row.unwrap();
        let key = i64::from_be_bytes(key[..].try_into().unwrap());
        assert_eq!(Some(row.offset), newest(key, applied), "at {applied}");
    }
}

/// Takes its time before and after everything, so that the others get in between. A snapshot takes
/// longer than a batch: a whole flush fits in.
struct Slow(Box<dyn KeyEngine>);

impl KeyEngine for Slow {
    fn apply(&self, changes: &[Change], applied: Option<Offset>) -> Result<(), EngineError> {
        thread::sleep(Duration::from_micros(50));
        self.0.apply(changes, applied)?;
        thread::sleep(Duration::from_micros(50));
        Ok(())
    }

    fn snapshot(&self) -> Result<Box<dyn KeySnapshot>, EngineError> {
        thread::sleep(Duration::from_micros(500));
        self.0.snapshot()
    }

    fn approximate_rows(&self) -> u64 {
        self.0.approximate_rows()
    }
}

#[test]
fn each_answer_is_exact_on_fjall() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = FjallStore::open(dir.path(), &FjallOptions::default()).unwrap();
    check_answers(store.open(PARTITION).unwrap());
}

#[test]
fn each_answer_is_exact_on_a_slow_engine() {
    check_answers(Box::new(Slow(MemStore::default().open(PARTITION).unwrap())));
}

fn check_answers(engine: Box<dyn KeyEngine>) {
    let table = Arc::new(KeyedTable::new(
        PARTITION,
        engine,
        0,
        TableOptions::default(),
    ));
    // Two appenders fold what they find in the log, in whatever order they come.
    let (log_end, acked) = (AtomicI64::new(0), AtomicI64::new(0));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let mut appenders = Vec::new();
        for _ in 0..2 {
            appenders.push(scope.spawn(|| {
                loop {
                    let base = log_end.fetch_add(BATCH, Ordering::SeqCst);
                    if base >= BATCHES * BATCH {
                        return;
                    }
                    let read = |at: Offset| Ok::<_, Infallible>(Chunk::of(vec![batch(at / BATCH)]));
                    let caught_up: Result<(), CatchUpError<_>> = table.catch_up(base + BATCH, read);
                    caught_up.unwrap();
                    acked.fetch_max(base + BATCH, Ordering::SeqCst);
                    thread::sleep(Duration::from_micros(200));
                }
            }));
        }
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                table.flush_step(3_000).unwrap();
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    let acked = acked.load(Ordering::SeqCst);
                    check_lookup(&table, acked, acked);
                    check_snapshot(&table);
                }
            });
        }
        for appender in appenders {
            appender.join().unwrap();
        }
        done.store(true, Ordering::SeqCst);
    });
    check_lookup(&table, BATCHES * BATCH, BATCHES * BATCH);
    assert_eq!(table.flush().unwrap(), BATCHES * BATCH);
    assert_eq!(table.overlay_bytes(), 0);
}
