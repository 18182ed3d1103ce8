//! The REST API of Confluent's Schema Registry, as stock serializers and tools use it.
//!
//! Each route is in the file of its first word; docs/registry.md lists them. Answers are JSON under the
//! content type the client names first among the three it may name. Errors are
//! `{"error_code": …, "message": …}`, also those of the HTTP layer itself. Aliases are followed where a
//! subject's versions are asked for, not where its settings are. There is no access control in here:
//! whoever serves the router puts it in front.

mod body;
mod compatibility;
mod params;
mod schemas;
mod settings;
mod subjects;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use crate::{Refusal, Service};

/// A schema may be a megabyte, and each of its characters several in JSON.
const BODY_BYTES_MAX: usize = 8 << 20;

/// What answers may be called; the first is the default.
const CONTENT_TYPES: [&str; 3] = [
    "application/vnd.schemaregistry.v1+json",
    "application/vnd.schemaregistry+json",
    "application/json",
];

/// The version of Confluent's registry whose API this is.
const API_VERSION: &str = "8.0.0";

type Shared = State<Service>;
type Answer = Result<axum::Json<Value>, Refusal>;

/// The routes, to be served as they are or nested below a path. `cluster_id` is told to clients.
pub fn router(service: Service, cluster_id: &str) -> Router {
    let cluster = json!({"scope": {"path": [], "clusters": {
        "kafka-cluster": cluster_id,
        "schema-registry-cluster": "schema-registry",
    }}, "id": cluster_id});
    Router::new()
        .route("/", get(async || axum::Json(json!({}))))
        .route("/subjects", get(subjects::list))
        .route(
            "/subjects/{subject}",
            post(subjects::look_up).delete(subjects::delete),
        )
        .route(
            "/subjects/{subject}/versions",
            get(subjects::versions).post(subjects::register),
        )
        .route(
            "/subjects/{subject}/versions/{version}",
            get(subjects::version).delete(subjects::delete_version),
        )
        .route(
            "/subjects/{subject}/versions/{version}/schema",
            get(subjects::version_text),
        )
        .route(
            "/subjects/{subject}/versions/{version}/referencedby",
            get(subjects::referenced_by),
        )
        .route("/subjects/{subject}/metadata", get(subjects::with_metadata))
        .route("/schemas", get(schemas::list))
        .route("/schemas/types", get(schemas::types))
        .route("/schemas/ids/{id}", get(schemas::by_id))
        .route("/schemas/ids/{id}/schema", get(schemas::text_by_id))
        .route("/schemas/ids/{id}/subjects", get(schemas::subjects_of))
        .route("/schemas/ids/{id}/versions", get(schemas::versions_of))
        .route("/schemas/guids/{guid}", get(schemas::by_guid))
        .route("/schemas/guids/{guid}/ids", get(schemas::ids_of_guid))
        .route(
            "/config",
            get(settings::config)
                .put(settings::set_config)
                .delete(settings::delete_config),
        )
        .route(
            "/config/{subject}",
            get(settings::config)
                .put(settings::set_config)
                .delete(settings::delete_config),
        )
        .route(
            "/mode",
            get(settings::mode)
                .put(settings::set_mode)
                .delete(settings::delete_mode),
        )
        .route(
            "/mode/{subject}",
            get(settings::mode)
                .put(settings::set_mode)
                .delete(settings::delete_mode),
        )
        .route(
            "/compatibility/subjects/{subject}/versions",
            post(compatibility::with_subject),
        )
        .route(
            "/compatibility/subjects/{subject}/versions/{version}",
            post(compatibility::with_version),
        )
        .route("/contexts", get(async || axum::Json(json!(["."]))))
        .route("/v1/metadata/id", get(async || axum::Json(cluster)))
        .route("/v1/metadata/version", get(api_version))
        .fallback(async || StatusCode::NOT_FOUND)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(named))
        .with_state(service)
}

async fn api_version() -> axum::Json<Value> {
    let commit = concat!("tidelog-", env!("CARGO_PKG_VERSION"));
    axum::Json(json!({"version": API_VERSION, "commitId": commit}))
}

/// Gives answers the content type the client asked for, and errors of the HTTP layer a body.
async fn named(request: Request, next: Next) -> Response {
    let kind = content_type(request.headers());
    let mut response = next.run(request).await;
    let status = response.status();
    let is_ours = response.headers().get(CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.to_str().unwrap_or_default();
        kind.starts_with("application/json")
    });
    let is_error = status.is_client_error() || status.is_server_error();
    if is_error && !is_ours {
        let reason = status.canonical_reason().unwrap_or_default();
        let message = format!("HTTP {} {reason}", status.as_u16());
        response = error(status, status.as_u16(), &message);
    }
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// The first of our content types in the client's list; what it weighs them by is not looked at.
fn content_type(headers: &HeaderMap) -> HeaderValue {
    let accepted = headers.get_all(ACCEPT);
    let mut accepted = accepted
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(|range| range.split(';').next().unwrap_or_default().trim());
    let chosen = accepted.find_map(|range| CONTENT_TYPES.into_iter().find(|kind| *kind == range));
    HeaderValue::from_static(chosen.unwrap_or(CONTENT_TYPES[0]))
}

/// A schema's bare text, which is JSON for two of the formats.
fn text(schema: String) -> Response {
    let mut response = Body::from(schema).into_response();
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn error(status: StatusCode, code: u16, message: &str) -> Response {
    let body = json!({"error_code": code, "message": message});
    (status, axum::Json(body)).into_response()
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        // Every code is a status, or one with two digits behind it.
        let status =
            StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        error(status, self.code(), &self.to_string())
    }
}
