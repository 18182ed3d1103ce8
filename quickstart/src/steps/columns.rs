//! Two columns of all orders: the same rows, a fraction of the bytes.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use arrow_array::{Array as _, Int32Array, RecordBatch};
use serde::Serialize;
use tidelog_client::{Scan, Table};

use crate::metrics::bytes_out;
use crate::show::{bytes, count, rate};
use crate::stage::{ORDERS, Stage};
use crate::steps::consume::Consumed;
use crate::steps::produce::Produced;
use crate::steps::set_up::Made;

/// A column that engines sum, to compare more than counts.
pub(crate) const QUANTITY: &str = "quantity";
const COLUMNS: [&str; 2] = ["customer_id", QUANTITY];

#[derive(Debug, Serialize)]
pub(crate) struct Columns {
    columns: [&'static str; 2],
    seconds: f64,
    #[serde(flatten)]
    pub(crate) sums: Sums,
    /// Bytes that the broker sent meanwhile.
    sent_bytes: u64,
    /// The same for the classic fetch.
    classic_sent_bytes: u64,
}

/// What a scan counted.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Sums {
    pub(crate) rows: u64,
    pub(crate) quantity: i64,
    pub(crate) partitions: BTreeMap<i32, u64>,
}

pub(crate) async fn run(
    stage: &Stage,
    produced: &Produced,
    consumed: &Consumed,
    made: &Made,
) -> Result<Columns> {
    let before = bytes_out(&stage.broker.admin).await?;
    let table = columnar(stage, ORDERS).await?;
    let started = Instant::now();
    let scan = table.scan().columns(COLUMNS).until_end();
    let sums = sum(scan).await?;
    let seconds = started.elapsed().as_secs_f64();
    let sent_bytes = bytes_out(&stage.broker.admin).await? - before;

    for (partition, range) in &produced.tally.partitions {
        let (due, found) = (range.end.unsigned_abs(), sums.partitions.get(partition));
        ensure!(
            found == Some(&due),
            "partition {partition}: {found:?} rows were read by column, {due} were acknowledged"
        );
    }
    let classic = consumed.sent_bytes;
    let share = 100.0 * sent_bytes as f64 / classic as f64;
    stage.show.line(&format!(
        "columns   {} rows of {} of {} columns, {} sent ({share:.1} % of the classic fetch's {}) in \
         {seconds:.2} s, {} (Rust client, summing)",
        count(sums.rows),
        COLUMNS.len(),
        made.columns,
        bytes(sent_bytes),
        bytes(classic),
        rate(sums.rows, seconds)
    ));
    Ok(Columns {
        columns: COLUMNS,
        seconds,
        sums,
        sent_bytes,
        classic_sent_bytes: classic,
    })
}

/// The table, or an error if the broker would send whole records instead of columns.
pub(crate) async fn columnar(stage: &Stage, topic: &str) -> Result<Table> {
    let table = stage.client.table(topic).await?;
    ensure!(
        table.is_columnar(),
        "the broker does not offer ColumnarFetch and DescribeTable"
    );
    Ok(table)
}

/// Reads a scan to its end.
pub(crate) async fn sum(scan: Scan) -> Result<Sums> {
    let mut stream = scan.open().await?;
    let mut sums = Sums::default();
    while let Some(rows) = stream.next().await? {
        let count = rows.batch.num_rows() as u64;
        sums.rows += count;
        sums.quantity += quantity(&rows.batch)?;
        *sums.partitions.entry(rows.partition).or_default() += count;
    }
    Ok(sums)
}

fn quantity(batch: &RecordBatch) -> Result<i64> {
    let column = batch.column_by_name(QUANTITY);
    let column = column.and_then(|column| column.as_any().downcast_ref::<Int32Array>());
    let column = column.with_context(|| format!("there is no int column {QUANTITY}"))?;
    ensure!(column.null_count() == 0, "{QUANTITY} is null in some row");
    Ok(column.values().iter().map(|&value| i64::from(value)).sum())
}
