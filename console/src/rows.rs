//! Rows of a table by column, as `tidelog consume --columns` reads them.

use std::collections::BTreeSet;

use anyhow::Result;
use arrow_array::RecordBatch;
use tidelog_client::{Client, Scan, Start, Table};

use crate::Out;
use crate::consume::Options;
use crate::place::Place;
use crate::sink::{Form, Sink};

/// Rows printed as one block, so that columns of tables fit what stands in them.
const BLOCK_ROWS: usize = 10_000;

/// Reads rows and prints them.
///
/// # Errors
/// There is no such column, the filter is none, or the broker refuses.
pub async fn read(options: &Options, client: Client) -> Result<()> {
    let table = client.table(&options.topic).await?;
    let mut stream = scan(options, &client, &table).await?.open().await?;
    let mut sink = Sink::new(
        form(options),
        stream.schema(),
        Out::to(options.to_file.as_deref())?,
    )?;
    let mut left = options.max.unwrap_or(u64::MAX);
    while left > 0
        && let Some(rows) = stream.next().await?
    {
        let count = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(rows.batch.num_rows());
        write(&mut sink, &rows.batch.slice(0, count))?;
        left -= count as u64;
    }
    sink.finish()
}

/// The form rows are printed in.
pub fn form(options: &Options) -> Form {
    match (options.output, options.server.json) {
        (Some(form), _) => form,
        (None, true) => Form::Json,
        (None, false) => Form::Table,
    }
}

/// A scan of the columns and rows asked for.
pub fn wanted(options: &Options, table: &Table) -> Scan {
    let mut scan = table.scan();
    if !options.columns.is_empty() {
        scan = scan.columns(options.columns.clone());
    }
    match &options.filter {
        Some(filter) => scan.filter(&filter[..]),
        None => scan,
    }
}

/// Prints rows.
///
/// # Errors
/// The reader went away, or the disk is full.
pub fn write(sink: &mut Sink, rows: &RecordBatch) -> Result<()> {
    let mut at = 0;
    while at < rows.num_rows() {
        let some = BLOCK_ROWS.min(rows.num_rows() - at);
        sink.write(&rows.slice(at, some))?;
        at += some;
    }
    Ok(())
}

async fn scan(options: &Options, client: &Client, table: &Table) -> Result<Scan> {
    let mut scan = wanted(options, table);
    let chosen: BTreeSet<_> = options.partitions.iter().copied().collect();
    if !chosen.is_empty() {
        scan = scan.partitions(chosen.iter().copied());
    }
    let start = match options.from {
        Place::Earliest => Start::Earliest,
        Place::Latest => Start::Latest,
        Place::Time(millis) => Start::Timestamp(millis),
        Place::Offset(_) => {
            let view = client.topic(&options.topic).await?;
            let all = view.leaders.into_keys();
            let partitions: Vec<_> = all
                .filter(|one| chosen.is_empty() || chosen.contains(one))
                .collect();
            Start::Offsets(
                options
                    .from
                    .find(client, &options.topic, &partitions)
                    .await?,
            )
        }
    };
    scan = scan.from(start);
    Ok(match options.follow {
        true => scan,
        false => scan.until_end(),
    })
}
