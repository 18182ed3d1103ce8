//! Bodies of requests and answers.

use axum::body::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::{Format, Found, Refusal, Registration, Schema, SchemaId, Version, VersionRef};

/// A request to register, look up or test a schema.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SchemaBody {
    schema: Option<String>,
    schema_type: Option<String>,
    references: Option<Vec<ReferenceBody>>,
    metadata: Option<Map<String, Value>>,
    #[serde(alias = "ruleset")]
    rule_set: Option<Map<String, Value>>,
    version: Option<i32>,
    id: Option<i32>,
    schema_tags_to_add: Option<Vec<Value>>,
    schema_tags_to_remove: Option<Vec<Value>>,
    propagate_schema_tags: Option<bool>,
}

#[derive(Deserialize)]
struct ReferenceBody {
    name: String,
    subject: String,
    #[serde(default = "latest")]
    version: i32,
}

const fn latest() -> i32 {
    -1
}

/// The registration in a body.
///
/// # Errors
/// The body is no such request.
pub fn registration(body: &Bytes, normalize: bool) -> Result<Registration, Refusal> {
    let body: SchemaBody = parse(body, "register request")?;
    let has_tags = [&body.schema_tags_to_add, &body.schema_tags_to_remove]
        .iter()
        .any(|tags| tags.as_ref().is_some_and(|tags| !tags.is_empty()));
    if has_tags || body.propagate_schema_tags == Some(true) {
        let reason = "Schema tags are not supported by this registry".to_owned();
        return Err(Refusal::NotPermitted(reason));
    }
    let format = match body.schema_type.as_deref() {
        None | Some("") => Format::Avro,
        Some(name) => Format::named(name)
            .ok_or_else(|| Refusal::InvalidSchema(format!("Invalid schema type {name}")))?,
    };
    let references = body.references.unwrap_or_default().into_iter();
    let references = references
        .map(|one| Ok((one.name, one.subject, VersionRef::number(one.version)?)))
        .collect::<Result<_, Refusal>>()?;
    Ok(Registration {
        text: body.schema.unwrap_or_default(),
        format,
        references,
        metadata: body.metadata.map(Value::Object),
        rule_set: body.rule_set.map(Value::Object),
        // Clients write what they do not know as 0 or -1.
        id: body.id.filter(|id| *id > 0).map(SchemaId),
        version: body.version.filter(|number| *number > 0).map(Version),
        normalize,
    })
}

/// The JSON of a request.
///
/// # Errors
/// There is none, or not of this form. `what` names the request.
pub fn parse<T: DeserializeOwned>(body: &Bytes, what: &'static str) -> Result<T, Refusal> {
    if body.trim_ascii().is_empty() || body.trim_ascii() == b"null" {
        return Err(Refusal::NoBody(what));
    }
    serde_json::from_slice(body).map_err(|error| Refusal::BadRequest(error.to_string()))
}

/// A version with everything about it.
pub fn version(found: &Found, text: &str) -> Value {
    let mut answer = schema(&found.schema, &found.guid, text);
    answer["subject"] = json!(*found.subject);
    answer["version"] = json!(found.version.0);
    answer["id"] = json!(found.id.0);
    if found.deleted {
        answer["deleted"] = json!(true);
    }
    answer
}

/// A schema without where it is registered; what it does not have is left out.
pub fn schema(schema: &Schema, guid: &str, text: &str) -> Value {
    let mut answer = json!({
        "schemaType": schema.format.as_str(),
        "guid": guid,
        "schema": text,
    });
    if !schema.references.is_empty() {
        answer["references"] = json!(schema.references);
    }
    if let Some(metadata) = &schema.metadata {
        answer["metadata"] = metadata.clone();
    }
    if let Some(rule_set) = &schema.rule_set {
        answer["ruleSet"] = rule_set.clone();
    }
    answer
}
