//! `/compatibility`: whether a schema could be registered, without registering it.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use serde_json::json;

use super::params::Params;
use super::subjects::path_subject;
use super::{Answer, Shared, body};
use crate::{Refusal, Service, VersionRef};

/// As registering would judge it.
pub async fn with_subject(
    State(service): Shared,
    Path(name): Path<String>,
    params: Params,
    request: Bytes,
) -> Answer {
    test(&service, &name, None, &params, &request).await
}

/// Against one version alone.
pub async fn with_version(
    State(service): Shared,
    Path((name, version)): Path<(String, String)>,
    params: Params,
    request: Bytes,
) -> Answer {
    let version = version.parse()?;
    test(&service, &name, Some(version), &params, &request).await
}

async fn test(
    service: &Service,
    name: &str,
    against: Option<VersionRef>,
    params: &Params,
    request: &Bytes,
) -> Answer {
    let name = path_subject(service, name)?;
    let registration = body::registration(request, params.flag("normalize"))?;
    let is_verbose = params.flag("verbose");
    let reasons = match service.test(name, registration, against).await {
        Err(Refusal::InvalidSchema(reason)) if is_verbose => vec![reason],
        tested => tested?,
    };
    let mut answer = json!({"is_compatible": reasons.is_empty()});
    if is_verbose {
        answer["messages"] = json!(reasons);
    }
    Ok(Json(answer))
}
