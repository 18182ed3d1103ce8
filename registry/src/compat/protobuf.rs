//! Protobuf: the text of a file, or the base64 of its descriptor, as Python's serializer registers it.

use tidelog_typed::protobuf::{Source, compat};

use super::Schema;

/// As it came: whoever registered a text gets a text, with its comments.
pub fn canonical(schema: &Schema) -> Result<String, String> {
    parsed(schema)?;
    Ok(schema.text.trim().to_owned())
}

pub fn normalized(schema: &Schema) -> Result<String, String> {
    canonical(schema)
}

/// `serialized`: the base64 of the descriptor.
pub fn formatted(schema: &Schema, form: &str) -> Result<Option<String>, String> {
    if form != "serialized" {
        return Ok(None);
    }
    let descriptor = compat::canonical(schema.text, schema.references);
    descriptor.map(Some).map_err(|error| error.to_string())
}

pub fn backward(reader: &Schema, writer: &Schema) -> Result<Vec<String>, String> {
    Ok(compat::backward(&parsed(reader)?, &parsed(writer)?))
}

fn parsed(schema: &Schema) -> Result<Source, String> {
    Source::parse(schema.text, schema.references).map_err(|error| error.to_string())
}
