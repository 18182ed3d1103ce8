//! From text to schema, every fault with its place.
//!
//! ```text
//! schema = {"fields": [field, …], "last_id"?: n}
//! field  = {"name": text, "type": type, "nullable"?: bool (true), "id"?: n, "doc"?: text,
//!           "aliases"?: [text, …]}
//! type   = "bool" | "int" | "long" | "float" | "double" | "decimal(P,S)" | "string" | "binary"
//!        | "date" | "time" | "timestamp(ms)" | "timestamp(us)"
//!        | "local_timestamp(ms)" | "local_timestamp(us)"
//!        | {"list": type, "element_id"?: n}
//!        | {"map": type of values, "keys"?: "string" | "bool" | "int" | "long",
//!           "key_id"?: n, "value_id"?: n}
//!        | {"struct": [field, …]}
//! ```

use std::collections::HashSet;
use std::fmt;

use serde_json::{Map, Value};

use super::ids::{self, UNGIVEN};
use super::{Field, Kind, SchemaError, TableSchema, TimeUnit};
use crate::system;

/// Most digits of a decimal (128 bits).
const DIGITS_MAX: u8 = 38;
/// Longest field name.
const NAME_BYTES_MAX: usize = 255;

pub(super) fn parse(text: &str) -> Result<TableSchema, SchemaError> {
    let bytes = text.len();
    if bytes > TableSchema::TEXT_BYTES_MAX {
        return Err(SchemaError::TooLong { bytes });
    }
    let value: Value =
        serde_json::from_str(text).map_err(|error| SchemaError::NotJson(error.to_string()))?;
    let root = Place::Root;
    let object = object(&value, &root, &["fields", "last_id"])?;
    let mut count = 0;
    let fields = member(object, "fields", &root)?;
    let mut fields = read_fields(fields, &Place::Of(&root, "fields"), 0, &mut count)?;
    check_top_level_names(&fields)?;
    let last_id = match read_id(object, "last_id", &root)? {
        UNGIVEN if ids::any_given(&fields) => {
            return Err(root.fault("\"last_id\" is missing beside ids that are given"));
        }
        UNGIVEN => ids::allocate(&mut fields, 0).ok_or_else(ids::none_left)?,
        last_id => {
            ids::check(&fields, last_id).map_err(|what| root.fault(what))?;
            last_id
        }
    };
    Ok(TableSchema { fields, last_id })
}

fn check_top_level_names(fields: &[Field]) -> Result<(), SchemaError> {
    for (index, field) in fields.iter().enumerate() {
        if system::is_reserved(&field.name) {
            let list = Place::Of(&Place::Root, "fields");
            let place = Place::Item(&list, index, Some(&field.name));
            return Err(place.fault("the name is that of a system column"));
        }
    }
    Ok(())
}

fn read_fields(
    value: &Value,
    place: &Place<'_>,
    depth: usize,
    count: &mut usize,
) -> Result<Vec<Field>, SchemaError> {
    let items = value
        .as_array()
        .filter(|items| !items.is_empty())
        .ok_or_else(|| place.fault("must be an array of at least one field"))?;
    let mut names = HashSet::new();
    let mut fields = Vec::with_capacity(items.len().min(TableSchema::FIELDS_MAX));
    for (index, item) in items.iter().enumerate() {
        let name = item.get("name").and_then(Value::as_str);
        let place = Place::Item(place, index, name);
        let field = read_field(item, &place, depth, count)?;
        for name in field.names() {
            if !names.insert(name.clone()) {
                let own = *name == field.name;
                return Err(place.fault(match own {
                    true => "another field has this name, or had it".to_owned(),
                    false => format!("another field has the name {name:?}, or had it"),
                }));
            }
        }
        fields.push(field);
    }
    Ok(fields)
}

