//! Whether one schema can read what another wrote, for each of the three formats.
//!
//! A format is one file with the same few functions: `canonical` (parse, and write the form a schema is
//! kept and compared in), `normalized` (the same where more is held to be equal), `formatted` (other
//! forms readers ask for) and `backward` (what keeps a reader from reading). This file puts levels and
//! versions around them. Schemas come from anywhere: nothing here may panic, recurse without a bound or
//! take memory by a number it was told.

mod avro;
mod json;
mod protobuf;

use thiserror::Error;

use crate::{Format, Level, Version};

/// A text that is no schema of its format, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("Invalid schema of type {format}, details: {reason}")]
pub struct Invalid {
    pub format: Format,
    pub reason: String,
}

/// A schema as it is parsed.
#[derive(Debug, Clone, Copy)]
pub struct Schema<'a> {
    pub text: &'a str,
    /// Names and texts of what it refers to; what a text needs stands before it.
    pub references: &'a [(String, String)],
}

/// A schema registered before.
#[derive(Debug, Clone, Copy)]
pub struct Old<'a> {
    pub version: Version,
    pub format: Format,
    pub schema: Schema<'a>,
}

/// What Confluent's registry shows of an older schema at most, in characters.
const SHOWN_CHARS_MAX: usize = 10_000;

/// The form `schema` is kept in, which is also what tells it from others: the same text for what
/// differs only in blanks or such, and, if `normalize`, for what means the same to every reader.
///
/// # Errors
/// It is no schema of the format.
pub fn canonical(format: Format, schema: &Schema, normalize: bool) -> Result<String, Invalid> {
    let written = match (format, normalize) {
        (Format::Avro, false) => avro::canonical(schema),
        (Format::Avro, true) => avro::normalized(schema),
        (Format::Protobuf, false) => protobuf::canonical(schema),
        (Format::Protobuf, true) => protobuf::normalized(schema),
        (Format::Json, false) => json::canonical(schema),
        (Format::Json, true) => json::normalized(schema),
    };
    written.map_err(|reason| Invalid { format, reason })
}

/// `schema` in the form called `form`, such as `serialized`; `None` if the format has no such form.
///
/// # Errors
/// It is no schema of the format.
pub fn formatted(format: Format, schema: &Schema, form: &str) -> Result<Option<String>, Invalid> {
    let written = match format {
        Format::Avro => avro::formatted(schema, form),
        Format::Protobuf => protobuf::formatted(schema, form),
        Format::Json => json::formatted(schema, form),
    };
    written.map_err(|reason| Invalid { format, reason })
}

/// What keeps `new` from following `old` (the oldest first) at a level, in words; nothing if it may.
/// Versions are looked at from the newest on, and the first that does not fit ends it.
///
/// # Errors
/// One of the schemas is none.
pub fn check(
    format: Format,
    new: &Schema,
    old: &[Old],
    level: Level,
) -> Result<Vec<String>, Invalid> {
    if level == Level::None {
        return Ok(Vec::new());
    }
    let looked_at = if level.is_transitive() { old.len() } else { 1 };
    for existing in old.iter().rev().take(looked_at) {
        let mut reasons = compare(format, new, existing, level)?;
        if !reasons.is_empty() {
            reasons.push(format!("{{oldSchemaVersion: {}}}", existing.version));
            reasons.push(shown(existing.schema.text));
            reasons.push(format!(
                "{{validateFields: 'false', compatibility: '{}'}}",
                level.as_str()
            ));
            return Ok(reasons);
        }
    }
    Ok(Vec::new())
}

fn compare(
    format: Format,
    new: &Schema,
    existing: &Old,
    level: Level,
) -> Result<Vec<String>, Invalid> {
    if format != existing.format {
        return Ok(vec![
            "Incompatible because of different schema type".to_owned(),
        ]);
    }
    let mut reasons = Vec::new();
    if level.is_read_by_old() {
        reasons.extend(backward(format, &existing.schema, new)?);
    }
    if level.reads_old() {
        reasons.extend(backward(format, new, &existing.schema)?);
    }
    Ok(reasons)
}

/// What keeps a reader with the schema `reader` from reading what `writer` wrote.
fn backward(format: Format, reader: &Schema, writer: &Schema) -> Result<Vec<String>, Invalid> {
    let found = match format {
        Format::Avro => avro::backward(reader, writer),
        Format::Protobuf => protobuf::backward(reader, writer),
        Format::Json => json::backward(reader, writer),
    };
    found.map_err(|reason| Invalid { format, reason })
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        None => format!("{{oldSchema: '{text}'}}"),
        Some((end, _)) => format!("{{oldSchema: <truncated> '{}...'}}", &text[..end]),
    }
}

/// A JSON text without the blanks between its parts; names keep their order.
fn compacted(text: &str) -> Result<String, String> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|error| error.to_string())?;
    let mut compact = String::with_capacity(text.len());
    let (mut in_string, mut is_escaped) = (false, false);
    for letter in text.chars() {
        if in_string || !letter.is_ascii_whitespace() {
            compact.push(letter);
        }
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = in_string,
            '"' => in_string = !in_string,
            _ => {}
        }
    }
    Ok(compact)
}
