//! The lake layout: which columns an append table has, and how it grows.
//!
//! Top level: `_kafka_partition` int, `_offset` long, `_timestamp` timestamptz, `_kafka` struct
//! {key, headers, timestamp_type}, then the value columns of a typed topic, or one `value` binary; in a
//! dead-letter table behind it `error` string and `schema_id` int.
//! The partition column is not called `_partition`: Iceberg reserves that name, and Spark refuses
//! to read a table column that bears it.
//!
//! Field ids are ours, never the catalog's: system fields have fixed ids below
//! [`VALUE_ID_BASE`], and the value field with id *n* in the topic's schema log is lake field
//! `VALUE_ID_BASE + n`. So a column is found by id alone, through renames, in every reader, and no
//! second table of ids can disagree. (A table is created by a commit that asserts absence;
//! that path keeps the ids it is given, plain creation renumbers.)
//!
//! Growth: new columns are appended and optional, numbers widen, everything else is refused with
//! the column named. A column the topic dropped stays and reads null. Names are the topic's: they
//! are followed when the schema grows, over a foreign rename too.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, SchemaRef as ArrowSchemaRef, TimeUnit};
use iceberg::spec::{
    ListType, MapType, NestedField, NestedFieldRef, NullOrder, PrimitiveType, Schema,
    SortDirection, SortField, SortOrder, StructType, Transform, Type,
};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use thiserror::Error;

/// Lake ids of the system fields. Frozen with the format.
pub mod id {
    pub const PARTITION: i32 = 1;
    pub const OFFSET: i32 = 2;
    pub const TIMESTAMP: i32 = 3;
    pub const KAFKA: i32 = 4;
    pub const KEY: i32 = 5;
    pub const HEADERS: i32 = 6;
    pub const HEADER: i32 = 7;
    pub const HEADER_KEY: i32 = 8;
    pub const HEADER_VALUE: i32 = 9;
    pub const TIMESTAMP_TYPE: i32 = 10;
    pub const VALUE: i32 = 11;
    // 12 and 13 are reserved for `_change` and `_prev_offset` of changelogs.
    pub const ERROR: i32 = 14;
    pub const SCHEMA_ID: i32 = 15;
}

/// Lake names of the top-level system columns.
pub mod name {
    pub const PARTITION: &str = "_kafka_partition";
    pub const OFFSET: &str = "_offset";
    pub const TIMESTAMP: &str = "_timestamp";
    pub const KAFKA: &str = "_kafka";
    pub const VALUE: &str = "value";
    pub const ERROR: &str = "error";
    pub const SCHEMA_ID: &str = "schema_id";
}

/// Value field *n* of the topic is lake field `VALUE_ID_BASE + n`; ids between are kept free.
pub const VALUE_ID_BASE: i32 = 100;

/// Ids above this are Iceberg's own metadata columns (spec, reserved field ids).
const LAKE_ID_MAX: i32 = 2_147_483_447;

/// Column names no value column may have: ours, and those Iceberg gives its metadata columns.
const TAKEN_NAMES: [&str; 14] = [
    name::PARTITION,
    name::OFFSET,
    name::TIMESTAMP,
    name::KAFKA,
    "_file",
    "_pos",
    "_deleted",
    "_spec_id",
    "_partition",
    "_row_id",
    "_last_updated_sequence_number",
    "_change_type",
    "_change_ordinal",
    "_commit_snapshot_id",
];

/// What a topic's values look like in the lake.
#[derive(Debug, Clone)]
pub enum ValueLayout {
    /// One binary column `value`.
    KeyValue,
    /// One column per field; every field, nested ones too, has its id in `PARQUET:field_id`.
    Typed(ArrowSchemaRef),
    /// Records that are no rows: `value` as for `KeyValue`, `error`, and `schema_id`.
    DeadLetters,
}

