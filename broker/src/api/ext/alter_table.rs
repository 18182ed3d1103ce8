//! AlterTable (key 16005): other columns for a table, without writing a row anew.
//!
//! The new schema is noted in the cluster image; builders, readers and the lake follow it. Topics whose
//! columns come from a schema registry are altered there.

use serde_json::{Value, json};
use tidelog_coordinator::cluster::settings::TableMode;
use tidelog_coordinator::cluster::{Command, Reply, RowsSchema, SchemaRefusal, Topic};
use tidelog_protocol_ext::ErrorCode;
use tidelog_protocol_ext::ext::alter_table::{
    ACTION_ADD, ACTION_DROP, ACTION_MAKE_OPTIONAL, ACTION_RENAME, ACTION_WIDEN, AlterTableRequest,
    AlterTableResponse, ColumnChange,
};
use tidelog_typed::evolve::{AlterError, Alteration, Place, Target, alter};
use tidelog_typed::{Field, Kind, SchemaError, TableSchema};

use crate::api::context::{Context, Outcome};
use crate::api::data::target::{PartitionError, TopicKey, check_no_view};
use crate::api::error::{Coded, Failure};
use crate::api::topic::controller::{NoAnswer, ask};
use crate::jobs::rows::format::{BadFormat, Format};

/// Most changes of one request.
const CHANGES_MAX: usize = 1_000;
/// `schema_id` of a request for whichever schema is the newest.
const NEWEST: i32 = -1;

