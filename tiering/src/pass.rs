//! The tierer of one topic: open its table, then pass after pass move what the log has.
//!
//! A pass is plan → one Parquet file (and one of dead letters, if there are some) → one commit. It holds no state of its own between passes:
//! each begins with the mark read from the table, so a crash anywhere, or a second tierer, costs
//! repeated work and never a row. When to run a pass is the caller's business.
//!
//! A pass reads its source and encodes on the thread that drives its future: drive it on a
//! background runtime.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, Schema as ArrowSchema};
use iceberg::TableIdent;
use iceberg::arrow::schema_to_arrow_schema;
use iceberg::spec::{DataFile, Schema, TableMetadata};
use thiserror::Error;
use uuid::Uuid;

use crate::commit::{
    Append, CommitError, CommitOutcome, Committer, Part, set_ledger, set_main, trace, unchanged,
};
use crate::convert::{ConvertError, to_lake};
use crate::data_file::DataFileWriter;
use crate::dead_letters::DeadLetters;
use crate::env::{self, Env};
use crate::maintain::MaintainError;
use crate::mark::{
    LastCommit, Ledger, OffsetRange, Suspension, TierMark, TopicIdentity, summary_key,
};
use crate::opening::load_or_make;
use crate::plan::{self, LogBounds};
use crate::port::{CommitPort, CommitRequest, LoadedTable, PortError};
use crate::rows::{ReadRange, RowBatch, RowSource, SourceError};
use crate::schema::{self, ValueLayout};
use crate::snapshot::{AppendParts, Base, write_snapshot};
use crate::table;

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
    pub rows: u64,
    /// Records that went to the dead-letter table.
    pub dead_letters: u64,
    /// Bytes of the Parquet files.
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
    #[error("dead letters cannot be read again: {0}")]
    Reread(#[from] MaintainError),
    #[error(
        "{0} has files that are not this topic's to rewrite: deletes, partitions, another format"
    )]
    NotOurs(String),
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
    pub(crate) dead_letters: Option<TableIdent>,
}

