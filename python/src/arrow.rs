//! Arrow data as capsules: the PyCapsule interface, by which libraries take it without a copy.
//!
//! A capsule owns what it holds until somebody moves it out, so nothing leaks when nobody does.
//! What a library would rather have (`requested_schema`) is not looked at, as the interface allows.

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{Array as _, RecordBatch, RecordBatchReader, StructArray};
use arrow_schema::{ArrowError, Schema};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

/// A schema capsule and an array capsule.
pub type ArrayCapsules<'py> = (Bound<'py, PyCapsule>, Bound<'py, PyCapsule>);

pub fn schema<'py>(py: Python<'py>, of: &Schema) -> PyResult<Bound<'py, PyCapsule>> {
    let schema = FFI_ArrowSchema::try_from(of).map_err(refused)?;
    PyCapsule::new_with_value(py, schema, c"arrow_schema")
}

/// A batch as a struct array of its columns.
pub fn array<'py>(py: Python<'py>, of: &RecordBatch) -> PyResult<ArrayCapsules<'py>> {
    let array = FFI_ArrowArray::new(&StructArray::from(of.clone()).to_data());
    Ok((
        schema(py, of.schema_ref())?,
        PyCapsule::new_with_value(py, array, c"arrow_array")?,
    ))
}

pub fn stream(
    py: Python<'_>,
    of: impl RecordBatchReader + Send + 'static,
) -> PyResult<Bound<'_, PyCapsule>> {
    let stream = FFI_ArrowArrayStream::new(Box::new(of));
    PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
}

fn refused(error: ArrowError) -> PyErr {
    PyValueError::new_err(error.to_string())
}
