//! From what was seen to fields.

use std::collections::HashSet;

use super::MEMBERS_MAX;
use super::raw::{Sibling, Type};
use super::shape::{Members, Shape};
use crate::schema::{Field, Kind, TimeUnit};

/// `fields`, grown by what was seen of their members, new members and siblings behind them. New members
/// stop at `columns_max` fields; false if some did not find room.
pub(super) fn grown(fields: &[Field], seen: &Members, columns_max: usize) -> (Vec<Field>, bool) {
    let mut out = Columns::default();
    for field in fields {
        let mut kind = field.kind.without_ids();
        for name in field.names() {
            if let Some(shape) = seen.get(name) {
                let (grown, siblings) = grow(&kind, shape);
                kind = grown;
                out.wanted(name, siblings);
            }
        }
        out.push(&field.name, kind, field.nullable);
    }
    let known: HashSet<_> = fields.iter().flat_map(Field::names).collect();
    let mut whole = seen.crowd.is_none();
    for (name, shape) in &seen.list {
        if known.contains(name) {
            continue;
        }
        if out.fields.len() >= columns_max {
            whole = false;
            continue;
        }
        let (kind, siblings) = new(shape);
        if let Some(kind) = kind {
            out.push(name, kind, true);
        }
        out.wanted(name, siblings);
    }
    (out.finish(), whole)
}

/// Columns of one struct, none twice. Siblings come last: a member of that name is one itself.
#[derive(Default)]
pub(crate) struct Columns {
    fields: Vec<Field>,
    siblings: Vec<Field>,
}

impl Columns {
    pub(crate) fn push(&mut self, name: &str, kind: Kind, nullable: bool) {
        self.fields.push(Field::draft(name, kind, nullable));
    }

    pub(crate) fn wanted(&mut self, of: &str, siblings: Vec<Sibling>) {
        let fields = siblings
            .into_iter()
            .map(|sibling| Field::draft(sibling.name(of), sibling.kind(), true));
        self.siblings.extend(fields);
    }

    pub(crate) fn finish(mut self) -> Vec<Field> {
        let names = self.fields.iter().map(|field| field.name.clone());
        let mut names: HashSet<_> = names.collect();
        self.siblings
            .retain(|field| names.insert(field.name.clone()));
        self.fields.append(&mut self.siblings);
        self.fields
    }
}

/// A column of the table with what is new inside it, and the siblings it needs.
fn grow(kind: &Kind, seen: &Shape) -> (Kind, Vec<Sibling>) {
    let mut siblings = seen.siblings(None);
    let (kind, whole) = grow_kind(kind, seen);
    if !whole && !siblings.contains(&Sibling::Json) {
        siblings.push(Sibling::Json);
    }
    (kind, siblings)
}

/// False if some of what was seen does not fit in.
fn grow_kind(kind: &Kind, seen: &Shape) -> (Kind, bool) {
    let items = seen.items.as_deref();
    match kind {
        Kind::Struct(fields) => match seen.members.as_deref() {
            Some(members) => {
                let (fields, whole) = grown(fields, members, MEMBERS_MAX);
                (Kind::Struct(fields), whole)
            }
            None => (kind.without_ids(), true),
        },
        Kind::List(element) => {
            let (element, whole) = grow_item(element, items);
            (Kind::list_of(element), whole)
        }
        Kind::Map { key, value } => {
            let (value, whole) = grow_item(value, items);
            (Kind::map_of(key.kind.clone(), value), whole)
        }
        plain => (plain.clone(), true),
    }
}

fn grow_item(item: &Field, seen: Option<&Shape>) -> (Kind, bool) {
    match seen {
        Some(seen) => grow_kind(&item.kind, seen),
        None => (item.kind.without_ids(), true),
    }
}

/// A new column and its siblings; no column for what only text can hold, or nothing.
fn new(seen: &Shape) -> (Option<Kind>, Vec<Sibling>) {
    let main = Main::of(seen);
    let mut siblings = seen.siblings(main.as_ref().map(|main| main.found));
    let as_text = match &main {
        None => says(seen),
        Some(main) => !main.whole || main.leaves_nested(seen),
    };
    if as_text && !siblings.contains(&Sibling::Json) {
        siblings.push(Sibling::Json);
    }
    (main.map(|main| main.kind), siblings)
}