impl Tierer {
    /// Opens the table of a topic, making it (and its namespace) if it is not there.
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
        let wanted = schema::lake_schema(layout).map_err(Suspension::from)?;
        let tierer = Self {
            port,
            env,
            table,
            identity,
            wanted,
            limits,
            dead_letters: None,
        };
        let (port, env) = (tierer.port.as_ref(), tierer.env.as_ref());
        load_or_make(port, env, &tierer.table, identity, &tierer.wanted).await?;
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
        Ok(match Ledger::read(&table.metadata, self.identity) {
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
        let ledger = Ledger::read(&table.metadata, self.identity)?;
        let ranges = plan::ranges(&ledger.ends, log)?;
        if ranges.is_empty() {
            return Ok(report(&ledger, &table));
        }
        let (table, ledger) = Box::pin(self.fit_schema(table, ledger)).await?;
        let commit_id = self.env.uuid();
        // Boxed, here and below: encoder and attempts make large futures.
        let load = Box::pin(self.write_files(source, &ranges, &table.metadata, commit_id)).await?;
        if load.moved.is_empty() {
            return Ok(report(&ledger, &table));
        }
        let dead_letters = load.dead_letters.as_ref().map(|part| &part.data_files);
        let files: Vec<_> = load
            .file
            .iter()
            .chain(dead_letters.into_iter().flatten())
            .collect();
        let file_bytes = files.iter().map(|file| file.file_size_in_bytes()).sum();
        let records: u64 = files.iter().map(|file| file.record_count()).sum();
        let rows = load.file.as_ref().map_or(0, DataFile::record_count);
        let own = Part {
            table: self.table.clone(),
            table_uuid: table.metadata.uuid(),
            moved: load.moved.clone(),
            data_files: load.file.iter().cloned().collect(),
            replaces: None,
        };
        let append = Append {
            commit_id,
            parts: std::iter::once(own).chain(load.dead_letters).collect(),
        };
        match Box::pin(self.committer().commit(append)).await? {
            CommitOutcome::Committed(table) => {
                let ledger = Ledger::read(&table.metadata, self.identity)?;
                Ok(PassReport {
                    rows,
                    dead_letters: records - rows,
                    file_bytes,
                    more: load.moved != ranges,
                    moved: load.moved,
                    ..report(&ledger, &table)
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

    /// Goes on after a suspension, with `ends` as what is in the lake from now on: the decision
    /// that rows are missing or doubled, and that this is accepted. Partitions not named keep the
    /// end the ledger has.
    ///
    /// # Errors
    /// A foreign or fenced table stays suspended; so does one changed while resuming.
    pub async fn resume(&self, ends: BTreeMap<i32, i64>) -> Result<TierMark, PassError> {
        let table = self.port.load(&self.table).await?;
        let metadata = &table.metadata;
        let mut ledger = Ledger::read_any_place(metadata, self.identity)?;
        ledger.ends.extend(ends);
        let moved: BTreeMap<_, _> = ledger
            .ends
            .iter()
            .map(|(partition, end)| {
                (
                    *partition,
                    OffsetRange {
                        start: *end,
                        end: *end,
                    },
                )
            })
            .collect();
        let commit_id = self.env.uuid();
        let io = self.port.file_io();
        let snapshot_id = env::snapshot_id(self.env.uuid());
        let parts = AppendParts::write(io, metadata, snapshot_id, commit_id, Vec::new()).await?;
        let mut properties = trace(self.identity, commit_id, &moved);
        properties.insert(summary_key::RESET.to_owned(), "true".to_owned());
        let now_ms = self.env.now_ms();
        let base = Base::whole(io, metadata).await?;
        let snapshot = write_snapshot(io, metadata, &parts, base, 0, now_ms, properties).await?;
        ledger.epoch = self.identity.epoch;
        ledger.last = Some(LastCommit {
            commit_id,
            snapshot_id,
            sequence_number: snapshot.sequence_number(),
        });
        let mut updates = set_main(snapshot);
        updates.push(set_ledger(&ledger));
        let request = CommitRequest {
            requirements: unchanged(metadata),
            updates,
        };
        let table = self.port.commit(&self.table, request).await?;
        Ok(TierMark::of(&ledger, &table))
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

    /// Reads `ranges` partition by partition and writes what fits the limits into one file for each
    /// table.
    async fn write_files(
        &self,
        source: &mut dyn RowSource,
        ranges: &BTreeMap<i32, OffsetRange>,
        metadata: &TableMetadata,
        commit_id: Uuid,
    ) -> Result<Load, PassError> {
        let schema = metadata.current_schema();
        let location = format!("{}/data/{commit_id}.parquet", metadata.location());
        let io = self.port.file_io();
        let order = table::sort_order_id(metadata);
        let mut files = Files {
            commit_id,
            arrow: Arc::new(schema_to_arrow_schema(schema)?),
            rows: DataFileWriter::create(io, location, schema.clone(), order).await?,
            dead_letters: None,
        };
        let share = plan::share(self.limits.bytes_max, ranges.len());
        let mut moved = BTreeMap::new();
        for (&partition, range) in ranges {
            let end = self
                .write_partition(source, partition, *range, share, &mut files)
                .await?;
            if end > range.start {
                moved.insert(
                    partition,
                    OffsetRange {
                        start: range.start,
                        end,
                    },
                );
            }
        }
        let dead_letters = match files.dead_letters {
            Some(dead_letters) => dead_letters.close(&moved).await?,
            None => None,
        };
        Ok(Load {
            moved,
            file: files.rows.close().await?,
            dead_letters,
        })
    }

    /// Gives the end of what was written.
    async fn write_partition(
        &self,
        source: &mut dyn RowSource,
        partition: i32,
        range: OffsetRange,
        bytes_max: usize,
        files: &mut Files,
    ) -> Result<i64, PassError> {
        let mut at = range.start;
        let mut bytes_left = bytes_max;
        while at < range.end && bytes_left > 0 {
            let read = ReadRange {
                partition,
                from_offset: at,
                to_offset: range.end,
                bytes_max: bytes_left,
            };
            let Some(batch) = source.next(read)? else {
                break;
            };
            let fits = batch.partition == partition
                && batch.first_offset == at
                && (at + 1..=range.end).contains(&batch.end_offset);
            if !fits {
                return Err(PassError::Answer {
                    partition: batch.partition,
                    asked: OffsetRange {
                        start: at,
                        end: range.end,
                    },
                    got: OffsetRange {
                        start: batch.first_offset,
                        end: batch.end_offset,
                    },
                });
            }
            files.rows.write(&to_lake(&batch, &files.arrow)?).await?;
            if batch.dead_letters.is_some() {
                self.write_dead_letters(&batch, files).await?;
            }
            at = batch.end_offset;
            let dead_letters = batch.dead_letters.as_ref();
            let dead_bytes = dead_letters.map_or(0, RecordBatch::get_array_memory_size);
            let bytes = batch.rows.get_array_memory_size() + dead_bytes;
            bytes_left = bytes_left.saturating_sub(bytes);
        }
        Ok(at)
    }

    async fn write_dead_letters(
        &self,
        batch: &RowBatch,
        files: &mut Files,
    ) -> Result<(), PassError> {
        let Some(table) = &self.dead_letters else {
            return Ok(());
        };
        let open = match &mut files.dead_letters {
            Some(open) => open,
            None => {
                let (port, env) = (self.port.as_ref(), self.env.as_ref());
                let opening =
                    DeadLetters::open(port, env, table, self.identity, files.commit_id).await?;
                files.dead_letters.insert(opening)
            }
        };
        open.write(batch).await
    }
}

/// The files of a pass, open.
struct Files {
    commit_id: Uuid,
    arrow: Arc<ArrowSchema>,
    rows: DataFileWriter,
    dead_letters: Option<DeadLetters>,
}

/// What the files took up.
struct Load {
    moved: BTreeMap<i32, OffsetRange>,
    /// `None` when the offsets moved had no rows.
    file: Option<DataFile>,
    /// `None` when none of them was a dead letter.
    dead_letters: Option<Part>,
}

/// The report of a pass that moved nothing.
fn report(ledger: &Ledger, table: &LoadedTable) -> PassReport {
    PassReport {
        moved: BTreeMap::new(),
        rows: 0,
        dead_letters: 0,
        file_bytes: 0,
        mark: TierMark::of(ledger, table),
        more: false,
    }
}
