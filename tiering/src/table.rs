//! The shape of a topic's table: the requests that make it and let it grow. Pure.

use std::collections::HashMap;

use iceberg::spec::{FormatVersion, Schema, TableMetadata, UnboundPartitionSpec};
use iceberg::{TableRequirement, TableUpdate};
use uuid::Uuid;

use crate::commit::{set_ledger, unchanged};
use crate::mark::{Ledger, TopicIdentity};
use crate::port::CommitRequest;
use crate::schema::{self, SchemaError, id};

/// Properties a new table begins with. Old metadata files go: one is written per commit.
const PROPERTIES: [(&str, &str); 3] = [
    ("write.parquet.compression-codec", "zstd"),
    ("write.metadata.delete-after-commit.enabled", "true"),
    ("write.metadata.previous-versions-max", "100"),
];

/// Makes the table, with exactly these field ids, unless it is there.
pub(crate) fn creation(
    identity: TopicIdentity,
    wanted: &Schema,
    uuid: Uuid,
    location: String,
) -> Result<CommitRequest, SchemaError> {
    let ledger = Ledger::new(identity, wanted.highest_field_id());
    let properties = PROPERTIES.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let updates = vec![
        TableUpdate::AssignUuid { uuid },
        TableUpdate::UpgradeFormatVersion {
            format_version: FormatVersion::V2,
        },
        TableUpdate::AddSchema {
            schema: wanted.clone(),
        },
        TableUpdate::SetCurrentSchema { schema_id: -1 },
        TableUpdate::AddSpec {
            spec: UnboundPartitionSpec::builder().build(),
        },
        TableUpdate::SetDefaultSpec { spec_id: -1 },
        TableUpdate::AddSortOrder {
            sort_order: schema::lake_sort_order(wanted)?,
        },
        TableUpdate::SetDefaultSortOrder { sort_order_id: -1 },
        TableUpdate::SetLocation { location },
        TableUpdate::SetProperties {
            updates: HashMap::from(properties),
        },
        set_ledger(&ledger),
    ];
    Ok(CommitRequest {
        requirements: vec![TableRequirement::NotExist],
        updates,
    })
}

/// Lets the table's schema grow to hold `wanted`, noting in `ledger` which ids are ours; `None`
/// when it holds it already.
pub(crate) fn growth(
    metadata: &TableMetadata,
    ledger: &mut Ledger,
    wanted: &Schema,
) -> Result<Option<CommitRequest>, SchemaError> {
    let last_column_id = metadata.last_column_id();
    let current = metadata.current_schema();
    let evolved = schema::evolve(current, last_column_id, ledger.field_id_to, wanted)?;
    let Some(schema) = evolved else {
        return Ok(None);
    };
    ledger.field_id_to = ledger.field_id_to.max(wanted.highest_field_id());
    let mut requirements = unchanged(metadata);
    requirements.push(TableRequirement::LastAssignedFieldIdMatch {
        last_assigned_field_id: last_column_id,
    });
    let updates = vec![
        TableUpdate::AddSchema { schema },
        TableUpdate::SetCurrentSchema { schema_id: -1 },
        set_ledger(ledger),
    ];
    Ok(Some(CommitRequest {
        requirements,
        updates,
    }))
}

/// The id of a sort order that our files satisfy, if the table still has it as its default.
pub(crate) fn sort_order_id(metadata: &TableMetadata) -> Option<i32> {
    let order = metadata.default_sort_order();
    let sources: Vec<i32> = order.fields.iter().map(|field| field.source_id).collect();
    if sources != [id::PARTITION, id::OFFSET] {
        return None;
    }
    i32::try_from(order.order_id).ok()
}
