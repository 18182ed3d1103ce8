//! The latest rows of a keyed table whose keys begin alike.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use arrow_array::RecordBatch;
use bytes::Bytes;
use tidelog_protocol_ext::ext::lookup::{LookupPrefix, LookupRequest, LookupResponse};

use crate::columns::Columns;
use crate::error::{BrokerError, Result};
use crate::fault::RowsFault;
use crate::lookup::{ask, min_offsets, reflected, rows};
use crate::source::damaged;
use crate::table::Table;

/// Stands for every partition.
const ANY_PARTITION: i32 = -1;

/// A lookup in the making: see [`Table::lookup_prefix`]. As it is, it answers all columns of all rows
/// that one answer has room for.
#[derive(Debug, Clone)]
pub struct PrefixLookup {
    table: Table,
    prefixes: Vec<Bytes>,
    cursors: Vec<Option<Bytes>>,
    limit: Option<i32>,
    columns: Option<Vec<String>>,
    min_offsets: BTreeMap<i32, i64>,
    max_wait: Duration,
}

/// The answer of a [`PrefixLookup`].
#[derive(Debug, Clone)]
pub struct FoundPrefixes {
    /// One for each prefix, in the order they were given.
    pub prefixes: Vec<Result<PrefixRows, BrokerError>>,
    /// The rows found, in the order of their prefixes, and in each by partition and the bytes of
    /// their keys. The columns `_key` and `_partition` say which they are.
    pub rows: RecordBatch,
    /// For each partition asked: every change below this offset is in the answer.
    pub reflected: BTreeMap<i32, i64>,
}

/// What a table holds under a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixRows {
    /// Which rows of [`FoundPrefixes::rows`] they are.
    pub rows: Range<usize>,
    /// Rows passed over because their values are not of the table's schema.
    pub undecodable: usize,
    /// There is more: give it to [`PrefixLookup::resume`] to go on, in the table as it will be then.
    pub cursor: Option<Bytes>,
}

impl PrefixLookup {
    pub(crate) fn new(table: Table, prefixes: Vec<Bytes>) -> Self {
        Self {
            table,
            prefixes,
            cursors: Vec::new(),
            limit: None,
            columns: None,
            min_offsets: BTreeMap::new(),
            max_wait: Duration::from_secs(1),
        }
    }

    /// Goes on where an answer stopped: its [`PrefixRows::cursor`]s, one for each prefix; `None`
    /// begins.
    pub fn resume(mut self, cursors: impl IntoIterator<Item = Option<Bytes>>) -> Self {
        self.cursors = cursors.into_iter().collect();
        self
    }

    /// At most so many rows of each prefix.
    pub fn limit(mut self, rows: i32) -> Self {
        self.limit = Some(rows);
        self
    }

    /// Only these columns, as in [`Lookup::columns`](crate::Lookup::columns).
    pub fn columns(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.columns = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// As [`Lookup::reflecting`](crate::Lookup::reflecting).
    pub fn reflecting(mut self, offsets: impl IntoIterator<Item = (i32, i64)>) -> Self {
        self.min_offsets = offsets.into_iter().collect();
        self
    }

    /// As [`Lookup::max_wait`](crate::Lookup::max_wait).
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait;
        self
    }

    /// Asks one broker, which leads some partition of the table, for all prefixes.
    ///
    /// # Errors
    /// As [`Lookup::send`](crate::Lookup::send); [`Unsupported`](crate::Error::Unsupported) also where
    /// Lookup knows no prefixes.
    pub async fn send(self) -> Result<FoundPrefixes> {
        let columns = self.table.columns(self.columns.as_deref())?;
        let answer = ask(&self.table, self.request(&columns), self.max_wait).await?;
        let prefixes = self.prefix_rows(&answer)?;
        let rows = rows(&self.table, &columns, &answer).await?;
        Ok(FoundPrefixes {
            prefixes,
            rows,
            reflected: reflected(&answer),
        })
    }

    fn request(&self, columns: &Columns) -> LookupRequest {
        let cursors = self.cursors.iter().cloned().chain(std::iter::repeat(None));
        let prefixes = self.prefixes.iter().zip(cursors);
        let prefixes = prefixes.map(|(prefix, cursor)| LookupPrefix {
            partition: ANY_PARTITION,
            prefix: prefix.clone(),
            limit: self.limit.unwrap_or(-1),
            cursor,
        });
        LookupRequest {
            max_wait_ms: i32::try_from(self.max_wait.as_millis()).unwrap_or(i32::MAX),
            topic_id: self.table.topic_id(),
            projection: Some(columns.wire()),
            min_offsets: min_offsets(&self.min_offsets),
            keys: Vec::new(),
            prefixes: prefixes.collect(),
        }
    }

    fn prefix_rows(&self, answer: &LookupResponse) -> Result<Vec<Result<PrefixRows, BrokerError>>> {
        let miscounted = |what| damaged(&self.table, ANY_PARTITION, -1, RowsFault::Answer(what));
        if answer.prefix_results.len() != self.prefixes.len() {
            return Err(miscounted("there is not one result for each prefix"));
        }
        let mut end = 0;
        let mut prefixes = Vec::with_capacity(answer.prefix_results.len());
        for result in &answer.prefix_results {
            let counts = usize::try_from(result.row_count)
                .ok()
                .zip(usize::try_from(result.undecodable_count).ok());
            let (count, undecodable) =
                counts.ok_or_else(|| miscounted("a prefix has less than no rows"))?;
            let name = self.table.name();
            let refused = BrokerError::check("Lookup", result.error_code, || {
                format!("a prefix of table {name}")
            });
            let rows = end..end + count;
            end = rows.end;
            prefixes.push(refused.map(|()| PrefixRows {
                rows,
                undecodable,
                cursor: result.cursor.clone(),
            }));
        }
        match usize::try_from(answer.row_count) == Ok(end) {
            true => Ok(prefixes),
            false => Err(miscounted("the prefixes have other rows than it counts")),
        }
    }
}
