//! Why a step did not end well.

use thiserror::Error;

use crate::convert::ConvertError;
use crate::keyed::LiveError;
use crate::mark::Suspension;
use crate::port::PortError;

/// A step that failed changed nothing that a reader could see, but for [`Self::Unresolved`]. Files
/// it may have left are found as orphans.
#[derive(Debug, Error)]
pub enum MaintainError {
    /// Tiering stands still until somebody decides, and so does maintenance: snapshots are the
    /// evidence.
    #[error("the table is suspended: {0}")]
    Suspended(#[from] Suspension),
    #[error("the catalog refused or failed: {0}")]
    Port(#[from] PortError),
    #[error("cannot read, write or list table files: {0}")]
    Files(#[from] iceberg::Error),
    #[error("cannot read data file {location}: {reason}")]
    DataFile { location: String, reason: String },
    #[error("rows of {location} do not fit the table: {reason}")]
    Rows {
        location: String,
        reason: ConvertError,
    },
    #[error("{location} claims to be sorted and is not")]
    Unsorted { location: String },
    #[error("inputs have {inputs} rows, the compacted file has {output}")]
    RowsLost { inputs: u64, output: u64 },
    /// The commit may be there or not; the next step goes on from what the table says.
    #[error("the outcome of snapshot {snapshot_id} is unknown: {reason}")]
    Unresolved { snapshot_id: i64, reason: String },
    #[error("gave up after {attempts} attempts, others commit all the time")]
    Crowded { attempts: u32 },
}

impl From<LiveError> for MaintainError {
    fn from(error: LiveError) -> Self {
        match error.suspension() {
            Ok(suspension) => Self::Suspended(suspension),
            Err(error) => Self::Files(error),
        }
    }
}

impl MaintainError {
    /// The data file that cannot be compacted, now or later.
    pub(super) fn bad_input(&self) -> Option<&str> {
        match self {
            Self::DataFile { location, .. }
            | Self::Rows { location, .. }
            | Self::Unsorted { location } => Some(location),
            _ => None,
        }
    }
}
