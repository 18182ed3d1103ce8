//! The resolution of a writer's message type to a table's columns, by name.

use prost_reflect::{
    Cardinality, FieldDescriptor, Kind as ProtoKind, MessageDescriptor, OneofDescriptor, Value,
};

use super::leaf::{Leaf, VALUE_BYTES};
use super::mapping::{Meaning, declared, entry_kinds};
use super::plan::{Composite, Element, Fill, Message, Shape, Slot};
use super::wire::Scalar;
use crate::schema::{Field, Kind, TimeUnit};

/// The plan for a message type in a group of columns. On an error `path` is where.
pub(super) fn message(
    of: &MessageDescriptor,
    columns: &[Field],
    path: &mut Vec<String>,
) -> Result<Message, String> {
    let (mut slots, mut fills) = (Vec::new(), Vec::new());
    let mut messages = 0;
    let mut oneofs: Vec<OneofDescriptor> = Vec::new();
    let mut bytes = columns.iter().map(row_bytes).sum();
    for (column, field) in columns.iter().enumerate() {
        path.push(field.name.clone());
        let Some(source) = of.get_field_by_name(&field.name) else {
            if !field.nullable {
                return Err("allows no null, and the writer has no such field".to_owned());
            }
            fills.push(Fill::Null);
            path.pop();
            continue;
        };
        let shape = shape(&source, field, &mut messages, path)?;
        let fill = fill(&source, &shape);
        if let Fill::Default {
            leaf, bytes: text, ..
        } = &fill
        {
            bytes += leaf.bytes + text.len();
        }
        fills.push(fill);
        slots.push(Slot::new(&source, Some(column), shape, &mut oneofs));
        path.pop();
    }
    // Members without a column still take back the others of their oneof.
    for source in declared(of) {
        let of_interest = choice(&source).is_some_and(|oneof| oneofs.contains(&oneof));
        if of_interest && !columns.iter().any(|column| column.name == source.name()) {
            let slot = Slot::new(&source, None, Shape::Passed, &mut oneofs);
            slots.push(slot);
        }
    }
    Ok(Message::new(slots, fills, messages, oneofs.len(), bytes))
}

impl Slot {
    fn new(
        source: &FieldDescriptor,
        column: Option<usize>,
        shape: Shape,
        oneofs: &mut Vec<OneofDescriptor>,
    ) -> Self {
        let oneof = choice(source).map(|oneof| {
            let known = oneofs.iter().position(|known| *known == oneof);
            known.unwrap_or_else(|| {
                oneofs.push(oneof);
                oneofs.len() - 1
            })
        });
        Self {
            number: source.number(),
            name: source.name().to_owned(),
            column,
            oneof,
            shape,
        }
    }
}

/// The oneof a field is a member of, if it has others.
fn choice(source: &FieldDescriptor) -> Option<OneofDescriptor> {
    source
        .containing_oneof()
        .filter(|oneof| oneof.fields().len() > 1)
}

fn shape(
    source: &FieldDescriptor,
    column: &Field,
    messages: &mut usize,
    path: &mut Vec<String>,
) -> Result<Shape, String> {
    match (source.kind(), &column.kind) {
        (ProtoKind::Message(entry), Kind::Map { key, value }) if source.is_map() => {
            let kinds = entry_kinds(&entry).ok_or("not the entries of a map")?;
            let (written, written_value) = kinds;
            let scalar = Scalar::of(&written).ok_or_else(|| unfit(&written, &key.kind))?;
            let widened = leaf(scalar.clone(), &key.kind);
            let key = match widened {
                Some(key) => key,
                None if scalar.key_column() == key.kind => Leaf::new(scalar, 1),
                None => return Err(unfit(&written, &key.kind)),
            };
            path.push("{}".to_owned());
            let value = element(&written_value, &value.kind, path)?;
            path.pop();
            Ok(Shape::Map { key, value })
        }
        (kind, Kind::List(items)) if source.is_list() => {
            path.push("[]".to_owned());
            let element = element(&kind, &items.kind, path)?;
            path.pop();
            Ok(Shape::List(element))
        }
        (kind, column) if !source.is_list() && !source.is_map() => {
            Ok(match element(&kind, column, path)? {
                Element::One(leaf) => Shape::One(leaf),
                Element::Message(composite) => {
                    *messages += 1;
                    Shape::Message(*messages - 1, composite)
                }
            })
        }
        (_, column) => Err(format!(
            "a {}, and the column is {}",
            if source.is_map() {
                "map"
            } else {
                "repeated field"
            },
            column.name()
        )),
    }
}

