//! Fields as Arrow fields, each with its id in `PARQUET:field_id`.

use std::sync::Arc;

use arrow_schema::{DataType, Field as ArrowField, Fields, TimeUnit as ArrowUnit};

use crate::schema::{Field, Kind, TimeUnit};

/// Where Arrow and Parquet readers look for a field's id.
const FIELD_ID: &str = "PARQUET:field_id";

pub(crate) fn fields(of: &[Field]) -> Fields {
    of.iter().map(field).collect()
}

pub(crate) fn field(of: &Field) -> ArrowField {
    let id = (FIELD_ID.to_owned(), of.id.to_string());
    ArrowField::new(&of.name, data_type(&of.kind), of.nullable).with_metadata([id].into())
}

/// The id of a column, as far as it has one.
pub(crate) fn field_id(of: &ArrowField) -> Option<i32> {
    of.metadata().get(FIELD_ID)?.parse().ok()
}

pub(crate) fn data_type(kind: &Kind) -> DataType {
    match kind {
        Kind::Bool => DataType::Boolean,
        Kind::Int => DataType::Int32,
        Kind::Long => DataType::Int64,
        Kind::Float => DataType::Float32,
        Kind::Double => DataType::Float64,
        // The grammar keeps scale within precision, and precision within 38.
        Kind::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale as i8),
        Kind::String => DataType::Utf8,
        Kind::Binary => DataType::Binary,
        Kind::Date => DataType::Date32,
        Kind::Time => DataType::Time64(ArrowUnit::Microsecond),
        Kind::LocalTimestamp(unit) => DataType::Timestamp(time_unit(*unit), None),
        Kind::Timestamp(unit) => DataType::Timestamp(time_unit(*unit), Some("UTC".into())),
        Kind::List(element) => DataType::List(Arc::new(field(element))),
        Kind::Map { key, value } => {
            let entries = DataType::Struct(Fields::from(vec![field(key), field(value)]));
            DataType::Map(Arc::new(ArrowField::new("entries", entries, false)), false)
        }
        Kind::Struct(children) => DataType::Struct(fields(children)),
    }
}

fn time_unit(unit: TimeUnit) -> ArrowUnit {
    match unit {
        TimeUnit::Millisecond => ArrowUnit::Millisecond,
        TimeUnit::Microsecond => ArrowUnit::Microsecond,
    }
}
