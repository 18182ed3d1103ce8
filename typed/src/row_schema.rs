//! The columns of a topic's rows: system columns, then those of the value.

use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};

use crate::schema::{Field, TableSchema};
use crate::{Plan, Writers, arrow, system};

/// How records of a topic become rows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RowSchema {
    values: Option<Arc<TableSchema>>,
    writers: Option<Arc<Writers>>,
    /// All columns.
    fields: Arc<[Field]>,
    /// How many of them are the system's.
    system: usize,
    arrow: SchemaRef,
}

/// What becomes of a member that an inferred table has no column for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// Decoding stops before its record ([`Wanted::Columns`](crate::Wanted::Columns)).
    Wanted,
    /// It is passed over; a value that neither its column nor a sibling takes makes the record
    /// undecodable. For a table that has no room to grow.
    Over,
}

impl RowSchema {
    /// Rows of a `key_value` topic: the value stays one binary column, `value`.
    pub fn key_value() -> Self {
        Self::new(None, None, &[system::value_field()])
    }

    /// Rows of a topic whose values are JSON objects under `values`.
    pub fn typed(values: TableSchema) -> Self {
        Self::written(values, Arc::new(Writers::bare(Arc::new(Plan::Json))))
    }

    /// Rows of a topic whose values are read as `writers` know them, into the columns of `values`.
    pub fn written(values: TableSchema, writers: Arc<Writers>) -> Self {
        let values = Arc::new(values);
        Self::new(Some(Arc::clone(&values)), Some(writers), values.fields())
    }

    /// The same rows as a changelog has them, with what happened to each behind the system columns. A
    /// record decodes as an insert.
    #[must_use]
    pub fn changelog(&self) -> Self {
        let mut fields = system::fields().to_vec();
        fields.extend(system::change_fields());
        let system = fields.len();
        fields.extend_from_slice(self.value_fields());
        Self {
            arrow: Arc::new(Schema::new(arrow::fields(&fields))),
            fields: fields.into(),
            system,
            ..self.clone()
        }
    }

    /// Whether rows say what happened to them.
    pub fn is_changelog(&self) -> bool {
        self.system > system::COUNT
    }

    /// Who writes the values; `None` for a `key_value` topic.
    pub fn writers(&self) -> Option<&Arc<Writers>> {
        self.writers.as_ref()
    }

    /// Rows of a topic whose values are JSON objects under a schema that was inferred: values that
    /// their column does not take go to siblings ([`crate::infer`]).
    pub fn inferred(values: TableSchema, growth: Growth) -> Self {
        Self::written(
            values,
            Arc::new(Writers::bare(Arc::new(Plan::Inferred(growth)))),
        )
    }

    /// The Arrow schema of the rows.
    pub fn arrow(&self) -> &SchemaRef {
        &self.arrow
    }

    /// The schema of the values; `None` for a `key_value` topic.
    pub fn values(&self) -> Option<&Arc<TableSchema>> {
        self.values.as_ref()
    }

    /// The Arrow schema of the value columns alone, as the lake's layout wants it; `None` for a
    /// `key_value` topic.
    pub fn value_arrow(&self) -> Option<SchemaRef> {
        let fields = arrow::fields(self.values.as_ref()?.fields());
        Some(Arc::new(Schema::new(fields)))
    }

    pub(crate) fn value_fields(&self) -> &[Field] {
        &self.fields[self.system..]
    }

    fn new(
        values: Option<Arc<TableSchema>>,
        writers: Option<Arc<Writers>>,
        value_fields: &[Field],
    ) -> Self {
        let mut fields = system::fields().to_vec();
        fields.extend_from_slice(value_fields);
        Self {
            values,
            writers,
            arrow: Arc::new(Schema::new(arrow::fields(&fields))),
            fields: fields.into(),
            system: system::COUNT,
        }
    }
}
