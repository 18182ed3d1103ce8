//! Rows by key.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow_array::RecordBatch;
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tidelog_client::{Error, ErrorCode, KeyRow, Lookup};
use tokio::time::{Instant, sleep};

use crate::batch::Rows;
use crate::error::Failure;
use crate::values;

/// Between two attempts while an index is being opened.
const PAUSE: Duration = Duration::from_millis(200);

/// Looks keys up, and again while an index is being opened, for as long as transient failures are
/// retried.
pub async fn find(lookup: Lookup, retry_for: Duration) -> Result<Found, Failure> {
    let since = Instant::now();
    loop {
        match find_once(lookup.clone()).await {
            Err(error) if is_passing(&error) && since.elapsed() < retry_for => sleep(PAUSE).await,
            outcome => return Ok(outcome?),
        }
    }
}

async fn find_once(lookup: Lookup) -> Result<Found, Error> {
    let found = lookup.send().await?;
    Ok(Found {
        rows: found.rows,
        keys: found.keys.into_iter().collect::<Result<_, _>>()?,
        reflected: found.reflected,
    })
}

/// Whether a refusal may be withdrawn. How long to wait for changes was said with the lookup, and
/// connections were retried below.
fn is_passing(error: &Error) -> bool {
    let code = error.error_code();
    code.is_some_and(|code| code.is_retriable() && code != ErrorCode::RequestTimedOut)
}

/// What a table holds under some keys, in the order of the keys.
///
/// `found[i]` is the row of key *i* as a dict, or None if there is no such key; `found.rows` are the
/// rows that were found, as Arrow columns.
#[pyclass(frozen, module = "tidelog")]
pub struct Found {
    rows: RecordBatch,
    keys: Vec<KeyRow>,
    reflected: BTreeMap<i32, i64>,
}

#[pymethods]
impl Found {
    /// The rows found, in the order of their keys.
    #[getter]
    fn rows(&self) -> Rows {
        Rows(self.rows.clone())
    }

    /// For each key, which of `rows` it has; None if there is no such key.
    #[getter]
    fn indices(&self) -> Vec<Option<usize>> {
        self.keys.iter().map(|key| key.row).collect()
    }

    /// For each key, the offset of the change that made its row what it is.
    #[getter]
    fn offsets(&self) -> Vec<Option<i64>> {
        self.keys.iter().map(|key| key.offset).collect()
    }

    /// For each key, the partition it belongs to.
    #[getter]
    fn partitions(&self) -> Vec<Option<i32>> {
        self.keys.iter().map(|key| key.partition).collect()
    }

    /// By partition: every change below this offset is in the answer.
    #[getter]
    fn reflected(&self) -> BTreeMap<i32, i64> {
        self.reflected.clone()
    }

    fn __len__(&self) -> usize {
        self.keys.len()
    }

    fn __getitem__<'py>(&self, py: Python<'py>, at: isize) -> PyResult<Option<Bound<'py, PyDict>>> {
        let from_start = if at < 0 {
            at + self.keys.len().cast_signed()
        } else {
            at
        };
        let key = usize::try_from(from_start).ok();
        let key = key.and_then(|at| self.keys.get(at));
        let key = key.ok_or_else(|| PyIndexError::new_err("there are not so many keys"))?;
        key.row
            .map(|row| values::row(py, &self.rows, row))
            .transpose()
    }

    fn __repr__(&self) -> String {
        format!(
            "Found({} of {} keys)",
            self.rows.num_rows(),
            self.keys.len()
        )
    }
}
