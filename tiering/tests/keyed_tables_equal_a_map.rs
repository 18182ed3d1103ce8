//! Aim: the table of a keyed topic has exactly the newest row of each key, whatever happens at any
//! single I/O step, and whoever tiers, maintains or rewrites it at the same time; and a union read
//! finds the same as a replay of the log.
//! Method: a script of puts and deletes against a map; each fault at each step of a run; then seeds
//! of tierers, maintainers and foreign rewrites under random faults. Rows are read by the letter of
//! the specification and by our own planner.

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

mod world;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidelog_tiering::TierState;
use tidelog_tiering::union::lake_files;
use world::keyed::KeyedLog;
use world::{FAULTS, Fault, World};

const HOUR_MS: i64 = 3_600_000;

/// Some puts and deletes of few keys.
fn write(log: &mut KeyedLog, rng: &mut StdRng, count: usize) {
    for _ in 0..count {
        let (partition, key) = (rng.random_range(0..2), rng.random_range(0..25));
        if rng.random_bool(0.75) {
            log.put(partition, key);
        } else {
            log.delete(partition, key);
        }
    }
}

async fn check(world: &World, log: &KeyedLog) {
    assert_eq!(world.keyed_rows().await, log.rows());
    assert_eq!(world.union_rows(log).await, log.rows());
}

#[tokio::test]
async fn a_commit_has_the_net_of_its_changes() {
    let world = World::new(1);
    let mut log = KeyedLog::new();
    // Twice in a run, and come and gone in one.
    log.put(0, 1);
    log.put(0, 1);
    log.put(0, 2);
    log.put(0, 3);
    log.delete(0, 3);
    assert_eq!(world.tier(&log).await.unwrap(), (2, 0));
    check(&world, &log).await;
    // One replaced, one deleted, one new; in the other partition one that is there already.
    log.put(0, 1);
    log.delete(0, 2);
    log.put(0, 4);
    log.put(1, 1);
    assert_eq!(world.union_rows(&log).await, log.rows());
    assert_eq!(world.tier(&log).await.unwrap(), (3, 2));
    check(&world, &log).await;
    // Only deletes; then offsets without any change.
    log.delete(0, 1);
    assert_eq!(world.tier(&log).await.unwrap(), (0, 1));
    log.delete(0, 1);
    assert_eq!(world.tier(&log).await.unwrap(), (0, 0));
    check(&world, &log).await;
    let table = world.load().await;
    let mut snapshots: Vec<_> = table.metadata.snapshots().collect();
    snapshots.sort_by_key(|snapshot| snapshot.sequence_number());
    let operations = snapshots.iter().map(|one| one.summary().operation.as_str());
    let operations: Vec<_> = operations.collect();
    assert_eq!(operations, ["append", "overwrite", "delete", "append"]);
    let last = &snapshots[3].summary().additional_properties;
    assert_eq!(last["total-position-deletes"], "3");
    assert_eq!(last["total-records"], "5");
}

#[tokio::test]
async fn every_key_is_right_whichever_step_fails_how() {
    let clean = World::new(1);
    let before = clean.fate.count();
    two_rounds(&clean).await;
    let steps = clean.fate.count() - before;
    assert!(steps > 40, "only {steps} steps");
    for step in 0..steps {
        for fault in FAULTS {
            let crash = matches!(fault, Fault::CrashBefore | Fault::CrashAfter);
            let followers = [None, Some(Fault::FailBefore)];
            for then in followers.into_iter().take(if crash { 1 } else { 2 }) {
                let world = World::new(1);
                world.fate.script(step, fault);
                if let Some(then) = then {
                    world.fate.script(step + 1, then);
                }
                let log = two_rounds(&world).await;
                world.fate.clear();
                let rows = world.keyed_rows().await;
                assert_eq!(rows, log.rows(), "{fault:?} at {step}, then {then:?}");
            }
        }
    }
}

/// Tiers two runs of changes, starting over from the table after every trouble.
async fn two_rounds(world: &World) -> KeyedLog {
    let mut log = KeyedLog::new();
    let mut rng = StdRng::seed_from_u64(7);
    for _ in 0..2 {
        write(&mut log, &mut rng, 40);
        let mut tries = 0;
        loop {
            let life = async {
                world.tier(&log).await.ok()?;
                let tierer = world.open_keyed(0).await.ok()?;
                let TierState::Active(mark) = tierer.state().await.ok()? else {
                    panic!("a single fault suspended the topic");
                };
                let mut bounds = log.bounds().into_iter();
                Some(bounds.all(|(p, bounds)| mark.ends.get(&p) == Some(&bounds.stable_end)))
            };
            if world.until_crash(life).await.flatten() == Some(true) {
                break;
            }
            tries += 1;
            assert!(tries < 4, "not caught up after {tries} tries");
        }
    }
    log
}

