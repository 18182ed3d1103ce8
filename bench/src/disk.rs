//! The disk without a broker: what the same minute could have given.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::payload::noise;
use crate::stats::percentiles;

const CHUNK_BYTES: usize = 1 << 20;
const CHUNKS: u64 = 512;
const SMALL_BYTES: usize = 4096;
const SYNCS: u64 = 300;

/// Writes 512 MiB and syncs once, then syncs 300 small writes each by itself, in an anonymous file.
pub fn run(dir: &Path) -> Result<Value> {
    let mut file = tempfile::tempfile_in(dir)?;
    let chunk = noise(1, CHUNK_BYTES);
    let started = Instant::now();
    for _ in 0..CHUNKS {
        file.write_all(&chunk)?;
    }
    file.sync_data()?;
    let seconds = started.elapsed().as_secs_f64();
    let mb_per_s = (CHUNKS * CHUNK_BYTES as u64) as f64 / 1e6 / seconds;
    let sync_us = small_syncs(tempfile::tempfile_in(dir)?)?;
    Ok(json!({ "mode": "disk", "mb_per_s": mb_per_s.round(), "sync_us": percentiles(&sync_us) }))
}

fn small_syncs(mut file: File) -> Result<Histogram<u64>> {
    let small = noise(2, SMALL_BYTES);
    let mut times = Histogram::new(3)?;
    for _ in 0..SYNCS {
        let started = Instant::now();
        file.write_all(&small)?;
        file.sync_data()?;
        times.record(u64::try_from(started.elapsed().as_micros())?)?;
    }
    Ok(times)
}
