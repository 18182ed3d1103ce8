//! The Python package: its wheel is built and installed, and its own tests run against the real binary
//! and against Apache Kafka, with pyarrow, polars, pandas, DuckDB and the notebook.

use std::process::{Command, Stdio};

use tidelog_compat_tests::broker::tidelog;
use tidelog_compat_tests::workspace;

/// Seconds for all of it; the first time it makes a virtual environment and compiles the package.
const SECONDS: &str = "1800";

#[test]
fn the_wheel_passes_its_tests() {
    let output = Command::new("timeout")
        .arg(SECONDS)
        .arg(workspace().join("python/test"))
        .env("TIDELOG_BIN", tidelog().expect("a binary"))
        .stdin(Stdio::null())
        .output()
        .expect("python/test");
    assert!(
        output.status.success(),
        "{}\n--- stdout\n{}\n--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
