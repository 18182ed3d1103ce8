//! One JSON object into one row of columns.
//!
//! The text is walked once, straight into the columns: no tree of values between. A row either
//! fits all columns or leaves none of itself behind.

mod visit;
mod write;

use std::fmt;
use std::sync::Arc;

use crate::column::Group;
use visit::Walk;

pub use write::{JsonRows, JsonStyle, NotFinite, UnwritableType};

/// Why a record is no row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// A record without a value (a tombstone) in a table that only grows.
    #[error("no value")]
    NoValue,
    /// A topic whose values name their schemas has one that does not.
    #[error("the value names no schema: it begins with no zero byte and id, and no header does")]
    NoSchemaId,
    #[error("no message indexes in front of the payload")]
    NoMessageIndexes,
    /// The schema the value names cannot be used.
    #[error("{0}")]
    Schema(Arc<str>),
    /// With line and column of the value.
    #[error("not JSON: {0}")]
    NotJson(String),
    #[error("a JSON {found}, not an object")]
    NotAnObject { found: &'static str },
    /// `path` is the field's dotted name (`lines[].price`).
    #[error("field {path}: {fault}")]
    Field { path: String, fault: Fault },
}

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Missing or null where null is not allowed.
    Missing,
    /// A JSON value of another kind than the type takes.
    Type {
        expected: String,
        found: &'static str,
    },
    /// A number or text that is not a value of the type, or not exactly one.
    Value { expected: String },
    /// A name twice in one object, or a key twice in one map.
    Twice,
    /// No room in this batch. Never the fault of a record: decoding stops with an error instead.
    Full,
}

impl Reason {
    pub(crate) fn full() -> Self {
        Self::Field {
            path: String::new(),
            fault: Fault::Full,
        }
    }

    /// True when the batch, not the record, is at fault.
    pub(crate) fn is_full(&self) -> bool {
        matches!(
            self,
            Self::Field {
                fault: Fault::Full,
                ..
            }
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("no value, and null is not allowed"),
            Self::Type { expected, found } => write!(f, "a JSON {found}, not {expected}"),
            Self::Value { expected } => write!(f, "not exactly a value of {expected}"),
            Self::Twice => f.write_str("given twice"),
            Self::Full => f.write_str("too much for one batch"),
        }
    }
}

/// Appends one row; on an error the columns are as before.
pub(crate) fn append(columns: &mut Group, rows: usize, value: &[u8]) -> Result<(), Reason> {
    let walk = Walk::default();
    walk.row(columns, value).inspect_err(|_| {
        columns.truncate(rows);
    })
}

#[cfg(test)]
mod tests;
