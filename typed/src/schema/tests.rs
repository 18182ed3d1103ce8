use super::*;
use crate::RowSchema;

fn invalid(text: &str) -> String {
    TableSchema::parse(text).unwrap_err().to_string()
}

fn one(kind: &str) -> String {
    format!(r#"{{"fields":[{{"name":"a","type":{kind}}}]}}"#)
}

#[test]
fn ids_rise_in_order_a_field_before_its_children() {
    let schema = TableSchema::parse(
        r#"{"fields":[
            {"name":"order_id","type":"long","nullable":false,"doc":"ours"},
            {"name":"lines","type":{"list":{"struct":[
                {"name":"sku","type":"string"},
                {"name":"price","type":"decimal(12, 2)"}]}}},
            {"name":"attributes","type":{"map":"double"}},
            {"name":"at","type":"timestamp(ms)"}]}"#,
    )
    .unwrap();
    assert_eq!(
        schema.to_json(),
        r#"{"fields":[{"id":1,"name":"order_id","type":"long","nullable":false},{"id":2,"name":"lines","type":{"list":{"struct":[{"id":4,"name":"sku","type":"string","nullable":true},{"id":5,"name":"price","type":"decimal(12,2)","nullable":true}]},"element_id":3},"nullable":true},{"id":6,"name":"attributes","type":{"map":"double","key_id":7,"value_id":8},"nullable":true},{"id":9,"name":"at","type":"timestamp(ms)","nullable":true}],"last_id":9}"#
    );
    assert_eq!(schema.field_count(), 9);
}

#[test]
fn every_type_comes_back_from_its_canonical_text() {
    for kind in [
        r#""bool""#,
        r#""int""#,
        r#""long""#,
        r#""float""#,
        r#""double""#,
        r#""decimal(1,0)""#,
        r#""decimal(38,38)""#,
        r#""string""#,
        r#""binary""#,
        r#""date""#,
        r#""timestamp(ms)""#,
        r#""timestamp(us)""#,
        r#""time""#,
        r#""local_timestamp(ms)""#,
        r#""local_timestamp(us)""#,
        r#"{"map":"int","keys":"long"}"#,
        r#"{"list":{"list":"int"}}"#,
        r#"{"map":{"map":"string"}}"#,
        r#"{"struct":[{"name":"ü\"\\","type":"int"}]}"#,
    ] {
        let schema = TableSchema::parse(&one(kind)).unwrap();
        assert_eq!(TableSchema::parse(&schema.to_json()).unwrap(), schema);
    }
}

#[test]
fn ids_that_stand_are_kept() {
    let text = r#"{"fields":[{"id":7,"name":"b","type":"int","nullable":true}],"last_id":9}"#;
    let schema = TableSchema::parse(text).unwrap();
    assert_eq!((schema.fields()[0].id, schema.last_id()), (7, 9));
    assert_eq!(schema.to_json(), text);
    for (text, expected) in [
        (
            r#"{"fields":[{"id":7,"name":"b","type":"int"}]}"#,
            r#"schema: "last_id" is missing beside ids that are given"#,
        ),
        (
            r#"{"fields":[{"id":7,"name":"b","type":"int"}],"last_id":6}"#,
            r#"schema: id 7 of "b" is not within 1..=6"#,
        ),
        (
            r#"{"fields":[{"id":1,"name":"b","type":{"list":"int","element_id":1}}],"last_id":6}"#,
            r#"schema: id 1 of "element" is given twice"#,
        ),
        (
            r#"{"fields":[{"name":"b","type":"int"}],"last_id":6}"#,
            r#"schema: id 0 of "b" is not within 1..=6"#,
        ),
    ] {
        assert_eq!(invalid(text), expected);
    }
}

