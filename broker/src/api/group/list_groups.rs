//! ListGroups (key 16): every group there is, filtered by state (version 4) and type (version 5).

use kafka_protocol::messages::list_groups_response::ListedGroup as Answer;
use kafka_protocol::messages::{GroupId, ListGroupsRequest, ListGroupsResponse};
use tidelog_coordinator::group::{ListGroups, ListedGroup};
use tidelog_protocol_ext::StrBytes;

use super::{refusal, strings};
use crate::api::context::{Context, Outcome};

pub async fn handle(ctx: &Context, request: ListGroupsRequest) -> Outcome {
    let filter = ListGroups {
        states: strings(&request.states_filter),
        types: strings(&request.types_filter),
    };
    let response = ListGroupsResponse::default();
    ctx.answer(&match ctx.broker.groups().list(filter).await {
        Ok(listed) => response.with_groups(listed.into_iter().map(answer).collect()),
        Err(error) => response.with_error_code(refusal(error)),
    })
}

fn answer(group: ListedGroup) -> Answer {
    Answer::default()
        .with_group_id(GroupId(StrBytes::from_string(group.group)))
        .with_protocol_type(StrBytes::from_string(group.protocol_type))
        .with_group_state(StrBytes::from_static_str(group.state.name()))
        .with_group_type(StrBytes::from_static_str(group.group_type))
}
