//! A batch of rows in the shape of the lake table.
//!
//! Columns are matched by field id at every depth, cast where the lake is wider, and filled with
//! nulls where the batch has none, so a batch encoded with an older schema fits a newer table.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{
    Array, ArrayRef, Int32Array, Int64Array, ListArray, MapArray, RecordBatch, StructArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow_cast::cast;
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields, SchemaRef};
use thiserror::Error;

use crate::rows::{RowBatch, column};
use crate::schema::{VALUE_ID_BASE, field_id, id};

/// Why a batch does not fit the table.
#[derive(Debug, Error)]
pub enum ConvertError {
    #[error("partition {partition}: {reason}")]
    Offsets { partition: i32, reason: String },
    #[error("column {column} is required by the table and missing in the rows")]
    Missing { column: String },
    #[error("column {column} has nulls where the table allows none")]
    Null { column: String },
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

/// `batch` as rows of a table whose Arrow schema is `target`.
///
/// # Errors
/// Offsets outside the range the batch claims, or not increasing; a value that cannot be cast.
pub fn to_lake(batch: &RowBatch, target: &SchemaRef) -> Result<RecordBatch, ConvertError> {
    let offsets = offsets(batch)?;
    let columns = target
        .fields()
        .iter()
        .map(|field| match field_id(field) {
            Some(id::PARTITION) => Ok(Arc::new(Int32Array::from_value(
                batch.partition,
                batch.rows.num_rows(),
            )) as _),
            Some(id::OFFSET) => Ok(Arc::new(offsets.clone()) as _),
            Some(id::TIMESTAMP) => timestamps(batch, field),
            Some(id::KAFKA) => kafka(batch, field),
            Some(id::VALUE) => system(batch, column::VALUE, field),
            Some(id::ERROR) => system(batch, column::ERROR, field),
            Some(id::SCHEMA_ID) => system(batch, column::SCHEMA_ID, field),
            lake_id => value(batch, lake_id, field),
        })
        .collect::<Result<Vec<_>, ConvertError>>()?;
    Ok(RecordBatch::try_new(Arc::clone(target), columns)?)
}

/// `rows` of a data file as rows of a table whose Arrow schema is `target`: the file may be older
/// than the schema. Field ids are the table's on both sides.
pub(crate) fn to_schema(
    rows: &RecordBatch,
    target: &SchemaRef,
) -> Result<RecordBatch, ConvertError> {
    let whole = StructArray::from(rows.clone());
    let aligned = Ids::LAKE.align_struct(&whole, rows.schema_ref().fields(), target.fields())?;
    Ok(RecordBatch::try_new(
        Arc::clone(target),
        aligned.into_parts().1,
    )?)
}

fn offsets(batch: &RowBatch) -> Result<Int64Array, ConvertError> {
    let wrong = |reason: String| ConvertError::Offsets {
        partition: batch.partition,
        reason,
    };
    let offsets = batch
        .rows
        .column_by_name(column::OFFSET)
        .and_then(|column| column.as_primitive_opt::<Int64Type>())
        .filter(|column| column.null_count() == 0)
        .ok_or_else(|| wrong(format!("no {} column of non-null longs", column::OFFSET)))?;
    let mut floor = batch.first_offset;
    for &offset in offsets.values() {
        if offset < floor || offset >= batch.end_offset {
            return Err(wrong(format!(
                "offset {offset} is outside {floor}..{} or out of order",
                batch.end_offset
            )));
        }
        floor = offset + 1;
    }
    Ok(offsets.clone())
}

/// Kafka's milliseconds become microseconds. No timestamp (−1), one before 1970 and one beyond the
/// range of microseconds all become null: Kafka calls the first two invalid.
fn timestamps(batch: &RowBatch, target: &Field) -> Result<ArrayRef, ConvertError> {
    let Some(source) = batch.rows.column_by_name(column::TIMESTAMP) else {
        return missing(batch, target);
    };
    let Some(ms) = source.as_primitive_opt::<Int64Type>() else {
        return Ok(cast(source, target.data_type())?);
    };
    let us: TimestampMicrosecondArray = ms
        .iter()
        .map(|ms| ms.filter(|ms| *ms >= 0)?.checked_mul(1000))
        .collect();
    Ok(Arc::new(us.with_data_type(target.data_type().clone())))
}

fn kafka(batch: &RowBatch, target: &Field) -> Result<ArrayRef, ConvertError> {
    let DataType::Struct(fields) = target.data_type() else {
        return missing(batch, target);
    };
    let columns = fields
        .iter()
        .map(|field| match field_id(field) {
            Some(id::KEY) => system(batch, column::KEY, field),
            Some(id::HEADERS) => headers(batch, field),
            Some(id::TIMESTAMP_TYPE) => system(batch, column::TIMESTAMP_TYPE, field),
            _ => missing(batch, field),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let rows = batch.rows.num_rows();
    Ok(Arc::new(StructArray::try_new_with_length(
        fields.clone(),
        columns,
        None,
        rows,
    )?))
}

fn system(batch: &RowBatch, name: &str, target: &Field) -> Result<ArrayRef, ConvertError> {
    match batch.rows.column_by_name(name) {
        Some(source) => Ok(cast(source, target.data_type())?),
        None => missing(batch, target),
    }
}

/// Headers carry no field ids in the rows; their two fields are known by position.
fn headers(batch: &RowBatch, target: &Field) -> Result<ArrayRef, ConvertError> {
    let (Some(source), DataType::List(element)) = (
        batch.rows.column_by_name(column::HEADERS),
        target.data_type(),
    ) else {
        return missing(batch, target);
    };
    let lists = as_list(source, target.name())?;
    let pairs = lists
        .values()
        .as_struct_opt()
        .filter(|pairs| pairs.num_columns() == 2);
    let (Some(pairs), DataType::Struct(fields)) = (pairs, element.data_type()) else {
        return Err(ConvertError::Missing {
            column: format!("{}.element", target.name()),
        });
    };
    let columns = fields
        .iter()
        .zip(pairs.columns())
        .map(|(field, source)| cast(source, field.data_type()))
        .collect::<Result<Vec<_>, _>>()?;
    let pairs = StructArray::try_new(fields.clone(), columns, pairs.nulls().cloned())?;
    relist(&lists, element, Arc::new(pairs))
}

fn value(batch: &RowBatch, lake_id: Option<i32>, target: &Field) -> Result<ArrayRef, ConvertError> {
    let schema = batch.rows.schema_ref();
    match Ids::LOG.position_of(schema.fields(), lake_id) {
        Some(index) => Ids::LOG.align(batch.rows.column(index), schema.field(index), target),
        None => missing(batch, target),
    }
}

fn missing(batch: &RowBatch, target: &Field) -> Result<ArrayRef, ConvertError> {
    nulls(target, batch.rows.num_rows())
}

fn nulls(target: &Field, rows: usize) -> Result<ArrayRef, ConvertError> {
    if !target.is_nullable() && rows > 0 {
        return Err(ConvertError::Missing {
            column: target.name().clone(),
        });
    }
    Ok(new_null_array(target.data_type(), rows))
}

/// How the field ids of a source follow from the table's.
#[derive(Clone, Copy)]
struct Ids {
    /// What the table's ids have on top.
    base: i32,
}

impl Ids {
    /// The topic's own ids.
    const LOG: Self = Self {
        base: VALUE_ID_BASE,
    };
    /// The table's ids.
    const LAKE: Self = Self { base: 0 };

    fn position_of(self, fields: &Fields, lake_id: Option<i32>) -> Option<usize> {
        let id = lake_id?.checked_sub(self.base)?;
        fields.iter().position(|field| field_id(field) == Some(id))
    }

    /// `source` in the type of `target`, nested fields by id.
    fn align(
        self,
        source: &ArrayRef,
        from: &Field,
        target: &Field,
    ) -> Result<ArrayRef, ConvertError> {
        if !target.is_nullable() && source.null_count() > 0 {
            return Err(ConvertError::Null {
                column: target.name().clone(),
            });
        }
        if let DataType::Dictionary(_, values) = from.data_type() {
            let plain = Field::new(from.name(), values.as_ref().clone(), true);
            return self.align(&cast(source, values)?, &plain, target);
        }
        match (from.data_type(), target.data_type()) {
            (DataType::Struct(children), DataType::Struct(fields)) => {
                let source = source.as_struct();
                Ok(Arc::new(self.align_struct(source, children, fields)?))
            }
            (
                DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _),
                DataType::List(element),
            ) => {
                let lists = as_list(source, target.name())?;
                let values = self.align(lists.values(), item, element)?;
                relist(&lists, element, values)
            }
            (DataType::Map(from, _), DataType::Map(entries, ordered)) => {
                self.align_map(source.as_map(), from, entries, *ordered)
            }
            (_, into) => Ok(cast(source, into)?),
        }
    }

    fn align_struct(
        self,
        source: &StructArray,
        from: &Fields,
        into: &Fields,
    ) -> Result<StructArray, ConvertError> {
        let columns = into
            .iter()
            .map(|field| match self.position_of(from, field_id(field)) {
                Some(index) => self.align(source.column(index), &from[index], field),
                None => nulls(field, source.len()),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let nulls = source.nulls().cloned();
        Ok(StructArray::try_new_with_length(
            into.clone(),
            columns,
            nulls,
            source.len(),
        )?)
    }

    fn align_map(
        self,
        source: &MapArray,
        from: &FieldRef,
        into: &FieldRef,
        ordered: bool,
    ) -> Result<ArrayRef, ConvertError> {
        let (DataType::Struct(from), DataType::Struct(fields)) =
            (from.data_type(), into.data_type())
        else {
            return Err(ConvertError::Missing {
                column: into.name().clone(),
            });
        };
        let entries = self.align_struct(source.entries(), from, fields)?;
        let nulls = source.nulls().cloned();
        let offsets = source.offsets().clone();
        Ok(Arc::new(MapArray::try_new(
            Arc::clone(into),
            offsets,
            entries,
            nulls,
            ordered,
        )?))
    }
}

/// Any kind of list as one with 32-bit offsets, its items untouched.
fn as_list(source: &ArrayRef, name: &str) -> Result<ListArray, ConvertError> {
    let item = match source.data_type() {
        DataType::List(_) => return Ok(source.as_list::<i32>().clone()),
        DataType::LargeList(item) | DataType::FixedSizeList(item, _) => Arc::clone(item),
        _ => {
            return Err(ConvertError::Missing {
                column: format!("{name}.element"),
            });
        }
    };
    Ok(cast(source, &DataType::List(item))?
        .as_list::<i32>()
        .clone())
}

fn relist(lists: &ListArray, item: &FieldRef, values: ArrayRef) -> Result<ArrayRef, ConvertError> {
    let offsets = lists.offsets().clone();
    Ok(Arc::new(ListArray::try_new(
        Arc::clone(item),
        offsets,
        values,
        lists.nulls().cloned(),
    )?))
}

#[cfg(test)]
mod tests;
