//! `tidelog table scan | count | total`, and what `describe` shows of key indexes.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use tidelog_client::{IndexInfo, IndexState, PartitionInfo, TableScan, Total as Asked};

use crate::Out;
use crate::server::Server;
use crate::sink::{Form, Sink};

/// Rows of a keyed table.
#[derive(Debug, Clone, Args)]
pub struct Rows {
    pub name: String,
    /// Which rows, as SQL has it: "price > 10 AND city LIKE 'B%'"
    #[arg(long = "where", value_name = "CONDITION")]
    pub filter: Option<String>,
    /// Only these, joined by commas
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    pub partitions: Vec<i32>,
}

/// Rows, and how they are shown.
#[derive(Debug, Clone, Args)]
pub struct Scan {
    #[command(flatten)]
    rows: Rows,
    /// Columns to read, dotted names joined by commas
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    columns: Vec<String>,
    /// At most so many rows
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// The form of rows
    #[arg(long, value_enum)]
    output: Option<Form>,
    /// Write there instead of standard output
    #[arg(long, value_name = "FILE")]
    to_file: Option<PathBuf>,
}

/// Totals of rows.
#[derive(Debug, Clone, Args)]
pub struct Total {
    #[command(flatten)]
    rows: Rows,
    /// Such as "count(*)", "count(city)", "sum(price)", "min(price)", "max(city)"
    #[arg(required = true, value_name = "TOTAL")]
    totals: Vec<Asked>,
}

impl Rows {
    async fn scan(&self, server: &Server) -> Result<TableScan> {
        let client = server.connect().await?;
        let mut scan = client.table(&self.name).await?.scan_table();
        if let Some(filter) = &self.filter {
            scan = scan.filter(&filter[..]);
        }
        if !self.partitions.is_empty() {
            scan = scan.partitions(self.partitions.clone());
        }
        Ok(scan)
    }

    /// # Errors
    /// The table has no key, the filter is none, or the broker refuses.
    pub async fn count(&self, server: &Server) -> Result<()> {
        let rows = self.scan(server).await?.count().await?;
        let mut out = Out::new();
        match server.json {
            true => out.json(&json!({"table": self.name, "rows": rows}))?,
            false => out.line(&rows.to_string())?,
        }
        out.done()
    }
}

impl Scan {
    /// # Errors
    /// As [`Rows::count`], and there is no such column; what was read before is printed.
    pub async fn run(&self, server: &Server) -> Result<()> {
        let mut scan = self.rows.scan(server).await?;
        if !self.columns.is_empty() {
            scan = scan.columns(self.columns.clone());
        }
        if let Some(limit) = self.limit {
            scan = scan.limit(limit);
        }
        let mut rows = scan.open().await?;
        let form = self.output.unwrap_or(form(server));
        let mut sink = Sink::new(form, rows.schema(), Out::to(self.to_file.as_deref())?)?;
        while let Some(some) = rows.next().await? {
            sink.write(&some.batch)?;
        }
        sink.finish()
    }
}

impl Total {
    /// # Errors
    /// As [`Rows::count`], and a column has no such total or one that is too great.
    pub async fn run(&self, server: &Server) -> Result<()> {
        let scan = self.rows.scan(server).await?;
        let totals = scan.totals(self.totals.clone()).await?;
        let mut sink = Sink::new(form(server), &totals.schema(), Out::new())?;
        sink.write(&totals)?;
        sink.finish()
    }
}

fn form(server: &Server) -> Form {
    match server.json {
        true => Form::Json,
        false => Form::Table,
    }
}

fn state(index: &IndexInfo) -> &'static str {
    match index.state {
        IndexState::Ready => "ready",
        IndexState::Loading => "loading",
        IndexState::Lost => "lost",
    }
}

/// A key index as JSON.
pub fn index_json(index: &IndexInfo) -> Value {
    json!({
        "state": state(index), "reflects": index.reflected_offset, "on_disk": index.index_offset,
        "rows_estimate": index.row_estimate, "memory_bytes": index.memory_bytes,
    })
}

/// The partitions of a keyed table.
///
/// # Errors
/// The reader went away.
pub fn print_partitions(out: &mut Out, partitions: &[PartitionInfo]) -> Result<()> {
    let number = |number: Option<i64>| number.map_or("unknown".to_owned(), |one| one.to_string());
    let rows = partitions.iter().map(|one| {
        let index = one.index.as_ref();
        let of_index = |of: fn(&IndexInfo) -> Option<i64>| number(index.and_then(of));
        vec![
            one.partition.to_string(),
            one.log_start_offset.to_string(),
            one.stable_end.to_string(),
            index.map_or("none", state).to_owned(),
            of_index(|index| index.reflected_offset),
            of_index(|index| index.index_offset),
            of_index(|index| index.row_estimate),
        ]
    });
    let heads = [
        "PARTITION",
        "START",
        "STABLE END",
        "INDEX",
        "REFLECTS",
        "ON DISK",
        "ROWS, ABOUT",
    ];
    Ok(out.table(&heads, &rows.collect::<Vec<_>>())?)
}
