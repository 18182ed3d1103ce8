//! Which rows a reader wants, wherever they are told apart: by the broker, or here.

#[cfg(any(feature = "decode", feature = "lake"))]
use arrow_array::RecordBatch;
#[cfg(any(feature = "decode", feature = "lake"))]
use arrow_schema::ArrowError;
use arrow_schema::{Schema, SchemaRef};
#[cfg(any(feature = "decode", feature = "lake"))]
use arrow_select::filter::filter_record_batch;
use bytes::Bytes;
use tidelog_predicate::{BindError, ParseError, Predicate, bind_version, parse, resolve};

use crate::error::{Error, Result};

/// A condition on rows: the text of a SQL `WHERE` clause, or a [`Predicate`].
#[derive(Debug, Clone, PartialEq)]
pub struct Filter(Result<Predicate, ParseError>);

impl From<&str> for Filter {
    fn from(text: &str) -> Self {
        Self(parse(text))
    }
}

impl From<String> for Filter {
    fn from(text: String) -> Self {
        Self::from(&text[..])
    }
}

impl From<Predicate> for Filter {
    fn from(predicate: Predicate) -> Self {
        Self(Ok(predicate))
    }
}

/// A filter on the rows of one table, its columns by id.
#[derive(Debug, Clone)]
pub(crate) struct RowFilter {
    #[cfg(any(feature = "decode", feature = "lake"))]
    predicate: Predicate,
    wire: Bytes,
}

impl RowFilter {
    /// Looks the columns up in `schemas`, the one in force first and then from new to old.
    pub(crate) fn resolve(table: &str, filter: &Filter, schemas: &[SchemaRef]) -> Result<Self> {
        let refuse = |reason: String| Error::Filter {
            table: table.to_owned(),
            reason,
        };
        let parsed = filter
            .0
            .as_ref()
            .map_err(|error| refuse(error.to_string()))?;
        let schemas: Vec<&Schema> = schemas.iter().map(AsRef::as_ref).collect();
        let checked = resolve(parsed, &schemas).and_then(|predicate| {
            // First as it was written, for the names in what is wrong.
            schemas
                .first()
                .map(|newest| bind_version(parsed, newest))
                .transpose()?;
            schemas
                .iter()
                .try_for_each(|schema| bind_version(&predicate, schema).map(drop))?;
            Ok(Self {
                wire: Bytes::from(predicate.encode()?),
                #[cfg(any(feature = "decode", feature = "lake"))]
                predicate,
            })
        });
        checked.map_err(|error| match error {
            BindError::UnknownColumn(column) => Error::UnknownColumn {
                table: table.to_owned(),
                column,
            },
            error => refuse(error.to_string()),
        })
    }

    /// As a request has it.
    pub(crate) fn wire(&self) -> Bytes {
        self.wire.clone()
    }

    /// The columns it looks at.
    #[cfg(feature = "lake")]
    pub(crate) fn columns(&self) -> Vec<String> {
        let columns = self.predicate.columns().into_iter();
        columns.map(str::to_owned).collect()
    }

    /// Those of `rows` that are wanted. A column they do not have is null.
    #[cfg(any(feature = "decode", feature = "lake"))]
    pub(crate) fn keep(&self, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let failed = |error: &dyn ToString| ArrowError::SchemaError(error.to_string());
        let bound = bind_version(&self.predicate, rows.schema_ref()).map_err(|e| failed(&e))?;
        let wanted = bound.eval(rows).map_err(|e| failed(&e))?;
        match wanted.true_count() == rows.num_rows() {
            true => Ok(rows.clone()),
            false => filter_record_batch(rows, &wanted),
        }
    }
}
