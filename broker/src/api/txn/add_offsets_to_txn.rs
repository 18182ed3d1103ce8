//! AddOffsetsToTxn (key 25): a transaction is about to commit offsets of a group.

use kafka_protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
use tidelog_coordinator::txn::{AddPartitions, TopicPartition, TransactionVersion};
use tidelog_protocol_ext::ErrorCode;

use super::{Told, code, producer};
use crate::api::context::{Context, Outcome};
use crate::owners::groups::OFFSETS_TOPIC;

/// First version that knows PRODUCER_FENCED.
const FENCED_FROM: i16 = 2;
/// First version that knows TRANSACTION_ABORTABLE.
const ABORTABLE_FROM: i16 = 4;

pub async fn handle(ctx: &Context, request: AddOffsetsToTxnRequest) -> Outcome {
    let code = match ctx.broker.groups().partition_of(&request.group_id).await {
        Ok(index) => add(ctx, request, index).await,
        Err(error) => error.into(),
    };
    ctx.answer(&AddOffsetsToTxnResponse::default().with_error_code(code.code()))
}

async fn add(ctx: &Context, request: AddOffsetsToTxnRequest, index: i32) -> ErrorCode {
    let told = Told {
        fenced: ctx.version() >= FENCED_FROM,
        abortable: ctx.version() >= ABORTABLE_FROM,
    };
    let add = AddPartitions {
        transactional_id: request.transactional_id.to_string(),
        producer: producer(request.producer_id, request.producer_epoch),
        partitions: vec![TopicPartition::new(OFFSETS_TOPIC, index)],
        version: TransactionVersion::V0,
    };
    let added = ctx.broker.transactions().add_partitions(add).await;
    added.map_or_else(|error| code(&error, told), |()| ErrorCode::None)
}
