//! The one way a table is changed: load it, then ask for updates under requirements.
//!
//! This is the commit request of the Iceberg REST specification (`CommitTableRequest`), so the
//! same committer works against the embedded catalog in process and any external REST catalog.
//! What matters most is how a port words failure: [`PortError::Unknown`] means the commit may have
//! happened, every other error means it did not.

use async_trait::async_trait;
use iceberg::io::FileIO;
use iceberg::spec::TableMetadataRef;
use iceberg::{TableIdent, TableRequirement, TableUpdate};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A table as the catalog had it at one moment.
#[derive(Debug, Clone)]
pub struct LoadedTable {
    pub ident: TableIdent,
    pub metadata: TableMetadataRef,
    pub metadata_location: String,
}

/// What to change, and what must hold for it to be changed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct CommitRequest {
    #[serde(default)]
    pub requirements: Vec<TableRequirement>,
    #[serde(default)]
    pub updates: Vec<TableUpdate>,
}

/// Why a catalog did not do what was asked.
#[derive(Debug, Error, Clone)]
pub enum PortError {
    #[error("no such table or namespace: {0}")]
    NotFound(String),
    #[error("already there: {0}")]
    AlreadyExists(String),
    /// A requirement did not hold: load again and decide anew.
    #[error("the table changed: {0}")]
    Conflict(String),
    /// The commit may have happened. Load and compare before anything else.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// The request is wrong in itself; repeating it is useless.
    #[error("refused: {0}")]
    Rejected(String),
    /// The catalog or its storage did not answer, and nothing was changed.
    #[error("unavailable: {0}")]
    Unavailable(String),
}

/// A catalog, as far as the tierer needs one.
#[async_trait]
pub trait CommitPort: Send + Sync {
    /// The table as it is now. Must not be served from a cache that other writers pass by.
    async fn load(&self, table: &TableIdent) -> Result<LoadedTable, PortError>;

    /// Applies all updates if all requirements hold, atomically. With
    /// [`TableRequirement::NotExist`] the updates describe a new table, and field ids are kept.
    async fn commit(
        &self,
        table: &TableIdent,
        request: CommitRequest,
    ) -> Result<LoadedTable, PortError>;

    /// Applies the updates of all requests if all of their requirements hold, as one change; the
    /// tables come back in the order of the requests. Tables exist already, and none is named twice.
    ///
    /// This is `POST /v1/{prefix}/transactions/commit` of the specification, which not every catalog
    /// has: one that has not refuses and changes nothing.
    async fn commit_all(
        &self,
        requests: Vec<(TableIdent, CommitRequest)>,
    ) -> Result<Vec<LoadedTable>, PortError> {
        let tables: Vec<_> = requests
            .iter()
            .map(|(table, _)| table.to_string())
            .collect();
        Err(PortError::Rejected(format!(
            "this catalog cannot change several tables at once: {}",
            tables.join(", ")
        )))
    }

    /// Creates the namespace unless it is there.
    async fn ensure_namespace(&self, table: &TableIdent) -> Result<(), PortError>;

    /// Where a table made now would live.
    fn location_for(&self, table: &TableIdent) -> String;

    /// Where data and metadata files of these tables are read and written.
    fn file_io(&self) -> &FileIO;
}
