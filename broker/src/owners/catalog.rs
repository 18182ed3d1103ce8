//! The lake's catalog inside the broker: its pointers are records of the cluster image.
//!
//! A change is one command to the owner of the image, so it is atomic over all of its keys, ordered
//! with every other change, and durable when it is answered. Reads come from the published view,
//! which shows nothing that is not durable and is replaced before a change is answered: whoever
//! reads after an answer sees the change.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tidelog_coordinator::cluster::{Command, PointerChange, PointerRefusal, Reply};
use tidelog_tiering::Env;
use tidelog_tiering::catalog::{Catalog, Change, PointerError, PointerStore};
use tidelog_tiering::files::LocalFiles;
use tidelog_tiering::maintain::FileListing;
use uuid::Uuid;

use super::cluster::ClusterHandle;
use crate::clock::Clock;
use crate::settings::Settings;

/// Where the lake's tables are, and what knows them.
pub struct Warehouse {
    pub catalog: Arc<Catalog>,
    /// Lists the files of tables.
    pub files: Arc<dyn FileListing>,
}

/// The catalog of this broker, over the warehouse the settings name.
pub fn open(cluster: ClusterHandle, clock: Clock, settings: &Settings) -> Warehouse {
    let root = warehouse(settings);
    let location = format!("file://{}", root.display());
    let io = LocalFiles::file_io(&root);
    let env = Arc::new(BrokerEnv { clock });
    let pointers = Arc::new(ClusterPointers { cluster });
    Warehouse {
        catalog: Arc::new(Catalog::new(pointers, io, &location, env)),
        files: Arc::new(LocalFiles::new(&root)),
    }
}

/// The directory of the lake's tables, absolute. It is made when the first table is.
fn warehouse(settings: &Settings) -> PathBuf {
    let in_data_dir = || settings.data_dir.join("warehouse");
    let directory = settings.warehouse.clone().unwrap_or_else(in_data_dir);
    // Fails only where the current directory is gone; then every path is as good.
    std::path::absolute(&directory).unwrap_or_else(|_| Path::new("/").join(&directory))
}

/// The clock of the broker and random ids.
#[derive(Debug)]
pub struct BrokerEnv {
    pub clock: Clock,
}

impl Env for BrokerEnv {
    fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    fn uuid(&self) -> Uuid {
        Uuid::new_v4()
    }
}

/// Pointers kept in the cluster image.
#[derive(Debug, Clone)]
pub struct ClusterPointers {
    pub cluster: ClusterHandle,
}

#[async_trait]
impl PointerStore for ClusterPointers {
    async fn get(&self, key: &str) -> Result<Option<String>, PointerError> {
        let view = self.cluster.view();
        Ok(view.image.pointers().get(key).map(str::to_owned))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, String)>, PointerError> {
        let view = self.cluster.view();
        let found = view.image.pointers().with_prefix(prefix);
        Ok(found
            .map(|(key, text)| (key.to_owned(), text.to_owned()))
            .collect())
    }

    async fn compare_and_set(&self, changes: Vec<Change>) -> Result<(), PointerError> {
        let changes = changes.into_iter().map(|change| PointerChange {
            key: change.key,
            expected: change.expected,
            new: change.new,
        });
        let command = Command::ChangePointers {
            changes: changes.collect(),
        };
        match self.cluster.call(command).await {
            Ok(Reply::Pointers(outcome)) => outcome.map_err(refused),
            Ok(other) => unreachable!("pointers are not answered with {other:?}"),
            // The owner may have written the record before it had to start over.
            Err(error) => Err(PointerError::Unknown(error.to_string())),
        }
    }
}

fn refused(refusal: PointerRefusal) -> PointerError {
    match refusal {
        PointerRefusal::Mismatch { key } => PointerError::Mismatch { key },
        PointerRefusal::ChangeTooLarge { .. } | PointerRefusal::Full { .. } => {
            PointerError::Unavailable(refusal.to_string())
        }
    }
}
