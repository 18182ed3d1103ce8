//! Rows handed out, and their schema.

use arrow_array::{RecordBatch, RecordBatchIterator};
use arrow_schema::SchemaRef;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict};
use tidelog_client::Rows as ClientRows;

use crate::arrow;
use crate::values;

/// The columns of rows: names, types, nullability and, in the metadata `PARQUET:field_id`, ids.
///
/// Give it to `pyarrow.schema(…)`, or to whatever else takes `__arrow_c_schema__`.
#[pyclass(frozen, module = "tidelog")]
pub struct Schema(pub SchemaRef);

#[pymethods]
impl Schema {
    /// The names of the columns, in order.
    #[getter]
    fn names(&self) -> Vec<&str> {
        let fields = self.0.fields().iter();
        fields.map(|field| field.name().as_str()).collect()
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        arrow::schema(py, &self.0)
    }

    /// The same as a `pyarrow.Schema`.
    fn to_pyarrow<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("pyarrow")?.call_method1("schema", (slf,))
    }

    fn __len__(&self) -> usize {
        self.0.fields().len()
    }

    fn __repr__(&self) -> String {
        let fields = self.0.fields().iter();
        let fields: Vec<_> = fields
            .map(|field| format!("{}: {}", field.name(), field.data_type()))
            .collect();
        format!("Schema({})", fields.join(", "))
    }
}

/// Rows as Arrow columns.
///
/// Whatever speaks Arrow's PyCapsule interface takes them as they are: `pyarrow.table(rows)`,
/// `polars.DataFrame(rows)`, `pandas.DataFrame.from_arrow(rows)`, DuckDB by the name of the variable.
#[pyclass(frozen, subclass, module = "tidelog")]
pub struct Rows(pub RecordBatch);

#[pymethods]
impl Rows {
    /// How many there are.
    #[getter]
    fn num_rows(&self) -> usize {
        self.0.num_rows()
    }

    #[getter]
    fn schema(&self) -> Schema {
        Schema(self.0.schema())
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        arrow::schema(py, self.0.schema_ref())
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<arrow::ArrayCapsules<'py>> {
        drop(requested_schema);
        arrow::array(py, &self.0)
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        drop(requested_schema);
        let batches = [Ok(self.0.clone())];
        arrow::stream(py, RecordBatchIterator::new(batches, self.0.schema()))
    }

    /// The same as a `pyarrow.RecordBatch`.
    fn to_pyarrow<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let pyarrow = slf.py().import("pyarrow")?;
        pyarrow.call_method1("record_batch", (slf,))
    }

    /// The rows as dicts of Python values, for which no other library is needed.
    fn to_pylist<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let rows = 0..self.0.num_rows();
        rows.map(|row| values::row(py, &self.0, row)).collect()
    }

    fn __len__(&self) -> usize {
        self.0.num_rows()
    }

    fn __repr__(&self) -> String {
        let columns = self.schema().names().join(", ");
        format!("Rows({} of {columns})", self.0.num_rows())
    }
}

/// Rows of one partition, in order of offset.
#[pyclass(frozen, extends = Rows, module = "tidelog")]
pub struct Batch {
    /// The partition they are of.
    #[pyo3(get)]
    partition: i32,
    /// The first offset that was read for them; the first row stands there or later.
    #[pyo3(get)]
    first_offset: i64,
    /// Where to go on: every row below that was wanted has been handed out.
    #[pyo3(get)]
    next_offset: i64,
}

impl Batch {
    pub fn new(py: Python<'_>, rows: ClientRows) -> PyResult<Py<Self>> {
        let own = Self {
            partition: rows.partition,
            first_offset: rows.first_offset,
            next_offset: rows.next_offset,
        };
        Py::new(
            py,
            PyClassInitializer::from(Rows(rows.batch)).add_subclass(own),
        )
    }
}

#[pymethods]
impl Batch {
    fn __repr__(slf: PyRef<'_, Self>) -> String {
        let (partition, first, next) = (slf.partition, slf.first_offset, slf.next_offset);
        let rows = slf.into_super().__repr__();
        format!("Batch(partition {partition}, offsets {first}..{next}, {rows})")
    }
}
