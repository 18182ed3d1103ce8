//! What every step works with: the data folder, the running broker, and the programs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use tidelog_client::Client;

use crate::broker::Broker;
use crate::python::Python;
use crate::show::Show;

/// The append table, kept in the lake.
pub(crate) const ORDERS: &str = "orders";
/// The keyed table.
pub(crate) const ORDERS_BY_ID: &str = "orders_by_id";
/// Where the lake keeps [`ORDERS`].
pub(crate) const LAKE_NAMESPACE: &str = "tidelog";

/// A running broker and all that talks to it.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) home: Home,
    pub(crate) broker: Broker,
    pub(crate) python: Python,
    pub(crate) client: Client,
    pub(crate) show: Show,
}

/// The data folder.
#[derive(Debug, Clone)]
pub(crate) struct Home(PathBuf);

impl Home {
    /// Makes the folder; one that is there must be empty, for nothing of a run is reused.
    pub(crate) fn make(path: &Path) -> Result<Self> {
        let refused = || format!("cannot use {} as the data folder", path.display());
        fs::create_dir_all(path).with_context(refused)?;
        let path = path.canonicalize().with_context(refused)?;
        let is_empty = fs::read_dir(&path).with_context(refused)?.next().is_none();
        ensure!(
            is_empty,
            "{} is not empty; choose another folder with --data-dir, or remove it",
            path.display()
        );
        let home = Self(path);
        for folder in [home.programs(), home.logs()] {
            fs::create_dir(&folder).with_context(|| format!("making {}", folder.display()))?;
        }
        Ok(home)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The broker's own data directory.
    pub(crate) fn broker(&self) -> PathBuf {
        self.0.join("broker")
    }

    pub(crate) fn programs(&self) -> PathBuf {
        self.0.join("programs")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// Where a child process writes its stderr.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.logs().join(name).with_extension("log")
    }

    pub(crate) fn receipt(&self) -> PathBuf {
        self.0.join("receipt.json")
    }
}

/// The last lines of a log, for an error message.
pub(crate) fn last_lines(path: &Path) -> String {
    const LINES: usize = 20;
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(LINES)..].join("\n");
    format!("{}:\n{last}", path.display())
}
