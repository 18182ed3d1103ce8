use super::*;

fn field(id: i32, name: &str, kind: DataType) -> Field {
    let metadata = [(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())];
    Field::new(name, kind, true).with_metadata(metadata.into())
}

fn typed(fields: Vec<Field>) -> Result<Schema, SchemaError> {
    lake_schema(&ValueLayout::Typed(Arc::new(arrow_schema::Schema::new(
        fields,
    ))))
}

/// The value columns as "id name type".
fn columns(schema: &Schema) -> Vec<String> {
    let fields = schema
        .as_struct()
        .fields()
        .iter()
        .filter(|field| field.id > id::VALUE);
    fields
        .map(|field| format!("{} {} {}", field.id, field.name, field.field_type))
        .collect()
}

#[test]
fn system_columns_come_first_with_fixed_ids() {
    let schema = lake_schema(&ValueLayout::KeyValue).unwrap();
    let fields = schema.as_struct().fields().iter();
    let names: Vec<_> = fields
        .map(|field| (field.id, field.name.as_str()))
        .collect();
    let expected = [
        (1, "_kafka_partition"),
        (2, "_offset"),
        (3, "_timestamp"),
        (4, "_kafka"),
        (11, "value"),
    ];
    assert_eq!(names, expected);
    assert_eq!(schema.highest_field_id(), id::VALUE);
    assert_eq!(lake_sort_order(&schema).unwrap().fields.len(), 2);
}

#[test]
fn arrow_types_become_lake_types() {
    let item = Arc::new(field(3, "item", DataType::UInt64));
    let pair: Fields = vec![
        field(5, "k", DataType::Utf8),
        field(6, "v", DataType::Date32),
    ]
    .into();
    let entries = Arc::new(Field::new("entries", DataType::Struct(pair), false));
    let point: Fields = vec![field(8, "x", DataType::Float16)].into();
    let utc = Some(Arc::from("UTC"));
    let schema = typed(vec![
        field(1, "small", DataType::UInt16),
        field(2, "list", DataType::LargeList(item)),
        field(4, "map", DataType::Map(entries, false)),
        field(7, "point", DataType::Struct(point)),
        field(9, "at", DataType::Timestamp(TimeUnit::Nanosecond, utc)),
        field(
            10,
            "code",
            DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8)),
        ),
        field(11, "price", DataType::Decimal128(12, 2)),
        field(12, "raw", DataType::FixedSizeBinary(16)),
    ]);
    let schema = schema.unwrap();
    let types: Vec<_> = [101, 103, 105, 106, 108, 109, 110, 111, 112]
        .iter()
        .map(|id| schema.field_by_id(*id).unwrap().field_type.to_string())
        .collect();
    assert_eq!(
        types,
        [
            "int",
            "decimal(20, 0)",
            "string",
            "date",
            "float",
            "timestamptz",
            "string",
            "decimal(12, 2)",
            "fixed(16)"
        ]
    );
}

#[test]
fn taken_names_get_the_field_id_appended() {
    let schema = typed(vec![
        field(1, "_Offset", DataType::Int64),
        field(2, "id", DataType::Int64),
        field(3, "ID", DataType::Int64),
        field(4, "_partition", DataType::Int64),
        field(5, "", DataType::Int64),
    ]);
    assert_eq!(
        columns(&schema.unwrap()),
        [
            "101 _Offset__1 long",
            "102 id long",
            "103 ID__3 long",
            "104 _partition__4 long",
            "105 __5 long"
        ]
    );
}

#[test]
fn what_has_no_lake_form_is_named() {
    let unknown = typed(vec![field(1, "a", DataType::Duration(TimeUnit::Second))]).unwrap_err();
    assert!(matches!(unknown, SchemaError::Type { column, .. } if column == "a"));
    let point: Fields = vec![Field::new("x", DataType::Int32, true)].into();
    let no_id = typed(vec![field(1, "p", DataType::Struct(point))]).unwrap_err();
    assert_eq!(
        no_id,
        SchemaError::FieldId {
            column: "p.x".to_owned()
        }
    );
    let twice = typed(vec![
        field(1, "a", DataType::Int32),
        field(1, "b", DataType::Int32),
    ]);
    assert!(matches!(twice, Err(SchemaError::Invalid(_))));
    for id in [0, -1, i32::MAX] {
        assert!(typed(vec![field(id, "a", DataType::Int32)]).is_err());
    }
}

#[test]
fn tables_grow_and_widen_only() {
    let point = |fields: Vec<Field>| DataType::Struct(fields.into());
    let before = typed(vec![
        field(1, "a", DataType::Int32),
        field(2, "b", DataType::Int64),
        field(3, "p", point(vec![field(4, "x", DataType::Float32)])),
        field(5, "gone", DataType::Utf8),
    ])
    .unwrap();
    let wanted = typed(vec![
        field(1, "renamed", DataType::Int64),
        field(2, "b", DataType::Int32),
        field(
            3,
            "p",
            point(vec![
                field(4, "x", DataType::Float64),
                field(6, "y", DataType::Int32),
            ]),
        ),
        field(7, "new", DataType::Utf8),
    ])
    .unwrap();
    let merged = evolve(&before, 105, 105, &wanted).unwrap().unwrap();
    assert_eq!(merged.schema_id(), 1);
    let names: Vec<_> = columns(&merged)
        .iter()
        .map(|c| c.split('<').next().unwrap().to_owned())
        .collect();
    assert_eq!(
        names,
        [
            "101 renamed long",
            "102 b long",
            "103 p struct",
            "105 gone string",
            "107 new string"
        ]
    );
    assert_eq!(
        merged.field_by_id(104).unwrap().field_type.to_string(),
        "double"
    );
    assert_eq!(merged.name_by_field_id(106), Some("p.y"));
    assert_eq!(evolve(&merged, 107, 107, &wanted).unwrap(), None);
}

#[test]
fn impossible_changes_are_refused() {
    let before = typed(vec![field(1, "a", DataType::Int32)]).unwrap();
    let changed = typed(vec![field(1, "a", DataType::Utf8)]).unwrap();
    let refused = evolve(&before, 101, 101, &changed).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "column a cannot turn from int into string"
    );
    // Somebody added a column, and the catalog gave it the id our next one would have.
    let next = typed(vec![
        field(1, "a", DataType::Int32),
        field(2, "b", DataType::Utf8),
    ])
    .unwrap();
    let taken = evolve(&before, 102, 101, &next).unwrap_err();
    assert_eq!(
        taken,
        SchemaError::IdTaken {
            column: "b".to_owned(),
            id: 102
        }
    );
}
