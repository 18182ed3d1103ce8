//! A cluster moves: `tidelog migrate` copies it under load while it, the source and the target are killed,
//! then everything is the same on both sides and producers and consumers go on at the target.
//!
//! The quick form moves from one Tidelog to another. The one from Apache Kafka takes a minute and is ignored
//! by default: `suites/migrate.sh`.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tidelog_compat_tests::broker::{Broker, tidelog};
use tidelog_compat_tests::workspace;

/// Enough for a JVM to come back on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

#[test]
fn from_tidelog() {
    let source = Broker::start().expect("source");
    moves(source).unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
#[ignore = "a minute of Apache Kafka: suites/migrate.sh"]
fn from_apache_kafka() {
    let soon = ["log.cleaner.backoff.ms=200"];
    let source = Broker::start_kafka_with(&soon).expect("Apache Kafka");
    moves(source).unwrap_or_else(|error| panic!("{error:#}"));
}

#[expect(clippy::print_stdout, reason = "the story of a run is for people")]
fn moves(mut source: Broker) -> Result<()> {
    let mut target = Broker::start_tidelog()?;
    let home = tempfile::tempdir()?;
    let (from, to) = (source.address(), target.address());
    for line in Step::start(&["fill", &from])?.finish()? {
        println!("{line}");
    }
    let live = Step::start(&["live", &from])?;

    // Slow enough to be met in the midst of its work.
    let migrate = |rate: &str| Migrate::start(home.path(), &from, &to, rate);
    let mut running = migrate("2000000")?;
    pause(1500);
    running.process.kill()?;
    running.process.wait()?;
    let mut running = migrate("2000000")?;
    pause(1000);
    let mut early = Step::start(&["early", &to])?;
    early.line()?;
    target.kill()?;
    pause(300);
    target.restart()?;
    pause(1500);
    ensure!(
        running.process.try_wait()?.is_none(),
        "it ended early:\n{}",
        running.said()
    );
    source.kill()?;
    pause(300);
    source.restart()?;
    pause(1000);
    ensure!(
        running.process.try_wait()?.is_none(),
        "it ended early:\n{}",
        running.said()
    );
    // What comes to the source meanwhile comes over too.
    Step::start(&["grow", &from])?.finish()?;
    let sent = live.finish()?;
    let sent = sent.iter().find_map(|line| line["sent"].as_i64());

    let status = running.wait()?;
    ensure!(status.success(), "{status}:\n{}", running.said());
    let receipt: Value = serde_json::from_str(&std::fs::read_to_string(&running.receipt)?)?;
    check(&receipt, sent.context("the live producer said nothing")?)?;
    early.finish()?;
    for line in Step::start(&["judge", &from, &to])?.finish()? {
        println!("{line}");
    }

    let mut again = migrate("2000000")?;
    let status = again.wait()?;
    ensure!(status.success(), "once more: {status}:\n{}", again.said());
    ensure!(
        again.said().contains("were cut over before"),
        "{}",
        again.said()
    );
    Ok(())
}

fn check(receipt: &Value, sent: i64) -> Result<()> {
    ensure!(
        receipt["cut_over"] == true && receipt["verified"] == true,
        "{receipt:#}"
    );
    let partitions = receipt["partitions"].as_array().context("partitions")?;
    ensure!(partitions.len() == 16, "{receipt:#}");
    let mut live = 0;
    for part in partitions {
        ensure!(
            part["equal"] == true && part["source"][1] == part["target"][1],
            "{part:#}"
        );
        if part["topic"] != "compacted" {
            ensure!(part["source_hash"] == part["target_hash"], "{part:#}");
        }
        if part["topic"] == "live" {
            live += part["target"][1].as_i64().context("an end")?;
        }
    }
    ensure!(live == sent, "{live} live records, {sent} were sent");
    ensure!(receipt["groups"]["offsets"] == 5, "{receipt:#}");
    Ok(())
}

fn pause(ms: u64) {
    thread::sleep(Duration::from_millis(ms));
}

/// `tidelog migrate --follow --cut-over`.
struct Migrate {
    process: Child,
    receipt: PathBuf,
    log: PathBuf,
}

impl Migrate {
    fn start(home: &Path, from: &str, to: &str, rate: &str) -> Result<Self> {
        let (receipt, log) = (home.join("receipt.json"), home.join("migrate.log"));
        let process = Command::new(tidelog()?)
            .args([
                "migrate",
                "--from",
                from,
                "--to",
                to,
                "--follow",
                "--cut-over",
                "--json",
            ])
            .args(["--quiet", "2", "--rate", rate])
            .stdin(Stdio::null())
            .stdout(File::create(&receipt)?)
            .stderr(File::options().create(true).append(true).open(&log)?)
            .spawn()?;
        Ok(Self {
            process,
            receipt,
            log,
        })
    }

    fn wait(&mut self) -> Result<ExitStatus> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("not done in {PATIENCE:?}:\n{}", self.said());
            }
            pause(50);
        }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Migrate {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A step of `clients/python/migrate.py`.
struct Step {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Step {
    fn start(arguments: &[&str]) -> Result<Self> {
        let program = workspace().join("compat-tests/clients/python/migrate.sh");
        let mut process = Command::new("timeout")
            .arg("400")
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null()) // The library tells of every lost connection.
            .spawn()?;
        let stdout = process.stdout.take().context("stdout is piped")?;
        Ok(Self {
            process,
            lines: BufReader::new(stdout),
        })
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }

    /// Tells it to stop, if it listens, and answers what it said; an error unless it passed.
    fn finish(mut self) -> Result<Vec<Value>> {
        if let Some(mut stdin) = self.process.stdin.take() {
            // It may be done.
            let _ = writeln!(stdin, "stop");
        }
        let mut said = Vec::new();
        for line in self.lines.by_ref().lines() {
            said.push(serde_json::from_str::<Value>(&line?)?);
        }
        let status = self.process.wait()?;
        let passed = said.last().is_some_and(|line| line["passed"] == true);
        ensure!(passed && status.success(), "{status}: {said:#?}");
        Ok(said)
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
