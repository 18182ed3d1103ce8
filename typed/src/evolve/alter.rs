//! Changes that a person asks for.

use std::fmt;

use super::widens;
use crate::schema::{Field, Kind, SchemaError, TableSchema};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alteration {
    /// A new column: nullable, whatever the field says. `within` is a struct; `None` for the top.
    Add {
        within: Option<Target>,
        field: Field,
        place: Place,
    },
    /// To a type that keeps every value ([`widens`]).
    Widen {
        column: Target,
        kind: Kind,
    },
    MakeOptional {
        column: Target,
    },
    Rename {
        column: Target,
        name: String,
    },
    Drop {
        column: Target,
    },
    /// To another place among its siblings.
    Move {
        column: Target,
        place: Place,
    },
}

/// Which column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Id(i32),
    /// Names from the top; inside a list `element`, inside a map `key` or `value`.
    Path(Vec<String>),
}

/// Where among its siblings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    First,
    Last,
    /// Behind the sibling of this name.
    After(String),
}

/// Why a list of alterations is refused. `column` is the target as it was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AlterError {
    #[error("there is no column {column}")]
    NoSuchColumn { column: String },
    /// It, or a column inside it, is a key.
    #[error("column {column} is a key or holds one: it may only be renamed or moved")]
    Protected { column: String },
    #[error("column {column} is no struct, nothing can be added to it")]
    NotAStruct { column: String },
    /// The element of a list, the key or value of a map.
    #[error("column {column} is part of a list or map: it has no name or place of its own")]
    Fixed { column: String },
    /// The key of a map, or a change that may lose values.
    #[error("column {column} cannot become {to} from {from} without loss")]
    NotAWidening {
        column: String,
        from: String,
        to: String,
    },
    /// What would come out is no schema: a name twice, a struct without members.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

/// `table` with all `alterations`, done in order. Columns with an id in `protected` (those of a
/// primary key) stay, with their type and *not null*; they may be renamed and moved. Ids of dropped
/// columns do not come back.
///
/// # Errors
/// [`AlterError`] for the first alteration that cannot be; nothing is changed then.
pub fn alter(
    table: &TableSchema,
    alterations: &[Alteration],
    protected: &[i32],
) -> Result<TableSchema, AlterError> {
    let mut altering = Altering {
        fields: table.fields().to_vec(),
        last_id: table.last_id(),
        protected,
    };
    for alteration in alterations {
        altering.step(alteration)?;
    }
    Ok(TableSchema::of(altering.fields, altering.last_id)?)
}

struct Altering<'a> {
    fields: Vec<Field>,
    last_id: i32,
    protected: &'a [i32],
}

