//! OffsetForLeaderEpoch (key 23): where a leader epoch ends (KIP-101, KIP-320).
//!
//! A client that comes back after a restart of the broker asks for the end of the epoch it last
//! read in; if that lies before its position, records it read are gone.

use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
use tidelog_coordinator::cluster::Image;

use super::target::{PartitionError, log_of, marks_of};
use crate::api::context::{Context, Outcome};
use crate::api::error::Coded;
use crate::log::Log;

/// Epoch and end of an epoch nobody knows.
const UNDEFINED: (i32, i64) = (-1, -1);

pub async fn handle(ctx: &Context, request: OffsetForLeaderEpochRequest) -> Outcome {
    let view = ctx.broker.cluster().view();
    let topics = request.topics.into_iter().map(|topic| {
        let parts = topic.partitions.iter().map(|asked| {
            let found = epoch_end(ctx.broker.log(), &view.image, &topic.topic, asked);
            let response = EpochEndOffset::default().with_partition(asked.partition);
            match found {
                Ok((epoch, end)) => response.with_leader_epoch(epoch).with_end_offset(end),
                Err(error) => response.with_error_code(error.code().code()),
            }
        });
        let parts = parts.collect();
        OffsetForLeaderTopicResult::default()
            .with_topic(topic.topic)
            .with_partitions(parts)
    });
    ctx.answer(&OffsetForLeaderEpochResponse::default().with_topics(topics.collect()))
}

fn epoch_end(
    log: &Log,
    image: &Image,
    topic: &str,
    asked: &OffsetForLeaderPartition,
) -> Result<(i32, i64), PartitionError> {
    let topic = image.topic(topic).ok_or(PartitionError::Unknown)?;
    let partition = log_of(log, topic, asked.partition)?;
    marks_of(&partition, asked.current_leader_epoch)?;
    if asked.leader_epoch < 0 {
        return Ok(UNDEFINED);
    }
    Ok(partition.epoch_end(asked.leader_epoch).unwrap_or(UNDEFINED))
}
