//! DescribeAcls (key 29): access rules. There are none to be described.

use kafka_protocol::messages::{DescribeAclsRequest, DescribeAclsResponse};

use super::{Kinds, NoAuthorizer};
use crate::api::context::{Context, Outcome, Reply};
use crate::api::error::Failure;

pub async fn handle(ctx: &Context, request: DescribeAclsRequest) -> Outcome {
    let kinds = Kinds {
        resource: request.resource_type_filter,
        pattern: request.pattern_type_filter,
        operation: request.operation,
        permission: request.permission_type,
    };
    if !kinds.are_known() {
        return Reply::Close.into();
    }
    let failure = Failure::from(&NoAuthorizer);
    let response = DescribeAclsResponse::default()
        .with_error_code(failure.code.code())
        .with_error_message(Some(failure.message));
    ctx.answer(&response)
}
