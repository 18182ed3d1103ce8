//! kill -9 at random moments under load: an idempotent producer loses nothing and doubles nothing.
//!
//! `TIDELOG_KILLS` is the number of kills (10), `TIDELOG_KILL_SEED` repeats a run's moments.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tidelog_compat_tests::broker::Broker;
use tidelog_compat_tests::foreign::Ledger;

/// The producer must get through again this long after a restart at the latest.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn acknowledged_records_survive_kills() {
    let kills = setting("TIDELOG_KILLS").unwrap_or(10);
    let seed = setting("TIDELOG_KILL_SEED").unwrap_or_else(rand::random);
    println!("{kills} kills, TIDELOG_KILL_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);

    let mut broker = Broker::start().expect("broker");
    let ledger = Ledger::start(&broker.address(), "ledger", 4, &[]).expect("producer");
    ledger.progress(PATIENCE).expect("first acknowledgements");
    for kill in 1..=kills {
        std::thread::sleep(Duration::from_millis(random.random_range(20..1200)));
        broker.kill().expect("kill");
        let ready = broker.restart().expect("restart");
        let acked = ledger
            .progress(PATIENCE)
            .expect("acknowledgements after a kill");
        println!("kill {kill}: ready after {ready:?}, {acked} records acknowledged");
    }
    let said = ledger.finish().expect("verdict");
    let passed = said.last().is_some_and(|line| line["passed"] == true);
    let facts: Vec<_> = said.iter().rev().take(2).collect();
    assert!(passed, "seed {seed}: {facts:#?}");
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is not a number: {text}")),
    )
}
