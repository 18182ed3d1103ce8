//! A broker process on a data folder of its own and a port it keeps over restarts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

use crate::workspace;

/// A cold JVM on a busy machine is the slowest of what we start.
const READY_WAIT: Duration = Duration::from_secs(60);
const STOP_WAIT: Duration = Duration::from_secs(30);

/// Which broker program a test runs against.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Program {
    /// Ours, by path.
    Tidelog(PathBuf),
    /// Apache Kafka through `bench/kafka/start.sh`.
    Kafka,
}

impl Program {
    /// `TIDELOG_COMPAT_BROKER=kafka` or `TIDELOG_RECORD=kafka`, else [`tidelog`].
    fn from_env() -> Result<Self> {
        let names = ["TIDELOG_COMPAT_BROKER", "TIDELOG_RECORD"];
        if names
            .iter()
            .any(|name| std::env::var(name).is_ok_and(|value| value == "kafka"))
        {
            return Ok(Self::Kafka);
        }
        tidelog().map(Self::Tidelog)
    }

    fn command(&self, data: &Path, ports: &Ports, settings: &[String]) -> Command {
        match self {
            Self::Tidelog(path) => {
                let mut command = Command::new(path);
                command
                    .args(["serve", "--admin", "off", "--listen", &address(ports.kafka)])
                    .args(["--catalog", &address(ports.catalog)])
                    .args(["--registry", &address(ports.registry)])
                    .arg("--data-dir")
                    .arg(data);
                for setting in settings {
                    command.args(["--set", setting]);
                }
                command
            }
            Self::Kafka => {
                let mut command = Command::new(workspace().join("bench/kafka/start.sh"));
                command
                    .arg(data)
                    .arg(ports.kafka.to_string())
                    .args(settings);
                command
            }
        }
    }
}

/// Where a broker listens; Kafka has no use for the last two.
#[derive(Debug)]
struct Ports {
    kafka: u16,
    catalog: u16,
    registry: u16,
}

impl Ports {
    fn free() -> Result<Self> {
        Ok(Self {
            kafka: free_port()?,
            catalog: free_port()?,
            registry: free_port()?,
        })
    }
}

/// A running broker; dropping it kills the process and deletes the data.
#[derive(Debug)]
pub struct Broker {
    program: Program,
    ports: Ports,
    data: PathBuf,
    settings: Vec<String>,
    home: TempDir,
    /// What is logged, where it is not left to the environment.
    log_filter: Option<&'static str>,
    process: Option<Child>,
}

impl Broker {
    /// Starts a broker on an empty data folder and waits until it serves.
    pub fn start() -> Result<Self> {
        let home = home()?;
        let data = home.path().join("data");
        Self::start_in(Program::from_env()?, home, data, &[])
    }

    /// The same with its data on a disk of the caller's.
    pub fn start_on(disk: &Path) -> Result<Self> {
        Self::start_in(Program::from_env()?, home()?, disk.join("data"), &[])
    }

    /// Apache Kafka, whatever is tested: the other end of a story with two brokers.
    pub fn start_kafka() -> Result<Self> {
        Self::start_kafka_with(&[])
    }

    /// The same with settings `key=value`.
    pub fn start_kafka_with(settings: &[&str]) -> Result<Self> {
        let home = home()?;
        let data = home.path().join("data");
        Self::start_in(Program::Kafka, home, data, settings)
    }

    /// Ours, whatever is tested.
    pub fn start_tidelog() -> Result<Self> {
        let home = home()?;
        let data = home.path().join("data");
        Self::start_in(Program::Tidelog(tidelog()?), home, data, &[])
    }

    /// With settings `key=value`: those for both brokers, then those of the one that starts.
    pub fn start_with(both: &[&str], kafka: &[&str], tidelog: &[&str]) -> Result<Self> {
        let program = Program::from_env()?;
        let own = match program {
            Program::Kafka => kafka,
            Program::Tidelog(_) => tidelog,
        };
        let home = home()?;
        let data = home.path().join("data");
        Self::start_in(program, home, data, &[both, own].concat())
    }

    /// With settings both brokers know, on a disk of the caller's if there is one.
    pub fn start_on_with(disk: Option<&Path>, both: &[&str]) -> Result<Self> {
        let home = home()?;
        let data = disk.unwrap_or(home.path()).join("data");
        Self::start_in(Program::from_env()?, home, data, both)
    }

    fn start_in(program: Program, home: TempDir, data: PathBuf, settings: &[&str]) -> Result<Self> {
        let mut broker = Self {
            program,
            ports: Ports::free()?,
            data,
            settings: settings.iter().map(|&setting| setting.to_owned()).collect(),
            home,
            log_filter: None,
            process: None,
        };
        broker.restart()?;
        Ok(broker)
    }

