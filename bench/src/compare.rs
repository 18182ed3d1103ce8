//! Tidelog and Apache Kafka in turn on the same disk: A/B/A/B, each run on a fresh broker and folder,
//! broker and client pinned to different cores.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{fmt, thread};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::process::Usage;
use crate::table;

const READY_WAIT: Duration = Duration::from_secs(120);
/// A broker that just said ready may still warm up; memory at rest is read after this.
const REST: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Args)]
pub struct Options {
    /// What to run, in turn
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = System::ALL)]
    systems: Vec<System>,
    /// Runs of each combination; the tables show medians and spread
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Measured seconds of each load
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    #[arg(long, default_value_t = 5)]
    warmup_seconds: u64,
    #[arg(long, value_delimiter = ',', default_values_t = [1, 100])]
    partitions: Vec<i32>,
    #[arg(long, value_delimiter = ',', default_values_t = [1024, 100])]
    record_sizes: Vec<usize>,
    /// Records each second of the latency runs
    #[arg(long, default_value_t = 10_000)]
    rate: u64,
    /// Time from batch to batch of the latency runs, long enough for one disk sync each
    #[arg(long, default_value_t = 10_000)]
    tick_us: u64,
    /// The broker under test
    #[arg(long, default_value = "target/release/tidelog")]
    tidelog: PathBuf,
    /// Starts Apache Kafka
    #[arg(long, default_value = "bench/kafka/start.sh")]
    kafka: PathBuf,
    /// Folder on the disk to measure; the brokers' data goes there and is deleted
    #[arg(long, default_value = "target/bench-data")]
    dir: PathBuf,
    /// Gets NAME.jsonl with every run and NAME.md with the tables
    #[arg(long, default_value = "bench/results/latest")]
    out: PathBuf,
    #[arg(long, default_value = "0")]
    broker_cpus: String,
    #[arg(long, default_value = "1")]
    client_cpus: String,
}

/// A broker with its way of making data durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum System {
    TidelogSync,
    TidelogOs,
    Kafka,
    KafkaSync,
}

impl System {
    pub const ALL: [Self; 4] = [
        Self::TidelogSync,
        Self::KafkaSync,
        Self::TidelogOs,
        Self::Kafka,
    ];

