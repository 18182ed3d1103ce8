//! The latest rows of a keyed table, by key.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow_array::RecordBatch;
use bytes::Bytes;
use tidelog_protocol_ext::ErrorCode;
use tidelog_protocol_ext::ext::columnar_fetch::Run;
use tidelog_protocol_ext::ext::lookup::{
    LookupKey, LookupRequest, LookupResponse, LookupResult, MinOffset,
};

use crate::api::Ours;
use crate::columnar;
use crate::columns::Columns;
use crate::error::{BrokerError, Error, Result, said};
use crate::fault::RowsFault;
use crate::source::damaged;
use crate::table::Table;

/// Stands for whatever partition the table's partitioner gives a key.
const ANY_PARTITION: i32 = -1;

/// A lookup in the making: see [`Table::lookup`]. As it is, it answers all columns of what the
/// broker knows now.
#[derive(Debug, Clone)]
pub struct Lookup {
    table: Table,
    keys: Vec<Bytes>,
    columns: Option<Vec<String>>,
    min_offsets: BTreeMap<i32, i64>,
    max_wait: Duration,
}

/// The answer of a [`Lookup`].
#[derive(Debug, Clone)]
pub struct Found {
    /// One for each key, in the order they were given.
    pub keys: Vec<Result<KeyRow, BrokerError>>,
    /// The rows found, in the order of their keys.
    pub rows: RecordBatch,
    /// For each partition asked: every change below this offset is in the answer.
    pub reflected: BTreeMap<i32, i64>,
}

/// What a table holds under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRow {
    /// The partition the key belongs to, if that is known.
    pub partition: Option<i32>,
    /// Which row of [`Found::rows`] it is; `None` if the table has no such key.
    pub row: Option<usize>,
    /// The offset of the change that made the row what it is.
    pub offset: Option<i64>,
}

impl Lookup {
    pub(crate) fn new(table: Table, keys: Vec<Bytes>) -> Self {
        Self {
            table,
            keys,
            columns: None,
            min_offsets: BTreeMap::new(),
            max_wait: Duration::from_secs(1),
        }
    }

    /// Only these columns, named as in [`Scan::columns`](crate::Scan::columns); of none at all, it is
    /// only asked which keys there are.
    pub fn columns(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.columns = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Waits until every change of a partition below an offset is in the answer. To read what you
    /// wrote, give the offset of the write plus one.
    pub fn reflecting(mut self, offsets: impl IntoIterator<Item = (i32, i64)>) -> Self {
        self.min_offsets = offsets.into_iter().collect();
        self
    }

    /// How long that may take, and the loading of an index. 1 s; keys whose partition needs longer
    /// answer REQUEST_TIMED_OUT or COORDINATOR_LOAD_IN_PROGRESS.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait;
        self
    }

    /// Asks one broker, which leads some partition of the table, for all keys.
    ///
    /// # Errors
    /// [`Error::UnknownColumn`]; [`Error::Unsupported`] where there is no Lookup;
    /// [`Error::Broker`] with INVALID_REQUEST for a table without a key.
    pub async fn send(self) -> Result<Found> {
        let columns = self.table.columns(self.columns.as_deref())?;
        let answer = ask(&self.table, self.request(&columns), self.max_wait).await?;
        if answer.results.len() != self.keys.len() {
            return Err(self.fault(RowsFault::Answer("there is not one result for each key")));
        }
        let found = answer.results.iter().filter(|result| is_found(result));
        if usize::try_from(answer.row_count) != Ok(found.count()) {
            return Err(self.fault(RowsFault::Answer("there is not one row for each key found")));
        }
        let rows = rows(&self.table, &columns, &answer).await?;
        Ok(Found {
            keys: key_rows(self.table.name(), &answer.results),
            rows,
            reflected: reflected(&answer),
        })
    }

    fn request(&self, columns: &Columns) -> LookupRequest {
        let keys = self.keys.iter().map(|key| LookupKey {
            partition: ANY_PARTITION,
            key: key.clone(),
        });
        LookupRequest {
            max_wait_ms: i32::try_from(self.max_wait.as_millis()).unwrap_or(i32::MAX),
            topic_id: self.table.topic_id(),
            projection: Some(columns.wire()),
            min_offsets: min_offsets(&self.min_offsets),
            keys: keys.collect(),
            prefixes: Vec::new(),
        }
    }

    fn fault(&self, fault: RowsFault) -> Error {
        damaged(&self.table, ANY_PARTITION, -1, fault)
    }
}

/// Asks one broker, which leads some partition of the table.
pub(crate) async fn ask(
    table: &Table,
    request: LookupRequest,
    max_wait: Duration,
) -> Result<LookupResponse> {
    let address = table.any_leader().await?;
    let client = table.client();
    let answer = client.call(&address, &Ours(request), max_wait).await?;
    let name = table.name();
    BrokerError::check("Lookup", answer.error_code, || {
        said(&format!("table {name}"), answer.error_message.as_deref())
    })?;
    Ok(answer)
}

/// Up to where each partition's changes are in an answer.
pub(crate) fn reflected(answer: &LookupResponse) -> BTreeMap<i32, i64> {
    let partitions = answer.partitions.iter();
    partitions
        .map(|one| (one.partition, one.reflected_offset))
        .collect()
}

pub(crate) fn min_offsets(of: &BTreeMap<i32, i64>) -> Option<Vec<MinOffset>> {
    let all = of.iter().map(|(&partition, &min_offset)| MinOffset {
        partition,
        min_offset,
    });
    (!of.is_empty()).then(|| all.collect())
}

/// The rows of an answer.
pub(crate) async fn rows(
    table: &Table,
    columns: &Columns,
    answer: &LookupResponse,
) -> Result<RecordBatch> {
    if answer.row_count == 0 {
        return Ok(RecordBatch::new_empty(columns.target().clone()));
    }
    let schema = table.schema_by_id(answer.schema_id).await?;
    let run = Run {
        schema_id: answer.schema_id,
        row_count: answer.row_count,
        messages: answer.messages.clone(),
        ..Run::default()
    };
    let bytes_max = table.client().config().decoded_bytes_max;
    let decoded = columnar::decode(columns, &schema, &run, bytes_max);
    decoded.map_err(|fault| damaged(table, ANY_PARTITION, -1, fault))
}

fn is_found(result: &LookupResult) -> bool {
    result.error_code == 0 && result.found
}

fn key_rows(table: &str, results: &[LookupResult]) -> Vec<Result<KeyRow, BrokerError>> {
    let mut rows = 0..;
    let known = |number: i64| (number >= 0).then_some(number);
    results
        .iter()
        .map(|result| {
            let is_no_row = result.error_code == ErrorCode::InvalidRecord.code();
            BrokerError::check("Lookup", result.error_code, || match is_no_row {
                true => format!("a key of table {table}, whose value is not of its schema"),
                false => format!("a key of table {table}"),
            })?;
            Ok(KeyRow {
                partition: (result.partition >= 0).then_some(result.partition),
                row: if result.found { rows.next() } else { None },
                offset: known(result.offset).filter(|_| result.found),
            })
        })
        .collect()
}
