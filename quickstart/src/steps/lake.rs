//! All orders come to the Iceberg table; DuckDB and PyIceberg see the same snapshot through the
//! catalog.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;
use tidelog_client::{Table, UnionPlan};
use tokio::time::sleep;

use crate::show::{count, counted};
use crate::stage::{LAKE_NAMESPACE, ORDERS, Stage};
use crate::steps::columns::{Columns, columnar};
use crate::steps::produce::Produced;
use crate::tally::LakeView;

const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[derive(Debug, Serialize)]
pub(crate) struct Lake {
    snapshot_id: i64,
    duckdb: LakeView,
    pyiceberg: LakeView,
}

pub(crate) async fn run(stage: &Stage, produced: &Produced, columns: &Columns) -> Result<Lake> {
    let table = columnar(stage, ORDERS).await?;
    stage.show.progress("lake      waiting for the snapshot");
    let plan = complete(&table, produced).await?;
    let snapshot_id = plan.snapshot_id.context("there is no snapshot")?;
    let lake = Lake {
        snapshot_id,
        duckdb: read(stage, "read_duckdb.py", None).await?,
        pyiceberg: read(stage, "read_pyiceberg.py", None).await?,
    };
    for (name, view) in [("DuckDB", &lake.duckdb), ("PyIceberg", &lake.pyiceberg)] {
        view.check(snapshot_id, &produced.tally.ends())
            .with_context(|| format!("{name} does not see what was acknowledged"))?;
        ensure!(
            view.quantity == columns.columnar.sums.quantity,
            "{name} sums quantities to {}, the columnar read to {}",
            view.quantity,
            columns.columnar.sums.quantity
        );
        stage.show.line(&format!(
            "lake      {name} sees snapshot {}: {} rows in {}",
            view.snapshot_id,
            count(view.rows),
            counted(view.files, "file")
        ));
    }
    ensure!(
        lake.duckdb.files == lake.pyiceberg.files,
        "DuckDB counts {} files, PyIceberg {}",
        lake.duckdb.files,
        lake.pyiceberg.files
    );
    Ok(lake)
}

/// Waits until all that was acknowledged is in the lake.
async fn complete(table: &Table, produced: &Produced) -> Result<UnionPlan> {
    let asked = Instant::now();
    let ends = produced.tally.ends();
    loop {
        let plan = table.union_plan(None).await?;
        let lake_end = |partition| plan.partitions.get(partition).map(|cut| cut.lake_end);
        if ends
            .iter()
            .all(|(partition, end)| lake_end(partition) == Some(*end))
        {
            return Ok(plan);
        }
        if asked.elapsed() > PATIENCE {
            bail!(
                "the lake is not complete after {PATIENCE:?}: {:?} of {ends:?}",
                plan.partitions
            );
        }
        sleep(LOOK_EVERY).await;
    }
}

/// The lake table as one of the Python programs sees it, now or as of a snapshot.
pub(crate) async fn read(stage: &Stage, program: &str, snapshot: Option<i64>) -> Result<LakeView> {
    let url = stage.broker.catalog_url();
    let snapshot = snapshot.map(|id| id.to_string());
    let mut arguments = vec![url.as_str(), LAKE_NAMESPACE, ORDERS];
    arguments.extend(snapshot.as_deref());
    stage.python.run(program, &arguments, |_| ()).await
}
