//! The whole broker loses power at random moments under load: every byte that was not synced is gone.
//! Nothing acknowledged is lost, nothing is there twice, the Iceberg table holds the log's records,
//! and the key index answers as a replay of the log would.
//!
//! `TIDELOG_CUTS` is the number of cuts (5), `TIDELOG_CUT_SEED` repeats a run's moments. It mounts a
//! disk of its own, so it takes root and loop devices; without them the story says so and is not told.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tidelog_client::{Client, ErrorCode};
use tidelog_compat_tests::broker::Broker;
use tidelog_compat_tests::foreign::{LAKE, Ledger};
use tidelog_compat_tests::power::{self, Disk};

/// Producers must get through again this long after a restart at the latest.
const PATIENCE: Duration = Duration::from_secs(60);

const DISK_MIB: u64 = 8 << 10;
/// Both ledgers write each key again after so many records; see `clients/python/ledger.py`.
const KEYS: u32 = 1009;

const IN_THE_LAKE: [(&str, &str); 3] = [
    ("tidelog.table.mode", "key_value"),
    ("tidelog.lake.enable", "true"),
    ("tidelog.lake.target.lag.ms", "1000"),
];
const KEYED: [(&str, &str); 2] = [
    ("tidelog.table.mode", "key_value"),
    ("tidelog.table.key", "record_key"),
];

#[test]
fn everything_synced_survives_power_cuts() {
    if !power::may_mount() {
        println!("not told: it takes root and loop devices to cut the power of a disk");
        return;
    }
    let cuts = setting("TIDELOG_CUTS").unwrap_or(5);
    let seed = setting("TIDELOG_CUT_SEED").unwrap_or_else(rand::random);
    println!("{cuts} cuts, TIDELOG_CUT_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);

    let disk = Disk::new(DISK_MIB).expect("disk");
    let mut broker = Broker::start_on(&disk.path()).expect("broker");
    if broker.is_kafka() {
        return;
    }
    let address = broker.address();
    let ledgers = [
        Ledger::start(&address, "lake", 3, &IN_THE_LAKE).expect("producer"),
        Ledger::start(&address, "keyed", 1, &KEYED).expect("producer"),
    ];
    for cut in 1..=cuts {
        for ledger in &ledgers {
            ledger.progress(PATIENCE).expect("acknowledgements");
        }
        std::thread::sleep(Duration::from_millis(random.random_range(20..2500)));
        disk.cut().expect("cut");
        broker.kill().expect("kill");
        disk.restore().expect("power is back");
        let ready = broker.restart().expect("restart");
        println!("cut {cut}: ready after {ready:?}");
    }
    for ledger in ledgers {
        let said = ledger.finish().expect("verdict");
        let passed = said.last().is_some_and(|line| line["passed"] == true);
        let facts: Vec<_> = said.iter().rev().take(2).collect();
        assert!(passed, "seed {seed}: {facts:#?}");
    }
    let catalog = broker.catalog_address();
    let lake = LAKE
        .run(&address, "same", &[&catalog, "lake"])
        .expect("client program");
    assert!(lake.passed(), "seed {seed}: {lake}");
    expect_index_is_replay(&address);

    broker.kill().expect("kill");
    std::fs::remove_dir_all(broker.data().join("index")).expect("an index to delete");
    broker.restart().expect("restart without the index");
    expect_index_is_replay(&address);
}

/// Each key's row is that of the newest record of the log.
fn expect_index_is_replay(address: &str) {
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    runtime.block_on(compare(address)).expect("lookups");
}

async fn compare(address: &str) -> Result<()> {
    let client = Client::connect(address).await?;
    let table = client.table("keyed").await?;
    let columns = ["_offset", "_key", "value"];
    let mut log = table.scan().columns(columns).until_end().open().await?;
    let mut newest = HashMap::new();
    let mut end = 0;
    while let Some(rows) = log.next().await? {
        let offsets = rows.batch.column(0).as_primitive::<Int64Type>();
        let keys = rows.batch.column(1).as_binary::<i32>();
        let values = rows.batch.column(2).as_binary::<i32>();
        for row in 0..rows.batch.num_rows() {
            let place = (offsets.value(row), values.value(row).to_vec());
            end = end.max(place.0 + 1);
            newest.insert(keys.value(row).to_vec(), place);
        }
    }
    ensure!(!newest.is_empty(), "the log is empty");

    let keys: Vec<_> = (0..KEYS).map(|n| n.to_string().into_bytes()).collect();
    let started = Instant::now();
    let found = loop {
        let lookup = table.lookup(keys.clone()).columns(["value"]);
        let lookup = lookup.reflecting([(0, end)]).max_wait(PATIENCE);
        let found = lookup.send().await?;
        // An index that is being made anew says so; whoever asks comes again.
        let faults = found.keys.iter().filter_map(|key| key.as_ref().err());
        let is_loading = |code: ErrorCode| code == ErrorCode::CoordinatorLoadInProgress;
        let mut codes = faults.filter_map(|fault| fault.error_code());
        if !codes.any(is_loading) || started.elapsed() > PATIENCE {
            break found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let values = found.rows.column(0).as_binary::<i32>();
    for (key, answer) in keys.iter().zip(&found.keys) {
        let answer = answer.as_ref().map_err(Clone::clone)?;
        let answered = answer.offset.zip(answer.row);
        let answered = answered.map(|(offset, row)| (offset, values.value(row).to_vec()));
        ensure!(answered.as_ref() == newest.get(key), "key {key:?}");
    }
    Ok(())
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse().with_context(|| format!("{name}={text}"));
    Some(number.expect("a number"))
}
