//! Which sent column goes where, and whether its type may: decided without looking at a value.

use std::sync::Arc;

use arrow_schema::{DataType, Field as ArrowField, FieldRef, Fields, Schema, TimeUnit as Unit};

use super::{Intake, Misfit, Names, Target};
use crate::arrow::{data_type, field_id};
use crate::schema::{Field, Kind, TimeUnit};
use crate::system;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// A column of the table and the sent one that fills it.
#[derive(Debug)]
pub(super) struct Slot {
    /// Its place among those sent.
    pub(super) source: usize,
    pub(super) name: String,
    pub(super) nullable: bool,
    /// What values of it are called.
    pub(super) kind: String,
    pub(super) data_type: DataType,
    pub(super) node: Node,
}

#[derive(Debug)]
pub(super) enum Node {
    Leaf(Leaf),
    List(Box<Slot>),
    Map(Box<[Slot; 2]>),
    Struct(Members),
}

/// Columns side by side.
#[derive(Debug, Default)]
pub(super) struct Members {
    pub(super) slots: Vec<Slot>,
    /// Columns that may not be null and that nobody sent.
    pub(super) missing: Vec<String>,
}

/// How a plain value becomes one of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaf {
    Same,
    /// Texts or bytes with other offsets.
    Bytes,
    SingleToDouble,
    WholeToDouble,
    /// A whole number, multiplied or divided without a rest.
    Whole {
        times: i64,
        over: i64,
    },
    /// Microseconds since midnight, of a whole number as above.
    TimeOfDay {
        times: i64,
        over: i64,
    },
    /// A decimal or a whole number, to `precision` digits of which `scale` stand behind the point.
    Decimal {
        from_scale: i8,
        precision: u8,
        scale: i8,
    },
}

impl Slot {
    pub(super) fn field(&self) -> ArrowField {
        // What may be null is checked value by value.
        ArrowField::new(&self.name, self.data_type.clone(), true)
    }
}

impl Members {
    pub(super) fn fields(&self) -> Fields {
        self.slots.iter().map(Slot::field).collect()
    }
}

pub(super) fn resolve(sent: &Schema, target: &Target<'_>) -> Result<Intake, Misfit> {
    let resolver = Resolver {
        is_open: target.is_open,
    };
    let (own, values): (Vec<_>, Vec<_>) = (sent.fields().iter().enumerate())
        .partition(|(_, field)| system::is_reserved(field.name()));
    let mut intake = Intake {
        key: None,
        timestamp: None,
        headers: None,
        values: Members::default(),
    };
    for (source, field) in own {
        let column = || field.name().clone();
        let place = match field.name().as_str() {
            system::name::KEY => &mut intake.key,
            system::name::TIMESTAMP => &mut intake.timestamp,
            system::name::HEADERS => &mut intake.headers,
            _ => return Err(Misfit::System { column: column() }),
        };
        if place.is_some() {
            return Err(Misfit::Twice { column: column() });
        }
        let own = system::fields().into_iter();
        let Some(into) = own.into_iter().find(|own| own.name == *field.name()) else {
            return Err(Misfit::System { column: column() });
        };
        // Records without headers may say so with a null.
        let into = Field {
            nullable: true,
            ..into
        };
        *place = Some(resolver.slot(source, field, &bytes_or_text(&into, field), Both::NONE)?);
    }
    let scope = match target.names {
        Names::Now => Scope::default(),
        Names::Of { then, now } => Scope {
            then: Some(then),
            now: Some(now),
        },
    };
    intake.values = resolver.members(&values, target.columns, scope)?;
    Ok(intake)
}

/// What is kept as bytes because Kafka does may be sent as text.
fn bytes_or_text(into: &Field, sent: &ArrowField) -> Field {
    let is_text = matches!(sent.data_type(), DataType::Utf8 | DataType::LargeUtf8);
    let is_raw = [system::id::KEY, system::id::VALUE, system::id::HEADER_VALUE].contains(&into.id);
    match is_raw && is_text {
        true => Field {
            kind: Kind::String,
            ..into.clone()
        },
        false => into.clone(),
    }
}

/// Siblings of the table by which sent columns are called; without `now`, they are called by name.
#[derive(Clone, Copy, Default)]
struct Scope<'a> {
    then: Option<&'a [Field]>,
    now: Option<&'a [Field]>,
}

/// One column then and now, as far as there is one.
#[derive(Clone, Copy)]
struct Both<'a> {
    then: Option<&'a Kind>,
    now: Option<&'a Kind>,
}

impl<'a> Both<'a> {
    const NONE: Self = Self {
        then: None,
        now: None,
    };

    fn scope(self) -> Scope<'a> {
        let members = |kind: &'a Kind| match kind {
            Kind::Struct(members) => Some(members.as_slice()),
            _ => None,
        };
        Scope {
            then: self.then.and_then(members),
            now: self.now.and_then(members),
        }
    }

    /// The `nth` of what a list or map holds.
    fn child(self, nth: usize) -> Self {
        let child = |kind: &'a Kind| kind.children().nth(nth).map(|child| &child.kind);
        Self {
            then: self.then.and_then(child),
            now: self.now.and_then(child),
        }
    }
}

