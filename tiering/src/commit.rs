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
//! A commit may have a part in the topic's dead-letter table as well: then both tables are looked at,
//! and changed by one request, which the catalog carries out whole or not at all. Only the topic's own
//! table is asked whether the commit is there.
//!
//! The attempt asserts table uuid, current snapshot and current schema, and changes the ledger
//! property together with the snapshot; so between our check and the catalog's swap nothing that
//! matters can change unseen. A port that cannot say what happened sends us back to the load.
//! There is no pause between attempts: a conflict means that another commit went through.
//!
//! A part of a commit may also delete rows of a keyed table, wherever they are in the snapshot it
//! follows; so its delete files are made for each attempt whose snapshot is another than that of the
//! one before.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use iceberg::spec::{
    DataFile, MAIN_BRANCH, ManifestContentType, SnapshotReference, SnapshotRetention, TableMetadata,
};
use iceberg::{TableIdent, TableRequirement, TableUpdate};
use roaring::RoaringTreemap;
use serde_json::json;
use thiserror::Error;
use tracing::{info, warn};
use uuid::Uuid;

use crate::env::{self, Env};
use crate::keyed::{Erasure, LiveError, Places};
use crate::mark::{
    LEDGER_PROPERTY, LastCommit, Ledger, OffsetRange, Suspension, TopicIdentity, summary_key,
};
use crate::port::{CommitPort, CommitRequest, LoadedTable, PortError};
use crate::snapshot::{Added, Base, Parts, write_snapshot};

/// What one commit does, in one table or in several at once.
#[derive(Debug, Clone)]
pub struct Append {
    /// Fresh for every append; how a commit of unknown outcome is recognised.
    pub commit_id: Uuid,
    /// The topic's own table first, whose ledger tells whether the commit is there.
    pub parts: Vec<Part>,
}

/// What one commit does to one table. The data files are complete and durable already.
#[derive(Debug, Clone)]
pub struct Part {
    pub table: TableIdent,
    /// The table it was planned for.
    pub table_uuid: Uuid,
    /// What each partition gains; all of it is in `data_files` or has no rows.
    pub moved: BTreeMap<i32, OffsetRange>,
    pub data_files: Vec<DataFile>,
    pub replaces: Option<Replaces>,
    /// Of a keyed table: offsets of rows to take out, by partition. None is in a file that
    /// `replaces` names.
    pub erases: BTreeMap<i32, RoaringTreemap>,
}

/// Data files that leave a table; what is to stay of their rows is among the new files.
#[derive(Debug, Clone)]
pub struct Replaces {
    /// The snapshot they were read in. While the table has another one, the commit is not tried.
    pub snapshot_id: i64,
    pub locations: BTreeSet<String>,
}

/// How a commit ended well.
#[derive(Debug, Clone)]
pub enum CommitOutcome {
    /// The rows are in the lake, by this commit. Holds the topic's own table with them.
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
    pub identity: TopicIdentity,
    pub attempts_max: u32,
}

/// What a look at the tables says of a commit.
enum Look {
    /// It went through.
    Done(LoadedTable),
    /// It may be tried on these, which are in the order of its parts.
    Open(Vec<(LoadedTable, Ledger)>),
    /// It never can be.
    Outpaced,
}

/// What is written for one part of a commit.
struct Draft<'a> {
    part: &'a Part,
    parts: Parts,
    /// The table's snapshot that the deletes were made for, once they are.
    erased_in: Option<Option<i64>>,
}