/// Why a topic's schema has no lake form, or no way from the one the table has.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum SchemaError {
    #[error("column {column} has no usable PARQUET:field_id")]
    FieldId { column: String },
    #[error("column {column}: the lake has no type for {arrow}")]
    Type { column: String, arrow: String },
    #[error("column {column} cannot turn from {from} into {into}")]
    Change {
        column: String,
        from: String,
        into: String,
    },
    #[error("column {column} has lake id {id}, which a column added by someone else uses")]
    IdTaken { column: String, id: i32 },
    #[error("not a valid Iceberg schema: {0}")]
    Invalid(String),
}

/// The Iceberg schema (id 0) of a topic with this layout.
pub fn lake_schema(layout: &ValueLayout) -> Result<Schema, SchemaError> {
    let mut fields = system_fields();
    let value = optional(id::VALUE, name::VALUE, PrimitiveType::Binary);
    match layout {
        ValueLayout::KeyValue => fields.push(value),
        ValueLayout::DeadLetters => fields.extend([
            value,
            required(id::ERROR, name::ERROR, PrimitiveType::String),
            optional(id::SCHEMA_ID, name::SCHEMA_ID, PrimitiveType::Int),
        ]),
        ValueLayout::Typed(schema) => {
            fields.extend(struct_fields(schema.fields(), &TAKEN_NAMES, "")?);
        }
    }
    build(fields, 0)
}

/// The order rows have within a file: by partition, then offset.
pub fn lake_sort_order(schema: &Schema) -> Result<SortOrder, SchemaError> {
    let ascending = |source_id| {
        SortField::builder()
            .source_id(source_id)
            .transform(Transform::Identity)
            .direction(SortDirection::Ascending)
            .null_order(NullOrder::First)
            .build()
    };
    SortOrder::builder()
        .with_order_id(1)
        .with_sort_field(ascending(id::PARTITION))
        .with_sort_field(ascending(id::OFFSET))
        .build(schema)
        .map_err(|error| SchemaError::Invalid(error.to_string()))
}

/// The schema `current` must become to hold `wanted`, or `None` when it holds it already.
///
/// `last_column_id` is the table's highest id ever used, `ours_to` the highest this topic had put
/// there: an id between the two belongs to a column that somebody else added.
pub fn evolve(
    current: &Schema,
    last_column_id: i32,
    ours_to: i32,
    wanted: &Schema,
) -> Result<Option<Schema>, SchemaError> {
    let taken_ids = ours_to + 1..=last_column_id;
    for (id, field) in wanted.field_id_to_fields() {
        if taken_ids.contains(id) {
            return Err(SchemaError::IdTaken {
                column: field.name.clone(),
                id: *id,
            });
        }
    }
    let merged = merge_struct(current.as_struct(), wanted.as_struct(), "")?;
    if &merged == current.as_struct() {
        return Ok(None);
    }
    build(merged.fields().to_vec(), current.schema_id() + 1).map(Some)
}

/// The id in a field's `PARQUET:field_id` metadata.
pub fn field_id(field: &Field) -> Option<i32> {
    field
        .metadata()
        .get(PARQUET_FIELD_ID_META_KEY)?
        .parse()
        .ok()
}

fn build(fields: Vec<NestedFieldRef>, schema_id: i32) -> Result<Schema, SchemaError> {
    Schema::builder()
        .with_fields(fields)
        .with_schema_id(schema_id)
        .build()
        .map_err(|error| SchemaError::Invalid(error.to_string()))
}

fn system_fields() -> Vec<NestedFieldRef> {
    let header = StructType::new(vec![
        required(id::HEADER_KEY, "key", PrimitiveType::String),
        optional(id::HEADER_VALUE, "value", PrimitiveType::Binary),
    ]);
    let headers = Type::List(ListType::new(Arc::new(NestedField::list_element(
        id::HEADER,
        Type::Struct(header),
        true,
    ))));
    let kafka = Type::Struct(StructType::new(vec![
        optional(id::KEY, "key", PrimitiveType::Binary),
        Arc::new(NestedField::optional(id::HEADERS, "headers", headers)),
        optional(id::TIMESTAMP_TYPE, "timestamp_type", PrimitiveType::Int),
    ]));
    vec![
        required(id::PARTITION, name::PARTITION, PrimitiveType::Int),
        required(id::OFFSET, name::OFFSET, PrimitiveType::Long),
        optional(id::TIMESTAMP, name::TIMESTAMP, PrimitiveType::Timestamptz),
        Arc::new(NestedField::required(id::KAFKA, name::KAFKA, kafka)),
    ]
}

