//! A registry in memory, and requests to it.

#![allow(dead_code, reason = "each test file uses its own part of this")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tidelog_registry::{Command, Outcome, Record, Refusal, Registry, Service, Store, Work, http};
use tower::ServiceExt;

/// The owner of a registry, with its log.
#[derive(Default)]
pub struct Memory {
    state: Mutex<(Registry, Vec<Record>)>,
}

impl Memory {
    pub fn log(&self) -> Vec<Record> {
        self.state.lock().unwrap().1.clone()
    }
}

#[async_trait]
impl Store for Memory {
    fn image(&self) -> Arc<Registry> {
        Arc::new(self.state.lock().unwrap().0.clone())
    }

    async fn submit(&self, command: Command) -> Result<Outcome, Refusal> {
        let mut state = self.state.lock().unwrap();
        let (records, outcome) = state.0.decide(command)?;
        for record in records {
            let (_, value) = record.encode().unwrap();
            assert_eq!(Record::decode(&value).unwrap(), record);
            state.0.apply(&record);
            state.1.push(record);
        }
        Ok(outcome)
    }

    async fn compute(&self, work: Work) -> Result<(), Refusal> {
        work();
        Ok(())
    }
}

/// A registry behind its REST API.
pub struct World {
    pub store: Arc<Memory>,
    pub service: Service,
    router: Router,
}

impl World {
    pub fn new() -> Self {
        let store = Arc::new(Memory::default());
        let service = Service::new(store.clone());
        let router = http::router(service.clone(), "test-cluster");
        Self {
            store,
            service,
            router,
        }
    }

    /// Status and body, which is a string if it is no JSON.
    pub async fn call(&self, request: &str, body: Value) -> (u16, Value) {
        let (method, path) = request.split_once(' ').unwrap();
        let body = match body {
            Value::Null => Body::empty(),
            body => Body::from(body.to_string()),
        };
        let request = Request::builder()
            .method(method.parse::<Method>().unwrap())
            .uri(path)
            .body(body)
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = to_bytes(response.into_body(), 64 << 20).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        (status.as_u16(), body)
    }

    /// The body of an answer that must be a success.
    pub async fn ok(&self, request: &str, body: Value) -> Value {
        let (status, answer) = self.call(request, body).await;
        assert_eq!(status, StatusCode::OK, "{request}: {answer}");
        answer
    }

    /// The error code of an answer that must be none.
    pub async fn code(&self, request: &str, body: Value) -> u64 {
        let (status, answer) = self.call(request, body).await;
        let code = answer["error_code"].as_u64();
        let code = code.unwrap_or_else(|| panic!("{request}: {status} {answer}"));
        let front = if code < 1000 { code } else { code / 100 };
        assert_eq!(u64::from(status), front, "{request}: {answer}");
        assert!(answer["message"].is_string(), "{request}: {answer}");
        code
    }

    /// Registers an Avro record with `fields`; answers its id.
    pub async fn register(&self, subject: &str, fields: &str) -> i64 {
        let request = format!("POST /subjects/{subject}/versions");
        self.ok(&request, avro(fields)).await["id"]
            .as_i64()
            .unwrap()
    }
}

/// The request for an Avro record whose fields are ints, those with `?` behind them with a default.
pub fn avro(fields: &str) -> Value {
    json!({"schema": avro_text(fields)})
}

pub fn avro_text(fields: &str) -> String {
    let field = |name: &str| match name.strip_suffix('?') {
        Some(name) => json!({"name": name, "type": "int", "default": 0}),
        None => json!({"name": name, "type": "int"}),
    };
    let fields: Vec<_> = fields.split_whitespace().map(field).collect();
    json!({"type": "record", "name": "R", "fields": fields}).to_string()
}