#[tokio::test]
async fn maintenance_changes_no_row_whichever_step_fails_how() {
    let clean = World::new(1);
    six_commits(&clean).await;
    let before = clean.fate.count();
    clean.maintain().await.unwrap();
    let steps = clean.fate.count() - before;
    assert!(steps > 60, "only {steps} steps");
    for step in 0..steps {
        // Two of the five in turn: neighbouring steps are of the same kind.
        for fault in [FAULTS[step % 5], FAULTS[(step + 2) % 5]] {
            println!("{fault:?} at {step}");
            maintained(step, fault).await;
        }
    }
}

/// Maintenance with a fault, then more commits and maintenance without: no row is another, and no
/// file is left that nothing names.
async fn maintained(step: usize, fault: Fault) {
    let world = World::new(1);
    let (mut log, mut rng) = six_commits(&world).await;
    world.fate.script(step, fault);
    if fault == Fault::Lie {
        world.fate.script(step + 1, Fault::FailBefore);
    }
    drop(world.until_crash(world.maintain()).await);
    world.fate.clear();
    check(&world, &log).await;
    write(&mut log, &mut rng, 20);
    world.tier(&log).await.unwrap();
    world.advance(2 * HOUR_MS);
    world.maintain().await.unwrap();
    check(&world, &log).await;
    let mut paths = world.files.paths();
    paths.retain(|path| path.contains("/data/"));
    assert_eq!(paths, world.named_files().await);
}

async fn six_commits(world: &World) -> (KeyedLog, StdRng) {
    let mut log = KeyedLog::new();
    let mut rng = StdRng::seed_from_u64(3);
    for _ in 0..6 {
        write(&mut log, &mut rng, 20);
        world.tier(&log).await.unwrap();
        world.advance(10_000);
    }
    (log, rng)
}

#[tokio::test]
async fn compaction_leaves_no_dead_row_and_one_file() {
    let world = World::new(1);
    let (log, _) = six_commits(&world).await;
    world.maintain().await.unwrap();
    check(&world, &log).await;
    let table = world.load().await;
    let current = table.metadata.current_snapshot().unwrap();
    let io = world.io();
    let files = lake_files(&io, &table.metadata, current.snapshot_id()).await;
    assert_eq!(files.unwrap().len(), 2);
    let totals = &current.summary().additional_properties;
    assert_eq!(totals["total-records"], log.rows().len().to_string());
    assert_eq!(totals["total-delete-files"], "0");
    assert_eq!(totals["total-position-deletes"], "0");
}

#[tokio::test]
async fn tierers_maintainers_and_other_engines_race() {
    for seed in 1..=30 {
        println!("seed {seed}");
        Box::pin(race(seed)).await;
    }
}

async fn race(seed: u64) {
    let world = World::new(seed);
    let mut rng = StdRng::seed_from_u64(seed);
    let mut log = KeyedLog::new();
    write(&mut log, &mut rng, 30);
    world.tier(&log).await.unwrap();
    for _ in 0..12 {
        let count = rng.random_range(1..40);
        write(&mut log, &mut rng, count);
        world.fate.randomize(rng.random(), 0.01);
        let racing = async {
            drop(tokio::join!(
                world.tier(&log),
                world.maintain(),
                world.tier(&log),
                world.maintain()
            ));
        };
        world.until_crash(racing).await;
        world.fate.clear();
        assert_eq!(world.union_rows(&log).await, log.rows());
        if rng.random_bool(0.2) {
            world.foreign_rewrite().await;
            assert_eq!(world.union_rows(&log).await, log.rows());
        }
        world.advance(rng.random_range(0..HOUR_MS));
    }
    let tierer = world.open_keyed(0).await.unwrap();
    let mut source = log.clone();
    while tierer.pass(&mut source, &log.bounds()).await.unwrap().more {}
    check(&world, &log).await;
    world.advance(2 * HOUR_MS);
    world.maintain().await.unwrap();
    check(&world, &log).await;
}
