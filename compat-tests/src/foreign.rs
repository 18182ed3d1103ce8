//! The client programs under `clients/` and their verdicts.
//!
//! Each prints JSON lines and ends with `"passed"` and exit code 0 or 1. The first run of a family
//! installs its libraries under `target/foreign`, so it takes longer.

use std::fmt;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::workspace;

/// Seconds for one scenario; the first one of a family may download its libraries.
const SCENARIO_SECONDS: &str = "300";

/// One client library, by the program that drives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    pub name: &'static str,
    program: &'static str,
    library: &'static [&'static str],
}

/// librdkafka through confluent-kafka.
pub const CONFLUENT: Client = python("confluent", &["confluent"]);
/// The same of 2022, built once.
pub const CONFLUENT_OLD: Client = python("confluent-old", &["confluent-old"]);
pub const KAFKA_PYTHON: Client = python("kafka-python", &["kafka-python"]);
pub const AIOKAFKA: Client = python("aiokafka", &["aiokafka"]);
/// Apache's own client, the strictest decoder.
pub const JAVA: Client = Client {
    name: "java",
    program: "java/run.sh",
    library: &["current"],
};
/// The last of the 3.x line, which most applications still carry.
pub const JAVA_3: Client = Client {
    name: "java-3",
    program: "java/run.sh",
    library: &["three"],
};
/// The same of 2021, for old API versions.
pub const JAVA_OLD: Client = Client {
    name: "java-old",
    program: "java/run.sh",
    library: &["old"],
};
pub const KAFKAJS: Client = node("kafkajs", &["kafkajs"]);
/// librdkafka in Node, through promises made after kafkajs's.
pub const CONFLUENT_JS: Client = node("confluent-js", &["confluent-js"]);
/// The same through events and callbacks, as node-rdkafka has them.
pub const CONFLUENT_JS_CALLBACKS: Client =
    node("confluent-js-callbacks", &["confluent-js-callbacks"]);
pub const FRANZ: Client = Client {
    name: "franz-go",
    program: "go/run.sh",
    library: &["franz"],
};
pub const SARAMA: Client = Client {
    name: "sarama",
    program: "go/run.sh",
    library: &["sarama"],
};
/// segmentio/kafka-go, which speaks the oldest versions of all.
pub const KAFKA_GO: Client = Client {
    name: "kafka-go",
    program: "go/run.sh",
    library: &["kafka-go"],
};
/// Debian's build with a librdkafka years older than confluent-kafka's.
pub const KCAT: Client = Client {
    name: "kcat",
    program: "kcat/run.sh",
    library: &[],
};

/// PyIceberg and DuckDB on the tables of topics; takes the catalog's address as first argument.
pub const LAKE: Client = Client {
    name: "lake",
    program: "../python_lake/run.sh",
    library: &[],
};

/// Kafka's command-line tools, Streams, Connect and MirrorMaker, driven in one JVM each.
pub const FRAMEWORKS: Client = Client {
    name: "frameworks",
    program: "frameworks/run.sh",
    library: &[],
};
/// Flink SQL on a cluster within one JVM.
pub const FLINK: Client = Client {
    name: "flink",
    program: "flink/run.sh",
    library: &[],
};

/// Confluent's Python serializers and registry client; the registry's address is the first argument of
/// these three.
pub const REGISTRY_PYTHON: Client = registry("registry-python", &["python"]);
/// franz-go's registry client.
pub const REGISTRY_GO: Client = registry("registry-go", &["go"]);
/// Confluent's Java client and Flink's serde over it.
pub const REGISTRY_JAVA: Client = registry("registry-java", &["java"]);

