//! The walk: one message, field by field, into one row of columns.
//!
//! A scalar is appended where it stands and taken back when it comes again. Elements of lists and
//! entries of maps are appended as they come, with whatever between: a row's elements are the last
//! ones of their column. A message is kept by reference until the message around it was read, since
//! more of it may come; parts are joined, which is what merging means.

use std::borrow::Cow;

use super::json_value;
use super::leaf::{Leaf, VALUE_BYTES};
use super::plan::{Composite, Element, Fill, Message, Shape, Slot};
use super::stop::{Step, Stop, misplaced};
use super::wire::{Reader, Token};
use crate::column::{Column, Data, Entries, Group, Nested};
use crate::json::{Fault, Reason};

/// A row may take this much, whatever its value's size …
const ROW_BYTES_FREE: usize = 64 << 20;
/// … or so many times its value's size …
const ROW_BYTES_FACTOR: usize = 16;
/// … but never more than this: a column's positions have 32 bits.
const ROW_BYTES_MAX: usize = 1 << 30;

/// The seconds of 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z, between which Timestamps lie.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// Appends one row; on an error something of it may be left.
pub(super) fn append(
    plan: &Message,
    columns: &mut Group,
    row: usize,
    value: &[u8],
) -> Result<(), Reason> {
    let bytes = value.len().saturating_mul(ROW_BYTES_FACTOR);
    let mut walk = Walk {
        bytes_left: bytes.clamp(ROW_BYTES_FREE, ROW_BYTES_MAX),
    };
    walk.message(plan, &mut columns.columns, row, value)
        .map_err(|stop| stop.reason())
}

struct Walk {
    /// What the row may still take.
    bytes_left: usize,
}

/// A message field while the message around it is read.
#[derive(Clone)]
enum Pending<'a> {
    Absent,
    Once(&'a [u8]),
    Joined(Vec<u8>),
}

/// What is kept about one message while it is read.
struct Open<'a> {
    pending: Vec<Pending<'a>>,
    /// The slot that was last set, by oneof.
    chosen: Vec<Option<usize>>,
}

impl Walk {
    fn message(
        &mut self,
        plan: &Message,
        columns: &mut [Column],
        row: usize,
        bytes: &[u8],
    ) -> Step {
        let mut open = Open {
            pending: vec![Pending::Absent; plan.messages],
            chosen: vec![None; plan.oneofs],
        };
        let mut reader = Reader::new(bytes);
        let mut expected = 0;
        while let Some((number, token)) = reader.field()? {
            let Some(index) = plan.find(number, expected) else {
                continue;
            };
            expected = index + 1;
            let slot = &plan.slots[index];
            if slot.oneof.is_some() {
                open.choose(plan, index, columns, row);
            }
            if let Some(column) = slot.column {
                self.field(slot, &mut columns[column], row, token, &mut open)
                    .map_err(|stop| stop.within(&slot.name))?;
            }
        }
        for index in &plan.ends {
            let slot = &plan.slots[*index];
            if let Some(column) = slot.column {
                self.end(slot, &mut columns[column], &mut open)
                    .map_err(|stop| stop.within(&slot.name))?;
            }
        }
        for (index, column) in columns.iter_mut().enumerate() {
            if column.len() == row {
                fill(&plan.fills[index], column)
                    .map_err(|stop| stop.within(plan.column_name(index)))?;
            }
        }
        Ok(())
    }

