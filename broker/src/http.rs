//! The HTTP ports. Here: the admin port, with metrics and health, and what the registry's port admits.
//!
//! `/health/live` says that the process runs, `/health/ready` that it accepts Kafka clients and
//! their records; a broker that stops, or whose storage failed, is alive and not ready.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::error;

use crate::broker::Broker;

const INDEX: &str = "<!doctype html><title>Tidelog</title><h1>Tidelog</h1><ul>\
    <li><a href=\"/metrics\">metrics</a>\
    <li><a href=\"/health/live\">live</a>\
    <li><a href=\"/health/ready\">ready</a></ul>";

/// OpenMetrics 1.0, as its specification names it.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves a port until it is aborted: also while the broker stops, so that whoever asks is told so.
pub async fn serve(name: &'static str, routes: Router, socket: TcpListener) {
    if let Err(error) = axum::serve(socket, routes).await {
        error!(name, %error, "an HTTP port failed");
    }
}

/// The routes of the admin port.
pub fn admin(broker: Arc<Broker>) -> Router {
    Router::new()
        .route("/", get(async || Html(INDEX)))
        .route("/metrics", get(metrics))
        .route("/health/live", get(async || "live\n"))
        .route("/health/ready", get(ready))
        .with_state(broker)
}

/// Requests of the registry at the same time, each with a body in memory; others wait.
const REGISTRY_REQUESTS_MAX: usize = 16;

/// How long a request may wait for its turn, and then take, the arrival of its body counted in.
const REGISTRY_WAIT: Duration = Duration::from_secs(30);

/// The routes of the schema registry.
pub fn registry(broker: &Broker) -> Router {
    let service = broker.registry().service();
    let turns = Arc::new(Semaphore::new(REGISTRY_REQUESTS_MAX));
    tidelog_registry::http::router(service, broker.cluster_id())
        .layer(middleware::from_fn_with_state(turns, in_turn))
}

async fn in_turn(State(turns): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let Ok(_turn) = timeout(REGISTRY_WAIT, turns.acquire()).await else {
        return too_slow("The registry is busy");
    };
    let answer = timeout(REGISTRY_WAIT, next.run(request)).await;
    answer.unwrap_or_else(|_| too_slow("The request took too long"))
}

/// Confluent's code for a time that is over.
fn too_slow(message: &str) -> Response {
    let body = json!({"error_code": 50002, "message": message});
    (StatusCode::INTERNAL_SERVER_ERROR, axum::Json(body)).into_response()
}

async fn metrics(State(broker): State<Arc<Broker>>) -> impl IntoResponse {
    broker.observe_memory();
    broker.observe_rows();
    match broker.metrics().encode() {
        Ok(text) => ([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn ready(State(broker): State<Arc<Broker>>) -> impl IntoResponse {
    if broker.shutdown_signal().is_stopping() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned());
    }
    match broker.log().engine().failure() {
        Some(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
        None => (StatusCode::OK, "ready\n".to_owned()),
    }
}
