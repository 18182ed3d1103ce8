//! What was seen at each place of the values.

use std::collections::HashMap;

use serde_json::Error;

use super::raw::{self, Sibling, Type, says_something};
use super::{LEVELS_MAX, MEMBERS_MAX, is_nameable};
use crate::schema::{Field, Kind};
use crate::{json, scalar};

/// How observing goes, and how much more may be remembered.
#[derive(Debug)]
pub(super) struct Learning {
    dates_from_text: bool,
    shapes_left: usize,
    /// How deep the place looked at lies.
    level: usize,
}

/// What was seen at one place.
///
/// Under a column of the table only what does not fit is counted, while `array` and `object` lead to
/// what is new inside it.
#[derive(Debug, Default)]
pub(super) struct Shape {
    pub(super) bools: usize,
    pub(super) longs: usize,
    pub(super) doubles: usize,
    pub(super) strings: usize,
    /// Of the strings: RFC 3339 moments, dates.
    pub(super) moments: usize,
    pub(super) dates: usize,
    pub(super) arrays: usize,
    pub(super) objects: usize,
    /// Of the items of all arrays, or the values of a map of the table.
    pub(super) items: Option<Box<Shape>>,
    pub(super) members: Option<Box<Members>>,
    /// There was an array or object that only text can hold.
    pub(super) json: bool,
}

/// The members of all objects at one place, in order of appearance.
#[derive(Debug, Default)]
pub(super) struct Members {
    places: HashMap<String, usize>,
    pub(super) list: Vec<(String, Shape)>,
    /// All members behind the first [`MEMBERS_MAX`].
    pub(super) crowd: Option<Box<Shape>>,
}

impl Learning {
    pub(super) fn new(dates_from_text: bool, shapes_max: usize) -> Self {
        Self {
            dates_from_text,
            shapes_left: shapes_max,
            level: 0,
        }
    }

    fn one_down<T>(&mut self, look: impl FnOnce(&mut Self) -> T) -> T {
        self.level += 1;
        let seen = look(self);
        self.level -= 1;
        seen
    }

    fn is_top(&self) -> bool {
        self.level == 0
    }
}

impl Members {
    /// Learns what `fields` do not take of `object`. Answers false for an object that no struct can
    /// hold whole.
    pub(super) fn observe(
        &mut self,
        fields: &[Field],
        object: &str,
        learning: &mut Learning,
    ) -> Result<bool, Error> {
        let mut places = HashMap::new();
        for field in fields {
            places.extend(field.names().map(|name| (name.as_str(), field)));
        }
        let mut whole = true;
        let has_sibling = |name: &str, of: Type| {
            let mut names = of.siblings().iter().map(|sibling| sibling.name(name));
            names.any(|name| places.contains_key(&*name))
        };
        let room = fields.len() + MEMBERS_MAX;
        let ended = raw::each_member(object, |name, value| {
            let found = Type::of(value);
            if let Some(field) = places.get(&*name) {
                let fits = if field.kind.children().next().is_none() {
                    json::takes(&field.kind, value)
                } else if let Some(shape) = self.entry(&name, room, learning) {
                    shape.fits(&field.kind, value, learning)?
                } else {
                    true
                };
                if !fits
                    && !has_sibling(&name, found)
                    && says_something(value)
                    && let Some(shape) = self.entry(&name, room, learning)
                {
                    shape.misfit(found);
                }
            } else if !has_sibling(&name, found) && says_something(value) {
                let is_full = !learning.is_top() && fields.len() >= MEMBERS_MAX;
                if is_full || !is_nameable(&name, learning.is_top()) {
                    whole = false;
                } else if let Some(shape) = self.entry(&name, room, learning) {
                    learning.one_down(|learning| shape.observe(value, learning))?;
                }
            }
            Ok(())
        })?;
        ended.map(|()| whole)
    }

