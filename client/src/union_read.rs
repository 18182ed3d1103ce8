//! All rows of an append table, each once: first those in the lake, then those the log goes on with.
//!
//! One answer of the broker names the snapshot, where it ends in each partition, and where rows end;
//! the lake's part is read from the files of exactly that snapshot and the log's part from the ends
//! on. A lease holds both in place meanwhile.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use arrow_schema::SchemaRef;
use futures::Stream;
use iceberg::io::FileIO;
use tidelog_tiering::files::LocalFiles;

use crate::columns::Columns;
use crate::error::{Error, Result};
use crate::filter::{Filter, RowFilter};
use crate::lake::{Lake, Wanted};
use crate::lease::LeaseKeeper;
use crate::stream::{RowStream, Rows};
use crate::table::Table;
use crate::union::UnionPlan;

const LEASE: Duration = Duration::from_secs(60);

/// A union read in the making: see [`Table::union_read`]. As it is, it reads all columns.
#[derive(Debug, Clone)]
pub struct UnionRead {
    table: Table,
    columns: Option<Vec<String>>,
    filter: Option<Filter>,
    lease: Duration,
    files: Option<FileIO>,
}

/// The rows of a table at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnionCount {
    /// The Iceberg snapshot read; `None` if all rows are in the log.
    pub snapshot_id: Option<i64>,
    pub lake_rows: u64,
    pub log_rows: u64,
}

impl UnionCount {
    /// All rows.
    pub fn total(&self) -> u64 {
        self.lake_rows + self.log_rows
    }
}

/// Rows of lake and log: see [`UnionRead::open`].
pub struct UnionStream {
    plan: UnionPlan,
    /// `None` when it was read to the end.
    lake: Option<Lake>,
    queue: VecDeque<Rows>,
    log: RowStream,
    lease: Option<LeaseKeeper>,
}

impl Table {
    /// A read of all rows there are now, from the lake and from the log.
    pub fn union_read(&self) -> UnionRead {
        UnionRead {
            table: self.clone(),
            columns: None,
            filter: None,
            lease: LEASE,
            files: None,
        }
    }
}

impl UnionRead {
    /// Only these columns, named as for [`Scan::columns`](crate::Scan::columns).
    pub fn columns(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.columns = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Only rows of which this is true, as for [`Scan::filter`](crate::Scan::filter). Those of the
    /// lake are told apart here.
    pub fn filter(mut self, filter: impl Into<Filter>) -> Self {
        self.filter = Some(filter.into());
        self
    }

    /// How long snapshot and log stay in place after the last sign of life from here. 60 s; it is
    /// renewed while the read goes on. With zero nothing holds them.
    pub fn lease(mut self, lasts: Duration) -> Self {
        self.lease = lasts;
        self
    }

    /// Where the lake's files are read. Without it they must be on this machine (`file://`).
    pub fn files(mut self, io: FileIO) -> Self {
        self.files = Some(io);
        self
    }

    /// Makes the cut and begins to read.
    ///
    /// # Errors
    /// [`Error::Gap`] if rows are in neither lake nor log; [`Error::Lake`] if the snapshot cannot be
    /// read, or somebody has deleted rows from it; [`Error::Unsupported`] where there is no
    /// UnionReadOffsets; [`Error::Broker`] with INVALID_REQUEST for a topic that is not tiered;
    /// [`Error::UnknownColumn`]; [`Error::Filter`].
    pub async fn open(self) -> Result<UnionStream> {
        let wanted = Some(self.lease).filter(|lasts| !lasts.is_zero());
        let mut plan = self.table.union_plan(wanted).await?;
        let keep = |lease| LeaseKeeper::start(self.table.clone(), lease);
        let lease = plan.lease.map(keep);
        close_gaps(&self.table, &mut plan)?;
        let mut tail = plan.tail(&self.table);
        if let Some(names) = self.columns {
            tail = tail.columns(names);
        }
        if let Some(filter) = self.filter.clone() {
            tail = tail.filter(filter);
        }
        let log = tail.open().await?;
        let local = || LocalFiles::file_io(Path::new("/"));
        let io = self.files.unwrap_or_else(local);
        let wanted = of_lake(&self.table, log.columns(), self.filter.as_ref())?;
        let lake = Lake::open(self.table.name(), io, &plan, wanted).await?;
        Ok(UnionStream {
            plan,
            lake: Some(lake),
            queue: VecDeque::new(),
            log,
            lease,
        })
    }

    /// Counts the rows without reading them, as far as that can be done: in the lake files count by
    /// what is recorded of them, in the log no column travels.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn count(self) -> Result<UnionCount> {
        let nothing: [&str; 0] = [];
        let mut stream = self.columns(nothing).open().await?;
        let lake_rows = match stream.lake.take() {
            Some(lake) => lake.count().await?,
            None => 0,
        };
        let mut log_rows = 0;
        while let Some(rows) = stream.next().await? {
            log_rows += rows.batch.num_rows() as u64;
        }
        Ok(UnionCount {
            snapshot_id: stream.plan.snapshot_id,
            lake_rows,
            log_rows,
        })
    }
}

