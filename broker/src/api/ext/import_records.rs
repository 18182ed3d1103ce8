//! ImportRecords (key 16008): batches of another cluster's log, at the offsets they have there.
//!
//! ```text
//! request ─▶ a topic being imported? ─▶ batches intact? ─▶ skip their producer ids ─▶ log ─▶ log start ─▶ answer
//! ```
//! - Only a topic with `tidelog.import=true` takes them, and such a topic takes nothing else.
//! - Batches are stored as they come. Nothing in them is judged by the topic's settings: the cluster
//!   they come from did that.
//! - Producer ids in them are the other cluster's. Before they are appended it is durable that ours never
//!   gives them out.
//! - The answer follows the sync, so what it says is copied stays copied.

use std::sync::Arc;

use bytes::Bytes;
use tidelog_coordinator::cluster::Topic;
use tidelog_protocol_ext::ext::import_records::{ImportRecordsRequest, ImportRecordsResponse};
use tidelog_records::{BatchError, BatchHeader, validate};
use tidelog_storage::{Ack, ImportError, Marks, Origin, Partition};

use crate::api::cluster::init_producer_id::BLOCK_IDS;
use crate::api::context::{Context, Outcome};
use crate::api::data::compute::compute;
use crate::api::data::target::{ANY_EPOCH, PartitionError, TopicKey, marks_of, partition_of};
use crate::api::data::write::is_internal;
use crate::api::error::Failure;
use crate::log::{NewBatch, Unwritten};

/// Stands for an offset that is not there.
const NONE: i64 = -1;

/// No cluster gives out ids as great as this; to skip them would leave none.
const PRODUCER_ID_MAX: i64 = 1 << 60;

/// Why batches were not imported, or not all.
#[derive(Debug, thiserror::Error)]
pub enum ImportRefused {
    #[error(transparent)]
    Target(#[from] PartitionError),
    #[error("the topic is not being imported: tidelog.import is not true")]
    NotImporting,
    #[error("a keyed table cannot be imported: its records decide on its partitioner")]
    Keyed,
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error("producer id {0} is out of bounds")]
    ProducerId(i64),
    #[error("{}", .0.message)]
    ProducerIds(Failure),
    #[error(transparent)]
    Append(#[from] Unwritten),
    #[error("the log start is not durable: {0}")]
    NotDurable(String),
}

/// A batch and what was found about it.
type Checked = (Bytes, BatchHeader, Origin);

pub async fn handle(ctx: &Context, request: ImportRecordsRequest) -> Outcome {
    let response = match import(ctx, request).await {
        Ok(marks) => ImportRecordsResponse {
            log_start_offset: marks.log_start,
            end_offset: marks.high_watermark,
            ..ImportRecordsResponse::default()
        },
        Err(error) => {
            let Failure { code, message } = Failure::from(&error);
            ImportRecordsResponse {
                error_code: code.code(),
                error_message: Some(message),
                log_start_offset: NONE,
                end_offset: NONE,
                ..ImportRecordsResponse::default()
            }
        }
    };
    ctx.answer_ext::<ImportRecordsRequest>(&response)
}

async fn import(ctx: &Context, request: ImportRecordsRequest) -> Result<Marks, ImportRefused> {
    let partition = {
        let view = ctx.broker.cluster().view();
        let topic = TopicKey::Id(request.topic_id).find(&view.image)?;
        check_topic(ctx, topic)?;
        partition_of(ctx.broker.log(), topic, request.partition)?
    };
    marks_of(&partition, ANY_EPOCH)?;
    let records = request.records.to_bytes();
    let checked = compute(move || check(records)).await?;
    skip_producer_ids(ctx, &checked).await?;
    let log_start = request.log_start_offset;
    // The source's log may start within its first batch, which comes whole.
    let first = checked
        .first()
        .map_or(log_start, |(_, header, _)| header.base_offset);
    let is_new = log_start > 0 && partition.begin_at(log_start.min(first));
    append(ctx, &partition, checked).await?;
    let moved = move_log_start(&partition, log_start)?;
    if is_new || moved {
        let persisted = ctx.broker.log().persist_log_starts().await;
        persisted.map_err(ImportRefused::NotDurable)?;
    }
    Ok(marks_of(&partition, ANY_EPOCH)?)
}

fn check_topic(ctx: &Context, topic: &Arc<Topic>) -> Result<(), ImportRefused> {
    let settings = ctx.broker.cluster().view().topic_settings(topic);
    if is_internal(topic) || !settings.importing {
        return Err(ImportRefused::NotImporting);
    }
    match settings.table.key.is_keyed() {
        true => Err(ImportRefused::Keyed),
        false => Ok(()),
    }
}

/// Takes the batches apart. All are sound, or none is imported.
fn check(mut rest: Bytes) -> Result<Vec<Checked>, ImportRefused> {
    let mut checked = Vec::new();
    while !rest.is_empty() {
        let len = BatchHeader::read(&rest).map_or(rest.len(), |header| header.total_len());
        let batch = rest.split_to(len.clamp(1, rest.len()));
        let header = validate::check_intact(&batch)?;
        if header.producer_id > PRODUCER_ID_MAX {
            return Err(ImportRefused::ProducerId(header.producer_id));
        }
        let origin = Origin::import(&header, &batch)?;
        checked.push((batch, header, origin));
    }
    Ok(checked)
}

/// Skips whole blocks, so that one durable record serves many producers.
async fn skip_producer_ids(ctx: &Context, checked: &[Checked]) -> Result<(), ImportRefused> {
    let ids = checked.iter().map(|(_, header, _)| header.producer_id);
    let Some(greatest @ 0..) = ids.max() else {
        return Ok(());
    };
    let below = (greatest + 1).unsigned_abs();
    let below = below
        .next_multiple_of(u64::from(BLOCK_IDS.get()))
        .cast_signed();
    let broker = &ctx.broker;
    let skipped = broker
        .producer_ids()
        .skip(broker.cluster(), broker.transactions(), below);
    skipped.await.map_err(ImportRefused::ProducerIds)
}

async fn append(
    ctx: &Context,
    partition: &Arc<Partition>,
    checked: Vec<Checked>,
) -> Result<(), ImportRefused> {
    let batches = checked.into_iter().map(|(bytes, header, origin)| NewBatch {
        partition: Arc::clone(partition),
        bytes,
        header,
        origin,
        ack: Ack::Durable,
    });
    let appending = ctx
        .broker
        .log()
        .append(batches.collect(), ctx.broker.now_ms());
    for outcome in appending.await {
        outcome?;
    }
    Ok(())
}

/// Lets the log begin where the source's does, as far as it reaches; true if that moved it.
fn move_log_start(partition: &Partition, log_start: i64) -> Result<bool, ImportRefused> {
    let marks = partition.marks();
    let before = log_start.min(marks.high_watermark);
    if before <= marks.log_start {
        return Ok(false);
    }
    partition
        .delete_records(before)
        .map_err(PartitionError::from)?;
    Ok(true)
}
