//! The task that builds the rows of one partition: read, decode, encode, write.
//!
//! ```text
//! log (tail or segments) ─▶ blocks in memory, readable at once ─▶ rows file ─▶ manifest
//! ```
//! - The rows of a keyed topic are the changes of its table, not its records ([`changes`](super::changes)); its
//!   index waits for their files.
//! - It follows the stable end from where the manifest's rows end, so start, backfill and catching
//!   up are the same work. No writer waits for it.
//! - A trickle of records is gathered for [`PACE`] before it is decoded, and small blocks are
//!   merged, because columns pay from about a thousand rows on.
//! - A record that is no row is counted; its offset is answered for without a row. Where the topic's
//!   settings say suspend, it is waited before such a record.
//! - What fails is tried again; rows are behind meanwhile, which the lag shows, and readers decode
//!   for themselves. Only what the manifest does not take is left to the next start.

mod keyed;

use std::sync::Arc;
use std::time::Duration;

use tidelog_coordinator::cluster::settings::InvalidRecords;
use tidelog_storage::ids::Offset;
use tidelog_storage::rows::{EncodedBlock, RowsMeta, RowsWriter, WriteError};
use tidelog_storage::segment::FileId;
use tidelog_storage::{InstallError, Partition, ReadEnd, ReadError, Standing, Store};
use tidelog_typed::{OffsetRange, Wanted};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{debug, error, warn};
use uuid::Uuid;

use super::binder::BindError;
use super::build::{self, BuildError, Built};
use super::format::{BadFormat, Format, Formats};
use super::live::{Alike, LiveBlock, LiveRows};
use crate::broker::Broker;
use crate::owners::keyed::NotReady;
use crate::waiter::Waiter;

/// Time between two steps while there is little to do.
const PACE: Duration = Duration::from_millis(150);
/// Waiting records from which a step does not wait.
const PACE_RECORDS_MAX: i64 = 1_000;
/// Bytes of batches, or of changes, one step reads.
const STEP_BYTES: u32 = 4 << 20;
/// Small blocks at the end that are merged into one.
const SMALL_BLOCKS_MAX: usize = 16;
/// A rows file is written at this size, or smaller where many partitions share the budget.
const FILE_BYTES: usize = 8 << 20;
/// Smaller ones wait for [`FILE_AGE_MAX`]: building so few rows again is cheaper than a file.
const FILE_BYTES_MIN: usize = 64 << 10;
const FILE_AGE: Duration = Duration::from_secs(60);
const FILE_AGE_MAX: Duration = Duration::from_secs(3_600);
/// Before another try of what failed.
const RETRY: Duration = Duration::from_secs(5);

/// See the module.
pub struct Builder {
    broker: Arc<Broker>,
    live: Arc<LiveRows>,
    /// Whether it counts among those that hold blocks.
    is_holding: bool,
    /// The broker's memory was spent at the last step.
    is_pressed: bool,
    /// The columns were not known at the last step, or the table had nothing to give: looking at once
    /// would find the same.
    is_idle: bool,
    /// The record that was last told to stand in the way.
    suspended_at: Option<Offset>,
}

#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Install(#[from] InstallError),
    #[error("nothing to read at offset {0} below the stable end")]
    Hole(Offset),
    #[error("offset {offset} does not decode (tidelog.table.invalid.records=suspend): {reason}")]
    Suspended { offset: Offset, reason: String },
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Format(#[from] BadFormat),
    #[error(transparent)]
    Table(#[from] NotReady),
}

impl StepError {
    /// True where the manifest takes nothing more, so that another file would only take room.
    fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Install(InstallError::Chore(_) | InstallError::Wal(_))
        )
    }
}

impl Builder {
    pub fn new(broker: Arc<Broker>, live: Arc<LiveRows>) -> Self {
        Self {
            broker,
            live,
            is_holding: false,
            is_pressed: false,
            is_idle: false,
            suspended_at: None,
        }
    }

