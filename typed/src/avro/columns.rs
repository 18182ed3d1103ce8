//! The Avro schema of columns: what a table's rows are written with where no writer has said so.
//!
//! The table in [`mapping`](super::mapping) read backwards, one type for each column type. A column
//! that may be null is a union of null and its type, with null as default, so that a reader may do
//! without it. Records inside have the name of their column, in a namespace of the columns around it.

use arrow_schema::{DataType, Field, Fields, TimeUnit};
use serde_json::{Value, json};

use super::Mismatch;

/// The text of a schema for values with these columns: a record called `name`, which may have dots.
///
/// The same columns always have the same text. Values of it become the same columns again.
///
/// # Errors
/// [`Mismatch`] for a column that Avro has no name or type for: names are letters, digits and `_`,
/// and keys of maps are strings.
pub fn schema_text(name: &str, columns: &Fields) -> Result<String, Mismatch> {
    if !name.split('.').all(is_name) {
        return Err(mismatch(name, "is no name of an Avro record"));
    }
    Ok(record(name, columns)?.to_string())
}

/// `text` as the name of a record: what may not stand in one becomes `_`.
pub fn record_name(text: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = text.chars().map(allowed).collect();
    match is_name(&name) {
        true => name,
        false => format!("_{name}"),
    }
}

fn record(name: &str, columns: &Fields) -> Result<Value, Mismatch> {
    let fields = columns.iter().map(|column| {
        if !is_name(column.name()) {
            return Err(mismatch(column.name(), "has no name that Avro allows"));
        }
        let path = format!("{name}.{}", column.name());
        let of = optional(&path, column).map_err(|inner| inner.within(column.name()))?;
        Ok(match column.is_nullable() {
            true => json!({"name": column.name(), "type": of, "default": null}),
            false => json!({"name": column.name(), "type": of}),
        })
    });
    let fields = fields.collect::<Result<Vec<_>, _>>()?;
    Ok(json!({"type": "record", "name": name, "fields": fields}))
}

/// The type of a column at `path`, which is the name of the record it may be.
fn optional(path: &str, column: &Field) -> Result<Value, Mismatch> {
    let of = of_type(path, column.data_type())?;
    Ok(match column.is_nullable() {
        true => json!(["null", of]),
        false => of,
    })
}

fn of_type(path: &str, of: &DataType) -> Result<Value, Mismatch> {
    let logical = |of: &str, name: &str| json!({"type": of, "logicalType": name});
    Ok(match of {
        DataType::Boolean => json!("boolean"),
        DataType::Int32 => json!("int"),
        DataType::Int64 => json!("long"),
        DataType::Float32 => json!("float"),
        DataType::Float64 => json!("double"),
        DataType::Utf8 => json!("string"),
        DataType::Binary => json!("bytes"),
        DataType::Decimal128(precision, scale) => {
            json!({"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale})
        }
        DataType::Date32 => logical("int", "date"),
        DataType::Time64(TimeUnit::Microsecond) => logical("long", "time-micros"),
        DataType::Timestamp(unit, zone) => {
            let unit = match unit {
                TimeUnit::Millisecond => "millis",
                TimeUnit::Microsecond => "micros",
                _ => return Err(typeless(of)),
            };
            let local = if zone.is_some() { "" } else { "local-" };
            logical("long", &format!("{local}timestamp-{unit}"))
        }
        DataType::List(element) => {
            let items = optional(path, element).map_err(|inner| inner.within("[]"))?;
            json!({"type": "array", "items": items})
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 && *pair[0].data_type() == DataType::Utf8 => {
                let values = optional(path, &pair[1]).map_err(|inner| inner.within("{}"))?;
                json!({"type": "map", "values": values})
            }
            _ => return Err(typeless(of)),
        },
        DataType::Struct(members) => record(path, members)?,
        _ => return Err(typeless(of)),
    })
}

/// As the specification has it; parsers of some languages allow more.
fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    let begins = |first: u8| first.is_ascii_alphabetic() || first == b'_';
    bytes.next().is_some_and(begins)
        && bytes.all(|next| next.is_ascii_alphanumeric() || next == b'_')
}

fn typeless(of: &DataType) -> Mismatch {
    mismatch("", format!("is {of}, for which Avro has no type"))
}

fn mismatch(column: &str, what: impl Into<String>) -> Mismatch {
    Mismatch {
        column: column.to_owned(),
        what: what.into(),
    }
}
