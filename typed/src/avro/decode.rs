//! One Avro value into one row of columns.
//!
//! The bytes are walked once, in the order the writer's schema gives; nothing is built between,
//! and nothing is reserved for a count that a value declares.

use super::cursor::{Cursor, Outcome, Stop};
use super::mapping::Plain;
use super::plan::{Branch, Fields, Node, Step};
use super::schema::{Form, Schema, TypeId};
use crate::column::{Column, Data, Entries, Full, Group, Nested};
use crate::json::{Fault, Reason};
use crate::scalar;

/// Appends the whole of `value` to `columns`. On an error some columns may be longer than others.
pub(super) fn row(
    schema: &Schema,
    fields: &Fields,
    columns: &mut Group,
    value: &[u8],
) -> Result<(), Reason> {
    let mut walk = Walk {
        schema,
        bytes: Cursor::new(value),
    };
    if let Err(stop) = walk.fields(fields, columns) {
        let Stop { path, fault } = *stop;
        return Err(Reason::Field { path, fault });
    }
    match walk.bytes.len() {
        0 => Ok(()),
        bytes => Err(Reason::Surplus { bytes }),
    }
}

struct Walk<'a> {
    schema: &'a Schema,
    bytes: Cursor<'a>,
}

impl Walk<'_> {
    fn fields(&mut self, fields: &Fields, group: &mut Group) -> Outcome<()> {
        for step in &fields.steps {
            match step {
                Step::Fill { column, from } => {
                    let filled = self.fill(from, &mut group.columns[*column]);
                    if let Err(stop) = filled {
                        return Err(stop.within(group.name(*column)));
                    }
                }
                Step::Skip { name, of } => self.skip(*of).map_err(|stop| stop.within(name))?,
            }
        }
        for column in &fields.absent {
            group.columns[*column].push_absent();
        }
        Ok(())
    }

    fn fill(&mut self, node: &Node, column: &mut Column) -> Outcome<()> {
        match (node, &mut column.data) {
            (Node::Plain(plain), _) => self.plain(*plain, column)?,
            (Node::Optional { null, of }, _) => {
                return match self.bytes.place(2)? {
                    branch if branch == *null => absent(column),
                    _ => self.fill(of, column),
                };
            }
            (Node::Branches(branches), _) => return self.one_of(branches, column),
            (Node::List(items), Data::List(list)) => self.list(items, list)?,
            (Node::Map(values), Data::Map(map)) => self.map(values, map)?,
            (Node::Struct(fields), Data::Struct(group)) => self.fields(fields, group)?,
            _ => return Err(foreign()),
        }
        column.set();
        Ok(())
    }

    #[inline]
    fn plain(&mut self, plain: Plain, column: &mut Column) -> Outcome<()> {
        let bytes = &mut self.bytes;
        match (plain, &mut column.data) {
            (Plain::Boolean, Data::Bool(bits)) => bits.append(bytes.boolean()?),
            (Plain::Int, Data::Int(values)) => values.push(bytes.int()?),
            (Plain::Int, Data::Long(values)) => values.push(i64::from(bytes.int()?)),
            (Plain::Int, Data::Double(values)) => values.push(f64::from(bytes.int()?)),
            (Plain::Long, Data::Long(values)) => values.push(bytes.long()?),
            (Plain::LongTimesThousand, Data::Long(values)) => {
                match bytes.long()?.checked_mul(1000) {
                    Some(value) => values.push(value),
                    None => return Err(wrong_value(column)),
                }
            }
            (Plain::TimeMillis, Data::Long(values)) => match i64::from(bytes.int()?) * 1000 {
                us if scalar::is_time_us(us) => values.push(us),
                _ => return Err(wrong_value(column)),
            },
            (Plain::TimeMicros, Data::Long(values)) => match bytes.long()? {
                us if scalar::is_time_us(us) => values.push(us),
                _ => return Err(wrong_value(column)),
            },
            (Plain::Float, Data::Float(values)) => values.push(bytes.float()?),
            (Plain::Float, Data::Double(values)) => values.push(f64::from(bytes.float()?)),
            (Plain::Double, Data::Double(values)) => values.push(bytes.double()?),
            (Plain::Text, Data::Text(blob)) => full(blob.push(bytes.text()?))?,
            (Plain::Bytes, Data::Binary(blob)) => full(blob.push(bytes.bytes()?))?,
            (Plain::Fixed(size), Data::Binary(blob)) => full(blob.push(bytes.take(size)?))?,
            (Plain::Uuid, Data::Text(blob)) => full(blob.push(&uuid(bytes.array()?)))?,
            (Plain::Symbol(of), Data::Text(blob)) => {
                let Form::Enum(of) = self.schema.form(of) else {
                    return Err(foreign());
                };
                let symbol = &of.symbols[bytes.place(of.symbols.len())?];
                full(blob.push(symbol.as_bytes()))?;
            }
            (Plain::Decimal { size, precision }, Data::Decimal(values)) => {
                let unscaled = match size {
                    Some(size) => bytes.take(size)?,
                    None => bytes.bytes()?,
                };
                match decimal(unscaled, precision) {
                    Some(value) => values.push(value),
                    None => return Err(wrong_value(column)),
                }
            }
            _ => return Err(foreign()),
        }
        Ok(())
    }

    /// A union that is a struct: fills one of its columns, or is the null it stands for.
    fn one_of(&mut self, branches: &[Branch], column: &mut Column) -> Outcome<()> {
        let branch = &branches[self.bytes.place(branches.len())?];
        let Data::Struct(group) = &mut column.data else {
            return Err(foreign());
        };
        let filled = match branch {
            Branch::Null => return absent(column),
            Branch::Skip(of) => {
                self.skip(*of)?;
                None
            }
            Branch::Fill { column, from } => {
                let filled = self.fill(from, &mut group.columns[*column]);
                filled.map_err(|stop| stop.within(group.name(*column)))?;
                Some(*column)
            }
        };
        for (index, column) in group.columns.iter_mut().enumerate() {
            if filled != Some(index) {
                column.push_absent();
            }
        }
        column.set();
        Ok(())
    }

    fn list(&mut self, items: &Node, list: &mut Nested<Column>) -> Outcome<()> {
        // Every element takes a byte at least (or there were no draft of the schema), so that a
        // count comes to nothing where the bytes end.
        while let Some(block) = self.bytes.block()? {
            for _ in 0..block.count {
                let filled = self.fill(items, &mut list.items);
                filled.map_err(|stop| stop.within("[]"))?;
            }
        }
        let len = list.items.len();
        full(list.end(len))
    }

    fn map(&mut self, values: &Node, map: &mut Nested<Entries>) -> Outcome<()> {
        let from = map.items.keys.len();
        while let Some(block) = self.bytes.block()? {
            for _ in 0..block.count {
                let Entries { keys, values: into } = &mut map.items;
                self.plain(Plain::Text, keys)?;
                keys.set();
                let filled = self.fill(values, into);
                filled.map_err(|stop| stop.within("{}"))?;
            }
        }
        if map.items.has_twins(from) {
            return Err(Stop::new(Fault::Twice));
        }
        let len = map.items.keys.len();
        full(map.end(len))
    }

    /// Passes over a value. Recursion is as deep as the schema, of which there is a draft.
    fn skip(&mut self, id: TypeId) -> Outcome<()> {
        let bytes = &mut self.bytes;
        match self.schema.form(id) {
            Form::Null => Ok(()),
            Form::Boolean => bytes.boolean().map(drop),
            Form::Int => bytes.int().map(drop),
            Form::Long => bytes.long().map(drop),
            Form::Float => bytes.float().map(drop),
            Form::Double => bytes.double().map(drop),
            Form::Bytes | Form::String => bytes.bytes().map(drop),
            Form::Fixed(fixed) => bytes.take(fixed.size).map(drop),
            Form::Enum(of) => bytes.place(of.symbols.len()).map(drop),
            Form::Union(branches) => {
                let branch = bytes.place(branches.len())?;
                self.skip(branches[branch])
            }
            Form::Record(record) => record.fields.iter().try_for_each(|field| {
                let skipped = self.skip(field.of);
                skipped.map_err(|stop| stop.within(&field.name))
            }),
            Form::Array(items) => self.skip_blocks(|walk| walk.skip(*items)),
            Form::Map(values) => self.skip_blocks(|walk| {
                walk.bytes.bytes()?;
                walk.skip(*values)
            }),
        }
    }

    fn skip_blocks(&mut self, mut item: impl FnMut(&mut Self) -> Outcome<()>) -> Outcome<()> {
        while let Some(block) = self.bytes.block()? {
            match block.bytes {
                Some(bytes) => drop(self.bytes.take(bytes)?),
                None => (0..block.count).try_for_each(|_| item(self))?,
            }
        }
        Ok(())
    }
}

