//! CreateAcls (key 30): every rule is refused.

use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::create_acls_response::AclCreationResult;
use kafka_protocol::messages::{CreateAclsRequest, CreateAclsResponse};

use super::{Kinds, NoAuthorizer};
use crate::api::context::{Context, Outcome, Reply};
use crate::api::error::Failure;

pub async fn handle(ctx: &Context, request: CreateAclsRequest) -> Outcome {
    let kinds = |rule: &AclCreation| Kinds {
        resource: rule.resource_type,
        pattern: rule.resource_pattern_type,
        operation: rule.operation,
        permission: rule.permission_type,
    };
    if !request.creations.iter().all(|rule| kinds(rule).are_known()) {
        return Reply::Close.into();
    }
    let failure = Failure::from(&NoAuthorizer);
    let refused = AclCreationResult::default()
        .with_error_code(failure.code.code())
        .with_error_message(Some(failure.message));
    let results = vec![refused; request.creations.len()];
    ctx.answer(&CreateAclsResponse::default().with_results(results))
}
