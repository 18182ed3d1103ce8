//! `tidelog-bench`: a load generator that costs less than the broker it measures.
//!
//! Batches are encoded once and sent again and again, answers are only counted, fetched bytes are not
//! decoded. Blocking sockets, a thread for each connection. Every load command prints one JSON line;
//! `compare` runs them against Tidelog and Apache Kafka in turn and writes the tables.

mod columns;
mod compare;
mod connection;
mod consume;
mod disk;
mod lag;
mod latency;
mod orders;
mod ours;
mod payload;
mod process;
mod produce;
mod shape;
mod stats;
mod table;
mod topic;
mod trickle;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "tidelog-bench",
    version,
    about = "Load generator for Kafka-compatible brokers"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Produce as fast as the broker answers
    Produce(produce::Options),
    /// Fetch as fast as the broker serves, over and over, without decoding
    Consume(consume::Options),
    /// Produce at a fixed rate and measure until the consumer has each record
    Latency(latency::Options),
    /// Read a typed topic by records, and by ever fewer of its columns
    Columns(columns::Options),
    /// Write a typed topic at a fixed rate and measure how far rows and the lake are behind
    Lag(lag::Options),
    /// Write batches of one record to many typed partitions at a fixed rate, and read columns meanwhile
    Trickle(trickle::Options),
    /// Measure the disk alone: sequential writes and the time of one small synced write
    Disk {
        /// Folder to write in
        #[arg(long)]
        dir: PathBuf,
    },
    /// Run Tidelog and Apache Kafka in turn and write the tables
    Compare(compare::Options),
}

/// What every load command needs to know.
#[derive(Debug, Clone, Args)]
struct Target {
    #[arg(long, default_value = "127.0.0.1:9092", value_name = "HOST:PORT")]
    bootstrap: String,
    /// Created if it is not there
    #[arg(long, default_value = "bench")]
    topic: String,
    #[arg(long, default_value_t = 1)]
    partitions: i32,
    /// Process of the broker, to report its CPU time, memory and bytes written
    #[arg(long, value_name = "PID")]
    broker_pid: Option<u32>,
    /// Measured time
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Time before that, not measured
    #[arg(long, default_value_t = 2)]
    warmup_seconds: u64,
}

#[expect(clippy::print_stdout, reason = "the result is what the command is for")]
fn main() -> anyhow::Result<()> {
    let result = match Cli::parse().command {
        Command::Produce(options) => produce::run(&options)?,
        Command::Consume(options) => consume::run(&options)?,
        Command::Latency(options) => latency::run(&options)?,
        Command::Columns(options) => columns::run(&options)?,
        Command::Lag(options) => lag::run(&options)?,
        Command::Trickle(options) => trickle::run(&options)?,
        Command::Disk { dir } => disk::run(&dir)?,
        Command::Compare(options) => return compare::run(&options),
    };
    println!("{result}");
    Ok(())
}
