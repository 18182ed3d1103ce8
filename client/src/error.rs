//! What can go wrong, told apart by what a caller can do about it.

use std::time::Duration;

use tidelog_protocol_ext::{ErrorCode, WireError};

use crate::fault::RowsFault;

/// The outcome of everything that asks a broker.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request, or a read made of many, failed.
///
/// Transient failures are retried for [`Config::retry_for`](crate::Config::retry_for) before they
/// come here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection could be made.
    #[error("cannot connect to {address}: {reason}")]
    Connect { address: String, reason: String },
    /// A connection ended before the answer came.
    #[error("the connection to {address} ended: {reason}")]
    Disconnected { address: String, reason: String },
    /// The broker was silent for too long; the connection was given up with the request.
    #[error("{address} did not answer {api} within {after:?}")]
    TimedOut {
        address: String,
        api: &'static str,
        after: Duration,
    },
    /// The bytes of an answer are not such an answer, or a request cannot be expressed.
    #[error("{address}: {source}")]
    Wire { address: String, source: WireError },
    /// The broker does not answer this API in a version known here.
    #[error("{address} does not offer {api}")]
    Unsupported { address: String, api: &'static str },
    /// The broker said no.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// No schema of the table has such a column.
    #[error("table {table} has no column {column:?}")]
    UnknownColumn { table: String, column: String },
    /// A filter is no predicate, or none on this table's columns.
    #[error("filter of table {table}: {reason}")]
    Filter { table: String, reason: String },
    /// Totals are none on this table's columns, or too great.
    #[error("totals of table {table}: {reason}")]
    Total { table: String, reason: String },
    /// The table has no such partition, or it was named without an offset to start at.
    #[error("partition {partition} of table {table}: {reason}")]
    Partition {
        table: String,
        partition: i32,
        reason: &'static str,
    },
    /// The table's schemas cannot be used to read it.
    #[error("table {table}: {reason}")]
    Schema { table: String, reason: String },
    /// Rows are in neither lake nor log: they went from the log before they were tiered.
    #[error(
        "table {table}, partition {partition}: offsets {lake_end}..{log_start_offset} are gone, the lake ends before the log begins"
    )]
    Gap {
        table: String,
        partition: i32,
        /// The first offset that the lake lacks.
        lake_end: i64,
        /// The first offset that the log has.
        log_start_offset: i64,
    },
    /// The lake's part of a table cannot be read, or holds what cannot be read exactly here.
    #[error("the lake of table {table}: {reason}")]
    Lake { table: String, reason: String },
    /// A group cannot be read like this.
    #[error("group {group}: {reason}")]
    Subscription { group: String, reason: String },
    /// The coordinator refuses to have the member any more.
    #[error("group {group}: {source}")]
    Group {
        group: String,
        source: std::sync::Arc<Error>,
    },
    /// Rows came damaged, or are not what their schema says. Nothing of them was handed out.
    #[error("table {table}, partition {partition}, offset {offset}: {fault}")]
    Rows {
        table: String,
        partition: i32,
        /// First offset of what could not be read.
        offset: i64,
        fault: RowsFault,
    },
}

/// A refusal in Kafka's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerError {
    /// The API that answered.
    pub api: &'static str,
    /// Kafka's number for it.
    pub code: i16,
    /// What it is about: a topic, a partition, the broker's own words.
    pub message: String,
}

impl BrokerError {
    /// `Ok` for code 0.
    ///
    /// # Errors
    /// Any other code, as what it is about.
    pub fn check(
        api: &'static str,
        code: i16,
        message: impl FnOnce() -> String,
    ) -> Result<(), Self> {
        match code {
            0 => Ok(()),
            code => Err(Self {
                api,
                code,
                message: message(),
            }),
        }
    }

    /// The code by name, if it is one of Kafka's.
    pub fn error_code(&self) -> Option<ErrorCode> {
        ErrorCode::from_code(self.code)
    }
}

impl std::fmt::Display for BrokerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}: ", self.api, self.message)?;
        match self.error_code() {
            Some(code) => write!(f, "{code}"),
            None => write!(f, "error code {}", self.code),
        }
    }
}

impl std::error::Error for BrokerError {}

impl Error {
    /// Whether the same request may succeed a little later, perhaps at another broker.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Disconnected { .. } | Self::TimedOut { .. } => true,
            Self::Broker(error) => error.error_code().is_some_and(ErrorCode::is_retriable),
            _ => false,
        }
    }

    /// The broker's code, if this is a refusal in Kafka's terms.
    pub fn error_code(&self) -> Option<ErrorCode> {
        match self {
            Self::Broker(error) => error.error_code(),
            Self::Group { source, .. } => source.error_code(),
            _ => None,
        }
    }
}

/// A subject and what the broker had to say about it.
pub fn said(subject: &str, message: Option<&str>) -> String {
    match message {
        Some(message) => format!("{subject} ({message})"),
        None => subject.to_owned(),
    }
}
