//! One cell of a row, and the type of a column.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType, TimestampMillisecondType,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A column's id: given once by the schema log, never used again, above 0.
pub type FieldId = i32;

/// What a cell holds. Dates, times and timestamps are the integers Arrow makes of them.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f32),
    Double(f64),
    /// Unscaled; the scale is the column's.
    Decimal(i128),
    Text(Bytes),
    Binary(Bytes),
}

impl Value {
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The order of two cells of one column; `None` if either is null, or their types differ. Floats
    /// are ordered totally: NaN lies beyond the infinities.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        Some(match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => a.total_cmp(b),
            (Self::Double(a), Self::Double(b)) => a.total_cmp(b),
            (Self::Decimal(a), Self::Decimal(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) | (Self::Binary(a), Self::Binary(b)) => a.cmp(b),
            _ => return None,
        })
    }
}

/// The type of a column that a merge engine reads. Nested ones are not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Kind {
    Bool,
    Int,
    Long,
    Float,
    Double,
    Decimal {
        precision: u8,
        scale: i8,
    },
    Text,
    Binary,
    Date,
    /// Microseconds of a day.
    Time,
    /// A moment in UTC, or without `utc` a local date and time.
    Timestamp {
        unit: Unit,
        utc: bool,
    },
}

/// What timestamps count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Millisecond,
    Microsecond,
}

/// A text that names no kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no type of a column")]
pub struct UnknownKind(String);

/// Digits that 128 bits always hold.
const PRECISION_MAX: u8 = 38;

/// Kinds without parameters, and their names.
const NAMES: [(Kind, &str); 13] = [
    (Kind::Bool, "bool"),
    (Kind::Int, "int"),
    (Kind::Long, "long"),
    (Kind::Float, "float"),
    (Kind::Double, "double"),
    (Kind::Text, "string"),
    (Kind::Binary, "binary"),
    (Kind::Date, "date"),
    (Kind::Time, "time"),
    (timestamp(Unit::Millisecond, true), "timestamp(ms)"),
    (timestamp(Unit::Microsecond, true), "timestamp(us)"),
    (timestamp(Unit::Millisecond, false), "local_timestamp(ms)"),
    (timestamp(Unit::Microsecond, false), "local_timestamp(us)"),
];

const fn timestamp(unit: Unit, utc: bool) -> Kind {
    Kind::Timestamp { unit, utc }
}

impl Kind {
    /// `None` for a type that no merge engine reads.
    pub fn from_arrow(data_type: &DataType) -> Option<Self> {
        let unit = |unit: &TimeUnit| match unit {
            TimeUnit::Millisecond => Some(Unit::Millisecond),
            TimeUnit::Microsecond => Some(Unit::Microsecond),
            TimeUnit::Second | TimeUnit::Nanosecond => None,
        };
        Some(match data_type {
            DataType::Boolean => Self::Bool,
            DataType::Int32 => Self::Int,
            DataType::Int64 => Self::Long,
            DataType::Float32 => Self::Float,
            DataType::Float64 => Self::Double,
            DataType::Decimal128(precision, scale) => Self::Decimal {
                precision: *precision,
                scale: *scale,
            },
            DataType::Utf8 => Self::Text,
            DataType::Binary => Self::Binary,
            DataType::Date32 => Self::Date,
            DataType::Time64(TimeUnit::Microsecond) => Self::Time,
            DataType::Timestamp(of, None) => timestamp(unit(of)?, false),
            DataType::Timestamp(of, Some(zone)) if &**zone == "UTC" => timestamp(unit(of)?, true),
            _ => return None,
        })
    }

    pub fn to_arrow(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int => DataType::Int32,
            Self::Long => DataType::Int64,
            Self::Float => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Decimal { precision, scale } => DataType::Decimal128(precision, scale),
            Self::Text => DataType::Utf8,
            Self::Binary => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp { unit, utc } => {
                let unit = match unit {
                    Unit::Millisecond => TimeUnit::Millisecond,
                    Unit::Microsecond => TimeUnit::Microsecond,
                };
                DataType::Timestamp(unit, utc.then(|| "UTC".into()))
            }
        }
    }

    /// The value as a cell of this kind, widened where the column was widened since; `None` if it
    /// does not fit.
    pub fn accept(self, value: Value) -> Option<Value> {
        let fits = match (self, &value) {
            (Self::Double, Value::Float(narrow)) => return Some(Value::Double((*narrow).into())),
            (_, Value::Null)
            | (Self::Bool, Value::Bool(_))
            | (Self::Long | Self::Time | Self::Timestamp { .. }, Value::Int(_))
            | (Self::Float, Value::Float(_))
            | (Self::Double, Value::Double(_))
            | (Self::Text, Value::Text(_))
            | (Self::Binary, Value::Binary(_)) => true,
            (Self::Int | Self::Date, Value::Int(number)) => i32::try_from(*number).is_ok(),
            (Self::Decimal { precision, .. }, Value::Decimal(unscaled)) => {
                has_digits(*unscaled, precision)
            }
            _ => false,
        };
        fits.then_some(value)
    }
}

