//! Lake and log together while orders keep coming: at each cut every order counts once.
//!
//! A cut names a snapshot and, for each partition, where it ends (`lake_end`) and where rows end
//! (`stable_end`). DuckDB reads the snapshot, the client the log from `lake_end` to `stable_end`, and
//! a columnar scan of the whole log up to `stable_end` says what both together must come to.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tidelog_client::{Cut, Start, Table, UnionPlan};

use crate::Options;
use crate::python::Program;
use crate::show::count;
use crate::stage::{ORDERS, Stage};
use crate::steps::columns::{QUANTITY, Sums, columnar, sum};
use crate::steps::lake::{Lake, read};
use crate::steps::produce::Produced;
use crate::tally::{LakeView, Tally};

const CUTS: usize = 3;
const ORDERS_PER_SECOND: &str = "400";
/// Far longer than a read takes; it is given up afterwards.
const LEASE: Duration = Duration::from_secs(60);

#[derive(Debug, Serialize)]
pub(crate) struct Union {
    cuts: Vec<UnionRead>,
    /// What the second producer was acknowledged.
    produced_meanwhile: Tally,
}

/// One read of lake and log.
#[derive(Debug, Serialize)]
struct UnionRead {
    snapshot_id: i64,
    rows: u64,
    lake: LakeView,
    log: Sums,
    /// What the second producer had told by the beginning and by the end of the read.
    acked_before: u64,
    acked_after: u64,
}

#[derive(Debug, Deserialize)]
struct Told {
    tally: Tally,
}

pub(crate) async fn run(
    stage: &Stage,
    options: &Options,
    produced: &Produced,
    _complete: &Lake,
) -> Result<Union> {
    let table = columnar(stage, ORDERS).await?;
    let mut producer = start(stage, options)?;
    while producer.progress().await? == 0 {}
    let mut cuts = Vec::new();
    for _ in 0..CUTS {
        let cut = read_cut(stage, &table, &mut producer, produced).await?;
        stage.show.line(&format!(
            "union     {} rows = {} in snapshot {} + {} in the log, while {} more were acknowledged",
            count(cut.rows),
            count(cut.lake.rows),
            cut.snapshot_id,
            count(cut.log.rows),
            count(cut.acked_after - cut.acked_before)
        ));
        cuts.push(cut);
    }
    let told: Told = producer.result(|_| ()).await?;
    let last = table.union_plan(None).await?;
    let (rows, due) = (rows_of(&last), produced.tally.records + told.tally.records);
    ensure!(
        rows == due,
        "at rest there are {rows} rows, {due} were acknowledged"
    );
    Ok(Union {
        cuts,
        produced_meanwhile: told.tally,
    })
}

fn start(stage: &Stage, options: &Options) -> Result<Program> {
    let first = options.orders.to_string();
    let arguments = [
        "steady",
        &stage.broker.kafka,
        ORDERS,
        "--seed",
        &options.seed,
    ];
    let more = ["--first", &first, "--rate", ORDERS_PER_SECOND];
    stage
        .python
        .start("produce.py", &[&arguments[..], &more].concat())
}

async fn read_cut(
    stage: &Stage,
    table: &Table,
    producer: &mut Program,
    produced: &Produced,
) -> Result<UnionRead> {
    // Old news is passed over: what it tells next says that it goes on.
    producer.catch_up()?;
    let acked_before = producer.progress().await?;
    let plan = table.union_plan(Some(LEASE)).await?;
    let snapshot_id = plan.snapshot_id.context("the cut names no snapshot")?;
    let (lake, log, whole) = tokio::try_join!(
        read(stage, "read_duckdb.py", Some(snapshot_id)),
        sum(plan.tail(table).columns([QUANTITY])),
        sum(up_to_stable_end(table, &plan)),
    )?;
    if let Some(lease) = plan.lease {
        table.release(lease).await?;
    }
    check(&plan, snapshot_id, &lake, &log, &whole)?;
    let rows = rows_of(&plan);
    let acked = produced.tally.records + acked_before;
    ensure!(
        rows >= acked,
        "the cut has {rows} rows, {acked} were acknowledged before it"
    );
    let acked_after = match producer.catch_up()? {
        Some(newest) => newest,
        None => producer.progress().await?,
    };
    Ok(UnionRead {
        snapshot_id,
        rows,
        lake,
        log,
        acked_before,
        acked_after,
    })
}