fn element(kind: &ProtoKind, column: &Kind, path: &mut Vec<String>) -> Result<Element, String> {
    let unfit = || unfit(kind, column);
    let of = match kind {
        ProtoKind::Message(of) => of,
        scalar => {
            let scalar = Scalar::of(scalar).ok_or_else(unfit)?;
            return leaf(scalar, column).map(Element::One).ok_or_else(unfit);
        }
    };
    let composite = match (Meaning::of(of), column) {
        (Meaning::Timestamp, Kind::Timestamp(TimeUnit::Microsecond)) => Composite::Timestamp,
        (Meaning::Wrapper(scalar), column) => {
            Composite::Wrapper(leaf(scalar, column).ok_or_else(unfit)?)
        }
        (Meaning::Json(root), Kind::String) => Composite::Json(root),
        (Meaning::Mark, Kind::Bool) => Composite::Mark,
        (Meaning::Struct, Kind::Struct(columns)) => Composite::Struct(message(of, columns, path)?),
        _ => return Err(unfit()),
    };
    Ok(Element::Message(composite))
}

/// A scalar in a column of its own type, or of one that has all its values exactly.
fn leaf(scalar: Scalar, column: &Kind) -> Option<Leaf> {
    let digits = |precision: &u8, scale: &u8| precision - scale;
    let factor = |scale: &u8| 10_i128.checked_pow(u32::from(*scale)).unwrap_or(1);
    let factor = match (scalar.column(), column) {
        (Kind::Int, Kind::Long | Kind::Double) | (Kind::Float, Kind::Double) => 1,
        (Kind::Int, Kind::Decimal { precision, scale }) if digits(precision, scale) >= 10 => {
            factor(scale)
        }
        (Kind::Long, Kind::Decimal { precision, scale }) if digits(precision, scale) >= 19 => {
            factor(scale)
        }
        (Kind::Decimal { .. }, Kind::Decimal { precision, scale })
            if digits(precision, scale) >= 20 =>
        {
            factor(scale)
        }
        (own, column) if own == *column => 1,
        _ => return None,
    };
    Some(Leaf::new(scalar, factor))
}

fn unfit(kind: &ProtoKind, column: &Kind) -> String {
    format!(
        "the writer's {kind:?} is not always a value of {}",
        column.name()
    )
}

fn fill(source: &FieldDescriptor, shape: &Shape) -> Fill {
    if source.cardinality() == Cardinality::Required {
        return Fill::Refuse;
    }
    let Shape::One(leaf) = shape else {
        return Fill::Null;
    };
    let declared = source.field_descriptor_proto().default_value.is_some();
    if source.supports_presence() && !declared {
        return Fill::Null;
    }
    let (bits, bytes) = match source.kind() {
        _ if declared => default_bits(source.default_value()),
        // The first number declared, which is 0 where the syntax is proto3.
        ProtoKind::Enum(of) => {
            let first = of.enum_descriptor_proto().value.first();
            (
                first.map_or(0, |first| i64::from(first.number())) as u64,
                Vec::new(),
            )
        }
        _ => (0, Vec::new()),
    };
    Fill::Default {
        leaf: leaf.clone(),
        bits: match leaf.scalar {
            // Zigzag.
            Scalar::Sint32 | Scalar::Sint64 => (bits << 1) ^ ((bits as i64 >> 63) as u64),
            _ => bits,
        },
        bytes,
    }
}

/// A default as it would stand on the wire.
fn default_bits(default: Value) -> (u64, Vec<u8>) {
    let bits = match default {
        Value::Bool(value) => u64::from(value),
        Value::I32(value) | Value::EnumNumber(value) => i64::from(value) as u64,
        Value::I64(value) => value as u64,
        Value::U32(value) => u64::from(value),
        Value::U64(value) => value,
        Value::F32(value) => u64::from(value.to_bits()),
        Value::F64(value) => value.to_bits(),
        Value::String(text) => return (0, text.into_bytes()),
        Value::Bytes(bytes) => return (0, bytes.to_vec()),
        // No message, list or map has a default.
        Value::Message(_) | Value::List(_) | Value::Map(_) => 0,
    };
    (bits, Vec::new())
}

/// What one value of a column takes, nearly, with all that is null inside.
fn row_bytes(column: &Field) -> usize {
    match &column.kind {
        Kind::Struct(children) => VALUE_BYTES + children.iter().map(row_bytes).sum::<usize>(),
        _ => VALUE_BYTES,
    }
}
