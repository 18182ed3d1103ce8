//! Reads a topic as a member of a consumer group, says what happens and how many rows came, and commits
//! as it goes. Several of these share the partitions.
//!
//! ```text
//! cargo run -p tidelog-client --example group -- localhost:9092 billing orders [COLUMN]...
//! ```
//!
//! It ends, with the group, when nothing has come for ten seconds.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use tidelog_client::{Client, Event, GroupOptions, TopicPartition};

/// After so long without an event it ends.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> ExitCode {
    match read().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With stderr gone there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

async fn read() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(bootstrap), Some(group), Some(topic)) = (args.next(), args.next(), args.next())
    else {
        return Err("usage: group BOOTSTRAP GROUP TOPIC [COLUMN]...".into());
    };
    let columns: Vec<String> = args.collect();
    let client = Client::connect(&bootstrap).await?;
    let mut scan = client.table(&topic).await?.scan();
    if !columns.is_empty() {
        scan = scan.columns(columns);
    }
    let options = GroupOptions::default();
    let mut reader = client.subscribe(&group, [scan], options).await?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "member {}", reader.member_id())?;
    let mut count = 0;
    while let Some(event) = reader.poll(PATIENCE).await? {
        match event {
            Event::Rows(of) => count += of.rows.batch.num_rows(),
            Event::Assigned(new) => writeln!(out, "has {} too", names(&new))?,
            Event::Revoked(gone) => writeln!(out, "gives up {}", names(&gone))?,
            Event::Lost(gone) => writeln!(out, "has lost {}", names(&gone))?,
        }
    }
    for (of, offset) in reader.positions() {
        writeln!(out, "{of} stands at {offset}")?;
    }
    writeln!(out, "{count} rows")?;
    Ok(reader.close().await?)
}

fn names(of: &[TopicPartition]) -> String {
    let names: Vec<_> = of.iter().map(ToString::to_string).collect();
    names.join(", ")
}
