//! Whatever the engine, whatever happens: table, changelog, scans and counts equal the model.
//!
//! Seeded lives under every rule (engine × deletes × image) with open and aborted transactions, rules
//! that change, kills, power cuts and lost indexes. A failure prints its seed; `TIDELOG_SEEDS` asks
//! for more lives.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use rand::Rng;

use crate::engines::{Fjall, MemStore, MortalStore};
use crate::world::World;

const STEPS: usize = 60;
const SEEDS: u64 = 1_500;
/// Lives on the real engine, for so many of the others.
const SEEDS_PER_FJALL: u64 = 50;

fn seeds() -> u64 {
    let asked = std::env::var("TIDELOG_SEEDS").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(SEEDS)
}

fn live<S: MortalStore>(seed: u64, stores: S, accidents: u32) {
    let mut world = World::new(seed, stores);
    for _ in 0..STEPS {
        match world.dice.random_range(0..72 + accidents) {
            0..20 => world.append(),
            20..26 => world.end_txn(),
            26..34 => world.sync(),
            34..42 => world.look_up(),
            42..46 => world.scan(),
            46..54 => world.flush_some(),
            54..61 => world.follow(),
            61..66 => world.save(),
            66..69 => world.checkpoint(),
            69..71 => world.trim(),
            71 => world.rule(),
            at => match at % 3 {
                0 => world.kill(),
                1 => world.power_cut(),
                _ => world.lose_index(),
            },
        }
    }
    world.settle();
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
    each_seed(seeds(), |seed| live(seed, MemStore::default(), 6));
}

#[test]
fn on_fjall() {
    each_seed(seeds() / SEEDS_PER_FJALL, |seed| {
        live(seed, Fjall::new(), 3);
    });
}
