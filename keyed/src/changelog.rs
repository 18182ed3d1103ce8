//! What a change of a row looks like to who follows the table.
//!
//! | event | `full` | `wal` |
//! |---|---|---|
//! | a row appears | insert | insert; update_after where the row before is not read |
//! | a row changes | update_before, update_after | update_after |
//! | a row goes | delete, with the row as it was | the same |
//! | nothing changes | – | – |
//!
//! Before and after share the offset of the record that made the change. A row before that was
//! read is named by `_prev_offset`. Under `wal`, a rule that need not know the row before
//! ([`Rule::is_blind`]) does not read it for a put.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{ArrowError, DataType, Field, Schema, TimeUnit};
use bytes::Bytes;
use tidelog_storage::ids::{Offset, Timestamp};

use crate::merge::{Cells, Image, Rule, RuleColumn, arrow_fields, to_arrays};
use crate::row::{Change, Row};

/// What a changelog row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    Insert,
    UpdateBefore,
    UpdateAfter,
    Delete,
}

impl ChangeKind {
    /// As it stands in the column `_change`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::UpdateBefore => "update_before",
            Self::UpdateAfter => "update_after",
            Self::Delete => "delete",
        }
    }
}

/// A row of the changelog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRow {
    pub kind: ChangeKind,
    /// Of the record that made the change.
    pub offset: Offset,
    pub timestamp: Timestamp,
    pub key: Bytes,
    /// The row after, or for `update_before` and `delete` the row before, with its own offset.
    pub row: Row,
    /// Offset of the row that was replaced, where it was read.
    pub prev_offset: Option<Offset>,
}

/// Whether the row before a change has to be read for its images.
pub(crate) fn reads_before(rule: &Rule, change: &Change) -> bool {
    rule.image == Image::Full || !rule.is_blind() || change.value.is_none()
}

/// The changelog rows of one change. `before` is nothing where it was not read.
pub(crate) fn images(rule: &Rule, change: &Change, before: Option<Row>) -> Vec<ChangeRow> {
    let was_read = reads_before(rule, change);
    let before = before.filter(|_| was_read);
    let prev_offset = before.as_ref().map(|before| before.offset);
    let image = |kind, row| ChangeRow {
        kind,
        offset: change.offset,
        timestamp: change.timestamp,
        key: change.key.clone(),
        row,
        prev_offset,
    };
    match (before, change.row()) {
        (None, None) => Vec::new(),
        (None, Some(after)) if was_read => vec![image(ChangeKind::Insert, after)],
        (None, Some(after)) => vec![image(ChangeKind::UpdateAfter, after)],
        (Some(before), None) => vec![image(ChangeKind::Delete, before)],
        (Some(before), Some(after)) => {
            let after = image(ChangeKind::UpdateAfter, after);
            match rule.image {
                Image::Full => vec![image(ChangeKind::UpdateBefore, before), after],
                Image::Wal => vec![after],
            }
        }
    }
}

/// The names of the system columns of a changelog batch, in their order.
pub const SYSTEM_COLUMNS: [&str; 5] = ["_offset", "_timestamp", "_key", "_change", "_prev_offset"];

/// Changelog rows as columns: the [system columns](SYSTEM_COLUMNS), then `columns`. `cells` are
/// those of each row; a row without any has nulls. `_timestamp` is in microseconds, null for a
/// record that has none.
///
/// # Errors
/// As many cells as rows are wanted; a column may have more bytes than 32-bit positions reach.
pub fn to_batch(
    columns: &[RuleColumn],
    rows: &[ChangeRow],
    cells: &[Option<Cells>],
) -> Result<RecordBatch, ArrowError> {
    let none = Cells::default();
    let cells: Vec<_> = cells.iter().map(|c| c.as_ref().unwrap_or(&none)).collect();
    let mut fields = system_fields();
    fields.extend(arrow_fields(columns));
    let mut arrays = system_arrays(rows);
    arrays.extend(to_arrays(columns, &cells)?);
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

fn system_fields() -> Vec<Arc<Field>> {
    let types = [
        (DataType::Int64, false),
        (moment(), true),
        (DataType::Binary, false),
        (DataType::Utf8, false),
        (DataType::Int64, true),
    ];
    let field = |(name, (of, nullable))| Arc::new(Field::new(name, of, nullable));
    SYSTEM_COLUMNS.into_iter().zip(types).map(field).collect()
}

fn moment() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn system_arrays(rows: &[ChangeRow]) -> Vec<ArrayRef> {
    let offsets = rows.iter().map(|row| row.offset);
    let moments = rows.iter().map(|row| micros(row.timestamp));
    let moments: TimestampMicrosecondArray = moments.collect();
    let keys = rows.iter().map(|row| &row.key[..]);
    let kinds = rows.iter().map(|row| row.kind.as_str());
    let prev = rows.iter().map(|row| row.prev_offset);
    vec![
        Arc::new(Int64Array::from_iter_values(offsets)),
        Arc::new(moments.with_timezone("UTC")),
        Arc::new(BinaryArray::from_iter_values(keys)),
        Arc::new(StringArray::from_iter_values(kinds)),
        Arc::new(prev.collect::<Int64Array>()),
    ]
}

/// Milliseconds as microseconds; −1 stands for none.
fn micros(timestamp: Timestamp) -> Option<i64> {
    let timestamp = Some(timestamp).filter(|ms| *ms != -1);
    timestamp.and_then(|ms| ms.checked_mul(1_000))
}
