//! All rows of a keyed table as of one offset for each partition, and totals of them.
//!
//! ```text
//! partitions to read ─▶ ask the first ones ─▶ rows, and where to go on ─▶ ask again …
//! ```
//! The broker keeps the snapshot that a scan goes on in. If it cannot (it was restarted and the table
//! has changed since, or nobody asked for minutes), the scan ends with FETCH_SESSION_ID_NOT_FOUND:
//! what came before is right, and does not go with what a new scan would see.

mod pass;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_schema::SchemaRef;
use futures::Stream;
use tidelog_predicate::{Function, Total, TotalError, Totals};
use tidelog_protocol_ext::ErrorCode;
use tidelog_protocol_ext::ext::columnar_fetch::Run;
use tidelog_protocol_ext::ext::scan::{PartitionScan, ScanRequest};

use self::pass::Pass;
use crate::columnar;
use crate::columns::Columns;
use crate::config::Retry;
use crate::error::{Error, Result};
use crate::fault::RowsFault;
use crate::filter::{Filter, RowFilter};
use crate::source::damaged;
use crate::table::Table;

/// Scans for totals that are begun again because a snapshot is gone.
const ATTEMPTS: usize = 5;

/// A read in the making: see [`Table::scan_table`]. As it is, it reads all columns of all rows of
/// all partitions.
#[derive(Debug, Clone)]
pub struct TableScan {
    table: Table,
    columns: Option<Vec<String>>,
    filter: Option<Filter>,
    partitions: Option<Vec<i32>>,
    limit: Option<u64>,
    max_bytes: i32,
    min_offsets: BTreeMap<i32, i64>,
    max_wait: Duration,
}

/// Rows of one partition, each of another key.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyedRows {
    pub partition: i32,
    /// The snapshot: every change below is in it, and none at or above it. The same for all rows of
    /// a partition.
    pub reflected_offset: i64,
    /// At least one row, in the order of their keys' bytes, of [`TableRows::schema`].
    pub batch: RecordBatch,
}

/// Rows of a scan, partition by partition: see [`TableScan::open`].
#[derive(Debug)]
pub struct TableRows {
    pass: Pass,
    columns: Columns,
    limit: Option<u64>,
    queue: VecDeque<KeyedRows>,
}

impl TableScan {
    pub(crate) fn new(table: Table) -> Self {
        Self {
            table,
            columns: None,
            filter: None,
            partitions: None,
            limit: None,
            max_bytes: 8 << 20,
            min_offsets: BTreeMap::new(),
            max_wait: Duration::from_secs(1),
        }
    }

    /// Only these columns, as in [`Scan::columns`](crate::Scan::columns).
    pub fn columns(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.columns = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Only rows of which this is true, as in [`Scan::filter`](crate::Scan::filter).
    pub fn filter(mut self, filter: impl Into<Filter>) -> Self {
        self.filter = Some(filter.into());
        self
    }

    /// Only these partitions. Otherwise all there are when the scan is opened.
    pub fn partitions(mut self, partitions: impl IntoIterator<Item = i32>) -> Self {
        self.partitions = Some(partitions.into_iter().collect());
        self
    }

    /// At most so many rows, whichever they are. Of no effect on totals.
    pub fn limit(mut self, rows: u64) -> Self {
        self.limit = Some(rows);
        self
    }

    /// The most bytes of rows in one answer, nearly. 8 MiB.
    pub fn max_bytes(mut self, bytes: i32) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// As [`Lookup::reflecting`](crate::Lookup::reflecting).
    pub fn reflecting(mut self, offsets: impl IntoIterator<Item = (i32, i64)>) -> Self {
        self.min_offsets = offsets.into_iter().collect();
        self
    }

    /// How long one answer may wait for that, or for an index that is being loaded. 1 s.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait;
        self
    }

    /// Begins to read.
    ///
    /// # Errors
    /// [`Error::UnknownColumn`], [`Error::Filter`].
    pub async fn open(self) -> Result<TableRows> {
        Ok(TableRows {
            columns: self.table.columns(self.columns.as_deref())?,
            pass: self.pass().await?,
            limit: self.limit,
            queue: VecDeque::new(),
        })
    }

    /// How many keys have a row; with a filter, how many rows it is true of.
    ///
    /// # Errors
    /// As [`totals`](Self::totals).
    pub async fn count(self) -> Result<u64> {
        let count = Total {
            function: Function::Count,
            column: None,
        };
        let totals = self.totals([count]).await?;
        let count = totals.column(0).as_primitive::<Int64Type>().value(0);
        Ok(count.unsigned_abs())
    }

