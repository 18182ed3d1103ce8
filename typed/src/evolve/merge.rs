//! A writer's shape joins a table.

use std::collections::HashMap;

use super::widens;
use crate::schema::{Draft, Field, Kind, SchemaError, TableSchema};

/// The table with the writer's shape in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    pub schema: TableSchema,
    /// In the order of the writer's fields; empty when the table had room for everything.
    pub changes: Vec<Change>,
}

/// One thing that changed. `path` is the column's dotted name: `lines[].price`, `labels{}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A new column, nullable, at the end of its struct.
    Added { path: String, id: i32 },
    Widened {
        path: String,
        id: i32,
        from: Kind,
        to: Kind,
    },
    /// Null is allowed from now on: the writer allows it, or does not know the column.
    MadeOptional { path: String, id: i32 },
}

/// Why a writer's shape cannot join the table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Incompatible {
    /// Neither type is a widening of the other.
    #[error("column {path}: {table} in the table, {writer} at the writer")]
    Types {
        path: String,
        table: String,
        writer: String,
    },
    /// The table would be none any more: too many fields or levels, a system column's name.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

/// Lets `writer` join `table`, its fields matched with the columns by name, level by level.
///
/// A field the table does not have is added, nullable, at the end of its struct with the next ids. A
/// column gets wider where the writer's type is wider ([`widens`]), stays where the writer's is
/// narrower, and becomes nullable where the writer allows null or does not have it. The keys of a map
/// stay as they are: Iceberg does not let them change.
///
/// # Errors
/// [`Incompatible`]; the table stays as it is then.
pub fn merge(table: &TableSchema, writer: &Draft) -> Result<Merged, Incompatible> {
    let mut merging = Merging {
        last_id: table.last_id(),
        changes: Vec::new(),
    };
    let mut fields = table.fields().to_vec();
    merging.members(&mut fields, &writer.fields, "")?;
    let schema = if merging.changes.is_empty() {
        table.clone()
    } else {
        TableSchema::of(fields, merging.last_id)?
    };
    Ok(Merged {
        schema,
        changes: merging.changes,
    })
}

struct Merging {
    last_id: i32,
    changes: Vec<Change>,
}

impl Merging {
    /// `within` is the path of the struct these are the members of.
    fn members(
        &mut self,
        table: &mut Vec<Field>,
        writer: &[Field],
        within: &str,
    ) -> Result<(), Incompatible> {
        let names = table.iter().map(|column| column.name.clone());
        let mut left: HashMap<String, usize> = names.zip(0..).collect();
        for field in writer {
            let path = join(within, &field.name);
            let called = |place: &usize| table[*place].aliases.contains(&field.name);
            let renamed = (0..table.len()).find(called);
            let name = renamed.map_or(&field.name, |place| &table[place].name);
            match left.remove(name) {
                Some(place) => self.field(&mut table[place], field, &path)?,
                None => table.push(self.added(field, path)?),
            }
        }
        // In the table's order, so that equal input gives equal changes.
        let mut left: Vec<_> = left.into_values().collect();
        left.sort_unstable();
        for place in left {
            let column = &mut table[place];
            let path = join(within, &column.name);
            self.relax(column, path);
        }
        Ok(())
    }

    fn field(&mut self, column: &mut Field, field: &Field, path: &str) -> Result<(), Incompatible> {
        if field.nullable {
            self.relax(column, path.to_owned());
        }
        match (&mut column.kind, &field.kind) {
            (Kind::Struct(members), Kind::Struct(fields)) => self.members(members, fields, path),
            (Kind::List(element), Kind::List(field)) => {
                self.field(element, field, &format!("{path}[]"))
            }
            (
                Kind::Map { key, value },
                Kind::Map {
                    key: field_key,
                    value: field,
                },
            ) if key.kind == field_key.kind || widens(&field_key.kind, &key.kind) => {
                self.field(value, field, &format!("{path}{{}}"))
            }
            (from, to) if widens(from, to) => {
                self.changes.push(Change::Widened {
                    path: path.to_owned(),
                    id: column.id,
                    from: from.clone(),
                    to: to.clone(),
                });
                column.kind = to.clone();
                Ok(())
            }
            (table, writer) if *table == *writer || widens(writer, table) => Ok(()),
            (table, writer) => Err(Incompatible::Types {
                path: path.to_owned(),
                table: in_full(table),
                writer: in_full(writer),
            }),
        }
    }

    fn added(&mut self, field: &Field, path: String) -> Result<Field, Incompatible> {
        let mut column = field.clone();
        // Rows written before do not have it.
        column.nullable = true;
        self.last_id = column.allocate(self.last_id)?;
        let id = column.id;
        self.changes.push(Change::Added { path, id });
        Ok(column)
    }

    fn relax(&mut self, column: &mut Field, path: String) {
        if !column.nullable {
            column.nullable = true;
            let id = column.id;
            self.changes.push(Change::MadeOptional { path, id });
        }
    }
}

fn join(within: &str, name: &str) -> String {
    if within.is_empty() {
        name.to_owned()
    } else {
        format!("{within}.{name}")
    }
}

/// The type's name, with that of a map's keys, which may be what differs.
fn in_full(kind: &Kind) -> String {
    match kind {
        Kind::Map { key, .. } => format!("map by {}", key.kind.name()),
        kind => kind.name(),
    }
}

impl Change {
    /// The dotted name of the column.
    pub fn path(&self) -> &str {
        match self {
            Self::Added { path, .. }
            | Self::Widened { path, .. }
            | Self::MadeOptional { path, .. } => path,
        }
    }
}
