//! DeleteAcls (key 31): every filter is refused.

use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::delete_acls_response::DeleteAclsFilterResult;
use kafka_protocol::messages::{DeleteAclsRequest, DeleteAclsResponse};

use super::{Kinds, NoAuthorizer};
use crate::api::context::{Context, Outcome, Reply};
use crate::api::error::Failure;

pub async fn handle(ctx: &Context, request: DeleteAclsRequest) -> Outcome {
    let kinds = |filter: &DeleteAclsFilter| Kinds {
        resource: filter.resource_type_filter,
        pattern: filter.pattern_type_filter,
        operation: filter.operation,
        permission: filter.permission_type,
    };
    if !request
        .filters
        .iter()
        .all(|filter| kinds(filter).are_known())
    {
        return Reply::Close.into();
    }
    let failure = Failure::from(&NoAuthorizer);
    let refused = DeleteAclsFilterResult::default()
        .with_error_code(failure.code.code())
        .with_error_message(Some(failure.message));
    let results = vec![refused; request.filters.len()];
    ctx.answer(&DeleteAclsResponse::default().with_filter_results(results))
}