fn required(id: i32, name: &str, kind: PrimitiveType) -> NestedFieldRef {
    Arc::new(NestedField::required(id, name, Type::Primitive(kind)))
}

fn optional(id: i32, name: &str, kind: PrimitiveType) -> NestedFieldRef {
    Arc::new(NestedField::optional(id, name, Type::Primitive(kind)))
}

/// Fields of one struct, names made unique without regard to case (most engines fold it): a name
/// already taken gets the field's id appended, which does not depend on the order of columns.
fn struct_fields(
    fields: &Fields,
    taken_names: &[&str],
    path: &str,
) -> Result<Vec<NestedFieldRef>, SchemaError> {
    let mut names: HashSet<String> = taken_names.iter().map(|&name| name.to_owned()).collect();
    fields
        .iter()
        .map(|field| {
            let column = join(path, field.name());
            let id = lake_id(field, &column)?;
            let mut name = field.name().clone();
            if name.is_empty() || !names.insert(name.to_lowercase()) {
                name = format!("{name}__{}", id - VALUE_ID_BASE);
                names.insert(name.to_lowercase());
            }
            let kind = lake_type(field.data_type(), &column)?;
            Ok(Arc::new(NestedField::optional(id, name, kind)))
        })
        .collect()
}

fn lake_id(field: &Field, column: &str) -> Result<i32, SchemaError> {
    field_id(field)
        .filter(|id| (1..=LAKE_ID_MAX - VALUE_ID_BASE).contains(id))
        .map(|id| VALUE_ID_BASE + id)
        .ok_or_else(|| SchemaError::FieldId {
            column: column.to_owned(),
        })
}

/// The lake type a column of this Arrow type is stored as. Unsigned 64-bit becomes decimal(20,0),
/// nanoseconds become microseconds (format version 2 has nothing finer).
fn lake_type(arrow: &DataType, column: &str) -> Result<Type, SchemaError> {
    let unsupported = || SchemaError::Type {
        column: column.to_owned(),
        arrow: arrow.to_string(),
    };
    let primitive = match arrow {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            let path = join(column, "element");
            let element = lake_type(item.data_type(), &path)?;
            let element = NestedField::list_element(lake_id(item, &path)?, element, false);
            return Ok(Type::List(ListType::new(Arc::new(element))));
        }
        DataType::Struct(fields) => {
            return Ok(Type::Struct(StructType::new(struct_fields(
                fields,
                &[],
                column,
            )?)));
        }
        DataType::Map(entries, _) => return lake_map(entries, column).ok_or_else(unsupported)?,
        DataType::Dictionary(_, values) => return lake_type(values, column),
        DataType::Boolean => PrimitiveType::Boolean,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => {
            PrimitiveType::Int
        }
        DataType::UInt32 | DataType::Int64 => PrimitiveType::Long,
        DataType::UInt64 => PrimitiveType::Decimal {
            precision: 20,
            scale: 0,
        },
        DataType::Float16 | DataType::Float32 => PrimitiveType::Float,
        DataType::Float64 => PrimitiveType::Double,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => PrimitiveType::String,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => PrimitiveType::Binary,
        DataType::FixedSizeBinary(width) => {
            PrimitiveType::Fixed(u64::try_from(*width).map_err(|_| unsupported())?)
        }
        DataType::Date32 => PrimitiveType::Date,
        DataType::Date64 | DataType::Timestamp(_, None) => PrimitiveType::Timestamp,
        DataType::Timestamp(_, Some(_)) => PrimitiveType::Timestamptz,
        DataType::Time32(_) | DataType::Time64(TimeUnit::Microsecond | TimeUnit::Nanosecond) => {
            PrimitiveType::Time
        }
        DataType::Decimal128(precision, scale) if *scale >= 0 => PrimitiveType::Decimal {
            precision: u32::from(*precision),
            scale: u32::try_from(*scale).map_err(|_| unsupported())?,
        },
        _ => return Err(unsupported()),
    };
    Ok(Type::Primitive(primitive))
}