fn up_to_stable_end(table: &Table, plan: &UnionPlan) -> tidelog_client::Scan {
    let each = plan.partitions.iter();
    let starts = each
        .clone()
        .map(|(partition, cut)| (*partition, cut.log_start_offset));
    let ends = each.map(|(partition, cut)| (*partition, cut.stable_end));
    table
        .scan()
        .columns([QUANTITY])
        .from(Start::Offsets(starts.collect()))
        .until(ends.collect())
}

/// Nothing is deleted here, so there is a row for every offset below the ends.
fn rows_of(plan: &UnionPlan) -> u64 {
    let ends = plan
        .partitions
        .values()
        .map(|cut| cut.stable_end.unsigned_abs());
    ends.sum()
}

/// Each partition of the snapshot ends where the log's part begins, each of the log's parts has its
/// offsets' worth of rows, and together they are the whole log.
fn check(
    plan: &UnionPlan,
    snapshot_id: i64,
    lake: &LakeView,
    log: &Sums,
    whole: &Sums,
) -> Result<()> {
    let lake_ends: BTreeMap<_, _> = plan
        .partitions
        .iter()
        .map(|(partition, cut)| (*partition, cut.lake_end))
        .collect();
    lake.check(snapshot_id, &lake_ends)
        .context("the snapshot is not what the cut says")?;
    for (
        partition,
        &Cut {
            lake_end,
            stable_end,
            ..
        },
    ) in &plan.partitions
    {
        let due = (stable_end - lake_end).unsigned_abs();
        let found = log.partitions.get(partition).copied().unwrap_or(0);
        ensure!(
            found == due,
            "partition {partition}: the log has {found} rows from {lake_end} to {stable_end}"
        );
    }
    let together = (lake.rows + log.rows, lake.quantity + log.quantity);
    let due = (rows_of(plan), whole.quantity);
    ensure!(
        together == due && whole.rows == due.0,
        "rows and sum of quantities are {together:?} in lake and log, {due:?} and {} rows in the \
         whole log",
        whole.rows
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::LakeRange;

    fn plan() -> UnionPlan {
        let cut = Cut {
            lake_end: 3,
            log_start_offset: 0,
            stable_end: 5,
        };
        UnionPlan {
            snapshot_id: Some(9),
            metadata_location: None,
            lease: None,
            partitions: [(0, cut)].into(),
        }
    }

    fn lake(rows: u64, end: i64) -> LakeView {
        let range = LakeRange {
            rows,
            distinct: rows,
            first: 0,
            end,
        };
        LakeView {
            snapshot_id: 9,
            files: 1,
            rows,
            quantity: 30,
            partitions: [(0, range)].into(),
        }
    }

    fn sums(rows: u64, quantity: i64) -> Sums {
        Sums {
            rows,
            quantity,
            partitions: [(0, rows)].into(),
        }
    }

    #[test]
    fn every_row_counts_once() {
        let judge = |lake: &LakeView, log: &Sums, whole: &Sums| check(&plan(), 9, lake, log, whole);
        judge(&lake(3, 3), &sums(2, 20), &sums(5, 50)).unwrap();
        let wrong = [
            (
                lake(2, 2),
                sums(2, 20),
                sums(5, 50),
                "a snapshot that ends early",
            ),
            (lake(4, 4), sums(2, 20), sums(5, 50), "an overlap"),
            (lake(3, 3), sums(1, 20), sums(5, 50), "a gap"),
            (lake(3, 3), sums(2, 21), sums(5, 50), "another row"),
            (lake(3, 3), sums(2, 20), sums(4, 50), "a log that lacks one"),
        ];
        for (lake, log, whole, what) in wrong {
            assert!(judge(&lake, &log, &whole).is_err(), "{what}");
        }
    }
}
