//! One tier commit: rows become visible exactly once, or not at all.
//!
//! The rule, before *every* attempt: load the table, read its [`Ledger`], and compare with the
//! ranges this commit moves.
//!
//! | the ledger says, for each moved partition | then |
//! |---|---|
//! | last commit is this one | an earlier attempt went through: done |
//! | end = our start (or none yet) | try: append under `assert-ref-snapshot-id` of what we read |
//! | anything else | outpaced: somebody else moved these rows, plan again from the new mark |
//! | it cannot be trusted | suspended |
//!
//! The attempt asserts table uuid, current snapshot and current schema, and changes the ledger
//! property together with the snapshot; so between our check and the catalog's swap nothing that
//! matters can change unseen. A port that cannot say what happened sends us back to the load.
//! There is no pause between attempts: a conflict means that another commit went through.
//!
//! A commit to a keyed table also deletes rows, wherever they are in the snapshot it follows; so
//! its delete files are made for each attempt whose snapshot is another than that of the one before.

use std::collections::{BTreeMap, HashMap};

use iceberg::spec::{
    DataFile, MAIN_BRANCH, ManifestContentType, SnapshotReference, SnapshotRetention, TableMetadata,
};
use iceberg::{TableIdent, TableRequirement, TableUpdate};
use serde_json::json;
use thiserror::Error;
use tracing::{info, warn};
use uuid::Uuid;

use crate::env::{self, Env};
use crate::keyed::{Erasure, LiveError};
use crate::mark::{
    LEDGER_PROPERTY, LastCommit, Ledger, OffsetRange, Suspension, TopicIdentity, summary_key,
};
use crate::port::{CommitPort, CommitRequest, LoadedTable, PortError};
use crate::snapshot::{Added, Parts, write_snapshot};

/// What one commit does. The data files are complete and durable already.
#[derive(Debug, Clone)]
pub struct Append {
    /// Fresh for every append; how a commit of unknown outcome is recognised.
    pub commit_id: Uuid,
    /// The table it was planned for.
    pub table_uuid: Uuid,
    /// What each partition gains; all of it is in `data_files` or has no rows.
    pub moved: BTreeMap<i32, OffsetRange>,
    pub data_files: Vec<DataFile>,
}

/// How a commit ended well.
#[derive(Debug, Clone)]
pub enum CommitOutcome {
    /// The rows are in the lake, by this commit. Holds the table with them.
    Committed(LoadedTable),
    /// Other commits moved some of these rows or their predecessors; ours put nothing there.
    Outpaced,
}

/// How a commit did not end well.
#[derive(Debug, Error)]
pub enum CommitError {
    #[error("tiering is suspended: {0}")]
    Suspended(#[from] Suspension),
    /// Nothing was committed.
    #[error("commit failed: {0}")]
    Port(PortError),
    /// Nothing was committed.
    #[error("cannot write or read table files: {0}")]
    Files(#[from] iceberg::Error),
    /// The commit may be there or not. The next pass finds out from the table.
    #[error("the outcome of commit {commit_id} is unknown: {reason}")]
    Unresolved { commit_id: Uuid, reason: String },
    #[error("gave up after {attempts} attempts, others commit all the time")]
    Crowded { attempts: u32 },
}

impl From<LiveError> for CommitError {
    fn from(error: LiveError) -> Self {
        match error.suspension() {
            Ok(suspension) => Self::Suspended(suspension),
            Err(error) => Self::Files(error),
        }
    }
}

/// The parties to a commit.
#[derive(Clone, Copy)]
pub struct Committer<'a> {
    pub port: &'a dyn CommitPort,
    pub env: &'a dyn Env,
    pub table: &'a TableIdent,
    pub identity: TopicIdentity,
    pub attempts_max: u32,
}

impl Committer<'_> {
    /// Commits `append`, or finds that it is committed. Files of an append that certainly did not
    /// go through are deleted again; where that is not certain they are left to the cleaner.
    pub async fn commit(&self, append: Append) -> Result<CommitOutcome, CommitError> {
        self.commit_with(append, None).await
    }

    /// Like [`Committer::commit`], taking rows out by the same commit.
    pub(crate) async fn commit_with(
        &self,
        append: Append,
        erasure: Option<Erasure<'_>>,
    ) -> Result<CommitOutcome, CommitError> {
        let commit_id = append.commit_id;
        let mut attempts = Attempts::default();
        let result = Box::pin(self.run(append, erasure, &mut attempts)).await;
        match &result {
            Ok(CommitOutcome::Committed(table)) => {
                info!(table = %self.table, %commit_id, location = table.metadata_location, "tiered");
            }
            _ if attempts.uncertain => {}
            _ => self.discard(&attempts.files).await,
        }
        result
    }

