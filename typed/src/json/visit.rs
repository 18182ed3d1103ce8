//! The walk: serde visitors that append to columns.
//!
//! serde's errors carry no data, so the first fault is laid aside in [`Walk`] with its path, and
//! the error that unwinds is an empty one.

use std::cell::RefCell;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Fault, Reason};
use crate::column::{Column, Data, Full, Group, Nested};
use crate::infer::says_something;
use crate::scalar;
use crate::schema::{Kind, TimeUnit};

/// What a JSON value that is no object is called at the top.
const TOP: &str = "object";

/// The first fault of a row, as far as there is one; its path is built from the inside out.
#[derive(Default)]
pub(super) struct Walk {
    fault: RefCell<Option<(Fault, String)>>,
    /// Members without a column are a fault, unless they hold nothing but nulls.
    strict: bool,
}

impl Walk {
    pub(super) fn strict() -> Self {
        Self {
            strict: true,
            ..Self::default()
        }
    }

    /// Walks one value into one row of `columns`, each of which has `rows`.
    pub(super) fn row(&self, columns: &mut Group, rows: usize, value: &[u8]) -> Result<(), Reason> {
        // All of it at once is cheaper than string by string; where it is no UTF-8, the walk says at which
        // line and column.
        match std::str::from_utf8(value) {
            Ok(text) => self.object(columns, rows, serde_json::Deserializer::from_str(text)),
            Err(_) => self.object(columns, rows, serde_json::Deserializer::from_slice(value)),
        }
    }

    fn object<'de, R: serde_json::de::Read<'de>>(
        &self,
        group: &mut Group,
        rows: usize,
        mut text: serde_json::Deserializer<R>,
    ) -> Result<(), Reason> {
        let top = ObjectVisitor {
            walk: self,
            group,
            rows,
        };
        text.deserialize_any(top)
            .and_then(|()| text.end())
            .map_err(|error| self.reason(&error))
    }

    /// Walks one value into `column`; on an error it may be half there.
    pub(super) fn value(&self, column: &mut Column, text: &str) -> Result<(), Reason> {
        let seed = ValueSeed { walk: self, column };
        seed.deserialize(&mut serde_json::Deserializer::from_str(text))
            .map_err(|error| self.reason(&error))
    }

    fn reason(&self, error: &serde_json::Error) -> Reason {
        match self.fault.take() {
            Some((Fault::Type { expected, found }, path)) if path.is_empty() && expected == TOP => {
                Reason::NotAnObject { found }
            }
            Some((fault, path)) => Reason::Field { path, fault },
            None => Reason::NotJson(error.to_string()),
        }
    }

    /// Lays the fault aside and starts the unwinding.
    fn stop<T, E: de::Error>(&self, fault: Fault) -> Result<T, E> {
        *self.fault.borrow_mut() = Some((fault, String::new()));
        Err(E::custom(""))
    }

    /// On the way out: the fault lies inside `name`.
    fn within(&self, name: &str) {
        if let Some((_, path)) = self.fault.borrow_mut().as_mut() {
            *path = super::join(name, path);
        }
    }

    fn full<E: de::Error>(&self, result: Result<(), Full>) -> Result<(), E> {
        result.or_else(|Full| self.stop(Fault::Full))
    }
}

/// Fills one row of a group of columns from one object.
struct ObjectVisitor<'a> {
    walk: &'a Walk,
    group: &'a mut Group,
    rows: usize,
}

impl<'de> Visitor<'de> for ObjectVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(TOP)
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<(), A::Error> {
        object(self.walk, self.group, self.rows, members)
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        self.refuse("boolean")
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        self.refuse("number")
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        self.refuse("number")
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        self.refuse("number")
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        self.refuse("string")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.refuse("null")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        self.refuse("array")
    }
}

impl ObjectVisitor<'_> {
    fn refuse<E: de::Error>(&self, found: &'static str) -> Result<(), E> {
        let expected = TOP.to_owned();
        self.walk.stop(Fault::Type { expected, found })
    }
}