const fn registry(name: &'static str, library: &'static [&'static str]) -> Client {
    Client {
        name,
        program: "registry/run.sh",
        library,
    }
}

const fn python(name: &'static str, library: &'static [&'static str]) -> Client {
    Client {
        name,
        program: "python/run.sh",
        library,
    }
}

const fn node(name: &'static str, library: &'static [&'static str]) -> Client {
    Client {
        name,
        program: "node/run.sh",
        library,
    }
}

/// A test of each client that can do everything, called after it; `check` takes the client.
#[macro_export]
macro_rules! test_full_clients {
    ($check:path) => {
        $crate::test_clients!($check;
            confluent: CONFLUENT,
            kafka_python: KAFKA_PYTHON,
            aiokafka: AIOKAFKA,
            java: JAVA,
            java_3: JAVA_3,
            java_of_2021: JAVA_OLD,
            kafkajs: KAFKAJS,
            confluent_js: CONFLUENT_JS,
            confluent_js_callbacks: CONFLUENT_JS_CALLBACKS,
            franz_go: FRANZ,
            sarama: SARAMA,
        );
    };
}

/// A test of each of these clients.
#[macro_export]
macro_rules! test_clients {
    ($check:path; $($test:ident: $client:ident),* $(,)?) => {
        $(#[test]
        fn $test() {
            $check($crate::foreign::$client);
        })*
    };
}

/// What a client program said, in full.
#[derive(Debug)]
pub struct Verdict {
    pub lines: Vec<Value>,
    output: Output,
}

impl Verdict {
    fn of(output: Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout);
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        Self { lines, output }
    }

    pub fn passed(&self) -> bool {
        let last = self.lines.last().and_then(|line| line.get("passed"));
        self.output.status.success() && last == Some(&Value::Bool(true))
    }

    /// The values of a field over all lines that have it.
    pub fn texts(&self, field: &str) -> Vec<&str> {
        self.lines
            .iter()
            .filter_map(|line| line.get(field)?.as_str())
            .collect()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.output.status)?;
        writeln!(
            f,
            "--- stdout\n{}",
            String::from_utf8_lossy(&self.output.stdout)
        )?;
        write!(
            f,
            "--- stderr\n{}",
            String::from_utf8_lossy(&self.output.stderr)
        )
    }
}

impl Client {
    /// Runs a scenario against the broker at `bootstrap`.
    pub fn run(&self, bootstrap: &str, scenario: &str, arguments: &[&str]) -> Result<Verdict> {
        let output = Command::new("timeout")
            .arg(SCENARIO_SECONDS)
            .arg(program(self.program))
            .args(self.library)
            .args([bootstrap, scenario])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("running {}", self.program))?;
        Ok(Verdict::of(output))
    }

    /// Runs scenarios one after another; panics with all the client said at the first that fails.
    #[track_caller]
    pub fn expect(&self, bootstrap: &str, scenarios: &[&str]) {
        for scenario in scenarios {
            let verdict = self.run(bootstrap, scenario, &[]).expect("client program");
            assert!(
                verdict.passed(),
                "{} failed {scenario}: {verdict}",
                self.name
            );
        }
    }
}

/// The idempotent producer that outlives its broker; see `clients/python/ledger.py`.
#[derive(Debug)]
pub struct Ledger {
    process: Child,
    stop: ChildStdin,
    lines: Receiver<Value>,
}

impl Ledger {
    /// Writes to a new topic with these configs.
    pub fn start(
        bootstrap: &str,
        topic: &str,
        partitions: u32,
        configs: &[(&str, &str)],
    ) -> Result<Self> {
        let mut process = Command::new("timeout")
            .arg("1200")
            .arg(program("python/ledger.sh"))
            .args([bootstrap, topic, &partitions.to_string()])
            .args(
                configs
                    .iter()
                    .map(|(name, value)| format!("{name}={value}")),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null()) // The library tells of every lost connection.
            .spawn()?;
        let stop = process.stdin.take().context("stdin is piped")?;
        let stdout = process.stdout.take().context("stdout is piped")?;
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            for line in lines.filter_map(|line| serde_json::from_str(&line).ok()) {
                if tell.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            process,
            stop,
            lines,
        })
    }

    /// Waits until records sent now are acknowledged; answers how many are in all.
    pub fn progress(&self, patience: Duration) -> Result<u64> {
        // Lines that wait here are of the past, and so may be what the next one counts.
        while self.lines.try_recv().is_ok() {}
        let before = self.acked(patience)?;
        loop {
            let now = self.acked(patience)?;
            if now > before {
                return Ok(now);
            }
        }
    }

    fn acked(&self, patience: Duration) -> Result<u64> {
        let line = self
            .lines
            .recv_timeout(patience)
            .context("the producer fell silent")?;
        line.get("acked")
            .and_then(Value::as_u64)
            .with_context(|| format!("it ended: {line}"))
    }

    /// Lets the producer finish and judge; the lines it printed since the last look.
    pub fn finish(mut self) -> Result<Vec<Value>> {
        writeln!(self.stop, "stop")?;
        let lines = self.lines.iter().collect();
        self.process.wait()?;
        Ok(lines)
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program(path: &str) -> PathBuf {
    workspace().join("compat-tests/clients").join(path)
}