impl Committer<'_> {
    /// Commits `append`, or finds that it is committed. Files of an append that certainly did not
    /// go through are deleted again; where that is not certain they are left to the cleaner.
    pub async fn commit(&self, append: Append) -> Result<CommitOutcome, CommitError> {
        self.commit_with(append, &mut Places::default()).await
    }

    /// Like [`Committer::commit`], with what is known of where rows to erase are.
    pub(crate) async fn commit_with(
        &self,
        append: Append,
        places: &mut Places,
    ) -> Result<CommitOutcome, CommitError> {
        let commit_id = append.commit_id;
        let mut attempts = Attempts::default();
        let files = append.parts.iter().flat_map(|part| &part.data_files);
        attempts.wrote(files.map(DataFile::file_path));
        let result = Box::pin(self.run(&append, places, &mut attempts)).await;
        match &result {
            Ok(CommitOutcome::Committed(table)) => {
                let location = &table.metadata_location;
                info!(table = %table.ident, %commit_id, location, "tiered");
            }
            _ if attempts.uncertain => {}
            _ => self.discard(&attempts.files).await,
        }
        result
    }

    async fn run(
        &self,
        append: &Append,
        places: &mut Places,
        attempts: &mut Attempts,
    ) -> Result<CommitOutcome, CommitError> {
        let commit_id = append.commit_id;
        let snapshot_id = env::snapshot_id(self.env.uuid());
        let draft = |part| Draft {
            part,
            parts: Parts::empty(snapshot_id, commit_id),
            erased_in: None,
        };
        let mut drafts: Vec<_> = append.parts.iter().map(draft).collect();
        // One round more than attempts: the last only looks.
        for attempt in 0..=self.attempts_max {
            let tables = match self.look(append, attempts).await? {
                Look::Done(table) => return Ok(CommitOutcome::Committed(table)),
                Look::Outpaced => return Ok(CommitOutcome::Outpaced),
                Look::Open(tables) => tables,
            };
            if attempt == self.attempts_max {
                break;
            }
            attempts.number = attempt;
            let mut requests = Vec::with_capacity(tables.len());
            for (draft, (table, ledger)) in drafts.iter_mut().zip(&tables) {
                let metadata = table.metadata.as_ref();
                self.write(draft, metadata, places, attempts).await?;
                let request = self.request(draft, metadata, ledger, attempts).await?;
                requests.push((draft.part.table.clone(), request));
            }
            match self.send(requests).await {
                Ok(table) => return Ok(CommitOutcome::Committed(table)),
                // The next look finds out which of the tables is gone.
                Err(PortError::Conflict(reason) | PortError::NotFound(reason)) => {
                    info!(%commit_id, attempt, reason, "commit conflict");
                }
                Err(PortError::Unknown(reason)) => {
                    warn!(%commit_id, attempt, reason, "outcome unknown");
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

    /// Loads the tables and compares them with what the commit was planned on.
    ///
    /// What happens to the topic's own table is somebody's decision to make; a table beside it that
    /// was made anew, or is gone, only makes the plan void.
    async fn look(&self, append: &Append, attempts: &Attempts) -> Result<Look, CommitError> {
        let commit_id = append.commit_id;
        let mut tables = Vec::with_capacity(append.parts.len());
        for (index, part) in append.parts.iter().enumerate() {
            let is_own = index == 0;
            let table = match self.port.load(&part.table).await {
                Err(PortError::NotFound(_)) if !is_own => return Ok(Look::Outpaced),
                loaded => loaded.map_err(|error| attempts.failed(commit_id, error))?,
            };
            let found = table.metadata.uuid();
            match found == part.table_uuid {
                true => {}
                false if is_own => return Err(Suspension::TableReplaced { found }.into()),
                false => return Ok(Look::Outpaced),
            }
            let ledger = Ledger::read(&table.metadata, self.identity);
            let ledger = match is_own {
                true => ledger?,
                false => ledger.map_err(|reason| Suspension::DeadLetters(Box::new(reason)))?,
            };
            let is_there = ledger.last.is_some_and(|last| last.commit_id == commit_id);
            if is_own && is_there {
                return Ok(Look::Done(table));
            }
            let is_current = |replaces: &Replaces| {
                table.metadata.current_snapshot_id() == Some(replaces.snapshot_id)
            };
            let is_void = part.replaces.as_ref().is_some_and(|one| !is_current(one));
            if is_void || !follows(&ledger, &part.moved) {
                return Ok(Look::Outpaced);
            }
            tables.push((table, ledger));
        }
        Ok(Look::Open(tables))
    }

    /// Writes what the part has not got yet: the manifest of its rows, which serves all attempts, and
    /// its deletes in the table's current snapshot.
    async fn write(
        &self,
        draft: &mut Draft<'_>,
        metadata: &TableMetadata,
        places: &mut Places,
        attempts: &mut Attempts,
    ) -> Result<(), CommitError> {
        if attempts.number == 0 {
            draft.parts.rows = self.add_rows(metadata, draft).await?;
            attempts.wrote(draft.parts.rows.manifest_path());
        }
        let base = Some(metadata.current_snapshot_id());
        if draft.erased_in != base {
            draft.parts.deletes = self.erase(metadata, draft, places, attempts.number).await?;
            let deletes = &draft.parts.deletes;
            attempts.wrote(deletes.files.iter().map(DataFile::file_path));
            attempts.wrote(deletes.manifest_path());
            draft.erased_in = base;
        }
        Ok(())
    }

    async fn add_rows(
        &self,
        metadata: &TableMetadata,
        draft: &Draft<'_>,
    ) -> Result<Added, CommitError> {
        let (commit_id, snapshot_id) = (draft.parts.commit_id, draft.parts.snapshot_id);
        let location = format!("{}/metadata/{commit_id}-m0.avro", metadata.location());
        let (io, content) = (self.port.file_io(), ManifestContentType::Data);
        let files = draft.part.data_files.clone();
        Ok(Added::write(io, metadata, snapshot_id, content, location, files).await?)
    }

    /// The deletes for the table's current snapshot, and their manifest.
    async fn erase(
        &self,
        metadata: &TableMetadata,
        draft: &Draft<'_>,
        places: &mut Places,
        attempt: u32,
    ) -> Result<Added, CommitError> {
        let (commit_id, snapshot_id) = (draft.parts.commit_id, draft.parts.snapshot_id);
        let rows = &draft.part.erases;
        let mut erasure = Erasure { rows, places };
        let files = Box::pin(erasure.write(self.port, metadata, commit_id, attempt)).await?;
        let location = format!(
            "{}/metadata/{commit_id}-d{attempt}.avro",
            metadata.location()
        );
        let (io, content) = (self.port.file_io(), ManifestContentType::Deletes);
        Ok(Added::write(io, metadata, snapshot_id, content, location, files).await?)
    }

    /// What the part leaves of the table as it is.
    async fn base(&self, draft: &Draft<'_>, metadata: &TableMetadata) -> Result<Base, CommitError> {
        let (io, snapshot_id) = (self.port.file_io(), draft.parts.snapshot_id);
        Ok(match &draft.part.replaces {
            None => Base::whole(io, metadata).await?,
            Some(replaces) => {
                let (gone, id) = (&replaces.locations, self.env.uuid());
                Base::without(io, metadata, gone, snapshot_id, id).await?
            }
        })
    }

    /// Gives the topic's own table as the commit leaves it.
    async fn send(
        &self,
        mut requests: Vec<(TableIdent, CommitRequest)>,
    ) -> Result<LoadedTable, PortError> {
        match requests.len() {
            1 => {
                let (table, request) = requests.remove(0);
                self.port.commit(&table, request).await
            }
            _ => {
                let committed = self.port.commit_all(requests).await?;
                let own = committed.into_iter().next();
                own.ok_or_else(|| PortError::Unknown("no table was answered".to_owned()))
            }
        }
    }

    /// The request of one attempt on one table.
    async fn request(
        &self,
        draft: &Draft<'_>,
        metadata: &TableMetadata,
        ledger: &Ledger,
        attempts: &mut Attempts,
    ) -> Result<CommitRequest, CommitError> {
        let (parts, moved) = (&draft.parts, &draft.part.moved);
        let base = self.base(draft, metadata).await?;
        attempts.wrote(&base.written);
        let properties = trace(self.identity, parts.commit_id, moved);
        let (io, now_ms) = (self.port.file_io(), self.env.now_ms());
        let attempt = attempts.number;
        let snapshot =
            write_snapshot(io, metadata, parts, base, attempt, now_ms, properties).await?;
        attempts.wrote([snapshot.manifest_list()]);
        let mut next = Ledger {
            epoch: self.identity.epoch,
            last: Some(LastCommit {
                commit_id: parts.commit_id,
                snapshot_id: snapshot.snapshot_id(),
                sequence_number: snapshot.sequence_number(),
            }),
            ..ledger.clone()
        };
        let ends = moved.iter();
        next.ends
            .extend(ends.map(|(partition, range)| (*partition, range.end)));
        let mut updates = set_main(snapshot);
        updates.push(set_ledger(&next));
        Ok(CommitRequest {
            requirements: unchanged(metadata),
            updates,
        })
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
    /// Of the one under way, from 0.
    number: u32,
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
