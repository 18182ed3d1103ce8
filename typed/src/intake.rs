//! Columns that somebody sends, as columns of a table: the other way in.
//!
//! ```text
//! sent schema + Target ─► Intake          columns and types settled, once
//! rows ─► Intake ─► Taken                 values settled: every one fits, or its row is named
//! Taken ─► key, timestamp, headers of each record; values ─► ValueRows (encode)
//! ```
//! - **Exact.** A value is taken as what it is or refused. Types that differ only in width or unit
//!   (`int16` for a long, nanoseconds for microseconds) meet value by value.
//! - A column that is not sent is null; where null is not allowed, every row is at fault.
//! - What nobody can see (members of a null struct, items outside of every list) is not looked at.
//! - Memory: a small factor of the rows' own. Whoever calls has bounded those.
//!
//! The rules are published in `docs/protocol-ext.md`, ColumnarProduce.

mod convert;
mod resolve;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Schema};

use crate::json::{self, Reason};
use crate::schema::Field;
use resolve::{Members, Slot};

/// Most rows at fault that are named.
pub const FAULTS_MAX: usize = 100;

/// What a table takes.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The value columns.
    pub columns: &'a [Field],
    /// Whether members that none of the columns takes come along under their own names, as a table
    /// that is inferred learns them.
    pub is_open: bool,
    pub names: Names<'a>,
}

/// What columns are called by.
#[derive(Debug, Clone, Copy)]
pub enum Names<'a> {
    /// Their names, or those they had before.
    Now,
    /// Ids (`PARQUET:field_id`), or, where they have none, the names of an earlier schema `then` of a
    /// table that has the columns `now`.
    Of { then: &'a [Field], now: &'a [Field] },
}

/// How columns of one Arrow schema fill a table's. Made once for a pair.
#[derive(Debug)]
pub struct Intake {
    key: Option<Slot>,
    timestamp: Option<Slot>,
    headers: Option<Slot>,
    values: Members,
}

/// Why columns are none of a table's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    #[error("the table has no column {column}")]
    Unknown { column: String },
    #[error("column {column}: {from} does not fit {to}")]
    Type {
        column: String,
        from: String,
        to: String,
    },
    #[error("column {column} is given twice")]
    Twice { column: String },
    #[error("column {column} is the broker's to give")]
    System { column: String },
}

impl Misfit {
    fn within(self, name: &str) -> Self {
        let inside = |column: String| json::join(name, &column);
        match self {
            Self::Unknown { column } => Self::Unknown {
                column: inside(column),
            },
            Self::Type { column, from, to } => Self::Type {
                column: inside(column),
                from,
                to,
            },
            Self::Twice { column } => Self::Twice {
                column: inside(column),
            },
            Self::System { column } => Self::System {
                column: inside(column),
            },
        }
    }
}

/// A row that is none of the table's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFault {
    /// Its place among the rows, from 0.
    pub row: usize,
    pub reason: Reason,
}

/// Why rows are not taken. All are, or none.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// The first [`FAULTS_MAX`] that were found, in ascending order of row.
    #[error("row {}: {}", .0[0].row, .0[0].reason)]
    Rows(Vec<RowFault>),
    #[error("columns do not make a batch: {0}")]
    Arrow(#[from] ArrowError),
}

/// Rows that fit.
#[derive(Debug)]
pub struct Taken {
    key: Option<ArrayRef>,
    timestamp: Option<ArrayRef>,
    headers: Option<ArrayRef>,
    values: RecordBatch,
}

impl Intake {
    /// Settles which column goes where.
    ///
    /// # Errors
    /// [`Misfit`], naming the first column that does not fit.
    pub fn resolve(sent: &Schema, target: &Target<'_>) -> Result<Self, Misfit> {
        resolve::resolve(sent, target)
    }

    /// Takes rows of the schema this was made for.
    ///
    /// # Errors
    /// [`TakeError::Rows`] names what is none of the table's.
    pub fn take(&self, rows: &RecordBatch) -> Result<Taken, TakeError> {
        convert::take(self, rows)
    }
}

impl Taken {
    /// The value columns that were sent, in the table's types and under its names.
    pub fn values(&self) -> &RecordBatch {
        &self.values
    }

    /// The record's key.
    pub fn key(&self, row: usize) -> Option<&[u8]> {
        self.key.as_ref().and_then(|keys| bytes_at(keys, row))
    }

    /// The record's time in milliseconds since 1970, if one was sent. What is finer is cut off.
    pub fn timestamp_ms(&self, row: usize) -> Option<i64> {
        let times = self.timestamp.as_ref()?;
        let times = times.as_primitive::<TimestampMicrosecondType>();
        times
            .is_valid(row)
            .then(|| times.value(row).div_euclid(1_000))
    }

    /// The record's headers, in order.
    pub fn headers(
        &self,
        row: usize,
    ) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> + Clone + use<'_> {
        let lists = self
            .headers
            .as_ref()
            .map(|headers| headers.as_list::<i32>());
        let lists = lists.filter(|lists| lists.is_valid(row));
        lists.into_iter().flat_map(move |lists| {
            let pairs = lists.values().as_struct();
            let ends = lists.value_offsets();
            // Offsets of an array are not negative, and a key is never null.
            let places = ends[row] as usize..ends[row + 1] as usize;
            places.map(move |at| {
                let part = |name| bytes_at(pairs.column_by_name(name)?, at);
                (part("key").unwrap_or_default(), part("value"))
            })
        })
    }
}

/// A value of a column of texts or bytes.
pub(crate) fn bytes_at(column: &ArrayRef, row: usize) -> Option<&[u8]> {
    match column.data_type() {
        _ if column.is_null(row) => None,
        DataType::Utf8 => Some(column.as_string::<i32>().value(row).as_bytes()),
        _ => Some(column.as_binary::<i32>().value(row)),
    }
}

#[cfg(test)]
mod tests;