/// Appends one value to every column of `group`, each of which has `rows`: its member's, or null.
fn object<'de, A: MapAccess<'de>>(
    walk: &Walk,
    group: &mut Group,
    rows: usize,
    mut members: A,
) -> Result<(), A::Error> {
    let mut expected = 0;
    while let Some(found) = members.next_key_seed(NameSeed { group, expected })? {
        let Some(index) = found else {
            unknown(walk, &mut members)?;
            continue;
        };
        expected = index + 1;
        let column = &mut group.columns[index];
        let appended = if column.len() > rows {
            walk.stop(Fault::Twice)
        } else {
            members.next_value_seed(ValueSeed { walk, column })
        };
        if let Err(error) = appended {
            walk.within(group.name(index));
            return Err(error);
        }
    }
    group.end_row(rows).or_else(|index| {
        let missing = walk.stop(Fault::Missing);
        walk.within(group.name(index));
        missing
    })
}

/// Passes over a member that has no column.
fn unknown<'de, A: MapAccess<'de>>(walk: &Walk, members: &mut A) -> Result<(), A::Error> {
    if !walk.strict {
        members.next_value::<IgnoredAny>()?;
        return Ok(());
    }
    let value: &RawValue = members.next_value()?;
    if says_something(value.get()) {
        return walk.stop(Fault::NoColumn);
    }
    Ok(())
}

/// Reads a member's name; answers its column, or `None` for a field the table does not have.
struct NameSeed<'a> {
    group: &'a Group,
    expected: usize,
}

impl<'de> DeserializeSeed<'de> for NameSeed<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, name: D) -> Result<Self::Value, D::Error> {
        name.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.group.find(name, self.expected))
    }
}

/// Appends one value to one column.
struct ValueSeed<'a> {
    walk: &'a Walk,
    column: &'a mut Column,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(mut self, value: D) -> Result<(), D::Error> {
        if let Data::Decimal(_) = self.column.data {
            // A number's digits are lost in a double: look at the text itself.
            let raw: &RawValue = de::Deserialize::deserialize(value)?;
            return self.decimal(raw.get());
        }
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.column.kind.name())
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        if !self.column.nullable {
            return self.walk.stop(Fault::Missing);
        }
        self.column.push_absent();
        Ok(())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        match &mut self.column.data {
            Data::Bool(bits) => bits.append(value),
            _ => return self.mismatch("boolean"),
        }
        self.set()
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => match &self.column.data {
                Data::Int(_) | Data::Long(_) => self.wrong_value(),
                _ => self.visit_f64(value as f64),
            },
        }
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        match &mut self.column.data {
            Data::Long(_) if self.column.kind == Kind::Time && !scalar::is_time_us(value) => {
                return self.wrong_value();
            }
            Data::Long(values) => values.push(value),
            Data::Int(values) => match i32::try_from(value) {
                Ok(value) => values.push(value),
                Err(_) => return self.wrong_value(),
            },
            Data::Double(values) => values.push(value as f64),
            Data::Float(values) => values.push(value as f32),
            _ => return self.mismatch("number"),
        }
        self.set()
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        match &mut self.column.data {
            Data::Double(values) => values.push(value),
            Data::Float(values) => {
                let narrow = value as f32;
                if narrow.is_infinite() {
                    return self.wrong_value();
                }
                values.push(narrow);
            }
            Data::Int(_) | Data::Long(_) => return self.wrong_value(),
            _ => return self.mismatch("number"),
        }
        self.set()
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        let walk = self.walk;
        match (&mut self.column.data, &self.column.kind) {
            (Data::Text(blob), _) => walk.full(blob.push(text.as_bytes()))?,
            (Data::Binary(blob), _) => match base64_bytes(text) {
                Some(bytes) => walk.full(blob.push(&bytes))?,
                None => return self.wrong_value(),
            },
            (Data::Int(values), Kind::Date) => match scalar::date(text) {
                Some(days) => values.push(days),
                None => return self.wrong_value(),
            },
            (Data::Long(values), Kind::Timestamp(unit)) => match moment(text, *unit) {
                Some(count) => values.push(count),
                None => return self.wrong_value(),
            },
            (Data::Long(values), Kind::LocalTimestamp(unit)) => match local(text, *unit) {
                Some(count) => values.push(count),
                None => return self.wrong_value(),
            },
            (Data::Long(values), Kind::Time) => match scalar::time_us(text) {
                Some(us) => values.push(us),
                None => return self.wrong_value(),
            },
            _ => return self.mismatch("string"),
        }
        self.set()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let walk = self.walk;
        let Data::List(list) = &mut self.column.data else {
            return self.mismatch("array");
        };
        loop {
            let column = &mut list.items;
            match items.next_element_seed(ValueSeed { walk, column }) {
                Ok(Some(())) => {}
                Ok(None) => break,
                Err(error) => {
                    walk.within("[]");
                    return Err(error);
                }
            }
        }
        let len = list.items.len();
        walk.full(list.end(len))?;
        self.set()
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<(), A::Error> {
        let rows = self.column.len();
        match &mut self.column.data {
            Data::Struct(group) => object(self.walk, group, rows, members)?,
            Data::Map(map) => entries(self.walk, map, members)?,
            _ => return self.mismatch("object"),
        }
        self.set()
    }
}

