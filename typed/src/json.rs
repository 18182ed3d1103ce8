//! One JSON object into one row of columns.
//!
//! The text is walked once, straight into the columns: no tree of values between. A row either
//! fits all columns or leaves none of itself behind.

mod visit;
mod write;

use std::fmt;
use std::sync::Arc;

use crate::column::{Column, Group};
use crate::schema::{Field, Kind};
use visit::Walk;

pub use write::{JsonRows, JsonStyle, NotFinite, Unwritable, UnwritableType};

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
    /// Of a row to be written as JSON.
    #[error("a number is not finite, and JSON has no text for it")]
    NotFinite,
    #[error("not Protobuf: {0}")]
    NotProtobuf(&'static str),
    /// A binary value with bytes behind its end: most likely written with another schema.
    #[error("{bytes} bytes behind the value")]
    Surplus { bytes: usize },
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
    /// A known Protobuf field in another wire type than its own.
    Wire {
        expected: &'static str,
        found: &'static str,
    },
    /// The bytes of the field are not in the value's format.
    Malformed(&'static str),
    /// A name twice in one object, or a key twice in one map.
    Twice,
    /// In a table that grows: no column takes it yet. Decoding stops there; see [`crate::infer`].
    NoColumn,
    /// More members, or others, than a struct of an inferred table takes.
    Crowded,
    /// The row would take far more room than its value does.
    Expands,
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

    /// True when the table, not the record, is at fault: it has to grow first.
    pub(crate) fn wants_column(&self) -> bool {
        matches!(
            self,
            Self::Field {
                fault: Fault::NoColumn,
                ..
            }
        )
    }

    /// The same, seen from outside `name`.
    pub(crate) fn within(self, name: &str) -> Self {
        match self {
            Self::Field { path, fault } => Self::Field {
                path: join(name, &path),
                fault,
            },
            whole => whole,
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
            Self::Wire { expected, found } => write!(f, "a {found}, not {expected}"),
            Self::Malformed(what) => f.write_str(what),
            Self::Twice => f.write_str("given twice"),
            Self::NoColumn => f.write_str("no column takes it yet"),
            Self::Crowded => f.write_str("more members than a struct takes"),
            Self::Expands => f.write_str("the row would take far more room than its value"),
            Self::Full => f.write_str("too much for one batch"),
        }
    }
}

/// Appends one row; on an error the columns are as before.
pub(crate) fn append(columns: &mut Group, rows: usize, value: &[u8]) -> Result<(), Reason> {
    let walk = Walk::default();
    walk.row(columns, rows, value).inspect_err(|_| {
        columns.truncate(rows);
    })
}

/// As [`append`], but a member without a column is a [`Fault::NoColumn`], unless it holds nothing but
/// nulls. The path of that fault is not told.
pub(crate) fn append_known(columns: &mut Group, rows: usize, value: &[u8]) -> Result<(), Reason> {
    let walk = Walk::strict();
    walk.row(columns, rows, value).inspect_err(|_| {
        columns.truncate(rows);
    })
}

/// Appends one value to one column; on an error it may be half there.
pub(crate) fn append_value(column: &mut Column, text: &str) -> Result<(), Reason> {
    Walk::default().value(column, text)
}

/// True unless a column of this type, nullable, would refuse the value. Text that is no JSON is nobody's
/// misfit.
pub(crate) fn takes(kind: &Kind, text: &str) -> bool {
    let mut column = Column::new(&Field::draft("", kind.clone(), true));
    let taken = append_value(&mut column, text);
    taken.is_ok() || matches!(taken, Err(Reason::NotJson(_)))
}

/// The path of `path` inside `name`.
pub(crate) fn join(name: &str, path: &str) -> String {
    let dot = match path.as_bytes().first() {
        None | Some(b'[' | b'{') => "",
        _ => ".",
    };
    format!("{name}{dot}{path}")
}

#[cfg(test)]
pub(crate) mod tests;
