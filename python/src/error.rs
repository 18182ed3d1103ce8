//! Failures as exceptions of `tidelog.errors`.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tidelog_client::{BrokerError, Error, ErrorCode};

/// Why something asked for did not come.
#[derive(Debug)]
pub enum Failure {
    Client(Error),
    /// The reader was closed.
    Closed,
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Client(error.into())
    }
}

impl Failure {
    /// The exception to raise.
    pub fn raised(self, py: Python<'_>) -> PyErr {
        match self {
            Self::Client(error) => {
                exception(py, &error).map_or_else(|failed| failed, PyErr::from_value)
            }
            Self::Closed => PyValueError::new_err("it was closed"),
        }
    }
}

/// `(code, name, meaning, whether it is retriable)` of each of Kafka's error codes, the name in the
/// style of Rust: `OffsetOutOfRange`.
#[pyfunction]
pub fn error_codes() -> Vec<(i16, String, &'static str, bool)> {
    let refusals = ErrorCode::ALL.iter().filter(|one| one.code() != 0);
    refusals
        .map(|one| {
            (
                one.code(),
                format!("{one:?}"),
                one.meaning(),
                one.is_retriable(),
            )
        })
        .collect()
}

fn exception<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    let errors = py.import("tidelog.errors")?;
    let message = error.to_string();
    if let Error::Broker(BrokerError { api, code, .. }) = error {
        return errors.call_method1("refusal", (*code, *api, message));
    }
    errors.getattr(class_of(error))?.call1((message,))
}

fn class_of(error: &Error) -> &'static str {
    match error {
        Error::Connect { .. } | Error::Disconnected { .. } | Error::TimedOut { .. } => {
            "TransportError"
        }
        Error::Wire { .. } => "ProtocolError",
        Error::Unsupported { .. } => "UnsupportedError",
        Error::UnknownColumn { .. }
        | Error::Filter { .. }
        | Error::Total { .. }
        | Error::Partition { .. }
        | Error::Subscription { .. } => "QueryError",
        Error::Schema { .. } => "SchemaError",
        Error::Gap { .. } => "GapError",
        Error::Lake { .. } => "LakeError",
        Error::Rows { .. } => "DamagedRowsError",
        Error::Broker(_) => "BrokerError",
        Error::Group { .. } => "TidelogError",
    }
}