/// `None` when the entries are not a struct of two.
fn lake_map(entries: &Field, column: &str) -> Option<Result<Type, SchemaError>> {
    let DataType::Struct(pair) = entries.data_type() else {
        return None;
    };
    let [key, value] = pair.iter().as_slice() else {
        return None;
    };
    let side = |field: &Field, name| {
        let path = join(column, name);
        Ok((lake_id(field, &path)?, lake_type(field.data_type(), &path)?))
    };
    Some(side(key, "key").and_then(|(key_id, key_type)| {
        let (value_id, value_type) = side(value, "value")?;
        Ok(Type::Map(MapType::optional(
            key_id, key_type, value_id, value_type,
        )))
    }))
}

fn merge_struct(
    current: &StructType,
    wanted: &StructType,
    path: &str,
) -> Result<StructType, SchemaError> {
    let mut fields = Vec::with_capacity(wanted.fields().len());
    for field in current.fields() {
        fields.push(match wanted.field_by_id(field.id) {
            Some(wanted) => merge_field(field, wanted, &join(path, &field.name))?,
            // Rows have it no more; those that did keep it.
            None => Arc::new(NestedField {
                required: false,
                ..NestedField::clone(field)
            }),
        });
    }
    let is_new = |field: &&NestedFieldRef| current.field_by_id(field.id).is_none();
    fields.extend(wanted.fields().iter().filter(is_new).cloned());
    Ok(StructType::new(fields))
}

fn merge_field(
    current: &NestedFieldRef,
    wanted: &NestedField,
    path: &str,
) -> Result<NestedFieldRef, SchemaError> {
    let merged = merge_type(&current.field_type, &wanted.field_type, path)?;
    Ok(Arc::new(NestedField {
        name: wanted.name.clone(),
        required: current.required && wanted.required,
        field_type: Box::new(merged),
        ..NestedField::clone(current)
    }))
}

fn merge_type(current: &Type, wanted: &Type, path: &str) -> Result<Type, SchemaError> {
    use PrimitiveType::{Decimal, Double, Float, Int, Long};
    let refused = || SchemaError::Change {
        column: path.to_owned(),
        from: current.to_string(),
        into: wanted.to_string(),
    };
    Ok(match (current, wanted) {
        (Type::Struct(current), Type::Struct(wanted)) => {
            Type::Struct(merge_struct(current, wanted, path)?)
        }
        (Type::List(current), Type::List(wanted)) => Type::List(ListType::new(merge_same_id(
            &current.element_field,
            &wanted.element_field,
            path,
        )?)),
        (Type::Map(current), Type::Map(wanted)) => Type::Map(MapType::new(
            merge_same_id(&current.key_field, &wanted.key_field, path)?,
            merge_same_id(&current.value_field, &wanted.value_field, path)?,
        )),
        (Type::Primitive(from), Type::Primitive(into)) => Type::Primitive(match (from, into) {
            (from, into) if from == into => from.clone(),
            // The narrower of two is what an older schema version still writes; it is cast.
            (Int, Long) | (Long, Int) => Long,
            (Float, Double) | (Double, Float) => Double,
            (
                Decimal {
                    precision: a,
                    scale,
                },
                Decimal {
                    precision: b,
                    scale: other_scale,
                },
            ) if scale == other_scale => Decimal {
                precision: *a.max(b),
                scale: *scale,
            },
            _ => return Err(refused()),
        }),
        _ => return Err(refused()),
    })
}

/// Elements of lists and maps have no siblings: another id there is another column.
fn merge_same_id(
    current: &NestedFieldRef,
    wanted: &NestedFieldRef,
    path: &str,
) -> Result<NestedFieldRef, SchemaError> {
    let path = join(path, &current.name);
    if current.id != wanted.id {
        return Err(SchemaError::Change {
            column: path,
            from: format!("field {}", current.id),
            into: format!("field {}", wanted.id),
        });
    }
    merge_field(current, wanted, &path)
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

#[cfg(test)]
mod tests;
