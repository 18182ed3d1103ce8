//! Rows of an older schema as rows of a newer one.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, ListArray, MapArray, RecordBatch, RecordBatchOptions, StructArray,
    new_null_array,
};
use arrow_schema::{ArrowError, DataType, Field, Fields, SchemaRef};

use crate::arrow::field_id;

/// Why rows cannot be read through a schema. `column` is the name in that schema.
#[derive(Debug, thiserror::Error)]
pub enum CastError {
    /// The rows are not of an older version of the schema.
    #[error("column {column}: {from} cannot become {to} without loss")]
    NotAWidening {
        column: String,
        from: DataType,
        to: DataType,
    },
    /// The rows lack a column that may not be null.
    #[error("column {column} is not there, and null is not allowed")]
    Missing { column: String },
    #[error("columns do not make a batch: {0}")]
    Arrow(#[from] ArrowError),
}

/// `rows` as rows of `to`. Columns are matched by `PARQUET:field_id`, at all depths: a renamed one is
/// found, a widened one cast, one that is new is null, a dropped one is left out. System columns are
/// columns like others here; elements of lists, keys and values of maps are matched by place.
///
/// Columns whose type did not change are shared, not copied.
///
/// # Errors
/// [`CastError`] where `to` is no later version of the rows' schema.
pub fn cast(rows: &RecordBatch, to: &SchemaRef) -> Result<RecordBatch, CastError> {
    let count = rows.num_rows();
    let schema = rows.schema();
    let columns = members(schema.fields(), rows.columns(), to.fields(), count)?;
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(to),
        columns,
        &options,
    )?)
}

fn members(
    from: &Fields,
    columns: &[ArrayRef],
    to: &Fields,
    rows: usize,
) -> Result<Vec<ArrayRef>, CastError> {
    let ids = from.iter().map(|field| field_id(field));
    let by_id: HashMap<_, _> = ids.zip(columns).collect();
    let member = |field: &Arc<Field>| {
        let id = field_id(field);
        match by_id.get(&id).filter(|_| id.is_some()) {
            Some(column) => value(column, field),
            None if field.is_nullable() => Ok(new_null_array(field.data_type(), rows)),
            None => Err(CastError::Missing {
                column: field.name().clone(),
            }),
        }
    };
    to.iter().map(member).collect()
}

fn value(column: &ArrayRef, field: &Field) -> Result<ArrayRef, CastError> {
    let nulls = || column.nulls().cloned();
    Ok(match (column.data_type(), field.data_type()) {
        (from, to) if from == to => Arc::clone(column),
        (DataType::Struct(from), DataType::Struct(to)) => {
            let columns = column.as_struct().columns();
            let columns = members(from, columns, to, column.len())?;
            let array =
                StructArray::try_new_with_length(to.clone(), columns, nulls(), column.len());
            Arc::new(array?)
        }
        (DataType::List(_), DataType::List(element)) => {
            let list = column.as_list::<i32>();
            let items = value(list.values(), element)?;
            let offsets = list.offsets().clone();
            let element = Arc::clone(element);
            Arc::new(ListArray::try_new(element, offsets, items, nulls())?)
        }
        (DataType::Map(..), DataType::Map(pair, sorted)) => {
            let map = column.as_map();
            let offsets = map.offsets().clone();
            let entries = pairs(map, pair)?;
            let pair = Arc::clone(pair);
            Arc::new(MapArray::try_new(pair, offsets, entries, nulls(), *sorted)?)
        }
        (DataType::Int32, DataType::Int64) => {
            let narrow = column.as_primitive::<Int32Type>();
            Arc::new(narrow.unary::<_, Int64Type>(i64::from))
        }
        (DataType::Float32, DataType::Float64) => {
            let narrow = column.as_primitive::<Float32Type>();
            Arc::new(narrow.unary::<_, Float64Type>(f64::from))
        }
        (DataType::Decimal128(digits, scale), DataType::Decimal128(more, same))
            if digits < more && scale == same =>
        {
            let narrow = column.as_primitive::<Decimal128Type>().clone();
            Arc::new(narrow.with_precision_and_scale(*more, *same)?)
        }
        (from, to) => {
            return Err(CastError::NotAWidening {
                column: field.name().clone(),
                from: from.clone(),
                to: to.clone(),
            });
        }
    })
}

fn pairs(map: &MapArray, pair: &Field) -> Result<StructArray, CastError> {
    let DataType::Struct(fields) = pair.data_type() else {
        let what = "a map without pairs".to_owned();
        return Err(ArrowError::SchemaError(what).into());
    };
    let columns = map.entries().columns().iter().zip(fields);
    let columns = columns.map(|(column, field)| value(column, field));
    let columns = columns.collect::<Result<_, _>>()?;
    Ok(StructArray::try_new(fields.clone(), columns, None)?)
}
