//! `/schemas`: by id, by GUID, and all of them.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::params::Params;
use super::subjects::LIST_MAX;
use super::{Answer, Shared, body, text};
use crate::subject::prefix;
use crate::{Format, Found, Held, Refusal, Registry, SchemaId, Service, Stored, Version, subject};

/// Schemas in one answer at most, as Confluent's registry has it; more come by `offset`.
const SCHEMAS_MAX: usize = 1000;

/// Their texts together, in bytes; an answer is made in memory.
const SCHEMAS_BYTES_MAX: usize = 16 << 20;

pub async fn types() -> Json<Value> {
    Json(json!(Format::ALL.map(Format::as_str)))
}

pub async fn list(State(service): Shared, params: Params) -> Result<Response, Refusal> {
    let list = move |image: &Registry| listed(image, &params);
    Ok(text(service.on_image(list).await??))
}

/// The answer's text, which may be long.
fn listed(image: &Registry, params: &Params) -> Result<String, Refusal> {
    let Some(prefix) = prefix(params.text("subjectPrefix")) else {
        return Ok("[]".to_owned());
    };
    let (deleted, latest_only) = (params.flag("deleted"), params.flag("latestOnly"));
    let found = image.subjects_with(prefix).flat_map(|(name, subject)| {
        let latest = subject.latest();
        image.versions(name, subject).filter(move |found| {
            (deleted || !found.deleted) && (!latest_only || latest == Some(found.version))
        })
    });
    let page: Vec<Found> = params.page(found, SCHEMAS_MAX).collect();
    let bytes: usize = page.iter().map(|found| found.schema.size_bytes()).sum();
    if bytes > SCHEMAS_BYTES_MAX {
        return Err(Refusal::BadRequest(format!(
            "These schemas have {bytes} bytes, one answer at most {SCHEMAS_BYTES_MAX}: ask for fewer with limit"
        )));
    }
    let shown = page
        .iter()
        .map(|found| body::version(found, &found.schema.text));
    Ok(Value::Array(shown.collect()).to_string())
}

pub async fn by_id(
    State(service): Shared,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, Refusal> {
    let image = service.image();
    let Some(stored) = stored(&image, &id)? else {
        return Ok(StatusCode::NOT_FOUND.into_response());
    };
    let written = written(&service, stored, &params).await?;
    let mut answer = body::schema(&stored.schema, &stored.guid, &written);
    if let Some((name, version)) = asked_use(stored, params.text("subject"))? {
        answer["subject"] = json!(name);
        answer["version"] = json!(version);
    }
    if params.flag("fetchMaxId") {
        answer["maxId"] = json!(image.last_id());
    }
    Ok(Json(answer).into_response())
}

pub async fn text_by_id(
    State(service): Shared,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, Refusal> {
    let image = service.image();
    let Some(stored) = stored(&image, &id)? else {
        return Ok(StatusCode::NOT_FOUND.into_response());
    };
    Ok(text(written(&service, stored, &params).await?))
}

/// What the id in a path stands for; `None` if it is no number.
fn stored<'a>(image: &'a Registry, id: &str) -> Result<Option<&'a Stored>, Refusal> {
    let Some(id) = number(id) else {
        return Ok(None);
    };
    let stored = image.schema(id).ok_or(Refusal::IdNotFound(id))?;
    Ok(Some(stored))
}

/// The schema in the form that was asked for.
async fn written(service: &Service, stored: &Stored, params: &Params) -> Result<String, Refusal> {
    let form = params.text("format").to_owned();
    service.formatted(stored.schema.clone(), form).await
}

pub async fn subjects_of(
    State(service): Shared,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, Refusal> {
    let image = service.image();
    let mut names: Vec<_> = uses(&image, &id, params.flag("deleted"))?
        .map(|(name, _)| name)
        .collect();
    names.dedup();
    let page: Vec<_> = params.page(names.into_iter(), LIST_MAX).collect();
    Ok(Json(page).into_response())
}

pub async fn versions_of(
    State(service): Shared,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, Refusal> {
    let image = service.image();
    let listed = uses(&image, &id, params.flag("deleted"))?
        .map(|(name, version)| json!({"subject": name, "version": version}));
    let page: Vec<_> = params.page(listed, LIST_MAX).collect();
    Ok(Json(page).into_response())
}

pub async fn by_guid(State(service): Shared, Path(guid): Path<String>, params: Params) -> Answer {
    let image = service.image();
    let found = image.by_guid(&guid);
    let (_, stored) = found.ok_or_else(|| Refusal::GuidNotFound(guid.clone()))?;
    let written = written(&service, stored, &params).await?;
    Ok(Json(body::schema(&stored.schema, &stored.guid, &written)))
}

pub async fn ids_of_guid(State(service): Shared, Path(guid): Path<String>) -> Answer {
    let image = service.image();
    let found = image.by_guid(&guid);
    let (id, _) = found.ok_or_else(|| Refusal::GuidNotFound(guid.clone()))?;
    Ok(Json(json!([{"context": ".", "id": id}])))
}

/// An id as a path has it; what is none is no such route, as in Confluent's registry.
fn number(id: &str) -> Option<SchemaId> {
    id.parse().ok().map(SchemaId)
}

/// Where a schema is registered, the subject asked for first.
fn asked_use<'a>(stored: &'a Stored, asked: &str) -> Result<Option<(&'a str, Version)>, Refusal> {
    if prefix(asked).is_none_or(str::is_empty) {
        return Ok(None);
    }
    let asked = subject(asked)?;
    let mut uses = stored.uses.iter();
    let found = uses.rfind(|(name, _)| **name == *asked);
    let found = found.or_else(|| stored.uses.first());
    Ok(found.map(|(name, version)| (name.as_ref(), *version)))
}

/// Subjects and versions that have the schema, in order.
fn uses<'a>(
    image: &'a Registry,
    id: &str,
    with_deleted: bool,
) -> Result<impl Iterator<Item = (&'a str, Version)>, Refusal> {
    let stored = number(id).and_then(|id| image.schema(id));
    let stored = stored.ok_or(Refusal::SchemaNotFound)?;
    Ok(stored
        .uses
        .iter()
        .filter(move |(name, version)| {
            let subject = image.subject(name);
            let held = subject.and_then(|subject| subject.versions.get(version));
            held.is_some_and(|held: &Held| with_deleted || !held.deleted)
        })
        .map(|(name, version)| (name.as_ref(), *version)))
}
