//! The schema of a typed topic's values: fields with types, names and ids.
//!
//! Ids rise from 1 in the order fields stand in the text, a field before its children, and are
//! never given twice: [`TableSchema::last_id`] remembers the highest one ever given, so that a
//! column may be dropped without its id coming back.

mod draft;
mod grammar;
mod ids;
mod text;

pub use draft::Draft;

use thiserror::Error;

/// Columns of a value, in order. Field names are unique; ids too, at all depths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSchema {
    fields: Vec<Field>,
    last_id: i32,
}

/// One field: a column, a member of a struct, the element of a list, the key or value of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub id: i32,
    pub name: String,
    pub kind: Kind,
    pub nullable: bool,
    /// Names it had before: values may use them still.
    pub aliases: Vec<String>,
}

impl Field {
    /// The names values may call it by, its own first.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.name).chain(&self.aliases)
    }
}

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Bool,
    /// 32-bit signed.
    Int,
    /// 64-bit signed.
    Long,
    Float,
    Double,
    /// At most 38 digits, `scale` of them behind the point.
    Decimal {
        precision: u8,
        scale: u8,
    },
    String,
    Binary,
    /// Days since 1970-01-01.
    Date,
    /// Time of a day without a zone, in microseconds since midnight.
    Time,
    /// A moment, counted from 1970-01-01 UTC.
    Timestamp(TimeUnit),
    /// A date and time without a zone, counted from 1970-01-01T00:00.
    LocalTimestamp(TimeUnit),
    /// Elements, which may be null.
    List(Box<Field>),
    /// Unique keys ([`Kind::is_map_key`]) and values, which may be null.
    Map {
        key: Box<Field>,
        value: Box<Field>,
    },
    Struct(Vec<Field>),
}

/// What a timestamp counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    Millisecond,
    Microsecond,
}

/// Why a text is no schema.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SchemaError {
    #[error(
        "the schema has {bytes} bytes, more than {}",
        TableSchema::TEXT_BYTES_MAX
    )]
    TooLong { bytes: usize },
    /// With line and column.
    #[error("the schema is not JSON: {0}")]
    NotJson(String),
    /// `at` names the place and, once known, the field: `fields[2] "amount".type`.
    #[error("{at}: {what}")]
    Invalid { at: String, what: String },
}

impl TableSchema {
    /// Longest schema text.
    pub const TEXT_BYTES_MAX: usize = 1 << 20;
    /// Most fields, counted at all depths.
    pub const FIELDS_MAX: usize = 10_000;
    /// Deepest nesting of types.
    pub const DEPTH_MAX: usize = 16;

    /// Reads a schema: the inline form, where ids are allocated, or the form
    /// [`to_json`](Self::to_json) writes, where they stand. The grammar is in
    /// `docs/formats/typed-json.md`.
    ///
    /// # Errors
    /// [`SchemaError`], naming place and field.
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        grammar::parse(text)
    }

    /// The one text of this schema, ids included; [`parse`](Self::parse) reads it back as it is.
    pub fn to_json(&self) -> String {
        text::write(self)
    }

    /// The columns, in order.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The highest id ever given.
    pub fn last_id(&self) -> i32 {
        self.last_id
    }
}

impl Kind {
    /// The type as the grammar writes it, without its children.
    pub fn name(&self) -> String {
        match self {
            Self::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
            Self::Bool => "bool".to_owned(),
            Self::Int => "int".to_owned(),
            Self::Long => "long".to_owned(),
            Self::Float => "float".to_owned(),
            Self::Double => "double".to_owned(),
            Self::String => "string".to_owned(),
            Self::Binary => "binary".to_owned(),
            Self::Date => "date".to_owned(),
            Self::Time => "time".to_owned(),
            Self::Timestamp(unit) => format!("timestamp({})", unit.name()),
            Self::LocalTimestamp(unit) => format!("local_timestamp({})", unit.name()),
            Self::List(_) => "list".to_owned(),
            Self::Map { .. } => "map".to_owned(),
            Self::Struct(_) => "struct".to_owned(),
        }
    }

    /// The fields right inside: members, the element, or key and value.
    pub(crate) fn children(&self) -> Box<dyn Iterator<Item = &Field> + '_> {
        match self {
            Self::List(element) => Box::new(std::iter::once(&**element)),
            Self::Map { key, value } => Box::new([&**key, &**value].into_iter()),
            Self::Struct(members) => Box::new(members.iter()),
            _ => Box::new(std::iter::empty()),
        }
    }

    /// True for a type that the keys of a map may have: bool, int, long, string.
    pub fn is_map_key(&self) -> bool {
        matches!(self, Self::Bool | Self::Int | Self::Long | Self::String)
    }
}

impl TimeUnit {
    /// As the grammar writes it: `ms`, `us`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Millisecond => "ms",
            Self::Microsecond => "us",
        }
    }
}

#[cfg(test)]
mod tests;
