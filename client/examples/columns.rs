//! Prints chosen columns of a topic from the first row to the last, tab-separated, and what that took.
//!
//! ```text
//! cargo run -p tidelog-client --example columns -- localhost:9092 orders customer_id address.city
//! ```

use std::io::{BufWriter, Write};
use std::process::ExitCode;
use std::time::Instant;

use arrow_cast::display::{ArrayFormatter, FormatOptions};
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
    let (Some(bootstrap), Some(topic)) = (args.next(), args.next()) else {
        return Err("usage: columns BOOTSTRAP TOPIC [COLUMN]...".into());
    };
    let columns: Vec<String> = args.collect();
    let started = Instant::now();
    let client = Client::connect(&bootstrap).await?;
    let table = client.table(&topic).await?;
    let mut scan = table.scan().until_end();
    if !columns.is_empty() {
        scan = scan.columns(columns);
    }
    let mut stream = scan.open().await?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let names: Vec<_> = stream
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    writeln!(out, "{}", names.join("\t"))?;
    let options = FormatOptions::default().with_null("null");
    let mut count = 0;
    while let Some(rows) = stream.next().await? {
        let columns = rows.batch.columns().iter();
        let columns: Vec<_> = columns
            .map(|column| ArrayFormatter::try_new(column, &options))
            .collect::<Result<_, _>>()?;
        for row in 0..rows.batch.num_rows() {
            let values: Vec<_> = columns
                .iter()
                .map(|column| column.value(row).to_string())
                .collect();
            writeln!(out, "{}", values.join("\t"))?;
        }
        count += rows.batch.num_rows();
    }
    out.flush()?;
    let how = if table.is_columnar() {
        "by column"
    } else {
        "decoded from records"
    };
    writeln!(
        std::io::stderr(),
        "{count} rows in {:?}, {how}",
        started.elapsed()
    )?;
    Ok(())
}
