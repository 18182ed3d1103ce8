//! Rows as text, to compare by eye and with `==`.

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Fields};

/// `name=value …`, columns in order.
pub(super) fn row_text(rows: &RecordBatch, row: usize) -> String {
    members(rows.schema().fields(), rows.columns(), row)
}

fn members(fields: &Fields, columns: &[arrow_array::ArrayRef], row: usize) -> String {
    let cells = fields
        .iter()
        .zip(columns)
        .map(|(field, column)| format!("{}={}", field.name(), cell(column, row)));
    cells.collect::<Vec<_>>().join(" ")
}

/// One value; the members of a map are sorted.
fn cell(column: &dyn Array, row: usize) -> String {
    if column.is_null(row) {
        return "null".to_owned();
    }
    match column.data_type() {
        DataType::Boolean => column.as_boolean().value(row).to_string(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float32 => format!("{:?}", column.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => format!("{:?}", column.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(..) => {
            let value = column.as_primitive::<Decimal128Type>().value(row);
            value.to_string()
        }
        DataType::Timestamp(..) => {
            let value = column.as_primitive::<TimestampMicrosecondType>().value(row);
            value.to_string()
        }
        DataType::Utf8 => format!("{:?}", column.as_string::<i32>().value(row)),
        DataType::Binary => format!("{:?}", column.as_binary::<i32>().value(row)),
        DataType::Struct(fields) => {
            format!("({})", members(fields, column.as_struct().columns(), row))
        }
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            let items: Vec<_> = (0..items.len()).map(|at| cell(&items, at)).collect();
            format!("[{}]", items.join(", "))
        }
        DataType::Map(..) => {
            let entries = column.as_map().value(row);
            let pair = |at| {
                let (key, value) = (entries.column(0), entries.column(1));
                format!("{}:{}", cell(key, at), cell(value, at))
            };
            let mut entries: Vec<_> = (0..entries.len()).map(pair).collect();
            entries.sort();
            format!("{{{}}}", entries.join(", "))
        }
        other => panic!("no cell of {other}"),
    }
}
