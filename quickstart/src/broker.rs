//! The broker as a child process on free ports.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::stage::{Home, last_lines};

const READY_WAIT: Duration = Duration::from_secs(30);
const STOP_WAIT: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(10);
const ANY_PORT: &str = "127.0.0.1:0";

/// A running broker; dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Broker {
    process: Child,
    pub(crate) program: PathBuf,
    /// `HOST:PORT` for Kafka clients.
    pub(crate) kafka: String,
    /// `HOST:PORT` of the Iceberg REST catalog.
    pub(crate) catalog: String,
    /// `HOST:PORT` of the schema registry.
    pub(crate) registry: String,
    /// `HOST:PORT` of metrics and health.
    pub(crate) admin: String,
}

impl Broker {
    /// Starts `program serve` in the data folder and waits until it is ready.
    pub(crate) async fn start(program: PathBuf, home: &Home) -> Result<Self> {
        let log_path = home.log("broker");
        let log = File::create(&log_path)?;
        let process = Command::new(&program)
            .args(["serve", "--listen", ANY_PORT, "--catalog", ANY_PORT])
            .args(["--registry", ANY_PORT, "--admin", ANY_PORT, "--data-dir"])
            .arg(home.broker())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let mut broker = Self {
            process,
            program,
            kafka: String::new(),
            catalog: String::new(),
            registry: String::new(),
            admin: String::new(),
        };
        let stdout = broker.process.stdout.take().context("stdout is piped")?;
        let line = timeout(READY_WAIT, first_line(stdout)).await;
        let line = line.ok().and_then(Result::ok).unwrap_or_default();
        let address = |name| match field(&line, name) {
            Some(address) => Ok(address.to_owned()),
            None => bail!("the broker did not start: {}", last_lines(&log_path)),
        };
        broker.kafka = address("kafka")?;
        broker.catalog = address("catalog")?;
        broker.registry = address("registry")?;
        broker.admin = address("admin")?;
        Ok(broker)
    }

    pub(crate) fn catalog_url(&self) -> String {
        format!("http://{}", self.catalog)
    }

    /// SIGTERM, then waits for the clean end.
    pub(crate) async fn stop(mut self) -> Result<()> {
        if let Some(pid) = i32::try_from(self.process.id())
            .ok()
            .and_then(Pid::from_raw)
        {
            kill_process(pid, Signal::TERM).context("stopping the broker")?;
        }
        let asked = Instant::now();
        while asked.elapsed() < STOP_WAIT {
            if let Some(status) = self.process.try_wait()? {
                ensure!(status.success(), "the broker ended with {status}");
                return Ok(());
            }
            sleep(LOOK_EVERY).await;
        }
        bail!("the broker did not stop within {STOP_WAIT:?}")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The first line; what follows is read and dropped, for a full pipe would stop the broker.
async fn first_line(stdout: impl std::io::Read + Send + 'static) -> Result<String> {
    let (tell, line) = oneshot::channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stdout);
        let mut line = String::new();
        // Read or not, an empty line says that it did not start.
        let _ = reader.read_line(&mut line);
        let _ = tell.send(line);
        let _ = std::io::copy(&mut reader.by_ref(), &mut std::io::sink());
    });
    Ok(line.await?)
}

fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let mut words = line
        .split_whitespace()
        .filter_map(|word| word.split_once('='));
    words.find(|(own, _)| *own == name).map(|(_, value)| value)
}

/// The path as a shell takes it.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |char: char| char.is_ascii_alphanumeric() || "/._-+:".contains(char);
    match text.chars().all(plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_from_the_ready_line() {
        let line = "tidelog ready kafka=127.0.0.1:1 catalog=127.0.0.1:2 admin=off data=/a";
        assert_eq!(field(line, "kafka"), Some("127.0.0.1:1"));
        assert_eq!(field(line, "admin"), Some("off"));
        assert_eq!(field(line, "tables"), None);
    }

    #[test]
    fn paths_survive_a_shell() {
        assert_eq!(quoted(Path::new("/tmp/a-b_1.x")), "/tmp/a-b_1.x");
        assert_eq!(quoted(Path::new("/tmp/a b")), "'/tmp/a b'");
        assert_eq!(quoted(Path::new("it's")), r"'it'\''s'");
    }
}
