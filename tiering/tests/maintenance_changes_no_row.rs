//! Aim: maintenance of a table changes none of its rows, deletes no file that a snapshot reaches,
//! and lets tiering go on, whatever fails.
//! Method: a table of many small commits; every step of maintenance with each fault at each I/O
//! step; then seeds of tierers and maintainers racing under random faults.

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidelog_tiering::maintain::{MaintainError, Maintainer, Policy, Step};
use tidelog_tiering::union::lake_files;
use tidelog_tiering::{TierState, TopicIdentity};
use world::{FAULTS, Fault, TOPIC_ID, TopicLog, World};

const HOUR_MS: i64 = 3_600_000;

/// Makes something of little.
fn eager() -> Policy {
    let mut policy = Policy::default();
    policy.compaction.inputs_min = 3;
    policy.compaction.small_max = 2;
    policy.merging.small_max = 3;
    policy.cleaning.grace_ms = 0;
    policy.cleaning.orphan_grace_ms = HOUR_MS;
    policy.thinning.keep_all_ms = 1_000;
    policy
}

fn maintainer(world: &World, policy: Policy, now_ms: i64) -> Maintainer {
    let identity = TopicIdentity {
        topic_id: TOPIC_ID,
        epoch: 0,
    };
    Maintainer::new(
        Arc::clone(&world.catalog) as _,
        Some(Arc::new(world.files.clone())),
        Arc::clone(&world.env),
        world.table.clone(),
        identity,
        policy,
        now_ms,
    )
}

/// Runs everything there is to do. Stops at the first error.
async fn run_all(world: &World, policy: Policy) -> Result<(), MaintainError> {
    let now_ms = world.advance(1);
    let mut maintainer = maintainer(world, policy, now_ms);
    while let Some(step) = maintainer.next_step(now_ms) {
        let pinned = BTreeSet::new();
        movable(maintainer.run(step, now_ms, &pinned)).await?;
    }
    Ok(())
}

/// A runtime with several threads can drive it.
fn movable<T: Send>(future: T) -> T {
    future
}

/// Commits ten seconds apart.
async fn commits(world: &World, count: i32) -> TopicLog {
    let mut log = TopicLog::new(&[0, 0]);
    let tierer = world.open(0).await.unwrap();
    for round in 0..count {
        log.append(round % 2, 10);
        log.append(1, 5);
        let bounds = log.bounds.clone();
        tierer.pass(&mut log, &bounds).await.unwrap();
        world.advance(10_000);
    }
    log
}

/// Every snapshot can be read whole, and what it has is in the log.
async fn check(world: &World, log: &TopicLog) {
    assert_eq!(world.rows().await, log.rows());
    let table = world.load().await;
    let all = log.rows();
    for snapshot in table.metadata.snapshots() {
        let rows = world.rows_of(&table, snapshot.snapshot_id()).await;
        assert!(rows.is_subset(&all));
    }
}

#[tokio::test]
async fn files_manifests_and_snapshots_become_few() {
    let world = World::new(1);
    let log = commits(&world, 5).await;
    let now_ms = world.advance(1);
    let mut maintainer = maintainer(&world, eager(), now_ms);
    let mut reports = BTreeMap::new();
    while let Some(step) = maintainer.next_step(now_ms) {
        let report = maintainer
            .run(step, now_ms, &BTreeSet::new())
            .await
            .unwrap();
        reports.entry(step).or_insert(report);
    }
    assert_eq!(reports[&Step::Compact].data_files.before, 5);
    assert_eq!(reports[&Step::Thin].snapshots.after, 2);
    check(&world, &log).await;
    let table = world.load().await;
    let current = table.metadata.current_snapshot_id().unwrap();
    let io = world.io();
    let files = lake_files(&io, &table.metadata, current).await.unwrap();
    assert_eq!(files.len(), 1);
    // The last tier commit's snapshot still holds the five files it began with.
    world.advance(3 * HOUR_MS);
    let tierer = world.open(0).await.unwrap();
    let mut log = log;
    log.append(0, 10);
    let bounds = log.bounds.clone();
    tierer.pass(&mut log, &bounds).await.unwrap();
    world.advance(3 * HOUR_MS);
    run_all(&world, eager()).await.unwrap();
    check(&world, &log).await;
    let data = world.files.paths();
    let data: Vec<_> = data.iter().filter(|path| path.contains("/data/")).collect();
    assert_eq!(data.len(), 2, "{data:?}");
}

#[tokio::test]
async fn no_row_changes_whichever_step_fails_how() {
    let clean = World::new(1);
    commits(&clean, 3).await;
    let before = clean.fate.count();
    run_all(&clean, eager()).await.unwrap();
    let steps = clean.fate.count() - before;
    assert!(steps > 40, "only {steps} steps");
    for step in 0..steps {
        for fault in FAULTS {
            let world = World::new(1);
            let mut log = commits(&world, 3).await;
            world.fate.script(step, fault);
            if fault == Fault::Lie {
                world.fate.script(step + 1, Fault::FailBefore);
            }
            drop(world.until_crash(run_all(&world, eager())).await);
            world.fate.clear();
            check(&world, &log).await;
            // The next life tiers on, and clears up what was left.
            let tierer = world.open(0).await.unwrap();
            assert!(matches!(tierer.state().await, Ok(TierState::Active(_))));
            log.append(0, 7);
            let bounds = log.bounds.clone();
            tierer.pass(&mut log, &bounds).await.unwrap();
            world.advance(2 * HOUR_MS);
            run_all(&world, eager()).await.unwrap();
            check(&world, &log).await;
            let files = world.files.paths().len();
            assert!(files < 45, "{files} files after {fault:?} at {step}");
        }
    }
}

#[tokio::test]
async fn tierers_and_maintainers_race() {
    for seed in 1..=20 {
        println!("seed {seed}");
        Box::pin(race(seed)).await;
    }
}

async fn race(seed: u64) {
    let world = World::new(seed);
    let mut rng = StdRng::seed_from_u64(seed);
    let mut log = commits(&world, 5).await;
    for _ in 0..10 {
        log.append(rng.random_range(0..3), rng.random_range(1..20));
        let mut source = log.clone();
        let tiering = async {
            let tierer = world.open(0).await.ok()?;
            let bounds = source.bounds.clone();
            tierer.pass(&mut source, &bounds).await.ok()
        };
        world.fate.randomize(rng.random(), 0.01);
        let racing = async {
            drop(tokio::join!(
                tiering,
                run_all(&world, eager()),
                run_all(&world, eager())
            ));
        };
        world.until_crash(racing).await;
        world.fate.clear();
        world.advance(rng.random_range(0..HOUR_MS));
    }
    let tierer = world.open(0).await.unwrap();
    let bounds = log.bounds.clone();
    while tierer.pass(&mut log, &bounds).await.unwrap().more {}
    check(&world, &log).await;
    world.advance(2 * HOUR_MS);
    run_all(&world, eager()).await.unwrap();
    check(&world, &log).await;
}
