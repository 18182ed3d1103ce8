//! Tables: created, loaded, changed and renamed by moving pointers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use iceberg::spec::{TableMetadata, TableMetadataBuilder};
use iceberg::{NamespaceIdent, TableCreation, TableIdent, TableRequirement, TableUpdate};
use tracing::warn;

use super::keys::{check_name, table_key, table_prefix, version_of};
use super::{Catalog, CatalogError, Change, PointerError, create};
use crate::files::{create_directories, local_path};
use crate::port::{CommitRequest, LoadedTable};

/// Times a commit starts over because the pointer moved under it, before the client must.
const POINTER_RACES_MAX: usize = 4;

impl Catalog {
    /// The tables of a namespace.
    pub async fn list_tables(
        &self,
        namespace: &NamespaceIdent,
    ) -> Result<Vec<TableIdent>, CatalogError> {
        self.namespace_record(namespace).await?;
        let prefix = table_prefix(namespace);
        let found = self.pointers.list(&prefix).await?;
        Ok(found
            .iter()
            .filter_map(|(key, _)| key.strip_prefix(&prefix))
            .map(|name| TableIdent::new(namespace.clone(), name.to_owned()))
            .collect())
    }

    /// The first metadata of a table that is to be created by a later commit; nothing is kept.
    pub fn stage_table(
        &self,
        table: &TableIdent,
        mut creation: TableCreation,
    ) -> Result<TableMetadata, CatalogError> {
        check_name(table.name())?;
        let location = creation
            .location
            .get_or_insert_with(|| self.location_of(table));
        self.check_location(location)?;
        let built = TableMetadataBuilder::from_table_creation(creation)
            .and_then(TableMetadataBuilder::build)
            .map_err(|error| CatalogError::BadRequest(error.to_string()))?;
        Ok(built.metadata)
    }

    /// Makes the directory a client writes its first manifests to, on a local warehouse: DuckDB
    /// does not make it itself.
    pub(super) async fn prepare_location(&self, location: &str) -> Result<(), CatalogError> {
        if !location.starts_with("file:") {
            return Ok(());
        }
        let failed = |error: String| CatalogError::Unavailable(error);
        let path = local_path(location).map_err(|error| failed(error.to_string()))?;
        tokio::task::spawn_blocking(move || create_directories(&path.join("metadata")))
            .await
            .map_err(|panic| failed(panic.to_string()))?
            .map_err(|error| failed(error.to_string()))
    }

    /// Makes a table; field ids are assigned anew, as the specification has it.
    pub async fn create_table(
        &self,
        table: &TableIdent,
        creation: TableCreation,
    ) -> Result<LoadedTable, CatalogError> {
        let metadata = self.stage_table(table, creation)?;
        self.point_new_table(table, metadata).await
    }

    /// Takes in a table whose metadata file exists already, inside the warehouse.
    pub async fn register_table(
        &self,
        table: &TableIdent,
        metadata_location: &str,
    ) -> Result<LoadedTable, CatalogError> {
        check_name(table.name())?;
        self.check_location(metadata_location)?;
        let loaded = self
            .read_metadata(table, metadata_location.to_owned())
            .await?;
        self.check_location(loaded.metadata.location())?;
        self.point_first(table, &loaded.metadata_location).await?;
        Ok(loaded)
    }

    /// A table as it is now.
    pub async fn load_table(&self, table: &TableIdent) -> Result<LoadedTable, CatalogError> {
        let location = self.pointer(table).await?;
        self.read_metadata(table, location).await
    }

    /// Whether a table is there, without reading its metadata.
    pub async fn table_exists(&self, table: &TableIdent) -> Result<bool, CatalogError> {
        Ok(self.pointers.get(&table_key(table)).await?.is_some())
    }

    /// Applies a commit request; the table is created if the request asserts that it is not there.
    pub async fn commit_table(
        &self,
        table: &TableIdent,
        request: CommitRequest,
    ) -> Result<LoadedTable, CatalogError> {
        let creates = request.requirements.contains(&TableRequirement::NotExist);
        for _ in 0..POINTER_RACES_MAX {
            let base = match self.load_table(table).await {
                Err(CatalogError::NoSuchTable(_)) if creates => {
                    check_name(table.name())?;
                    let now_ms = self.env.now_ms();
                    let metadata = create::metadata_from(request.updates, now_ms)?;
                    self.check_location(metadata.location())?;
                    return self.point_new_table(table, metadata).await;
                }
                other => other?,
            };
            for requirement in &request.requirements {
                requirement
                    .check(Some(&base.metadata))
                    .map_err(CatalogError::requirement)?;
            }
            let next = self.successor(&base, request.updates.clone()).await?;
            match self.point_to(vec![next]).await {
                Err(CatalogError::Conflict(_)) => {}
                other => return other.map(|mut loaded| loaded.remove(0)),
            }
        }
        Err(CatalogError::Conflict(format!(
            "{table} is being changed by others all the time"
        )))
    }

