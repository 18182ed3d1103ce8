//! Columns of rows by their place, and the values in them.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_buffer::NullBuffer;

use crate::eval::WrongRows;

/// The column in a place (that among the columns, then that of the member in it, and so on), and
/// which of its rows are null: themselves or with a struct around them.
pub(crate) fn at<'a>(
    place: &[usize],
    rows: &'a RecordBatch,
) -> Result<(&'a ArrayRef, Option<NullBuffer>), WrongRows> {
    let (first, members) = place.split_first().ok_or(WrongRows)?;
    let mut column = rows.columns().get(*first).ok_or(WrongRows)?;
    let mut nulls = column.nulls().cloned();
    for member in members {
        let group = column.as_struct_opt().ok_or(WrongRows)?;
        column = group.columns().get(*member).ok_or(WrongRows)?;
        nulls = NullBuffer::union(nulls.as_ref(), column.nulls());
    }
    Ok((column, nulls))
}

/// Evaluates `$body`, in which `$value` gives the value of a row, nulls aside; `None` for a column
/// of a type that is not compared.
macro_rules! with_values {
    ($column:expr, |$value:ident| $body:expr) => {{
        use arrow_array::cast::AsArray as _;
        use arrow_schema::{DataType, TimeUnit};
        let column = $column;
        match column.data_type() {
            DataType::Boolean => {
                let values = column.as_boolean();
                let $value = |row: usize| $crate::Value::Bool(values.value(row));
                Some($body)
            }
            DataType::Int8 => with_values!(@int Int8Type, column, $value, $body),
            DataType::Int16 => with_values!(@int Int16Type, column, $value, $body),
            DataType::Int32 => with_values!(@int Int32Type, column, $value, $body),
            DataType::Int64 => with_values!(@int Int64Type, column, $value, $body),
            DataType::UInt8 => with_values!(@int UInt8Type, column, $value, $body),
            DataType::UInt16 => with_values!(@int UInt16Type, column, $value, $body),
            DataType::UInt32 => with_values!(@int UInt32Type, column, $value, $body),
            DataType::UInt64 => with_values!(@int UInt64Type, column, $value, $body),
            DataType::Decimal128(..) => with_values!(@int Decimal128Type, column, $value, $body),
            DataType::Date32 => with_values!(@int Date32Type, column, $value, $body),
            DataType::Time64(TimeUnit::Microsecond) => {
                with_values!(@int Time64MicrosecondType, column, $value, $body)
            }
            DataType::Time64(TimeUnit::Nanosecond) => {
                with_values!(@int Time64NanosecondType, column, $value, $body)
            }
            DataType::Timestamp(TimeUnit::Second, _) => {
                with_values!(@int TimestampSecondType, column, $value, $body)
            }
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                with_values!(@int TimestampMillisecondType, column, $value, $body)
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                with_values!(@int TimestampMicrosecondType, column, $value, $body)
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                with_values!(@int TimestampNanosecondType, column, $value, $body)
            }
            DataType::Float32 => with_values!(@float Float32Type, column, $value, $body),
            DataType::Float64 => with_values!(@float Float64Type, column, $value, $body),
            DataType::Utf8 => with_values!(@bytes column.as_string::<i32>(), $value, $body),
            DataType::LargeUtf8 => with_values!(@bytes column.as_string::<i64>(), $value, $body),
            DataType::Binary => with_values!(@bytes column.as_binary::<i32>(), $value, $body),
            DataType::LargeBinary => with_values!(@bytes column.as_binary::<i64>(), $value, $body),
            DataType::FixedSizeBinary(_) => {
                with_values!(@bytes column.as_fixed_size_binary(), $value, $body)
            }
            _ => None,
        }
    }};
    (@int $type:ident, $column:ident, $value:ident, $body:expr) => {{
        let values = $column.as_primitive::<arrow_array::types::$type>().values();
        let $value = |row: usize| $crate::Value::Int(values[row].into());
        Some($body)
    }};
    (@float $type:ident, $column:ident, $value:ident, $body:expr) => {{
        let values = $column.as_primitive::<arrow_array::types::$type>().values();
        let $value = |row: usize| $crate::Value::Float(values[row].into());
        Some($body)
    }};
    (@bytes $values:expr, $value:ident, $body:expr) => {{
        let values = $values;
        let $value = |row: usize| $crate::Value::Bytes(values.value(row).as_ref());
        Some($body)
    }};
}

pub(crate) use with_values;
