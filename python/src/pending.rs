//! What was asked for and has not come yet.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::{IntoPyObject, IntoPyObjectExt as _};

use crate::error::Failure;
use crate::runtime::{runtime, wait};

/// An outcome, made an object of Python's or an exception by whoever holds the interpreter.
type Answer = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;
type Work = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Something asked of a broker, for `wait()` or for `await`: one of them, once. Nothing is sent
/// before.
#[pyclass(frozen, module = "tidelog._native")]
pub struct Pending {
    work: Mutex<Option<Work>>,
}

impl Pending {
    pub fn new<T>(work: impl Future<Output = Result<T, Failure>> + Send + 'static) -> Self
    where
        T: for<'py> IntoPyObject<'py> + Send + 'static,
    {
        let work = async move {
            let outcome = work.await;
            let answer: Answer = Box::new(move |py| match outcome {
                Ok(value) => value.into_py_any(py),
                Err(failure) => Err(failure.raised(py)),
            });
            answer
        };
        Self {
            work: Mutex::new(Some(Box::pin(work))),
        }
    }

    fn take(&self) -> PyResult<Work> {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let used = || PyRuntimeError::new_err("this was waited for before");
        work.take().ok_or_else(used)
    }
}

#[pymethods]
impl Pending {
    /// Blocks this thread, and no other, until the outcome is there.
    fn wait(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let mut work = self.take()?;
        wait(py, work.as_mut())?(py)
    }

    fn __await__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        runtime()?;
        let work = self.take()?;
        let answer = async move {
            let answer = work.await;
            Python::attach(answer)
        };
        pyo3_async_runtimes::tokio::future_into_py(py, answer)?.call_method0("__await__")
    }
}
