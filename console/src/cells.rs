//! Values of rows, as JSON and as text in a table.

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
    TimestampMillisecondType,
};
use arrow_array::{Array, RecordBatch, StructArray};
use arrow_cast::display::array_value_to_string;
use arrow_schema::{ArrowError, DataType, TimeUnit};
use serde_json::{Map, Value};

use crate::format::bytes;

/// The zone of every moment of a table.
const UTC: &str = "+00:00";

/// A row as an object.
///
/// Bytes are text where they are UTF-8, else `{"base64": …}`; decimals, dates and times are text; maps
/// are arrays of pairs unless their keys are text; numbers that JSON does not have are null.
///
/// # Errors
/// A value that cannot be expressed.
pub fn row(rows: &RecordBatch, at: usize) -> Result<Value, ArrowError> {
    let mut object = Map::new();
    for (field, column) in rows.schema_ref().fields().iter().zip(rows.columns()) {
        object.insert(field.name().clone(), value(column, at)?);
    }
    Ok(Value::Object(object))
}

/// One value of a column.
///
/// # Errors
/// As [`row`].
pub fn value(column: &dyn Array, at: usize) -> Result<Value, ArrowError> {
    if column.is_null(at) {
        return Ok(Value::Null);
    }
    Ok(match column.data_type() {
        DataType::Boolean => column.as_boolean().value(at).into(),
        DataType::Int8 => column.as_primitive::<Int8Type>().value(at).into(),
        DataType::Int16 => column.as_primitive::<Int16Type>().value(at).into(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(at).into(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(at).into(),
        DataType::Float32 => column.as_primitive::<Float32Type>().value(at).into(),
        DataType::Float64 => column.as_primitive::<Float64Type>().value(at).into(),
        DataType::Utf8 => column.as_string::<i32>().value(at).into(),
        DataType::Binary => bytes(Some(column.as_binary::<i32>().value(at))),
        DataType::List(_) => values(&column.as_list::<i32>().value(at))?,
        DataType::Map(_, _) => entries(&column.as_map().value(at))?,
        DataType::Struct(_) => members(column.as_struct(), at)?,
        // Arrow knows no zone by its name.
        DataType::Timestamp(TimeUnit::Millisecond, Some(_)) => {
            let column = column.as_primitive::<TimestampMillisecondType>();
            array_value_to_string(&column.clone().with_timezone(UTC), at)?.into()
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            let column = column.as_primitive::<TimestampMicrosecondType>();
            array_value_to_string(&column.clone().with_timezone(UTC), at)?.into()
        }
        _ => array_value_to_string(column, at)?.into(),
    })
}

fn values(of: &dyn Array) -> Result<Value, ArrowError> {
    let all = (0..of.len()).map(|at| value(of, at));
    all.collect::<Result<_, _>>().map(Value::Array)
}

fn members(of: &StructArray, at: usize) -> Result<Value, ArrowError> {
    let mut object = Map::new();
    for (name, column) in of.column_names().into_iter().zip(of.columns()) {
        object.insert(name.to_owned(), value(column, at)?);
    }
    Ok(Value::Object(object))
}

fn entries(of: &StructArray) -> Result<Value, ArrowError> {
    let pair = |at| Ok((value(of.column(0), at)?, value(of.column(1), at)?));
    let pairs: Vec<(Value, Value)> = (0..of.len()).map(pair).collect::<Result<_, ArrowError>>()?;
    let is_text = matches!(of.column(0).data_type(), DataType::Utf8);
    Ok(match is_text {
        true => {
            let named = pairs
                .into_iter()
                .filter_map(|(key, value)| Some((key.as_str()?.to_owned(), value)));
            Value::Object(named.collect())
        }
        false => Value::Array(
            pairs
                .into_iter()
                .map(|(key, value)| Value::Array(vec![key, value]))
                .collect(),
        ),
    })
}

/// A value as a cell: text bare, null empty, the rest as JSON.
///
/// # Errors
/// As [`row`].
pub fn cell(column: &dyn Array, at: usize) -> Result<String, ArrowError> {
    Ok(match value(column, at)? {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tidelog_records::BatchBuilder;
    use tidelog_typed::{DecodeLimits, OffsetRange, RowSchema, TableSchema, decode_batches};

    #[test]
    fn every_type_has_a_form() {
        let columns = "a bool, b int, c double, d decimal(5,2), e binary, f date, g timestamp(ms), \
                       h list<int>, i map<long>, j map<int, string>, k struct<x string>, l string";
        let schema = crate::columns::schema(columns).expect("columns");
        let schema = RowSchema::typed(TableSchema::parse(&schema).expect("a schema"));
        let wanted = json!({
            "a": true, "b": -3, "c": 0.5, "d": "1.50", "e": {"base64": "/w=="}, "f": "2026-05-01",
            "h": [1, null], "i": {"p": 7}, "k": {"x": "y"}, "l": null,
        });
        let mut sent = wanted.clone();
        sent["e"] = json!("/w==");
        sent["g"] = json!("2026-05-01T12:00:00Z");
        sent["j"] = json!({"4": "four"});
        let mut batch = BatchBuilder::new();
        batch
            .append(5, Some(b"k"), Some(sent.to_string().as_bytes()), [])
            .expect("room");
        let limits = DecodeLimits {
            records_max: 10,
            bytes_max: 1 << 20,
            batch_bytes_max: 1 << 20,
        };
        let range = OffsetRange { first: 0, end: 1 };
        let batches = [batch.finish().expect("a batch")];
        let rows = decode_batches(&schema, 0, range, batches, &limits)
            .expect("rows")
            .rows;
        let shown = row(&rows, 0).expect("a row");
        for (name, value) in wanted.as_object().expect("an object") {
            assert_eq!(shown[name], *value, "{name}");
        }
        assert_eq!(shown["g"], json!("2026-05-01T12:00:00Z"));
        assert_eq!(shown["j"], json!([[4, "four"]]));
    }
}
