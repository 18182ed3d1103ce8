//! The canonical text: every id and nullability spelled out, members in a fixed order, no spaces.

use serde_json::Value;

use super::{Field, Kind, TableSchema};

pub(super) fn write(schema: &TableSchema) -> String {
    let mut out = String::from("{\"fields\":");
    fields(&mut out, &schema.fields);
    out.push_str(&format!(",\"last_id\":{}}}", schema.last_id));
    out
}

fn fields(out: &mut String, fields: &[Field]) {
    out.push('[');
    for (i, field) in fields.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        out.push_str(&format!("{{\"id\":{},\"name\":", field.id));
        quote(out, &field.name);
        out.push_str(",\"type\":");
        kind(out, &field.kind);
        out.push_str(&format!(",\"nullable\":{}", field.nullable));
        if !field.aliases.is_empty() {
            out.push_str(",\"aliases\":");
            out.push_str(&Value::from(field.aliases.clone()).to_string());
        }
        out.push('}');
    }
    out.push(']');
}

fn kind(out: &mut String, of: &Kind) {
    match of {
        Kind::List(element) => {
            out.push_str("{\"list\":");
            kind(out, &element.kind);
            out.push_str(&format!(",\"element_id\":{}}}", element.id));
        }
        Kind::Map { key, value } => {
            out.push_str("{\"map\":");
            kind(out, &value.kind);
            if key.kind != Kind::String {
                out.push_str(&format!(",\"keys\":\"{}\"", key.kind.name()));
            }
            let (key, value) = (key.id, value.id);
            out.push_str(&format!(",\"key_id\":{key},\"value_id\":{value}}}"));
        }
        Kind::Struct(children) => {
            out.push_str("{\"struct\":");
            fields(out, children);
            out.push('}');
        }
        plain => quote(out, &plain.name()),
    }
}

fn quote(out: &mut String, text: &str) {
    out.push_str(&Value::from(text).to_string());
}
