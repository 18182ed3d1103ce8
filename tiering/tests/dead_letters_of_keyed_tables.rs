//! Aim: a keyed topic's rows, the deletes of those they replace and its dead letters are one commit to
//! two tables, whatever happens to it or beside it.
//! Method: a script of puts, deletes and records that are no rows; each fault at each step of a run;
//! then seeds of tierers and maintenance at once under random faults.

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

mod world;

use arrow_array::RecordBatch;
use tidelog_tiering::{PassError, Redecoder, Retry, SourceError};
use world::keyed::KeyedLog;
use world::{FAULTS, World};

/// Ten keys put anew, one deleted, and a dead letter in each of two partitions.
fn write(log: &mut KeyedLog, round: u8) {
    (0..10).for_each(|key| log.put(0, key));
    log.invalid(0);
    log.delete(0, round % 10);
    log.invalid(1);
    log.put(1, round);
}

async fn assert_whole(world: &World, log: &KeyedLog, context: &str) {
    world.fate.clear();
    assert_eq!(world.keyed_rows().await, log.rows(), "rows, {context}");
    let dead_letters = world.dead_letters().await;
    assert_eq!(dead_letters, log.dead_letters(), "{context}");
}

/// Tiers two rounds, starting over from the tables after every trouble.
async fn run(world: &World, context: &str) -> KeyedLog {
    let mut log = KeyedLog::new();
    for round in 0..2 {
        write(&mut log, round);
        let mut tries = 0;
        while world.until_crash(caught_up(world, &log)).await != Some(true) {
            tries += 1;
            assert!(
                tries < 4,
                "not caught up after {tries} tries with {context}"
            );
        }
    }
    log
}

/// Two passes: the second finds nothing, or does what the first could not.
async fn caught_up(world: &World, log: &KeyedLog) -> bool {
    world.tier(log).await.is_ok() && world.tier(log).await.is_ok()
}

#[tokio::test]
async fn rows_and_dead_letters_are_the_log_whichever_step_fails_how() {
    let clean = World::new(1);
    let before = clean.fate.count();
    run(&clean, "no fault").await;
    let steps = clean.fate.count() - before;
    assert!(steps > 50, "only {steps} steps");
    for step in 0..steps {
        for fault in FAULTS {
            let (world, context) = (World::new(1), format!("{fault:?} at {step}"));
            world.fate.script(step, fault);
            let log = run(&world, &context).await;
            assert_whole(&world, &log, &context).await;
        }
    }
}

#[tokio::test]
async fn tierers_and_maintenance_at_once_put_each_record_in_one_place() {
    for seed in 0..12 {
        let world = World::new(seed);
        let mut log = KeyedLog::new();
        for round in 0..6 {
            write(&mut log, round);
            world.fate.randomize(seed * 100 + u64::from(round), 0.01);
            let racing = async {
                drop(tokio::join!(
                    world.tier(&log),
                    world.maintain(),
                    world.tier(&log)
                ));
            };
            world.until_crash(racing).await;
            world.fate.clear();
            world.advance(10_000);
        }
        assert!(caught_up(&world, &log).await, "seed {seed}");
        assert_whole(&world, &log, &format!("seed {seed}")).await;
        world.maintain().await.unwrap();
        assert_whole(&world, &log, &format!("seed {seed}, maintained")).await;
    }
}

/// Is not asked.
struct Never;

impl Redecoder for Never {
    fn redecode(&mut self, _: i32, _: &RecordBatch) -> Result<RecordBatch, SourceError> {
        panic!("rows of a keyed table are not put in late")
    }
}

#[tokio::test]
async fn dead_letters_of_a_keyed_table_are_not_tried_again() {
    let world = World::new(1);
    let log = run(&world, "no fault").await;
    let tierer = world.open_keyed(0).await.unwrap();
    let error = tierer.retry(&mut Retry::default(), &mut Never).await;
    assert!(matches!(error, Err(PassError::Late(_))), "{error:?}");
    assert_whole(&world, &log, "refused").await;
}
