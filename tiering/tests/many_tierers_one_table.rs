//! Aim: several tierers of one topic, growing epochs, faults everywhere and foreign commits in
//! between never double or lose a row.
//! Method: seeded random runs; two passes interleave at every I/O step. A failure prints its seed:
//! `TIDELOG_SEED=n cargo test -p tidelog-tiering --test many_tierers_one_table` runs that one.

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

mod world;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidelog_tiering::{PassError, PassLimits, TierState};
use world::{TOPIC_ID, TopicLog, World, layout};

const SEEDS: u64 = 30;

#[tokio::test]
async fn rows_in_the_lake_are_the_rows_given() {
    let seeds = match std::env::var("TIDELOG_SEED") {
        Ok(seed) => seed.parse().unwrap()..=seed.parse().unwrap(),
        Err(_) => 1..=SEEDS,
    };
    for seed in seeds {
        println!("seed {seed}");
        Box::pin(run(seed)).await;
    }
}

async fn run(seed: u64) {
    let world = World::new(seed);
    let mut rng = StdRng::seed_from_u64(seed);
    let mut log = TopicLog::new(&[0, 0, 0]);
    let mut epoch = 0;
    world.fate.randomize(seed, 0.02);
    for _ in 0..12 {
        for _ in 0..rng.random_range(0..4) {
            log.append(rng.random_range(0..4), rng.random_range(1..40));
        }
        let limits = PassLimits {
            bytes_max: if rng.random_bool(0.3) { 600 } else { 1 << 20 },
            attempts_max: rng.random_range(1..5),
        };
        let older = epoch;
        epoch += i64::from(rng.random_bool(0.2));
        let (mut one, mut two) = (log.clone(), log.clone());
        let racing = async {
            // Whatever goes wrong here, the next round starts from the table.
            drop(tokio::join!(
                pass(&world, older, limits, &mut one),
                pass(&world, epoch, limits, &mut two),
            ));
        };
        world.until_crash(racing).await;
        if rng.random_bool(0.2) {
            disturb(&world, &mut rng).await;
            world.fate.randomize(rng.random(), 0.02);
        }
    }
    world.fate.clear();
    let tierer = world.open(epoch).await.unwrap();
    let bounds = log.bounds.clone();
    while tierer.pass(&mut log, &bounds).await.unwrap().more {}
    assert_eq!(world.rows().await, log.rows(), "seed {seed}");
    let TierState::Active(mark) = tierer.state().await.unwrap() else {
        panic!("seed {seed}")
    };
    for (partition, bounds) in bounds.iter().filter(|(_, bounds)| bounds.stable_end > 0) {
        assert_eq!(mark.ends[partition], bounds.stable_end, "seed {seed}");
    }
}

async fn pass(
    world: &World,
    epoch: i64,
    limits: PassLimits,
    log: &mut TopicLog,
) -> Result<(), PassError> {
    let tierer = world.open_with(epoch, TOPIC_ID, &layout(), limits).await?;
    let bounds = log.bounds.clone();
    tierer.pass(log, &bounds).await.map(drop)
}

/// Somebody else commits, expires all but the current snapshot, or loses our property.
async fn disturb(world: &World, rng: &mut StdRng) {
    world.fate.clear();
    if !world.catalog.table_exists(&world.table).await.unwrap() {
        return;
    }
    let table = world.load().await;
    let Some(current) = table.metadata.current_snapshot_id() else {
        return;
    };
    match rng.random_range(0..3) {
        0 => drop(world.foreign_commit().await),
        1 => {
            let others = table
                .metadata
                .snapshots()
                .map(|snapshot| snapshot.snapshot_id());
            let snapshot_ids = others.filter(|id| *id != current).collect();
            world
                .update(vec![iceberg::TableUpdate::RemoveSnapshots { snapshot_ids }])
                .await;
        }
        _ => {
            let complete = table.metadata.snapshots().all(|snapshot| {
                let parent = snapshot.parent_snapshot_id();
                parent.is_none_or(|parent| table.metadata.snapshot_by_id(parent).is_some())
            });
            if complete {
                let removals = vec!["tidelog.tier".to_owned()];
                world
                    .update(vec![iceberg::TableUpdate::RemoveProperties { removals }])
                    .await;
            }
        }
    }
}