    /// One occurrence of a field.
    #[inline]
    fn field<'a>(
        &mut self,
        slot: &Slot,
        column: &mut Column,
        row: usize,
        token: Token<'a>,
        open: &mut Open<'a>,
    ) -> Step {
        match &slot.shape {
            Shape::One(leaf) => {
                if column.len() > row {
                    column.truncate(row);
                }
                leaf.append(column, token)
            }
            Shape::Message(at, _) => {
                let part = message_bytes(token)?;
                open.pending[*at].join(part);
                Ok(())
            }
            Shape::List(element) => match &mut column.data {
                Data::List(list) => self.element(element, &mut list.items, token),
                _ => Err(misplaced(column)),
            },
            Shape::Map { key, value } => match &mut column.data {
                Data::Map(map) => self.entry(key, value, &mut map.items, message_bytes(token)?),
                _ => Err(misplaced(column)),
            },
            Shape::Passed => Ok(()),
        }
    }

    /// Completes a message, list or map once all of it was read.
    fn end(&mut self, slot: &Slot, column: &mut Column, open: &mut Open<'_>) -> Step {
        match (&slot.shape, &mut column.data) {
            (Shape::Message(at, composite), _) => {
                match std::mem::replace(&mut open.pending[*at], Pending::Absent) {
                    // Null, by the column's fill.
                    Pending::Absent => Ok(()),
                    Pending::Once(bytes) => self.composite(composite, column, bytes),
                    Pending::Joined(bytes) => self.composite(composite, column, &bytes),
                }
            }
            (Shape::List(_), Data::List(list)) => {
                let len = list.items.len();
                list.end(len)?;
                column.set();
                Ok(())
            }
            (Shape::Map { .. }, Data::Map(map)) => {
                end_map(map)?;
                column.set();
                Ok(())
            }
            _ => Err(misplaced(column)),
        }
    }

    /// One element of a list, or several packed ones.
    fn element(&mut self, element: &Element, items: &mut Column, token: Token<'_>) -> Step {
        let stop = |stop: Box<Stop>| stop.within("[]");
        match (element, token) {
            (Element::One(leaf), Token::Bytes(packed)) if leaf.scalar.is_packable() => {
                let mut reader = Reader::new(packed);
                while let Some(token) = reader.packed(&leaf.scalar)? {
                    self.spend(leaf.bytes)?;
                    leaf.append(items, token).map_err(stop)?;
                }
                Ok(())
            }
            (Element::One(leaf), token) => {
                self.spend(leaf.bytes)?;
                leaf.append(items, token).map_err(stop)
            }
            (Element::Message(composite), token) => {
                self.spend(VALUE_BYTES)?;
                let bytes = message_bytes(token).map_err(stop)?;
                self.composite(composite, items, bytes).map_err(stop)
            }
        }
    }

    /// One entry of a map: a message with the key as field 1 and the value as field 2.
    fn entry(&mut self, key: &Leaf, value: &Element, entries: &mut Entries, bytes: &[u8]) -> Step {
        self.spend(2 * VALUE_BYTES)?;
        let (mut last_key, mut last) = (key.scalar.token(0, &[]), None);
        let mut parts = Pending::Absent;
        let mut reader = Reader::new(bytes);
        while let Some((number, token)) = reader.field()? {
            match (number, value) {
                (1, _) => last_key = token,
                (2, Element::One(_)) => last = Some(token),
                (2, Element::Message(_)) => parts.join(message_bytes(token)?),
                _ => {}
            }
        }
        key.append(&mut entries.keys, last_key)
            .map_err(|stop| stop.within("{key}"))?;
        let column = &mut entries.values;
        let added = match value {
            Element::One(leaf) => {
                let token = last.unwrap_or_else(|| leaf.scalar.token(0, &[]));
                self.spend(leaf.bytes)?;
                leaf.append(column, token)
            }
            Element::Message(composite) => self.composite(composite, column, &parts.bytes()),
        };
        added.map_err(|stop| stop.within("{}"))
    }

    fn composite(&mut self, composite: &Composite, column: &mut Column, bytes: &[u8]) -> Step {
        let row = column.len();
        match (composite, &mut column.data) {
            (Composite::Struct(plan), Data::Struct(group)) => {
                self.spend(plan.row_bytes)?;
                self.message(plan, &mut group.columns, row, bytes)?;
            }
            (Composite::Timestamp, Data::Long(values)) => values.push(timestamp_us(bytes)?),
            (Composite::Wrapper(leaf), _) => {
                let mut token = leaf.scalar.token(0, &[]);
                let mut reader = Reader::new(bytes);
                while let Some((number, found)) = reader.field()? {
                    if number == 1 {
                        token = found;
                    }
                }
                return leaf.append(column, token);
            }
            (Composite::Json(root), Data::Text(blob)) => {
                let text = json_value::text(*root, bytes, self.bytes_left)?;
                self.spend(text.len())?;
                blob.push(&text)?;
            }
            (Composite::Mark, Data::Bool(bits)) => bits.append(true),
            _ => return Err(misplaced(column)),
        }
        column.set();
        Ok(())
    }

    /// Takes from what the row may hold: a few bytes on the wire can stand for many in columns.
    #[inline]
    fn spend(&mut self, bytes: usize) -> Step {
        match self.bytes_left.checked_sub(bytes) {
            Some(left) => {
                self.bytes_left = left;
                Ok(())
            }
            None => Err(Fault::Expands.into()),
        }
    }
}

