//! WriteTxnMarkers (key 27): ends transactions in the partitions named, whatever the coordinator knows.
//!
//! Kafka's coordinators send it to other brokers, and the administrator's tools to abort a transaction
//! that its coordinator has forgotten (KIP-664).

use kafka_protocol::messages::WriteTxnMarkersResponse;
use kafka_protocol::messages::write_txn_markers_request::WritableTxnMarker;
use kafka_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use tidelog_coordinator::group::TxnEnd;
use tidelog_coordinator::producer::{Outcome as End, Producer};
use tidelog_protocol_ext::ErrorCode;
use tidelog_protocol_ext::newer::{self, WriteTxnMarkersRequest};
use tidelog_records::control::{Outcome as Marked, TxnMarker};
use tidelog_storage::MarkerRule;

use super::producer;
use crate::api::context::{Context, Outcome};
use crate::api::data::target::partition_named;
use crate::api::error::Coded;
use crate::log::NewBatch;
use crate::owners::groups::OFFSETS_TOPIC;

/// First version of transactions whose every end raises the producer's epoch (KIP-890). Requests say it
/// from v2 on (KIP-1228).
const EPOCH_RAISED_FROM: i8 = 2;

pub async fn handle(ctx: &Context, request: WriteTxnMarkersRequest) -> Outcome {
    let mut results = Vec::with_capacity(request.markers.len());
    for (marker, transactions) in request.markers {
        let rule = match transactions >= EPOCH_RAISED_FROM {
            true => MarkerRule::Above,
            false => MarkerRule::AtLeast,
        };
        results.push(write(ctx, marker, rule).await);
    }
    let response = WriteTxnMarkersResponse::default().with_markers(results);
    ctx.answer(&newer::WriteTxnMarkersResponse::from(response))
}

async fn write(
    ctx: &Context,
    marker: WritableTxnMarker,
    rule: MarkerRule,
) -> WritableTxnMarkerResult {
    let owner = producer(marker.producer_id, marker.producer_epoch);
    let says = TxnMarker {
        outcome: match marker.transaction_result {
            true => Marked::Commit,
            false => Marked::Abort,
        },
        coordinator_epoch: marker.coordinator_epoch,
    };
    let mut topics = Vec::with_capacity(marker.topics.len());
    for topic in marker.topics {
        let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
        for index in topic.partition_indexes {
            let code = match topic.name.as_str() {
                OFFSETS_TOPIC => end_offsets(ctx, index, owner, says).await,
                name => end_data(ctx, name, index, owner, (says, rule)).await,
            };
            let result = WritableTxnMarkerPartitionResult::default()
                .with_partition_index(index)
                .with_error_code(code.code());
            partitions.push(result);
        }
        topics.push(
            WritableTxnMarkerTopicResult::default()
                .with_name(topic.name)
                .with_partitions(partitions),
        );
    }
    WritableTxnMarkerResult::default()
        .with_producer_id(marker.producer_id)
        .with_topics(topics)
}

async fn end_data(
    ctx: &Context,
    topic: &str,
    index: i32,
    owner: Producer,
    marker: (TxnMarker, MarkerRule),
) -> ErrorCode {
    let view = ctx.broker.cluster().view();
    let partition = match partition_named(ctx.broker.log(), &view.image, topic, index) {
        Ok(partition) => partition,
        Err(error) => return error.code(),
    };
    drop(view);
    let now_ms = ctx.broker.now_ms();
    let batch = NewBatch::marker(partition, owner, marker, now_ms);
    match ctx.broker.log().append(vec![batch], now_ms).await.pop() {
        Some(Ok(_)) => ErrorCode::None,
        Some(Err(error)) => error.code(),
        None => ErrorCode::KafkaStorageError,
    }
}

async fn end_offsets(ctx: &Context, index: i32, owner: Producer, marker: TxnMarker) -> ErrorCode {
    let view = ctx.broker.cluster().view();
    let known = view
        .image
        .topic(OFFSETS_TOPIC)
        .map_or(0, |topic| topic.partitions);
    if !(0..known).contains(&index) {
        return ErrorCode::UnknownTopicOrPartition;
    }
    let end = TxnEnd {
        producer: owner,
        outcome: match marker.outcome {
            Marked::Commit => End::Commit,
            Marked::Abort => End::Abort,
        },
        coordinator_epoch: marker.coordinator_epoch,
    };
    let ended = ctx.broker.groups().end_transaction(index, end).await;
    ended.map_or_else(Into::into, |()| ErrorCode::None)
}
