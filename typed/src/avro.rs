//! Avro values into rows, and what a registry asks about Avro schemas.
//!
//! ```text
//! schema text + references ─► Writer ─► Draft            (a new table)
//!                               ├─ with a TableSchema ─► Plan ─► columns
//!                               └─ with columns ─► AvroRows ─► values
//! columns ─► schema_text
//! ```
//!
//! Promises:
//! - **Exact.** A value is taken as the column's type or refused; `docs/formats/typed-avro.md` is
//!   the whole table.
//! - **One pass.** Bytes go from the value into columns, no tree between; what does not depend on
//!   the value was decided when the [`Plan`] was made.
//! - **Bounded.** A schema of which there is a [`Writer`] nests and repeats within limits and does
//!   not contain itself; no value makes its reading panic, recurse deeper than that, or take
//!   memory for what it merely declares.
//!
//! The specification is Avro's, 1.12; the container format and schema resolution by the reader's
//! defaults are not needed here.

pub mod compat;

mod columns;
mod cursor;
mod decode;
mod defaults;
mod draft;
mod encode;
mod logical;
mod mapping;
mod parse;
mod plan;
mod put;
mod schema;
mod text;
mod write;

use std::sync::Arc;

pub use columns::{record_name, schema_text};
pub(crate) use encode::AvroRows as DraftRows;
pub use plan::{Decoded, Mismatch, Plan};
pub use write::AvroRows;

use crate::schema::Draft;
use schema::Schema;

/// A schema that values are written with, and the table it comes to.
#[derive(Debug, Clone)]
pub struct Writer {
    schema: Arc<Schema>,
    draft: Draft,
}

/// Why a text is no schema, or none that a table can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSchema {
    /// The text and what it refers to.
    #[error(
        "the schema has {bytes} bytes, more than {}",
        BadSchema::TEXT_BYTES_MAX
    )]
    TooLong { bytes: usize },
    /// With line and column.
    #[error("{at} is not JSON: {what}")]
    NotJson { at: String, what: String },
    /// `at` names the place in the text (`fields[2] "amount".type`) or, of a type that a table
    /// cannot have, the field's path (`order.lines[].price`).
    #[error("{at}: {what}")]
    Invalid { at: String, what: String },
}

impl BadSchema {
    /// Longest text of a schema, with all it refers to.
    pub const TEXT_BYTES_MAX: usize = 1 << 20;
}

impl Writer {
    /// Reads a schema. `references` are the names and texts of schemas that it, or another of
    /// them, refers to, in any order.
    ///
    /// # Errors
    /// [`BadSchema`], also for types that no table can have: one that contains itself, arrays of
    /// null, more fields or levels than a table may have.
    pub fn parse(text: &str, references: &[(String, String)]) -> Result<Self, BadSchema> {
        let schema = parse::parse(text, references)?;
        let draft = draft::draft(&schema)?;
        let schema = Arc::new(schema);
        Ok(Self { schema, draft })
    }

    /// What the schema looks like as a table.
    pub fn draft(&self) -> &Draft {
        &self.draft
    }
}

#[cfg(test)]
mod tests;
