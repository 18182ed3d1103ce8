//! Rows as they come, for one reader at a time.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::{ArrowError, SchemaRef};
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use tidelog_client::{RowStream, Rows, UnionStream};
use tokio::time::timeout;

use crate::arguments::seconds;
use crate::arrow;
use crate::batch::{Batch, Schema};
use crate::error::Failure;
use crate::pending::Pending;
use crate::runtime::wait;

/// Where rows come from.
pub enum Source {
    Log(RowStream),
    Union(Box<UnionStream>),
}

/// A read that goes on. `ready()` waits, `take()` does not: a wait that is given up loses no rows.
#[pyclass(frozen, module = "tidelog._native")]
pub struct Reader(Arc<Shared>);

struct Shared {
    schema: SchemaRef,
    snapshot_id: Option<i64>,
    /// `None` when closed. Held by who waits for rows, so that others wait for their turn.
    source: tokio::sync::Mutex<Option<Source>>,
    /// A copy, to be looked at while somebody waits.
    positions: Mutex<BTreeMap<i32, i64>>,
}

impl Source {
    fn schema(&self) -> &SchemaRef {
        match self {
            Self::Log(stream) => stream.schema(),
            Self::Union(stream) => stream.schema(),
        }
    }

    fn snapshot_id(&self) -> Option<i64> {
        match self {
            Self::Log(_) => None,
            Self::Union(stream) => stream.plan().snapshot_id,
        }
    }

    /// Empty where rows of the lake come first: their order is not that of the log.
    fn positions(&self) -> BTreeMap<i32, i64> {
        match self {
            Self::Log(stream) => stream.positions(),
            Self::Union(_) => BTreeMap::new(),
        }
    }

    async fn ready(&mut self) -> Result<bool, Failure> {
        Ok(match self {
            Self::Log(stream) => stream.ready().await?,
            Self::Union(stream) => stream.ready().await?,
        })
    }

    fn pop(&mut self) -> Option<Rows> {
        match self {
            Self::Log(stream) => stream.pop(),
            Self::Union(stream) => stream.pop(),
        }
    }
}

impl Reader {
    pub fn new(source: Source) -> Self {
        Self(Arc::new(Shared {
            schema: Arc::clone(source.schema()),
            snapshot_id: source.snapshot_id(),
            positions: Mutex::new(source.positions()),
            source: tokio::sync::Mutex::new(Some(source)),
        }))
    }
}

impl Shared {
    async fn ready(&self) -> Result<bool, Failure> {
        let mut source = self.source.lock().await;
        let source = source.as_mut().ok_or(Failure::Closed)?;
        let outcome = source.ready().await;
        *self.positions() = source.positions();
        outcome
    }

    async fn next(&self) -> Result<Option<Rows>, Failure> {
        let mut source = self.source.lock().await;
        let source = source.as_mut().ok_or(Failure::Closed)?;
        let ready = source.ready().await;
        // After a failure, rows that came with it are for who tries on.
        let rows = ready.map(|ready| if ready { source.pop() } else { None });
        *self.positions() = source.positions();
        rows
    }

    /// `None` if there are none, or somebody else waits for them.
    fn take(&self) -> Option<Rows> {
        let mut source = self.source.try_lock().ok()?;
        let source = source.as_mut()?;
        let rows = source.pop()?;
        *self.positions() = source.positions();
        Some(rows)
    }

    fn positions(&self) -> MutexGuard<'_, BTreeMap<i32, i64>> {
        // It is replaced whole.
        self.positions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Reader {
    #[getter]
    fn schema(&self) -> Schema {
        Schema(Arc::clone(&self.0.schema))
    }

    #[getter]
    fn snapshot_id(&self) -> Option<i64> {
        self.0.snapshot_id
    }

    #[getter]
    fn positions(&self) -> BTreeMap<i32, i64> {
        self.0.positions().clone()
    }

    /// True when `take()` has rows, False at the end, None when `within` seconds were not enough.
    fn ready(&self, within: Option<f64>) -> PyResult<Pending> {
        let within = within.map(seconds).transpose()?;
        let shared = Arc::clone(&self.0);
        Ok(Pending::new(async move {
            match within {
                None => shared.ready().await.map(Some),
                Some(within) => match timeout(within, shared.ready()).await {
                    Ok(ready) => ready.map(Some),
                    Err(_elapsed) => Ok(None),
                },
            }
        }))
    }

    fn take(&self, py: Python<'_>) -> PyResult<Option<Py<Batch>>> {
        self.0.take().map(|rows| Batch::new(py, rows)).transpose()
    }

    fn __arrow_c_stream__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        arrow::stream(py, Export(Arc::clone(&self.0)))
    }

    /// Gives up what is under way, and the lease.
    fn close(&self) -> PyResult<()> {
        let busy = |_| PyRuntimeError::new_err("another thread is waiting for its rows");
        self.0.source.try_lock().map_err(busy)?.take();
        Ok(())
    }
}

/// The rows still to come, as a library of another language reads them: without the interpreter in
/// hand, or with it.
struct Export(Arc<Shared>);

impl Iterator for Export {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = Python::try_attach(|py| {
            let mut next = pin!(self.0.next());
            let rows = wait(py, next.as_mut()).map(|rows| rows.map_err(|failed| failed.raised(py)));
            rows.flatten().map_err(|error| broken(py, &error))
        });
        let ending = || Err(io("Python is shutting down".to_owned()));
        let rows = next.unwrap_or_else(ending).transpose()?;
        Some(rows.map(|rows| rows.batch))
    }
}

impl RecordBatchReader for Export {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.0.schema)
    }
}

/// An Arrow stream can only tell in words why it failed, so Ctrl-C is noted once more for when
/// Python's own code goes on.
fn broken(py: Python<'_>, error: &PyErr) -> ArrowError {
    let words = error.to_string();
    if error.is_instance_of::<PyKeyboardInterrupt>(py) {
        let thread = py.import("_thread");
        let noted = thread.and_then(|thread| thread.call_method0("interrupt_main"));
        // If it cannot be noted, the failure of the stream still ends the wait.
        drop(noted);
    }
    io(words)
}

fn io(words: String) -> ArrowError {
    ArrowError::IoError(words.clone(), std::io::Error::other(words))
}
