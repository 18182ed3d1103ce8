//! What DescribeTable says of a table.

use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;
use tidelog_arrow_messages::read_schema;
use tidelog_protocol_ext::ext::columnar_fetch::ColumnarFetchRequest;
use tidelog_protocol_ext::ext::describe_table::{self as wire, DescribeTableRequest};
use uuid::Uuid;

use crate::api::Ours;
use crate::client::{Client, text};
use crate::columns::without_id;
use crate::config::Retry;
use crate::error::{BrokerError, Error, Result, said};

/// What a broker says of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct TableInfo {
    /// How records become rows: the topic's table mode.
    pub mode: String,
    /// Every schema that rows may carry, in ascending order of id; never empty.
    pub schemas: Vec<TableSchema>,
    /// The one in force.
    pub current_schema_id: i32,
    /// The primary key, in order; empty without one.
    pub key_columns: Vec<String>,
    /// How changes to one key are merged.
    pub merge_engine: Option<String>,
    /// The rule that gives a key its partition.
    pub partitioner: Option<String>,
    /// The Iceberg table it is tiered to.
    pub lake: Option<LakeTable>,
    pub partitions: Vec<PartitionInfo>,
}

/// One version of a table's schema.
#[derive(Debug, Clone, PartialEq)]
pub struct TableSchema {
    pub id: i32,
    /// Every field holds its id in the metadata key `PARQUET:field_id`.
    pub arrow: SchemaRef,
    /// The same for people.
    pub json: String,
}

/// The name of an Iceberg table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LakeTable {
    pub namespace: String,
    pub name: String,
}

/// A partition when the table was described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionInfo {
    pub partition: i32,
    pub log_start_offset: i64,
    /// The end of rows: the smaller of high watermark and last stable offset.
    pub stable_end: i64,
    /// The end of what has been written as columns.
    pub rows_to: i64,
    /// Rows, or live keys of a table with a primary key; `None` if that is not known.
    pub row_count: Option<i64>,
    /// The key index; `None` without a primary key, or where the broker is too old to say.
    pub index: Option<IndexInfo>,
}

/// A partition's key index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexInfo {
    pub state: IndexState,
    /// Lookups reflect every change below at least. This and the others are `None` while it is not
    /// [ready](IndexState::Ready).
    pub reflected_offset: Option<i64>,
    /// The index on the broker's disk reflects everything below.
    pub index_offset: Option<i64>,
    /// Live keys, about; [`TableScan::count`](crate::TableScan::count) counts them.
    pub row_estimate: Option<i64>,
    /// What changes take in the broker's memory that are not in the index on the disk yet.
    pub memory_bytes: Option<i64>,
}

/// Whether lookups are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexState {
    Ready,
    Loading,
    /// Neither the index nor a checkpoint to make it from can be read.
    Lost,
}

/// The topic's id and description; `None` if it cannot be read by column, because the broker does
/// not offer that or the topic has no schema yet.
pub(crate) async fn describe(
    client: &Client,
    address: &str,
    name: &str,
) -> Result<Option<(Uuid, TableInfo)>> {
    let topic = wire::TableName {
        topic_id: Uuid::nil(),
        name: Some(text(name)),
    };
    let request = Ours(DescribeTableRequest {
        topics: vec![topic],
    });
    let mut retry = Retry::new();
    loop {
        match describe_once(client, address, name, &request).await {
            Ok(described) => return Ok(described),
            Err(error) => retry.wait(client.config(), error).await?,
        }
    }
}

async fn describe_once(
    client: &Client,
    address: &str,
    name: &str,
    request: &Ours<DescribeTableRequest>,
) -> Result<Option<(Uuid, TableInfo)>> {
    let link = client.link(address);
    let connection = link.connection().await?;
    let has_columns = client.config().use_extensions
        && connection.offers::<Ours<ColumnarFetchRequest>>()
        && connection.offers::<Ours<DescribeTableRequest>>();
    if !has_columns {
        return Ok(None);
    }
    let answer = link.call(request, Duration::ZERO).await?;
    let Some(table) = answer.topics.into_iter().next() else {
        return Ok(None);
    };
    BrokerError::check("DescribeTable", table.error_code, || {
        said(&format!("topic {name}"), table.error_message.as_deref())
    })?;
    if table.schemas.is_empty() {
        return Ok(None);
    }
    let id = table.topic_id;
    let info = TableInfo::read(table).map_err(|reason| Error::Schema {
        table: name.to_owned(),
        reason,
    })?;
    Ok(Some((id, info)))
}

impl TableInfo {
    fn read(table: wire::Table) -> Result<Self, String> {
        let schemas: Vec<_> = table
            .schemas
            .into_iter()
            .map(TableSchema::read)
            .collect::<Result<_, _>>()?;
        let lake = table.lake_namespace.zip(table.lake_table);
        Ok(Self {
            mode: table.mode.to_string(),
            schemas,
            current_schema_id: table.current_schema_id,
            key_columns: table.key_columns.iter().map(ToString::to_string).collect(),
            merge_engine: table.merge_engine.map(|engine| engine.to_string()),
            partitioner: table.partitioner.map(|rule| rule.to_string()),
            lake: lake.map(|(namespace, name)| LakeTable {
                namespace: namespace.to_string(),
                name: name.to_string(),
            }),
            partitions: table.partitions.iter().map(PartitionInfo::read).collect(),
        })
    }
}

impl TableSchema {
    fn read(schema: wire::Schema) -> Result<Self, String> {
        let id = schema.schema_id;
        let arrow =
            read_schema(&schema.arrow_schema).map_err(|reason| format!("schema {id}: {reason}"))?;
        if let Some(field) = without_id(arrow.fields()) {
            return Err(format!("schema {id}: column {} has no id", field.name()));
        }
        Ok(Self {
            id,
            arrow: Arc::new(arrow),
            json: String::from_utf8_lossy(&schema.schema_json).into_owned(),
        })
    }
}

impl PartitionInfo {
    fn read(partition: &wire::TablePartition) -> Self {
        Self {
            partition: partition.partition,
            log_start_offset: partition.log_start_offset,
            stable_end: partition.stable_end,
            rows_to: partition.rows_to,
            row_count: known(partition.row_count),
            index: IndexInfo::read(partition),
        }
    }
}

impl IndexInfo {
    fn read(partition: &wire::TablePartition) -> Option<Self> {
        let state = match partition.index_state {
            wire::INDEX_READY => IndexState::Ready,
            wire::INDEX_LOADING => IndexState::Loading,
            wire::INDEX_LOST => IndexState::Lost,
            _ => return None,
        };
        Some(Self {
            state,
            reflected_offset: known(partition.reflected_offset),
            index_offset: known(partition.index_offset),
            row_estimate: known(partition.row_estimate),
            memory_bytes: known(partition.index_memory_bytes),
        })
    }
}

fn known(number: i64) -> Option<i64> {
    (number >= 0).then_some(number)
}