struct Resolver {
    is_open: bool,
}

impl Resolver {
    fn members(
        &self,
        sent: &[(usize, &FieldRef)],
        columns: &[Field],
        scope: Scope<'_>,
    ) -> Result<Members, Misfit> {
        let mut members = Members::default();
        let mut filled = vec![false; columns.len()];
        for &(source, field) in sent {
            let column = || field.name().clone();
            let (name, both) = called(field, scope)?;
            let is_it = |column: &Field| column.names().any(|own| own == name);
            let slot = match columns.iter().position(is_it) {
                Some(place) if std::mem::replace(&mut filled[place], true) => {
                    return Err(Misfit::Twice { column: column() });
                }
                Some(place) => {
                    let into = bytes_or_text(&columns[place], field);
                    self.slot(source, field, &into, both)?
                }
                None if self.is_open && members.slots.iter().any(|slot| slot.name == name) => {
                    return Err(Misfit::Twice { column: column() });
                }
                None if self.is_open => {
                    let kind = natural(field.data_type()).ok_or_else(|| Misfit::Type {
                        column: column(),
                        from: field.data_type().to_string(),
                        to: "any column of a table".to_owned(),
                    })?;
                    self.slot(source, field, &Field::draft(name, kind, true), Both::NONE)?
                }
                None => return Err(Misfit::Unknown { column: column() }),
            };
            members.slots.push(slot);
        }
        let unfilled = columns.iter().zip(filled).filter(|(_, filled)| !filled);
        let required = unfilled.filter(|(column, _)| !column.nullable);
        members.missing = required.map(|(column, _)| column.name.clone()).collect();
        Ok(members)
    }

    fn slot(
        &self,
        source: usize,
        sent: &ArrowField,
        into: &Field,
        both: Both<'_>,
    ) -> Result<Slot, Misfit> {
        let node = self.node(sent.data_type(), &into.kind, both);
        let node = node.map_err(|misfit| misfit.within(&into.name))?;
        Ok(Slot {
            source,
            name: into.name.clone(),
            nullable: into.nullable,
            kind: into.kind.name(),
            data_type: node.data_type(&into.kind),
            node,
        })
    }

    fn node(&self, from: &DataType, into: &Kind, both: Both<'_>) -> Result<Node, Misfit> {
        Ok(match (from, into) {
            (DataType::Struct(sent), Kind::Struct(columns)) if !sent.is_empty() => {
                let sent: Vec<_> = sent.iter().enumerate().collect();
                Node::Struct(self.members(&sent, columns, both.scope())?)
            }
            (DataType::List(sent) | DataType::LargeList(sent), Kind::List(element)) => {
                let element = called_in("[]", element);
                Node::List(Box::new(self.slot(0, sent, &element, both.child(0))?))
            }
            (DataType::Map(pair, _), Kind::Map { key, value }) => match pair.data_type() {
                DataType::Struct(sent) if sent.len() == 2 => {
                    let (key, value) = (called_in("{}", key), called_in("{}", value));
                    let key = self.slot(0, &sent[0], &key, both.child(0))?;
                    let value = self.slot(1, &sent[1], &value, both.child(1))?;
                    Node::Map(Box::new([key, value]))
                }
                _ => return Err(differs(from, into)),
            },
            _ => Node::Leaf(leaf(from, into).ok_or_else(|| differs(from, into))?),
        })
    }
}

/// The same field under the name by which a fault's path calls it.
fn called_in(name: &str, of: &Field) -> Field {
    Field {
        name: name.to_owned(),
        ..of.clone()
    }
}

fn differs(from: &DataType, into: &Kind) -> Misfit {
    Misfit::Type {
        column: String::new(),
        from: from.to_string(),
        to: into.name(),
    }
}

/// What the table calls a sent column now, and what it was and is.
fn called<'a>(field: &'a ArrowField, scope: Scope<'a>) -> Result<(&'a str, Both<'a>), Misfit> {
    let own = (field.name().as_str(), Both::NONE);
    let Some(now) = scope.now else {
        return Ok(own);
    };
    let given = field_id(field);
    let is_it = |column: &&Field| match given {
        Some(id) => column.id == id,
        None => column.names().any(|name| name == field.name()),
    };
    let then = scope.then.and_then(|then| then.iter().find(is_it));
    let Some(id) = given.or(then.map(|column| column.id)) else {
        // It may be a newer one.
        return Ok(own);
    };
    let now = now.iter().find(|column| column.id == id);
    let now = now.ok_or_else(|| Misfit::Unknown {
        column: field.name().clone(),
    })?;
    let both = Both {
        then: then.map(|column| &column.kind),
        now: Some(&now.kind),
    };
    Ok((&now.name, both))
}