    async fn run(
        &self,
        append: Append,
        mut erasure: Option<Erasure<'_>>,
        attempts: &mut Attempts,
    ) -> Result<CommitOutcome, CommitError> {
        let commit_id = append.commit_id;
        attempts.wrote(append.data_files.iter().map(DataFile::file_path));
        let mut parts = Parts::empty(env::snapshot_id(self.env.uuid()), commit_id);
        // The snapshot that the deletes were made for.
        let mut erased_in = None;
        // One round more than attempts: the last only looks.
        for attempt in 0..=self.attempts_max {
            let table = self.load(commit_id, attempts).await?;
            let metadata = &table.metadata;
            if metadata.uuid() != append.table_uuid {
                let found = metadata.uuid();
                return Err(Suspension::TableReplaced { found }.into());
            }
            let ledger = Ledger::read(metadata, self.identity)?;
            if ledger.last.is_some_and(|last| last.commit_id == commit_id) {
                return Ok(CommitOutcome::Committed(table));
            }
            if !follows(&ledger, &append.moved) {
                return Ok(CommitOutcome::Outpaced);
            }
            if attempt == self.attempts_max {
                break;
            }
            if attempt == 0 {
                parts.rows = self.add_rows(metadata, &parts, &append.data_files).await?;
                attempts.wrote(parts.rows.manifest_path());
            }
            let base = Some(metadata.current_snapshot_id());
            if let Some(erasure) = erasure.as_mut().filter(|_| erased_in != base) {
                parts.deletes = self.erase(metadata, &parts, erasure, attempt).await?;
                attempts.wrote(parts.deletes.files.iter().map(DataFile::file_path));
                attempts.wrote(parts.deletes.manifest_path());
                erased_in = base;
            }
            let request = self
                .request(metadata, &ledger, &parts, &append.moved, attempt)
                .await?;
            attempts.wrote(request.1);
            match self.port.commit(self.table, request.0).await {
                Ok(table) => return Ok(CommitOutcome::Committed(table)),
                Err(PortError::Conflict(reason)) => {
                    info!(table = %self.table, %commit_id, attempt, reason, "commit conflict");
                }
                Err(PortError::Unknown(reason)) => {
                    warn!(table = %self.table, %commit_id, attempt, reason, "outcome unknown");
                    attempts.uncertain = true;
                }
                Err(error) => return Err(attempts.failed(commit_id, error)),
            }
        }
        if attempts.uncertain {
            let reason = format!("not seen after {} attempts", self.attempts_max);
            return Err(CommitError::Unresolved { commit_id, reason });
        }
        Err(CommitError::Crowded {
            attempts: self.attempts_max,
        })
    }

    /// The manifest of the rows; serves all attempts.
    async fn add_rows(
        &self,
        metadata: &TableMetadata,
        parts: &Parts,
        files: &[DataFile],
    ) -> Result<Added, CommitError> {
        let location = format!(
            "{}/metadata/{}-m0.avro",
            metadata.location(),
            parts.commit_id
        );
        let (io, content) = (self.port.file_io(), ManifestContentType::Data);
        let (snapshot_id, files) = (parts.snapshot_id, files.to_vec());
        Ok(Added::write(io, metadata, snapshot_id, content, location, files).await?)
    }

    /// The deletes for the table's current snapshot, and their manifest.
    async fn erase(
        &self,
        metadata: &TableMetadata,
        parts: &Parts,
        erasure: &mut Erasure<'_>,
        attempt: u32,
    ) -> Result<Added, CommitError> {
        let (commit_id, snapshot_id) = (parts.commit_id, parts.snapshot_id);
        let files = Box::pin(erasure.write(self.port, metadata, commit_id, attempt)).await?;
        let location = format!(
            "{}/metadata/{commit_id}-d{attempt}.avro",
            metadata.location()
        );
        let (io, content) = (self.port.file_io(), ManifestContentType::Deletes);
        Ok(Added::write(io, metadata, snapshot_id, content, location, files).await?)
    }

    async fn load(&self, commit_id: Uuid, attempts: &Attempts) -> Result<LoadedTable, CommitError> {
        let loaded = self.port.load(self.table).await;
        loaded.map_err(|error| attempts.failed(commit_id, error))
    }

