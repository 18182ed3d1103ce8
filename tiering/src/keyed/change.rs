//! What a batch of a keyed topic says of each change, without the rows themselves.

use arrow_array::StringArray;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_cast::cast;
use arrow_schema::DataType;
use thiserror::Error;

use crate::rows::{RowBatch, column};

/// What happened to the row of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is this row from now on.
    Put,
    /// There is none from now on.
    Delete,
    /// The image of the row before; says nothing that the change after it does not say.
    Before,
}

/// One change of a partition's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    pub offset: i64,
    pub kind: ChangeKind,
    /// The offset of the row that was the key's until now.
    pub prev: Option<i64>,
}

/// Why changes of a partition cannot be true.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum BadChange {
    #[error("a batch of changes has no column {column} of the right type")]
    Column { column: &'static str },
    #[error("the change at offset {offset} is of no known kind: {kind}")]
    Kind { offset: i64, kind: String },
    #[error("the change at offset {offset} comes after that at {last}")]
    Order { offset: i64, last: i64 },
    #[error("the change at offset {offset} replaces the row of {prev}, which is not live then")]
    Dead { offset: i64, prev: i64 },
    #[error("the delete at offset {offset} does not name the row it deletes")]
    Nameless { offset: i64 },
    #[error("rows cannot be filtered: {0}")]
    Rows(String),
}

/// The changes of a batch, in its order.
///
/// # Errors
/// [`BadChange::Column`] and [`BadChange::Kind`].
pub fn changes(batch: &RowBatch) -> Result<Vec<Change>, BadChange> {
    let longs = |column: &'static str| {
        let array = batch.rows.column_by_name(column);
        array
            .and_then(|array| array.as_primitive_opt::<Int64Type>())
            .ok_or(BadChange::Column { column })
    };
    let offsets = longs(column::OFFSET)?;
    let prevs = longs(column::PREV_OFFSET)?;
    let kinds = kinds(batch).ok_or(BadChange::Column {
        column: column::CHANGE,
    })?;
    offsets
        .values()
        .iter()
        .zip(prevs)
        .zip(&kinds)
        .map(|((&offset, prev), kind)| {
            let kind = match kind.unwrap_or_default() {
                "insert" | "update_after" => ChangeKind::Put,
                "delete" => ChangeKind::Delete,
                "update_before" => ChangeKind::Before,
                other => {
                    let kind = other.to_owned();
                    return Err(BadChange::Kind { offset, kind });
                }
            };
            Ok(Change { offset, kind, prev })
        })
        .collect()
}

fn kinds(batch: &RowBatch) -> Option<StringArray> {
    let array = batch.rows.column_by_name(column::CHANGE)?;
    let texts = cast(array, &DataType::Utf8).ok()?;
    texts.as_string_opt::<i32>().cloned()
}
