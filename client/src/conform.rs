//! Rows written under one schema, as rows of another: columns matched by id, cast where they were
//! widened, null where they did not exist.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{
    Array, ArrayRef, LargeListArray, ListArray, MapArray, RecordBatch, RecordBatchOptions,
    StructArray, new_null_array,
};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DataType, Field, Fields, SchemaRef};

use crate::columns::field_id;

/// What a field of the rows given is called among the ids of the schema wanted.
type IdOf = fn(&Field) -> Option<i32>;

/// A value that does not fit is an error, never a null.
const STRICT: CastOptions<'static> = CastOptions {
    safe: false,
    format_options: arrow_cast::display::FormatOptions::new(),
};

/// `rows` as rows of `target`.
pub(crate) fn conform(rows: &RecordBatch, target: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    conform_by(rows, target, field_id)
}

/// As [`conform`], for rows whose ids stand for others.
pub(crate) fn conform_by(
    rows: &RecordBatch,
    target: &SchemaRef,
    id_of: IdOf,
) -> Result<RecordBatch, ArrowError> {
    let count = rows.num_rows();
    let columns = members(
        rows.schema().fields(),
        rows.columns(),
        target.fields(),
        count,
        id_of,
    )?;
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    RecordBatch::try_new_with_options(Arc::clone(target), columns, &options)
}

fn members(
    from: &Fields,
    columns: &[ArrayRef],
    to: &Fields,
    rows: usize,
    id_of: IdOf,
) -> Result<Vec<ArrayRef>, ArrowError> {
    let of = |field: &Arc<Field>| {
        let id = field_id(field);
        let place = from.iter().position(|own| id.is_some() && id_of(own) == id);
        match place.and_then(|place| columns.get(place)) {
            Some(column) => adapt(column, field.data_type(), id_of),
            None => Ok(new_null_array(field.data_type(), rows)),
        }
    };
    to.iter().map(of).collect()
}

fn adapt(column: &ArrayRef, to: &DataType, id_of: IdOf) -> Result<ArrayRef, ArrowError> {
    Ok(match (column.data_type(), to) {
        (from, to) if from == to => Arc::clone(column),
        (DataType::Struct(_), DataType::Struct(fields)) => {
            Arc::new(structure(column.as_struct(), fields, id_of)?)
        }
        (DataType::List(_), DataType::List(element)) => {
            let list = column.as_list::<i32>();
            let values = adapt(list.values(), element.data_type(), id_of)?;
            let (element, offsets) = (Arc::clone(element), list.offsets().clone());
            Arc::new(ListArray::try_new(
                element,
                offsets,
                values,
                list.nulls().cloned(),
            )?)
        }
        (DataType::LargeList(_), DataType::LargeList(element)) => {
            let list = column.as_list::<i64>();
            let values = adapt(list.values(), element.data_type(), id_of)?;
            let (element, offsets) = (Arc::clone(element), list.offsets().clone());
            Arc::new(LargeListArray::try_new(
                element,
                offsets,
                values,
                list.nulls().cloned(),
            )?)
        }
        (DataType::Map(_, _), DataType::Map(pair, sorted)) => {
            let map = column.as_map();
            let DataType::Struct(fields) = pair.data_type() else {
                return Err(ArrowError::SchemaError("a map without pairs".to_owned()));
            };
            let entries = structure(map.entries(), fields, id_of)?;
            let (pair, offsets) = (Arc::clone(pair), map.offsets().clone());
            Arc::new(MapArray::try_new(
                pair,
                offsets,
                entries,
                map.nulls().cloned(),
                *sorted,
            )?)
        }
        (_, to) => cast_with_options(column, to, &STRICT)?,
    })
}

fn structure(from: &StructArray, to: &Fields, id_of: IdOf) -> Result<StructArray, ArrowError> {
    let columns = members(from.fields(), from.columns(), to, from.len(), id_of)?;
    let nulls = from.nulls().cloned();
    StructArray::try_new_with_length(to.clone(), columns, nulls, from.len())
}

#[cfg(all(test, feature = "decode"))]
mod tests {
    //! What the broker's decoder does with old rows is done here too.

    use tidelog_records::BatchBuilder;
    use tidelog_typed::evolve::{Alteration, Place, Target, alter, cast, merge};
    use tidelog_typed::{
        DecodeLimits, Field, Kind, OffsetRange, RowSchema, TableSchema, decode_batches,
    };

    use super::conform;

    #[test]
    fn old_rows_become_the_same_new_ones_here_and_there() {
        let older = r#"{"fields":[{"name":"id","type":"int","nullable":false},
            {"name":"price","type":"decimal(5,2)"},
            {"name":"lines","type":{"list":{"struct":[{"name":"qty","type":"float"}]}}},
            {"name":"labels","type":{"map":"int"}},{"name":"gone","type":"string"}]}"#;
        let wider = r#"{"fields":[{"name":"id","type":"long"},
            {"name":"price","type":"decimal(9,2)"},
            {"name":"lines","type":{"list":{"struct":[{"name":"qty","type":"double"},
                {"name":"sku","type":"string"}]}}},
            {"name":"labels","type":{"map":"long"}},{"name":"new","type":"date"}]}"#;
        let older = TableSchema::parse(older).unwrap();
        let wider = TableSchema::parse(wider).unwrap().fields().to_vec();
        let merged = merge(&older, &tidelog_typed::Draft { fields: wider }).unwrap();
        let path = |name: &str| Target::Path(vec![name.to_owned()]);
        let alterations = [
            Alteration::Drop {
                column: path("gone"),
            },
            Alteration::Rename {
                column: path("price"),
                name: "cost".to_owned(),
            },
            Alteration::Add {
                within: None,
                field: Field::draft("paid", Kind::Bool, true),
                place: Place::First,
            },
        ];
        let newer = alter(&merged.schema, &alterations, &[]).unwrap();

        let mut batch = BatchBuilder::new().base_offset(0);
        for value in [
            r#"{"id":1,"price":1.25,"lines":[{"qty":2},null],"labels":{"a":1,"b":null}}"#,
            r#"{"id":2,"lines":[],"gone":"x"}"#,
        ] {
            batch.append(0, None, Some(value.as_bytes()), []).unwrap();
        }
        let range = OffsetRange { first: 0, end: 2 };
        let limits = DecodeLimits {
            records_max: 10,
            bytes_max: 1 << 20,
            batch_bytes_max: 1 << 20,
        };
        let older = RowSchema::typed(older);
        let batches = [batch.finish().unwrap()];
        let old = decode_batches(&older, 0, range, batches, &limits).unwrap();
        assert_eq!(old.rows.num_rows(), 2);

        let target = RowSchema::typed(newer);
        let here = conform(&old.rows, target.arrow()).unwrap();
        assert_eq!(here, cast(&old.rows, target.arrow()).unwrap());
        assert_ne!(here.schema(), old.rows.schema());
    }
}
