//! DescribeTable (key 16004): schemas, keys, sizes and key indexes of tables. A topic that is no table has key
//! and value as its columns.

use std::sync::Arc;

use bytes::Bytes;
use tidelog_coordinator::cluster::Topic;
use tidelog_coordinator::cluster::settings::{TableKey, TableSettings};
use tidelog_keyed::partitioner::Rule;
use tidelog_protocol_ext::ext::describe_table::{
    self as wire, DescribeTableRequest, DescribeTableResponse, Schema, Table, TableName,
    TablePartition,
};
use tidelog_protocol_ext::{ErrorCode, StrBytes};
use tidelog_storage::{Partition, arrow_schema_message};
use tidelog_typed::system;

use super::columns::formats_of;
use crate::api::context::{Context, Outcome};
use crate::api::data::target::{PartitionError, TopicKey, check_no_view};
use crate::api::error::{Coded, Failure};
use crate::jobs::lake;
use crate::jobs::rows::format::{BadFormat, Format};
use crate::owners::cluster::View;
use crate::owners::keyed::{NotReady, rules_of};

/// A size that is not known.
const UNKNOWN: i64 = -1;

/// Why a table is not described.
#[derive(Debug, thiserror::Error)]
pub enum DescribeError {
    #[error("a table is named by id or by name")]
    Unnamed,
    #[error(transparent)]
    Target(#[from] PartitionError),
    #[error(transparent)]
    Format(#[from] BadFormat),
}

pub async fn handle(ctx: &Context, request: DescribeTableRequest) -> Outcome {
    let view = ctx.broker.cluster().view();
    let described = request
        .topics
        .iter()
        .map(|wanted| describe(ctx, &view, wanted).unwrap_or_else(|error| failed(wanted, &error)));
    let response = DescribeTableResponse {
        throttle_time_ms: 0,
        topics: described.collect(),
    };
    ctx.answer_ext::<DescribeTableRequest>(&response)
}

fn describe(ctx: &Context, view: &View, wanted: &TableName) -> Result<Table, DescribeError> {
    let key = TopicKey::of(wanted.topic_id, wanted.name.as_ref());
    let key = key.ok_or(DescribeError::Unnamed)?;
    let topic = key.find(&view.image)?;
    check_no_view(&view.image, topic)?;
    let settings = view.topic_settings(topic);
    let lake = settings.is_tiered().then(|| lake::table_of(topic));
    let settings = &settings.table;
    let formats = formats_of(&ctx.broker, view, topic)?;
    let current_schema_id = formats.last().map_or(-1, |format| format.schema_id);
    let is_keyed = settings.key.is_keyed();
    Ok(Table {
        name: Some(StrBytes::from_string(topic.name.clone())),
        topic_id: topic.id,
        mode: StrBytes::from_string(settings.mode.to_string()),
        schemas: formats.iter().map(schema).collect(),
        current_schema_id,
        key_columns: key_columns(settings),
        merge_engine: is_keyed.then(|| StrBytes::from_string(settings.merge.engine.clone())),
        partitioner: is_keyed.then(|| partitioner(topic, settings)).flatten(),
        lake_namespace: lake
            .as_ref()
            .map(|(namespace, _)| StrBytes::from_static_str(namespace)),
        lake_table: lake.map(|(_, table)| StrBytes::from_string(table)),
        partitions: (0..topic.partitions)
            .filter_map(|index| partition(ctx, topic, index, is_keyed))
            .collect(),
        ..Table::default()
    })
}

fn schema(format: &Arc<Format>) -> Schema {
    let json = match format.schema.values() {
        Some(values) => values.to_json(),
        None => {
            let (id, name) = (system::id::VALUE, system::name::VALUE);
            format!(r#"{{"fields":[{{"name":"{name}","type":"binary","id":{id}}}]}}"#)
        }
    };
    Schema {
        schema_id: format.schema_id,
        arrow_schema: arrow_schema_message(format.schema.arrow()).into(),
        schema_json: Bytes::from(json),
    }
}

fn key_columns(settings: &TableSettings) -> Vec<StrBytes> {
    match &settings.key {
        TableKey::None => Vec::new(),
        TableKey::RecordKey => vec![StrBytes::from_static_str(system::name::KEY)],
        TableKey::Columns(names) => names.iter().cloned().map(StrBytes::from_string).collect(),
    }
}

/// `None` while it is left to the first records.
fn partitioner(topic: &Topic, settings: &TableSettings) -> Option<StrBytes> {
    let rules = rules_of(topic, settings);
    let decided = rules.decided().map(Rule::name);
    let name = decided.or(rules.is_explicit().then_some("explicit"));
    name.map(StrBytes::from_static_str)
}

fn partition(ctx: &Context, topic: &Topic, index: i32, is_keyed: bool) -> Option<TablePartition> {
    let partition = ctx.broker.log().partition(topic.id, index)?;
    let marks = partition.marks();
    Some(TablePartition {
        partition: index,
        log_start_offset: marks.log_start,
        stable_end: marks.stable_end,
        rows_to: partition.rows_to(),
        row_count: row_count(ctx, topic, &partition, marks.log_start),
        ..index_of(ctx, topic, index, is_keyed)
    })
}

/// What is known of a partition's key index, and nothing else.
fn index_of(ctx: &Context, topic: &Topic, index: i32, is_keyed: bool) -> TablePartition {
    let statistics = match is_keyed {
        true => {
            let table = ctx.broker.keyed().open_table(topic.id, index);
            table.and_then(|table| table.statistics()).map(Some)
        }
        false => Ok(None),
    };
    let unknown = |index_state| TablePartition {
        index_state,
        reflected_offset: UNKNOWN,
        index_offset: UNKNOWN,
        row_estimate: UNKNOWN,
        index_memory_bytes: UNKNOWN,
        ..TablePartition::default()
    };
    match statistics {
        Ok(None) => unknown(wire::INDEX_NONE),
        Err(NotReady::Loading) => unknown(wire::INDEX_LOADING),
        Err(NotReady::Lost(_)) => unknown(wire::INDEX_LOST),
        Ok(Some(known)) => TablePartition {
            reflected_offset: known.reflects,
            index_offset: known.applied,
            row_estimate: i64::try_from(known.rows).unwrap_or(i64::MAX),
            index_memory_bytes: i64::try_from(known.overlay_bytes).unwrap_or(i64::MAX),
            ..unknown(wire::INDEX_READY)
        },
    }
}

/// Rows in files and in memory; not known while a block is cut by the log start, nor where nobody
/// builds rows, or those are changes.
fn row_count(ctx: &Context, topic: &Topic, partition: &Partition, log_start: i64) -> i64 {
    let view = ctx.broker.cluster().view();
    if view.topic_settings(topic).table.has_changelog() {
        return UNKNOWN;
    }
    let Some(live) = ctx.broker.rows().live(topic.id, partition.id.index) else {
        return UNKNOWN;
    };
    // In this order; see `LiveRows`.
    let view = live.blocks();
    let files = partition.rows_files();
    let rows_to = partition.rows_to();
    let in_files = files.iter().flat_map(|meta| &meta.blocks);
    let in_files = in_files.map(|block| (block.base_offset, block.end_offset, block.rows));
    let layouts = view.iter().map(|block| block.layout());
    let in_memory = layouts
        .filter(|layout| layout.base_offset() >= rows_to)
        .map(|layout| (layout.base_offset(), layout.end_offset(), layout.rows()));
    let mut count = 0_u64;
    for (base, end, rows) in in_files.chain(in_memory) {
        match () {
            () if base >= log_start => count += rows,
            () if end > log_start => return UNKNOWN,
            () => {}
        }
    }
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn failed(wanted: &TableName, error: &DescribeError) -> Table {
    let failure = Failure::from(error);
    Table {
        error_code: failure.code.code(),
        error_message: Some(failure.message),
        name: wanted.name.clone(),
        topic_id: wanted.topic_id,
        current_schema_id: -1,
        ..Table::default()
    }
}

impl Coded for DescribeError {
    fn code(&self) -> ErrorCode {
        match self {
            DescribeError::Unnamed => ErrorCode::InvalidRequest,
            DescribeError::Target(error) => error.code(),
            DescribeError::Format(_) => ErrorCode::InvalidConfig,
        }
    }
}
