//! Where a literal stands among the values a column can hold.

use arrow_buffer::i256;
use arrow_schema::{DataType, TimeUnit};

use crate::value::Operand;
use crate::{Decimal, Literal, calendar};

const DAY_MICROS: i128 = 86_400_000_000;

/// The values of a type of column, as literals are compared with them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Bool,
    /// Integers and decimals: whole multiples of 10^−`scale`.
    Number {
        min: i128,
        max: i128,
        scale: u8,
    },
    Single,
    Double,
    Text,
    Bytes,
    Date,
    Timestamp(TimeUnit),
}

/// The place of a literal.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Place {
    /// Below every value.
    Before,
    At(Operand),
    /// Above this value and below the next one.
    After(Operand),
    /// Above every value.
    Beyond,
}

impl Kind {
    /// `None` for types whose values are not compared.
    pub(crate) fn of(data_type: &DataType) -> Option<Self> {
        let number = |min: i128, max: i128, scale| Self::Number { min, max, scale };
        let signed = |bits: u32| number(-(1 << (bits - 1)), (1 << (bits - 1)) - 1, 0);
        let unsigned = |bits: u32| number(0, (1 << bits) - 1, 0);
        Some(match data_type {
            DataType::Boolean => Self::Bool,
            DataType::Int8 => signed(8),
            DataType::Int16 => signed(16),
            DataType::Int32 => signed(32),
            DataType::Int64 => signed(64),
            DataType::UInt8 => unsigned(8),
            DataType::UInt16 => unsigned(16),
            DataType::UInt32 => unsigned(32),
            DataType::UInt64 => unsigned(64),
            DataType::Decimal128(_, scale) => {
                number(i128::MIN, i128::MAX, u8::try_from(*scale).ok()?)
            }
            DataType::Float32 => Self::Single,
            DataType::Float64 => Self::Double,
            DataType::Utf8 | DataType::LargeUtf8 => Self::Text,
            DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) => Self::Bytes,
            DataType::Date32 => Self::Date,
            DataType::Timestamp(unit, _) => Self::Timestamp(*unit),
            _ => return None,
        })
    }

    /// `None` for a literal that such values are not compared with.
    pub(crate) fn place(self, literal: &Literal) -> Option<Place> {
        match (self, literal) {
            (Self::Bool, Literal::Bool(truth)) => Some(Place::At(Operand::Bool(*truth))),
            (Self::Number { min, max, scale }, literal) => {
                number(literal, scale).map(|place| place.within(min, max))
            }
            (Self::Double, literal) => double(literal).map(|near| float(near, f64::MAX)),
            (Self::Single, literal) => single(literal).map(|near| float(near, f64::from(f32::MAX))),
            (Self::Text | Self::Bytes, Literal::Text(text)) => {
                Some(Place::At(Operand::Bytes(text.clone().into_bytes())))
            }
            (Self::Bytes, Literal::Bytes(bytes)) => Some(Place::At(Operand::Bytes(bytes.clone()))),
            (Self::Date, literal) => {
                let place = over(moment(literal)?, DAY_MICROS);
                Some(place.within(i128::from(i32::MIN), i128::from(i32::MAX)))
            }
            (Self::Timestamp(unit), literal) => {
                let micros = moment(literal)?;
                let place = match unit {
                    TimeUnit::Second => over(micros, 1_000_000),
                    TimeUnit::Millisecond => over(micros, 1_000),
                    TimeUnit::Microsecond => over(micros, 1),
                    TimeUnit::Nanosecond => over(micros * 1_000, 1),
                };
                Some(place.within(i128::from(i64::MIN), i128::from(i64::MAX)))
            }
            _ => None,
        }
    }
}

impl Place {
    /// The same among values from `min` to `max` only.
    fn within(self, min: i128, max: i128) -> Self {
        match self {
            Self::At(Operand::Int(int)) | Self::After(Operand::Int(int)) if int < min => {
                Self::Before
            }
            Self::At(Operand::Int(int)) | Self::After(Operand::Int(int)) if int > max => {
                Self::Beyond
            }
            place => place,
        }
    }
}

/// Microseconds since 1970 of a date, a timestamp or a text that is one.
fn moment(literal: &Literal) -> Option<i128> {
    Some(match literal {
        Literal::Date(days) => i128::from(*days) * DAY_MICROS,
        Literal::Timestamp(micros) => i128::from(*micros),
        Literal::Text(text) => i128::from(calendar::parse_timestamp(text)?),
        _ => return None,
    })
}

/// `value` / `divisor` among the whole numbers.
fn over(value: i128, divisor: i128) -> Place {
    let floor = Operand::Int(value.div_euclid(divisor));
    match value.rem_euclid(divisor) {
        0 => Place::At(floor),
        _ => Place::After(floor),
    }
}

