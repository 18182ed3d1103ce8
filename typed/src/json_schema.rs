//! JSON Schema: what a registered schema looks like as a table, and which change of it is compatible.
//!
//! Drafts 4, 6, 7, 2019-09 and 2020-12 are read alike: each keyword means the same in all that know it.
//! Only what shapes the data counts; a `pattern` makes no column. The mapping is published in
//! `docs/formats/typed-json.md`, *JSON Schema*.
//!
//! ```text
//! text + references ─► Document (nodes, $ref resolved) ─┬─► Writer: Draft, what became text and why
//!                                                       └─► backward(reader, writer): reasons
//! ```
//!
//! Promises: hostile text is refused, never followed without end: size, nodes, levels and comparisons
//! have limits, and a schema that refers to itself is cut where it does.

mod columns;
mod compat;
mod document;
mod keywords;

pub use columns::{AsText, Writer};
pub use compat::{backward, canonical};

use crate::schema::TableSchema;

/// A schema and those it refers to, by name.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    pub text: &'a str,
    /// Name, as `$ref` has it, and text.
    pub references: &'a [(String, String)],
}

/// Why a text is no JSON Schema, or none that can be worked with. `at` is a JSON pointer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSchema {
    #[error(
        "the schemas have {bytes} bytes, more than {}",
        TableSchema::TEXT_BYTES_MAX
    )]
    TooLong { bytes: usize },
    /// With line and column.
    #[error("not JSON: {0}")]
    NotJson(String),
    #[error("#{at}: {what}")]
    Invalid { at: String, what: String },
    #[error("#{at}: $ref {reference:?} leads nowhere")]
    Unresolved { at: String, reference: String },
    #[error("too large: {0}")]
    TooLarge(&'static str),
    /// It describes no object, or one without a member that can be a column.
    #[error("no columns: {0}")]
    NoColumns(&'static str),
}

#[cfg(test)]
mod tests;
