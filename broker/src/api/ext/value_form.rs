//! What the values of a topic are made of columns by.
//!
//! ```text
//! disabled, key_value                    the column `value`, bytes
//! inline                                 JSON of the table's columns
//! inferred, auto                         JSON of the table's columns and of any others
//! value_schema_id_prefix, _latest        the newest schema of the subject: Avro, or JSON Schema
//! ```

use std::sync::Arc;

use tidelog_coordinator::cluster::settings::{TableMode, TableSettings};
use tidelog_protocol_ext::ErrorCode;
use tidelog_registry::Format as SchemaFormat;
use tidelog_typed::intake::{Names, Target};
use tidelog_typed::{Field, JsonStyle, RowSchema, ValueForm, avro, json_schema, system};

use crate::api::error::Coded;
use crate::jobs::rows::format::{BadFormat, Format, Formats, KEY_VALUE_SCHEMA_ID};
use crate::owners::registry::{LookupError, Registry, WriterSchema};

/// Why nobody can say what the values of a topic are made of.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FormError {
    #[error(transparent)]
    Format(#[from] BadFormat),
    #[error(transparent)]
    Registry(#[from] LookupError),
    #[error("subject {0} has no schema, and so nobody knows how values are written")]
    NoSubject(String),
    #[error("schema {id}: {why}")]
    Unusable { id: i32, why: String },
    #[error("schema {id} is Protobuf, whose values are not made of columns: use Produce")]
    Protobuf { id: i32 },
    #[error("the table has no schema {0}")]
    NoSchema(i32),
}

impl Coded for FormError {
    fn code(&self) -> ErrorCode {
        match self {
            FormError::Format(_)
            | FormError::Registry(LookupError::Unusable(_))
            | FormError::Unusable { .. } => ErrorCode::InvalidConfig,
            FormError::Registry(LookupError::Unavailable(_)) => ErrorCode::NetworkException,
            FormError::NoSubject(_) | FormError::Protobuf { .. } | FormError::NoSchema(_) => {
                ErrorCode::InvalidRequest
            }
        }
    }
}

/// All that says what a topic's values are, collected; nothing is parsed yet.
#[derive(Debug)]
pub struct FormSource {
    formats: Arc<Formats>,
    /// Of values without a registered schema.
    style: JsonStyle,
    /// Of the newest schema of the topic's subject, where there is a registry.
    writer: Option<Arc<WriterSchema>>,
}

/// What columns a topic takes, and how they become values.
#[derive(Debug)]
pub struct Form {
    pub value: ValueForm,
    columns: Vec<Field>,
    is_open: bool,
    formats: Arc<Formats>,
}

impl FormSource {
    /// # Errors
    /// [`FormError`].
    pub async fn of(
        registry: &Registry,
        topic: &str,
        formats: Arc<Formats>,
        settings: &TableSettings,
    ) -> Result<Self, FormError> {
        // What a member names, an engine that reads columns takes as set: a null that was sent, too.
        let style = JsonStyle {
            nulls: settings.merge.reads_columns(),
        };
        let source = |writer| Self {
            formats: Arc::clone(&formats),
            style,
            writer,
        };
        let subject = match formats.mode() {
            TableMode::SchemaLatest(latest) => latest.subject.clone(),
            TableMode::SchemaIdPrefix => None,
            _ => return Ok(source(None)),
        };
        let subject = subject.unwrap_or_else(|| format!("{topic}-value"));
        match registry.latest(&subject).await? {
            None => Err(FormError::NoSubject(subject)),
            writer => Ok(source(writer)),
        }
    }

    /// Reads the schemas, which takes its time.
    ///
    /// # Errors
    /// [`FormError`].
    pub fn read(&self) -> Result<Form, FormError> {
        let formats = Arc::clone(&self.formats);
        if let Some(writer) = &self.writer {
            let framed = *formats.mode() == TableMode::SchemaIdPrefix;
            let (value, columns) = written(writer, framed.then_some(writer.id.0))?;
            return Ok(Form {
                value,
                columns,
                is_open: false,
                formats,
            });
        }
        let is_open = matches!(formats.mode(), TableMode::Inferred | TableMode::Auto);
        let (value, columns) = match formats.current().map(|format| &format.schema) {
            Some(schema) => self.rows(schema),
            None => (self.json(), Vec::new()),
        };
        Ok(Form {
            is_open: is_open && matches!(value, ValueForm::Json { .. }),
            value,
            columns,
            formats,
        })
    }

    /// As the table's rows are read.
    fn rows(&self, schema: &RowSchema) -> (ValueForm, Vec<Field>) {
        match schema.values() {
            None => (ValueForm::Bytes, vec![system::value_field()]),
            Some(values) => (self.json(), values.fields().to_vec()),
        }
    }

    /// Objects that nothing registered describes.
    fn json(&self) -> ValueForm {
        ValueForm::Json {
            frame: None,
            style: self.style,
        }
    }
}

impl Form {
    /// What is taken of columns that are called as in schema `schema_id`, or, if that is negative, as
    /// they are now.
    ///
    /// # Errors
    /// [`FormError::NoSchema`].
    pub fn target(&self, schema_id: i32) -> Result<Target<'_>, FormError> {
        let names = match schema_id {
            // Key and value have their names for ever.
            ..=KEY_VALUE_SCHEMA_ID => Names::Now,
            _ => {
                let then = fields_of(self.formats.with_id(schema_id));
                let now = fields_of(self.formats.current());
                let then = then.ok_or(FormError::NoSchema(schema_id))?;
                Names::Of {
                    then,
                    now: now.unwrap_or_default(),
                }
            }
        };
        Ok(Target {
            columns: &self.columns,
            is_open: self.is_open,
            names,
        })
    }
}

/// By a registered schema: the form, and the columns it takes.
fn written(
    schema: &WriterSchema,
    frame: Option<i32>,
) -> Result<(ValueForm, Vec<Field>), FormError> {
    let id = schema.id.0;
    let unusable = |why: String| FormError::Unusable { id, why };
    match schema.format {
        SchemaFormat::Avro => {
            let writer = avro::Writer::parse(&schema.text, &schema.references);
            let writer = Box::new(writer.map_err(|error| unusable(error.to_string()))?);
            let columns = writer.draft().fields.clone();
            Ok((ValueForm::Avro { writer, frame }, columns))
        }
        SchemaFormat::Json => {
            let source = json_schema::Source {
                text: &schema.text,
                references: &schema.references,
            };
            let writer = json_schema::Writer::parse(&source);
            let writer = writer.map_err(|error| unusable(error.to_string()))?;
            // Members of several types are split over columns, which nothing puts together again.
            match writer.has_siblings() {
                true => Err(unusable("it has members of several types".to_owned())),
                // A member that is null is none of most schemas.
                false => {
                    let style = JsonStyle { nulls: false };
                    Ok((ValueForm::Json { frame, style }, writer.draft().fields))
                }
            }
        }
        SchemaFormat::Protobuf => Err(FormError::Protobuf { id }),
    }
}

/// The value columns of a schema, unless it has only the value as it is.
fn fields_of(format: Option<&Arc<Format>>) -> Option<&[Field]> {
    let values = format?.schema.values()?;
    Some(values.fields())
}