    /// Applies several commit requests as one change: all of them, or none. Tables are created by
    /// commits of their own.
    pub async fn commit_tables(
        &self,
        requests: Vec<(TableIdent, CommitRequest)>,
    ) -> Result<Vec<LoadedTable>, CatalogError> {
        check_changes(&requests)?;
        for _ in 0..POINTER_RACES_MAX {
            let mut next = Vec::with_capacity(requests.len());
            for (table, request) in &requests {
                match self.successor_of(table, request).await {
                    Ok(successor) => next.push(successor),
                    Err(error) => {
                        self.forget_new(&next).await;
                        return Err(error);
                    }
                }
            }
            match self.point_to(next).await {
                Err(CatalogError::Conflict(_)) => {}
                other => return other,
            }
        }
        let tables: Vec<_> = requests
            .iter()
            .map(|(table, _)| table.to_string())
            .collect();
        Err(CatalogError::Conflict(format!(
            "{} are being changed by others all the time",
            tables.join(", ")
        )))
    }

    /// What `request` makes of a table, once its requirements are seen to hold.
    async fn successor_of(
        &self,
        table: &TableIdent,
        request: &CommitRequest,
    ) -> Result<Successor, CatalogError> {
        let base = self.load_table(table).await?;
        for requirement in &request.requirements {
            requirement
                .check(Some(&base.metadata))
                .map_err(CatalogError::requirement)?;
        }
        self.successor(&base, request.updates.clone()).await
    }

    /// Forgets a table. Its files stay.
    pub async fn drop_table(&self, table: &TableIdent) -> Result<(), CatalogError> {
        let before = self.pointer(table).await?;
        let change = Change::delete(table_key(table), before);
        Ok(self.pointers.compare_and_set(vec![change]).await?)
    }

    /// Gives a table another name, also in another namespace. Its location stays.
    pub async fn rename_table(
        &self,
        from: &TableIdent,
        to: &TableIdent,
    ) -> Result<(), CatalogError> {
        check_name(to.name())?;
        let location = self.pointer(from).await?;
        if self.table_exists(to).await? {
            return Err(CatalogError::TableExists(to.to_string()));
        }
        let namespace = self.touch(to.namespace()).await?;
        let changes = vec![
            namespace,
            Change::delete(table_key(from), location.clone()),
            Change::create(table_key(to), location),
        ];
        Ok(self.pointers.compare_and_set(changes).await?)
    }

    /// Writes what `updates` make of `base`. No pointer names it yet.
    async fn successor(
        &self,
        base: &LoadedTable,
        updates: Vec<TableUpdate>,
    ) -> Result<Successor, CatalogError> {
        let bad = |error: iceberg::Error| CatalogError::BadRequest(error.to_string());
        let previous = base.metadata_location.clone();
        let metadata = base.metadata.as_ref().clone();
        let mut builder = metadata.into_builder(Some(previous.clone()));
        for update in updates {
            if let TableUpdate::SetLocation { location } = &update {
                self.check_location(location)?;
            }
            builder = update.apply(builder).map_err(bad)?;
        }
        let built = builder.build().map_err(bad)?;
        let version = version_of(&previous) + 1;
        let table = self.write_metadata(&base.ident, built.metadata, version);
        let expired = built.expired_metadata_logs.into_iter();
        Ok(Successor {
            table: table.await?,
            previous,
            expired: expired.map(|log| log.metadata_file).collect(),
        })
    }

    /// Moves the pointers of all tables to their successors, or none. A conflict means that one of
    /// them had moved; what was written is deleted again wherever nothing was moved for certain.
    async fn point_to(&self, next: Vec<Successor>) -> Result<Vec<LoadedTable>, CatalogError> {
        let changes = next.iter().map(|successor| {
            let key = table_key(&successor.table.ident);
            let location = successor.table.metadata_location.clone();
            Change::replace(key, successor.previous.clone(), location)
        });
        let moved = self.pointers.compare_and_set(changes.collect()).await;
        match moved.map_err(CatalogError::from) {
            Ok(()) => {}
            Err(error @ CatalogError::Unknown(_)) => return Err(error),
            Err(error) => {
                self.forget_new(&next).await;
                return Err(error);
            }
        }
        let mut tables = Vec::with_capacity(next.len());
        for Successor { table, expired, .. } in next {
            if deletes_old_metadata(&table.metadata) {
                for location in expired {
                    self.forget_file(&location).await;
                }
            }
            tables.push(table);
        }
        Ok(tables)
    }

    async fn forget_new(&self, next: &[Successor]) {
        for successor in next {
            self.forget_file(&successor.table.metadata_location).await;
        }
    }

