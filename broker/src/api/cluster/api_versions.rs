//! ApiVersions (key 18): which APIs and versions this broker answers.
//!
//! The one request that is answered in every version (KIP-511): a client that asks in a version
//! we do not know gets the v0 response with error 35 and our range for this key alone, and asks
//! again. The response header is always v0.

use kafka_protocol::messages::ApiVersionsRequest;
use kafka_protocol::messages::api_versions_response::{
    ApiVersion, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use tidelog_protocol_ext::{ErrorCode, StrBytes};

use crate::api::context::{Context, Outcome};
use crate::api::{APIS, Api};
use crate::features::{FEATURES, Feature};

/// First version in which clients name their software.
const SOFTWARE_NAMED_FROM: i16 = 3;

/// First version whose clients can read a feature that may be off: one with a lowest level of 0
/// (KIP-1022).
const OPTIONAL_FEATURES_FROM: i16 = 4;

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
    let response = ApiVersionsResponse::default().with_api_keys(offered);
    ctx.answer(&match named {
        true => with_features(ctx, response),
        false => response,
    })
}

/// Adds the levels that are supported and those in force (KIP-584).
fn with_features(ctx: &Context, response: ApiVersionsResponse) -> ApiVersionsResponse {
    let view = ctx.broker.cluster().view();
    let readable = |row: &&Feature| row.min > 0 || ctx.version() >= OPTIONAL_FEATURES_FROM;
    let supported = FEATURES.iter().filter(readable).map(|row| {
        SupportedFeatureKey::default()
            .with_name(StrBytes::from_static_str(row.name))
            .with_min_version(row.min)
            .with_max_version(row.max)
    });
    let in_force = view.image.features().iter();
    let finalized = in_force
        .filter(|(_, level)| **level > 0)
        .map(|(name, level)| {
            FinalizedFeatureKey::default()
                .with_name(StrBytes::from_string(name.clone()))
                .with_min_version_level(*level)
                .with_max_version_level(*level)
        });
    let epoch = i64::try_from(view.image.version()).unwrap_or(i64::MAX);
    response
        .with_supported_features(supported.collect())
        .with_finalized_features_epoch(epoch)
        .with_finalized_features(finalized.collect())
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