fn read_field(
    value: &Value,
    place: &Place<'_>,
    depth: usize,
    count: &mut usize,
) -> Result<Field, SchemaError> {
    let known = ["name", "type", "nullable", "id", "doc", "aliases"];
    let object = object(value, place, &known)?;
    let name = name_of(member(object, "name", place)?)
        .ok_or_else(|| place.fault("\"name\" must be a text of 1 to 255 bytes"))?;
    let aliases = match object.get("aliases") {
        None => Some(Vec::new()),
        Some(aliases) => aliases
            .as_array()
            .and_then(|aliases| aliases.iter().map(name_of).collect()),
    };
    let aliases =
        aliases.ok_or_else(|| place.fault("\"aliases\" must be texts of 1 to 255 bytes each"))?;
    let nullable = match object.get("nullable") {
        None => true,
        Some(Value::Bool(nullable)) => *nullable,
        Some(_) => return Err(place.fault("\"nullable\" must be true or false")),
    };
    if object.get("doc").is_some_and(|doc| !doc.is_string()) {
        return Err(place.fault("\"doc\" must be a text"));
    }
    let kind = member(object, "type", place)?;
    Ok(Field {
        id: read_id(object, "id", place)?,
        name,
        kind: read_kind(kind, &Place::Of(place, "type"), depth, count)?,
        nullable,
        aliases,
    })
}

fn name_of(value: &Value) -> Option<String> {
    let fits = |name: &&str| !name.is_empty() && name.len() <= NAME_BYTES_MAX;
    value.as_str().filter(fits).map(str::to_owned)
}

fn read_kind(
    value: &Value,
    place: &Place<'_>,
    depth: usize,
    count: &mut usize,
) -> Result<Kind, SchemaError> {
    *count += 1;
    if *count > TableSchema::FIELDS_MAX {
        return Err(place.fault(format!("more than {} fields", TableSchema::FIELDS_MAX)));
    }
    if depth > TableSchema::DEPTH_MAX {
        return Err(place.fault(format!("nested deeper than {}", TableSchema::DEPTH_MAX)));
    }
    match value {
        Value::String(name) => plain_kind(name).ok_or_else(|| unknown(name, place)),
        Value::Object(object) => nested_kind(value, object, place, depth + 1, count),
        _ => Err(place.fault("must be a type name or one of {\"list\"}, {\"map\"}, {\"struct\"}")),
    }
}

fn nested_kind(
    value: &Value,
    members: &Map<String, Value>,
    place: &Place<'_>,
    depth: usize,
    count: &mut usize,
) -> Result<Kind, SchemaError> {
    let child = |name: &str, id: i32, kind: Kind, nullable: bool| {
        Box::new(Field {
            id,
            name: name.to_owned(),
            kind,
            nullable,
            aliases: Vec::new(),
        })
    };
    if let Some(element) = members.get("list") {
        object(value, place, &["list", "element_id"])?;
        let kind = read_kind(element, &Place::Of(place, "list"), depth, count)?;
        let id = read_id(members, "element_id", place)?;
        Ok(Kind::List(child("element", id, kind, true)))
    } else if let Some(values) = members.get("map") {
        object(value, place, &["map", "keys", "key_id", "value_id"])?;
        *count += 1;
        let key = key_kind(members, place)?;
        let kind = read_kind(values, &Place::Of(place, "map"), depth, count)?;
        let key_id = read_id(members, "key_id", place)?;
        let value_id = read_id(members, "value_id", place)?;
        Ok(Kind::Map {
            key: child("key", key_id, key, false),
            value: child("value", value_id, kind, true),
        })
    } else if let Some(fields) = members.get("struct") {
        object(value, place, &["struct"])?;
        let fields = read_fields(fields, &Place::Of(place, "struct"), depth, count)?;
        Ok(Kind::Struct(fields))
    } else {
        Err(place.fault("must have one of \"list\", \"map\", \"struct\""))
    }
}