    async fn point_new_table(
        &self,
        table: &TableIdent,
        metadata: TableMetadata,
    ) -> Result<LoadedTable, CatalogError> {
        self.namespace_record(table.namespace()).await?;
        if self.table_exists(table).await? {
            return Err(CatalogError::TableExists(table.to_string()));
        }
        let loaded = self.write_metadata(table, metadata, 0).await?;
        match self.point_first(table, &loaded.metadata_location).await {
            Err(error) if !matches!(error, CatalogError::Unknown(_)) => {
                self.forget_file(&loaded.metadata_location).await;
                Err(error)
            }
            other => other.map(|()| loaded),
        }
    }

    async fn point_first(&self, table: &TableIdent, location: &str) -> Result<(), CatalogError> {
        let key = table_key(table);
        for _ in 0..POINTER_RACES_MAX {
            let namespace = self.touch(table.namespace()).await?;
            let changes = vec![namespace, Change::create(key.clone(), location.to_owned())];
            match self.pointers.compare_and_set(changes).await {
                Err(PointerError::Mismatch { key: mismatched }) if mismatched == key => {
                    return Err(CatalogError::TableExists(table.to_string()));
                }
                // Another table came into the namespace meanwhile.
                Err(PointerError::Mismatch { .. }) => {}
                other => return Ok(other?),
            }
        }
        let namespace = table.namespace();
        Err(CatalogError::Conflict(format!(
            "{namespace:?} is being changed by others all the time"
        )))
    }

    async fn pointer(&self, table: &TableIdent) -> Result<String, CatalogError> {
        let location = self.pointers.get(&table_key(table)).await?;
        location.ok_or_else(|| CatalogError::NoSuchTable(table.to_string()))
    }

    async fn read_metadata(
        &self,
        table: &TableIdent,
        metadata_location: String,
    ) -> Result<LoadedTable, CatalogError> {
        let metadata = TableMetadata::read_from(&self.io, &metadata_location)
            .await
            .map_err(|error| CatalogError::Unavailable(error.to_string()))?;
        Ok(LoadedTable {
            ident: table.clone(),
            metadata: Arc::new(metadata),
            metadata_location,
        })
    }

    async fn write_metadata(
        &self,
        table: &TableIdent,
        metadata: TableMetadata,
        version: u64,
    ) -> Result<LoadedTable, CatalogError> {
        let uuid = self.env.uuid();
        let metadata_location = format!(
            "{}/metadata/{version:05}-{uuid}.metadata.json",
            metadata.location()
        );
        let failed = |error: String| CatalogError::Unavailable(error);
        let metadata =
            stamped(metadata, self.env.now_ms()).map_err(|error| failed(error.to_string()))?;
        let json = serde_json::to_vec(&metadata).map_err(|error| failed(error.to_string()))?;
        let output = self.io.new_output(&metadata_location);
        let output = output.map_err(|error| failed(error.to_string()))?;
        output
            .write(json.into())
            .await
            .map_err(|error| failed(error.to_string()))?;
        Ok(LoadedTable {
            ident: table.clone(),
            metadata: Arc::new(metadata),
            metadata_location,
        })
    }

    async fn forget_file(&self, location: &str) {
        let deleted = match self.io.new_output(location) {
            Ok(file) => file.delete().await,
            Err(error) => Err(error),
        };
        if let Err(error) = deleted {
            warn!(location, %error, "metadata file left behind");
        }
    }
}

/// What a table is to become.
struct Successor {
    table: LoadedTable,
    /// Where its pointer must still be.
    previous: String,
    /// Metadata files that leave the log with this change.
    expired: Vec<String>,
}

/// Refuses what one change of several tables cannot be.
fn check_changes(requests: &[(TableIdent, CommitRequest)]) -> Result<(), CatalogError> {
    let mut seen = HashSet::new();
    for (table, request) in requests {
        if !seen.insert(table) {
            return Err(CatalogError::BadRequest(format!("{table} is named twice")));
        }
        if request.requirements.contains(&TableRequirement::NotExist) {
            let message = "creating a table together with changes of others".to_owned();
            return Err(CatalogError::Unsupported(message));
        }
    }
    Ok(())
}

/// `metadata` with no later time of change than `now_ms`, or that of its newest snapshot. Iceberg's
/// builder reads the machine's clock for changes without a snapshot, and ours may be another one.
fn stamped(metadata: TableMetadata, now_ms: i64) -> serde_json::Result<TableMetadata> {
    let newest_ms = metadata.history().last().map(|log| log.timestamp_ms);
    let latest_ms = newest_ms.map_or(now_ms, |newest_ms| newest_ms.max(now_ms));
    if metadata.last_updated_ms() <= latest_ms {
        return Ok(metadata);
    }
    let mut json = serde_json::to_value(&metadata)?;
    json["last-updated-ms"] = latest_ms.into();
    serde_json::from_value(json)
}

fn deletes_old_metadata(metadata: &TableMetadata) -> bool {
    let properties: &HashMap<String, String> = metadata.properties();
    properties
        .get("write.metadata.delete-after-commit.enabled")
        .is_some_and(|on| on == "true")
}