impl Node {
    fn data_type(&self, kind: &Kind) -> DataType {
        match self {
            Self::Leaf(_) => data_type(kind),
            Self::List(item) => DataType::List(Arc::new(item.field())),
            Self::Map(pair) => {
                let [key, value] = &**pair;
                let key = key.field().with_name("key").with_nullable(false);
                let pair = Fields::from(vec![key, value.field().with_name("value")]);
                let entries = ArrowField::new("entries", DataType::Struct(pair), false);
                DataType::Map(Arc::new(entries), false)
            }
            Self::Struct(members) => DataType::Struct(members.fields()),
        }
    }
}

/// How a plain type fits a column; `None` if it does not.
fn leaf(from: &DataType, into: &Kind) -> Option<Leaf> {
    let whole = |per_source: i64, per_column: i64| Leaf::Whole {
        times: (per_column / per_source).max(1),
        over: (per_source / per_column).max(1),
    };
    Some(match (from, into) {
        (DataType::Decimal128(_, from_scale), Kind::Decimal { precision, scale }) => {
            decimal(*from_scale, *precision, *scale)
        }
        (from, Kind::Decimal { precision, scale }) if from.is_integer() => {
            decimal(0, *precision, *scale)
        }
        (DataType::Time32(unit) | DataType::Time64(unit), Kind::Time) => {
            match whole(per_second(*unit), per_second(Unit::Microsecond)) {
                Leaf::Whole { times, over } => Leaf::TimeOfDay { times, over },
                leaf => leaf,
            }
        }
        (from, into) if *from == data_type(into) => Leaf::Same,
        (DataType::LargeUtf8, Kind::String)
        | (DataType::LargeBinary | DataType::FixedSizeBinary(_), Kind::Binary) => Leaf::Bytes,
        (DataType::Float32, Kind::Double) => Leaf::SingleToDouble,
        (from, Kind::Double) if from.is_integer() => Leaf::WholeToDouble,
        (from, Kind::Int | Kind::Long) if from.is_integer() => whole(1, 1),
        (DataType::Date64, Kind::Date) => whole(DAY_MS, 1),
        (DataType::Timestamp(unit, Some(_)), Kind::Timestamp(into))
        | (DataType::Timestamp(unit, None), Kind::LocalTimestamp(into)) => {
            let into = match into {
                TimeUnit::Millisecond => Unit::Millisecond,
                TimeUnit::Microsecond => Unit::Microsecond,
            };
            whole(per_second(*unit), per_second(into))
        }
        _ => return None,
    })
}

fn decimal(from_scale: i8, precision: u8, scale: u8) -> Leaf {
    Leaf::Decimal {
        from_scale,
        precision,
        // The grammar keeps it within 38.
        scale: scale as i8,
    }
}

const fn per_second(unit: Unit) -> i64 {
    match unit {
        Unit::Second => 1,
        Unit::Millisecond => 1_000,
        Unit::Microsecond => 1_000_000,
        Unit::Nanosecond => 1_000_000_000,
    }
}

/// The type a column would have that nobody knows yet; `None` for what no table has.
fn natural(of: &DataType) -> Option<Kind> {
    let unit = |unit: &Unit| match unit {
        Unit::Second | Unit::Millisecond => TimeUnit::Millisecond,
        Unit::Microsecond | Unit::Nanosecond => TimeUnit::Microsecond,
    };
    Some(match of {
        DataType::Boolean => Kind::Bool,
        DataType::Int8 | DataType::Int16 | DataType::Int32 => Kind::Int,
        DataType::UInt8 | DataType::UInt16 => Kind::Int,
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => Kind::Long,
        DataType::Float32 => Kind::Float,
        DataType::Float64 => Kind::Double,
        DataType::Decimal128(precision, scale) => Kind::Decimal {
            precision: *precision,
            scale: u8::try_from(*scale).ok()?,
        },
        DataType::Utf8 | DataType::LargeUtf8 => Kind::String,
        DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) => Kind::Binary,
        DataType::Date32 | DataType::Date64 => Kind::Date,
        DataType::Time32(_) | DataType::Time64(_) => Kind::Time,
        DataType::Timestamp(of, Some(_)) => Kind::Timestamp(unit(of)),
        DataType::Timestamp(of, None) => Kind::LocalTimestamp(unit(of)),
        DataType::List(item) | DataType::LargeList(item) => {
            Kind::list_of(natural(item.data_type())?)
        }
        DataType::Map(pair, _) => match pair.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                let key = natural(pair[0].data_type()).filter(Kind::is_map_key)?;
                Kind::map_of(key, natural(pair[1].data_type())?)
            }
            _ => return None,
        },
        DataType::Struct(members) => {
            let member = |of: &FieldRef| {
                let kind = natural(of.data_type())?;
                Some(Field::draft(of.name(), kind, true))
            };
            Kind::Struct(members.iter().map(member).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}