/// The type most values at a place have.
struct Main {
    found: Type,
    kind: Kind,
    /// False if some arrays or objects do not fit.
    whole: bool,
}

impl Main {
    /// `None` if no value says anything, or only text can hold them.
    fn of(seen: &Shape) -> Option<Self> {
        let plain = |found, count, kind| {
            (
                count,
                Some(Self {
                    found,
                    kind,
                    whole: true,
                }),
            )
        };
        let number = seen.number();
        let number_found = match number {
            Sibling::Double => Type::Double,
            _ => Type::Long,
        };
        let candidates = [
            (seen.objects, Self::of_objects(seen)),
            (seen.arrays, Self::of_arrays(seen)),
            plain(Type::String, seen.strings, text_kind(seen)),
            plain(number_found, seen.longs + seen.doubles, number.kind()),
            plain(Type::Bool, seen.bools, Kind::Bool),
        ];
        // The first of those seen most often: `max_by_key` takes the last.
        let seen = candidates.into_iter().rev().filter(|(count, _)| *count > 0);
        let seen = seen.filter_map(|(count, main)| Some((count, main?)));
        seen.max_by_key(|(count, _)| *count).map(|(_, main)| main)
    }

    fn of_arrays(seen: &Shape) -> Option<Self> {
        let items = seen.items.as_deref()?;
        let item = Self::of(items)?;
        Some(Self {
            found: Type::Array,
            whole: item.takes_all(items),
            kind: Kind::list_of(item.kind),
        })
    }

    fn of_objects(seen: &Shape) -> Option<Self> {
        let members = seen.members.as_deref()?;
        let found = Type::Object;
        if let Some(crowd) = &members.crowd {
            let mut values = Shape::default();
            values.absorb(crowd);
            members
                .list
                .iter()
                .for_each(|(_, shape)| values.absorb(shape));
            let value = Self::of(&values)?;
            let whole = value.takes_all(&values);
            let kind = Kind::map_of(Kind::String, value.kind);
            return Some(Self { found, kind, whole });
        }
        let (fields, whole) = grown(&[], members, MEMBERS_MAX);
        let kind = Kind::Struct(fields);
        let some = matches!(&kind, Kind::Struct(fields) if !fields.is_empty());
        some.then_some(Self { found, kind, whole })
    }

    /// True if every value seen fits. Inside lists and maps, where there are no siblings, that is asked
    /// of empty arrays and objects too.
    fn takes_all(&self, seen: &Shape) -> bool {
        let arrays = self.found != Type::Array && seen.arrays > 0;
        let objects = self.found != Type::Object && seen.objects > 0;
        let nested = arrays || objects;
        self.whole && !nested && seen.siblings(Some(self.found)).is_empty()
    }

    /// True if there are arrays or objects beside it that say something.
    fn leaves_nested(&self, seen: &Shape) -> bool {
        let arrays = self.found != Type::Array && seen.items.as_deref().is_some_and(says);
        let objects = self.found != Type::Object && seen.members.as_deref().is_some_and(any_says);
        arrays || objects
    }
}

fn says(seen: &Shape) -> bool {
    let plain = seen.bools + seen.longs + seen.doubles + seen.strings > 0;
    plain
        || seen.json
        || seen.items.as_deref().is_some_and(says)
        || seen.members.as_deref().is_some_and(any_says)
}

fn any_says(seen: &Members) -> bool {
    seen.crowd.is_some() || seen.list.iter().any(|(_, shape)| says(shape))
}

/// Beside numbers texts stay texts: a date column would take numbers as days.
fn text_kind(seen: &Shape) -> Kind {
    let numbers = seen.longs + seen.doubles;
    if seen.moments == seen.strings && numbers == 0 {
        Kind::Timestamp(TimeUnit::Microsecond)
    } else if seen.dates == seen.strings && numbers == 0 {
        Kind::Date
    } else {
        Kind::String
    }
}