fn absent(column: &mut Column) -> Outcome<()> {
    if !column.nullable {
        return Err(Stop::new(Fault::Missing));
    }
    column.push_absent();
    Ok(())
}

fn full(pushed: Result<(), Full>) -> Outcome<()> {
    pushed.map_err(|Full| Stop::new(Fault::Full))
}

#[cold]
fn wrong_value(column: &Column) -> Box<Stop> {
    let expected = column.kind.name();
    Stop::new(Fault::Value { expected })
}

/// The column is of another table than the plan. Plans are only run on the columns they were made
/// for, so no record comes to this.
#[cold]
fn foreign() -> Box<Stop> {
    Stop::encoding("the column is not of the plan's table")
}

/// A big-endian number in two's complement, if it has at most `precision` (≤ 38) digits.
fn decimal(bytes: &[u8], precision: u8) -> Option<i128> {
    let sign = if *bytes.first()? < 0x80 { 0 } else { 0xff };
    let (above, low) = match bytes.len().checked_sub(size_of::<i128>()) {
        Some(above) => bytes.split_at(above),
        None => (&[][..], bytes),
    };
    let mut whole = [sign; size_of::<i128>()];
    let start = whole.len() - low.len();
    whole[start..].copy_from_slice(low);
    let extends = whole[0] & 0x80 == sign & 0x80 && above.iter().all(|byte| *byte == sign);
    let value = extends.then_some(i128::from_be_bytes(whole))?;
    let limit = 10_u128.checked_pow(u32::from(precision))?;
    (value.unsigned_abs() < limit).then_some(value)
}

