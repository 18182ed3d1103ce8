//! Whatever happens to a keyed partition, its table is the fold of its log.
//!
//! Seeded lives of appends, syncs, lookups, flushes, checkpoints, retention, kills, power cuts and
//! lost indexes, each lookup compared with a map. A failure prints its seed.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::engines::{Fjall, MemStore, MortalStore};
use crate::world::World;
use rand::Rng;

const STEPS: usize = 80;

/// Lives in the test command, in memory; `TIDELOG_SEEDS` asks for more.
const SEEDS: u64 = 1_500;
/// Lives on the real engine, for so many of the others.
const SEEDS_PER_FJALL: u64 = 100;

fn seeds() -> u64 {
    let asked = std::env::var("TIDELOG_SEEDS").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(SEEDS)
}

fn live<S: MortalStore>(seed: u64, stores: S, accidents: u32) {
    let mut world = World::new(seed, stores);
    for _ in 0..STEPS {
        match world.dice.random_range(0..60 + accidents) {
            0..22 => world.append(),
            22..32 => world.sync(),
            32..44 => world.look_up(),
            44..54 => world.flush_some(),
            54..57 => world.checkpoint(),
            57..60 => world.trim(),
            at => match at % 4 {
                0 => world.kill(),
                1 => world.power_cut(),
                2 => world.lose_index(),
                _ => world.lose_index_and_checkpoint(),
            },
        }
    }
    world.look_up();
    world.power_cut();
}

fn each_seed(seeds: u64, run: impl Fn(u64)) {
    for seed in 0..seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed))) {
            eprintln!("seed {seed}");
            resume_unwind(panic);
        }
    }
}

#[test]
fn on_an_engine_that_forgets() {
    each_seed(seeds(), |seed| live(seed, MemStore::default(), 8));
}

#[test]
fn on_fjall() {
    each_seed(seeds() / SEEDS_PER_FJALL, |seed| {
        live(seed, Fjall::new(), 4)
    });
}
