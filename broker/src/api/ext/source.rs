//! Reading the rows of one partition, wherever they are.
//!
//! ```text
//! rows files          │ blocks in memory      │ built next       stable end
//!   cut by ranges     │   cut by ranges       │   waited for         │
//! ```
//! A reader ahead of its table's builder, and every reader of a topic that is no table, has its rows
//! decoded for itself. Not so the changelog of a keyed table: nobody but the builder knows it.

use std::sync::Arc;

use arrow_schema::ArrowError;
use bytes::Bytes;
use tidelog_predicate::WrongRows;
use tidelog_protocol_ext::ext::columnar_fetch::Run;
use tidelog_storage::ids::Offset;
use tidelog_storage::rows::{Piece, ProjectError, ProjectedMessage, Projection};
use tidelog_storage::{Committed, Marks, Partition, ReadEnd, ReadError};
use tidelog_typed::OffsetRange;

use super::columns::Columns;
use super::filter::{Block, Filter, Looked};
use crate::api::data::compute::compute;
use crate::jobs::rows::build::{self, BuildError};
use crate::jobs::rows::format::Format;
use crate::jobs::rows::live::{LiveRows, LiveView};
use crate::log::Log;
use crate::owners::keyed::{NotReady, Table};
use crate::server::read_budget::{Grant, ReadBudget};

/// Most record batches of one partition in an answer.
const MESSAGES_MAX: usize = 1_024;
/// Most bytes of the log decoded for one reader at a time.
const DECODE_BYTES_MAX: u64 = 4 << 20;