/// `8-4-4-4-12` hexadecimal digits (RFC 9562).
fn uuid(bytes: [u8; 16]) -> [u8; 36] {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let mut text = [b'-'; 36];
    let mut place = 0;
    for (index, byte) in bytes.into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            place += 1;
        }
        text[place] = DIGITS[usize::from(byte >> 4)];
        text[place + 1] = DIGITS[usize::from(byte & 15)];
        place += 2;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_of_any_length() {
        for (bytes, precision, expected) in [
            (&[0x00][..], 1, Some(0)),
            (&[0x04, 0xd2], 4, Some(1234)),
            (&[0x04, 0xd2], 3, None),
            (&[0xfb, 0x2e], 4, Some(-1234)),
            (&[0xff; 40], 1, Some(-1)),
            (&[0x00; 40], 1, Some(0)),
            (&[0x80; 17], 38, None),
            (&[0x7f; 16], 38, None),
            (&[], 38, None),
        ] {
            assert_eq!(decimal(bytes, precision), expected, "{bytes:?}");
        }
        let largest = 10_i128.pow(38) - 1;
        assert_eq!(decimal(&largest.to_be_bytes(), 38), Some(largest));
        assert_eq!(decimal(&(-largest).to_be_bytes(), 38), Some(-largest));
        assert_eq!(decimal(&(largest + 1).to_be_bytes(), 38), None);
    }

    #[test]
    fn uuids_are_text() {
        let bytes = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef_u128.to_be_bytes();
        assert_eq!(&uuid(bytes), b"01234567-89ab-cdef-0123-456789abcdef");
    }
}
