//! UnregisterBroker (key 64): forget a broker that is gone for good. There is only this one, which
//! does not forget itself.

use kafka_protocol::messages::{UnregisterBrokerRequest, UnregisterBrokerResponse};

use super::quorum::QuorumError;
use crate::api::context::{Context, Outcome};
use crate::api::error::Failure;

pub async fn handle(ctx: &Context, request: UnregisterBrokerRequest) -> Outcome {
    let id = request.broker_id.0;
    let refusal = match id == ctx.broker.node_id() {
        true => QuorumError::Itself(id),
        false => QuorumError::NotRegistered(id),
    };
    let failure = Failure::from(&refusal);
    let response = UnregisterBrokerResponse::default()
        .with_error_code(failure.code.code())
        .with_error_message(Some(failure.message));
    ctx.answer(&response)
}
