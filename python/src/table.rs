//! A topic as a table: what it is, and what can be asked of it.

use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use tidelog_client::{PartitionInfo, TableInfo, UnionCount};

use crate::arguments::{LookupOptions, ReadOptions, UnionOptions};
use crate::batch::Schema;
use crate::lookup::find;
use crate::pending::Pending;
use crate::reader::{Reader, Source};

#[pyclass(frozen, module = "tidelog._native")]
pub struct Table {
    table: tidelog_client::Table,
    retry_for: Duration,
}

impl Table {
    pub fn new(table: tidelog_client::Table, retry_for: Duration) -> Self {
        Self { table, retry_for }
    }

    fn has_lake(&self) -> bool {
        self.table.info().is_some_and(|info| info.lake.is_some())
    }
}

#[pymethods]
impl Table {
    #[getter]
    fn name(&self) -> &str {
        self.table.name()
    }

    #[getter]
    fn topic_id(&self) -> String {
        self.table.topic_id().to_string()
    }

    #[getter]
    fn is_columnar(&self) -> bool {
        self.table.is_columnar()
    }

    #[getter]
    fn schema(&self) -> Schema {
        Schema(self.table.schema())
    }

    /// A dict of what the broker said last; None if it has no columns to offer.
    fn info<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        self.table
            .info()
            .map(|info| described(py, &info))
            .transpose()
    }

    /// Asks the broker again what the table is.
    fn refresh(&self) -> Pending {
        let table = self.table.clone();
        Pending::new(async move { Ok(table.refresh().await.map(drop)?) })
    }

    /// A `Reader` of the log.
    fn read(&self, options: ReadOptions) -> PyResult<Pending> {
        let scan = options.scan(&self.table)?;
        Ok(Pending::new(async move {
            Ok(Reader::new(Source::Log(scan.open().await?)))
        }))
    }

    /// A `Reader` of lake and log; without a lake, of the log alone.
    fn union(&self, options: UnionOptions) -> PyResult<Pending> {
        if !self.has_lake() {
            let scan = options.scan(&self.table);
            return Ok(Pending::new(async move {
                Ok(Reader::new(Source::Log(scan.open().await?)))
            }));
        }
        let read = options.union(&self.table)?;
        Ok(Pending::new(async move {
            Ok(Reader::new(Source::Union(Box::new(read.open().await?))))
        }))
    }

    /// `(snapshot_id, lake_rows, log_rows)`.
    fn count(&self, options: UnionOptions) -> PyResult<Pending> {
        if !self.has_lake() {
            let nothing: [&str; 0] = [];
            let scan = options.scan(&self.table).columns(nothing);
            return Ok(Pending::new(async move {
                let mut stream = scan.open().await?;
                let mut log_rows = 0;
                while let Some(rows) = stream.next().await? {
                    log_rows += rows.batch.num_rows() as u64;
                }
                Ok((None::<i64>, 0, log_rows))
            }));
        }
        let read = options.union(&self.table)?;
        Ok(Pending::new(async move {
            let UnionCount {
                snapshot_id,
                lake_rows,
                log_rows,
            } = read.count().await?;
            Ok((snapshot_id, lake_rows, log_rows))
        }))
    }

    /// A `Found`.
    fn lookup(&self, options: LookupOptions) -> PyResult<Pending> {
        let lookup = options.lookup(&self.table)?;
        Ok(Pending::new(find(lookup, self.retry_for)))
    }
}

fn described<'py>(py: Python<'py>, info: &TableInfo) -> PyResult<Bound<'py, PyDict>> {
    let schemas = info.schemas.iter();
    let schemas: Vec<_> = schemas
        .map(|one| (one.id, Schema(one.arrow.clone()), one.json.as_str()))
        .collect();
    let lake = info.lake.as_ref();
    let dict = PyDict::new(py);
    dict.set_item("mode", &info.mode)?;
    dict.set_item("schemas", schemas)?;
    dict.set_item("current_schema_id", info.current_schema_id)?;
    dict.set_item("key_columns", &info.key_columns)?;
    dict.set_item("merge_engine", &info.merge_engine)?;
    dict.set_item("partitioner", &info.partitioner)?;
    dict.set_item(
        "lake",
        lake.map(|lake| format!("{}.{}", lake.namespace, lake.name)),
    )?;
    let partitions = info.partitions.iter().map(|one| partition(py, one));
    dict.set_item("partitions", partitions.collect::<PyResult<Vec<_>>>()?)?;
    Ok(dict)
}

fn partition<'py>(py: Python<'py>, of: &PartitionInfo) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("partition", of.partition)?;
    dict.set_item("log_start_offset", of.log_start_offset)?;
    dict.set_item("stable_end", of.stable_end)?;
    dict.set_item("rows_to", of.rows_to)?;
    dict.set_item("row_count", of.row_count)?;
    Ok(dict)
}
