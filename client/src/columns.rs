//! Which columns a reader wants, under every schema the table has had.
//!
//! Names are looked up once, in the schema in force and then in older ones, and stand for the field
//! ids found there; from then on columns go by id, so that a rename or a dot in a name does not
//! matter. Ids are those of leaves: a struct, or a list of structs, is wanted when something in it
//! is. `lines.sku` is `sku` of each of the structs in the list `lines`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use kafka_protocol::protocol::StrBytes;

/// Where a field's id stands in its metadata.
const FIELD_ID: &str = "PARQUET:field_id";

/// Columns chosen from a table, and the one schema their rows are handed out in.
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    leaves: BTreeSet<i32>,
    target: SchemaRef,
}

impl Columns {
    /// Looks `names` up in `schemas`, the one in force first and then from new to old; no names
    /// are all columns of the first. A name that none has is the error.
    pub(crate) fn resolve(schemas: &[SchemaRef], names: Option<&[String]>) -> Result<Self, String> {
        let mut leaves = BTreeSet::new();
        match names {
            None => schemas
                .iter()
                .take(1)
                .for_each(|schema| add_leaves(schema.fields(), &mut leaves)),
            Some(names) => {
                for name in names {
                    let found = schemas
                        .iter()
                        .any(|schema| add_named(schema.fields(), name, &mut leaves));
                    if !found {
                        return Err(name.clone());
                    }
                }
            }
        }
        let pruned = schemas.iter().map(|one| prune(one.fields(), &leaves));
        let fields = pruned.reduce(|newer, older| merge(&newer, &older));
        let optional = optional_ids(schemas);
        let fields = relax(&fields.unwrap_or_else(Fields::empty), &optional);
        Ok(Self {
            leaves,
            target: Arc::new(Schema::new(fields)),
        })
    }

    /// These columns and one more, which comes last.
    pub(crate) fn and(&self, schemas: &[SchemaRef], name: &str) -> Option<Self> {
        let other = Self::resolve(schemas, Some(&[name.to_owned()])).ok()?;
        let fields = merge(self.target.fields(), other.target.fields());
        Some(Self {
            leaves: self.leaves.union(&other.leaves).copied().collect(),
            target: Arc::new(Schema::new(fields)),
        })
    }

    /// The schema of the rows handed out.
    pub(crate) fn target(&self) -> &SchemaRef {
        &self.target
    }

    /// Whether the field with this id is wanted, with all that is in it.
    #[cfg(feature = "lake")]
    pub(crate) fn wants(&self, id: i32) -> bool {
        self.leaves.contains(&id)
    }

    /// The columns as a request names them.
    pub(crate) fn wire(&self) -> Vec<StrBytes> {
        let names = self.leaves.iter().map(|id| format!("#{id}"));
        names.map(StrBytes::from_string).collect()
    }

    /// What a broker sends of rows written under `schema`.
    pub(crate) fn of(&self, schema: &Schema) -> SchemaRef {
        Arc::new(Schema::new(prune(schema.fields(), &self.leaves)))
    }
}

/// The id of a column or of a part of one.
pub(crate) fn field_id(field: &Field) -> Option<i32> {
    field.metadata().get(FIELD_ID)?.parse().ok()
}

/// Every column must have an id, down to the members of structs, in lists too. Answers the first that has none.
pub(crate) fn without_id(fields: &Fields) -> Option<&FieldRef> {
    fields.iter().find_map(|field| match members(field) {
        _ if field_id(field).is_none() => Some(field),
        Some(members) => without_id(members),
        None => None,
    })
}

/// The members of a struct, or of the structs that a list holds. One without members is a leaf.
fn members(field: &Field) -> Option<&Fields> {
    match field.data_type() {
        DataType::Struct(members) => Some(members).filter(|members| !members.is_empty()),
        DataType::List(element)
        | DataType::LargeList(element)
        | DataType::FixedSizeList(element, _) => members(element),
        _ => None,
    }
}