#[test]
fn faults_name_place_and_field() {
    for (text, expected) in [
        ("[]".to_owned(), "schema: must be an object"),
        ("{}".to_owned(), r#"schema: "fields" is missing"#),
        (
            r#"{"fields":[]}"#.to_owned(),
            "fields: must be an array of at least one field",
        ),
        (
            r#"{"fields":[{"type":"int"}]}"#.to_owned(),
            r#"fields[0]: "name" is missing"#,
        ),
        (
            r#"{"fields":[{"name":"","type":"int"}]}"#.to_owned(),
            r#"fields[0] "": "name" must be a text of 1 to 255 bytes"#,
        ),
        (
            r#"{"fields":[{"name":"a","type":"int","nullable":1}]}"#.to_owned(),
            r#"fields[0] "a": "nullable" must be true or false"#,
        ),
        (
            r#"{"fields":[{"name":"a","type":"int","default":1}]}"#.to_owned(),
            r#"fields[0] "a": unknown member "default""#,
        ),
        (
            r#"{"fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}"#.to_owned(),
            r#"fields[1] "a": another field has this name, or had it"#,
        ),
        (
            r#"{"fields":[{"name":"_OFFSET","type":"int"}]}"#.to_owned(),
            r#"fields[0] "_OFFSET": the name is that of a system column"#,
        ),
        (
            one(r#"{"struct":[{"name":"b","type":{"list":7}}]}"#),
            r#"fields[0] "a".type.struct[0] "b".type.list: must be a type name or one of {"list"}, {"map"}, {"struct"}"#,
        ),
        (
            one(r#"{"set":"int"}"#),
            r#"fields[0] "a".type: must have one of "list", "map", "struct""#,
        ),
        (
            one(r#"{"map":"int","keys":"double"}"#),
            r#"fields[0] "a".type: "keys" must be one of string, bool, int, long"#,
        ),
        (
            one(r#"{"list":"int","map":"int"}"#),
            r#"fields[0] "a".type: unknown member "map""#,
        ),
        (
            "{\"fields\":\n  oops".to_owned(),
            "the schema is not JSON: expected value at line 2 column 3",
        ),
    ] {
        assert_eq!(invalid(&text), expected);
    }
    for kind in [
        "decimal",
        "decimal(0,0)",
        "decimal(39,1)",
        "decimal(3,4)",
        "decimal(+3,1)",
        "decimal(3)",
        "Long",
        "timestamp",
        "timestamp(ns)",
        "",
    ] {
        let message = invalid(&one(&format!("{kind:?}")));
        assert!(message.starts_with(&format!(
            "fields[0] \"a\".type: no type {kind:?}; there are"
        )));
    }
    assert!(
        TableSchema::parse(r#"{"fields":[{"name":"_id","type":"string"}]}"#).is_ok(),
        "only system names are taken, not all underscores"
    );
}

#[test]
fn schemas_are_bounded() {
    let nested = |depth| {
        one(&format!(
            "{}\"int\"{}",
            "{\"list\":".repeat(depth),
            "}".repeat(depth)
        ))
    };
    assert!(TableSchema::parse(&nested(TableSchema::DEPTH_MAX)).is_ok());
    assert!(invalid(&nested(TableSchema::DEPTH_MAX + 1)).ends_with("nested deeper than 16"));
    assert!(invalid(&nested(100_000)).starts_with("the schema is not JSON"));
    let wide = |count: usize| {
        let fields: Vec<_> = (0..count)
            .map(|i| format!(r#"{{"name":"f{i}","type":"int"}}"#))
            .collect();
        format!(r#"{{"fields":[{}]}}"#, fields.join(","))
    };
    assert!(TableSchema::parse(&wide(TableSchema::FIELDS_MAX)).is_ok());
    assert!(invalid(&wide(TableSchema::FIELDS_MAX + 1)).ends_with("more than 10000 fields"));
    let long = format!(
        "{}{}",
        one("\"int\""),
        " ".repeat(TableSchema::TEXT_BYTES_MAX)
    );
    assert!(matches!(
        TableSchema::parse(&long),
        Err(SchemaError::TooLong { .. })
    ));
}

#[test]
fn arrow_fields_carry_their_ids() {
    let text = one(r#"{"map":{"struct":[{"name":"b","type":"int","nullable":false}]}}"#);
    let rows = RowSchema::typed(TableSchema::parse(&text).unwrap());
    let mut ids: Vec<(String, i32)> = Vec::new();
    collect_ids(rows.arrow().fields(), &mut ids);
    let expected = [
        ("_partition", -1),
        ("_offset", -2),
        ("_timestamp", -3),
        ("_timestamp_type", -10),
        ("_key", -5),
        ("_headers", -6),
        ("element", -7),
        ("key", -8),
        ("value", -9),
        ("a", 1),
        ("key", 2),
        ("value", 3),
        ("b", 4),
    ];
    let expected: Vec<_> = expected.map(|(name, id)| (name.to_owned(), id)).into();
    assert_eq!(ids, expected);
    assert_eq!(rows.value_arrow().unwrap().fields().len(), 1);
    let key_value = RowSchema::key_value();
    assert_eq!(key_value.arrow().fields().last().unwrap().name(), "value");
    assert!(key_value.value_arrow().is_none());
}

fn collect_ids(fields: &arrow_schema::Fields, into: &mut Vec<(String, i32)>) {
    use arrow_schema::DataType;
    for field in fields {
        if let Some(id) = field.metadata().get("PARQUET:field_id") {
            into.push((field.name().clone(), id.parse().unwrap()));
        }
        match field.data_type() {
            DataType::Struct(children) => collect_ids(children, into),
            DataType::List(child) | DataType::Map(child, _) => {
                collect_ids(&vec![child.clone()].into(), into);
            }
            _ => {}
        }
    }
}
