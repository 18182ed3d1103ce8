//! Producers, copiers and readers of three client families while the broker is killed, restarted, stopped
//! and cut off from power, and connections are cut, frozen, slowed and torn: nothing is lost, doubled,
//! reordered, read though aborted, or stuck. `src/history` judges; `clients/*/soak.*` are the programs.
//!
//! `TIDELOG_SOAK_SECONDS` is how long it lasts (45), `TIDELOG_SOAK_SEED` repeats a run's blows. Power is cut
//! where this process is root and has loop devices.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tidelog_compat_tests::history::Anomaly;
use tidelog_compat_tests::soak::chaos::{self, Blow};
use tidelog_compat_tests::soak::program::FAMILIES;
use tidelog_compat_tests::soak::proxy::Moment;
use tidelog_compat_tests::soak::world::World;

/// A copier's steps, by API key, and the coordinator's for the next transaction.
const STEPS: [(&str, i16); 7] = [
    ("Produce", 0),
    ("OffsetFetch", 9),
    ("InitProducerId", INIT_PRODUCER_ID),
    ("AddPartitionsToTxn", 24),
    ("AddOffsetsToTxn", 25),
    ("TxnOffsetCommit", 28),
    ("EndTxn", 26),
];
const MOMENTS: [Moment; 3] = [Moment::Asked, Moment::Passed, Moment::Answered];
const INIT_PRODUCER_ID: i16 = 22;
/// Some requests are rare: positions are asked for after an abort.
const STEP_WAIT: Duration = Duration::from_secs(10);

#[test]
fn three_families_survive_a_bad_time() {
    let seconds = setting("TIDELOG_SOAK_SECONDS").unwrap_or(45);
    let (seed, mut random) = seed();
    println!("{seconds} s, TIDELOG_SOAK_SEED={seed}");
    let mut world = World::start(World::may_cut_power()).expect("a world");
    let until = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < until {
        std::thread::sleep(chaos::pause(&mut random));
        let blow = chaos::next(&mut random, world.can_cut_power(), FAMILIES.len());
        println!("{blow:?}");
        strike(&mut world, blow, &mut random, seed);
    }
    judge(world, seed);
}

/// The broker dies before, at and after each request a transaction is made of: killed here, without power
/// there.
#[test]
fn exactly_once_wherever_a_transaction_stops() {
    let (seed, mut random) = seed();
    println!("TIDELOG_SOAK_SEED={seed}");
    let mut world = World::start(World::may_cut_power()).expect("a world");
    let kinds: &[fn(Duration) -> Blow] = match world.can_cut_power() {
        true => &[Blow::Kill, Blow::PowerCut],
        false => &[Blow::Kill],
    };
    let stops = STEPS
        .into_iter()
        .flat_map(|step| MOMENTS.map(|moment| (step, moment)));
    for (((name, api_key), moment), kind) in stops.zip(kinds.iter().cycle()) {
        let told = world.proxy().trap(api_key, moment);
        if api_key == INIT_PRODUCER_ID {
            // Producers present themselves once: a new life it takes.
            let client = Blow::KillClient(random.random_range(0..FAMILIES.len()));
            strike(&mut world, client, &mut random, seed);
        }
        if told.recv_timeout(STEP_WAIT).is_err() {
            println!("nobody sent {name}: not stopped there");
            continue;
        }
        if moment == Moment::Passed {
            // Wherever in its work the broker is by then.
            std::thread::sleep(Duration::from_micros(random.random_range(0..4000)));
        }
        let blow = kind(Duration::ZERO);
        println!("{name} {moment:?}: {blow:?}");
        strike(&mut world, blow, &mut random, seed);
        std::thread::sleep(Duration::from_millis(random.random_range(500..1500)));
    }
    judge(world, seed);
}

fn strike(world: &mut World, blow: Blow, random: &mut StdRng, seed: u64) {
    if let Err(error) = world.strike(blow, random) {
        let folder = world.keep();
        let log = world.broker_log();
        panic!("seed {seed}, {blow:?}: {error:?}\nhistories in {folder:?}\n{log}");
    }
}

#[expect(clippy::print_stdout, reason = "the story of a run is for people")]
fn judge(mut world: World, seed: u64) {
    let verdict = world.judge();
    println!("{:?}", world.summary().expect("histories"));
    for (note, times) in world.notes().expect("histories") {
        println!("  {times} × {note}");
    }
    let found = match verdict {
        Ok(found) if found.is_empty() => return,
        Ok(found) => shown(&found),
        Err(error) => format!("{error:?}"),
    };
    let log = world.broker_log();
    let folder = world.keep();
    panic!("seed {seed}: {found}\nhistories in {folder:?}\n--- the broker's log:\n{log}");
}

/// The first few of each kind.
fn shown(found: &[Anomaly]) -> String {
    let mut kinds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for anomaly in found {
        let said = anomaly.to_string();
        let kind = said.split([':', ' ']).next().unwrap_or_default().to_owned();
        kinds.entry(kind).or_default().push(said);
    }
    let kinds = kinds.values().map(|all| {
        let first: Vec<_> = all.iter().take(5).map(String::as_str).collect();
        format!("{} ×\n  {}", all.len(), first.join("\n  "))
    });
    kinds.collect::<Vec<_>>().join("\n")
}

fn seed() -> (u64, StdRng) {
    let seed = setting("TIDELOG_SOAK_SEED").unwrap_or_else(rand::random);
    (seed, StdRng::seed_from_u64(seed))
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is not a number: {text}")),
    )
}
