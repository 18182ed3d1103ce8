//! The `tidelog` binary: see `cli.rs`.

use std::process::ExitCode;

use rustix::process::{Resource, getrlimit, setrlimit};

fn main() -> ExitCode {
    tidelog::allocator::keep_freed_memory();
    raise_open_files_limit();
    run()
}

#[tokio::main]
async fn run() -> ExitCode {
    tidelog::cli::run().await
}

/// Every connection is an open file, and the usual limit of 1024 is kept low only for programs
/// that use `select`. If it cannot be raised the broker serves as many clients as it allows.
fn raise_open_files_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}
