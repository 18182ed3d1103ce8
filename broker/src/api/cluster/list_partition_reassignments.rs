//! ListPartitionReassignments (key 46, KIP-455): moves under way. With one broker there are none.

use kafka_protocol::messages::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};

use crate::api::context::{Context, Outcome};

pub async fn handle(ctx: &Context, _: ListPartitionReassignmentsRequest) -> Outcome {
    ctx.answer(&ListPartitionReassignmentsResponse::default().with_error_message(None))
}
