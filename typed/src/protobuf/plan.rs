//! A writer's message type against a table's columns, resolved once for many records.
//!
//! Columns are found by name, at every depth. The table may have more columns (filled with null)
//! and fewer (passed over), and its types may be wider where nothing is lost.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, Schema};
use thiserror::Error;

use super::Writer;
use super::json_value::JsonType;
use super::leaf::Leaf;
use super::{compile, walk};
use crate::column::Group;
use crate::json::Reason;
use crate::schema::{Field, TableSchema};

/// Slots up to this field number are found by index.
const DENSE_MAX: usize = 1024;
/// No slot has this number.
const NOWHERE: u16 = u16::MAX;

/// How the messages of one writer fill the columns of one table. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Plan {
    root: Arc<Message>,
    fields: Arc<[Field]>,
}

/// Why a writer's messages cannot be rows of a table. `column` is its dotted name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("column {column}: {what}")]
pub struct Mismatch {
    pub column: String,
    pub what: String,
}

/// One message type in a group of columns.
#[derive(Debug)]
pub(super) struct Message {
    /// In the order of field numbers.
    pub(super) slots: Vec<Slot>,
    /// Slot by field number, as far as [`DENSE_MAX`].
    dense: Vec<u16>,
    /// What a column gets that had no value, by column.
    pub(super) fills: Vec<Fill>,
    /// Slots that are completed once the whole message was read.
    pub(super) ends: Vec<usize>,
    /// How many slots hold a message, each with a number of its own.
    pub(super) messages: usize,
    pub(super) oneofs: usize,
    /// What one row of the columns takes, nearly, whatever the message has.
    pub(super) row_bytes: usize,
}

/// A field that has a column, or takes back others of its oneof that have one.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) number: u32,
    pub(super) name: String,
    pub(super) column: Option<usize>,
    pub(super) oneof: Option<usize>,
    pub(super) shape: Shape,
}

#[derive(Debug)]
pub(super) enum Shape {
    One(Leaf),
    /// A message, which may come in parts; the number is its own among the message's.
    Message(usize, Composite),
    List(Element),
    Map {
        key: Leaf,
        value: Element,
    },
    /// A member of a oneof that has no column.
    Passed,
}

#[derive(Debug)]
pub(super) enum Element {
    One(Leaf),
    Message(Composite),
}

/// A message in its column.
#[derive(Debug)]
pub(super) enum Composite {
    Struct(Message),
    Timestamp,
    Wrapper(Leaf),
    Json(JsonType),
    Mark,
}

/// What a column gets where the message has no value.
#[derive(Debug)]
pub(super) enum Fill {
    /// Null, where null is allowed.
    Null,
    Default {
        leaf: Leaf,
        bits: u64,
        bytes: Vec<u8>,
    },
    /// A `required` field must be there.
    Refuse,
}

impl Plan {
    /// Resolves a writer's message type to a table's columns.
    ///
    /// # Errors
    /// [`Mismatch`] for a column that the writer's field does not fit without loss, and for one that
    /// allows no null and has no field.
    pub fn compile(writer: &Writer, table: &TableSchema) -> Result<Self, Mismatch> {
        let mut path = Vec::new();
        let root = compile::message(writer.message(), table.fields(), &mut path);
        let root = root.map_err(|what| Mismatch {
            column: path.join("."),
            what,
        })?;
        Ok(Self {
            root: Arc::new(root),
            fields: table.fields().into(),
        })
    }

    /// Appends one message as one row; on an error the columns are as before.
    pub(crate) fn append(
        &self,
        columns: &mut Group,
        rows: usize,
        value: &[u8],
    ) -> Result<(), Reason> {
        walk::append(&self.root, columns, rows, value).inspect_err(|_| columns.truncate(rows))
    }

    /// Values alone as columns, without keys and offsets: the rows in order, and the values that are
    /// none, by their place.
    ///
    /// # Errors
    /// [`ArrowError`] when the columns do not make a batch.
    pub fn columns<'a>(
        &self,
        values: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(RecordBatch, Vec<(usize, Reason)>), ArrowError> {
        let mut columns = Group::new(&self.fields);
        let mut undecodable = Vec::new();
        let mut rows = 0;
        for (place, value) in values.into_iter().enumerate() {
            match self.append(&mut columns, rows, value) {
                Ok(()) => rows += 1,
                Err(reason) => undecodable.push((place, reason)),
            }
        }
        let schema = Arc::new(Schema::new(crate::arrow::fields(&self.fields)));
        let batch = RecordBatch::try_new(schema, columns.finish()?)?;
        Ok((batch, undecodable))
    }
}

impl Message {
    pub(super) fn new(
        mut slots: Vec<Slot>,
        fills: Vec<Fill>,
        messages: usize,
        oneofs: usize,
        row_bytes: usize,
    ) -> Self {
        slots.sort_by_key(|slot| slot.number);
        let (mut dense, mut ends) = (Vec::new(), Vec::new());
        for (at, slot) in slots.iter().enumerate() {
            if !matches!(slot.shape, Shape::One(_) | Shape::Passed) {
                ends.push(at);
            }
            let number = slot.number as usize;
            if number < DENSE_MAX {
                dense.resize(number + 1, NOWHERE);
                // A message that is a table has fewer than 2^16 fields.
                dense[number] = at as u16;
            }
        }
        Self {
            slots,
            dense,
            fills,
            ends,
            messages,
            oneofs,
            row_bytes,
        }
    }

    /// The slot of a field number, looked for first where it is expected: fields are mostly written
    /// in the order of their numbers.
    #[inline]
    pub(super) fn find(&self, number: u32, expected: usize) -> Option<usize> {
        match self.slots.get(expected) {
            Some(slot) if slot.number == number => Some(expected),
            _ => self.look_up(number),
        }
    }

    /// The name of a column that has a slot.
    pub(super) fn column_name(&self, column: usize) -> &str {
        let slot = self.slots.iter().find(|slot| slot.column == Some(column));
        slot.map_or("", |slot| &slot.name)
    }

    fn look_up(&self, number: u32) -> Option<usize> {
        let at = usize::try_from(number).ok()?;
        if at < DENSE_MAX {
            let slot = *self.dense.get(at)?;
            return (slot != NOWHERE).then_some(usize::from(slot));
        }
        let found = self.slots.binary_search_by_key(&number, |slot| slot.number);
        found.ok()
    }
}