    /// Totals of all rows, one row with a column for each. A snapshot that is gone is no error: all is
    /// begun again then.
    ///
    /// # Errors
    /// [`Error::Total`] for columns without such a total, and one that is too great;
    /// [`Error::Unsupported`] where there is no Scan; [`Error::Broker`] with INVALID_REQUEST for a
    /// table without a key.
    pub async fn totals(self, totals: impl IntoIterator<Item = Total>) -> Result<RecordBatch> {
        let asked: Vec<_> = totals.into_iter().collect();
        let schema = self.table.schema();
        let bound = Totals::bind(&asked, &schema).map_err(|error| failed(&self.table, &error))?;
        let mut attempts = 1..ATTEMPTS;
        loop {
            match self.pass().await?.totals(&asked, bound.clone()).await {
                Err(error) if is_gone(&error) && attempts.next().is_some() => {}
                done => return done,
            }
        }
    }

    async fn pass(&self) -> Result<Pass> {
        let table = &self.table;
        let resolve = |filter| RowFilter::resolve(table.name(), filter, &table.schemas());
        let filter = self.filter.as_ref().map(resolve).transpose()?;
        let partitions = match &self.partitions {
            Some(chosen) => chosen.clone(),
            None => {
                let view = table.client().topic(table.name()).await?;
                view.leaders.into_keys().collect()
            }
        };
        Ok(Pass {
            address: table.any_leader().await?,
            table: table.clone(),
            filter,
            max_bytes: self.max_bytes,
            min_offsets: self.min_offsets.clone(),
            max_wait: self.max_wait,
            left: partitions.into_iter().map(|one| (one, None)).collect(),
            undecodable: 0,
            retry: Retry::new(),
        })
    }
}

impl TableRows {
    /// The schema of every batch.
    pub fn schema(&self) -> &SchemaRef {
        self.columns.target()
    }

    /// Rows passed over so far because their values are not of the table's schema.
    pub fn undecodable(&self) -> u64 {
        self.pass.undecodable
    }

    /// The next rows; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Broker`] with FETCH_SESSION_ID_NOT_FOUND if the snapshot is gone;
    /// [`Error::Unsupported`] where there is no Scan.
    pub async fn next(&mut self) -> Result<Option<KeyedRows>> {
        loop {
            if let Some(rows) = self.queue.pop_front() {
                return Ok(Some(rows));
            }
            if self.pass.left.is_empty() || self.limit == Some(0) {
                return Ok(None);
            }
            let request = ScanRequest {
                max_rows: self
                    .limit
                    .map_or(-1, |rows| i64::try_from(rows).unwrap_or(-1)),
                projection: Some(self.columns.wire()),
                ..self.pass.request()
            };
            let (answer, schema_id) = self.pass.ask(request).await?;
            for partition in answer {
                self.take(partition, schema_id).await?;
            }
        }
    }

    /// The same as a [`Stream`], which ends after an error.
    pub fn into_stream(self) -> impl Stream<Item = Result<KeyedRows>> + Send {
        futures::stream::unfold(Some(self), |rows| async {
            let mut rows = rows?;
            match rows.next().await {
                Ok(next) => Some((Ok(next?), Some(rows))),
                Err(error) => Some((Err(error), None)),
            }
        })
    }

    async fn take(&mut self, found: PartitionScan, schema_id: i32) -> Result<()> {
        if found.row_count == 0 {
            return Ok(());
        }
        let table = &self.pass.table;
        let fault = |fault| damaged(table, found.partition, found.reflected_offset, fault);
        let too_many = || fault(RowsFault::Answer("a partition has too many rows"));
        let run = Run {
            schema_id,
            row_count: i32::try_from(found.row_count).map_err(|_| too_many())?,
            messages: found.messages.clone(),
            ..Run::default()
        };
        let schema = table.schema_by_id(schema_id).await?;
        let bytes_max = table.client().config().decoded_bytes_max;
        let batch = columnar::decode(&self.columns, &schema, &run, bytes_max).map_err(fault)?;
        if let Some(limit) = &mut self.limit {
            let left = limit.checked_sub(batch.num_rows() as u64);
            *limit = left.ok_or_else(too_many)?;
        }
        self.queue.push_back(KeyedRows {
            partition: found.partition,
            reflected_offset: found.reflected_offset,
            batch,
        });
        Ok(())
    }
}

fn failed(table: &Table, error: &TotalError) -> Error {
    Error::Total {
        table: table.name().to_owned(),
        reason: error.to_string(),
    }
}

/// Whether a snapshot is gone: coming again does not bring it back.
fn is_gone(error: &Error) -> bool {
    error.error_code() == Some(ErrorCode::FetchSessionIdNotFound)
}
