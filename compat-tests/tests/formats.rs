//! Segment files opened by readers nobody here wrote: pyarrow and polars.

use std::path::PathBuf;
use std::process::Command;

use tidelog_compat_tests::workspace;

/// The interpreter of a virtual environment with both readers.
fn python() -> PathBuf {
    let output = Command::new(workspace().join("compat-tests/clients/python/venv.sh"))
        .arg("formats-venv")
        .arg(workspace().join("compat-tests/python_formats/requirements.txt"))
        .output()
        .expect("venv.sh");
    assert!(output.status.success(), "{output:?}");
    let path = String::from_utf8(output.stdout).expect("a path");
    path.trim().into()
}

#[track_caller]
fn open(script: &str, chosen: impl Fn(&str) -> bool) {
    let fixtures = workspace().join("storage/fixtures/v1");
    let names = std::fs::read_dir(&fixtures).expect("fixtures");
    let files: Vec<PathBuf> = names
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| chosen(name))
        .map(|name| fixtures.join(name))
        .collect();
    assert!(!files.is_empty());
    let output = Command::new(python())
        .arg(workspace().join("compat-tests/python_formats").join(script))
        .args(files)
        .output()
        .expect("python");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn batches_segments_open_everywhere() {
    open("open_batches.py", |name| {
        ["own.arrow", "pack.arrow"].contains(&name)
    });
}

#[test]
fn rows_segments_open_everywhere() {
    open("open_rows.py", |name| name.starts_with("rows-"));
}
