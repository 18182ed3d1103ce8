//! Rows of cells as Arrow columns.

use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, StringBuilder};
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType, TimestampMillisecondType,
};
use arrow_array::{ArrayRef, BooleanArray, PrimitiveArray};
use arrow_schema::{ArrowError, Field, FieldRef};

use super::block::FIELD_ID;
use super::cells::Cells;
use super::rule::RuleColumn;
use super::value::{Kind, Unit, Value};

/// The columns as Arrow fields with their ids. All are nullable: a cell may have been cleared.
pub fn arrow_fields(columns: &[RuleColumn]) -> Vec<FieldRef> {
    let field = |column: &RuleColumn| {
        let id = (FIELD_ID.to_owned(), column.id.to_string());
        let field = Field::new(&column.name, column.kind.to_arrow(), true);
        Arc::new(field.with_metadata([id].into()))
    };
    columns.iter().map(field).collect()
}

/// One array for each column, in their order. What a row has no cell for is null; so is a cell
/// that its column no longer takes.
///
/// # Errors
/// A column has more bytes than 32-bit positions reach.
pub fn to_arrays(columns: &[RuleColumn], rows: &[&Cells]) -> Result<Vec<ArrayRef>, ArrowError> {
    let column = |column: &RuleColumn| {
        let cells = rows.iter().map(|row| {
            let value = row.value(column.id).clone();
            column.kind.accept(value).unwrap_or(Value::Null)
        });
        array(column.kind, cells)
    };
    columns.iter().map(column).collect()
}

fn array(kind: Kind, cells: impl Iterator<Item = Value>) -> Result<ArrayRef, ArrowError> {
    Ok(match kind {
        Kind::Bool => Arc::new(cells.map(bool).collect::<BooleanArray>()),
        Kind::Int => Arc::new(ints::<Int32Type>(cells)),
        Kind::Date => Arc::new(ints::<Date32Type>(cells)),
        Kind::Long => Arc::new(ints::<Int64Type>(cells)),
        Kind::Time => Arc::new(ints::<Time64MicrosecondType>(cells)),
        Kind::Timestamp { unit, utc } => {
            let zone = utc.then_some("UTC");
            match unit {
                Unit::Millisecond => {
                    Arc::new(ints::<TimestampMillisecondType>(cells).with_timezone_opt(zone))
                }
                Unit::Microsecond => {
                    Arc::new(ints::<TimestampMicrosecondType>(cells).with_timezone_opt(zone))
                }
            }
        }
        Kind::Float => Arc::new(cells.map(float).collect::<PrimitiveArray<Float32Type>>()),
        Kind::Double => Arc::new(cells.map(double).collect::<PrimitiveArray<Float64Type>>()),
        Kind::Decimal { precision, scale } => {
            let array: PrimitiveArray<Decimal128Type> = cells.map(decimal).collect();
            Arc::new(array.with_precision_and_scale(precision, scale)?)
        }
        Kind::Text => texts(cells)?,
        Kind::Binary => binaries(cells)?,
    })
}

/// Integers of the width of `T`; the kind took no wider ones.
fn ints<T: ArrowPrimitiveType<Native: TryFrom<i64>>>(
    cells: impl Iterator<Item = Value>,
) -> PrimitiveArray<T> {
    let int = |cell| match cell {
        Value::Int(number) => T::Native::try_from(number).ok(),
        _ => None,
    };
    cells.map(int).collect()
}

fn bool(cell: Value) -> Option<bool> {
    match cell {
        Value::Bool(bool) => Some(bool),
        _ => None,
    }
}

fn float(cell: Value) -> Option<f32> {
    match cell {
        Value::Float(number) => Some(number),
        _ => None,
    }
}

fn double(cell: Value) -> Option<f64> {
    match cell {
        Value::Double(number) => Some(number),
        _ => None,
    }
}

fn decimal(cell: Value) -> Option<i128> {
    match cell {
        Value::Decimal(unscaled) => Some(unscaled),
        _ => None,
    }
}

fn texts(cells: impl Iterator<Item = Value>) -> Result<ArrayRef, ArrowError> {
    let mut builder = StringBuilder::new();
    for cell in cells {
        match &cell {
            Value::Text(text) => {
                let text = std::str::from_utf8(text)?;
                check_room(builder.values_slice().len(), text.len())?;
                builder.append_value(text);
            }
            _ => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn binaries(cells: impl Iterator<Item = Value>) -> Result<ArrayRef, ArrowError> {
    let mut builder = BinaryBuilder::new();
    for cell in cells {
        match &cell {
            Value::Binary(bytes) => {
                check_room(builder.values_slice().len(), bytes.len())?;
                builder.append_value(bytes);
            }
            _ => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn check_room(held: usize, more: usize) -> Result<(), ArrowError> {
    let fits = i32::try_from(held + more).is_ok();
    let full = || ArrowError::OffsetOverflowError(held + more);
    fits.then_some(()).ok_or_else(full)
}