/// Why a table is not altered.
#[derive(Debug, thiserror::Error)]
pub enum AlterTableError {
    #[error("a table is named by id or by name")]
    Unnamed,
    #[error(transparent)]
    Target(#[from] PartitionError),
    #[error(transparent)]
    Format(#[from] BadFormat),
    #[error("tidelog.table.mode is {0}: {1}")]
    Mode(TableMode, &'static str),
    #[error("the newest schema is {newest}, not {asked}: look at it, and alter that")]
    Moved { asked: i32, newest: i32 },
    #[error("{0} changes: at most {CHANGES_MAX} at once")]
    TooMany(usize),
    #[error("change {at}: {what}")]
    Change { at: usize, what: String },
    #[error("change {at}: {path:?} names no column")]
    Path { at: usize, path: String },
    #[error("change {at}: the type: {error}")]
    Type { at: usize, error: SchemaError },
    #[error(transparent)]
    Alter(#[from] AlterError),
    #[error(transparent)]
    Refused(#[from] SchemaRefusal),
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
}

impl Coded for AlterTableError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Target(error) => error.code(),
            Self::Format(_) => ErrorCode::InvalidConfig,
            Self::Moved { .. } | Self::Refused(SchemaRefusal::Moved { .. }) => {
                ErrorCode::InvalidUpdateVersion
            }
            Self::NoAnswer(error) => error.code(),
            Self::Unnamed
            | Self::Mode(..)
            | Self::TooMany(_)
            | Self::Change { .. }
            | Self::Path { .. }
            | Self::Type { .. }
            | Self::Alter(_)
            | Self::Refused(_) => ErrorCode::InvalidRequest,
        }
    }
}

pub async fn handle(ctx: &Context, request: AlterTableRequest) -> Outcome {
    let response = match change(ctx, request).await {
        Ok(schema_id) => AlterTableResponse {
            schema_id,
            ..AlterTableResponse::default()
        },
        Err(error) => {
            let Failure { code, message } = Failure::from(&error);
            AlterTableResponse {
                error_code: code.code(),
                error_message: Some(message),
                schema_id: -1,
                ..AlterTableResponse::default()
            }
        }
    };
    ctx.answer_ext::<AlterTableRequest>(&response)
}

/// Answers the id of the schema that later rows are written with.
async fn change(ctx: &Context, request: AlterTableRequest) -> Result<i32, AlterTableError> {
    if request.changes.len() > CHANGES_MAX {
        return Err(AlterTableError::TooMany(request.changes.len()));
    }
    // One look at the schema and its change at a time.
    let _turn = ctx.broker.rows().settings_turn().await;
    let (next, command) = {
        let view = ctx.broker.cluster().view();
        let key = TopicKey::of(request.topic_id, request.name.as_ref());
        let key = key.ok_or(AlterTableError::Unnamed)?;
        let topic = key.find(&view.image)?;
        check_no_view(&view.image, topic)?;
        let settings = view.topic_settings(topic);
        check_mode(&settings.table.mode)?;
        let format = ctx.broker.rows().format(topic, &settings.table)?;
        plan(topic, &format, &request)?
    };
    if request.validate_only {
        return Ok(next);
    }
    let noted = ask(ctx, command, request.timeout_ms, |reply| match reply {
        Reply::Schemas(noted) => Some(noted),
        _ => None,
    });
    noted.await??;
    Ok(next)
}

/// The id of the schema to come, and the command that notes it.
fn plan(
    topic: &Topic,
    format: &Format,
    request: &AlterTableRequest,
) -> Result<(i32, Command), AlterTableError> {
    let newest = format.schema_id;
    if request.schema_id != NEWEST && request.schema_id != newest {
        let asked = request.schema_id;
        return Err(AlterTableError::Moved { asked, newest });
    }
    let Some(table) = format.schema.values() else {
        return Err(mode_error(TableMode::KeyValue));
    };
    let alterations = request.changes.iter().enumerate();
    let alterations: Vec<_> = alterations
        .map(|(at, change)| alteration(at, change))
        .collect::<Result<_, _>>()?;
    let altered = alter(table, &alterations, &[])?;
    let schema = |id, table: &TableSchema| RowsSchema {
        id,
        text: Some(table.to_json()),
    };
    let noted = topic.schemas.last().map(|schema| schema.id);
    let mut schemas = Vec::new();
    if noted.is_none() {
        // The one the settings give is noted, too: from now on they are not looked at.
        schemas.push(schema(newest, table));
    }
    schemas.push(schema(newest + 1, &altered));
    let command = Command::AddSchemas {
        topic: topic.id,
        newest: noted,
        schemas,
    };
    Ok((newest + 1, command))
}

fn check_mode(mode: &TableMode) -> Result<(), AlterTableError> {
    match mode {
        TableMode::Inline { .. } | TableMode::Inferred | TableMode::Auto => Ok(()),
        other => Err(mode_error(other.clone())),
    }
}

fn mode_error(mode: TableMode) -> AlterTableError {
    let why = match mode {
        TableMode::SchemaIdPrefix | TableMode::SchemaLatest(_) => {
            "register another schema, the table follows"
        }
        TableMode::KeyValue | TableMode::Auto => "its columns are the record's key and value",
        _ => "the topic is no table",
    };
    AlterTableError::Mode(mode, why)
}

fn alteration(at: usize, change: &ColumnChange) -> Result<Alteration, AlterTableError> {
    let path = &change.path[..];
    let missing = |what: &str| AlterTableError::Change {
        at,
        what: format!("{what} is missing"),
    };
    let kind = || {
        let text = change.column_type.as_deref();
        kind(text.ok_or_else(|| missing("column_type"))?)
            .map_err(|error| AlterTableError::Type { at, error })
    };
    let column = || {
        target(path).ok_or_else(|| AlterTableError::Path {
            at,
            path: path.to_owned(),
        })
    };
    Ok(match change.action {
        ACTION_ADD => {
            let (within, name) = match path.rsplit_once('.') {
                Some((within, name)) => (target(within), name),
                None => (None, path),
            };
            Alteration::Add {
                within,
                field: Field::draft(name, kind()?, true),
                place: Place::Last,
            }
        }
        ACTION_WIDEN => Alteration::Widen {
            column: column()?,
            kind: kind()?,
        },
        ACTION_RENAME => Alteration::Rename {
            column: column()?,
            name: match change.new_name.as_deref() {
                Some(name) => name.to_owned(),
                None => return Err(missing("new_name")),
            },
        },
        ACTION_MAKE_OPTIONAL => Alteration::MakeOptional { column: column()? },
        ACTION_DROP => Alteration::Drop { column: column()? },
        other => {
            let what = format!("no action {other}; there are 0 to 4");
            return Err(AlterTableError::Change { at, what });
        }
    })
}

/// `#17`, or names joined by dots.
fn target(path: &str) -> Option<Target> {
    if let Some(id) = path.strip_prefix('#') {
        return id.parse().ok().map(Target::Id);
    }
    let names: Vec<_> = path.split('.').map(str::to_owned).collect();
    (!names.iter().any(String::is_empty)).then_some(Target::Path(names))
}

/// A type as a schema's JSON has it; a plain name need not be quoted.
fn kind(text: &str) -> Result<Kind, SchemaError> {
    let text = text.trim();
    let is_json = text.starts_with(['"', '{', '[']);
    let kind: Value = match is_json {
        true => {
            serde_json::from_str(text).map_err(|error| SchemaError::NotJson(error.to_string()))?
        }
        false => text.into(),
    };
    let schema = json!({"fields": [{"name": "column", "type": kind}]});
    let schema = TableSchema::parse(&schema.to_string())?;
    let field = schema.fields().first();
    // A schema has at least one field.
    Ok(field.map_or(Kind::Binary, |field| field.kind.clone()))
}
