//! Where and when a step works: the table, the way to it, the moment.

use iceberg::TableIdent;
use iceberg::io::FileIO;
use iceberg::spec::TableMetadata;
use tracing::warn;

use super::error::MaintainError;
use crate::env::Env;
use crate::mark::{Ledger, TopicIdentity};
use crate::port::{CommitPort, LoadedTable};

/// Whether files of this table are its own to delete; Iceberg's property says if they are not.
pub(super) fn owns_files(metadata: &TableMetadata) -> bool {
    let owns = metadata.properties().get("gc.enabled");
    owns.is_none_or(|owns| owns != "false")
}

#[derive(Clone, Copy)]
pub(super) struct Site<'a> {
    pub port: &'a dyn CommitPort,
    /// For ids; the time is `now_ms`.
    pub env: &'a dyn Env,
    pub table: &'a TableIdent,
    pub identity: TopicIdentity,
    pub attempts_max: u32,
    pub now_ms: i64,
}

impl Site<'_> {
    /// The table, if it is ours and stands where its ledger says: a table that somebody took back
    /// must not lose the snapshots that tell so.
    pub async fn load(&self) -> Result<(LoadedTable, Ledger), MaintainError> {
        let table = self.port.load(self.table).await?;
        let ledger = Ledger::read(&table.metadata, self.identity)?;
        Ok((table, ledger))
    }

    pub fn io(&self) -> &FileIO {
        self.port.file_io()
    }

    /// Deletes files that no commit names. Says how many went; what stays is found as an orphan.
    pub async fn discard(&self, locations: &[String]) -> u64 {
        let mut gone = 0;
        for location in locations {
            let deleted = match self.io().new_output(location) {
                Ok(file) => file.delete().await,
                Err(error) => Err(error),
            };
            match deleted {
                Ok(()) => gone += 1,
                Err(error) => warn!(location, %error, "orphan left behind"),
            }
        }
        gone
    }
}