/// What a column gets that the message has no value for.
fn fill(fill: &Fill, column: &mut Column) -> Step {
    match fill {
        Fill::Default { leaf, bits, bytes } => leaf.append(column, leaf.scalar.token(*bits, bytes)),
        Fill::Null if column.nullable => {
            column.push_absent();
            Ok(())
        }
        Fill::Null | Fill::Refuse => Err(Fault::Missing.into()),
    }
}

impl Open<'_> {
    /// Takes back what another member of the same oneof had set.
    fn choose(&mut self, plan: &Message, index: usize, columns: &mut [Column], row: usize) {
        let Some(oneof) = plan.slots[index].oneof else {
            return;
        };
        let before = self.chosen[oneof].replace(index);
        let Some(slot) = before.filter(|before| *before != index) else {
            return;
        };
        let slot = &plan.slots[slot];
        if let Shape::Message(at, _) = slot.shape {
            self.pending[at] = Pending::Absent;
        }
        if let Some(column) = slot.column {
            columns[column].truncate(row);
        }
    }
}

impl<'a> Pending<'a> {
    fn join(&mut self, part: &'a [u8]) {
        match self {
            Self::Absent => *self = Self::Once(part),
            Self::Once(first) => *self = Self::Joined([*first, part].concat()),
            Self::Joined(parts) => parts.extend_from_slice(part),
        }
    }

    fn bytes(self) -> Cow<'a, [u8]> {
        match self {
            Self::Absent => Cow::Borrowed(&[]),
            Self::Once(bytes) => Cow::Borrowed(bytes),
            Self::Joined(bytes) => Cow::Owned(bytes),
        }
    }
}

fn message_bytes(token: Token<'_>) -> Result<&[u8], Box<Stop>> {
    token.message().ok_or_else(|| {
        Fault::Wire {
            expected: "message",
            found: token.name(),
        }
        .into()
    })
}

fn end_map(map: &mut Nested<Entries>) -> Step {
    if map.items.has_twins(map.open_from()) {
        return Err(Fault::Twice.into());
    }
    let len = map.items.keys.len();
    Ok(map.end(len)?)
}

/// Microseconds of a Timestamp; what is finer is cut off, towards the past.
fn timestamp_us(bytes: &[u8]) -> Result<i64, Box<Stop>> {
    let (mut seconds, mut nanos) = (0_i64, 0_i32);
    let mut reader = Reader::new(bytes);
    while let Some((number, token)) = reader.field()? {
        match (number, token) {
            (1, Token::Varint(value)) => seconds = value as i64,
            (2, Token::Varint(value)) => nanos = value as i32,
            (1 | 2, token) => {
                let (expected, found) = ("varint", token.name());
                return Err(Fault::Wire { expected, found }.into());
            }
            _ => {}
        }
    }
    if !SECONDS.contains(&seconds) || !(0..1_000_000_000).contains(&nanos) {
        let expected = "a Timestamp".to_owned();
        return Err(Fault::Value { expected }.into());
    }
    Ok(seconds * 1_000_000 + i64::from(nanos) / 1000)
}
