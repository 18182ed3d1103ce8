//! The Python programs: part of this binary, run from the data folder as processes of their own.
//!
//! Each prints JSON lines. Those with `progress` say how far it is; the last one is its result. What
//! goes to stderr is kept in `logs/`, and its end is shown when the program fails.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::stage::{Home, last_lines};

const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Lines are progress, a few a second; a program that is ahead of us may wait.
const LINES_MAX: usize = 64;

macro_rules! programs {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../python/", $name)))),+]
    };
}

const PROGRAMS: &[(&str, &str)] = programs![
    "consume.py",
    "lake.py",
    "orders.py",
    "produce.py",
    "read_duckdb.py",
    "read_pyiceberg.py",
    "requirements.txt",
    "sql.py",
    "tally.py",
    "topics.py",
    "versions.py",
];

/// An interpreter and the folders it works in.
#[derive(Debug)]
pub(crate) struct Python {
    pub(crate) interpreter: PathBuf,
    home: Home,
}

impl Python {
    /// Writes the programs to the data folder.
    pub(crate) fn unpack(interpreter: &Path, home: &Home) -> Result<Self> {
        for (name, text) in PROGRAMS {
            let path = home.programs().join(name);
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(Self {
            interpreter: interpreter.to_owned(),
            home: home.clone(),
        })
    }

    /// The path of a program, for whoever wants to run it again.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.home.programs().join(name)
    }

    /// Runs a program to its end and answers its result.
    pub(crate) async fn run<T: DeserializeOwned>(
        &self,
        program: &str,
        arguments: &[&str],
        progress: impl FnMut(u64),
    ) -> Result<T> {
        self.start(program, arguments)?.result(progress).await
    }

    /// Starts a program whose standard input stays open until [`Program::result`].
    pub(crate) fn start(&self, program: &str, arguments: &[&str]) -> Result<Program> {
        let log = self.home.log(program);
        let mut process = Command::new(&self.interpreter)
            .arg(self.program(program))
            .args(arguments)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUTF8", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| format!("cannot run {}", self.interpreter.display()))?;
        let stdout = process.stdout.take().context("stdout is piped")?;
        let (tell, lines) = mpsc::channel(LINES_MAX);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if tell.blocking_send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Program {
            name: program.to_owned(),
            log,
            process,
            lines,
            last: Value::Null,
        })
    }
}

/// A program that runs; dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Program {
    name: String,
    log: PathBuf,
    process: Child,
    lines: mpsc::Receiver<String>,
    last: Value,
}

impl Program {
    /// The progress it tells next; an error if it ends instead.
    pub(crate) async fn progress(&mut self) -> Result<u64> {
        while let Some(line) = self.lines.recv().await {
            if let Some(progress) = self.take(&line)? {
                return Ok(progress);
            }
        }
        anyhow::bail!("{} ended early; {}", self.name, last_lines(&self.log))
    }

    /// Passes over what it told while nobody listened; answers the newest progress, if there is one.
    pub(crate) fn catch_up(&mut self) -> Result<Option<u64>> {
        let mut newest = None;
        while let Ok(line) = self.lines.try_recv() {
            newest = self.take(&line)?.or(newest);
        }
        Ok(newest)
    }

    /// Closes its standard input and waits for its result.
    pub(crate) async fn result<T: DeserializeOwned>(
        mut self,
        mut progress: impl FnMut(u64),
    ) -> Result<T> {
        drop(self.process.stdin.take());
        while let Some(line) = self.lines.recv().await {
            if let Some(done) = self.take(&line)? {
                progress(done);
            }
        }
        let status = loop {
            match self.process.try_wait()? {
                Some(status) => break status,
                None => sleep(LOOK_EVERY).await,
            }
        };
        ensure!(
            status.success(),
            "{} failed ({status}); {}",
            self.name,
            last_lines(&self.log)
        );
        serde_json::from_value(self.last.take())
            .with_context(|| format!("{} did not tell its result", self.name))
    }

    fn take(&mut self, line: &str) -> Result<Option<u64>> {
        self.last = serde_json::from_str(line)
            .with_context(|| format!("{} printed {line:?}", self.name))?;
        Ok(self.last.get("progress").and_then(Value::as_u64))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
