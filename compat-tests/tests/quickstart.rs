//! The quickstart as a user runs it, on fewer orders: it passes, its receipt adds up, and the lines it
//! gives to go on with work as they are. Then what it refuses.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tidelog_compat_tests::broker::tidelog;
use tidelog_compat_tests::workspace;

const ORDERS: u64 = 5000;

fn orders() -> u64 {
    let wanted = std::env::var("TIDELOG_QUICKSTART_ORDERS").ok();
    wanted.map_or(ORDERS, |text| text.parse().expect("a number of orders"))
}

/// The interpreter of a virtual environment with what the quickstart needs.
fn python() -> PathBuf {
    let output = Command::new(workspace().join("compat-tests/clients/python/venv.sh"))
        .arg("quickstart-venv")
        .arg(workspace().join("quickstart/python/requirements.txt"))
        .output()
        .expect("venv.sh");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout)
        .expect("a path")
        .trim()
        .into()
}

fn quickstart(data_dir: &Path, python: &Path, orders: u64) -> Output {
    Command::new(tidelog().expect("a binary"))
        .arg("quickstart")
        .args(["--data-dir".as_ref(), data_dir.as_os_str()])
        .args(["--python".as_ref(), python.as_os_str()])
        .args(["--orders", &orders.to_string()])
        .output()
        .expect("tidelog")
}

fn receipt(data_dir: &Path) -> Value {
    let text = fs::read(data_dir.join("receipt.json")).expect("a receipt");
    serde_json::from_slice(&text).expect("JSON")
}

/// A program started by a shell line that becomes it; dropping it ends it.
struct Served(Child);

impl Served {
    fn start(line: &str) -> Self {
        let mut process = Command::new("sh")
            .args(["-c", &format!("exec {line}")])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh");
        let mut ready = String::new();
        let stdout = process.stdout.as_mut().expect("stdout is piped");
        BufReader::new(stdout)
            .read_line(&mut ready)
            .expect("a line");
        let served = Self(process);
        assert!(ready.contains("ready"), "{line}: {ready:?}");
        served
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn shell(line: &str) -> String {
    let output = Command::new("sh").args(["-c", line]).output().expect("sh");
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn the_story_passes_and_can_be_gone_on_with() {
    let home = TempDir::new().unwrap();
    // A blank, since shells split on it.
    let data_dir = home.path().join("the data");
    let orders = orders();
    let output = quickstart(&data_dir, &python(), orders);
    assert!(output.status.success(), "{output:?}");

    let receipt = receipt(&data_dir);
    assert_eq!(receipt["passed"], true);
    assert_eq!(receipt["produce"]["tally"]["records"], orders);
    assert_eq!(receipt["produce"]["tally"], receipt["consume"]["tally"]);
    let [columnar, classic] = ["columnar", "classic"].map(|read| &receipt["columns"][read]);
    assert_eq!([&columnar["rows"], &classic["rows"]], [orders, orders]);
    let sent = |read: &Value| read["sent_bytes"].as_u64().unwrap();
    assert!(sent(columnar) < sent(classic) / 4);
    assert!(receipt["keys"]["looked_up"].as_u64().unwrap() > 0);
    for reader in ["duckdb", "pyiceberg"] {
        let view = &receipt["lake"][reader];
        assert_eq!(view["rows"], orders);
        assert_eq!(view["quantity"], columnar["quantity"]);
    }
    let cuts = receipt["union"]["cuts"].as_array().unwrap();
    assert_eq!(cuts.len(), 3);
    for cut in cuts {
        let number = |value: &Value| value.as_u64().unwrap();
        let parts = number(&cut["lake"]["rows"]) + number(&cut["log"]["rows"]);
        assert_eq!(number(&cut["rows"]), parts);
        assert!(number(&cut["acked_after"]) > number(&cut["acked_before"]));
    }

    let line = |name: &str| receipt["go_on"][name].as_str().unwrap();
    let _broker = Served::start(line("serve"));
    assert_eq!(shell(line("kcat")).lines().count(), 3);
    assert!(shell(line("duckdb")).contains("country"));
    assert!(shell(line("pyiceberg")).contains("order_id"));
}

#[test]
fn a_folder_in_use_is_left_alone() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("mine"), "").unwrap();
    let output = quickstart(home.path(), Path::new("python3"), ORDERS);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("is not empty"), "{said}");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
}

#[test]
fn what_is_missing_is_said() {
    let home = TempDir::new().unwrap();
    let data_dir = home.path().join("data");
    let output = quickstart(&data_dir, Path::new("/nonexistent/python"), ORDERS);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("pip install"), "{said}");
    let receipt = receipt(&data_dir);
    assert_eq!(receipt["passed"], false);
    assert!(
        receipt["failure"]
            .as_str()
            .unwrap()
            .contains("/nonexistent/python")
    );
}
