//! Changes that a power cut could take back are neither answered nor flushed, and what a table
//! refuses leaves it as it was.

use bytes::Bytes;
use std::convert::Infallible;
use std::sync::Arc;

use tidelog_keyed::{
    CatchUpError, Chunk, EngineStore, FjallOptions, FjallStore, FoldError, Folded, Home,
    KEY_BYTES_MAX, KeyedTable, Start, TableOptions, Unfit, open,
};
use tidelog_records::BatchBuilder;
use tidelog_storage::disk::{Disk, SimDisk};
use tidelog_storage::ids::{Offset, PartitionId, TopicId};

const PARTITION: PartitionId = PartitionId {
    topic: TopicId([2; 16]),
    index: 1,
};

struct Fixture {
    store: FjallStore,
    table: KeyedTable,
    _dir: tempfile::TempDir,
}

fn fixture(options: TableOptions) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = FjallStore::open(dir.path(), &FjallOptions::default()).unwrap();
    let engine = store.open(PARTITION).unwrap();
    Fixture {
        table: KeyedTable::new(PARTITION, engine, 0, options),
        store,
        _dir: dir,
    }
}

type Record<'a> = (Option<&'a [u8]>, Option<&'a str>);

fn batch(base: Offset, records: &[Record<'_>]) -> Bytes {
    let mut batch = BatchBuilder::new().base_offset(base);
    for (key, value) in records {
        let value = value.map(str::as_bytes);
        batch.append(7, *key, value, []).unwrap();
    }
    batch.finish().unwrap()
}

fn put<'a>(key: &'a str, value: &'a str) -> Record<'a> {
    (Some(key.as_bytes()), Some(value))
}

fn value_of(table: &KeyedTable, key: &str, stable_end: Offset) -> (Option<Bytes>, Offset) {
    let keys = [Bytes::copy_from_slice(key.as_bytes())];
    let mut lookup = table.lookup(&keys, stable_end).unwrap();
    let row = lookup.rows.pop().unwrap();
    (row.map(|row| row.value), lookup.reflects)
}

fn seen(value: &'static str, reflects: Offset) -> (Option<Bytes>, Offset) {
    (Some(Bytes::from_static(value.as_bytes())), reflects)
}

#[test]
fn the_older_row_answers_until_the_newer_is_stable() {
    let Fixture { table, .. } = fixture(TableOptions::default());
    table.fold(&batch(0, &[put("k", "old")])).unwrap();
    table
        .fold(&batch(1, &[put("k", "new"), (Some(b"k"), None)]))
        .unwrap();
    assert_eq!(value_of(&table, "k", 0), (None, 0));
    assert_eq!(value_of(&table, "k", 1), seen("old", 1));
    // The old one in the engine, the newer ones still in the overlay.
    assert_eq!(table.flush().unwrap(), 1);
    assert_eq!(value_of(&table, "k", 1), seen("old", 1));
    assert_eq!(value_of(&table, "k", 2), seen("new", 2));
    assert_eq!(value_of(&table, "k", 3), (None, 3));
    // The stable end never moves back, and a lookup says so.
    assert_eq!(value_of(&table, "k", 1), (None, 3));
    // Nor does a table reflect what it has not folded.
    assert_eq!(value_of(&table, "k", 99), (None, 3));
}

#[test]
fn flushing_stops_at_the_stable_end() {
    let Fixture { table, .. } = fixture(TableOptions::default());
    table
        .fold(&batch(0, &[put("a", "1"), put("b", "2")]))
        .unwrap();
    assert_eq!(table.flush().unwrap(), 0);
    table.advance(1);
    assert_eq!(table.flush().unwrap(), 1);
    assert_eq!(table.snapshot().unwrap().rows().count(), 1);
    assert_eq!(table.applied(), 1);
}

#[test]
fn a_batch_counts_once() {
    let Fixture { table, .. } = fixture(TableOptions::default());
    let first = batch(0, &[put("a", "1"), put("a", "2")]);
    assert_eq!(table.fold(&first).unwrap().changes, 2);
    let bytes = table.overlay_bytes();
    assert_eq!(table.fold(&first).unwrap(), Folded::default());
    // One that reaches beyond what was folded adds only that.
    let longer = batch(0, &[put("a", "1"), put("a", "2"), put("a", "3")]);
    assert_eq!(table.fold(&longer).unwrap().changes, 1);
    assert_eq!(table.folded_to(), 3);
    assert!(table.overlay_bytes() > bytes);
    assert_eq!(value_of(&table, "a", 3), seen("3", 3));
}

#[test]
fn gaps_and_damage_change_nothing() {
    let Fixture { table, .. } = fixture(TableOptions {
        batch_bytes_max: 1_000,
        ..TableOptions::default()
    });
    let gap = table.fold(&batch(3, &[put("a", "1")]));
    assert!(matches!(
        gap,
        Err(FoldError::Gap {
            expected: 0,
            got: 3
        })
    ));
    let good = batch(0, &[put("a", "1")]);
    let mut rotten = good.to_vec();
    *rotten.last_mut().unwrap() ^= 1;
    for bad in [rotten, good[..40].to_vec(), Vec::new(), vec![0xff; 100]] {
        assert!(table.fold(&Bytes::from(bad)).is_err());
    }
    let mut bomb = BatchBuilder::new().codec(tidelog_records::Codec::Zstd, None);
    bomb.append(0, Some(b"k"), Some(&[0; 100_000]), []).unwrap();
    let bomb = table.fold(&bomb.finish().unwrap());
    assert!(matches!(bomb, Err(FoldError::Batch { offset: 0, .. })));
    assert_eq!((table.folded_to(), table.overlay_bytes()), (0, 0));
    table.skip_to(3);
    assert_eq!(table.fold(&batch(3, &[put("a", "1")])).unwrap().changes, 1);
}

#[test]
fn records_without_a_usable_key_are_passed_over() {
    let Fixture { table, .. } = fixture(TableOptions::default());
    let long = vec![b'k'; KEY_BYTES_MAX + 1];
    let records = [
        (None, Some("v")),
        (Some(&long[..]), Some("v")),
        put("a", "1"),
    ];
    let folded = table.fold(&batch(0, &records)).unwrap();
    assert_eq!((folded.changes, folded.passed_over), (1, 2));
    table.advance(3);
    assert_eq!(table.flush().unwrap(), 3);
}

#[test]
fn a_full_overlay_says_so_and_empties() {
    let Fixture { table, .. } = fixture(TableOptions {
        overlay_bytes_max: 500,
        ..TableOptions::default()
    });
    for offset in 0..20 {
        table.fold(&batch(offset, &[put("key", "value")])).unwrap();
    }
    assert!(!table.has_room());
    table.flush().unwrap();
    assert!(!table.has_room(), "nothing is stable yet");
    table.advance(20);
    table.flush().unwrap();
    assert!(table.has_room());
}

#[test]
fn catching_up_stays_within_the_budget() {
    let Fixture { table, .. } = fixture(TableOptions {
        overlay_bytes_max: 10_000,
        step_bytes: 1_000,
        ..TableOptions::default()
    });
    let mut most = 0;
    let read = |at: Offset| {
        most = most.max(table.overlay_bytes());
        Ok::<_, Infallible>(Chunk::of(vec![batch(at, &[put("k", "v"); 10])]))
    };
    table.catch_up(5_000, read).unwrap();
    assert!((1..20_000).contains(&most), "{most}");
    assert_eq!(table.folded_to(), 5_000);
}

#[test]
fn what_is_left_out_of_the_log_holds_nothing() {
    let Fixture { table, .. } = fixture(TableOptions::default());
    let read = |at: Offset| {
        let chunk = match at {
            0 => Chunk {
                pieces: vec![batch(0, &[put("a", "1")]), batch(7, &[put("b", "2")])],
                end: 12,
            },
            at => Chunk::of(vec![batch(at, &[put("c", "3")])]),
        };
        Ok::<_, Infallible>(chunk)
    };
    table.catch_up(13, read).unwrap();
    assert_eq!(table.folded_to(), 13);
    let keys = ["a", "b", "c"].map(bytes::Bytes::from);
    let offsets = table.lookup(&keys, 13).unwrap().rows;
    let offsets: Vec<_> = offsets.iter().flatten().map(|row| row.offset).collect();
    assert_eq!(offsets, [0, 7, 12]);
}

#[test]
fn a_log_that_ends_early_is_an_error() {
    let Fixture { table, .. } = fixture(TableOptions::default());
    let read = |_| Ok::<_, Infallible>(Chunk::default());
    let missing = table.catch_up(5, read);
    assert!(matches!(
        missing,
        Err(CatchUpError::Missing { at: 0, end: 5 })
    ));
}

#[test]
fn an_engine_from_another_life_of_the_log_is_made_anew() {
    let Fixture { table, store, _dir } = fixture(TableOptions::default());
    table
        .fold(&batch(0, &[put("a", "lost"), put("b", "lost")]))
        .unwrap();
    table.advance(2);
    table.flush().unwrap();
    drop(table);
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    let home = |log_start, log_end| Home {
        partition: PARTITION,
        engines: &store,
        disk: &disk,
        checkpoints: &[],
        log_start,
        log_end,
    };
    // Whole while the log has it all; ahead once a power cut took something back.
    let resumed = open(&home(0, 2), TableOptions::default()).unwrap();
    assert_eq!(resumed.start, Start::Resumed);
    drop(resumed);
    let ahead = open(&home(0, 1), TableOptions::default()).unwrap();
    let why = Unfit::AheadOfLog {
        applied: 2,
        log_end: 1,
    };
    let checkpoint = None;
    assert_eq!(ahead.start, Start::Rebuilt { why, checkpoint });
    assert_eq!(ahead.table.snapshot().unwrap().rows().count(), 0);
    drop(ahead);
    // Behind a log that no longer begins at 0, with nothing to start from.
    let lost = open(&home(1, 2), TableOptions::default()).map(|opened| opened.start);
    assert!(
        lost.unwrap_err()
            .to_string()
            .contains("is lost: its log starts at 1")
    );
}
