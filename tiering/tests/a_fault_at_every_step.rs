//! Aim: whatever happens at any single I/O step of a pass, every row lands exactly once.
//! Method: count the steps of a clean run, then repeat the run with each fault at each step, alone
//! and with the step after it failing too (so that an unknown outcome cannot be looked up at once).

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

mod world;

use std::collections::BTreeMap;

use tidelog_tiering::{TierState, Tierer};
use world::{FAULTS, Fault, TopicLog, World};

#[tokio::test]
async fn every_row_lands_once_whichever_step_fails_how() {
    let clean = World::new(1);
    let steps_before = clean.fate.count();
    run(&clean, None).await;
    let steps = clean.fate.count() - steps_before;
    assert!(
        steps > 30,
        "only {steps} steps: the script is not reaching the files"
    );

    for step in 0..steps {
        for fault in FAULTS {
            let crash = matches!(fault, Fault::CrashBefore | Fault::CrashAfter);
            let followers = [None, Some(Fault::FailBefore)];
            for then in followers.into_iter().take(if crash { 1 } else { 2 }) {
                let world = World::new(1);
                run(&world, Some((step, fault, then))).await;
                let rows = TopicLog::new(&[50, 33]).rows();
                assert_eq!(
                    world.rows().await,
                    rows,
                    "{fault:?} at {step}, then {then:?}"
                );
            }
        }
    }
}

/// Creates the table and tiers two rounds, starting over from the table after every trouble.
async fn run(world: &World, fault: Option<(usize, Fault, Option<Fault>)>) {
    if let Some((step, fault, then)) = fault {
        world.fate.script(step, fault);
        if let Some(then) = then {
            world.fate.script(step + 1, then);
        }
    }
    let late = fault.is_some_and(|(_, _, then)| then.is_some());
    for ends in [[20, 33], [50, 33]] {
        let mut log = TopicLog::new(&ends);
        let mut tries = 0;
        while !caught_up(world, &mut log, late).await {
            tries += 1;
            assert!(
                tries < 4,
                "not caught up after {tries} tries with {fault:?}"
            );
        }
    }
}

/// One process life: open, pass, look. False when it met an error or crashed.
async fn caught_up(world: &World, log: &mut TopicLog, late: bool) -> bool {
    let life = async {
        let tierer: Tierer = world.open(0).await.ok()?;
        let bounds = log.bounds.clone();
        let TierState::Active(before) = tierer.state().await.ok()? else {
            panic!("suspended before the pass");
        };
        let report = tierer.pass(log, &bounds).await.ok()?;
        let moved = report
            .moved
            .iter()
            .map(|(partition, range)| (*partition, range.end));
        let ends: BTreeMap<i32, i64> = before.ends.into_iter().chain(moved).collect();
        // Rows of a life before may arrive during this one; only then is less reported.
        if !late {
            assert_eq!(
                report.mark.ends, ends,
                "the report does not say what the pass did"
            );
        }
        let TierState::Active(mark) = tierer.state().await.ok()? else {
            panic!("a single fault suspended the topic");
        };
        Some(
            bounds
                .iter()
                .all(|(p, bounds)| mark.ends.get(p) == Some(&bounds.stable_end)),
        )
    };
    world.until_crash(life).await.flatten().unwrap_or(false)
}
