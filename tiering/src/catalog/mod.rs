//! The embedded Iceberg catalog: namespaces, and for each table a pointer to its metadata file.
//!
//! A commit reads the metadata the pointer names, checks the requirements, applies the updates
//! with Iceberg's own builder, writes the result as `NNNNN-<uuid>.metadata.json`, and moves the
//! pointer from the old location to the new one by compare-and-set.
//!
//! Invariants:
//! - A metadata file is created once, complete and durable, before a pointer names it.
//! - The pointer's compare-and-set is the only moment of change; whoever loses it has changed
//!   nothing and either starts over from the new metadata or says so.
//! - An error of [`CatalogError::Unknown`] is given if and only if the pointer store could not
//!   tell whether it changed.
//! - No file outside the warehouse is read or written, whatever a request says.
//!
//! Dropping a table forgets its pointer; files are the cleaner's business.

mod create;
mod error;
pub mod http;
mod keys;
mod local;
mod namespaces;
mod pointers;
mod tables;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use iceberg::TableIdent;
use iceberg::io::FileIO;

pub use error::CatalogError;
pub use local::LocalPointers;
pub use pointers::{Change, MemoryPointers, PointerError, PointerStore};

use crate::env::Env;
use crate::port::{CommitPort, CommitRequest, LoadedTable, PortError};

/// The catalog over a pointer store and a warehouse.
pub struct Catalog {
    pointers: Arc<dyn PointerStore>,
    io: FileIO,
    /// Root of all table locations, without a slash at its end.
    warehouse: String,
    env: Arc<dyn Env>,
}

impl Catalog {
    /// A catalog whose tables live under `warehouse` (`file:///…`), read and written through `io`.
    pub fn new(
        pointers: Arc<dyn PointerStore>,
        io: FileIO,
        warehouse: &str,
        env: Arc<dyn Env>,
    ) -> Self {
        Self {
            pointers,
            io,
            warehouse: warehouse.trim_end_matches('/').to_owned(),
            env,
        }
    }

    /// Root of all table locations.
    pub fn warehouse(&self) -> &str {
        &self.warehouse
    }

    fn location_of(&self, table: &TableIdent) -> String {
        let uuid = self.env.uuid();
        let namespace = table.namespace().as_ref().join("/");
        // The suffix keeps a table made anew apart from the files of one dropped before.
        let suffix = &uuid.simple().to_string()[..8];
        format!("{}/{namespace}/{}-{suffix}", self.warehouse, table.name())
    }

    fn check_location(&self, location: &str) -> Result<(), CatalogError> {
        let inside = location
            .strip_prefix(&self.warehouse)
            .and_then(|rest| rest.strip_prefix('/'))
            .is_some_and(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | "..")));
        if inside {
            return Ok(());
        }
        let warehouse = &self.warehouse;
        Err(CatalogError::BadRequest(format!(
            "{location} is not inside {warehouse}"
        )))
    }
}

/// In process, the embedded catalog is the port.
#[async_trait]
impl CommitPort for Catalog {
    async fn load(&self, table: &TableIdent) -> Result<LoadedTable, PortError> {
        Ok(self.load_table(table).await?)
    }

    async fn commit(
        &self,
        table: &TableIdent,
        request: CommitRequest,
    ) -> Result<LoadedTable, PortError> {
        Ok(self.commit_table(table, request).await?)
    }

    async fn commit_all(
        &self,
        requests: Vec<(TableIdent, CommitRequest)>,
    ) -> Result<Vec<LoadedTable>, PortError> {
        Ok(self.commit_tables(requests).await?)
    }

    async fn ensure_namespace(&self, table: &TableIdent) -> Result<(), PortError> {
        match self
            .create_namespace(table.namespace(), BTreeMap::new())
            .await
        {
            Ok(()) | Err(CatalogError::NamespaceExists(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn location_for(&self, table: &TableIdent) -> String {
        self.location_of(table)
    }

    fn file_io(&self) -> &FileIO {
        &self.io
    }
}

#[cfg(test)]
mod tests;
