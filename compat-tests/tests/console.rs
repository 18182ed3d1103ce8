//! `tidelog topic | table | group | produce | consume | lookup | tier`, as people and scripts call them,
//! beside clients nobody here wrote: each reads what the other wrote, and sees the topics, groups and
//! offsets that the other made.
//!
//! Foreign: kcat, and librdkafka through confluent-kafka.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use arrow_ipc::reader::StreamReader;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use tidelog_compat_tests::broker::{Broker, tidelog};
use tidelog_compat_tests::foreign::CONFLUENT;

/// A background job (rows, the lake) on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary's commands against one broker.
struct Console {
    broker: Broker,
}

/// What a command said.
struct Said {
    code: i32,
    out: Vec<u8>,
    error: String,
}

impl Console {
    fn start() -> Self {
        let broker = Broker::start_tidelog().expect("broker");
        Self { broker }
    }

    fn try_with(&self, arguments: &[&str], input: &[u8]) -> Said {
        let mut process = Command::new(tidelog().expect("built"))
            .args(arguments)
            .env("TIDELOG_BOOTSTRAP", self.broker.address())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a process");
        let mut stdin = process.stdin.take().expect("piped");
        // One that does not read its input closes it.
        let _ = stdin.write_all(input);
        drop(stdin);
        Said::of(process.wait_with_output().expect("its end"))
    }

    #[track_caller]
    fn with(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let said = self.try_with(arguments, input);
        assert_eq!(said.code, 0, "{arguments:?}: {}", said.error);
        said.out
    }

    #[track_caller]
    fn text(&self, arguments: &[&str]) -> String {
        String::from_utf8_lossy(&self.with(arguments, b"")).into_owned()
    }