    /// What it promises when it acknowledges.
    pub fn title(self) -> &'static str {
        match self {
            Self::TidelogSync => "Tidelog, synced",
            Self::TidelogOs => "Tidelog, page cache",
            Self::Kafka => "Kafka, page cache (default)",
            Self::KafkaSync => "Kafka, flush.messages=1",
        }
    }

    fn command(self, options: &Options, data: &Path, port: u16) -> Command {
        let mut command = Command::new("taskset");
        command.args(["-c", &options.broker_cpus]);
        let flush = match self {
            Self::TidelogSync => "tidelog.flush.mode=sync",
            Self::TidelogOs => "tidelog.flush.mode=os",
            Self::KafkaSync => "log.flush.interval.messages=1",
            Self::Kafka => "log.flush.interval.messages=9223372036854775807",
        };
        match self {
            Self::TidelogSync | Self::TidelogOs => {
                let listen = format!("127.0.0.1:{port}");
                command
                    .arg(&options.tidelog)
                    .args(["serve", "--admin", "off", "--catalog", "off"])
                    .args(["--registry", "off"])
                    .args(["--listen", &listen]);
                command.args(["--set", flush]).arg("--data-dir").arg(data);
            }
            Self::Kafka | Self::KafkaSync => {
                command
                    .arg(&options.kafka)
                    .arg(data)
                    .args([&port.to_string(), flush]);
            }
        }
        command
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

#[expect(clippy::print_stderr, reason = "progress of an hour's work")]
pub fn run(options: &Options) -> Result<()> {
    fs::create_dir_all(&options.dir)?;
    if let Some(parent) = options.out.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut file = File::create(options.out.with_extension("jsonl"))?;
    let mut lines = Vec::new();
    for round in 1..=options.rounds {
        for (&partitions, &record_size) in options
            .partitions
            .iter()
            .flat_map(|p| options.record_sizes.iter().map(move |s| (p, s)))
        {
            let disk = crate::disk::run(&options.dir)?;
            for &system in &options.systems {
                eprintln!(
                    "round {round}: {system}, {partitions} partitions, {record_size} B records"
                );
                let mut line = measure(options, system, partitions, record_size)
                    .with_context(|| format!("{system} with {partitions} partitions"))?;
                line["round"] = round.into();
                line["disk"] = disk.clone();
                writeln!(file, "{line}")?;
                lines.push(line);
            }
        }
    }
    fs::write(
        options.out.with_extension("md"),
        table::markdown(&lines, &options.systems),
    )?;
    eprintln!("wrote {}", options.out.with_extension("md").display());
    Ok(())
}

/// All loads of one combination on a fresh broker.
fn measure(
    options: &Options,
    system: System,
    partitions: i32,
    record_size: usize,
) -> Result<Value> {
    // What the last run left in the page cache must not be written during this one.
    ensure!(Command::new("sync").status()?.success(), "sync failed");
    let broker = Broker::start(options, system)?;
    thread::sleep(REST);
    let idle = Usage::of(broker.process.id())?;

    let load = |mode: &str, topic: &str, more: &[String]| {
        broker.load(options, mode, topic, partitions, more)
    };
    let size = ["--record-size".to_owned(), record_size.to_string()];
    let produce = load("produce", "load", &size)?;
    let consume = load("consume", "load", &[])?;
    let pace = [
        "--rate",
        &options.rate.to_string(),
        "--tick-us",
        &options.tick_us.to_string(),
    ]
    .map(str::to_owned);
    let latency = load("latency", "latency", &[&size[..], &pace].concat())?;
    Ok(json!({
        "system": system.to_string(),
        "partitions": partitions,
        "record_size": record_size,
        "start_ms": broker.start_time.as_millis() as u64,
        "idle_rss_mb": (idle.rss_bytes as f64 / 1e6).round(),
        "produce": produce,
        "consume": consume,
        "latency": latency,
    }))
}

struct Broker {
    process: Child,
    port: u16,
    start_time: Duration,
    _data: tempfile::TempDir,
}

impl Broker {
    /// Starts twice on a new folder: laying out the folder is not part of a start.
    fn start(options: &Options, system: System) -> Result<Self> {
        let data = tempfile::Builder::new()
            .prefix("broker-")
            .tempdir_in(&options.dir)?;
        let port = free_port()?;
        let (mut process, _) = launch(options, system, data.path(), port)?;
        process.kill()?;
        process.wait()?;
        let (process, start_time) = launch(options, system, data.path(), port)?;
        Ok(Self {
            process,
            port,
            start_time,
            _data: data,
        })
    }

    /// Runs one load command in a process of its own on the client's cores.
    fn load(
        &self,
        options: &Options,
        mode: &str,
        topic: &str,
        partitions: i32,
        more: &[String],
    ) -> Result<Value> {
        let output = Command::new("taskset")
            .args(["-c", &options.client_cpus])
            .arg(std::env::current_exe()?)
            .args([
                mode,
                "--bootstrap",
                &format!("127.0.0.1:{}", self.port),
                "--topic",
                topic,
            ])
            .args(["--partitions", &partitions.to_string()])
            .args(["--broker-pid", &self.process.id().to_string()])
            .args(["--seconds", &options.seconds.to_string()])
            .args(["--warmup-seconds", &options.warmup_seconds.to_string()])
            .args(more)
            .stderr(Stdio::inherit())
            .output()?;
        ensure!(output.status.success(), "{mode}: {}", output.status);
        serde_json::from_slice(&output.stdout).with_context(|| format!("the answer of {mode}"))
    }
}

/// The process once it says ready, and how long that took.
fn launch(options: &Options, system: System, data: &Path, port: u16) -> Result<(Child, Duration)> {
    let log = File::create(options.dir.join(format!("{system}.log")))?;
    let started = Instant::now();
    let mut process = system
        .command(options, data, port)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .with_context(|| format!("starting {system}"))?;
    let stdout = process.stdout.take().context("stdout is piped")?;
    let (tell, ready) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if line.contains("ready") {
                let _ = tell.send(started.elapsed());
            }
        }
    });
    match ready.recv_timeout(READY_WAIT) {
        Ok(time) => Ok((process, time)),
        Err(_) => {
            process.kill()?;
            process.wait()?;
            bail!("{system} was not ready, see {}", options.dir.display());
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A free port with a free one above it, for Kafka's controller.
fn free_port() -> Result<u16> {
    for _ in 0..100 {
        let held = TcpListener::bind("127.0.0.1:0")?;
        let port = held.local_addr()?.port();
        if port < u16::MAX && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no two free ports in a row")
}
