//! The tierer of one topic: open its table, then pass after pass move what the log has.
//!
//! A pass is plan → Parquet files → one commit. It holds no state between passes that matters: each
//! begins with the mark read from the table, so a crash anywhere, or a second tierer, costs repeated
//! work and never a row. When to run a pass is the caller's business.
//!
//! An append table gets one file per pass, with the rows of all partitions. A keyed table
//! ([`crate::keyed`]) gets one per partition, and deletes of the rows that its changes replace. If
//! there are dead letters, they go to one file of their table, by the same commit.
//!
//! A pass reads its source and encodes on the thread that drives its future: drive it on a
//! background runtime.

mod load;
mod resume;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::ArrowError;
use iceberg::TableIdent;
use iceberg::spec::{Schema, TableMetadata};
use parking_lot::Mutex;
use thiserror::Error;

use crate::commit::{Append, CommitError, CommitOutcome, Committer, Part};
use crate::convert::ConvertError;
use crate::env::Env;
use crate::keyed::{BadChange, Places};
use crate::maintain::MaintainError;
use crate::mark::{Ledger, OffsetRange, Suspension, TierMark, TopicIdentity};
use crate::opening::load_or_make;
use crate::plan::{self, LogBounds};
use crate::port::{CommitPort, LoadedTable, PortError};
use crate::rows::{RowSource, SourceError};
use crate::schema::{self, ValueLayout};
use crate::table::{self, Kind};
use load::Load;

/// Limits of a pass.
#[derive(Debug, Clone, Copy)]
pub struct PassLimits {
    /// About this much Arrow goes into one commit.
    pub bytes_max: usize,
    /// Commit attempts against conflicts before a pass gives up.
    pub attempts_max: u32,
}

impl Default for PassLimits {
    fn default() -> Self {
        Self {
            bytes_max: 256 << 20,
            attempts_max: 8,
        }
    }
}

/// Where a topic's tiering stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TierState {
    Active(TierMark),
    Suspended(Suspension),
}

/// What a pass did.
#[derive(Debug, Clone)]
pub struct PassReport {
    /// What this pass moved; empty when there was nothing, or when another tierer was faster.
    pub moved: BTreeMap<i32, OffsetRange>,
    /// Rows put into the table.
    pub rows: u64,
    /// Rows taken out of it; of keyed tables only.
    pub replaced: u64,
    /// Records that went to the dead-letter table.
    pub dead_letters: u64,
    /// Bytes of the Parquet files with rows and dead letters.
    pub file_bytes: u64,
    /// The mark after the pass.
    pub mark: TierMark,
    /// The limits ended the pass before the log's end: another may follow at once.
    pub more: bool,
}

/// Why a pass moved nothing.
#[derive(Debug, Error)]
pub enum PassError {
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("rows do not fit the table: {0}")]
    Convert(#[from] ConvertError),
    /// The source contradicts itself, or what it gave before.
    #[error("partition {partition} has no true changes: {reason}")]
    Change { partition: i32, reason: BadChange },
    #[error("dead letters cannot be read again: {0}")]
    Reread(#[from] MaintainError),
    #[error(
        "{0} has files that are not this topic's to rewrite: deletes, partitions, another format"
    )]
    NotOurs(String),
    #[error("{0} is a keyed table: a row that comes late could undo newer changes of its key")]
    Late(String),
    #[error("rows cannot be picked: {0}")]
    Pick(#[from] ArrowError),
    #[error("the source gave partition {partition}, {got} where {asked} was asked")]
    Answer {
        partition: i32,
        asked: OffsetRange,
        got: OffsetRange,
    },
}

impl From<Suspension> for PassError {
    fn from(suspension: Suspension) -> Self {
        Self::Commit(suspension.into())
    }
}

impl From<PortError> for PassError {
    fn from(error: PortError) -> Self {
        Self::Commit(CommitError::Port(error))
    }
}

impl From<iceberg::Error> for PassError {
    fn from(error: iceberg::Error) -> Self {
        Self::Commit(error.into())
    }
}

/// Moves one topic's rows into its table.
pub struct Tierer {
    pub(crate) port: Arc<dyn CommitPort>,
    pub(crate) env: Arc<dyn Env>,
    pub(crate) table: TableIdent,
    pub(crate) identity: TopicIdentity,
    /// The lake form of the topic's schema.
    wanted: Schema,
    limits: PassLimits,
    pub(crate) kind: Kind,
    pub(crate) dead_letters: Option<TableIdent>,
    /// Of a keyed table; away while a pass uses it, and lost if that is dropped.
    places: Mutex<Places>,
}

impl Tierer {
    /// Opens the append table of a topic, making it (and its namespace) if it is not there.
    ///
    /// # Errors
    /// [`Suspension::Schema`] when the layout has no lake form; port errors. A table that is
    /// there but cannot be used is no error here: see [`Tierer::state`].
    pub async fn open(
        port: Arc<dyn CommitPort>,
        env: Arc<dyn Env>,
        table: TableIdent,
        identity: TopicIdentity,
        layout: &ValueLayout,
        limits: PassLimits,
    ) -> Result<Self, PassError> {
        Self::open_as(Kind::Append, port, env, table, identity, layout, limits).await
    }

    /// Like [`Tierer::open`], for the keyed table of a topic: sources give changes of rows.
    pub async fn open_keyed(
        port: Arc<dyn CommitPort>,
        env: Arc<dyn Env>,
        table: TableIdent,
        identity: TopicIdentity,
        layout: &ValueLayout,
        limits: PassLimits,
    ) -> Result<Self, PassError> {
        Self::open_as(Kind::Keyed, port, env, table, identity, layout, limits).await
    }