/// Whether a decimal's unscaled value has at most `precision` digits.
pub(crate) fn has_digits(unscaled: i128, precision: u8) -> bool {
    let end = 10_u128.checked_pow(precision.min(PRECISION_MAX).into());
    end.is_some_and(|end| unscaled.unsigned_abs() < end)
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Decimal { precision, scale } = self {
            return write!(f, "decimal({precision},{scale})");
        }
        let named = NAMES.iter().find(|(kind, _)| kind == self);
        f.write_str(named.map_or("", |(_, name)| name))
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let named = NAMES.iter().find(|(_, name)| *name == text);
        let kind = named.map(|(kind, _)| *kind).or_else(|| decimal(text));
        kind.ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

fn decimal(text: &str) -> Option<Kind> {
    let (precision, scale) = text
        .strip_prefix("decimal(")?
        .strip_suffix(')')?
        .split_once(',')?;
    let (precision, scale) = (precision.parse().ok()?, scale.parse().ok()?);
    (1..=PRECISION_MAX)
        .contains(&precision)
        .then_some(Kind::Decimal { precision, scale })
}

impl TryFrom<String> for Kind {
    type Error = UnknownKind;

    fn try_from(text: String) -> Result<Self, UnknownKind> {
        text.parse()
    }
}

impl From<Kind> for String {
    fn from(kind: Kind) -> Self {
        kind.to_string()
    }
}

/// The cell of an array of this kind, whose type is [`Kind::to_arrow`].
pub(crate) fn value_at(kind: Kind, array: &ArrayRef, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match kind {
        Kind::Bool => Value::Bool(array.as_boolean().value(row)),
        Kind::Int => Value::Int(array.as_primitive::<Int32Type>().value(row).into()),
        Kind::Date => Value::Int(array.as_primitive::<Date32Type>().value(row).into()),
        Kind::Long => Value::Int(array.as_primitive::<Int64Type>().value(row)),
        Kind::Time => Value::Int(array.as_primitive::<Time64MicrosecondType>().value(row)),
        Kind::Timestamp { unit, .. } => Value::Int(match unit {
            Unit::Millisecond => array.as_primitive::<TimestampMillisecondType>().value(row),
            Unit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().value(row),
        }),
        Kind::Float => Value::Float(array.as_primitive::<Float32Type>().value(row)),
        Kind::Double => Value::Double(array.as_primitive::<Float64Type>().value(row)),
        Kind::Decimal { .. } => Value::Decimal(array.as_primitive::<Decimal128Type>().value(row)),
        Kind::Text => {
            let text = array.as_string::<i32>().value(row);
            Value::Text(Bytes::copy_from_slice(text.as_bytes()))
        }
        Kind::Binary => {
            let bytes = array.as_binary::<i32>().value(row);
            Value::Binary(Bytes::copy_from_slice(bytes))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_as_they_are_written() {
        let decimal = Kind::Decimal {
            precision: 10,
            scale: 2,
        };
        for kind in NAMES.iter().map(|(kind, _)| *kind).chain([decimal]) {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_eq!(Kind::from_arrow(&kind.to_arrow()), Some(kind));
        }
        for text in ["", "decimal(39,0)", "decimal(0,0)", "decimal(1)", "Long"] {
            assert!(text.parse::<Kind>().is_err(), "{text}");
        }
    }

    #[test]
    fn widened_columns_take_what_they_held() {
        assert_eq!(Kind::Long.accept(Value::Int(7)), Some(Value::Int(7)));
        assert_eq!(
            Kind::Double.accept(Value::Float(0.5)),
            Some(Value::Double(0.5))
        );
        assert_eq!(Kind::Int.accept(Value::Int(1 << 40)), None);
        assert_eq!(Kind::Text.accept(Value::Int(1)), None);
        let cents = Kind::Decimal {
            precision: 3,
            scale: 2,
        };
        assert_eq!(cents.accept(Value::Decimal(1_000)), None);
        assert!(cents.accept(Value::Decimal(-999)).is_some());
    }
}
