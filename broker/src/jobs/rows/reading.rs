//! From a registered schema to columns: what a table has to become for it, and how its values are
//! read then. Pure; parsing a large schema takes its time.

use std::sync::Arc;

use tidelog_registry::Format as SchemaFormat;
use tidelog_typed::evolve::merge;
use tidelog_typed::protobuf::{MessageChoice, Source as ProtobufSource};
use tidelog_typed::{Draft, Growth, Plan, TableSchema, avro, json_schema, protobuf};

use crate::owners::registry::WriterSchema;

/// What a writer's schema comes to, with the table as it is.
#[derive(Debug)]
pub enum Reading {
    /// The table has room for every field, and values are read so.
    Plan(Arc<Plan>),
    /// The table has to have this schema first.
    Grow(TableSchema),
    /// Values are one of several messages: ask with the one that a value names.
    Messages,
    /// No value of the schema can be a row of the table.
    Unusable(String),
}

/// A schema that was parsed.
enum Parsed {
    Avro(avro::Writer),
    Protobuf(Box<protobuf::Writer>),
    Json(Draft, Plan),
}

/// Finds a way from `schema` to `table`; without a table, to one that fits it.
pub fn reading(
    schema: &WriterSchema,
    message: Option<&MessageChoice>,
    table: Option<&TableSchema>,
) -> Reading {
    if schema.format == SchemaFormat::Protobuf && message.is_none() {
        return Reading::Messages;
    }
    match parse(schema, message).and_then(|parsed| found(parsed, table)) {
        Ok(reading) => reading,
        Err(why) => Reading::Unusable(format!("schema {}: {why}", schema.id.0)),
    }
}

fn parse(schema: &WriterSchema, message: Option<&MessageChoice>) -> Result<Parsed, String> {
    let (text, references) = (schema.text.as_str(), schema.references.as_slice());
    Ok(match schema.format {
        SchemaFormat::Avro => {
            let writer = avro::Writer::parse(text, references);
            Parsed::Avro(writer.map_err(|error| error.to_string())?)
        }
        SchemaFormat::Json => {
            let source = json_schema::Source { text, references };
            let writer = json_schema::Writer::parse(&source);
            let writer = writer.map_err(|error| error.to_string())?;
            let plan = match writer.has_siblings() {
                true => Plan::Inferred(Growth::Over),
                false => Plan::Json,
            };
            Parsed::Json(writer.draft(), plan)
        }
        SchemaFormat::Protobuf => {
            let first = MessageChoice::default();
            let source = ProtobufSource::parse(text, references);
            let writer = source.and_then(|source| source.writer(message.unwrap_or(&first)));
            Parsed::Protobuf(Box::new(writer.map_err(|error| error.to_string())?))
        }
    })
}

fn found(parsed: Parsed, table: Option<&TableSchema>) -> Result<Reading, String> {
    let draft = match &parsed {
        Parsed::Avro(writer) => writer.draft().clone(),
        Parsed::Protobuf(writer) => writer.draft(),
        Parsed::Json(draft, _) => draft.clone(),
    };
    let Some(table) = table else {
        let first = draft.allocate().map_err(|error| error.to_string())?;
        return Ok(Reading::Grow(first));
    };
    let merged = merge(table, &draft).map_err(|error| error.to_string())?;
    if !merged.changes.is_empty() {
        return Ok(Reading::Grow(merged.schema));
    }
    let plan = match parsed {
        Parsed::Avro(writer) => {
            let plan = avro::Plan::compile(&writer, table);
            Plan::Avro(plan.map_err(|error| error.to_string())?)
        }
        Parsed::Protobuf(writer) => {
            let plan = protobuf::Plan::compile(&writer, table);
            Plan::Protobuf(plan.map_err(|error| error.to_string())?)
        }
        Parsed::Json(_, plan) => plan,
    };
    Ok(Reading::Plan(Arc::new(plan)))
}
