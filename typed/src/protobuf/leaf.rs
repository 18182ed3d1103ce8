//! A scalar field and its column: values off the wire, appended.

use std::borrow::Cow;

use super::stop::{Step, misplaced, not_a_value};
use super::wire::{Scalar, Token};
use crate::column::{Column, Data};
use crate::json::Fault;

/// What any value is taken to cost beside its bytes.
pub(super) const VALUE_BYTES: usize = 16;

/// A scalar in its column.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    pub(super) scalar: Scalar,
    /// What whole numbers are multiplied with in a decimal column.
    factor: i128,
    /// What one value takes beside the bytes it has on the wire, at most.
    pub(super) bytes: usize,
}

impl Leaf {
    pub(super) fn new(scalar: Scalar, factor: i128) -> Self {
        let bytes = match &scalar {
            Scalar::Enum(names) => VALUE_BYTES + names.longest(),
            _ => VALUE_BYTES,
        };
        Self {
            scalar,
            factor,
            bytes,
        }
    }

    /// Appends one value as it stands on the wire; on an error the column may need to be cut back.
    #[inline]
    pub(super) fn append(&self, column: &mut Column, token: Token<'_>) -> Step {
        use Scalar as S;
        match (&self.scalar, token) {
            (S::String, Token::Bytes(bytes)) => match &mut column.data {
                Data::Text(blob) if std::str::from_utf8(bytes).is_ok() => blob.push(bytes)?,
                _ => return Err(not_a_value(column)),
            },
            (S::Int64, Token::Varint(number)) => self.whole(column, number as i64)?,
            // Cut to the type's bits, as every decoder does.
            (S::Int32, Token::Varint(number)) => self.whole(column, i64::from(number as i32))?,
            (S::Double, Token::Fixed64(bits)) => match &mut column.data {
                Data::Double(values) => values.push(f64::from_bits(bits)),
                _ => return Err(misplaced(column)),
            },
            (S::Bool, Token::Varint(number)) => match &mut column.data {
                Data::Bool(bits) => bits.append(number != 0),
                _ => return Err(misplaced(column)),
            },
            (S::Float, Token::Fixed32(bits)) => match &mut column.data {
                Data::Float(values) => values.push(f32::from_bits(bits)),
                Data::Double(values) => values.push(f64::from(f32::from_bits(bits))),
                _ => return Err(misplaced(column)),
            },
            (S::Bytes, Token::Bytes(bytes)) => match &mut column.data {
                Data::Binary(blob) => blob.push(bytes)?,
                _ => return Err(misplaced(column)),
            },
            (S::Enum(names), Token::Varint(number)) => {
                let number = number as i32;
                let name = names.get(number).map(Cow::Borrowed);
                let name = name.unwrap_or_else(|| Cow::Owned(number.to_string()));
                match &mut column.data {
                    Data::Text(blob) => blob.push(name.as_bytes())?,
                    _ => return Err(misplaced(column)),
                }
            }
            (S::Uint32, Token::Varint(number)) => self.whole(column, i64::from(number as u32))?,
            (S::Uint64, Token::Varint(number)) => self.unsigned(column, number)?,
            (S::Sint32, Token::Varint(number)) => {
                self.whole(column, unzigzag(u64::from(number as u32)))?;
            }
            (S::Sint64, Token::Varint(number)) => self.whole(column, unzigzag(number))?,
            (S::Fixed32, Token::Fixed32(number)) => self.whole(column, i64::from(number))?,
            (S::Sfixed32, Token::Fixed32(number)) => {
                self.whole(column, i64::from(number as i32))?;
            }
            (S::Fixed64, Token::Fixed64(number)) => self.unsigned(column, number)?,
            (S::Sfixed64, Token::Fixed64(number)) => self.whole(column, number as i64)?,
            (scalar, token) => {
                return Err(Fault::Wire {
                    expected: scalar.name(),
                    found: token.name(),
                }
                .into());
            }
        }
        column.set();
        Ok(())
    }

    fn whole(&self, column: &mut Column, number: i64) -> Step {
        match &mut column.data {
            Data::Long(values) => values.push(number),
            // The plan puts no type with more bits here.
            Data::Int(values) => values.push(number as i32),
            Data::Double(values) => values.push(number as f64),
            Data::Decimal(values) => values.push(i128::from(number) * self.factor),
            _ => return Err(misplaced(column)),
        }
        Ok(())
    }

    fn unsigned(&self, column: &mut Column, number: u64) -> Step {
        match &mut column.data {
            Data::Decimal(values) => values.push(i128::from(number) * self.factor),
            // The key of a map.
            Data::Text(blob) => blob.push(number.to_string().as_bytes())?,
            _ => return Err(misplaced(column)),
        }
        Ok(())
    }
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}
