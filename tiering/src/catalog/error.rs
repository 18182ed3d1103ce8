//! What can go wrong in the catalog, and how the committer hears of it.

use thiserror::Error;

use super::pointers::PointerError;
use crate::port::PortError;

/// Why a catalog operation was not carried out.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum CatalogError {
    #[error("namespace {0} does not exist")]
    NoSuchNamespace(String),
    #[error("namespace {0} exists already")]
    NamespaceExists(String),
    #[error("namespace {0} is not empty")]
    NamespaceNotEmpty(String),
    #[error("table {0} does not exist")]
    NoSuchTable(String),
    #[error("table {0} exists already")]
    TableExists(String),
    /// A requirement does not hold, or the table changed meanwhile.
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    BadRequest(String),
    #[error("not supported: {0}")]
    Unsupported(String),
    /// The change may have happened.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// Files or pointers cannot be read or written; nothing was changed.
    #[error("{0}")]
    Unavailable(String),
}

impl CatalogError {
    /// A requirement's failed check.
    pub(super) fn requirement(error: iceberg::Error) -> Self {
        Self::Conflict(error.to_string())
    }
}

impl From<PointerError> for CatalogError {
    fn from(error: PointerError) -> Self {
        match error {
            PointerError::Mismatch { key } => {
                Self::Conflict(format!("{key} was changed meanwhile"))
            }
            PointerError::Unknown(reason) => Self::Unknown(reason),
            PointerError::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

impl From<CatalogError> for PortError {
    fn from(error: CatalogError) -> Self {
        let message = error.to_string();
        match error {
            CatalogError::NoSuchNamespace(_) | CatalogError::NoSuchTable(_) => {
                Self::NotFound(message)
            }
            CatalogError::NamespaceExists(_) | CatalogError::TableExists(_) => {
                Self::AlreadyExists(message)
            }
            CatalogError::Conflict(_) => Self::Conflict(message),
            CatalogError::Unknown(_) => Self::Unknown(message),
            CatalogError::Unavailable(_) => Self::Unavailable(message),
            CatalogError::NamespaceNotEmpty(_)
            | CatalogError::BadRequest(_)
            | CatalogError::Unsupported(_) => Self::Rejected(message),
        }
    }
}
