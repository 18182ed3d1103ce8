//! The whole story of Tidelog in one run, told from outside.
//!
//! ```text
//! tidelog quickstart ─┬─► tidelog serve                      a child process, on free ports
//!                     ├─► produce.py, consume.py             librdkafka
//!                     ├─► read_duckdb.py, read_pyiceberg.py  through the REST catalog
//!                     └─  tidelog-client                     columns, lookups, union plans
//! ```
//!
//! Nothing here knows the broker but by its command line and its wire. The Python programs are part
//! of the binary and are written to the data folder, which keeps everything the run made.
//!
//! Promises:
//! - Every figure shown was measured in this run, and every count that has an independent second
//!   reader is compared with it. The first that differs ends the run with an error.
//! - `receipt.json` is written whether or not the run passes, and says which.
//! - Child processes end with the run, unless it is killed with `kill -9`.

mod broker;
mod go_on;
mod metrics;
mod python;
mod receipt;
mod show;
mod stage;
mod steps;
mod tally;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::Args;

use receipt::Receipt;
use show::Show;
use stage::Stage;
use steps::{columns, consume, keys, lake, produce, set_up, union};

/// What to run.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Folder of all that the run makes; must be new or empty
    #[arg(long, value_name = "DIR", default_value = "tidelog-quickstart")]
    pub data_dir: PathBuf,
    /// Python with the packages of quickstart/python/requirements.txt
    #[arg(long, value_name = "FILE", default_value = "python3")]
    pub python: PathBuf,
    /// How many orders to produce
    #[arg(long, value_name = "N", default_value_t = 200_000,
          value_parser = clap::value_parser!(u64).range(100..=100_000_000))]
    pub orders: u64,
    /// What the orders are made from: the same seed makes the same orders
    #[arg(long, default_value = "tidelog")]
    pub seed: String,
    /// Keep the broker running afterwards, until Ctrl-C
    #[arg(long)]
    pub keep: bool,
}

/// Runs the story with `tidelog`, the broker's program.
///
/// # Errors
/// In words for people: what differs, what is missing, or what a child process said last.
pub async fn run(options: Options, tidelog: PathBuf) -> Result<()> {
    let show = Show::new();
    let mut receipt = Receipt::new(&options);
    let told = tokio::select! {
        told = tell(&options, tidelog, &show, &mut receipt) => told,
        () = interrupted() => Err(anyhow::anyhow!("interrupted")),
    };
    match told {
        Ok(stage) => {
            receipt.passed()?;
            show.line(&format!("receipt   {}", stage.home.receipt().display()));
            show.line(&go_on::text(&stage));
            if options.keep {
                show.line("The broker goes on until Ctrl-C.");
                interrupted().await;
            }
            let stopped = stage.broker.stop().await;
            stopped.inspect_err(|error| receipt.failed(error))
        }
        Err(error) => {
            receipt.failed(&error);
            Err(error)
        }
    }
}

async fn tell(
    options: &Options,
    tidelog: PathBuf,
    show: &Show,
    receipt: &mut Receipt,
) -> Result<Stage> {
    let started = Instant::now();
    let (stage, made) = set_up::run(options, tidelog, show, receipt).await?;
    receipt.step("set_up", &made)?;
    let produced = produce::run(&stage, options).await?;
    receipt.step("produce", &produced)?;
    let consumed = consume::run(&stage, &produced).await?;
    receipt.step("consume", &consumed)?;
    let columns = columns::run(&stage, &produced, &made).await?;
    receipt.step("columns", &columns)?;
    let keys = keys::run(&stage, options).await?;
    receipt.step("keys", &keys)?;
    let lake = lake::run(&stage, &produced, &columns).await?;
    receipt.step("lake", &lake)?;
    let union = union::run(&stage, options, &produced, &lake).await?;
    receipt.step("union", &union)?;
    receipt.step("go_on", &go_on::lines(&stage))?;
    receipt.took(started.elapsed());
    Ok(stage)
}

/// SIGINT or SIGTERM, where they can be listened for.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let wait = async |kind| match signal(kind) {
        Ok(mut signal) => drop(signal.recv().await),
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
    }
}