    /// Builds until the broker stops or the topic is gone.
    pub async fn run(mut self) {
        let mut stop = self.broker.shutdown_signal();
        let waiter = Waiter::register(std::iter::once(&self.live.partition));
        let mut not_before = Instant::now();
        while !stop.is_stopping() && self.live.partition.standing() != Standing::Deleted {
            let now = Instant::now();
            let wake_at = match self.backlog() {
                0 => self.file_due(now),
                records if records >= PACE_RECORDS_MAX && !self.is_idle => Some(now),
                _ => Some(not_before),
            };
            if wake_at.is_none_or(|at| at > now) {
                tokio::select! {
                    () = waiter.moved() => {}
                    () = stop.stopping() => {}
                    () = sleep_until(wake_at) => {}
                }
                continue;
            }
            not_before = Instant::now() + PACE;
            let done = self.step().await;
            self.live.set_stalled(done.is_err());
            if done.is_err() {
                self.hold_up_nobody();
            }
            match done {
                Ok(()) | Err(StepError::Read(ReadError::OutOfRange { .. })) => {}
                Err(error) if error.is_final() => {
                    let partition = self.live.partition.id;
                    error!(%partition, %error, "rows are not built until the next start");
                    break;
                }
                Err(error) => {
                    self.complain(&error);
                    tokio::select! {
                        () = stop.stopping() => {}
                        () = tokio::time::sleep(RETRY) => {}
                    }
                }
            }
        }
        let is_worth_a_file = self.live.held().0 >= FILE_BYTES_MIN && !self.live.is_stalled();
        if stop.is_stopping()
            && is_worth_a_file
            && let Err(error) = self.write_file().await
        {
            self.complain(&error);
        }
        self.live.set_stalled(true);
        self.set_holding(false);
        if !stop.is_stopping()
            && let Some(table) = self.table()
        {
            table.give_up_rows();
        }
    }

    /// Records that are no rows yet.
    fn backlog(&self) -> i64 {
        if self.live.partition.standing() != Standing::Open {
            return 0;
        }
        let now_ms = self.broker.now_ms();
        match self.live.lag(now_ms).records {
            0 => {
                self.live.set_behind(None);
                0
            }
            records => {
                self.live.note_behind(now_ms);
                records
            }
        }
    }

    async fn step(&mut self) -> Result<(), StepError> {
        // Before more is built: blocks must not pile up where files cannot be written.
        let now = Instant::now();
        if self.file_due(now).is_some_and(|due| due <= now) {
            self.write_file().await?;
        }
        if self.backlog() > 0 {
            self.build().await?;
            self.merge_small().await?;
        }
        Ok(())
    }

    /// When the blocks in memory are to become a file.
    fn file_due(&self, now: Instant) -> Option<Instant> {
        if self.is_file_wanted() {
            return Some(now);
        }
        let (bytes, since) = self.live.held();
        let since = since?;
        let share = self.broker.rows().share_bytes();
        Some(match bytes {
            _ if bytes >= FILE_BYTES.min(share.max(FILE_BYTES_MIN)) => since,
            FILE_BYTES_MIN.. if self.is_pressed => since,
            FILE_BYTES_MIN.. => since + FILE_AGE,
            _ => since + FILE_AGE_MAX,
        })
    }

