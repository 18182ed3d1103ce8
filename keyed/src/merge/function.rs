//! What aggregation does to a column: the value so far and a record's value become one.
//!
//! Deterministic in the order of the log. Overflow is no wrap and no saturation: the record is
//! refused, because a sum that is silently wrong is worse than a record that is loudly absent.

use std::fmt;
use std::str::FromStr;

use bytes::{BufMut, Bytes, BytesMut};
use roaring::{RoaringBitmap, RoaringTreemap};
use serde::{Deserialize, Serialize};

use super::value::{Kind, Value, has_digits};

/// A column's function under the aggregation engine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Function {
    Sum,
    Product,
    Max,
    Min,
    /// The last value, null or not.
    LastValue,
    #[default]
    LastValueIgnoreNulls,
    /// The first value, null or not.
    FirstValue,
    FirstValueIgnoreNulls,
    /// Texts one behind the other.
    ListAgg {
        delimiter: String,
    },
    BoolAnd,
    BoolOr,
    /// Union of bitmaps of 32-bit numbers in the portable Roaring format.
    Rbm32,
    /// The same of 64-bit numbers.
    Rbm64,
}

/// Why two values do not become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CombineError {
    #[error("the result does not fit its type")]
    Overflow,
    #[error("the value is no roaring bitmap")]
    Bitmap,
    /// The value is not of the column's type; a decoder that keeps its word never gives one.
    #[error("the value is of another type than the column")]
    Type,
}

/// A text that names no function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} is no aggregate function: sum, product, max, min, last_value, last_value_ignore_nulls, \
     first_value, first_value_ignore_nulls, listagg, listagg(<delimiter>), string_agg, bool_and, \
     bool_or, rbm32, rbm64"
)]
pub struct UnknownFunction(String);

const DELIMITER: &str = ",";

const NAMES: [(Function, &str); 12] = [
    (Function::Sum, "sum"),
    (Function::Product, "product"),
    (Function::Max, "max"),
    (Function::Min, "min"),
    (Function::LastValue, "last_value"),
    (Function::LastValueIgnoreNulls, "last_value_ignore_nulls"),
    (Function::FirstValue, "first_value"),
    (Function::FirstValueIgnoreNulls, "first_value_ignore_nulls"),
    (Function::BoolAnd, "bool_and"),
    (Function::BoolOr, "bool_or"),
    (Function::Rbm32, "rbm32"),
    (Function::Rbm64, "rbm64"),
];

impl Function {
    /// Whether a column of this kind can have it.
    pub fn takes(&self, kind: Kind) -> bool {
        let is_number = matches!(
            kind,
            Kind::Int | Kind::Long | Kind::Float | Kind::Double | Kind::Decimal { .. }
        );
        match self {
            Self::Sum | Self::Product => is_number,
            Self::Max | Self::Min => !matches!(kind, Kind::Bool | Kind::Binary),
            Self::LastValue
            | Self::LastValueIgnoreNulls
            | Self::FirstValue
            | Self::FirstValueIgnoreNulls => true,
            Self::ListAgg { .. } => kind == Kind::Text,
            Self::BoolAnd | Self::BoolOr => kind == Kind::Bool,
            Self::Rbm32 | Self::Rbm64 => kind == Kind::Binary,
        }
    }

    /// The value after a record that sets the column to `new`; `old` is `None` if none did before.
    ///
    /// # Errors
    /// [`CombineError`]; the record is to be refused.
    pub fn combine(
        &self,
        kind: Kind,
        old: Option<&Value>,
        new: &Value,
    ) -> Result<Value, CombineError> {
        match self {
            Self::LastValue => return Ok(new.clone()),
            Self::FirstValue => return Ok(old.unwrap_or(new).clone()),
            _ => {}
        }
        let old = old.filter(|old| !old.is_null());
        let (old, new) = match (old, new) {
            (None, Value::Null) => return Ok(Value::Null),
            (Some(old), Value::Null) => return Ok(old.clone()),
            (None, new) => return self.alone(new),
            (Some(old), new) => (old, new),
        };
        match self {
            Self::LastValueIgnoreNulls | Self::LastValue => Ok(new.clone()),
            Self::FirstValueIgnoreNulls | Self::FirstValue => Ok(old.clone()),
            Self::Sum => sum(kind, old, new),
            Self::Product => product(kind, old, new),
            Self::Max | Self::Min => {
                let order = new.compare(old).ok_or(CombineError::Type)?;
                let wins = match self {
                    Self::Max => order.is_gt(),
                    _ => order.is_lt(),
                };
                Ok(if wins { new } else { old }.clone())
            }
            Self::ListAgg { delimiter } => list(old, new, delimiter),
            Self::BoolAnd => bools(old, new, |a, b| a && b),
            Self::BoolOr => bools(old, new, |a, b| a || b),
            Self::Rbm32 => Ok(bitmap32(&(read32(old)? | read32(new)?))),
            Self::Rbm64 => Ok(bitmap64(&(read64(old)? | read64(new)?))),
        }
    }

    /// The first value that is not null.
    fn alone(&self, new: &Value) -> Result<Value, CombineError> {
        match self {
            Self::Rbm32 => Ok(bitmap32(&read32(new)?)),
            Self::Rbm64 => Ok(bitmap64(&read64(new)?)),
            _ => Ok(new.clone()),
        }
    }
}