    /// The shape of a member; `None` when no more can be remembered.
    fn entry(&mut self, name: &str, room: usize, learning: &mut Learning) -> Option<&mut Shape> {
        if let Some(place) = self.places.get(name) {
            return self.list.get_mut(*place).map(|(_, shape)| shape);
        }
        if !learning.is_top() && self.list.len() >= room {
            return Some(self.crowd.get_or_insert_default());
        }
        learning.shapes_left = learning.shapes_left.checked_sub(1)?;
        self.places.insert(name.to_owned(), self.list.len());
        self.list.push((name.to_owned(), Shape::default()));
        self.list.last_mut().map(|(_, shape)| shape)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Shape> {
        let place = self.places.get(name)?;
        self.list.get(*place).map(|(_, shape)| shape)
    }
}

impl Shape {
    /// Learns from a value at a place that has no column yet.
    fn observe(&mut self, value: &str, learning: &mut Learning) -> Result<(), Error> {
        let deep = learning.level >= LEVELS_MAX;
        match Type::of(value) {
            Type::Array | Type::Object if deep => self.json |= says_something(value),
            Type::Array => {
                self.arrays += 1;
                let items = self.items.get_or_insert_default();
                raw::each_item(value, |item| {
                    learning.one_down(|learning| items.observe(item, learning))
                })??;
            }
            Type::Object => {
                self.objects += 1;
                let members = self.members.get_or_insert_default();
                self.json |= !members.observe(&[], value, learning)?;
            }
            Type::String => {
                self.strings += 1;
                if learning.dates_from_text {
                    let text = value.trim_matches('"');
                    self.moments += usize::from(scalar::moment_us(text).is_some());
                    self.dates += usize::from(scalar::date(text).is_some());
                }
            }
            plain => self.misfit(plain),
        }
        Ok(())
    }

    /// Learns what is new inside `kind`; false for a value that no change of `kind` lets in.
    fn fits(&mut self, kind: &Kind, value: &str, learning: &mut Learning) -> Result<bool, Error> {
        let mut fits = true;
        match (kind, Type::of(value)) {
            (Kind::Struct(fields), Type::Object) => {
                let members = self.members.get_or_insert_default();
                return learning.one_down(|learning| members.observe(fields, value, learning));
            }
            (Kind::List(element), Type::Array) => {
                let items = self.items.get_or_insert_default();
                raw::each_item(value, |item| {
                    fits &=
                        learning.one_down(|learning| items.fits(&element.kind, item, learning))?;
                    Ok::<_, Error>(())
                })??;
            }
            (Kind::Map { value: field, .. }, Type::Object) => {
                let values = self.items.get_or_insert_default();
                raw::each_member(value, |_, item| {
                    fits &=
                        learning.one_down(|learning| values.fits(&field.kind, item, learning))?;
                    Ok::<_, Error>(())
                })??;
            }
            _ => fits = json::takes(kind, value),
        }
        Ok(fits)
    }

    /// Counts a value for a sibling, or for a column that is only plain.
    fn misfit(&mut self, found: Type) {
        match found {
            Type::Null => {}
            Type::Bool => self.bools += 1,
            Type::Long => self.longs += 1,
            Type::Double => self.doubles += 1,
            Type::String => self.strings += 1,
            Type::Array | Type::Object => self.json = true,
        }
    }

    /// The siblings for what was counted, but for what a column of `beside` takes.
    pub(super) fn siblings(&self, beside: Option<Type>) -> Vec<Sibling> {
        let is_number = matches!(beside, Some(Type::Long | Type::Double));
        let counted = |found: Type, count: usize| count > 0 && beside != Some(found);
        let mut siblings = Vec::new();
        if counted(Type::Bool, self.bools) {
            siblings.push(Sibling::Bool);
        }
        if self.longs + self.doubles > 0 && !is_number {
            siblings.push(self.number());
        }
        if counted(Type::String, self.strings) {
            siblings.push(Sibling::String);
        }
        if self.json {
            siblings.push(Sibling::Json);
        }
        siblings
    }

    /// The one type for all numbers seen.
    pub(super) fn number(&self) -> Sibling {
        if self.doubles > 0 {
            Sibling::Double
        } else {
            Sibling::Long
        }
    }

    /// Takes in what was seen at another place.
    pub(super) fn absorb(&mut self, other: &Self) {
        self.bools += other.bools;
        self.longs += other.longs;
        self.doubles += other.doubles;
        self.strings += other.strings;
        self.moments += other.moments;
        self.dates += other.dates;
        self.arrays += other.arrays;
        self.objects += other.objects;
        self.json |= other.json;
        if let Some(items) = &other.items {
            self.items.get_or_insert_default().absorb(items);
        }
        if let Some(members) = &other.members {
            self.members.get_or_insert_default().absorb(members);
        }
    }
}

impl Members {
    fn absorb(&mut self, other: &Self) {
        for (name, shape) in &other.list {
            let place = match self.places.get(name) {
                Some(place) => self.list.get_mut(*place).map(|(_, own)| own),
                None if self.list.len() < MEMBERS_MAX => {
                    self.places.insert(name.clone(), self.list.len());
                    self.list.push((name.clone(), Shape::default()));
                    self.list.last_mut().map(|(_, own)| own)
                }
                None => Some(&mut **self.crowd.get_or_insert_default()),
            };
            if let Some(own) = place {
                own.absorb(shape);
            }
        }
        if let Some(crowd) = &other.crowd {
            self.crowd.get_or_insert_default().absorb(crowd);
        }
    }
}
