//! Arrow values as Python's own, for single rows and small results.
//!
//! int, float, bool, str, bytes, Decimal, date, time, datetime (with a time zone where the column
//! has one), list, dict for structs, a list of pairs for maps, as pyarrow has it.

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType, TimestampMillisecondType,
};
use arrow_array::{Array, ArrowPrimitiveType, RecordBatch, StructArray};
use arrow_schema::{DataType, TimeUnit};
use chrono::{DateTime, Utc};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};
use pyo3::{IntoPyObject, IntoPyObjectExt as _};

/// One row of a batch, by column.
///
/// # Errors
/// TypeError for types that tables do not have.
pub fn row<'py>(py: Python<'py>, batch: &RecordBatch, row: usize) -> PyResult<Bound<'py, PyDict>> {
    let members = PyDict::new(py);
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        members.set_item(field.name(), value(py, column, row)?)?;
    }
    Ok(members)
}

fn value<'py>(py: Python<'py>, array: &dyn Array, row: usize) -> PyResult<Bound<'py, PyAny>> {
    if array.is_null(row) {
        return Ok(py.None().into_bound(py));
    }
    match array.data_type() {
        DataType::Null => Ok(py.None().into_bound(py)),
        DataType::Boolean => array.as_boolean().value(row).into_bound_py_any(py),
        DataType::Int32 => number::<Int32Type>(py, array, row),
        DataType::Int64 => number::<Int64Type>(py, array, row),
        DataType::Float32 => number::<Float32Type>(py, array, row),
        DataType::Float64 => number::<Float64Type>(py, array, row),
        DataType::Decimal128(..) => {
            let text = array.as_primitive::<Decimal128Type>().value_as_string(row);
            py.import("decimal")?.call_method1("Decimal", (text,))
        }
        DataType::Utf8 => array.as_string::<i32>().value(row).into_bound_py_any(py),
        DataType::Binary => Ok(PyBytes::new(py, array.as_binary::<i32>().value(row)).into_any()),
        DataType::Date32 => {
            let date = array.as_primitive::<Date32Type>().value_as_date(row);
            beyond(date, array)?.into_bound_py_any(py)
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            let times = array.as_primitive::<Time64MicrosecondType>();
            beyond(times.value_as_time(row), array)?.into_bound_py_any(py)
        }
        DataType::Timestamp(unit, zone) => moment(py, array, row, *unit, zone.is_some()),
        DataType::List(_) => list(py, &array.as_list::<i32>().value(row)),
        DataType::Map(..) => map(py, &array.as_map().value(row)),
        DataType::Struct(_) => structure(py, array.as_struct(), row),
        other => Err(PyTypeError::new_err(format!(
            "values of type {other} have no form here; use to_pyarrow()"
        ))),
    }
}

fn number<'py, T>(py: Python<'py>, array: &dyn Array, row: usize) -> PyResult<Bound<'py, PyAny>>
where
    T: ArrowPrimitiveType<Native: IntoPyObject<'py>>,
{
    array.as_primitive::<T>().value(row).into_bound_py_any(py)
}

fn moment<'py>(
    py: Python<'py>,
    array: &dyn Array,
    row: usize,
    unit: TimeUnit,
    is_instant: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let moment = match unit {
        TimeUnit::Millisecond => DateTime::from_timestamp_millis(
            array.as_primitive::<TimestampMillisecondType>().value(row),
        ),
        TimeUnit::Microsecond => DateTime::from_timestamp_micros(
            array.as_primitive::<TimestampMicrosecondType>().value(row),
        ),
        TimeUnit::Second | TimeUnit::Nanosecond => None,
    };
    let moment: DateTime<Utc> = beyond(moment, array)?;
    match is_instant {
        true => moment.into_bound_py_any(py),
        false => moment.naive_utc().into_bound_py_any(py),
    }
}

fn list<'py>(py: Python<'py>, elements: &dyn Array) -> PyResult<Bound<'py, PyAny>> {
    let elements = (0..elements.len()).map(|at| value(py, elements, at));
    let elements: Vec<_> = elements.collect::<PyResult<_>>()?;
    Ok(PyList::new(py, elements)?.into_any())
}

fn structure<'py>(py: Python<'py>, array: &StructArray, row: usize) -> PyResult<Bound<'py, PyAny>> {
    let members = PyDict::new(py);
    for (field, column) in array.fields().iter().zip(array.columns()) {
        members.set_item(field.name(), value(py, column, row)?)?;
    }
    Ok(members.into_any())
}

fn map<'py>(py: Python<'py>, entries: &StructArray) -> PyResult<Bound<'py, PyAny>> {
    let pair = |at| {
        let sides = entries.columns().iter();
        let sides: Vec<_> = sides
            .map(|side| value(py, side, at))
            .collect::<PyResult<_>>()?;
        PyTuple::new(py, sides)
    };
    let pairs: Vec<_> = (0..entries.len()).map(pair).collect::<PyResult<_>>()?;
    Ok(PyList::new(py, pairs)?.into_any())
}

/// What Python's own types cannot hold is an error, not something near it.
fn beyond<T>(value: Option<T>, array: &dyn Array) -> PyResult<T> {
    value.ok_or_else(|| {
        let kind = array.data_type();
        PyTypeError::new_err(format!("a {kind} has no exact form here; use to_pyarrow()"))
    })
}