/// The same field with other members.
fn with_members(field: &FieldRef, members: Fields) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Struct(_) => DataType::Struct(members),
        DataType::List(element) => DataType::List(with_members(element, members)),
        DataType::LargeList(element) => DataType::LargeList(with_members(element, members)),
        DataType::FixedSizeList(element, len) => {
            DataType::FixedSizeList(with_members(element, members), *len)
        }
        leaf => leaf.clone(),
    };
    Arc::new(Field::clone(field).with_data_type(data_type))
}

fn add_leaves(fields: &Fields, leaves: &mut BTreeSet<i32>) {
    for field in fields {
        match members(field) {
            Some(members) => add_leaves(members, leaves),
            None => leaves.extend(field_id(field)),
        }
    }
}

/// Adds what `name` (`address.city` or `#17`) stands for; false if it stands for nothing.
fn add_named(fields: &Fields, name: &str, leaves: &mut BTreeSet<i32>) -> bool {
    let found = match name.strip_prefix('#') {
        Some(id) => id.parse().ok().and_then(|id| by_id(fields, id)),
        None => by_path(fields, name),
    };
    let Some(field) = found else { return false };
    add_leaves(&Fields::from(vec![Arc::clone(field)]), leaves);
    true
}

fn by_id(fields: &Fields, id: i32) -> Option<&FieldRef> {
    fields.iter().find_map(|field| match members(field) {
        _ if field_id(field) == Some(id) => Some(field),
        Some(members) => by_id(members, id),
        None => None,
    })
}

fn by_path<'a>(fields: &'a Fields, path: &str) -> Option<&'a FieldRef> {
    let (name, rest) = match path.split_once('.') {
        Some((name, rest)) => (name, Some(rest)),
        None => (path, None),
    };
    let field = fields.iter().find(|field| field.name() == name)?;
    match rest {
        None => Some(field),
        Some(rest) => by_path(members(field)?, rest),
    }
}

fn prune(fields: &Fields, leaves: &BTreeSet<i32>) -> Fields {
    fields
        .iter()
        .filter_map(|field| match members(field) {
            Some(members) => {
                let kept = prune(members, leaves);
                (!kept.is_empty()).then(|| with_members(field, kept))
            }
            None => leaves
                .contains(&field_id(field)?)
                .then(|| Arc::clone(field)),
        })
        .collect()
}

/// `newer`, and behind it what only `older` has.
fn merge(newer: &Fields, older: &Fields) -> Fields {
    let mut merged: Vec<_> = newer.iter().cloned().collect();
    for field in older {
        let same = merged
            .iter_mut()
            .find(|own| field_id(own) == field_id(field));
        let Some(own) = same else {
            merged.push(Arc::clone(field));
            continue;
        };
        if let (Some(ours), Some(theirs)) = (members(own), members(field)) {
            *own = with_members(own, merge(ours, theirs));
        }
    }
    merged.into()
}

/// Ids of columns that rows of some schema may not have.
fn optional_ids(schemas: &[SchemaRef]) -> BTreeSet<i32> {
    let mut required_in = BTreeMap::<i32, usize>::new();
    for schema in schemas {
        note_required(schema.fields(), &mut required_in);
    }
    let optional = required_in
        .iter()
        .filter(|(_, times)| **times < schemas.len());
    optional.map(|(id, _)| *id).collect()
}

fn note_required(fields: &Fields, required_in: &mut BTreeMap<i32, usize>) {
    for field in fields {
        if let Some(id) = field_id(field) {
            *required_in.entry(id).or_default() += usize::from(!field.is_nullable());
        }
        if let Some(members) = members(field) {
            note_required(members, required_in);
        }
    }
}

fn relax(fields: &Fields, optional: &BTreeSet<i32>) -> Fields {
    fields
        .iter()
        .map(|field| {
            let relaxed = match members(field) {
                Some(members) => with_members(field, relax(members, optional)),
                None => Arc::clone(field),
            };
            let is_optional = field_id(field).is_none_or(|id| optional.contains(&id));
            Arc::new(Field::clone(&relaxed).with_nullable(is_optional))
        })
        .collect()
}
