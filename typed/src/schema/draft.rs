//! A shape without ids: what a writer's schema, or a sample of values, looks like as a table.

use super::ids::{self, UNGIVEN};
use super::{Field, Kind, SchemaError, TableSchema};

/// Columns in order; no field, at any depth, has an id yet (all are 0).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    pub fields: Vec<Field>,
}

impl Draft {
    /// The first schema of a table: ids from 1 on, a field before its children.
    ///
    /// # Errors
    /// [`SchemaError::Invalid`] for names that a table cannot have (a system column's, two alike) and
    /// for more fields or levels than a schema may have.
    pub fn allocate(mut self) -> Result<TableSchema, SchemaError> {
        let last_id = ids::allocate(&mut self.fields, 0).ok_or_else(ids::none_left)?;
        TableSchema::of(self.fields, last_id)
    }
}

impl TableSchema {
    /// A schema of fields that have ids, if it keeps the rules.
    pub(crate) fn of(fields: Vec<Field>, last_id: i32) -> Result<Self, SchemaError> {
        // One set of rules: those of the text.
        Self::parse(&Self { fields, last_id }.to_json())
    }
}

impl Field {
    /// A field of a [`Draft`].
    pub fn draft(name: impl Into<String>, kind: Kind, nullable: bool) -> Self {
        Self {
            id: UNGIVEN,
            name: name.into(),
            kind,
            nullable,
            aliases: Vec::new(),
        }
    }
}

impl Kind {
    /// The same shape for a [`Draft`].
    pub(crate) fn without_ids(&self) -> Self {
        match self {
            Self::List(element) => Self::list_of(element.kind.without_ids()),
            Self::Map { key, value } => Self::map_of(key.kind.clone(), value.kind.without_ids()),
            Self::Struct(members) => {
                let member =
                    |of: &Field| Field::draft(&of.name, of.kind.without_ids(), of.nullable);
                Self::Struct(members.iter().map(member).collect())
            }
            plain => plain.clone(),
        }
    }

    /// A list whose elements may be null, for a [`Draft`].
    pub fn list_of(element: Kind) -> Self {
        Self::List(Box::new(Field::draft("element", element, true)))
    }

    /// A map whose values may be null, for a [`Draft`]; `key` is one of [`Kind::is_map_key`].
    pub fn map_of(key: Kind, value: Kind) -> Self {
        Self::Map {
            key: Box::new(Field::draft("key", key, false)),
            value: Box::new(Field::draft("value", value, true)),
        }
    }
}
