//! The columns of a topic's rows: system columns, then those of the value.

use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};

use crate::schema::{Field, TableSchema};
use crate::{arrow, system};

/// How records of a topic become rows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RowSchema {
    values: Option<Arc<TableSchema>>,
    inferred: Option<Growth>,
    /// All columns.
    fields: Arc<[Field]>,
    arrow: SchemaRef,
}

/// What becomes of a member that an inferred table has no column for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// Decoding stops before its record ([`RowBatch::wants_columns`](crate::RowBatch::wants_columns)).
    Wanted,
    /// It is passed over; a value that neither its column nor a sibling takes makes the record
    /// undecodable. For a table that has no room to grow.
    Over,
}

impl RowSchema {
    /// Rows of a `key_value` topic: the value stays one binary column, `value`.
    pub fn key_value() -> Self {
        Self::new(None, &[system::value_field()])
    }

    /// Rows of a topic whose values are JSON objects under `values`.
    pub fn typed(values: TableSchema) -> Self {
        let values = Arc::new(values);
        Self::new(Some(Arc::clone(&values)), values.fields())
    }

    /// Rows of a topic whose values are JSON objects under a schema that was inferred: values that
    /// their column does not take go to siblings ([`crate::infer`]).
    pub fn inferred(values: TableSchema, growth: Growth) -> Self {
        Self {
            inferred: Some(growth),
            ..Self::typed(values)
        }
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

    pub(crate) fn growth(&self) -> Option<Growth> {
        self.inferred
    }

    pub(crate) fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn new(values: Option<Arc<TableSchema>>, value_fields: &[Field]) -> Self {
        let mut fields = system::fields().to_vec();
        fields.extend_from_slice(value_fields);
        Self {
            values,
            inferred: None,
            arrow: Arc::new(Schema::new(arrow::fields(&fields))),
            fields: fields.into(),
        }
    }
}
