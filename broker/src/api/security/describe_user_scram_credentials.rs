//! DescribeUserScramCredentials (key 50): no user has credentials.
//!
//! `kafka-configs --entity-type users --describe` asks for them beside the quotas, and takes a broker
//! without this API for broken.

use std::collections::HashMap;

use kafka_protocol::messages::describe_user_scram_credentials_response::DescribeUserScramCredentialsResult;
use kafka_protocol::messages::{
    DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
};
use tidelog_protocol_ext::{ErrorCode, StrBytes};

use crate::api::context::{Context, Outcome};

pub async fn handle(ctx: &Context, request: DescribeUserScramCredentialsRequest) -> Outcome {
    let users = request.users.unwrap_or_default();
    let mut asked: HashMap<&StrBytes, usize> = HashMap::new();
    for user in &users {
        *asked.entry(&user.name).or_default() += 1;
    }
    let mut seen = HashMap::new();
    let once = users
        .iter()
        .filter(|user| seen.insert(&user.name, ()).is_none());
    let results = once.map(|user| result(&user.name, asked[&user.name] > 1));
    let results = results.collect();
    ctx.answer(&DescribeUserScramCredentialsResponse::default().with_results(results))
}

/// In Kafka's words.
fn result(user: &StrBytes, is_twice: bool) -> DescribeUserScramCredentialsResult {
    let (code, message) = match is_twice {
        true => (
            ErrorCode::DuplicateResource,
            format!(
                "Cannot describe SCRAM credentials for the same user twice in a single request: {user}"
            ),
        ),
        false => (
            ErrorCode::ResourceNotFound,
            format!("Attempt to describe a user credential that does not exist: {user}"),
        ),
    };
    DescribeUserScramCredentialsResult::default()
        .with_user(user.clone())
        .with_error_code(code.code())
        .with_error_message(Some(StrBytes::from_string(message)))
}