    async fn open_as(
        kind: Kind,
        port: Arc<dyn CommitPort>,
        env: Arc<dyn Env>,
        table: TableIdent,
        identity: TopicIdentity,
        layout: &ValueLayout,
        limits: PassLimits,
    ) -> Result<Self, PassError> {
        let wanted = schema::lake_schema(layout).map_err(Suspension::from)?;
        let tierer = Self {
            port,
            env,
            table,
            identity,
            wanted,
            limits,
            kind,
            dead_letters: None,
            places: Mutex::default(),
        };
        let (port, env) = (tierer.port.as_ref(), tierer.env.as_ref());
        load_or_make(port, env, &tierer.table, kind, identity, &tierer.wanted).await?;
        Ok(tierer)
    }

    /// Names the table for dead letters, which is made when there is the first. Without one they stay
    /// out of the lake.
    pub fn with_dead_letters(self, table: TableIdent) -> Self {
        Self {
            dead_letters: Some(table),
            ..self
        }
    }

    /// Where tiering stands, as the table has it now. That the schema does not fit, or offsets are
    /// gone from the log, only a pass can find.
    pub async fn state(&self) -> Result<TierState, PassError> {
        let table = self.port.load(&self.table).await?;
        Ok(match self.ledger(&table.metadata) {
            Ok(ledger) => TierState::Active(TierMark::of(&ledger, &table)),
            Err(suspension) => TierState::Suspended(suspension),
        })
    }

    /// Moves what `log` has beyond the mark, up to the limits, in one commit.
    ///
    /// # Errors
    /// Nothing was moved, except after [`CommitError::Unresolved`], where the next pass will see.
    pub async fn pass(
        &self,
        source: &mut dyn RowSource,
        log: &BTreeMap<i32, LogBounds>,
    ) -> Result<PassReport, PassError> {
        let table = self.port.load(&self.table).await?;
        let ledger = self.ledger(&table.metadata)?;
        let ranges = plan::ranges(&ledger.ends, log)?;
        if ranges.is_empty() {
            return Ok(report(&ledger, &table));
        }
        let (table, ledger) = Box::pin(self.fit_schema(table, ledger)).await?;
        let commit_id = self.env.uuid();
        let load = match self.kind {
            Kind::Append => {
                Box::pin(self.load(source, &ranges, &table.metadata, commit_id)).await?
            }
            Kind::Keyed => Box::pin(self.run(source, &ranges, &table.metadata, commit_id)).await?,
        };
        if load.moved.is_empty() {
            return Ok(report(&ledger, &table));
        }
        let own = Part {
            table: self.table.clone(),
            table_uuid: table.metadata.uuid(),
            moved: load.moved.clone(),
            data_files: load.files.clone(),
            replaces: None,
            erases: load.replaced.clone(),
        };
        let dead_letters = load.dead_letters.clone();
        let append = Append {
            commit_id,
            parts: std::iter::once(own).chain(dead_letters).collect(),
        };
        match Box::pin(self.commit(append, &load)).await? {
            CommitOutcome::Committed(table) => {
                let ledger = Ledger::read(&table.metadata, self.identity)?;
                Ok(PassReport {
                    more: load.moved != ranges,
                    ..load.report(report(&ledger, &table))
                })
            }
            CommitOutcome::Outpaced => {
                let table = self.port.load(&self.table).await?;
                let ledger = Ledger::read(&table.metadata, self.identity)?;
                Ok(PassReport {
                    more: true,
                    ..report(&ledger, &table)
                })
            }
        }
    }

    /// The table's ledger, if it may be gone on with.
    pub(crate) fn ledger(&self, metadata: &TableMetadata) -> Result<Ledger, Suspension> {
        let ledger = Ledger::read(metadata, self.identity)?;
        if Kind::of(metadata) != self.kind {
            return Err(Suspension::OtherKind);
        }
        Ok(ledger)
    }

    /// Commits what was loaded, and takes note of where its rows are.
    async fn commit(&self, append: Append, load: &Load) -> Result<CommitOutcome, CommitError> {
        let mut places = std::mem::take(&mut *self.places.lock());
        let outcome = self.committer().commit_with(append, &mut places).await;
        if matches!(outcome, Ok(CommitOutcome::Committed(_))) {
            for (file, offsets) in load.files.iter().zip(&load.offsets) {
                places.remember(file.file_path().to_owned(), offsets.clone());
            }
        }
        *self.places.lock() = places;
        outcome
    }

    pub(crate) fn committer(&self) -> Committer<'_> {
        Committer {
            port: self.port.as_ref(),
            env: self.env.as_ref(),
            identity: self.identity,
            attempts_max: self.limits.attempts_max,
        }
    }

    /// Lets the table's schema grow to what the topic has now, by a commit of its own.
    pub(crate) async fn fit_schema(
        &self,
        table: LoadedTable,
        mut ledger: Ledger,
    ) -> Result<(LoadedTable, Ledger), PassError> {
        let growth = table::growth(&table.metadata, &mut ledger, &self.wanted);
        let Some(request) = growth.map_err(Suspension::from)? else {
            return Ok((table, ledger));
        };
        let table = self.port.commit(&self.table, request).await?;
        Ok((table, ledger))
    }
}

/// The report of a pass that moved nothing.
fn report(ledger: &Ledger, table: &LoadedTable) -> PassReport {
    PassReport {
        moved: BTreeMap::new(),
        rows: 0,
        replaced: 0,
        dead_letters: 0,
        file_bytes: 0,
        mark: TierMark::of(ledger, table),
        more: false,
    }
}