impl Altering<'_> {
    fn step(&mut self, alteration: &Alteration) -> Result<(), AlterError> {
        match alteration {
            Alteration::Add {
                within,
                field,
                place,
            } => self.add(within.as_ref(), field, place),
            Alteration::Widen { column, kind } => self.widen(column, kind),
            Alteration::MakeOptional { column } => {
                self.free(column)?.nullable = true;
                Ok(())
            }
            Alteration::Rename { column, name } => {
                let (siblings, at) = self.place_of(column)?;
                let field = &mut siblings[at];
                // Values keep calling it as they did.
                field.aliases.retain(|alias| alias != name);
                if field.name != *name {
                    field
                        .aliases
                        .push(std::mem::replace(&mut field.name, name.clone()));
                }
                Ok(())
            }
            Alteration::Drop { column } => {
                self.free(column)?;
                let (siblings, at) = self.place_of(column)?;
                siblings.remove(at);
                Ok(())
            }
            Alteration::Move { column, place } => {
                let (siblings, at) = self.place_of(column)?;
                let field = siblings.remove(at);
                put(siblings, field, place)
            }
        }
    }

    fn add(
        &mut self,
        within: Option<&Target>,
        field: &Field,
        place: &Place,
    ) -> Result<(), AlterError> {
        let mut field = field.clone();
        // Rows written before do not have it.
        field.nullable = true;
        self.last_id = field.allocate(self.last_id)?;
        let siblings = match within {
            None => &mut self.fields,
            Some(target) => match &mut self.field(target)?.kind {
                Kind::Struct(members) => members,
                _ => {
                    let column = target.to_string();
                    return Err(AlterError::NotAStruct { column });
                }
            },
        };
        put(siblings, field, place)
    }

    fn widen(&mut self, column: &Target, kind: &Kind) -> Result<(), AlterError> {
        let is_map_key = self.is_map_key(column)?;
        let field = self.free(column)?;
        if is_map_key || !widens(&field.kind, kind) {
            return Err(AlterError::NotAWidening {
                column: column.to_string(),
                from: field.kind.name(),
                to: kind.name(),
            });
        }
        field.kind = kind.clone();
        Ok(())
    }

    /// A column that may change: no key and without one inside.
    fn free(&mut self, target: &Target) -> Result<&mut Field, AlterError> {
        let protected = self.protected;
        let field = self.field(target)?;
        if field.any(|inner| protected.contains(&inner.id)) {
            let column = target.to_string();
            return Err(AlterError::Protected { column });
        }
        Ok(field)
    }

    fn field(&mut self, target: &Target) -> Result<&mut Field, AlterError> {
        let place = self.find(target)?;
        field_at(&mut self.fields, &place).ok_or_else(|| target.missing())
    }

    /// The members a column stands among, and which it is of them.
    fn place_of(&mut self, target: &Target) -> Result<(&mut Vec<Field>, usize), AlterError> {
        let place = self.find(target)?;
        let (last, parents) = place.split_last().ok_or_else(|| target.missing())?;
        let siblings = if parents.is_empty() {
            &mut self.fields
        } else {
            let parent = field_at(&mut self.fields, parents).ok_or_else(|| target.missing())?;
            match &mut parent.kind {
                Kind::Struct(members) => members,
                _ => {
                    let column = target.to_string();
                    return Err(AlterError::Fixed { column });
                }
            }
        };
        Ok((siblings, *last))
    }

    fn is_map_key(&mut self, target: &Target) -> Result<bool, AlterError> {
        let place = self.find(target)?;
        let Some((0, parents)) = place.split_last() else {
            return Ok(false);
        };
        let parent = field_at(&mut self.fields, parents);
        Ok(parent.is_some_and(|parent| matches!(parent.kind, Kind::Map { .. })))
    }

    /// The way from the top to the column: which child, level by level.
    fn find(&self, target: &Target) -> Result<Vec<usize>, AlterError> {
        let mut way = Vec::new();
        let found = match target {
            Target::Id(id) => find_id(self.fields.iter(), *id, &mut way),
            Target::Path(names) => find_names(self.fields.iter(), names, &mut way),
        };
        found.then_some(way).ok_or_else(|| target.missing())
    }
}

fn put(siblings: &mut Vec<Field>, field: Field, place: &Place) -> Result<(), AlterError> {
    let at = match place {
        Place::First => 0,
        Place::Last => siblings.len(),
        Place::After(name) => {
            let before = siblings.iter().position(|sibling| sibling.name == *name);
            let column = name.clone();
            before.ok_or(AlterError::NoSuchColumn { column })? + 1
        }
    };
    siblings.insert(at, field);
    Ok(())
}

fn find_id<'a>(level: impl Iterator<Item = &'a Field>, id: i32, way: &mut Vec<usize>) -> bool {
    for (at, field) in level.enumerate() {
        way.push(at);
        if field.id == id || find_id(field.kind.children(), id, way) {
            return true;
        }
        way.pop();
    }
    false
}

fn find_names<'a>(
    mut level: impl Iterator<Item = &'a Field>,
    names: &[String],
    way: &mut Vec<usize>,
) -> bool {
    let Some((name, rest)) = names.split_first() else {
        return false;
    };
    let mut at = 0;
    let found = level.find(|field| {
        at += 1;
        field.name == *name
    });
    let Some(field) = found else { return false };
    way.push(at - 1);
    rest.is_empty() || find_names(field.kind.children(), rest, way)
}

fn field_at<'a>(level: &'a mut [Field], way: &[usize]) -> Option<&'a mut Field> {
    let (at, rest) = way.split_first()?;
    let mut field = level.get_mut(*at)?;
    for at in rest {
        field = match (&mut field.kind, at) {
            (Kind::Struct(members), at) => members.get_mut(*at)?,
            (Kind::List(element), 0) => element,
            (Kind::Map { key, .. }, 0) => key,
            (Kind::Map { value, .. }, 1) => value,
            _ => return None,
        };
    }
    Some(field)
}

impl Target {
    fn missing(&self) -> AlterError {
        let column = self.to_string();
        AlterError::NoSuchColumn { column }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "#{id}"),
            Self::Path(names) => f.write_str(&names.join(".")),
        }
    }
}
