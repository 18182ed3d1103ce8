//! What may be wrong with rows that came over the wire.

use arrow_schema::ArrowError;
use tidelog_arrow_messages::Fault;

/// What is wrong with rows that came over the wire.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowsFault {
    /// A message that Arrow's format does not allow, or not with this schema.
    #[error("{0}")]
    Message(String),
    /// The bytes of a column are not those that were written.
    #[error("column {column} does not match its checksum")]
    Checksum { column: String },
    /// There is not one checksum for each message and column.
    #[error("{got} checksums for {columns} columns")]
    ChecksumCount { got: usize, columns: usize },
    /// More than [`Config::decoded_bytes_max`](crate::Config::decoded_bytes_max).
    #[error("rows of more than {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    /// Offsets, counts or schema ids of the answer contradict each other.
    #[error("{0}")]
    Answer(&'static str),
    /// A value does not fit the column it is read as.
    #[error("rows do not fit the schema they are read with: {0}")]
    Fit(String),
    /// A record batch cannot be decoded here.
    #[error("{0}")]
    Records(String),
}

impl RowsFault {
    pub(crate) fn fit(error: ArrowError) -> Self {
        Self::Fit(error.to_string())
    }
}

impl From<Fault> for RowsFault {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Checksum { column } => Self::Checksum { column },
            Fault::ChecksumCount { got, columns } => Self::ChecksumCount { got, columns },
            Fault::TooLarge { bytes_max } => Self::TooLarge { bytes_max },
            Fault::Malformed(_) | Fault::Type { .. } => Self::Message(fault.to_string()),
        }
    }
}
