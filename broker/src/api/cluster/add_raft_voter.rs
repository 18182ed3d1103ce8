//! AddRaftVoter (key 80, KIP-853): refused, as by every static quorum; see [`quorum`].

use kafka_protocol::messages::AddRaftVoterResponse;
use tidelog_protocol_ext::newer;

use super::quorum;
use crate::api::context::{Context, Outcome};
use crate::api::error::Failure;

pub async fn handle(ctx: &Context, request: newer::AddRaftVoterRequest) -> Outcome {
    let refusal = quorum::refuse_voters(ctx, request.cluster_id.as_ref(), request.voter_id);
    let failure = Failure::from(&refusal);
    let response = AddRaftVoterResponse::default()
        .with_error_code(failure.code.code())
        .with_error_message(Some(failure.message));
    ctx.answer(&newer::AddRaftVoterResponse::from(response))
}
