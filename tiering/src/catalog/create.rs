//! The first metadata of a table created by a commit (`assert-create`).
//!
//! The updates of such a commit describe the whole table, with the field ids its writer has used
//! already, so they must be kept. Iceberg's builder renumbers fields when it starts a table;
//! therefore the beginning is written down as the specification's JSON, holding only the first
//! schema, and the builder applies all updates on top of it.

use iceberg::TableUpdate;
use iceberg::spec::{FormatVersion, TableMetadata};
use serde_json::json;
use uuid::Uuid;

use super::CatalogError;

/// Spec: ids of partition fields start at 1000.
const LAST_PARTITION_ID: i32 = 999;

/// The metadata that `updates` describe.
///
/// # Errors
/// `BadRequest` when uuid, schema or location are missing, or an update does not apply.
pub(super) fn metadata_from(
    updates: Vec<TableUpdate>,
    now_ms: i64,
) -> Result<TableMetadata, CatalogError> {
    let bad = |error: iceberg::Error| CatalogError::BadRequest(error.to_string());
    let mut builder = beginning(&updates, now_ms)?.into_builder(None);
    for update in updates {
        builder = update.apply(builder).map_err(bad)?;
    }
    Ok(builder.build().map_err(bad)?.metadata)
}

fn beginning(updates: &[TableUpdate], now_ms: i64) -> Result<TableMetadata, CatalogError> {
    let mut uuid: Option<Uuid> = None;
    let mut version = FormatVersion::V2;
    let mut first_schema = None;
    let mut table_location = None;
    for update in updates {
        match update {
            TableUpdate::AssignUuid { uuid: assigned } => uuid = Some(*assigned),
            TableUpdate::UpgradeFormatVersion { format_version } => version = *format_version,
            TableUpdate::AddSchema { schema } => first_schema = first_schema.or(Some(schema)),
            TableUpdate::SetLocation { location } => table_location = Some(location),
            _ => {}
        }
    }
    let missing = |what| CatalogError::BadRequest(format!("a new table needs {what}"));
    let schema = first_schema.ok_or_else(|| missing("a schema"))?;
    let mut beginning = json!({
        "format-version": version as u8,
        "table-uuid": uuid.ok_or_else(|| missing("a uuid"))?,
        "location": table_location.ok_or_else(|| missing("a location"))?,
        "last-sequence-number": 0,
        "last-updated-ms": now_ms,
        "last-column-id": schema.highest_field_id(),
        "schemas": [schema],
        "current-schema-id": schema.schema_id(),
        "partition-specs": [{"spec-id": 0, "fields": []}],
        "default-spec-id": 0,
        "last-partition-id": LAST_PARTITION_ID,
        "sort-orders": [{"order-id": 0, "fields": []}],
        "default-sort-order-id": 0,
        "properties": {},
    });
    if version == FormatVersion::V3 {
        beginning["next-row-id"] = json!(0);
    }
    serde_json::from_value(beginning).map_err(|error| CatalogError::BadRequest(error.to_string()))
}
