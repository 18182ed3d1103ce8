//! The power goes at every step of a scripted run, and at random steps of random runs. What comes
//! back must hold everything that was acknowledged and nothing that was not sent, and must go on.

mod world;

use rand::Rng as _;
use world::{COMPACTED, PowerCut, World};

/// Random runs in the test command; `TIDELOG_SEEDS` asks for more.
const SEEDS: u64 = 20_000;

/// A clean stop and a start.
const RESTART: u32 = 17;

fn act(world: &mut World, action: u32) -> Result<(), PowerCut> {
    let done = match action {
        0..=5 => world.append(),
        6..=8 => world.sync(),
        9..=10 => world.relieve(),
        11 => world.tick(),
        12 => world.retain(),
        13..=14 => world.build_rows(),
        15..=16 => world.compact(),
        _ => {
            let closed = world.close();
            closed.and_then(|()| world.restart(false))
        }
    };
    // Some steps may fail without harm: a file that is left over, a round of compaction.
    match world.disk.is_dead() {
        true => Err(PowerCut),
        false => done,
    }
}

/// Appends, flushes, merges, trims, stops and starts: every kind of file is written.
fn script(world: &mut World) -> Result<(), PowerCut> {
    world.open()?;
    for round in 0..3 {
        for action in [
            0, 0, 6, 13, 0, 6, 9, 13, 0, 0, 6, 11, 0, 13, 6, 10, 13, 11, 12, 0, 6, 13, 9, 9, 13,
            11, 15, 15, 0, 6, 0, 0, 6, 11, 16, 0,
        ] {
            act(world, action)?;
        }
        if round == 1 {
            act(world, RESTART)?;
        }
    }
    world.close()
}

#[test]
fn the_power_goes_at_every_step_of_a_script() {
    let mut whole = World::new(1);
    script(&mut whole).expect("nothing cuts this one");
    let steps = whole.disk.steps();
    assert!(steps > 100, "the script takes {steps} steps");
    for step in 1..=steps {
        // The clean restart in the script begins a new disk, so later steps need no second count.
        let mut world = World::new(1);
        world.disk.cut_power_at(step);
        let _ = script(&mut world);
        recover_and_go_on(&mut world);
    }
}

fn recover_and_go_on(world: &mut World) {
    world.restart(true).expect("the power is back");
    world.check();
    for action in [0, 6, 13, 0, 9, 0, 6, 13, 11, 15] {
        act(world, action).expect("the power is on");
    }
    world.sync().expect("the power is on");
    world.check();
}

#[test]
fn the_power_goes_at_random_steps_of_random_runs() {
    with_seeds(SEEDS, random_run);
}

#[test]
fn the_power_goes_while_a_log_is_compacted() {
    with_seeds(SEEDS / 20, compacting_run);
}

fn with_seeds(seeds: u64, run: fn(u64)) {
    let asked = std::env::var("TIDELOG_SEEDS");
    let asked = asked.ok().and_then(|n| n.parse().ok());
    for seed in 0..asked.unwrap_or(seeds) {
        let run = std::panic::catch_unwind(|| run(seed));
        assert!(run.is_ok(), "failed with seed {seed}");
    }
}

/// One partition, with more of its log in segments than one of them holds.
fn compacting_run(seed: u64) {
    const ACTIONS: [u32; 16] = [0, 0, 0, 0, 0, 0, 6, 6, 6, 9, 11, 11, 15, 15, 15, 12];
    let mut world = World::new(seed);
    world.busy = COMPACTED..COMPACTED + 1;
    world.open().expect("a fresh disk");
    for _life in 0..world.rng.random_range(1..6) {
        let cut_after = world.rng.random_range(1..400);
        world.disk.cut_power_at(world.disk.steps() + cut_after);
        for _ in 0..150 {
            // Retention is rare, or nothing is left to be compacted.
            let count = ACTIONS.len() - usize::from(world.rng.random_range(0..8) > 0);
            let action = ACTIONS[world.rng.random_range(0..count)];
            if act(&mut world, action).is_err() {
                break;
            }
        }
        while world.restart(true).is_err() {}
        world.check();
    }
}

fn random_run(seed: u64) {
    let mut world = World::new(seed);
    world.open().expect("a fresh disk");
    for _life in 0..world.rng.random_range(1..4) {
        let cut_after = world.rng.random_range(1..60);
        world.disk.cut_power_at(world.disk.steps() + cut_after);
        for _ in 0..40 {
            let action = world.rng.random_range(0..RESTART);
            if act(&mut world, action).is_err() {
                break;
            }
        }
        let mut power_cut = world.rng.random_range(0..4) > 0;
        // After a mere kill the planned cut may still come, in the middle of recovery.
        while world.restart(power_cut).is_err() {
            power_cut = true;
        }
        world.check();
    }
}
