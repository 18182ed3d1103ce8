//! What to read: columns, partitions, where from and how far.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::filter::{Filter, RowFilter};
use crate::offsets::{self, EARLIEST, LATEST};
use crate::source::{Limits, Source};
use crate::stream::{RowStream, Skips, Span};
use crate::table::Table;

/// Where a scan starts in each partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// The first row there is.
    Earliest,
    /// Rows to come.
    Latest,
    /// These offsets, one for each partition to read.
    Offsets(BTreeMap<i32, i64>),
    /// The first row at or after this time, in milliseconds since 1970.
    Timestamp(i64),
}

#[derive(Debug, Clone)]
enum Until {
    Never,
    End,
    Offsets(BTreeMap<i32, i64>),
}

/// A read in the making: see [`Table::scan`]. As it is, it reads all columns of all partitions from
/// the earliest row on and never ends.
#[derive(Debug, Clone)]
pub struct Scan {
    table: Table,
    columns: Option<Vec<String>>,
    filter: Option<Filter>,
    partitions: Option<Vec<i32>>,
    start: Start,
    until: Until,
    limits: Limits,
}

impl Scan {
    pub(crate) fn new(table: Table) -> Self {
        Self {
            table,
            columns: None,
            filter: None,
            partitions: None,
            start: Start::Earliest,
            until: Until::Never,
            limits: Limits::default(),
        }
    }

    /// Only these columns, each a dotted name (`address.city`) or `#` and a field id (`#17`); of
    /// none at all, rows are only counted. They come in the order of the table's schema, each once.
    pub fn columns(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.columns = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Only rows of which this is true, as SQL has it: `price > 10 AND city LIKE 'B%'`, or a
    /// [`Predicate`](crate::Predicate). Its columns need not be among those read.
    pub fn filter(mut self, filter: impl Into<Filter>) -> Self {
        self.filter = Some(filter.into());
        self
    }

    /// Only these partitions. Otherwise those there are when the scan is opened.
    pub fn partitions(mut self, partitions: impl IntoIterator<Item = i32>) -> Self {
        self.partitions = Some(partitions.into_iter().collect());
        self
    }

    /// Where to start.
    pub fn from(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Ends where the partitions end when the scan is opened.
    pub fn until_end(mut self) -> Self {
        self.until = Until::End;
        self
    }

    /// Ends before these offsets, one for each partition to read.
    pub fn until(mut self, offsets: BTreeMap<i32, i64>) -> Self {
        self.until = Until::Offsets(offsets);
        self
    }

    /// How long a broker may wait for rows before it answers that there are none. 500 ms.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.limits.max_wait = wait;
        self
    }

    /// How many rows a broker waits for, up to [`max_wait`](Self::max_wait). One. With a filter it
    /// waits for so many at a time and looks through them until some row is wanted.
    pub fn min_rows(mut self, rows: i32) -> Self {
        self.limits.min_rows = rows;
        self
    }

    /// The most bytes in one answer, and of one partition in it; a batch that is larger comes
    /// alone. 32 MiB and 8 MiB.
    pub fn max_bytes(mut self, answer: i32, partition: i32) -> Self {
        self.limits.max_bytes = answer;
        self.limits.partition_max_bytes = partition;
        self
    }

    /// Finds the offsets and begins to read.
    ///
    /// # Errors
    /// [`Error::UnknownColumn`] and [`Error::Partition`] for what the table does not have,
    /// [`Error::Filter`].
    pub async fn open(self) -> Result<RowStream> {
        let source = self.source()?;
        let table = &self.table;
        let view = table.client().topic(table.name()).await?;
        let partitions = match &self.partitions {
            Some(chosen) => chosen.clone(),
            None => view.leaders.keys().copied().collect(),
        };
        if let Some(partition) = partitions
            .iter()
            .find(|one| !view.leaders.contains_key(one))
        {
            return Err(self.refuse(*partition, "there is no such partition"));
        }
        let starts = match &self.start {
            Start::Offsets(offsets) => offsets.clone(),
            Start::Earliest => self.offsets(&partitions, EARLIEST).await?,
            Start::Latest => self.offsets(&partitions, LATEST).await?,
            Start::Timestamp(ms) => self.offsets(&partitions, (*ms).max(0)).await?,
        };
        let ends = match &self.until {
            Until::Never => None,
            Until::End => Some(self.offsets(&partitions, LATEST).await?),
            Until::Offsets(offsets) => Some(offsets.clone()),
        };
        let mut spans = BTreeMap::new();
        for partition in partitions {
            let at = |offsets: &BTreeMap<i32, i64>| {
                let offset = offsets.get(&partition).copied();
                offset.ok_or_else(|| self.refuse(partition, "no offset is given for it"))
            };
            let span = Span {
                start: at(&starts)?,
                end: ends.as_ref().map(at).transpose()?,
                skips: match self.start {
                    Start::Earliest => Skips::BeforeRows,
                    _ => Skips::Never,
                },
            };
            spans.insert(partition, span);
        }
        Ok(RowStream::new(source, spans))
    }

    /// What is to be read, wherever it starts.
    pub(crate) fn source(&self) -> Result<Arc<Source>> {
        let table = &self.table;
        let resolve = |filter| RowFilter::resolve(table.name(), filter, &table.schemas());
        let filter = self.filter.as_ref().map(resolve).transpose()?;
        Source::new(table.clone(), self.columns.as_deref(), filter, self.limits)
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// Where to start what nobody has read yet, for a reader who is told which partitions to read.
    ///
    /// # Errors
    /// What of the scan only its own reader can decide.
    pub(crate) fn start_of_any(&self) -> Result<Start, &'static str> {
        match (&self.partitions, &self.until, &self.start) {
            (Some(_), ..) => Err("its partitions are shared out by the group"),
            (_, Until::End | Until::Offsets(_), _) => Err("a group reads without an end"),
            (.., Start::Offsets(_)) => Err("its offsets are those that the group committed"),
            (.., start) => Ok(start.clone()),
        }
    }

    async fn offsets(&self, partitions: &[i32], timestamp: i64) -> Result<BTreeMap<i32, i64>> {
        let table = &self.table;
        offsets::at(table.client(), table.name(), partitions, timestamp).await
    }

    fn refuse(&self, partition: i32, reason: &'static str) -> Error {
        Error::Partition {
            table: self.table.name().to_owned(),
            partition,
            reason,
        }
    }
}
