//! The threads that talk to brokers, and how a thread of Python's waits for them.

use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// How often a waiting thread looks whether it was interrupted.
const SIGNALS_EVERY: Duration = Duration::from_millis(100);

/// The one runtime of this process.
///
/// # Errors
/// RuntimeError in a child that was forked after the runtime was made: its threads stayed behind.
pub fn runtime() -> PyResult<&'static Runtime> {
    static PROCESS: OnceLock<u32> = OnceLock::new();
    let own = std::process::id();
    if *PROCESS.get_or_init(|| own) != own {
        return Err(PyRuntimeError::new_err(
            "tidelog was used before this process was forked and cannot be used in it: \
             use the start method 'spawn', or connect in the child only",
        ));
    }
    Ok(pyo3_async_runtimes::tokio::get_runtime())
}

/// Waits for `work` with the interpreter released.
///
/// # Errors
/// Whatever a signal handler raises, KeyboardInterrupt first of all; `work` may be waited for again.
pub fn wait<F>(py: Python<'_>, mut work: Pin<&mut F>) -> PyResult<F::Output>
where
    F: Future<Output: Send> + Send + ?Sized,
{
    let runtime = runtime()?;
    loop {
        let some_time = || runtime.block_on(async { timeout(SIGNALS_EVERY, work.as_mut()).await });
        match py.detach(some_time) {
            Ok(outcome) => return Ok(outcome),
            Err(_elapsed) => py.check_signals()?,
        }
    }
}
