//! The shape of a topic's table: the requests that make it and let it grow. Pure.

use iceberg::spec::{
    FormatVersion, Literal, PartitionSpecRef, Schema, Struct, TableMetadata, Transform,
    UnboundPartitionSpec,
};
use iceberg::{TableRequirement, TableUpdate};
use uuid::Uuid;

use crate::commit::{set_ledger, unchanged};
use crate::mark::{Ledger, TopicIdentity};
use crate::port::CommitRequest;
use crate::schema::{self, SchemaError, id, name};

/// Table property that tells a keyed table; a table without it is an append table.
pub const KIND_PROPERTY: &str = "tidelog.kind";
const KEYED: &str = "keyed";

/// What rows of a table are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Records of the topic; none is ever taken out. Unpartitioned.
    Append,
    /// The newest row of each key; replaced ones are deleted by position. Partitioned by
    /// identity(`_kafka_partition`), so that a bucket of the log is a bucket of the lake.
    Keyed,
}

impl Kind {
    /// The kind a table was made as.
    pub fn of(metadata: &TableMetadata) -> Self {
        match metadata.properties().get(KIND_PROPERTY).map(String::as_str) {
            Some(KEYED) => Self::Keyed,
            _ => Self::Append,
        }
    }

    fn spec(self) -> Result<UnboundPartitionSpec, SchemaError> {
        let spec = UnboundPartitionSpec::builder();
        let spec = match self {
            Self::Append => Ok(spec),
            Self::Keyed => {
                spec.add_partition_field(id::PARTITION, name::PARTITION, Transform::Identity)
            }
        };
        spec.map(|spec| spec.build())
            .map_err(|error| SchemaError::Invalid(error.to_string()))
    }
}

/// The spec our files are written for, if the table still has it: the oldest one of the shape that
/// its kind asks for.
pub(crate) fn file_spec(metadata: &TableMetadata) -> Option<&PartitionSpecRef> {
    let fits = |spec: &&PartitionSpecRef| match (Kind::of(metadata), spec.fields()) {
        (Kind::Append, []) => true,
        (Kind::Keyed, [field]) => {
            field.source_id == id::PARTITION && field.transform == Transform::Identity
        }
        _ => false,
    };
    let specs = metadata.partition_specs_iter().filter(fits);
    specs.min_by_key(|spec| spec.spec_id())
}

/// The partition tuple of a keyed table's file.
pub(crate) fn partition_tuple(partition: i32) -> Struct {
    Struct::from_iter([Some(Literal::int(partition))])
}

/// Properties a new table begins with. Old metadata files go: one is written per commit.
const PROPERTIES: [(&str, &str); 3] = [
    ("write.parquet.compression-codec", "zstd"),
    ("write.metadata.delete-after-commit.enabled", "true"),
    ("write.metadata.previous-versions-max", "100"),
];

/// Makes the table, with exactly these field ids, unless it is there.
pub(crate) fn creation(
    identity: TopicIdentity,
    kind: Kind,
    wanted: &Schema,
    uuid: Uuid,
    location: String,
) -> Result<CommitRequest, SchemaError> {
    let ledger = Ledger::new(identity, wanted.highest_field_id());
    let kind_property = (kind == Kind::Keyed).then_some((KIND_PROPERTY, KEYED));
    let properties = PROPERTIES.into_iter().chain(kind_property);
    let properties = properties.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let updates = vec![
        TableUpdate::AssignUuid { uuid },
        TableUpdate::UpgradeFormatVersion {
            format_version: FormatVersion::V2,
        },
        TableUpdate::AddSchema {
            schema: wanted.clone(),
        },
        TableUpdate::SetCurrentSchema { schema_id: -1 },
        TableUpdate::AddSpec { spec: kind.spec()? },
        TableUpdate::SetDefaultSpec { spec_id: -1 },
        TableUpdate::AddSortOrder {
            sort_order: schema::lake_sort_order(wanted)?,
        },
        TableUpdate::SetDefaultSortOrder { sort_order_id: -1 },
        TableUpdate::SetLocation { location },
        TableUpdate::SetProperties {
            updates: properties.collect(),
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
