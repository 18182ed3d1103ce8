//! DeleteGroups (key 42): forget groups without members, and their offsets. A group named twice is
//! deleted, and answered, once.

use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse, GroupId};
use tidelog_protocol_ext::StrBytes;

use super::code;
use crate::api::context::{Context, Outcome};

pub async fn handle(ctx: &Context, request: DeleteGroupsRequest) -> Outcome {
    let groups = request.groups_names.iter().map(|group| group.to_string());
    let deleted = ctx.broker.groups().delete(groups.collect()).await;
    let results = deleted.into_iter().map(|(group, result)| {
        DeletableGroupResult::default()
            .with_group_id(GroupId(StrBytes::from_string(group)))
            .with_error_code(code(result))
    });
    ctx.answer(&DeleteGroupsResponse::default().with_results(results.collect()))
}
