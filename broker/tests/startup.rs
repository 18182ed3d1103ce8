//! The binary itself: its ready line, its exit codes, and what it says when it cannot start.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};

fn tidelog(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidelog"));
    command
        .args(args)
        .env_remove("RUST_LOG")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(args: &[&str]) -> Output {
    tidelog(args).output().unwrap()
}

/// Expects exit code 1 and one line on stderr that contains `expected`.
fn fails_with(args: &[&str], expected: &str) {
    let output = run(args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{args:?}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains(expected), "{args:?}: {stderr}");
}

struct Serving {
    child: Child,
    ready: String,
}

impl Serving {
    fn start(args: &[&str]) -> Self {
        let mut child = tidelog(&[&["serve"], args].concat()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut ready)
            .unwrap();
        Self { child, ready }
    }

    /// The value of `key=` in the ready line.
    fn field(&self, key: &str) -> &str {
        let found = self.ready.split_whitespace().find_map(|word| {
            word.strip_prefix(key)
                .and_then(|rest| rest.strip_prefix('='))
        });
        found.unwrap_or_else(|| panic!("no {key} in {:?}", self.ready))
    }

    /// Sends a signal by name and returns the exit code and what was logged.
    fn stop(mut self, signal: &str) -> (Option<i32>, String) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", signal, &id])
                .status()
                .unwrap()
                .success()
        );
        let code = self.child.wait().unwrap().code();
        let mut log = String::new();
        self.child
            .stderr
            .as_mut()
            .unwrap()
            .read_to_string(&mut log)
            .unwrap();
        (code, log)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const FREE: [&str; 8] = [
    "--listen",
    "127.0.0.1:0",
    "--catalog",
    "127.0.0.1:0",
    "--registry",
    "127.0.0.1:0",
    "--admin",
    "127.0.0.1:0",
];

#[test]
fn prints_one_ready_line_and_stops_on_a_signal() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    for signal in ["TERM", "INT"] {
        let args = [&FREE[..], &["--data-dir", data.to_str().unwrap()]].concat();
        let serving = Serving::start(&args);
        assert!(
            serving.ready.starts_with("tidelog ready "),
            "{}",
            serving.ready
        );
        assert_eq!(serving.field("tables"), "disabled");
        assert!(serving.field("data").ends_with("/data"));
        TcpStream::connect(serving.field("kafka")).unwrap();
        TcpStream::connect(serving.field("admin")).unwrap();
        TcpStream::connect(serving.field("catalog")).unwrap();
        TcpStream::connect(serving.field("registry")).unwrap();
        let (code, log) = serving.stop(signal);
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("stopping"), "{log}");
    }
}

#[test]
fn a_taken_port_names_the_address_and_the_flag() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--listen", "--catalog", "--registry", "--admin"] {
        let dir = tempfile::tempdir().unwrap();
        let mut args = vec!["serve", "--data-dir", dir.path().to_str().unwrap()];
        for other in FREE.chunks(2) {
            args.extend([other[0], if other[0] == flag { &address } else { other[1] }]);
        }
        let expected = format!(
            "{address} is in use by another process; stop it or choose another address with {flag}"
        );
        fails_with(&args, &expected);
    }
}

#[test]
fn a_data_directory_serves_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let args = [&FREE[..], &["--data-dir", dir.path().to_str().unwrap()]].concat();
    let _first = Serving::start(&args);
    fails_with(
        &[&["serve"], &args[..]].concat(),
        "is locked by another process",
    );
}

#[test]
fn a_data_directory_belongs_to_one_broker() {
    let dir = tempfile::tempdir().unwrap();
    let args = [&FREE[..], &["--data-dir", dir.path().to_str().unwrap()]].concat();
    Serving::start(&args).stop("TERM");
    let other = [&["serve"], &args[..], &["--set", "node.id=2"]].concat();
    fails_with(&other, "belongs to broker 1, not 2");
}

#[test]
fn a_data_directory_that_cannot_be_made_is_named() {
    let args = ["serve", "--data-dir", "/proc/tidelog"];
    fails_with(
        &[&args[..], &FREE].concat(),
        "data directory /proc/tidelog cannot be used",
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let args = ["serve", "--data-dir", path];
    fails_with(
        &[&args[..], &FREE].concat(),
        &format!("{path} is not a directory; choose another one with --data-dir"),
    );
}

#[test]
fn wrong_settings_say_where_they_were_written() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("broker.properties");
    std::fs::write(&file, "# ours\nnum.partition=3\n").unwrap();
    let file = file.to_str().unwrap();
    fails_with(
        &["serve", "--config", file],
        &format!("{file}:2: unknown setting `num.partition`; did you mean `num.partitions`?"),
    );
    fails_with(
        &["serve", "--set", "node.id=one"],
        "--set: `node.id` cannot be `one`: expected a whole number, at least 0",
    );
    fails_with(
        &["serve", "--listen", "9092"],
        "--listen: `listeners` cannot be `9092`",
    );
    fails_with(
        &["config", "list", "--config", "/nowhere"],
        "cannot read the settings file /nowhere",
    );
}

#[test]
fn settings_are_listed_with_their_source() {
    let text = |args: &[&str]| String::from_utf8(run(args).stdout).unwrap();
    let plain = text(&["config", "list", "--set", "num.partitions=4"]);
    assert!(plain.contains("num.partitions=4  # --set\n"), "{plain}");
    assert!(plain.contains("node.id=1  # default\n"), "{plain}");
    let json = text(&["config", "list", "--json", "--listen", ":1"]);
    let list: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    let listeners = list
        .iter()
        .find(|entry| entry["name"] == "listeners")
        .unwrap();
    assert_eq!(listeners["value"], "PLAINTEXT://:1");
    assert_eq!(listeners["source"], "--listen");
}

#[test]
fn json_logs_are_json() {
    let dir = tempfile::tempdir().unwrap();
    let args = [
        "--data-dir",
        dir.path().to_str().unwrap(),
        "--log-format",
        "json",
    ];
    let (_, log) = Serving::start(&[&FREE[..], &args].concat()).stop("TERM");
    for line in log.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    assert!(!log.is_empty());
}
