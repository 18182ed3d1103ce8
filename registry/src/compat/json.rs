//! JSON Schema.

use tidelog_typed::json_schema::{self, Source};

use super::{Schema, compacted};

/// As it came but for blanks: the order of members is the order of columns.
pub fn canonical(schema: &Schema) -> Result<String, String> {
    json_schema::canonical(&source(schema)).map_err(|error| error.to_string())?;
    compacted(schema.text)
}

pub fn normalized(schema: &Schema) -> Result<String, String> {
    json_schema::canonical(&source(schema)).map_err(|error| error.to_string())
}

pub fn formatted(_: &Schema, _: &str) -> Result<Option<String>, String> {
    Ok(None)
}

pub fn backward(reader: &Schema, writer: &Schema) -> Result<Vec<String>, String> {
    json_schema::backward(&source(reader), &source(writer)).map_err(|error| error.to_string())
}

fn source<'a>(schema: &Schema<'a>) -> Source<'a> {
    Source {
        text: schema.text,
        references: schema.references,
    }
}