impl ValueSeed<'_> {
    fn set<E>(self) -> Result<(), E> {
        self.column.set();
        Ok(())
    }

    fn mismatch<E: de::Error>(&self, found: &'static str) -> Result<(), E> {
        let expected = self.column.kind.name();
        self.walk.stop(Fault::Type { expected, found })
    }

    fn wrong_value<E: de::Error>(&self) -> Result<(), E> {
        let expected = self.column.kind.name();
        self.walk.stop(Fault::Value { expected })
    }

    /// `raw` is one JSON value, checked: a number, or a string of one.
    fn decimal<E: de::Error>(&mut self, raw: &str) -> Result<(), E> {
        let found = match raw.as_bytes().first() {
            Some(b'n') if !self.column.nullable => return self.walk.stop(Fault::Missing),
            Some(b'n') => {
                self.column.push_absent();
                return Ok(());
            }
            Some(b't' | b'f') => Some("boolean"),
            Some(b'[') => Some("array"),
            Some(b'{') => Some("object"),
            _ => None,
        };
        if let Some(found) = found {
            return self.mismatch(found);
        }
        // Digits need no escapes: a string with one is no number.
        let text = raw
            .strip_prefix('"')
            .and_then(|raw| raw.strip_suffix('"'))
            .unwrap_or(raw);
        let value = match self.column.kind {
            Kind::Decimal { precision, scale } => scalar::decimal(text, precision, scale),
            _ => None,
        };
        match (&mut self.column.data, value) {
            (Data::Decimal(values), Some(value)) => values.push(value),
            _ => return self.wrong_value(),
        }
        self.column.set();
        Ok(())
    }
}

/// Appends one map; a key may stand in it once.
fn entries<'de, A: MapAccess<'de>>(
    walk: &Walk,
    map: &mut Nested<crate::column::Entries>,
    mut members: A,
) -> Result<(), A::Error> {
    let from = map.items.keys.len();
    while let Some(()) = members.next_key_seed(KeySeed { walk, map })? {
        let column = &mut map.items.values;
        if let Err(error) = members.next_value_seed(ValueSeed { walk, column }) {
            walk.within("{}");
            return Err(error);
        }
    }
    if map.items.has_twins(from) {
        return walk.stop(Fault::Twice);
    }
    let len = map.items.keys.len();
    walk.full(map.end(len))
}

struct KeySeed<'a> {
    walk: &'a Walk,
    map: &'a mut Nested<crate::column::Entries>,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<(), D::Error> {
        key.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<(), E> {
        let column = &mut self.map.items.keys;
        let fits = match &mut column.data {
            Data::Text(blob) => {
                self.walk.full(blob.push(key.as_bytes()))?;
                true
            }
            Data::Long(keys) => scalar::whole(key).map(|key| keys.push(key)).is_some(),
            Data::Int(keys) => {
                let key = scalar::whole(key).and_then(|key| i32::try_from(key).ok());
                key.map(|key| keys.push(key)).is_some()
            }
            Data::Bool(keys) => key.parse().map(|key| keys.append(key)).is_ok(),
            _ => false,
        };
        if !fits {
            let expected = column.kind.name();
            return self.walk.stop(Fault::Value { expected });
        }
        column.set();
        Ok(())
    }
}

fn moment(text: &str, unit: TimeUnit) -> Option<i64> {
    in_unit(scalar::moment_us(text)?, unit)
}

fn local(text: &str, unit: TimeUnit) -> Option<i64> {
    in_unit(scalar::local_us(text)?, unit)
}

fn in_unit(us: i64, unit: TimeUnit) -> Option<i64> {
    match unit {
        TimeUnit::Microsecond => Some(us),
        TimeUnit::Millisecond => (us % 1000 == 0).then_some(us / 1000),
    }
}

/// RFC 4648, standard alphabet, with padding.
fn base64_bytes(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}