fn sum(kind: Kind, old: &Value, new: &Value) -> Result<Value, CombineError> {
    let sum = match (old, new) {
        (Value::Int(a), Value::Int(b)) => a.checked_add(*b).map(Value::Int),
        (Value::Float(a), Value::Float(b)) => Some(Value::Float(a + b)),
        (Value::Double(a), Value::Double(b)) => Some(Value::Double(a + b)),
        (Value::Decimal(a), Value::Decimal(b)) => a.checked_add(*b).map(Value::Decimal),
        _ => return Err(CombineError::Type),
    };
    fit(kind, sum)
}

fn product(kind: Kind, old: &Value, new: &Value) -> Result<Value, CombineError> {
    let product = match (old, new) {
        (Value::Int(a), Value::Int(b)) => a.checked_mul(*b).map(Value::Int),
        (Value::Float(a), Value::Float(b)) => Some(Value::Float(a * b)),
        (Value::Double(a), Value::Double(b)) => Some(Value::Double(a * b)),
        (Value::Decimal(a), Value::Decimal(b)) => a
            .checked_mul(*b)
            .and_then(|wide| rescaled(wide, kind))
            .map(Value::Decimal),
        _ => return Err(CombineError::Type),
    };
    fit(kind, product)
}

/// A product of two unscaled values, which has the scale twice, with the scale once; halves are
/// rounded away from zero.
fn rescaled(wide: i128, kind: Kind) -> Option<i128> {
    let Kind::Decimal { scale, .. } = kind else {
        return None;
    };
    let factor = 10_i128.checked_pow(scale.unsigned_abs().into())?;
    if scale < 0 {
        return wide.checked_mul(factor);
    }
    let (whole, rest) = (wide / factor, wide % factor);
    let away = rest.unsigned_abs() >= (factor - rest.abs()).unsigned_abs();
    Some(if away { whole + wide.signum() } else { whole })
}

fn fit(kind: Kind, number: Option<Value>) -> Result<Value, CombineError> {
    let number = number.ok_or(CombineError::Overflow)?;
    let fits = match (kind, &number) {
        (Kind::Int, Value::Int(number)) => i32::try_from(*number).is_ok(),
        (Kind::Decimal { precision, .. }, Value::Decimal(number)) => has_digits(*number, precision),
        _ => true,
    };
    fits.then_some(number).ok_or(CombineError::Overflow)
}

fn list(old: &Value, new: &Value, delimiter: &str) -> Result<Value, CombineError> {
    let (Value::Text(old), Value::Text(new)) = (old, new) else {
        return Err(CombineError::Type);
    };
    let mut all = BytesMut::with_capacity(old.len() + delimiter.len() + new.len());
    [old, delimiter.as_bytes(), new]
        .iter()
        .for_each(|part| all.extend_from_slice(part));
    Ok(Value::Text(all.freeze()))
}

fn bools(
    old: &Value,
    new: &Value,
    join: impl Fn(bool, bool) -> bool,
) -> Result<Value, CombineError> {
    match (old, new) {
        (Value::Bool(a), Value::Bool(b)) => Ok(Value::Bool(join(*a, *b))),
        _ => Err(CombineError::Type),
    }
}

fn read32(value: &Value) -> Result<RoaringBitmap, CombineError> {
    let bytes = binary(value)?;
    RoaringBitmap::deserialize_from(&bytes[..]).map_err(|_| CombineError::Bitmap)
}

fn read64(value: &Value) -> Result<RoaringTreemap, CombineError> {
    let bytes = binary(value)?;
    RoaringTreemap::deserialize_from(&bytes[..]).map_err(|_| CombineError::Bitmap)
}

fn binary(value: &Value) -> Result<&Bytes, CombineError> {
    match value {
        Value::Binary(bytes) => Ok(bytes),
        _ => Err(CombineError::Type),
    }
}

fn bitmap32(bitmap: &RoaringBitmap) -> Value {
    let mut out = BytesMut::with_capacity(bitmap.serialized_size()).writer();
    // Memory takes all that is written.
    drop(bitmap.serialize_into(&mut out));
    Value::Binary(out.into_inner().freeze())
}

fn bitmap64(bitmap: &RoaringTreemap) -> Value {
    let mut out = BytesMut::with_capacity(bitmap.serialized_size()).writer();
    drop(bitmap.serialize_into(&mut out));
    Value::Binary(out.into_inner().freeze())
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::ListAgg { delimiter } = self {
            return write!(f, "listagg({delimiter})");
        }
        let named = NAMES.iter().find(|(function, _)| function == self);
        f.write_str(named.map_or("", |(_, name)| name))
    }
}

impl FromStr for Function {
    type Err = UnknownFunction;

    fn from_str(text: &str) -> Result<Self, UnknownFunction> {
        let named = NAMES.iter().find(|(_, name)| *name == text);
        let function = named.map(|(function, _)| function.clone());
        function
            .or_else(|| list_of(text))
            .ok_or_else(|| UnknownFunction(text.to_owned()))
    }
}

fn list_of(text: &str) -> Option<Function> {
    let rest = ["listagg", "string_agg"]
        .iter()
        .find_map(|name| text.strip_prefix(name))?;
    let delimiter = match rest {
        "" => DELIMITER,
        _ => rest.strip_prefix('(')?.strip_suffix(')')?,
    };
    Some(Function::ListAgg {
        delimiter: delimiter.to_owned(),
    })
}

impl TryFrom<String> for Function {
    type Error = UnknownFunction;

    fn try_from(text: String) -> Result<Self, UnknownFunction> {
        text.parse()
    }
}

impl From<Function> for String {
    fn from(function: Function) -> Self {
        function.to_string()
    }
}

#[cfg(test)]
mod tests;
