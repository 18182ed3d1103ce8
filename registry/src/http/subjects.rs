//! `/subjects`: what is registered under a name.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::params::Params;
use super::{Answer, Shared, body, text};
use crate::{Command, Found, Outcome, Refusal, Registry, Service, Subject, Version, VersionRef};
use crate::{subject, subject::prefix};

/// Names and numbers in one answer at most.
pub const LIST_MAX: usize = 20_000;

/// The subject a path names, aliases followed.
pub fn path_subject(service: &Service, name: &str) -> Result<String, Refusal> {
    let name = subject(name)?;
    Ok(service.image().named(&name).to_owned())
}

pub async fn list(State(service): Shared, params: Params) -> Answer {
    let image = service.image();
    let Some(prefix) = prefix(params.text("subjectPrefix")) else {
        return Ok(Json(json!([])));
    };
    let (deleted, deleted_only) = (params.flag("deleted"), params.flag("deletedOnly"));
    let is_listed = |subject: &Subject| match subject.exists(false) {
        true => !deleted_only,
        false => deleted || deleted_only,
    };
    let listed = image.subjects_with(prefix).filter(|(_, s)| is_listed(s));
    let names = listed.map(|(name, _)| name.to_string());
    Ok(Json(params.page(names, LIST_MAX).collect()))
}

pub async fn look_up(
    State(service): Shared,
    Path(name): Path<String>,
    params: Params,
    request: Bytes,
) -> Answer {
    let name = path_subject(&service, &name)?;
    let registration = body::registration(&request, params.flag("normalize"))?;
    let deleted = params.flag("deleted");
    let found = service.look_up(name, registration, deleted).await?;
    answer(&service, &found, &params).await
}

pub async fn register(
    State(service): Shared,
    Path(name): Path<String>,
    params: Params,
    request: Bytes,
) -> Answer {
    let name = path_subject(&service, &name)?;
    let registration = body::registration(&request, params.flag("normalize"))?;
    let found = service.register(name, registration).await?;
    let mut answer = body::schema(&found.schema, &found.guid, &found.schema.text);
    answer["id"] = json!(found.id.0);
    answer["version"] = json!(found.version.0);
    Ok(Json(answer))
}

pub async fn versions(State(service): Shared, Path(name): Path<String>, params: Params) -> Answer {
    let name = path_subject(&service, &name)?;
    let image = service.image();
    let (deleted, deleted_only) = (params.flag("deleted"), params.flag("deletedOnly"));
    let subject = image.existing(&name, deleted || deleted_only)?;
    let is_negative = params.flag("deletedAsNegative");
    let listed = subject.versions.iter().filter_map(|(number, held)| {
        let is_listed = match held.deleted {
            true => deleted || deleted_only || is_negative,
            false => !deleted_only || is_negative,
        };
        let shown = match held.deleted && is_negative {
            true => -number.0,
            false => number.0,
        };
        is_listed.then(|| Value::from(shown))
    });
    Ok(Json(params.page(listed, LIST_MAX).collect()))
}

pub async fn version(
    State(service): Shared,
    Path(path): Path<(String, String)>,
    params: Params,
) -> Answer {
    let found = version_at(&service, &path, params.flag("deleted"))?;
    answer(&service, &found, &params).await
}

pub async fn version_text(
    State(service): Shared,
    Path(path): Path<(String, String)>,
    params: Params,
) -> Result<Response, Refusal> {
    let found = version_at(&service, &path, params.flag("deleted"))?;
    let form = params.text("format").to_owned();
    let written = service.formatted(found.schema, form).await?;
    Ok(text(written))
}

pub async fn referenced_by(
    State(service): Shared,
    Path(path): Path<(String, String)>,
    params: Params,
) -> Answer {
    let found = version_at(&service, &path, true)?;
    let image = service.image();
    let ids = image.referenced_by(&found.subject, found.version, params.flag("deleted"));
    let ids = ids.map(|id| Value::from(id.0));
    Ok(Json(params.page(ids, LIST_MAX).collect()))
}

/// The newest version whose metadata has the property `key` = `value`.
pub async fn with_metadata(
    State(service): Shared,
    Path(name): Path<String>,
    params: Params,
) -> Answer {
    let name = path_subject(&service, &name)?;
    let image = service.image();
    let deleted = params.flag("deleted");
    let subject = image.existing(&name, deleted)?;
    let has = |found: &Found| {
        let metadata = found.schema.metadata.as_ref();
        let property = metadata.and_then(|m| m.get("properties")?.get(params.text("key")));
        property.and_then(Value::as_str) == Some(params.text("value"))
    };
    let mut versions = image.versions(&name, subject).rev();
    let found = versions.find(|found| (deleted || !found.deleted) && has(found));
    answer(&service, &found.ok_or(Refusal::SchemaNotFound)?, &params).await
}

pub async fn delete(State(service): Shared, Path(name): Path<String>, params: Params) -> Answer {
    let command = Command::DeleteSubject {
        subject: path_subject(&service, &name)?,
        permanent: params.flag("permanent"),
    };
    match service.submit(command).await? {
        Outcome::SubjectDeleted(versions) => Ok(Json(json!(versions))),
        other => unreachable!("a deletion is not answered with {other:?}"),
    }
}

pub async fn delete_version(
    State(service): Shared,
    Path((name, version)): Path<(String, String)>,
    params: Params,
) -> Result<Response, Refusal> {
    let command = Command::DeleteVersion {
        subject: path_subject(&service, &name)?,
        version: version.parse()?,
        permanent: params.flag("permanent"),
    };
    match service.submit(command).await? {
        Outcome::VersionDeleted(Version(number)) => Ok(Json(number).into_response()),
        other => unreachable!("a deletion is not answered with {other:?}"),
    }
}

fn version_at(
    service: &Service,
    (name, version): &(String, String),
    with_deleted: bool,
) -> Result<Found, Refusal> {
    let version: VersionRef = version.parse()?;
    let name = path_subject(service, name)?;
    let image: &Registry = &service.image();
    image.version_of(&name, version, with_deleted)
}

/// A version in the form the parameter `format` asks for.
async fn answer(service: &Service, found: &Found, params: &Params) -> Answer {
    let form = params.text("format").to_owned();
    let written = service.formatted(found.schema.clone(), form).await?;
    Ok(Json(body::version(found, &written)))
}
