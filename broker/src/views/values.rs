//! What the values of a view are: rows as JSON, or as Avro under a schema that the registry has.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::Fields;
use parking_lot::Mutex;
use tidelog_registry::SchemaId;
use tidelog_typed::avro::{AvroRows, BadSchema, Mismatch, Writer, record_name, schema_text};
use tidelog_typed::{JsonRows, JsonStyle, UnwritableType};
use uuid::Uuid;

use crate::api::data::compute::compute;
use crate::owners::registry::{LookupError, Registry};

/// Every column stands in every value, so that readers see which there are.
pub(super) const STYLE: JsonStyle = JsonStyle { nulls: true };
/// In front of the schema's id.
const MAGIC: u8 = 0;
/// Schemas that are remembered; beyond it all are asked for again.
const KNOWN_MAX: usize = 10_000;

/// How values are written.
#[derive(Debug, Clone)]
pub enum ValueFormat {
    Json,
    Avro(Arc<AvroSchema>),
}

/// A schema of the registry.
#[derive(Debug)]
pub struct AvroSchema {
    id: SchemaId,
    writer: Writer,
}

/// Why a view has no schema in the registry.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AvroError {
    #[error("tidelog.view.format=avro: {0}")]
    Columns(#[from] Mismatch),
    #[error("tidelog.view.format=avro: {0}")]
    Schema(#[from] BadSchema),
    #[error("subject {subject}: {error}")]
    Registry { subject: String, error: LookupError },
}

/// Why no row of a batch can be written.
#[derive(Debug, thiserror::Error)]
pub enum UnwritableRows {
    #[error(transparent)]
    Json(#[from] UnwritableType),
    #[error(transparent)]
    Avro(#[from] Mismatch),
}

/// Rows that become values one by one.
pub enum ValueRows<'a> {
    Json(JsonRows<'a>),
    Avro(SchemaId, AvroRows<'a>),
}

impl ValueFormat {
    /// # Errors
    /// [`UnwritableRows`], never for rows of the columns that the format was made for.
    pub fn rows<'a>(&'a self, rows: &'a RecordBatch) -> Result<ValueRows<'a>, UnwritableRows> {
        Ok(match self {
            Self::Json => ValueRows::Json(JsonRows::of(rows)?),
            Self::Avro(schema) => ValueRows::Avro(schema.id, AvroRows::of(&schema.writer, rows)?),
        })
    }
}

impl ValueRows<'_> {
    /// Appends the value of row `row` to `out`. False for a row that has none: a number that JSON cannot
    /// write. Then `out` is as before.
    pub fn write(&self, row: usize, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let is_written = match self {
            Self::Json(rows) => rows.write(row, STYLE, out).is_ok(),
            Self::Avro(id, rows) => {
                out.push(MAGIC);
                out.extend(id.0.to_be_bytes());
                rows.write(row, out).is_ok()
            }
        };
        if !is_written {
            out.truncate(start);
        }
        is_written
    }
}

/// Under which name the schemas of a topic's values are registered.
pub fn subject(topic: &str) -> String {
    format!("{topic}-value")
}

/// The schema of values with these columns.
///
/// # Errors
/// [`AvroError`], not of the registry.
pub fn avro_text(topic: &str, columns: &Fields) -> Result<(String, Writer), AvroError> {
    let text = schema_text(&record_name(topic), columns)?;
    let writer = Writer::parse(&text, &[])?;
    Ok((text, writer))
}

/// The schemas that views have in the registry, by view and schema of its source. Only saves work: the
/// registry answers the same again.
#[derive(Debug, Default)]
pub struct AvroSchemas {
    known: Mutex<HashMap<(Uuid, i32), Arc<AvroSchema>>>,
}

impl AvroSchemas {
    /// The schema of a view's values, registered if it is new. `columns` are those it shows of the
    /// source's rows of `schema_id`.
    ///
    /// # Errors
    /// [`AvroError`].
    pub async fn schema(
        &self,
        registry: &Registry,
        (view, topic): (Uuid, &str),
        schema_id: i32,
        columns: &Fields,
    ) -> Result<Arc<AvroSchema>, AvroError> {
        let key = (view, schema_id);
        if let Some(known) = self.known.lock().get(&key) {
            return Ok(Arc::clone(known));
        }
        let (name, columns) = (topic.to_owned(), columns.clone());
        let (text, writer) = compute(move || avro_text(&name, &columns)).await?;
        let subject = subject(topic);
        let registered = registry.register_avro(&subject, text).await;
        let id = registered.map_err(|error| AvroError::Registry { subject, error })?;
        let schema = Arc::new(AvroSchema { id, writer });
        let mut known = self.known.lock();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(key, Arc::clone(&schema));
        Ok(schema)
    }
}