    /// Builds blocks of the next records, or changes.
    async fn build(&mut self) -> Result<(), StepError> {
        let partition = Arc::clone(&self.live.partition);
        let base = self.live.end();
        let first = base.max(partition.marks().log_start);
        let started_ms = self.broker.now_ms();
        let binder = self.broker.rows().binder();
        if let Err(error) = binder.refresh(self.broker.rows(), &partition).await {
            debug!(partition = %partition.id, %error, "what is known of writers is not renewed");
        }
        let (formats, invalid) = self.formats()?;
        self.is_idle = formats.current().is_none();
        let Some(format) = formats.current().cloned() else {
            self.hold_up_nobody();
            return Ok(self.found(&partition, first).await?);
        };
        let built = match format.schema.is_changelog() {
            true => self.build_changes(&format, base).await?,
            false => Some(self.build_records(&format, invalid, first, base).await?),
        };
        let Some(built) = built else {
            self.is_idle = true;
            return Ok(());
        };
        self.count(&built);
        let end = built.end;
        let charged = |block| self.charged(block, &format);
        let blocks = built.blocks.into_iter().map(charged);
        let blocks: Vec<_> = blocks.collect();
        self.is_pressed = blocks.iter().any(|live| live.charge.is_none());
        self.set_holding(true);
        self.live.push(blocks, end);
        if built.suspended.is_none() {
            // Whatever is behind now came after the look at the marks.
            self.live.set_behind(Some(started_ms));
        }
        match (built.wanted, built.suspended) {
            (Some(wanted), _) => Ok(self.teach(&partition, end, wanted).await?),
            (None, Some(reason)) => Err(StepError::Suspended {
                offset: end,
                reason,
            }),
            (None, None) => Ok(()),
        }
    }

    async fn build_records(
        &self,
        format: &Arc<Format>,
        invalid: InvalidRecords,
        first: Offset,
        base: Offset,
    ) -> Result<Built, StepError> {
        let partition = &self.live.partition;
        let _permit = self.broker.rows().permit().await;
        let bytes = STEP_BYTES.into();
        let plan = partition.plan_read_to(ReadEnd::StableEnd, first, bytes, true)?;
        let pieces = self.broker.log().load(plan).await?;
        let committed = partition.committed(first, pieces)?;
        let (index, format) = (partition.id.index, Arc::clone(format));
        let built = run_blocking(move || -> Result<Option<Built>, BuildError> {
            let range = OffsetRange {
                first,
                end: committed.end,
            };
            if range.end <= first {
                return Ok(None);
            }
            let build = match invalid {
                InvalidRecords::Suspend => build::build_before_undecodable,
                InvalidRecords::DeadLetter | InvalidRecords::Drop | InvalidRecords::Reject => {
                    build::build
                }
            };
            build(&format, index, range, base, &committed.batches).map(Some)
        });
        built.await?.ok_or(StepError::Hole(first))
    }

    /// Has the columns found out, which nobody knows yet.
    async fn found(&self, partition: &Partition, first: Offset) -> Result<(), BindError> {
        let binder = self.broker.rows().binder();
        binder.found(self.broker.rows(), partition, first).await
    }

    /// Lets the table learn what its record at `offset` takes.
    async fn teach(
        &self,
        partition: &Partition,
        offset: Offset,
        wanted: Wanted,
    ) -> Result<(), BindError> {
        let binder = self.broker.rows().binder();
        binder
            .teach(self.broker.rows(), partition, offset, wanted)
            .await
    }

    /// How records become rows at this moment, and what becomes of those that do not.
    fn formats(&self) -> Result<(Arc<Formats>, InvalidRecords), StepError> {
        let view = self.broker.cluster().view();
        let topic = Uuid::from_bytes(self.live.partition.id.topic.0);
        let topic = view.image.topic_by_id(topic).ok_or(ReadError::Deleted)?;
        let table = &view.topic_settings(topic).table;
        let formats = self.broker.rows().formats(topic, table)?;
        Ok((formats, table.invalid_records))
    }

    fn charged(&self, block: EncodedBlock, format: &Arc<Format>) -> LiveBlock {
        let charge = self.broker.ledger().try_reserve(block.size_bytes());
        LiveBlock {
            block,
            format: Arc::clone(format),
            charge,
        }
    }

    fn count(&self, built: &Built) {
        let metrics = self.broker.metrics();
        metrics.rows_built.inc_by(built.rows);
        metrics.records_undecodable.inc_by(built.undecodable);
        if let Some((offset, reason)) = &built.first_undecodable {
            let (partition, count) = (self.live.partition.id, built.undecodable);
            debug!(%partition, offset, reason, count, "records that are no rows");
        }
    }

