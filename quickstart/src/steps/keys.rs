//! Changes of orders go to a keyed topic; lookups answer the last one of each key.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use arrow_array::{Array as _, Int64Array, RecordBatch, StringArray};
use serde::{Deserialize, Serialize};
use tidelog_client::{Found, Table};

use crate::Options;
use crate::show::count;
use crate::stage::{ORDERS_BY_ID, Stage};
use crate::steps::columns::columnar;
use crate::tally::Tally;

/// Keys looked up with one request.
const TOGETHER: usize = 100;
const KEYS_MAX: usize = 1000;
/// Keys looked up one at a time, for the latency.
const ALONE: usize = 200;
const PATIENCE: Duration = Duration::from_secs(30);
/// An order that is never placed.
const ABSENT: &str = "-1";

#[derive(Debug, Serialize)]
pub(crate) struct Keys {
    changes: Tally,
    keys: u64,
    looked_up: u64,
    lookup_median_us: u64,
}

#[derive(Debug, Deserialize)]
struct Told {
    tally: Tally,
}

/// What was acknowledged last for a key: partition, offset and status.
type Latest = BTreeMap<String, (i32, i64, String)>;

pub(crate) async fn run(stage: &Stage, options: &Options) -> Result<Keys> {
    let (changes, latest) = produce(stage, options).await?;
    let table = columnar(stage, ORDERS_BY_ID).await?;
    let step = latest.len().div_ceil(KEYS_MAX);
    let chosen: Vec<_> = latest.iter().step_by(step).collect();
    for keys in chosen.chunks(TOGETHER) {
        check(&table, keys, &changes).await?;
    }
    let lookup_median_us = latency_us(&table, &chosen).await?;
    stage.show.line(&format!(
        "lookup    {} of {} keys after {} changes: each the last one acknowledged; one key takes \
         {:.2} ms in the median",
        count(chosen.len() as u64),
        count(latest.len() as u64),
        count(changes.records),
        lookup_median_us as f64 / 1e3
    ));
    Ok(Keys {
        changes,
        keys: latest.len() as u64,
        looked_up: chosen.len() as u64,
        lookup_median_us,
    })
}

async fn produce(stage: &Stage, options: &Options) -> Result<(Tally, Latest)> {
    let path = stage.home.path().join("latest.json");
    let count = (options.orders / 10).to_string();
    let arguments = ["changing", &stage.broker.kafka, ORDERS_BY_ID];
    let path_text = path
        .to_str()
        .context("the data folder's name is not UTF-8")?;
    let more = [
        "--seed",
        &options.seed,
        "--count",
        &count,
        "--latest",
        path_text,
    ];
    stage.show.progress("lookup    changing orders");
    let told: Told = stage
        .python
        .run("produce.py", &[&arguments[..], &more].concat(), |_| ())
        .await?;
    let latest = serde_json::from_slice(&std::fs::read(&path)?)?;
    Ok((told.tally, latest))
}

/// Looks the keys up, and one that there is not.
async fn check(
    table: &Table,
    keys: &[(&String, &(i32, i64, String))],
    changes: &Tally,
) -> Result<()> {
    let names = keys.iter().map(|(key, _)| key.as_bytes().to_vec());
    let found = table
        .lookup(names.chain([ABSENT.as_bytes().to_vec()]))
        .columns(["order_id", "status"])
        .reflecting(changes.ends())
        .max_wait(PATIENCE)
        .send()
        .await?;
    let (order_ids, statuses) = columns(&found.rows)?;
    for ((key, (partition, offset, status)), answer) in keys.iter().zip(&found.keys) {
        let answer = answer.as_ref().map_err(Clone::clone)?;
        let row = answer
            .row
            .with_context(|| format!("key {key} was not found"))?;
        let answered = (
            answer.partition,
            answer.offset,
            order_ids.value(row).to_string(),
            statuses.value(row),
        );
        let due = (
            Some(*partition),
            Some(*offset),
            (*key).clone(),
            status.as_str(),
        );
        ensure!(
            answered == due,
            "key {key}: {due:?} was acknowledged, {answered:?} found"
        );
    }
    check_absent(&found)
}

fn check_absent(found: &Found) -> Result<()> {
    let last = found.keys.last().context("there is no answer")?;
    let last = last.as_ref().map_err(Clone::clone)?;
    ensure!(
        last.row.is_none(),
        "key {ABSENT}, which nobody wrote, was found"
    );
    Ok(())
}

fn columns(rows: &RecordBatch) -> Result<(&Int64Array, &StringArray)> {
    let ids = rows.column_by_name("order_id");
    let ids = ids.and_then(|column| column.as_any().downcast_ref());
    let statuses = rows.column_by_name("status");
    let statuses = statuses.and_then(|column| column.as_any().downcast_ref());
    ids.zip(statuses)
        .context("order_id or status is missing from the rows found")
}

/// The median time of a lookup of one key, in microseconds.
async fn latency_us(table: &Table, keys: &[(&String, &(i32, i64, String))]) -> Result<u64> {
    let mut times = Vec::with_capacity(ALONE);
    for (key, _) in keys.iter().cycle().take(ALONE) {
        let started = Instant::now();
        let found = table.lookup([key.as_bytes().to_vec()]).send().await?;
        times.push(started.elapsed());
        ensure!(found.rows.num_rows() == 1, "key {key} was not found");
    }
    times.sort_unstable();
    let median = times.get(times.len() / 2).context("there are no keys")?;
    Ok(u64::try_from(median.as_micros())?)
}