/// A number among the multiples of 10^−`scale`.
fn number(literal: &Literal, scale: u8) -> Option<Place> {
    Some(match literal {
        Literal::Integer(integer) => scaled(i128::from(*integer), 0, scale),
        Literal::Decimal(decimal) => scaled(decimal.unscaled(), decimal.scale(), scale),
        Literal::Double(double) => scaled_double(*double, scale),
        _ => return None,
    })
}

fn scaled(unscaled: i128, from: u8, to: u8) -> Place {
    let (value, ten) = (i256::from_i128(unscaled), i256::from_i128(10));
    // At most 10^38 · 10^38, which is below 2^255.
    let power = |exponent: u8| ten.wrapping_pow(u32::from(exponent));
    match to.checked_sub(from) {
        Some(up) => whole(value.checked_mul(power(up)), unscaled < 0, true),
        None => {
            let divisor = power(from - to);
            let (quotient, rest) = (value.wrapping_div(divisor), value.wrapping_rem(divisor));
            let down = i256::from_i128(i128::from(rest < i256::ZERO));
            let floor = quotient.wrapping_sub(down);
            whole(Some(floor), unscaled < 0, rest == i256::ZERO)
        }
    }
}

/// A double is a whole number of powers of two, so there is no rounding in this.
fn scaled_double(double: f64, scale: u8) -> Place {
    let is_negative = double < 0.0;
    if !double.is_finite() {
        return if is_negative {
            Place::Before
        } else {
            Place::Beyond
        };
    }
    let bits = double.to_bits();
    let (fraction, exponent) = (bits & ((1 << 52) - 1), (bits >> 52 & 0x7ff) as i32);
    let (mantissa, exponent) = match exponent {
        0 => (fraction, -1_074),
        exponent => (fraction | 1 << 52, exponent - 1_075),
    };
    let sign = if is_negative { -1 } else { 1 };
    let fives = i256::from_i128(5).wrapping_pow(u32::from(scale));
    // 10^scale is 5^scale · 2^scale; 53 and 89 bits together.
    let value = i256::from_i128(sign * i128::from(mantissa)).wrapping_mul(fives);
    let shift = exponent + i32::from(scale);
    match (u8::try_from(shift), u8::try_from(-shift)) {
        _ if mantissa == 0 => Place::At(Operand::Int(0)),
        (Ok(up), _) if up < 128 => {
            let power = i256::from_i128(1) << up;
            whole(value.checked_mul(power), is_negative, true)
        }
        (_, Ok(down)) if down < 255 => {
            let floor = value >> down;
            whole(Some(floor), is_negative, floor << down == value)
        }
        _ if shift > 0 => whole(None, is_negative, true),
        _ => Place::After(Operand::Int(-i128::from(is_negative))),
    }
}

/// `floor` and no more, or more than it; `None` for more than 255 bits.
fn whole(floor: Option<i256>, is_negative: bool, is_exact: bool) -> Place {
    let floor = floor.and_then(i256::to_i128).map(Operand::Int);
    match (floor, is_exact) {
        (Some(floor), true) => Place::At(floor),
        (Some(floor), false) => Place::After(floor),
        (None, _) if is_negative => Place::Before,
        (None, _) => Place::Beyond,
    }
}

/// The nearest double.
fn double(literal: &Literal) -> Option<(f64, bool)> {
    Some(match literal {
        Literal::Integer(integer) => (*integer as f64, true),
        Literal::Decimal(decimal) => (digits(*decimal).parse().ok()?, true),
        Literal::Double(double) => (*double, double.is_finite()),
        _ => return None,
    })
}

/// The nearest single.
fn single(literal: &Literal) -> Option<(f64, bool)> {
    let (near, is_finite) = match literal {
        Literal::Integer(integer) => (*integer as f32, true),
        Literal::Decimal(decimal) => (digits(*decimal).parse().ok()?, true),
        Literal::Double(double) => (*double as f32, double.is_finite()),
        _ => return None,
    };
    Some((f64::from(near), is_finite))
}

fn digits(decimal: Decimal) -> String {
    format!("{}e-{}", decimal.unscaled(), decimal.scale())
}

/// A finite number that is nearest to an infinity stands between that and the last finite value.
fn float((near, is_finite): (f64, bool), max: f64) -> Place {
    match is_finite && near.is_infinite() {
        true if near > 0.0 => Place::After(Operand::Float(max)),
        true => Place::After(Operand::Float(f64::NEG_INFINITY)),
        false => Place::At(Operand::Float(near)),
    }
}
