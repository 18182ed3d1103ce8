//! Prints how many rows a tiered topic has: in the lake, in the log behind it, and in all.
//!
//! ```text
//! cargo run -p tidelog-client --features lake --example union_count -- localhost:9092 orders
//! ```

use std::io::Write;
use std::process::ExitCode;

use tidelog_client::Client;

#[tokio::main]
async fn main() -> ExitCode {
    match print().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With stderr gone there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

async fn print() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(bootstrap), Some(topic), None) = (args.next(), args.next(), args.next()) else {
        return Err("usage: union_count BOOTSTRAP TOPIC".into());
    };
    let client = Client::connect(&bootstrap).await?;
    let count = client.table(&topic).await?.union_read().count().await?;
    let snapshot = match count.snapshot_id {
        Some(id) => id.to_string(),
        None => "none".to_owned(),
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "snapshot\t{snapshot}")?;
    writeln!(out, "lake\t{}", count.lake_rows)?;
    writeln!(out, "log\t{}", count.log_rows)?;
    writeln!(out, "total\t{}", count.total())?;
    Ok(())
}
