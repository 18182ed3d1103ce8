//! What users pass in.

use std::collections::BTreeMap;
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use tidelog_client::{Config, Lookup, Scan, Start, Table, UnionRead};

/// Seconds as users count them.
///
/// # Errors
/// ValueError for what is negative, not a number or beyond all measure.
pub fn seconds(of: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(of)
        .map_err(|error| PyValueError::new_err(format!("{of} seconds: {error}")))
}

/// How to talk to a cluster.
#[derive(Debug, FromPyObject)]
#[pyo3(from_item_all)]
pub struct Settings {
    client_id: String,
    use_extensions: bool,
    connect_timeout: f64,
    request_timeout: f64,
    retry_for: f64,
}

impl Settings {
    pub fn config(self) -> PyResult<Config> {
        Ok(Config {
            client_id: self.client_id,
            use_extensions: self.use_extensions,
            connect_timeout: seconds(self.connect_timeout)?,
            request_timeout: seconds(self.request_timeout)?,
            retry_for: seconds(self.retry_for)?,
            ..Config::default()
        })
    }
}

/// A place in each partition.
#[derive(Debug, FromPyObject)]
enum Place {
    Word(String),
    Milliseconds(i64),
    Offsets(BTreeMap<i32, i64>),
}

/// Which rows to read of the log.
#[derive(Debug, FromPyObject)]
#[pyo3(from_item_all)]
pub struct ReadOptions {
    columns: Option<Vec<String>>,
    filter: Option<String>,
    partitions: Option<Vec<i32>>,
    start: Place,
    until: Option<Place>,
    max_wait: f64,
    min_rows: i32,
}

impl ReadOptions {
    /// # Errors
    /// ValueError for words that mean nothing.
    pub fn scan(self, table: &Table) -> PyResult<Scan> {
        let mut scan = table
            .scan()
            .from(start(self.start)?)
            .max_wait(seconds(self.max_wait)?)
            .min_rows(self.min_rows);
        if let Some(columns) = self.columns {
            scan = scan.columns(columns);
        }
        if let Some(filter) = self.filter {
            scan = scan.filter(filter);
        }
        if let Some(partitions) = self.partitions {
            scan = scan.partitions(partitions);
        }
        match self.until {
            None => Ok(scan),
            Some(Place::Word(word)) if word == "now" => Ok(scan.until_end()),
            Some(Place::Offsets(offsets)) => Ok(scan.until(offsets)),
            Some(other) => Err(PyValueError::new_err(format!(
                "until is None, \"now\" or offsets by partition, not {other:?}"
            ))),
        }
    }
}

fn start(place: Place) -> PyResult<Start> {
    match place {
        Place::Word(word) if word == "earliest" => Ok(Start::Earliest),
        Place::Word(word) if word == "latest" => Ok(Start::Latest),
        Place::Word(word) => Err(PyValueError::new_err(format!(
            "start is \"earliest\", \"latest\", a datetime or offsets by partition, not {word:?}"
        ))),
        Place::Milliseconds(since_1970) => Ok(Start::Timestamp(since_1970)),
        Place::Offsets(offsets) => Ok(Start::Offsets(offsets)),
    }
}

/// Which rows to read of lake and log.
#[derive(Debug, FromPyObject)]
#[pyo3(from_item_all)]
pub struct UnionOptions {
    columns: Option<Vec<String>>,
    filter: Option<String>,
    lease: f64,
}

impl UnionOptions {
    /// From lake and log.
    pub fn union(self, table: &Table) -> PyResult<UnionRead> {
        let mut read = table.union_read().lease(seconds(self.lease)?);
        if let Some(columns) = self.columns {
            read = read.columns(columns);
        }
        if let Some(filter) = self.filter {
            read = read.filter(filter);
        }
        Ok(read)
    }

    /// The same rows of a table that has no lake.
    pub fn scan(self, table: &Table) -> Scan {
        let mut scan = table.scan().until_end();
        if let Some(columns) = self.columns {
            scan = scan.columns(columns);
        }
        if let Some(filter) = self.filter {
            scan = scan.filter(filter);
        }
        scan
    }
}

/// The key of a record, text as UTF-8.
#[derive(Debug, FromPyObject)]
enum Key {
    Text(String),
    Bytes(PyBackedBytes),
}

/// Which rows to look up.
#[derive(Debug, FromPyObject)]
#[pyo3(from_item_all)]
pub struct LookupOptions {
    keys: Vec<Key>,
    columns: Option<Vec<String>>,
    reflecting: Option<BTreeMap<i32, i64>>,
    max_wait: f64,
}

impl LookupOptions {
    pub fn lookup(self, table: &Table) -> PyResult<Lookup> {
        let keys = self.keys.into_iter().map(|key| match key {
            Key::Text(text) => text.into_bytes(),
            Key::Bytes(bytes) => bytes.to_vec(),
        });
        let mut lookup = table.lookup(keys).max_wait(seconds(self.max_wait)?);
        if let Some(columns) = self.columns {
            lookup = lookup.columns(columns);
        }
        if let Some(offsets) = self.reflecting {
            lookup = lookup.reflecting(offsets);
        }
        Ok(lookup)
    }
}
