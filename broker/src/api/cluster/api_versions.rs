//! ApiVersions (key 18): which APIs and versions this broker answers.
//!
//! The one request that is answered in every version (KIP-511): a client that asks in a version
//! we do not know gets the v0 response with error 35 and our range for this key alone, and asks
//! again. The response header is always v0.

use kafka_protocol::messages::ApiVersionsRequest;
use kafka_protocol::messages::api_versions_response::{ApiVersion, ApiVersionsResponse};
use tidelog_protocol_ext::ErrorCode;

use crate::api::context::{Context, Outcome};
use crate::api::{APIS, Api};

/// First version in which clients name their software.
const SOFTWARE_NAMED_FROM: i16 = 3;

/// Epoch of the finalized features. There are none, and clients ignore the list below 0.
const FEATURES_EPOCH: i64 = 0;

/// Why the question was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    UnknownVersion,
    /// Name or version of the client's software has forbidden characters.
    BadSoftwareName,
}

pub async fn handle(ctx: &Context, request: ApiVersionsRequest) -> Outcome {
    let named = ctx.version() >= SOFTWARE_NAMED_FROM;
    if named
        && !(is_software_name(&request.client_software_name)
            && is_software_name(&request.client_software_version))
    {
        return ctx.answer(&refused(Refusal::BadSoftwareName));
    }
    let settings = ctx.broker.settings();
    let offered = APIS
        .iter()
        .filter(|api| api.is_offered(&settings))
        .map(entry)
        .collect();
    let mut response = ApiVersionsResponse::default().with_api_keys(offered);
    if named {
        response = response.with_finalized_features_epoch(FEATURES_EPOCH);
    }
    ctx.answer(&response)
}

/// Answers a request in a version we do not know; its body cannot be read.
pub fn unknown_version(ctx: &Context) -> Outcome {
    let response = refused(Refusal::UnknownVersion).with_api_keys(vec![entry(ctx.responder.api)]);
    ctx.responder.encode_as(0, &response).into()
}

fn refused(refusal: Refusal) -> ApiVersionsResponse {
    ApiVersionsResponse::default().with_error_code(ErrorCode::from(refusal).code())
}

fn entry(api: &Api) -> ApiVersion {
    ApiVersion::default()
        .with_api_key(api.key)
        .with_min_version(api.advertised_min)
        .with_max_version(api.max)
}

/// Whether `text` is `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?` (KIP-511).
fn is_software_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    edge(bytes.first())
        && edge(bytes.last())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_names() {
        for good in ["a", "7", "apache-kafka-java", "3.9.0", "a--b", "librdkafka"] {
            assert!(is_software_name(good), "{good}");
        }
        for bad in ["", "-", "a-", ".a", "a b", "a_b", "é", "a\n"] {
            assert!(!is_software_name(bad), "{bad}");
        }
    }
}
