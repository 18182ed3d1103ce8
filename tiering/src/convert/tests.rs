use arrow_array::types::{Float64Type, TimestampMicrosecondType};
use arrow_array::{BinaryArray, Float32Array, StringArray};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::Schema;
use iceberg::arrow::schema_to_arrow_schema;

use super::*;
use crate::schema::{ValueLayout, lake_schema};

fn with_id(field: Field, id: i32) -> Field {
    field.with_metadata([("PARQUET:field_id".to_owned(), id.to_string())].into())
}

fn batch(columns: Vec<(Field, ArrayRef)>, end_offset: i64) -> RowBatch {
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    RowBatch {
        partition: 5,
        first_offset: 10,
        end_offset,
        rows,
        dead_letters: None,
    }
}

fn offset_column(offsets: Vec<i64>) -> (Field, ArrayRef) {
    let field = Field::new(column::OFFSET, DataType::Int64, false);
    (field, Arc::new(Int64Array::from(offsets)))
}

fn target(layout: &ValueLayout) -> SchemaRef {
    Arc::new(schema_to_arrow_schema(&lake_schema(layout).unwrap()).unwrap())
}

fn struct_of<'a>(rows: &'a RecordBatch, name: &str) -> &'a StructArray {
    rows.column_by_name(name).unwrap().as_struct()
}

#[test]
fn system_columns_take_their_lake_form() {
    let pair: Fields = vec![
        Field::new("k", DataType::Utf8, false),
        Field::new("v", DataType::Binary, true),
    ]
    .into();
    let pairs = StructArray::new(
        pair.clone(),
        vec![
            Arc::new(StringArray::from(vec!["dup", "dup", "one"])),
            Arc::new(BinaryArray::from_opt_vec(vec![
                Some(b"1"),
                None,
                Some(b"3"),
            ])),
        ],
        None,
    );
    let item = Arc::new(Field::new("item", DataType::Struct(pair), false));
    let lists = OffsetBuffer::from_lengths([2, 1, 0]);
    let headers = ListArray::new(Arc::clone(&item), lists, Arc::new(pairs), None);
    let input = batch(
        vec![
            offset_column(vec![10, 12, 13]),
            (
                Field::new(column::TIMESTAMP, DataType::Int64, false),
                Arc::new(Int64Array::from(vec![1_000, -1, i64::MAX])),
            ),
            (
                Field::new(column::KEY, DataType::Binary, true),
                Arc::new(BinaryArray::from_opt_vec(vec![None, Some(b"k"), None])),
            ),
            (
                Field::new(column::HEADERS, DataType::List(item), true),
                Arc::new(headers),
            ),
            (
                Field::new(column::VALUE, DataType::Binary, true),
                Arc::new(BinaryArray::from_opt_vec(vec![Some(b"v"), None, None])),
            ),
        ],
        15,
    );
    let rows = to_lake(&input, &target(&ValueLayout::KeyValue)).unwrap();
    let partitions = rows
        .column(0)
        .as_primitive::<arrow_array::types::Int32Type>();
    assert_eq!(partitions.values(), &[5, 5, 5]);
    let times = rows.column(2).as_primitive::<TimestampMicrosecondType>();
    assert_eq!(
        times.iter().collect::<Vec<_>>(),
        [Some(1_000_000), None, None]
    );
    let kafka = struct_of(&rows, "_kafka");
    assert_eq!(kafka.column(0).as_binary::<i64>().value(1), b"k");
    let headers = kafka.column(1).as_list::<i32>();
    let keys = headers.value(0).as_struct().column(0).clone();
    assert_eq!(
        keys.as_string::<i32>(),
        &StringArray::from(vec!["dup", "dup"])
    );
    assert_eq!(kafka.column(2).null_count(), 3);
    assert_eq!(rows.column(4).null_count(), 2);
}

#[test]
fn value_columns_are_found_by_id_at_every_depth() {
    let wide: Fields = vec![
        with_id(Field::new("added", DataType::Utf8, true), 9),
        with_id(Field::new("x", DataType::Float64, true), 2),
    ]
    .into();
    let entries = |value: DataType| {
        let pair: Fields = vec![
            with_id(Field::new("keys", DataType::Utf8, false), 5),
            with_id(Field::new("values", value, true), 6),
        ]
        .into();
        DataType::Map(
            Arc::new(Field::new("entries", DataType::Struct(pair), false)),
            false,
        )
    };
    let layout = ValueLayout::Typed(Arc::new(Schema::new(vec![
        with_id(Field::new("point", DataType::Struct(wide), true), 1),
        with_id(Field::new("tags", entries(DataType::Int64), true), 4),
        with_id(Field::new("later", DataType::Utf8, true), 8),
    ])));

    let narrow: Fields = vec![with_id(Field::new("old_x", DataType::Float32, true), 2)].into();
    let point = StructArray::new(
        narrow.clone(),
        vec![Arc::new(Float32Array::from(vec![1.5, 2.5]))],
        None,
    );
    let DataType::Map(tag_entries, _) = entries(DataType::Int32) else {
        panic!("not a map")
    };
    let DataType::Struct(pair) = tag_entries.data_type().clone() else {
        panic!("not a struct")
    };
    let tags = MapArray::new(
        tag_entries,
        OffsetBuffer::from_lengths([1, 0]),
        StructArray::new(
            pair,
            vec![
                Arc::new(StringArray::from(vec!["a"])),
                Arc::new(Int32Array::from(vec![1])),
            ],
            None,
        ),
        Some(NullBuffer::from(vec![true, false])),
        false,
    );
    let input = batch(
        vec![
            offset_column(vec![10, 11]),
            (
                with_id(Field::new("t", entries(DataType::Int32), true), 4),
                Arc::new(tags),
            ),
            (
                with_id(Field::new("p", DataType::Struct(narrow), true), 1),
                Arc::new(point),
            ),
        ],
        12,
    );
    let rows = to_lake(&input, &target(&layout)).unwrap();
    let point = struct_of(&rows, "point");
    assert_eq!(point.column(0).null_count(), 2);
    assert_eq!(
        point.column(1).as_primitive::<Float64Type>().values(),
        &[1.5, 2.5]
    );
    let tags = rows.column_by_name("tags").unwrap().as_map();
    assert_eq!(tags.values().as_primitive::<Int64Type>().values(), &[1]);
    assert!(tags.is_null(1));
    assert_eq!(rows.column_by_name("later").unwrap().null_count(), 2);
}

#[test]
fn offsets_must_grow_within_the_range_claimed() {
    let target = target(&ValueLayout::KeyValue);
    for (offsets, fits) in [
        (vec![10, 14], true),
        (vec![], true),
        (vec![9], false),
        (vec![15], false),
        (vec![11, 11], false),
        (vec![12, 11], false),
    ] {
        let input = batch(vec![offset_column(offsets.clone())], 15);
        assert_eq!(to_lake(&input, &target).is_ok(), fits, "{offsets:?}");
    }
}