/// Why rows could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Project(#[from] ProjectError),
    #[error(transparent)]
    Filter(#[from] WrongRows),
    #[error("picking rows: {0}")]
    Pick(#[from] ArrowError),
    #[error("rows of schema {0}, which the table does not have")]
    Schema(i32),
    #[error(transparent)]
    Table(#[from] NotReady),
}

/// The rows of one partition for one request. Cheap to clone.
#[derive(Clone)]
pub struct Source {
    pub partition: Arc<Partition>,
    /// `None`: the topic is no table, or became one this moment.
    pub live: Option<Arc<LiveRows>>,
    /// How records become rows now; `None` for a table that has no columns yet, nor rows.
    pub format: Option<Arc<Format>>,
    pub columns: Arc<Columns>,
    pub filter: Option<Arc<Filter>>,
    /// Rows are the changes of a keyed table.
    pub is_changelog: bool,
    /// That table; `None` also before it is opened.
    pub table: Option<Arc<Table>>,
}

/// What may be answered.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    pub max_bytes: u64,
    /// The first record batch comes however large it is.
    pub at_least_one: bool,
    /// How much may be looked at for a filter; one block however large it is.
    pub look_bytes: u64,
}

impl Share {
    fn within(self, grant: &Grant) -> Self {
        Self {
            max_bytes: self.max_bytes.min(grant.max_bytes),
            ..self
        }
    }
}

/// What there is from an offset on, as far as it is known without reading.
#[derive(Debug, Clone, Copy)]
pub struct Outlook {
    /// Rows, exact unless a block begins before the offset or the log is to be decoded.
    pub rows: u64,
    /// Next offset after what can be answered for.
    pub end: Offset,
}

/// Rows, read.
#[derive(Debug)]
pub struct Found {
    pub next_offset: Offset,
    pub runs: Vec<Run>,
    pub bytes: u64,
    pub row_count: u64,
    pub looked: Looked,
}

impl Source {
    /// What a read from `offset` would find.
    pub fn outlook(&self, offset: Offset, marks: &Marks) -> Outlook {
        if self.is_ahead(offset) {
            return Outlook {
                rows: (marks.stable_end - offset).max(0).unsigned_abs(),
                end: marks.stable_end,
            };
        }
        // In this order; see `LiveRows`.
        let blocks = self.live.as_ref().map(|live| live.view(offset));
        let files = self.partition.rows_from(offset);
        let in_files = files.files.iter().flat_map(|file| {
            let blocks = file.blocks_from(offset).iter();
            blocks.map(|block| (block.rows, block.end_offset))
        });
        let layouts = blocks.iter().flat_map(|view| &view.blocks);
        let in_memory = layouts
            .map(|block| block.layout())
            .filter(|layout| layout.base_offset() >= files.rows_to)
            .map(|layout| (layout.rows(), layout.end_offset()));
        // A change has up to two rows.
        let per_offset = if self.is_changelog { 2 } else { 1 };
        let rows = |(rows, end): (u64, Offset)| {
            rows.min((end - offset).max(0).unsigned_abs() * per_offset)
        };
        Outlook {
            rows: in_files.chain(in_memory).map(rows).sum(),
            end: blocks.map_or(0, |view| view.end).max(files.rows_to),
        }
    }

    /// Reads from `offset` on, which lies in the log. What comes from the disk is charged to `budget`.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn read(
        &self,
        log: &Log,
        budget: &ReadBudget,
        offset: Offset,
        share: Share,
    ) -> Result<Found, SourceError> {
        if self.is_ahead(offset) {
            return self.decode(log, budget, offset, share).await;
        }
        let blocks = self.live.as_ref().map(|live| live.view(offset));
        let built_to = blocks.as_ref().map_or(0, |view| view.end);
        if let Some(lost) = self.table.as_ref().and_then(|table| table.lost())
            && offset >= built_to
        {
            return Err(lost.into());
        }
        let in_memory = offset >= self.partition.rows_to();
        let first = blocks.as_ref().and_then(|view| view.blocks.first());
        let cuts_no_block = first.is_none_or(|block| block.layout().base_offset() >= offset);
        if in_memory && self.filter.is_some() {
            let source = self.clone();
            return compute(move || source.cut(offset, share, blocks)?.load(None)).await;
        }
        if in_memory && cuts_no_block {
            return self.cut(offset, share, blocks)?.load(None);
        }
        let Some(grant) = budget.take(share.max_bytes, share.at_least_one).await else {
            return Taken::new(offset, share).load(None);
        };
        let share = share.within(&grant);
        let source = self.clone();
        log.blocking(move || source.cut(offset, share, blocks)?.load(Some(&grant)))
            .await
    }

    /// Whether the rows at `offset` are in no file and nobody builds them next.
    fn is_ahead(&self, offset: Offset) -> bool {
        if self.is_changelog {
            return false;
        }
        let built = self
            .live
            .as_ref()
            .map(|live| (live.end(), live.is_stalled()));
        match built {
            Some((end, is_stalled)) => offset > end || (is_stalled && offset == end),
            None => {
                let is_table = self.format.as_ref().is_none_or(|format| format.is_table);
                !is_table || offset >= self.partition.rows_to()
            }
        }
    }

    /// Cuts the wanted columns out of files, then out of blocks in memory. Reads headers only,
    /// unless `offset` lies inside a block or there is a filter.
    fn cut(
        &self,
        offset: Offset,
        share: Share,
        blocks: Option<LiveView>,
    ) -> Result<Taken, SourceError> {
        let mut taken = Taken::new(offset, share);
        loop {
            let view = self.partition.rows_from(taken.next);
            if view.files.is_empty() {
                break;
            }
            for file in &view.files {
                let schema_id = file.meta().schema_id;
                for block in file.blocks_from(taken.next) {
                    let block = Block::File(file, block);
                    if !self.take(schema_id, block, &mut taken)? {
                        return Ok(taken);
                    }
                }
                taken.next = taken.next.max(file.meta().end_offset);
            }
        }
        let Some(view) = blocks else {
            return Ok(taken);
        };
        for (block, format) in view.blocks.iter().zip(&view.formats) {
            if block.layout().end_offset() <= taken.next {
                continue;
            }
            if !self.take(format.schema_id, Block::Memory(block), &mut taken)? {
                return Ok(taken);
            }
        }
        taken.next = taken.next.max(view.end);
        Ok(taken)
    }

    /// Decodes the log for this reader.
    async fn decode(
        &self,
        log: &Log,
        budget: &ReadBudget,
        offset: Offset,
        share: Share,
    ) -> Result<Found, SourceError> {
        let max_bytes = share.max_bytes.min(DECODE_BYTES_MAX);
        let Some(grant) = budget.take(max_bytes, share.at_least_one).await else {
            return Taken::new(offset, share).load(None);
        };
        let max_bytes = max_bytes.min(grant.max_bytes);
        let plan = self.partition.plan_read_to(
            ReadEnd::StableEnd,
            offset,
            max_bytes,
            share.at_least_one,
        )?;
        let pieces = log.load(plan).await?;
        let committed = self.partition.committed(offset, pieces)?;
        let source = self.clone();
        compute(move || {
            source
                .decode_committed(&committed, offset, share)?
                .load(Some(&grant))
        })
        .await
    }

    fn decode_committed(
        &self,
        committed: &Committed,
        first: Offset,
        share: Share,
    ) -> Result<Taken, SourceError> {
        let mut taken = Taken::new(first, share);
        let Some(format) = &self.format else {
            return Ok(taken);
        };
        let range = OffsetRange {
            first,
            end: committed.end.max(first),
        };
        let index = self.partition.id.index;
        let built = build::build(format, index, range, first, &committed.batches)?;
        taken.looked.bytes += committed
            .batches
            .iter()
            .map(|b| b.len() as u64)
            .sum::<u64>();
        for block in &built.blocks {
            if !self.take(format.schema_id, Block::Memory(block), &mut taken)? {
                return Ok(taken);
            }
        }
        taken.next = built.end;
        Ok(taken)
    }

    /// Takes what is wanted of a block; false if there is no room for it, enough was looked at, or the
    /// table has changed since: the next request knows the newer columns.
    fn take(
        &self,
        schema_id: i32,
        block: Block<'_>,
        taken: &mut Taken,
    ) -> Result<bool, SourceError> {
        if self.columns.is_newer(schema_id) {
            return Ok(false);
        }
        let projection = self.projection(schema_id)?;
        let message = match &self.filter {
            None => block.project(projection, taken.next)?,
            Some(_) if taken.has_looked_enough() => return Ok(false),
            Some(filter) => {
                filter.project(schema_id, block, projection, taken.next, &mut taken.looked)?
            }
        };
        Ok(taken.take(schema_id, message))
    }

    fn projection(&self, schema_id: i32) -> Result<&Projection, SourceError> {
        self.columns
            .of(schema_id)
            .ok_or(SourceError::Schema(schema_id))
    }
}

