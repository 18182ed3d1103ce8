//! EndTxn (key 26): commit or abort. The answer comes once the outcome is durable; markers follow.
//!
//! From version 5 on (transactions version 2) the producer goes on in a new epoch, or under a new id
//! when epochs run out.

use kafka_protocol::messages::{EndTxnRequest, EndTxnResponse};
use tidelog_coordinator::producer::{NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Outcome as End};
use tidelog_coordinator::txn::{EndTxn, TransactionVersion};
use tidelog_protocol_ext::ErrorCode;

use super::{Told, code, producer};
use crate::api::context::{Context, Outcome};

/// First version of transactions version 2.
const V2_FROM: i16 = 5;
/// First version that knows PRODUCER_FENCED.
const FENCED_FROM: i16 = 2;
/// First version that knows TRANSACTION_ABORTABLE.
const ABORTABLE_FROM: i16 = 4;

pub async fn handle(ctx: &Context, request: EndTxnRequest) -> Outcome {
    let told = Told {
        fenced: ctx.version() >= FENCED_FROM,
        abortable: ctx.version() >= ABORTABLE_FROM,
    };
    let end = EndTxn {
        transactional_id: request.transactional_id.to_string(),
        producer: producer(request.producer_id, request.producer_epoch),
        outcome: match request.committed {
            true => End::Commit,
            false => End::Abort,
        },
        version: match ctx.version() >= V2_FROM {
            true => TransactionVersion::V2,
            false => TransactionVersion::V0,
        },
    };
    let response = EndTxnResponse::default();
    ctx.answer(&match ctx.broker.transactions().end(end).await {
        Ok(next) if ctx.version() >= V2_FROM => response
            .with_error_code(ErrorCode::None.code())
            .with_producer_id(next.id.into())
            .with_producer_epoch(next.epoch),
        Ok(_) => response,
        Err(error) => {
            let response = response.with_error_code(code(&error, told).code());
            match ctx.version() >= V2_FROM {
                true => response
                    .with_producer_id(NO_PRODUCER_ID.into())
                    .with_producer_epoch(NO_PRODUCER_EPOCH),
                false => response,
            }
        }
    })
}
