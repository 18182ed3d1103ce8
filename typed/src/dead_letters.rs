//! Records that are no rows, as rows of a table for such.
//!
//! Beside the system columns they have `value` (binary, verbatim), `error` (why, in words) and
//! `schema_id` (the registered schema that the value names by its id; null where it names none).

use std::sync::Arc;

use arrow_array::{Int32Array, Int64Array, RecordBatch};
use arrow_schema::Schema;

use crate::column::{Column, Full};
use crate::decode::{push_bytes, push_headers, push_timestamp};
use crate::{DecodeError, SchemaRef, Undecodable, arrow, system};

/// The records of one partition, in the order given.
///
/// # Errors
/// [`DecodeError::TooLarge`]: more than 2 GiB in one column.
pub fn dead_letters(partition: i32, records: &[Undecodable]) -> Result<RecordBatch, DecodeError> {
    let [_, _, timestamp, _, key, headers] = system::fields();
    let [value, error, _] = system::dead_letter_fields();
    let [
        mut timestamps,
        mut keys,
        mut headers,
        mut values,
        mut errors,
    ] = [timestamp, key, headers, value, error].map(|field| Column::new(&field));
    for record in records {
        let offset = record.offset;
        let too_large = |Full| DecodeError::TooLarge { partition, offset };
        push_timestamp(&mut timestamps, record.timestamp_ms);
        push_bytes(&mut keys, record.key.as_deref()).map_err(too_large)?;
        let pairs = record.headers.iter();
        let pairs = pairs.map(|(key, value)| (&key[..], value.as_deref()));
        push_headers(&mut headers, pairs).map_err(too_large)?;
        push_bytes(&mut values, record.value.as_deref()).map_err(too_large)?;
        push_bytes(&mut errors, Some(record.reason.to_string().as_bytes())).map_err(too_large)?;
    }
    let schema_id = |record: &Undecodable| match record.schema {
        Some(SchemaRef::Id(id)) => Some(id),
        Some(SchemaRef::Guid(_) | SchemaRef::Latest) | None => None,
    };
    let all = records.iter();
    let offsets: Int64Array = all.clone().map(|record| record.offset).collect();
    let types: Int32Array = all.clone().map(|record| record.timestamp_type).collect();
    let schema_ids: Int32Array = all.map(schema_id).collect();
    let columns = vec![
        Arc::new(Int32Array::from_value(partition, records.len())) as _,
        Arc::new(offsets) as _,
        timestamps.finish()?,
        Arc::new(types) as _,
        keys.finish()?,
        headers.finish()?,
        values.finish()?,
        errors.finish()?,
        Arc::new(schema_ids) as _,
    ];
    let mut fields = system::fields().to_vec();
    fields.extend(system::dead_letter_fields());
    let schema = Arc::new(Schema::new(arrow::fields(&fields)));
    Ok(RecordBatch::try_new(schema, columns)?)
}

#[cfg(test)]
mod tests {
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Int32Type, Int64Type};
    use bytes::Bytes;

    use super::*;
    use crate::Reason;

    #[test]
    fn everything_of_the_record_is_there() {
        let text = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
        let record = |offset, value: Option<Bytes>, schema| Undecodable {
            offset,
            timestamp_ms: 5,
            timestamp_type: 1,
            key: text("k"),
            value,
            headers: vec![
                (Bytes::from_static(b"h"), None),
                (Bytes::from_static(b"h"), text("1")),
            ],
            schema,
            reason: Reason::NoValue,
        };
        let guid = Some(SchemaRef::Guid([1; 16]));
        let records = [
            record(3, text("{"), Some(SchemaRef::Id(7))),
            record(9, None, guid),
        ];
        let rows = dead_letters(4, &records).unwrap();
        let column = |name| rows.column_by_name(name).unwrap();
        assert_eq!(
            column("_partition").as_primitive::<Int32Type>().values(),
            &[4, 4]
        );
        assert_eq!(
            column("_offset").as_primitive::<Int64Type>().values(),
            &[3, 9]
        );
        assert_eq!(column("_key").as_binary::<i32>().value(0), b"k");
        assert_eq!(column("_headers").as_list::<i32>().value_length(0), 2);
        let values = column("value").as_binary::<i32>();
        assert_eq!((values.value(0), values.is_null(1)), (&b"{"[..], true));
        assert_eq!(column("error").as_string::<i32>().value(1), "no value");
        let ids = column("schema_id").as_primitive::<Int32Type>();
        assert_eq!((ids.value(0), ids.is_null(1)), (7, true));
    }
}