    /// The one document of a command, or its lines as an array if there are several.
    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let arguments = [arguments, &["--json"]].concat();
        let text = self.text(&arguments);
        let lines = text
            .lines()
            .map(|line| serde_json::from_str(line).expect(line));
        lines.collect()
    }

    #[track_caller]
    fn fails(&self, code: i32, arguments: &[&str], why: &str) {
        let said = self.try_with(arguments, b"");
        assert_eq!(said.code, code, "{arguments:?}: {}", said.error);
        assert!(said.error.contains(why), "{arguments:?}: {}", said.error);
        if code == 1 {
            assert_eq!(said.error.lines().count(), 1, "{}", said.error);
        }
    }

    #[track_caller]
    fn kcat(&self, arguments: &[&str]) -> String {
        let output = Command::new("timeout")
            .args(["40", "kcat", "-q", "-b", &self.broker.address()])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("kcat");
        let said = Said::of(output);
        assert_eq!(said.code, 0, "{}", said.error);
        String::from_utf8_lossy(&said.out).into_owned()
    }

    #[track_caller]
    fn wait_for(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < deadline, "{what}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Said {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: output.stdout,
            error: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

#[test]
fn topics() {
    let console = Console::start();
    console.text(&[
        "topic",
        "create",
        "orders",
        "--partitions",
        "3",
        "--set",
        "retention.ms=90000",
    ]);
    let listed = console.kcat(&["-L", "-t", "orders"]);
    assert!(listed.contains("\"orders\" with 3 partitions"), "{listed}");
    console.fails(1, &["topic", "create", "orders"], "--if-not-exists");
    console.text(&["topic", "create", "orders", "--if-not-exists"]);
    console.text(&[
        "topic",
        "alter",
        "orders",
        "--partitions",
        "5",
        "--set",
        "cleanup.policy=compact",
        "--unset",
        "retention.ms",
    ]);
    let described = console.json(&["topic", "describe", "orders"]);
    let topic = &described[0][0];
    assert_eq!(topic["partitions"].as_array().map(Vec::len), Some(5));
    assert_eq!(
        topic["configs"],
        json!([{"name": "cleanup.policy", "value": "compact", "is_own": true}])
    );
    let names = |listed: Vec<Value>| -> Vec<String> {
        let topics = listed[0].as_array().cloned().unwrap_or_default();
        topics
            .iter()
            .map(|topic| topic["name"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(names(console.json(&["topic", "list"])), ["orders"]);
    console.text(&["topic", "delete", "orders"]);
    assert!(names(console.json(&["topic", "list"])).is_empty());
    console.fails(1, &["topic", "describe", "orders"], "topic list");
    console.fails(2, &["topic", "alter", "orders"], "nothing to change");
    console.fails(2, &["topic", "create", "t", "--schema", "{}"], "fields");
    console.fails(
        1,
        &["topic", "list", "--bootstrap", "127.0.0.1:1"],
        "tidelog serve",
    );
}

#[test]
fn records() {
    let console = Console::start();
    console.text(&["topic", "create", "words", "--partitions", "2"]);
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let arguments = [
            "produce",
            "words",
            "--key-separator",
            ":",
            "--empty-is-null",
            "--header",
            "a=1",
        ];
        let said = console.with(
            &[&arguments[..], &["--compression", codec, "--json"]].concat(),
            b"k:one\nk:\nk:two:2\n",
        );
        let said: Value = serde_json::from_slice(&said).expect("JSON");
        assert_eq!(said["records"], 3);
    }
    let read = console.kcat(&[
        "-C",
        "-t",
        "words",
        "-e",
        "-o",
        "beginning",
        "-f",
        "%k %S %s %h\\n",
    ]);
    assert_eq!(read, "k 3 one a=1\nk -1  a=1\nk 5 two:2 a=1\n".repeat(5));

    // What librdkafka wrote, in every codec.
    let written = CONFLUENT
        .run(&console.broker.address(), "roundtrip", &[])
        .expect("client program");
    assert!(written.passed(), "{written}");
    for topic in written.texts("topic") {
        let format = ["-f", "%p %o %T %k %S %h\\n"];
        let theirs =
            console.kcat(&[&["-C", "-t", topic, "-e", "-o", "beginning"][..], &format].concat());
        let ours = console.text(&["consume", topic, "--format", "%p %o %T %k %S %h\\n"]);
        let sorted = |text: &str| {
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert!(!ours.is_empty());
        assert_eq!(sorted(&ours), sorted(&theirs), "{topic}");
    }
    let last = console.json(&["consume", "words", "--from", "14", "--max", "1"]);
    assert_eq!(
        (&last[0]["value"], &last[0]["offset"]),
        (&json!("two:2"), &json!(14))
    );
    assert_eq!(last[0]["headers"], json!([["a", "1"]]));
    assert_eq!(console.text(&["consume", "words", "--from", "latest"]), "");
    console.fails(1, &["consume", "nothing"], "topic list");
    console.fails(1, &["produce", "nothing"], "topic list");
    console.fails(
        2,
        &["consume", "words", "--partitions", "7"],
        "no partition 7",
    );
    let bad = console.try_with(&["produce", "words", "--key-separator", "|"], b"no key\n");
    assert_eq!(bad.code, 1, "{}", bad.error);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let console = Console::start();
    console.text(&["topic", "create", "many", "--partitions", "1"]);
    let lines: String = (0..200_000).map(|n| format!("line {n}\n")).collect();
    console.with(&["produce", "many"], lines.as_bytes());
    let binary = tidelog().expect("built");
    let piped = format!(
        "set -o pipefail; {} consume many | head -n 3",
        binary.display()
    );
    let output = Command::new("bash")
        .args(["-c", &piped])
        .env("TIDELOG_BOOTSTRAP", console.broker.address())
        .output()
        .expect("bash");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "line 0\nline 1\nline 2\n"
    );
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.stderr.is_empty());
}

#[test]
fn groups() {
    let console = Console::start();
    console.text(&["topic", "create", "jobs", "--partitions", "1"]);
    console.with(&["produce", "jobs"], b"1\n2\n3\n4\n5\n");
    // Ours begins, librdkafka goes on, ours sees where it is.
    assert_eq!(
        console.text(&["consume", "jobs", "--group", "g", "--max", "2"]),
        "1\n2\n"
    );
    assert_eq!(console.kcat(&["-c2", "-G", "g", "jobs"]), "3\n4\n");
    assert_eq!(console.text(&["consume", "jobs", "--group", "g"]), "5\n");
    assert_eq!(console.text(&["consume", "jobs", "--group", "g"]), "");
    let lag = || console.json(&["group", "describe", "g"])[0][0]["offsets"][0]["lag"].clone();
    assert_eq!(lag(), 0);
    let listed = console.json(&["group", "list"]);
    assert_eq!(
        (&listed[0][0]["name"], &listed[0][0]["state"]),
        (&json!("g"), &json!("Empty"))
    );

    let reset = ["group", "reset", "g", "--topic", "jobs:0", "--to"];
    let shown = console.json(&[&reset[..], &["earliest"]].concat());
    assert_eq!(
        (&shown[0]["executed"], &shown[0]["offsets"][0]["to"]),
        (&json!(false), &json!(0))
    );
    assert_eq!(lag(), 0);
    for (place, behind) in [
        ("earliest", 5),
        ("latest", 0),
        ("3", 2),
        ("99", 0),
        ("2001-01-01T00:00:00Z", 5),
    ] {
        console.text(&[&reset[..], &[place, "--execute"]].concat());
        assert_eq!(lag(), behind, "{place}");
    }
    assert_eq!(console.kcat(&["-c1", "-G", "g", "jobs"]), "1\n");

    // With a member nobody else moves the group.
    let mut member = Command::new("kcat")
        .args(["-q", "-b", &console.broker.address(), "-G", "g", "jobs"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("kcat");
    console.wait_for("no member", || {
        let described = console.json(&["group", "describe", "g"]);
        described[0][0]["members"][0]["assigned"]["jobs"] == json!([0])
    });
    console.fails(
        1,
        &[&reset[..], &["earliest", "--execute"]].concat(),
        "members",
    );
    console.fails(1, &["group", "delete", "g"], "members");
    Command::new("kill")
        .args(["-INT", &member.id().to_string()])
        .status()
        .expect("kill");
    member.wait().expect("its end");
    console.wait_for("still a member", || {
        console.try_with(&["group", "delete", "g"], b"").code == 0
    });
    console.fails(1, &["group", "describe", "g"], "group list");
}

#[test]
fn rows() {
    let console = Console::start();
    let columns = "id long not null, price double, city struct<name string>";
    console.text(&[
        "table",
        "create",
        "sales",
        "--columns",
        columns,
        "--partitions",
        "1",
        "--lake",
    ]);
    let lines: String = (0..100)
        .map(|id| {
            format!(
                "{}\n",
                json!({"id": id, "price": f64::from(id) / 2.0, "city": {"name": "Kiel"}})
            )
        })
        .collect();
    console.with(&["produce", "sales"], lines.as_bytes());
    let read = [
        "consume",
        "sales",
        "--columns",
        "id,city.name",
        "--where",
        "price > 48",
    ];
    let rows = console.json(&read);
    assert_eq!(
        rows,
        [97, 98, 99].map(|id| json!({"id": id, "city": {"name": "Kiel"}}))
    );
    let table = console.text(&[&read[..], &["--max", "1"]].concat());
    assert_eq!(table.lines().count(), 2, "{table}");

    let stream = console.with(&[&read[..], &["--output", "arrow"]].concat(), b"");
    let batches = StreamReader::try_new(&stream[..], None).expect("a stream");
    let ids = |batch: &arrow_array::RecordBatch| {
        batch
            .column(0)
            .as_primitive::<Int64Type>()
            .values()
            .to_vec()
    };
    let arrow: Vec<i64> = batches
        .flat_map(|batch| ids(&batch.expect("rows")))
        .collect();
    assert_eq!(arrow, [97, 98, 99]);
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("rows.parquet");
    let path = file.to_str().expect("text");
    console.text(&[&read[..], &["--output", "parquet", "--to-file", path]].concat());
    let file = std::fs::File::open(&file).expect("the file");
    let batches = ParquetRecordBatchReaderBuilder::try_new(file)
        .expect("Parquet")
        .build()
        .expect("rows");
    let parquet: Vec<i64> = batches
        .flat_map(|batch| ids(&batch.expect("rows")))
        .collect();
    assert_eq!(parquet, [97, 98, 99]);
    console.fails(
        1,
        &["consume", "sales", "--columns", "nothing"],
        "no column \"nothing\"",
    );
    console.fails(1, &["consume", "sales", "--where", "price >"], "filter");

    let described = &console.json(&["table", "describe", "sales"])[0];
    let columns = described["schemas"][0]["columns"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let shown = |name: &str| {
        columns
            .iter()
            .find(|column| column["name"] == name)
            .cloned()
            .unwrap_or_default()
    };
    assert_eq!(
        (&shown("id")["type"], &shown("id")["nullable"]),
        (&json!("long"), &json!(false))
    );
    assert_eq!(shown("city")["type"], "struct<name string>");
    assert_eq!(described["lake"]["name"], "sales");

    console.text(&["tier", "now", "sales"]);
    console.wait_for("nothing comes to the lake", || {
        let status = console.json(&["tier", "status", "sales"]);
        status[0][0]["partitions"][0]["lake_end"] == 100
    });
    assert!(console.text(&["tier", "status"]).contains("sales"));
    console.fails(1, &["tier", "status", "nothing"], "nothing");
}

#[test]
fn columns_change() {
    let console = Console::start();
    console.text(&[
        "table",
        "create",
        "t",
        "--columns",
        "a int, b string",
        "--partitions",
        "1",
    ]);
    console.with(&["produce", "t"], b"{\"a\":1,\"b\":\"x\"}\n");
    let alter = |change: &[&str]| console.text(&[&["table", "alter", "t"], change].concat());
    alter(&["add", "c", "list<double>"]);
    alter(&["widen", "a", "long"]);
    alter(&["rename", "b", "d"]);
    alter(&["drop", "c", "--dry-run"]);
    console.with(
        &["produce", "t"],
        b"{\"a\":5000000000,\"d\":\"y\",\"c\":[0.5]}\n",
    );
    let rows = console.json(&["consume", "t", "--columns", "a,d,c"]);
    assert_eq!(
        rows,
        [
            json!({"a": 1, "d": "x", "c": null}),
            json!({"a": 5_000_000_000_i64, "d": "y", "c": [0.5]}),
        ]
    );
    console.fails(1, &["table", "alter", "t", "widen", "a", "string"], "a");
    console.fails(2, &["table", "alter", "t", "add", "e", "number"], "no type");
    console.fails(
        2,
        &["table", "create", "u", "--columns", "a"],
        "a type is missing",
    );
}

#[test]
fn keys() {
    let console = Console::start();
    let columns = "name string, age int";
    console.text(&[
        "table",
        "create",
        "people",
        "--columns",
        columns,
        "--key",
        "record_key",
        "--partitions",
        "4",
    ]);
    let lines = b"a={\"name\":\"Ada\",\"age\":36}\nb={\"name\":\"Bo\",\"age\":1}\na={\"name\":\"Ada\",\"age\":37}\n";
    console.with(&["produce", "people", "--key-separator", "="], lines);
    let rows = console.json(&["lookup", "people", "b", "a", "--columns", "age"]);
    assert_eq!(rows[0]["row"], json!({"age": 1}));
    assert_eq!(rows[1]["row"], json!({"age": 37}));
    // librdkafka's own rule for keys is another.
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "c={\"name\":\"Cy\",\"age\":8}\n").expect("the disk");
    let path = file.path().to_str().expect("text");
    let rule = "topic.partitioner=murmur2_random";
    console.kcat(&["-P", "-t", "people", "-K", "=", "-X", rule, "-l", path]);
    assert_eq!(
        console.json(&["lookup", "people", "c"])[0]["row"]["name"],
        "Cy"
    );
    let missing = console.try_with(&["lookup", "people", "a", "zz", "--json"], b"");
    assert_eq!(missing.code, 1);
    assert!(
        missing.error.contains("1 of 2 keys have no row"),
        "{}",
        missing.error
    );
    assert_eq!(String::from_utf8_lossy(&missing.out).lines().count(), 2);
    let table = console.text(&["lookup", "people", "b"]);
    assert!(table.contains("Bo"), "{table}");
    console.fails(2, &["lookup", "people"], "--key-file");
}