/// The type of a map's keys, which are strings if it is not said.
fn key_kind(members: &Map<String, Value>, place: &Place<'_>) -> Result<Kind, SchemaError> {
    let Some(name) = members.get("keys") else {
        return Ok(Kind::String);
    };
    name.as_str()
        .and_then(plain_kind)
        .filter(Kind::is_map_key)
        .ok_or_else(|| place.fault("\"keys\" must be one of string, bool, int, long"))
}

fn plain_kind(name: &str) -> Option<Kind> {
    Some(match name {
        "bool" => Kind::Bool,
        "int" => Kind::Int,
        "long" => Kind::Long,
        "float" => Kind::Float,
        "double" => Kind::Double,
        "string" => Kind::String,
        "binary" => Kind::Binary,
        "date" => Kind::Date,
        "time" => Kind::Time,
        "timestamp(ms)" => Kind::Timestamp(TimeUnit::Millisecond),
        "timestamp(us)" => Kind::Timestamp(TimeUnit::Microsecond),
        "local_timestamp(ms)" => Kind::LocalTimestamp(TimeUnit::Millisecond),
        "local_timestamp(us)" => Kind::LocalTimestamp(TimeUnit::Microsecond),
        _ => {
            let digits = name.strip_prefix("decimal(")?.strip_suffix(')')?;
            let (precision, scale) = digits.split_once(',')?;
            let (precision, scale) = (small(precision)?, small(scale.trim_start())?);
            let fits = (1..=DIGITS_MAX).contains(&precision) && scale <= precision;
            return fits.then_some(Kind::Decimal { precision, scale });
        }
    })
}

/// A number of one or two digits and nothing else (`parse` alone takes a sign).
fn small(text: &str) -> Option<u8> {
    let digits = text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

fn unknown(name: &str, place: &Place<'_>) -> SchemaError {
    place.fault(format!(
        "no type {name:?}; there are bool, int, long, float, double, decimal(P,S) with \
         1 <= P <= {DIGITS_MAX} and S <= P, string, binary, date, time, timestamp(ms), timestamp(us), \
         local_timestamp(ms), local_timestamp(us), {{\"list\"}}, {{\"map\"}}, {{\"struct\"}}"
    ))
}

fn read_id(
    object: &Map<String, Value>,
    name: &'static str,
    place: &Place<'_>,
) -> Result<i32, SchemaError> {
    let Some(value) = object.get(name) else {
        return Ok(UNGIVEN);
    };
    value
        .as_i64()
        .and_then(|id| i32::try_from(id).ok())
        .filter(|id| *id > 0)
        .ok_or_else(|| place.fault(format!("{name:?} must be a positive 32-bit integer")))
}

fn member<'v>(
    object: &'v Map<String, Value>,
    name: &str,
    place: &Place<'_>,
) -> Result<&'v Value, SchemaError> {
    object
        .get(name)
        .ok_or_else(|| place.fault(format!("{name:?} is missing")))
}

/// `value` as an object without other members than these.
fn object<'v>(
    value: &'v Value,
    place: &Place<'_>,
    known: &[&str],
) -> Result<&'v Map<String, Value>, SchemaError> {
    let object = value
        .as_object()
        .ok_or_else(|| place.fault("must be an object"))?;
    match object.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(place.fault(format!("unknown member {name:?}"))),
        None => Ok(object),
    }
}

/// Where in the text we are, told only when something is wrong there.
enum Place<'a> {
    Root,
    Of(&'a Place<'a>, &'static str),
    /// With the field's name, as far as it has one.
    Item(&'a Place<'a>, usize, Option<&'a str>),
}

impl Place<'_> {
    fn fault(&self, what: impl Into<String>) -> SchemaError {
        SchemaError::Invalid {
            at: self.to_string(),
            what: what.into(),
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("schema"),
            Self::Of(Self::Root, name) => f.write_str(name),
            Self::Of(place, name) => write!(f, "{place}.{name}"),
            Self::Item(place, index, None) => write!(f, "{place}[{index}]"),
            Self::Item(place, index, Some(name)) => write!(f, "{place}[{index}] {name:?}"),
        }
    }
}
