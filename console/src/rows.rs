//! Rows of a table by column, as `tidelog consume --columns` reads them.

use std::collections::BTreeSet;

use anyhow::Result;
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
    let form = match (options.output, options.server.json) {
        (Some(form), _) => form,
        (None, true) => Form::Json,
        (None, false) => Form::Table,
    };
    let table = client.table(&options.topic).await?;
    let mut stream = scan(options, &client, &table).await?.open().await?;
    let mut sink = Sink::new(form, stream.schema(), Out::to(options.to_file.as_deref())?)?;
    let mut left = options.max.unwrap_or(u64::MAX);
    while left > 0
        && let Some(rows) = stream.next().await?
    {
        let count = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(rows.batch.num_rows());
        let mut at = 0;
        while at < count {
            let some = BLOCK_ROWS.min(count - at);
            sink.write(&rows.batch.slice(at, some))?;
            at += some;
        }
        left -= count as u64;
    }
    sink.finish()
}

async fn scan(options: &Options, client: &Client, table: &Table) -> Result<Scan> {
    let mut scan = table.scan();
    if !options.columns.is_empty() {
        scan = scan.columns(options.columns.clone());
    }
    if let Some(filter) = &options.filter {
        scan = scan.filter(&filter[..]);
    }
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