    async fn merge_small(&self) -> Result<(), StepError> {
        let small = self.live.small_tail();
        let Some(small) = small.filter(|small| small.blocks.len() >= SMALL_BLOCKS_MAX) else {
            return Ok(());
        };
        let (count, format) = (small.blocks.len(), Arc::clone(&small.format));
        let _permit = self.broker.rows().permit().await;
        let merged = run_blocking(move || build::merge(&small.format, &small.blocks)).await?;
        let merged = merged.into_iter().map(|block| self.charged(block, &format));
        self.live.replace_newest(count, merged.collect());
        Ok(())
    }

    /// Writes the oldest blocks, as far as they are of one schema, into a file and has the manifest
    /// name it.
    async fn write_file(&mut self) -> Result<(), StepError> {
        let Some(oldest) = self.oldest()? else {
            return Ok(());
        };
        if let Some(table) = self.table() {
            table.begin_rows();
        }
        let from = self.live.partition.rows_to();
        let partition = Arc::clone(&self.live.partition);
        let store = Arc::clone(self.broker.log().engine().store());
        let permit = self.broker.rows().permit().await;
        let written = run_blocking(move || -> Result<RowsMeta, StepError> {
            let merged = build::merge_for_file(&oldest.format, &oldest.blocks)?;
            let id = partition.id;
            let mut writer = start_file(&store, id, &oldest.format, from)?;
            for block in &merged {
                writer.push(block)?;
            }
            Ok(writer.finish(oldest.end)?)
        });
        let meta = written.await?;
        let rows_to = meta.end_offset;
        self.install(meta).await?;
        drop(permit);
        self.live.drop_below(rows_to);
        if let Some(table) = self.table() {
            table.release_rows();
        }
        self.set_holding(self.live.held().0 > 0);
        self.is_pressed = false;
        self.broker.metrics().rows_files.inc();
        Ok(())
    }

    /// What the next file is to hold: without blocks, if somebody waits for one, that there is no row.
    fn oldest(&self) -> Result<Option<Alike>, StepError> {
        let oldest = self.live.oldest();
        if oldest.is_some() || !self.is_file_wanted() {
            return Ok(oldest);
        }
        let format = self.formats()?.0.current().cloned();
        Ok(format.map(|format| Alike {
            format,
            blocks: Vec::new(),
            end: self.live.end(),
        }))
    }

    async fn install(&self, meta: RowsMeta) -> Result<(), InstallError> {
        let (done, outcome) = oneshot::channel();
        let partition = Arc::clone(&self.live.partition);
        let engine = self.broker.log().engine();
        engine.install_rows(
            partition,
            meta,
            Box::new(|installed| {
                // The builder waits, or the process ends.
                let _ = done.send(installed);
            }),
        );
        outcome.await.unwrap_or(Err(InstallError::Closing))
    }

    fn set_holding(&mut self, is_holding: bool) {
        if self.is_holding != is_holding {
            self.is_holding = is_holding;
            self.broker.rows().count_holding(is_holding);
        }
    }

    fn complain(&mut self, error: &StepError) {
        if let StepError::Suspended { offset, .. } = error
            && self.suspended_at.replace(*offset) == Some(*offset)
        {
            return;
        }
        let gone = matches!(
            error,
            StepError::Read(ReadError::Deleted)
                | StepError::Install(InstallError::Deleted)
                // It has complained itself.
                | StepError::Table(_)
        );
        if !gone {
            let partition = self.live.partition.id;
            warn!(%partition, %error, "rows are not built; trying again");
        }
    }
}

fn start_file(
    store: &Store,
    partition: tidelog_storage::ids::PartitionId,
    format: &Format,
    from: Offset,
) -> Result<RowsWriter, WriteError> {
    let file = FileId((store.fresh_id)());
    let shape = Arc::clone(&format.shape);
    let disk = Arc::clone(&store.disk);
    RowsWriter::create(disk, file, partition, format.schema_id, shape, from)
}

/// Builders run few at a time (see [`Rows::permit`](super::Rows::permit)), so this takes no bound.
async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
