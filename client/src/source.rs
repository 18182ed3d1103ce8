//! One round of reading: some partitions of one broker, by column or by record.

use std::sync::Arc;
use std::time::Duration;

use crate::columnar::Columnar;
use crate::columns::Columns;
use crate::error::{Error, Result};
use crate::fault::RowsFault;
use crate::filter::RowFilter;
use crate::offsets;
use crate::stream::Rows;
use crate::table::Table;

/// What one answer may take, in time and bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) max_wait: Duration,
    pub(crate) min_rows: i32,
    pub(crate) max_bytes: i32,
    pub(crate) partition_max_bytes: i32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_wait: Duration::from_millis(500),
            min_rows: 1,
            max_bytes: 32 << 20,
            partition_max_bytes: 8 << 20,
        }
    }
}

impl Limits {
    pub(crate) fn max_wait_ms(&self) -> i32 {
        i32::try_from(self.max_wait.as_millis()).unwrap_or(i32::MAX)
    }
}

/// What is asked of one partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask {
    pub(crate) partition: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) offset: i64,
    /// Rows from here on are not wanted.
    pub(crate) end: Option<i64>,
    /// Whether the offset of each row is needed, to stop at `end`. The same for a whole round.
    pub(crate) with_offsets: bool,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) partition: i32,
    pub(crate) outcome: Result<Progress>,
}

/// How far a partition was read.
#[derive(Debug)]
pub(crate) struct Progress {
    /// In order; all below `next_offset`.
    pub(crate) rows: Vec<Rows>,
    /// At or above the offset asked for.
    pub(crate) next_offset: i64,
    /// From there on offsets of rows are needed.
    pub(crate) needs_offsets: bool,
    /// Nothing below this can be read any more; `next_offset` is it then.
    pub(crate) skipped: bool,
}

/// Where rows come from.
#[derive(Debug)]
pub(crate) enum Source {
    Columnar(Columnar),
    #[cfg(feature = "decode")]
    Plain(crate::plain::Plain),
}

impl Source {
    pub(crate) fn new(
        table: Table,
        columns: Option<&[String]>,
        filter: Option<RowFilter>,
        limits: Limits,
    ) -> Result<Arc<Self>> {
        let columns = table.columns(columns)?;
        #[cfg(feature = "decode")]
        if let Some(schema) = table.row_schema().cloned() {
            let plain = crate::plain::Plain::new(table, schema, columns, filter, limits);
            return Ok(Arc::new(Self::Plain(plain)));
        }
        Ok(Arc::new(Self::Columnar(Columnar::new(
            table, columns, filter, limits,
        ))))
    }

    pub(crate) fn table(&self) -> &Table {
        match self {
            Self::Columnar(columnar) => columnar.table(),
            #[cfg(feature = "decode")]
            Self::Plain(plain) => plain.table(),
        }
    }

    /// What is wanted of all rows, and their schema.
    pub(crate) fn columns(&self) -> &Columns {
        match self {
            Self::Columnar(columnar) => columnar.columns(),
            #[cfg(feature = "decode")]
            Self::Plain(plain) => plain.columns(),
        }
    }

    /// Asks one broker once. There is an answer for each ask, whatever the broker left out.
    pub(crate) async fn read(&self, address: &str, asks: &[Ask]) -> Result<Vec<Answer>> {
        let mut answers = match self {
            Self::Columnar(columnar) => columnar.read(address, asks).await?,
            #[cfg(feature = "decode")]
            Self::Plain(plain) => plain.read(address, asks).await?,
        };
        for ask in asks {
            let Ask {
                partition, offset, ..
            } = *ask;
            if !answers.iter().any(|answer| answer.partition == partition) {
                let fault = RowsFault::Answer("the broker left the partition out of its answer");
                let outcome = Err(damaged(self.table(), partition, offset, fault));
                answers.push(Answer { partition, outcome });
            }
        }
        Ok(answers)
    }
}

/// Where the log begins, if that is behind an offset that was refused.
pub(crate) async fn skip_ahead(table: &Table, ask: &Ask) -> Result<Option<Progress>> {
    let (client, partition) = (table.client(), ask.partition);
    let found = offsets::at(client, table.name(), &[partition], offsets::EARLIEST).await?;
    let first = found.get(&partition).filter(|first| **first > ask.offset);
    Ok(first.map(|first| Progress {
        rows: Vec::new(),
        next_offset: *first,
        needs_offsets: false,
        skipped: true,
    }))
}

/// An error about rows of a partition from `offset` on.
pub(crate) fn damaged(table: &Table, partition: i32, offset: i64, fault: RowsFault) -> Error {
    Error::Rows {
        table: table.name().to_owned(),
        partition,
        offset,
        fault,
    }
}
