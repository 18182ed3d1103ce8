//! Runs the real `tidelog` binary against clients nobody here wrote.
//!
//! [`broker`] starts, kills and restarts a broker; [`foreign`] runs one scenario of one client program
//! from `clients/` against it;
//! [`power`] is a disk whose power can be cut; [`soak`] gives broker and clients a bad time and [`history`]
//! judges what they wrote down of it. A story file under `tests/` joins the two. The clients' verdict is
//! trusted only because the same programs pass against Apache Kafka: `TIDELOG_COMPAT_BROKER=kafka`
//! runs every story against that instead.
//!
//! [`card`] tells which client asked for which API in which version, and what came of it.
//! [`differential`] asks what no client would, and compares with what Apache Kafka answered.
//!
//! Nothing is skipped silently: a missing toolchain fails the test that needs it.

pub mod broker;
pub mod card;
pub mod differential;
pub mod foreign;
pub mod history;
pub mod power;
pub mod soak;

use std::path::{Path, PathBuf};

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
