//! Avro.

use tidelog_typed::avro::compat::{self, Source};

use super::Schema;

pub fn canonical(schema: &Schema) -> Result<String, String> {
    compat::canonical(&source(schema)).map_err(|error| error.to_string())
}

pub fn normalized(schema: &Schema) -> Result<String, String> {
    compat::normalized(&source(schema)).map_err(|error| error.to_string())
}

pub fn formatted(_: &Schema, _: &str) -> Result<Option<String>, String> {
    Ok(None)
}

pub fn backward(reader: &Schema, writer: &Schema) -> Result<Vec<String>, String> {
    compat::backward(&source(reader), &source(writer)).map_err(|error| error.to_string())
}

fn source<'a>(schema: &Schema<'a>) -> Source<'a> {
    Source {
        text: schema.text,
        references: schema.references,
    }
}
