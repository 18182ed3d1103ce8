//! Values as predicates compare them, whatever column they come from.

use std::cmp::Ordering;

/// A value of a column, or a bound of its values. Its meaning is the column's: only values of one
/// column are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    Bool(bool),
    /// An integer; a decimal unscaled; a date in days; a timestamp in the column's unit.
    Int(i128),
    /// A single-precision number as the same double.
    Float(f64),
    /// Bytes, or the UTF-8 of a text.
    Bytes(&'a [u8]),
}

/// A literal as a value of the column it is compared with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand {
    Bool(bool),
    Int(i128),
    Float(f64),
    Bytes(Vec<u8>),
}

impl Operand {
    pub(crate) fn value(&self) -> Value<'_> {
        match self {
            Self::Bool(truth) => Value::Bool(*truth),
            Self::Int(int) => Value::Int(*int),
            Self::Float(float) => Value::Float(*float),
            Self::Bytes(bytes) => Value::Bytes(bytes),
        }
    }
}

impl Value<'_> {
    /// `None` for values of columns of different kinds.
    #[inline]
    pub(crate) fn order(self, other: Value<'_>) -> Option<Ordering> {
        Some(match (self, other) {
            (Self::Bool(a), Value::Bool(b)) => a.cmp(&b),
            (Self::Int(a), Value::Int(b)) => a.cmp(&b),
            (Self::Float(a), Value::Float(b)) => order_floats(a, b),
            (Self::Bytes(a), Value::Bytes(b)) => a.cmp(b),
            _ => return None,
        })
    }
}

/// As PostgreSQL and Spark do: NaN equals itself and is the greatest, the zeros are equal.
#[inline]
fn order_floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b)
        .unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}
