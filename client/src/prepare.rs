//! Rows as they may be sent: plain values, and no columns that only the broker gives.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields, Schema};

/// Columns of every row that is read, which no row that is written may have.
const BROKERS_OWN: [&str; 3] = ["_partition", "_offset", "_timestamp_type"];

/// What does not fit is an error, never a null.
const STRICT: CastOptions<'static> = CastOptions {
    safe: false,
    format_options: arrow_cast::display::FormatOptions::new(),
};

/// The same rows without dictionaries and views, at every depth, and without [`BROKERS_OWN`].
///
/// # Errors
/// Texts of a column that pass 2 GiB.
pub(crate) fn prepare(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = rows.schema();
    let columns = schema.fields().iter().zip(rows.columns());
    let sent = columns.filter(|(field, _)| !BROKERS_OWN.contains(&field.name().as_str()));
    let sent = sent.map(|(field, column)| {
        let field = plain(field);
        let column = match column.data_type() == field.data_type() {
            true => Arc::clone(column),
            false => cast_with_options(column, field.data_type(), &STRICT)?,
        };
        Ok((field, column))
    });
    let (fields, columns): (Vec<FieldRef>, Vec<ArrayRef>) = sent
        .collect::<Result<Vec<_>, ArrowError>>()?
        .into_iter()
        .unzip();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
}

fn plain(field: &FieldRef) -> FieldRef {
    match plain_type(field.data_type()) {
        same if same == *field.data_type() => Arc::clone(field),
        other => Arc::new(Field::clone(field).with_data_type(other)),
    }
}

fn plain_type(of: &DataType) -> DataType {
    match of {
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(item) => DataType::List(plain(item)),
        DataType::LargeList(item) => DataType::LargeList(plain(item)),
        DataType::FixedSizeList(item, _) => DataType::List(plain(item)),
        DataType::Struct(members) => {
            DataType::Struct(members.iter().map(plain).collect::<Fields>())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int32Type;
    use arrow_array::{
        Array, DictionaryArray, Int64Array, ListArray, StringArray, StringViewArray,
    };
    use arrow_buffer::OffsetBuffer;

    use super::*;

    #[test]
    fn values_are_plain_and_columns_the_rows_own() {
        let cities: DictionaryArray<Int32Type> = [Some("Kiel"), None].into_iter().collect();
        let names = StringViewArray::from(vec!["a", "a name that is longer than a view"]);
        let item = Arc::new(Field::new("item", cities.data_type().clone(), true));
        let offsets = OffsetBuffer::new(vec![0, 2, 2].into());
        let list = ListArray::new(item, offsets, Arc::new(cities.clone()), None);
        let rows = RecordBatch::try_from_iter_with_nullable([
            (
                "_offset",
                Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef,
                false,
            ),
            ("city", Arc::new(cities), true),
            ("name", Arc::new(names), true),
            ("list", Arc::new(list), true),
        ])
        .unwrap();
        let sent = prepare(&rows).unwrap();
        let expected = StringArray::from(vec![Some("Kiel"), None]);
        assert_eq!(sent.num_columns(), 3);
        assert_eq!(sent.column(0).as_string::<i32>(), &expected);
        assert_eq!(sent.column(1).as_string::<i32>().value(0), "a");
        let items = sent.column(2).as_list::<i32>().values();
        assert_eq!(items.as_string::<i32>(), &expected);
        assert_eq!(prepare(&sent).unwrap(), sent);
    }
}
