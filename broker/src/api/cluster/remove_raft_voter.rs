//! RemoveRaftVoter (key 81, KIP-853): refused, as by every static quorum; see [`quorum`].

use kafka_protocol::messages::{RemoveRaftVoterRequest, RemoveRaftVoterResponse};

use super::quorum;
use crate::api::context::{Context, Outcome};
use crate::api::error::Failure;

pub async fn handle(ctx: &Context, request: RemoveRaftVoterRequest) -> Outcome {
    let refusal = quorum::refuse_voters(ctx, request.cluster_id.as_ref(), request.voter_id);
    let failure = Failure::from(&refusal);
    let response = RemoveRaftVoterResponse::default()
        .with_error_code(failure.code.code())
        .with_error_message(Some(failure.message));
    ctx.answer(&response)
}