/// Messages taken within a share, not loaded yet.
struct Taken {
    share: Share,
    messages: Vec<(i32, ProjectedMessage)>,
    bytes: u64,
    /// Everything below is answered for.
    next: Offset,
    looked: Looked,
}

impl Taken {
    fn new(next: Offset, share: Share) -> Self {
        Self {
            share,
            messages: Vec::new(),
            bytes: 0,
            next,
            looked: Looked::default(),
        }
    }

    fn has_looked_enough(&self) -> bool {
        self.looked.blocks() > 0 && self.looked.bytes >= self.share.look_bytes
    }

    /// Takes the next message; false if there is no room for it.
    fn take(&mut self, schema_id: i32, message: ProjectedMessage) -> bool {
        let end = message.end_offset;
        if message.rows > 0 {
            let first = self.share.at_least_one && self.messages.is_empty();
            let bytes = self.bytes + message.len();
            let is_full = bytes > self.share.max_bytes || self.messages.len() == MESSAGES_MAX;
            if is_full && !first {
                return false;
            }
            self.bytes = bytes;
            self.messages.push((schema_id, message));
        }
        self.next = end;
        true
    }

    /// Reads what lies in files, on the account of `grant`; what lies in memory is shared.
    fn load(self, grant: Option<&Grant>) -> Result<Found, SourceError> {
        let mut found = Found {
            next_offset: self.next,
            runs: Vec::new(),
            bytes: self.bytes,
            row_count: 0,
            looked: self.looked,
        };
        for (schema_id, message) in self.messages {
            found.row_count += message.rows;
            let run = match found.runs.last_mut() {
                Some(run) if run.schema_id == schema_id => run,
                _ => found.runs.push_mut(Run {
                    schema_id,
                    first_offset: message.first_offset,
                    ..Run::default()
                }),
            };
            run.last_offset = message.end_offset - 1;
            // A block has at most some thousands, and blocks are counted.
            run.row_count += i32::try_from(message.rows).unwrap_or(i32::MAX);
            run.messages.push(message.header.clone());
            for piece in &message.body {
                let bytes = loaded(piece)?;
                run.messages.push(match grant {
                    Some(grant) => grant.pay_for(bytes),
                    None => bytes,
                });
            }
            run.checksums.extend(&message.checksums);
        }
        Ok(found)
    }
}

pub(super) fn loaded(piece: &Piece) -> Result<Bytes, SourceError> {
    match piece {
        Piece::Memory(bytes) => Ok(bytes.clone()),
        Piece::File { .. } => {
            let mut bytes = Vec::new();
            piece.read_into(&mut bytes).map_err(ProjectError::Io)?;
            Ok(bytes.into())
        }
    }
}
