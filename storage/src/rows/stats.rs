//! The smallest and largest value of a column in one block, to pass over blocks by.
//!
//! Bounds are exact or absent, never rounded: absent for nested columns, for a column without
//! values, for floating point columns that hold a NaN, and where the bound is a text or binary of
//! more than [`BOUND_BYTES_MAX`].

use arrow_array::cast::AsArray;
use arrow_array::types as arrow;
use arrow_array::{Array, ArrowPrimitiveType};
use arrow_schema::{DataType, TimeUnit};
use minicbor::{Decode, Encode};

/// Longest text or binary kept as a bound.
const BOUND_BYTES_MAX: usize = 64;

/// Of one top-level column in one block.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode)]
pub struct ColumnStats {
    #[n(0)]
    pub null_count: u64,
    #[n(1)]
    pub min: Option<Bound>,
    #[n(2)]
    pub max: Option<Bound>,
}

/// A value that others are compared with.
#[derive(Debug, Clone, PartialEq, PartialOrd, Encode, Decode)]
pub enum Bound {
    #[n(0)]
    Bool(#[n(0)] bool),
    /// Integers up to 64 bits signed, dates, times and timestamps, in the column's unit.
    #[n(1)]
    Int(#[n(0)] i64),
    #[n(2)]
    Float(#[n(0)] f64),
    /// Unscaled.
    #[n(3)]
    Decimal(#[cbor(n(0), with = "decimal")] i128),
    /// UTF-8 or binary, compared byte by byte.
    #[n(4)]
    Bytes(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
}

impl ColumnStats {
    pub(super) fn of(array: &dyn Array) -> Self {
        let (min, max) = bounds(array).unzip();
        Self {
            null_count: array.null_count() as u64,
            min: min.flatten(),
            max: max.flatten(),
        }
    }
}

type Bounds = Option<(Option<Bound>, Option<Bound>)>;

fn bounds(array: &dyn Array) -> Bounds {
    match array.data_type() {
        DataType::Boolean => ends(array.as_boolean().iter().flatten(), Bound::Bool),
        DataType::Int8 => ints::<arrow::Int8Type>(array),
        DataType::Int16 => ints::<arrow::Int16Type>(array),
        DataType::Int32 => ints::<arrow::Int32Type>(array),
        DataType::Int64 => ints::<arrow::Int64Type>(array),
        DataType::UInt8 => ints::<arrow::UInt8Type>(array),
        DataType::UInt16 => ints::<arrow::UInt16Type>(array),
        DataType::UInt32 => ints::<arrow::UInt32Type>(array),
        DataType::Date32 => ints::<arrow::Date32Type>(array),
        DataType::Time64(TimeUnit::Microsecond) => ints::<arrow::Time64MicrosecondType>(array),
        DataType::Timestamp(TimeUnit::Second, _) => ints::<arrow::TimestampSecondType>(array),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            ints::<arrow::TimestampMillisecondType>(array)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            ints::<arrow::TimestampMicrosecondType>(array)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            ints::<arrow::TimestampNanosecondType>(array)
        }
        DataType::Float32 => floats::<arrow::Float32Type>(array),
        DataType::Float64 => floats::<arrow::Float64Type>(array),
        DataType::Decimal128(..) => {
            let values = array.as_primitive::<arrow::Decimal128Type>();
            ends(values.iter().flatten(), Bound::Decimal)
        }
        DataType::Utf8 => {
            let texts = array.as_string::<i32>().iter().flatten();
            byte_bounds(texts.map(str::as_bytes))
        }
        DataType::Binary => byte_bounds(array.as_binary::<i32>().iter().flatten()),
        _ => None,
    }
}

fn ints<T: ArrowPrimitiveType<Native: Into<i64>>>(array: &dyn Array) -> Bounds {
    let values = array.as_primitive::<T>();
    ends(values.iter().flatten().map(Into::into), Bound::Int)
}

fn floats<T: ArrowPrimitiveType<Native: Into<f64>>>(array: &dyn Array) -> Bounds {
    let values = || array.as_primitive::<T>().iter().flatten().map(Into::into);
    if values().any(f64::is_nan) {
        return None;
    }
    ends(values(), Bound::Float)
}

fn byte_bounds<'a>(values: impl Iterator<Item = &'a [u8]>) -> Bounds {
    let (min, max) = min_max(values)?;
    let bound =
        |bytes: &[u8]| (bytes.len() <= BOUND_BYTES_MAX).then(|| Bound::Bytes(bytes.to_vec()));
    Some((bound(min), bound(max)))
}

fn ends<T: PartialOrd + Copy>(values: impl Iterator<Item = T>, bound: fn(T) -> Bound) -> Bounds {
    let (min, max) = min_max(values)?;
    Some((Some(bound(min)), Some(bound(max))))
}

fn min_max<T: PartialOrd + Copy>(mut values: impl Iterator<Item = T>) -> Option<(T, T)> {
    let first = values.next()?;
    Some(values.fold((first, first), |(min, max), value| {
        let min = if value < min { value } else { min };
        let max = if value > max { value } else { max };
        (min, max)
    }))
}

/// 128 bits as 16 big-endian bytes.
mod decimal {
    use minicbor::decode::Error;
    use minicbor::encode::{Error as EncodeError, Write};
    use minicbor::{Decoder, Encoder};

    pub(super) fn encode<C, W: Write>(
        value: &i128,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.bytes(&value.to_be_bytes())?.ok()
    }

    pub(super) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<i128, Error> {
        let bytes = d.bytes()?.try_into();
        bytes
            .map(i128::from_be_bytes)
            .map_err(|_| Error::message("a decimal has 16 bytes"))
    }
}