impl UnionStream {
    /// The schema of every batch: that of the log, system columns by the log's names.
    pub fn schema(&self) -> &SchemaRef {
        self.log.schema()
    }

    /// The cut that is read.
    pub fn plan(&self) -> &UnionPlan {
        &self.plan
    }

    /// The next rows; `None` when all were read. Dropping the future loses nothing.
    ///
    /// First come the lake's, of which [`Rows::first_offset`] and [`Rows::next_offset`] only frame
    /// the batch: rows of a partition ascend within it, and from batch to batch as far as nobody
    /// rewrote the lake's files. Then come the log's, as in a [`RowStream`].
    ///
    /// # Errors
    /// [`Error::Lake`], which ends the read, and those of [`RowStream::next`].
    pub async fn next(&mut self) -> Result<Option<Rows>> {
        Ok(match self.ready().await? {
            true => self.pop(),
            false => None,
        })
    }

    /// Waits until [`pop`](Self::pop) has rows; false when all were read.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn ready(&mut self) -> Result<bool> {
        loop {
            if !self.queue.is_empty() {
                return Ok(true);
            }
            let Some(lake) = &mut self.lake else { break };
            match lake.next().await? {
                Some(rows) => self.queue.extend(rows),
                None => self.lake = None,
            }
        }
        if self.log.ready().await? {
            return Ok(true);
        }
        if let Some(lease) = self.lease.take() {
            lease.release().await;
        }
        Ok(false)
    }

    /// The next rows, if they have come already.
    pub fn pop(&mut self) -> Option<Rows> {
        self.queue.pop_front().or_else(|| self.log.pop())
    }

    /// The same as a [`Stream`], which ends after an error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Rows>> + Send {
        futures::stream::unfold(Some(self), |stream| async {
            let mut stream = stream?;
            match stream.next().await {
                Ok(rows) => Some((Ok(rows?), Some(stream))),
                Err(error) => Some((Err(error), None)),
            }
        })
    }
}

/// What is read of the lake, so that its rows are those of the log.
fn of_lake(table: &Table, columns: &Columns, filter: Option<&Filter>) -> Result<Wanted> {
    let schemas = table.schemas();
    let resolve = |filter| RowFilter::resolve(table.name(), filter, &schemas);
    let filter = filter.map(resolve).transpose()?;
    let looked_at = filter.as_ref().map(RowFilter::columns).unwrap_or_default();
    let read = looked_at.iter().try_fold(columns.clone(), |read, column| {
        let unknown = || Error::UnknownColumn {
            table: table.name().to_owned(),
            column: column.clone(),
        };
        read.and(&schemas, column).ok_or_else(unknown)
    })?;
    Ok(Wanted {
        columns: columns.clone(),
        read,
        filter,
    })
}

/// Lake and log must meet. Without a snapshot there is only the log, from where it begins.
fn close_gaps(table: &Table, plan: &mut UnionPlan) -> Result<()> {
    for (partition, cut) in &mut plan.partitions {
        if cut.log_start_offset <= cut.lake_end {
            continue;
        }
        if plan.snapshot_id.is_some() {
            return Err(Error::Gap {
                table: table.name().to_owned(),
                partition: *partition,
                lake_end: cut.lake_end,
                log_start_offset: cut.log_start_offset,
            });
        }
        cut.lake_end = cut.log_start_offset;
    }
    Ok(())
}
