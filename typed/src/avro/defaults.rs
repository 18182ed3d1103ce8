//! Checks that the defaults of fields are values of the fields' types, as JSON writes them in a
//! schema.

use super::BadSchema;
use super::schema::{Form, Schema, TypeId};
use crate::json_tree::{Tree, member};

/// Most comparisons of a value and a type. A union is tried branch by branch, so a schema made for
/// it could take for ever.
const STEPS_MAX: usize = 1_000_000;

/// The first default that is none.
///
/// # Errors
/// [`BadSchema::Invalid`] with the record's name and the field's.
pub(super) fn check(schema: &Schema) -> Result<(), BadSchema> {
    let mut checker = Checker { schema, steps: 0 };
    for id in schema.ids() {
        let Form::Record(record) = schema.form(id) else {
            continue;
        };
        for field in &record.fields {
            let Some(default) = &field.default else {
                continue;
            };
            let fits = checker.fits(default, field.of);
            if !fits || checker.steps > STEPS_MAX {
                let what = if fits {
                    "takes too long to check"
                } else {
                    "is no value of its type"
                };
                let (record, field) = (record.named.name.as_str(), &field.name);
                return Err(BadSchema::Invalid {
                    at: format!("{record}.{field}"),
                    what: format!("the default {default} {what}"),
                });
            }
        }
    }
    Ok(())
}

struct Checker<'a> {
    schema: &'a Schema,
    steps: usize,
}

impl Checker<'_> {
    /// True once `steps` is used up. Recursion ends where the value does.
    fn fits(&mut self, value: &Tree, id: TypeId) -> bool {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return true;
        }
        let schema = self.schema;
        match (schema.form(id), value) {
            (Form::Null, Tree::Null) => true,
            (Form::Boolean, Tree::Bool(_)) => true,
            (Form::Int, number) => number.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
            (Form::Long, number) => number.as_i64().is_some(),
            (Form::Float | Form::Double, Tree::Number(_)) => true,
            // One character a byte.
            (Form::Bytes | Form::Fixed(_), Tree::Text(text)) => text.chars().all(|c| c <= '\u{ff}'),
            (Form::String, Tree::Text(_)) => true,
            (Form::Enum(of), Tree::Text(text)) => of.symbols.contains(text),
            (Form::Array(items), Tree::Array(values)) => {
                values.iter().all(|value| self.fits(value, *items))
            }
            (Form::Map(of), Tree::Object(members)) => {
                members.iter().all(|(_, value)| self.fits(value, *of))
            }
            (Form::Record(record), Tree::Object(members)) => {
                record
                    .fields
                    .iter()
                    .all(|field| match member(members, &field.name) {
                        Some(value) => self.fits(value, field.of),
                        None => field.default.is_some(),
                    })
            }
            (Form::Union(branches), value) => branches.iter().any(|of| self.fits(value, *of)),
            _ => false,
        }
    }
}