    /// Ours, noting every request in its log: see [`requests`](Self::requests).
    pub fn start_noting() -> Result<Self> {
        let home = home()?;
        let mut broker = Self {
            program: Program::Tidelog(tidelog()?),
            ports: Ports::free()?,
            data: home.path().join("data"),
            settings: Vec::new(),
            home,
            log_filter: Some("info,tidelog::request=trace"),
            process: None,
        };
        broker.restart()?;
        Ok(broker)
    }

    /// The APIs that were asked for so far, each with its versions, of a broker that notes them.
    pub fn requests(&self) -> Result<BTreeMap<String, BTreeSet<i16>>> {
        let mut requests: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for line in std::fs::read_to_string(self.log_path())?.lines() {
            let Some((_, fields)) = line.split_once("tidelog::request: ") else {
                continue;
            };
            let of = |name| {
                let value = fields.split(' ').find_map(|field| field.strip_prefix(name));
                value.map(|value| value.trim_matches('"').to_owned())
            };
            if let (Some(api), Some(version)) = (of("api="), of("version=")) {
                requests.entry(api).or_default().insert(version.parse()?);
            }
        }
        Ok(requests)
    }

    /// `HOST:PORT`, the same for the life of this value.
    pub fn address(&self) -> String {
        address(self.ports.kafka)
    }

    /// `HOST:PORT` of the Iceberg catalog, the same for the life of this value.
    pub fn catalog_address(&self) -> String {
        address(self.ports.catalog)
    }

    /// `HOST:PORT` of the schema registry, the same for the life of this value.
    pub fn registry_address(&self) -> String {
        address(self.ports.registry)
    }

    /// The folder the broker keeps everything in.
    pub fn data(&self) -> &Path {
        &self.data
    }

    pub fn is_kafka(&self) -> bool {
        self.program == Program::Kafka
    }

    /// Starts the broker again on the same folder and port and answers how long until it was ready.
    pub fn restart(&mut self) -> Result<Duration> {
        if self.process.is_some() {
            bail!("the broker still runs");
        }
        let started = Instant::now();
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())?;
        let mut process = self
            .program
            .command(&self.data, &self.ports, &self.settings)
            .envs(self.log_filter.map(|filter| ("RUST_LOG", filter)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {:?}", self.program))?;
        let stdout = process.stdout.take().context("stdout is piped")?;
        self.process = Some(process);

        // The thread goes on reading: a full pipe would stop the broker.
        let (tell, ready) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line.contains("ready") {
                    let _ = tell.send(());
                }
            }
        });
        match ready.recv_timeout(READY_WAIT) {
            Ok(()) => Ok(started.elapsed()),
            Err(RecvTimeoutError::Disconnected) => {
                bail!("the broker ended before it was ready:\n{}", self.log())
            }
            Err(RecvTimeoutError::Timeout) => {
                bail!(
                    "the broker was not ready in {READY_WAIT:?}:\n{}",
                    self.log()
                )
            }
        }
    }

    /// `kill -9`: nothing is flushed, nobody is told.
    pub fn kill(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the broker does not run")?;
        process.kill()?;
        process.wait()?;
        Ok(())
    }

    /// Sends a signal by its name, such as `STOP`.
    pub fn signal(&self, name: &str) -> Result<()> {
        let process = self.process.as_ref().context("the broker does not run")?;
        let id = process.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status()?;
        ensure!(sent.success(), "kill -s {name}: {sent}");
        Ok(())
    }

    /// SIGTERM, then waits for the clean end.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        let mut process = self.process.take().context("the broker does not run")?;
        let id = process.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status()?;
        let deadline = Instant::now() + STOP_WAIT;
        loop {
            if let Some(status) = process.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                process.kill()?;
                process.wait()?;
                bail!("the broker did not stop in {STOP_WAIT:?}:\n{}", self.log());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the broker wrote to stderr so far, its last 100 lines.
    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(self.log_path()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(100)..].join("\n")
    }

    fn log_path(&self) -> PathBuf {
        self.home.path().join("stderr.log")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        if thread::panicking() {
            eprintln!("--- the broker's log:\n{}", self.log());
        }
    }
}

/// The binary to test: `TIDELOG_BIN`, else the newest build under `target`.
pub fn tidelog() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("TIDELOG_BIN") {
        return Ok(path.into());
    }
    let built = ["release", "debug"]
        .map(|profile| workspace().join("target").join(profile).join("tidelog"))
        .into_iter()
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .max();
    let (_, path) = built.context("no tidelog binary: run `cargo build -p tidelog`")?;
    Ok(path)
}

/// For what a broker says, and its data unless they are elsewhere.
fn home() -> Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    Ok(builder.prefix("tidelog-compat-").tempdir()?)
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// A port nobody listens on now. The next one up must be free as well: Kafka's controller takes it.
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
