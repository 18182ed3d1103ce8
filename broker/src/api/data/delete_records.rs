//! DeleteRecords (key 21): moves the start of a partition's log up.
//!
//! What lies below is not readable from the answer on, also after a power cut; its bytes go in the
//! background. A topic that
//! is only compacted keeps its records, the broker's own topics are the broker's, and views have none.

use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

use super::target::{ANY_EPOCH, PartitionError, check_no_view, marks_of, partition_of};
use super::write::is_internal;
use crate::api::context::{Context, Outcome};
use crate::api::error::Coded;
use crate::log::Log;
use crate::owners::cluster::View;

/// The offset that stands for the high watermark: everything.
const TO_THE_END: i64 = -1;

/// Low watermark of a partition that has none to tell.
const NONE: i64 = -1;

/// Why records of a partition are kept.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    #[error(transparent)]
    Partition(#[from] PartitionError),
    #[error("only the broker deletes records of this topic")]
    Internal,
    #[error("the topic's cleanup.policy does not include delete")]
    Policy,
    #[error("the new log start could not be written: {0}")]
    NotDurable(String),
}

pub async fn handle(ctx: &Context, request: DeleteRecordsRequest) -> Outcome {
    let view = ctx.broker.cluster().view();
    let mut topics: Vec<_> = request
        .topics
        .into_iter()
        .map(|topic| {
            let parts = topic.partitions.iter().map(|part| {
                let index = part.partition_index;
                let deleted = delete(ctx.broker.log(), &view, &topic.name, index, part.offset);
                (index, deleted)
            });
            let parts: Vec<_> = parts.collect();
            (topic.name, parts)
        })
        .collect();
    if let Err(reason) = ctx.broker.log().persist_log_starts().await {
        let parts = topics.iter_mut().flat_map(|(_, parts)| parts);
        parts.for_each(|(_, deleted)| *deleted = Err(DeleteError::NotDurable(reason.clone())));
    }
    let topics = topics.into_iter().map(|(name, parts)| {
        let parts = parts
            .into_iter()
            .map(|(index, deleted)| answer(index, deleted));
        DeleteRecordsTopicResult::default()
            .with_name(name)
            .with_partitions(parts.collect())
    });
    ctx.answer(&DeleteRecordsResponse::default().with_topics(topics.collect()))
}

fn answer(index: i32, deleted: Result<i64, DeleteError>) -> DeleteRecordsPartitionResult {
    let result = DeleteRecordsPartitionResult::default().with_partition_index(index);
    match deleted {
        Ok(log_start) => result.with_low_watermark(log_start),
        Err(error) => result
            .with_low_watermark(NONE)
            .with_error_code(error.code().code()),
    }
}

/// Deletes what lies before `before` and gives the new log start.
fn delete(
    log: &Log,
    view: &View,
    topic: &str,
    index: i32,
    before: i64,
) -> Result<i64, DeleteError> {
    let topic = view.image.topic(topic).ok_or(PartitionError::Unknown)?;
    check_no_view(&view.image, topic)?;
    let partition = partition_of(log, topic, index)?;
    if is_internal(topic) {
        return Err(DeleteError::Internal);
    }
    if !view.topic_settings(topic).cleanup.delete {
        return Err(DeleteError::Policy);
    }
    let marks = marks_of(&partition, ANY_EPOCH)?;
    let before = match before {
        TO_THE_END => marks.high_watermark,
        before => before,
    };
    Ok(partition
        .delete_records(before)
        .map_err(PartitionError::from)?)
}