    /// The request of one attempt, and the manifest list written for it.
    async fn request(
        &self,
        metadata: &TableMetadata,
        ledger: &Ledger,
        parts: &Parts,
        moved: &BTreeMap<i32, OffsetRange>,
        attempt: u32,
    ) -> Result<(CommitRequest, Option<String>), CommitError> {
        let properties = trace(self.identity, parts.commit_id, moved);
        let now_ms = self.env.now_ms();
        let snapshot = write_snapshot(
            self.port.file_io(),
            metadata,
            parts,
            attempt,
            now_ms,
            properties,
        )
        .await?;
        let list = snapshot.manifest_list().to_owned();
        let mut next = Ledger {
            epoch: self.identity.epoch,
            last: Some(LastCommit {
                commit_id: parts.commit_id,
                snapshot_id: snapshot.snapshot_id(),
                sequence_number: snapshot.sequence_number(),
            }),
            ..ledger.clone()
        };
        next.ends.extend(
            moved
                .iter()
                .map(|(partition, range)| (*partition, range.end)),
        );
        let mut updates = set_main(snapshot);
        updates.push(set_ledger(&next));
        Ok((
            CommitRequest {
                requirements: unchanged(metadata),
                updates,
            },
            Some(list),
        ))
    }

    async fn discard(&self, locations: &[String]) {
        for location in locations {
            let deleted = match self.port.file_io().new_output(location) {
                Ok(file) => file.delete().await,
                Err(error) => Err(error),
            };
            if let Err(error) = deleted {
                warn!(location, %error, "orphan left behind");
            }
        }
    }
}

/// What the attempts of one commit have done so far.
#[derive(Debug, Default)]
struct Attempts {
    /// Files written, none of them named by a commit that we know of.
    files: Vec<String>,
    /// An attempt's outcome was unknown: the files may be part of the table.
    uncertain: bool,
}

impl Attempts {
    fn wrote(&mut self, files: impl IntoIterator<Item = impl Into<String>>) {
        self.files.extend(files.into_iter().map(Into::into));
    }

    fn failed(&self, commit_id: Uuid, error: PortError) -> CommitError {
        if self.uncertain {
            return CommitError::Unresolved {
                commit_id,
                reason: error.to_string(),
            };
        }
        CommitError::Port(error)
    }
}

/// Whether `moved` starts exactly where the lake ends, for every partition.
fn follows(ledger: &Ledger, moved: &BTreeMap<i32, OffsetRange>) -> bool {
    moved
        .iter()
        .all(|(partition, range)| match ledger.ends.get(partition) {
            Some(end) => *end == range.start,
            // A partition's first rows: nothing before them to miss.
            None => true,
        })
}

/// The summary properties of a tier commit.
pub(crate) fn trace(
    identity: TopicIdentity,
    commit_id: Uuid,
    moved: &BTreeMap<i32, OffsetRange>,
) -> HashMap<String, String> {
    HashMap::from([
        (
            summary_key::TOPIC_ID.to_owned(),
            identity.topic_id.to_string(),
        ),
        (summary_key::EPOCH.to_owned(), identity.epoch.to_string()),
        (summary_key::COMMIT_ID.to_owned(), commit_id.to_string()),
        (summary_key::MOVED.to_owned(), json!(moved).to_string()),
    ])
}

/// Requirements under which a ledger read from `metadata` is still the table's: a tier commit
/// moves the branch, a schema change the schema id, and nothing else writes the ledger.
pub(crate) fn unchanged(metadata: &TableMetadata) -> Vec<TableRequirement> {
    vec![
        TableRequirement::UuidMatch {
            uuid: metadata.uuid(),
        },
        TableRequirement::RefSnapshotIdMatch {
            r#ref: MAIN_BRANCH.to_owned(),
            snapshot_id: metadata.current_snapshot_id(),
        },
        TableRequirement::CurrentSchemaIdMatch {
            current_schema_id: metadata.current_schema_id(),
        },
    ]
}

pub(crate) fn set_main(snapshot: iceberg::spec::Snapshot) -> Vec<TableUpdate> {
    let reference = SnapshotReference::new(
        snapshot.snapshot_id(),
        SnapshotRetention::branch(None, None, None),
    );
    vec![
        TableUpdate::AddSnapshot { snapshot },
        TableUpdate::SetSnapshotRef {
            ref_name: MAIN_BRANCH.to_owned(),
            reference,
        },
    ]
}

pub(crate) fn set_ledger(ledger: &Ledger) -> TableUpdate {
    let updates = HashMap::from([(LEDGER_PROPERTY.to_owned(), ledger.to_json())]);
    TableUpdate::SetProperties { updates }
}
