//! One text for all that mean one schema: the base64 of its `FileDescriptorProto`, without what
//! does not count.
//!
//! Comments and layout do not count, nor the file's name, nor whether JSON names are spelled out
//! that follow from the fields' names. The order of messages does: values name them by place. So
//! does the order of fields and imports, and every option, also those of extensions.
//!
//! The text is a schema itself, in the form that clients take as `serialized`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use prost_reflect::prost::Message as _;
use prost_reflect::prost_types::FileDescriptorProto;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};

use super::{BadSchema, Source};

/// The normal form of a schema, by which it is told from others.
///
/// # Errors
/// [`BadSchema`] as [`Source::parse`].
pub fn canonical(text: &str, references: &[(String, String)]) -> Result<String, BadSchema> {
    Source::parse(text, references)?.canonical()
}

impl Source {
    /// The normal form: see [`canonical`].
    ///
    /// # Errors
    /// [`BadSchema::NotProtobuf`] for a descriptor that does not read back.
    pub fn canonical(&self) -> Result<String, BadSchema> {
        let bytes = self.file().encode_to_vec();
        // As a dynamic message: the options of extensions are kept as they are.
        let descriptor = FileDescriptorProto::default().descriptor();
        let mut file = DynamicMessage::decode(descriptor, &bytes[..])
            .map_err(|error| BadSchema::NotProtobuf(error.to_string()))?;
        for field in ["name", "source_code_info"] {
            file.clear_field_by_name(field);
        }
        // What a file without it has.
        if text_of(&file, "syntax").as_deref() == Some("proto2") {
            file.clear_field_by_name("syntax");
        }
        each(&mut file, "message_type", message);
        each(&mut file, "extension", field);
        Ok(BASE64.encode(file.encode_to_vec()))
    }
}

/// Messages nest no deeper than the descriptor could be decoded: 100.
fn message(message: &mut DynamicMessage) {
    each(message, "field", field);
    each(message, "extension", field);
    each(message, "nested_type", self::message);
}

fn field(field: &mut DynamicMessage) {
    let (name, json) = (text_of(field, "name"), text_of(field, "json_name"));
    if name.map(|name| json_name(&name)) == json {
        field.clear_field_by_name("json_name");
    }
}

fn each(of: &mut DynamicMessage, list: &str, change: fn(&mut DynamicMessage)) {
    // Looked at first: to take it by `mut` would set it.
    if !of.has_field_by_name(list) {
        return;
    }
    if let Some(Value::List(items)) = of.get_field_by_name_mut(list) {
        for item in items {
            if let Value::Message(item) = item {
                change(item);
            }
        }
    }
}

fn text_of(message: &DynamicMessage, field: &str) -> Option<String> {
    let value = message.get_field_by_name(field)?;
    value.as_str().map(str::to_owned)
}

/// A field's name in JSON where no other is given: `order_id` is `orderId`.
fn json_name(name: &str) -> String {
    let mut upper = false;
    let mut json = String::with_capacity(name.len());
    for letter in name.chars() {
        match letter {
            '_' => upper = true,
            letter if upper => {
                json.push(letter.to_ascii_uppercase());
                upper = false;
            }
            letter => json.push(letter),
        }
    }
    json
}
