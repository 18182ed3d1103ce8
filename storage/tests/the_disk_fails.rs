//! Steps of the disk fail while the power stays on: at every step of a scripted run, and at random
//! steps of random runs. Whether what failed reached the disk or not, nothing acknowledged is lost,
//! nothing is served that a power cut could take back, and producers go on.

mod world;

use rand::Rng as _;
use tidelog_storage::disk::Fault;
use world::{PowerCut, World};

const FAULTS: [Fault; 3] = [Fault::Undone, Fault::Done, Fault::Lost];

/// Random runs in the test command; `TIDELOG_SEEDS` asks for more.
const SEEDS: u64 = 2_000;

fn act(world: &mut World, action: u32) -> Result<(), PowerCut> {
    match action {
        0..=5 => world.append(),
        6..=8 => world.sync(),
        9..=10 => world.relieve(),
        11 => world.tick(),
        12 => world.retain(),
        13..=14 => world.build_rows(),
        15..=16 => world.compact(),
        _ => world.restart_among_faults(),
    }
}

const RESTART: u32 = 17;

/// Appends, flushes, merges, trims: every kind of file is written.
fn script(world: &mut World) -> Result<(), PowerCut> {
    for _ in 0..3 {
        for action in [
            0, 0, 6, 13, 0, 6, 9, 13, 0, 0, 6, 11, 0, 13, 6, 10, 13, 11, 12, 0, 6, 13, 9, 9, 13,
            11, 0,
        ] {
            act(world, action)?;
        }
    }
    world.sync()
}

#[test]
fn every_step_of_a_script_fails_in_every_way() {
    for fault in FAULTS {
        let mut hit = 0;
        for step in 1.. {
            let mut world = World::new(1);
            world.open().expect("a fresh disk");
            world.fail_steps(step..=step, fault);
            script(&mut world).expect("the power is on");
            if world.disk.faults() == 0 {
                break;
            }
            hit += 1;
            go_on_and_cut_the_power(&mut world);
        }
        assert!(hit > 100, "the script takes {hit} steps");
    }
}

fn go_on_and_cut_the_power(world: &mut World) {
    world.heal().expect("the power is on");
    world.sync().expect("the power is on");
    world.check();
    for action in [0, 6, 13, 0, 9, 0, 6, 13, 11] {
        act(world, action).expect("the power is on");
    }
    world.sync().expect("the power is on");
    world.check();
    world.restart(true).expect("the power is back");
    world.check();
}

#[test]
fn random_steps_of_random_runs_fail() {
    let seeds = std::env::var("TIDELOG_SEEDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(SEEDS);
    for seed in 0..seeds {
        let run = std::panic::catch_unwind(|| random_run(seed));
        assert!(run.is_ok(), "failed with seed {seed}");
    }
}

fn random_run(seed: u64) {
    let mut world = World::new(seed);
    world.open().expect("a fresh disk");
    for _life in 0..world.rng.random_range(1..4) {
        for _failure in 0..world.rng.random_range(1..4) {
            let first = world.rng.random_range(1..40);
            let count = world.rng.random_range(0..3);
            let fault = FAULTS[world.rng.random_range(0..FAULTS.len())];
            world.fail_steps(first..=first + count, fault);
            for _ in 0..world.rng.random_range(1..25) {
                let action = world.rng.random_range(0..=RESTART);
                act(&mut world, action).expect("the power is on");
            }
        }
        go_on_and_cut_the_power(&mut world);
    }
}
