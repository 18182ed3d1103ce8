//! `/config` and `/mode`, for all subjects or for one.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use serde_json::{Map, Value, json};

use super::params::Params;
use super::{Answer, Shared, body};
use crate::{Command, Config, ConfigUpdate, Mode, Outcome, Refusal, Scope, Service, scope};

/// The subject in the path; without one, all.
type Name = Option<Path<String>>;

pub async fn config(State(service): Shared, name: Name, params: Params) -> Answer {
    let image = service.image();
    let scope = scope_of(name)?;
    let set = image.settings(&scope).config;
    match scope.subject() {
        // Also what nobody set.
        None => Ok(Json(shown(&Config {
            level: Some(set.level()),
            ..set
        }))),
        Some(name) if params.flag("defaultToGlobal") => {
            let in_scope = image.config_in_scope(name);
            Ok(Json(shown(&Config {
                level: Some(in_scope.level()),
                ..in_scope
            })))
        }
        Some(name) if set.is_empty() => Err(Refusal::NoConfig(name.to_owned())),
        Some(_) => Ok(Json(shown(&set))),
    }
}

pub async fn set_config(State(service): Shared, name: Name, request: Bytes) -> Answer {
    let update: Map<String, Value> = body::parse(&request, "config request")?;
    let command = Command::SetConfig {
        scope: scope_of(name)?,
        update: ConfigUpdate::parse(&update)?,
    };
    let mut answer = shown(&submitted_config(&service, command).await?);
    // What was asked for under the name it was asked by.
    if let Some(level) = answer["compatibilityLevel"].take().as_str() {
        answer["compatibility"] = json!(level);
    }
    if let Some(fields) = answer.as_object_mut() {
        fields.remove("compatibilityLevel");
    }
    Ok(Json(answer))
}

pub async fn delete_config(State(service): Shared, name: Name) -> Answer {
    let scope = scope_of(name)?;
    let is_global = scope == Scope::Global;
    let command = Command::DeleteConfig { scope };
    let mut before = submitted_config(&service, command).await?;
    if is_global {
        before.level = Some(before.level());
    }
    Ok(Json(shown(&before)))
}

pub async fn mode(State(service): Shared, name: Name, params: Params) -> Answer {
    let image = service.image();
    let scope = scope_of(name)?;
    let set = image.settings(&scope).mode;
    match (scope.subject(), set) {
        (None, set) => Ok(Json(shown_mode(Some(set.unwrap_or_default())))),
        (Some(name), _) if params.flag("defaultToGlobal") => {
            Ok(Json(shown_mode(Some(image.mode_in_scope(Some(name))))))
        }
        (Some(name), None) => Err(Refusal::NoMode(name.to_owned())),
        (Some(_), set) => Ok(Json(shown_mode(set))),
    }
}

pub async fn set_mode(
    State(service): Shared,
    name: Name,
    params: Params,
    request: Bytes,
) -> Answer {
    let asked: Map<String, Value> = body::parse(&request, "mode request")?;
    let mode = match asked.get("mode") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) => Some(Mode::named(name).ok_or(Refusal::InvalidMode)?),
        Some(_) => return Err(Refusal::InvalidMode),
    };
    let command = Command::SetMode {
        scope: scope_of(name)?,
        mode,
        force: params.flag("force"),
    };
    service.submit(command).await?;
    Ok(Json(shown_mode(mode)))
}

pub async fn delete_mode(State(service): Shared, name: Name) -> Answer {
    let scope = scope_of(name)?;
    let is_global = scope == Scope::Global;
    match service.submit(Command::DeleteMode { scope }).await? {
        Outcome::Mode(before) => {
            let default = is_global.then(Mode::default);
            Ok(Json(shown_mode(before.or(default))))
        }
        other => unreachable!("a mode is not answered with {other:?}"),
    }
}

async fn submitted_config(service: &Service, command: Command) -> Result<Config, Refusal> {
    match service.submit(command).await? {
        Outcome::Config(config) => Ok(config),
        other => unreachable!("a config is not answered with {other:?}"),
    }
}

fn scope_of(name: Name) -> Result<Scope, Refusal> {
    name.map_or(Ok(Scope::Global), |Path(name)| scope(&name))
}

fn shown(config: &Config) -> Value {
    let level = config.level.map(|level| json!(level.as_str()));
    let fields = [
        ("compatibilityLevel", level),
        ("normalize", config.normalize.map(Value::from)),
        ("alias", config.alias.clone().map(Value::from)),
        ("compatibilityGroup", config.group.clone().map(Value::from)),
    ];
    let set = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(set.collect())
}

fn shown_mode(mode: Option<Mode>) -> Value {
    json!({"mode": mode.map(Mode::as_str)})
}
