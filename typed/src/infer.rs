//! Schemas for JSON topics that nobody described: a sample becomes a table, and the table grows with
//! what comes later.
//!
//! ```text
//! values ─► Inference::observe … ─► Inference::draft ─► Draft::allocate ─► the first schema
//! decoding stops at a record the table has no column for (Wanted::Columns)
//!   ─► Inference::over(table), observe that value and some behind it ─► evolve::merge ─► go on
//! ```
//!
//! Promises:
//! - **An object is never lost for its shape.** A value that its column does not take goes to a
//!   sibling, `<name>__bool | __long | __double | __string`, or as JSON text to `<name>__json`; the
//!   rules are in `docs/formats/typed-json.md`, *Inferred tables*.
//! - **One record is enough.** If decoding stops at a record, what [`Inference`] learns from that
//!   record alone lets it in; if it changes nothing (the table is full), decode without growth.
//! - **Bounded.** Shapes are counted; names, members and levels have limits; no recursion deeper than
//!   [`LEVELS_MAX`].
//!
//! What fits its columns is decoded by the plain walk of [`crate::json`]; only a record that does not
//! is walked again here, member by member.

mod fields;
mod raw;
mod route;
mod shape;

pub(crate) use fields::Columns;
pub(crate) use raw::{Sibling, says_something};
pub(crate) use route::append;

use crate::json::Reason;
use crate::schema::{Draft, Field, TableSchema};
use shape::{Learning, Members};

/// Most columns that are inferred at the top; siblings come on top of them.
pub const COLUMNS_MAX: usize = 1000;
/// Most members of a nested object that become a struct; one with more becomes a map.
pub const MEMBERS_MAX: usize = 256;
/// Deepest nesting that becomes columns; below, values are JSON text.
pub const LEVELS_MAX: usize = 8;
/// Longest name that becomes a column, in bytes.
pub const NAME_BYTES_MAX: usize = 200;
/// Most places remembered at all depths.
const SHAPES_MAX: usize = 8000;

/// What is a matter of taste.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InferOptions {
    /// Texts that are all RFC 3339 moments become timestamp(us), texts that are all dates become date.
    pub dates_from_text: bool,
}

/// What a sample of values looks like as a table.
#[derive(Debug)]
pub struct Inference {
    table: Vec<Field>,
    learning: Learning,
    members: Members,
    records: usize,
}

impl Inference {
    /// For the first schema of a table.
    pub fn new(options: InferOptions) -> Self {
        Self {
            table: Vec::new(),
            learning: Learning::new(options.dates_from_text, SHAPES_MAX),
            members: Members::default(),
            records: 0,
        }
    }

    /// For columns that `table` lacks: only what it does not take is learned.
    pub fn over(table: &TableSchema, options: InferOptions) -> Self {
        Self {
            table: table.fields().to_vec(),
            ..Self::new(options)
        }
    }

    /// Learns from one value. How many make a sample is the caller's choice.
    ///
    /// # Errors
    /// [`Reason::NotJson`], [`Reason::NotAnObject`]: nothing (or, for text that breaks off, little) is
    /// learned from it.
    pub fn observe(&mut self, value: &[u8]) -> Result<(), Reason> {
        let text = raw::object(value)?;
        let learned = self.members.observe(&self.table, text, &mut self.learning);
        learned.map_err(|error| raw::not_json(&error))?;
        self.records += 1;
        Ok(())
    }

    /// How many values were learned from.
    pub fn records(&self) -> usize {
        self.records
    }

    /// The table's columns, as far as there is one, and those of what was observed. Without fields if
    /// nothing but nulls and empty objects came.
    pub fn draft(&self) -> Draft {
        let (fields, _) = fields::grown(&self.table, &self.members, COLUMNS_MAX);
        Draft { fields }
    }
}

/// True for a member's name that can be a column's.
fn is_nameable(name: &str, is_top: bool) -> bool {
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len());
    fits && !(is_top && crate::system::is_reserved(name))
}

#[cfg(test)]
mod tests;
