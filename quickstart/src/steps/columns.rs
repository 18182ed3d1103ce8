//! Two columns of all orders, read twice by the same client: with ColumnarFetch, and as from Apache
//! Kafka, by fetching whole records and decoding them. The same rows, a fraction of the bytes.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use arrow_array::{Array as _, Int32Array, RecordBatch};
use serde::Serialize;
use tidelog_client::{Client, Config, Scan, Table, TableSchema};

use crate::metrics::bytes_out;
use crate::show::{bytes, count, rate};
use crate::stage::{ORDERS, Stage};
use crate::steps::produce::Produced;
use crate::steps::set_up::Made;

/// A column that engines sum, to compare more than counts.
pub(crate) const QUANTITY: &str = "quantity";
const COLUMNS: [&str; 2] = ["customer_id", QUANTITY];

#[derive(Debug, Serialize)]
pub(crate) struct Columns {
    columns: [&'static str; 2],
    pub(crate) columnar: Read,
    classic: Read,
}

/// One read of all rows.
#[derive(Debug, Serialize)]
pub(crate) struct Read {
    seconds: f64,
    /// Bytes that the broker sent meanwhile.
    sent_bytes: u64,
    #[serde(flatten)]
    pub(crate) sums: Sums,
}

/// What a scan counted.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Sums {
    pub(crate) rows: u64,
    pub(crate) quantity: i64,
    pub(crate) partitions: BTreeMap<i32, u64>,
}

pub(crate) async fn run(stage: &Stage, produced: &Produced, made: &Made) -> Result<Columns> {
    let table = columnar(stage, ORDERS).await?;
    stage.show.progress("columns   reading");
    let columnar = read(stage, &table).await?;
    let classic = read(stage, &classic(stage, &table).await?).await?;
    for (partition, range) in &produced.tally.partitions {
        let due = range.end.unsigned_abs();
        let found = columnar.sums.partitions.get(partition);
        ensure!(
            found == Some(&due),
            "partition {partition}: {found:?} rows were read by column, {due} were acknowledged"
        );
    }
    ensure!(
        columnar.sums == classic.sums,
        "the columnar read came to {:?}, the classic one to {:?}",
        columnar.sums,
        classic.sums
    );
    stage.show.line(&format!(
        "columns   {} rows, {} of {} columns: {} sent, {}",
        count(columnar.sums.rows),
        COLUMNS.len(),
        made.columns,
        bytes(columnar.sent_bytes),
        rate(columnar.sums.rows, columnar.seconds)
    ));
    stage.show.line(&format!(
        "          the same by classic fetch and decoding: {} sent, {}; {:.1} % of the bytes were saved",
        bytes(classic.sent_bytes),
        rate(classic.sums.rows, classic.seconds),
        100.0 - 100.0 * columnar.sent_bytes as f64 / classic.sent_bytes as f64
    ));
    Ok(Columns {
        columns: COLUMNS,
        columnar,
        classic,
    })
}

/// The same table for a client that does not know the extensions.
async fn classic(stage: &Stage, columnar: &Table) -> Result<Table> {
    let info = columnar.info().context("a columnar table is described")?;
    let current = |schema: &&TableSchema| schema.id == info.current_schema_id;
    let schema = info.schemas.iter().find(current);
    let schema = schema.context("the schema in force is not among the table's")?;
    let config = Config {
        use_extensions: false,
        ..Config::default()
    };
    let client = Client::connect_with(&stage.broker.kafka, config).await?;
    let table = client.table(ORDERS).await?;
    ensure!(
        !table.is_columnar(),
        "the classic read would be a columnar one"
    );
    Ok(table.decode_json(&schema.json)?)
}

async fn read(stage: &Stage, table: &Table) -> Result<Read> {
    let before = bytes_out(&stage.broker.admin).await?;
    let started = Instant::now();
    let sums = sum(table.scan().columns(COLUMNS).until_end()).await?;
    let seconds = started.elapsed().as_secs_f64();
    Ok(Read {
        seconds,
        sent_bytes: bytes_out(&stage.broker.admin).await? - before,
        sums,
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
