//! A writer's schema as a table without ids.
//!
//! Types that contain themselves have no columns and are refused here, with everything else that
//! could make reading a value unbounded: too many fields, too deep, list elements without bytes.

use super::BadSchema;
use super::mapping::{Shape, shape};
use super::schema::{Form, Record, Schema, TypeId};
use crate::json;
use crate::schema::{Draft, Field, Kind, TableSchema};

/// The column of a value that is no record.
pub(super) const ROOT: &str = "root";

pub(super) fn draft(schema: &Schema) -> Result<Draft, BadSchema> {
    let mut drafter = Drafter {
        schema,
        open: Vec::new(),
        path: Vec::new(),
        count: 0,
    };
    let root = schema.root();
    let fields = match shape(schema, root) {
        Shape::Struct(record) => {
            drafter.open.push(root);
            drafter.record(record)?.0
        }
        _ => drafter.field(ROOT, root)?.0.into_iter().collect(),
    };
    if fields.is_empty() {
        return Err(drafter.fault("holds no value that a column could have"));
    }
    Ok(Draft { fields })
}

struct Drafter<'a> {
    schema: &'a Schema,
    /// Records around the place.
    open: Vec<TypeId>,
    path: Vec<String>,
    count: usize,
}

/// What a type comes to.
struct Drafted {
    /// `None`: no column.
    kind: Option<Kind>,
    nullable: bool,
    /// False if a value may take no byte at all.
    has_bytes: bool,
}

impl Drafted {
    fn of(kind: Kind, has_bytes: bool) -> Self {
        Self {
            kind: Some(kind),
            nullable: false,
            has_bytes,
        }
    }
}

impl Drafter<'_> {
    /// The fields that have a column, and whether every value has a byte.
    fn record(&mut self, record: &Record) -> Result<(Vec<Field>, bool), BadSchema> {
        let mut fields = Vec::new();
        let mut has_bytes = false;
        for of in &record.fields {
            let (field, bytes) = self.field(&of.name, of.of)?;
            fields.extend(field);
            has_bytes |= bytes;
        }
        Ok((fields, has_bytes))
    }

    fn field(&mut self, name: &str, id: TypeId) -> Result<(Option<Field>, bool), BadSchema> {
        let drafted = self.within(name, id)?;
        let kind = drafted.kind;
        let field = kind.map(|kind| Field::draft(name, kind, drafted.nullable));
        Ok((field, drafted.has_bytes))
    }

    fn within(&mut self, name: &str, id: TypeId) -> Result<Drafted, BadSchema> {
        self.path.push(name.to_owned());
        self.count += 1;
        if self.count > TableSchema::FIELDS_MAX {
            return Err(self.fault(format!("more than {} fields", TableSchema::FIELDS_MAX)));
        }
        if self.path.len() > TableSchema::DEPTH_MAX + 1 {
            return Err(self.fault(format!("nested deeper than {}", TableSchema::DEPTH_MAX)));
        }
        let drafted = self.drafted(id)?;
        self.path.pop();
        Ok(drafted)
    }

    fn drafted(&mut self, id: TypeId) -> Result<Drafted, BadSchema> {
        let schema = self.schema;
        Ok(match shape(schema, id) {
            Shape::Nothing => Drafted {
                kind: None,
                nullable: true,
                has_bytes: matches!(schema.form(id), Form::Union(_)),
            },
            Shape::Plain(kind, _) => {
                let empty = matches!(schema.form(id), Form::Fixed(fixed) if fixed.size == 0);
                Drafted::of(kind, !empty)
            }
            Shape::Optional { of, .. } => Drafted {
                nullable: true,
                has_bytes: true,
                ..self.drafted(of)?
            },
            Shape::Branches(branches) => {
                let mut fields = Vec::new();
                let mut nullable = false;
                for branch in branches {
                    let form = schema.form(*branch);
                    nullable |= matches!(form, Form::Null);
                    let (field, _) = self.field(form.label(), *branch)?;
                    fields.extend(field.map(|field| Field {
                        nullable: true,
                        ..field
                    }));
                }
                let kind = (!fields.is_empty()).then_some(Kind::Struct(fields));
                Drafted {
                    kind,
                    nullable,
                    has_bytes: true,
                }
            }
            Shape::List(items) => {
                let element = self.within("[]", items)?;
                match element.kind {
                    Some(kind) if element.has_bytes => Drafted::of(Kind::list_of(kind), true),
                    _ => return Err(self.fault("an array whose elements hold nothing")),
                }
            }
            Shape::Map(values) => match self.within("{}", values)?.kind {
                Some(value) => Drafted::of(Kind::map_of(Kind::String, value), true),
                None => return Err(self.fault("a map whose values hold nothing")),
            },
            Shape::Struct(record) => self.structure(id, record)?,
        })
    }

    fn structure(&mut self, id: TypeId, record: &Record) -> Result<Drafted, BadSchema> {
        if self.open.contains(&id) {
            let name = record.named.name.as_str();
            return Err(self.fault(format!(
                "{name} contains itself; a type that does has no columns"
            )));
        }
        self.open.push(id);
        let (fields, has_bytes) = self.record(record)?;
        self.open.pop();
        Ok(Drafted {
            kind: (!fields.is_empty()).then_some(Kind::Struct(fields)),
            nullable: false,
            has_bytes,
        })
    }

    fn fault(&self, what: impl Into<String>) -> BadSchema {
        let path = self.path.iter().rev();
        let path = path.fold(String::new(), |path, name| json::join(name, &path));
        let at = if path.is_empty() {
            "schema".to_owned()
        } else {
            path
        };
        BadSchema::Invalid {
            at,
            what: what.into(),
        }
    }
}
