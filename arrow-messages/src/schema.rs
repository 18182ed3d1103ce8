//! An encapsulated Arrow schema message as a schema.
//!
//! Only types that rows may be made of are known; everything else is an error and not a guess.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_ipc as ipc;
use arrow_schema::{DataType, Field, Fields, Schema, TimeUnit};

use crate::{Fault, malformed, unframe, verified};

/// The schema in the message that `bytes` begin with.
///
/// # Errors
/// [`Fault::Malformed`], [`Fault::Type`].
pub fn read_schema(bytes: &[u8]) -> Result<Schema, Fault> {
    let (metadata, _) = unframe(bytes).ok_or_else(|| malformed("the schema is cut short"))?;
    let message = verified(metadata)?;
    let schema = message
        .header_as_schema()
        .ok_or_else(|| malformed("no schema"))?;
    if schema.endianness() != ipc::Endianness::Little {
        return Err(malformed("the schema is big-endian"));
    }
    Ok(Schema::new(fields(schema.fields())?))
}

type FieldVector<'a> = flatbuffers::Vector<'a, flatbuffers::ForwardsUOffset<ipc::Field<'a>>>;

fn fields(of: Option<FieldVector<'_>>) -> Result<Fields, Fault> {
    of.into_iter().flatten().map(field).collect()
}

fn field(of: ipc::Field<'_>) -> Result<Field, Fault> {
    let name = of.name().unwrap_or_default();
    let data_type = data_type(&of).ok_or_else(|| Fault::Type {
        column: name.to_owned(),
        what: unknown(&of),
    })??;
    let entries = of.custom_metadata().into_iter().flatten();
    let metadata: HashMap<_, _> = entries
        .filter_map(|entry| Some((entry.key()?.to_owned(), entry.value()?.to_owned())))
        .collect();
    Ok(Field::new(name, data_type, of.nullable()).with_metadata(metadata))
}

fn unknown(of: &ipc::Field<'_>) -> String {
    match of.dictionary() {
        Some(_) => "dictionary-encoded: plain values are wanted".to_owned(),
        None => format!("of a type not known here ({:?})", of.type_type()),
    }
}

/// `None` for a type that is not known.
fn data_type(of: &ipc::Field<'_>) -> Option<Result<DataType, Fault>> {
    if of.dictionary().is_some() {
        return None;
    }
    Some(Ok(match of.type_type() {
        ipc::Type::Bool => DataType::Boolean,
        ipc::Type::Int => integer(of.type_as_int()?)?,
        ipc::Type::FloatingPoint => match of.type_as_floating_point()?.precision() {
            ipc::Precision::HALF => DataType::Float16,
            ipc::Precision::SINGLE => DataType::Float32,
            ipc::Precision::DOUBLE => DataType::Float64,
            _ => return None,
        },
        ipc::Type::Decimal => decimal(of.type_as_decimal()?)?,
        ipc::Type::Utf8 => DataType::Utf8,
        ipc::Type::LargeUtf8 => DataType::LargeUtf8,
        ipc::Type::Binary => DataType::Binary,
        ipc::Type::LargeBinary => DataType::LargeBinary,
        ipc::Type::FixedSizeBinary => {
            let width = of.type_as_fixed_size_binary()?.byteWidth();
            DataType::FixedSizeBinary(Some(width).filter(|width| *width > 0)?)
        }
        ipc::Type::Date => match of.type_as_date()?.unit() {
            ipc::DateUnit::DAY => DataType::Date32,
            ipc::DateUnit::MILLISECOND => DataType::Date64,
            _ => return None,
        },
        ipc::Type::Time => {
            let time = of.type_as_time()?;
            match (time.bitWidth(), unit(time.unit())?) {
                (32, unit @ (TimeUnit::Second | TimeUnit::Millisecond)) => DataType::Time32(unit),
                (64, unit @ (TimeUnit::Microsecond | TimeUnit::Nanosecond)) => {
                    DataType::Time64(unit)
                }
                _ => return None,
            }
        }
        ipc::Type::Timestamp => {
            let timestamp = of.type_as_timestamp()?;
            DataType::Timestamp(unit(timestamp.unit())?, timestamp.timezone().map(Arc::from))
        }
        ipc::Type::List => match only_child(of)? {
            Ok(element) => DataType::List(element),
            Err(reason) => return Some(Err(reason)),
        },
        ipc::Type::LargeList => match only_child(of)? {
            Ok(element) => DataType::LargeList(element),
            Err(reason) => return Some(Err(reason)),
        },
        ipc::Type::Map => match only_child(of)? {
            Ok(entries) if is_pair(&entries) => {
                DataType::Map(entries, of.type_as_map()?.keysSorted())
            }
            Ok(_) => return None,
            Err(reason) => return Some(Err(reason)),
        },
        ipc::Type::Struct_ => match fields(of.children()) {
            Ok(children) => DataType::Struct(children),
            Err(reason) => return Some(Err(reason)),
        },
        _ => return None,
    }))
}

fn integer(of: ipc::Int<'_>) -> Option<DataType> {
    Some(match (of.bitWidth(), of.is_signed()) {
        (8, true) => DataType::Int8,
        (16, true) => DataType::Int16,
        (32, true) => DataType::Int32,
        (64, true) => DataType::Int64,
        (8, false) => DataType::UInt8,
        (16, false) => DataType::UInt16,
        (32, false) => DataType::UInt32,
        (64, false) => DataType::UInt64,
        _ => return None,
    })
}

fn decimal(of: ipc::Decimal<'_>) -> Option<DataType> {
    let precision = u8::try_from(of.precision()).ok()?;
    let scale = i8::try_from(of.scale()).ok()?;
    let is_valid = of.bitWidth() == 128 && (1..=38).contains(&precision);
    (is_valid && i32::from(scale) <= i32::from(precision))
        .then_some(DataType::Decimal128(precision, scale))
}

fn unit(of: ipc::TimeUnit) -> Option<TimeUnit> {
    Some(match of {
        ipc::TimeUnit::SECOND => TimeUnit::Second,
        ipc::TimeUnit::MILLISECOND => TimeUnit::Millisecond,
        ipc::TimeUnit::MICROSECOND => TimeUnit::Microsecond,
        ipc::TimeUnit::NANOSECOND => TimeUnit::Nanosecond,
        _ => return None,
    })
}

fn only_child(of: &ipc::Field<'_>) -> Option<Result<Arc<Field>, Fault>> {
    let children = of.children()?;
    (children.len() == 1).then(|| field(children.get(0)).map(Arc::new))
}

fn is_pair(entries: &Field) -> bool {
    matches!(entries.data_type(), DataType::Struct(pair) if pair.len() == 2)
}
