//! Types by a table, tables that differ from the draft, and bytes that are no value.

mod random;
mod written;

use serde_json::{Value, json};

use super::*;
use crate::column::Group;
use crate::json::Reason;
use crate::json::tests::rows;
use crate::schema::{Field, Kind, TableSchema, TimeUnit};

fn writer(schema: &Value) -> Writer {
    Writer::parse(&schema.to_string(), &[]).unwrap_or_else(|error| panic!("{schema}: {error}"))
}

/// A record with one field `a`.
fn record_of(kind: Value) -> Value {
    json!({"type": "record", "name": "R", "fields": [{"name": "a", "type": kind}]})
}

fn refusal(schema: &Value) -> String {
    Writer::parse(&schema.to_string(), &[])
        .unwrap_err()
        .to_string()
}

/// One value under its writer's own table.
fn decoded(schema: &Value, value: &[u8]) -> Result<Value, Reason> {
    let writer = writer(schema);
    let table = writer.draft().clone().allocate().unwrap();
    in_table(&writer, &table, value)
}

fn in_table(writer: &Writer, table: &TableSchema, value: &[u8]) -> Result<Value, Reason> {
    let plan = Plan::compile(writer, table).unwrap();
    let mut columns = Group::new(table.fields());
    plan.append(&mut columns, 0, value)?;
    Ok(rows(&mut columns, table).remove(0))
}

fn reason(schema: &Value, value: &[u8]) -> String {
    decoded(schema, value).unwrap_err().to_string()
}

fn table(fields: Value) -> TableSchema {
    TableSchema::parse(&json!({ "fields": fields }).to_string()).unwrap()
}

fn mismatch(schema: &Value, fields: Value) -> String {
    Plan::compile(&writer(schema), &table(fields))
        .unwrap_err()
        .to_string()
}

#[test]
fn every_type_has_its_column() {
    let logical = |of: &str, name: &str| json!({"type": of, "logicalType": name});
    let fixed = |size: usize, name: &str| json!({"type": "fixed", "name": "F", "size": size, "logicalType": name});
    let decimal = |precision: u32, scale: u32| json!({"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale});
    let (ms, us) = (TimeUnit::Millisecond, TimeUnit::Microsecond);
    let dec = |precision, scale| Kind::Decimal { precision, scale };
    for (of, expected) in [
        (json!("boolean"), Kind::Bool),
        (json!({"type": "int"}), Kind::Int),
        (json!({"type": {"type": "long"}}), Kind::Long),
        (json!("float"), Kind::Float),
        (json!("double"), Kind::Double),
        (json!("bytes"), Kind::Binary),
        (json!("string"), Kind::String),
        (logical("string", "uuid"), Kind::String),
        (fixed(16, "uuid"), Kind::String),
        (fixed(15, "uuid"), Kind::Binary),
        (fixed(12, "duration"), Kind::Binary),
        (
            json!({"type": "enum", "name": "E", "symbols": ["A"]}),
            Kind::String,
        ),
        (logical("int", "date"), Kind::Date),
        (logical("long", "date"), Kind::Long),
        (logical("int", "time-millis"), Kind::Time),
        (logical("long", "time-micros"), Kind::Time),
        (logical("long", "timestamp-millis"), Kind::Timestamp(ms)),
        (logical("long", "timestamp-micros"), Kind::Timestamp(us)),
        (logical("long", "timestamp-nanos"), Kind::Long),
        (
            logical("long", "local-timestamp-millis"),
            Kind::LocalTimestamp(ms),
        ),
        (
            logical("long", "local-timestamp-micros"),
            Kind::LocalTimestamp(us),
        ),
        (logical("long", "local-timestamp-nanos"), Kind::Long),
        (logical("bytes", "big-decimal"), Kind::Binary),
        (logical("string", "unheard-of"), Kind::String),
        (decimal(38, 38), dec(38, 38)),
        (decimal(39, 2), Kind::Binary),
        (decimal(4, 5), Kind::Binary),
        (logical("bytes", "decimal"), Kind::Binary),
        (
            json!({"type": "fixed", "name": "F", "size": 2, "logicalType": "decimal", "precision": 4}),
            dec(4, 0),
        ),
        (
            json!({"type": "fixed", "name": "F", "size": 2, "logicalType": "decimal", "precision": 5}),
            Kind::Binary,
        ),
        (
            json!({"type": "array", "items": "int"}),
            Kind::list_of(Kind::Int),
        ),
        (
            json!({"type": "map", "values": ["null", "int"]}),
            Kind::map_of(Kind::String, Kind::Int),
        ),
    ] {
        let writer = writer(&record_of(of.clone()));
        assert_eq!(
            writer.draft().fields,
            [Field::draft("a", expected, false)],
            "{of}"
        );
    }
}

#[test]
fn unions_are_optional_or_a_struct_named_by_type() {
    let draft = |kind| writer(&record_of(kind)).draft().fields[0].clone();
    for optional in [json!(["null", "int"]), json!(["int", "null"])] {
        assert_eq!(draft(optional), Field::draft("a", Kind::Int, true));
    }
    let inner = json!({"type": "record", "name": "x.I", "fields": [{"name": "b", "type": "null"}, {"name": "c", "type": "int"}]});
    let of = draft(json!(["null", "int", {"type": "long", "logicalType": "time-micros"}, inner]));
    let inner = Kind::Struct(vec![Field::draft("c", Kind::Int, false)]);
    let branches = vec![
        Field::draft("int", Kind::Int, true),
        Field::draft("long", Kind::Time, true),
        Field::draft("x.I", inner, true),
    ];
    assert_eq!(of, Field::draft("a", Kind::Struct(branches.clone()), true));
    let of = draft(json!(["int"]));
    assert_eq!(
        of,
        Field::draft("a", Kind::Struct(branches[..1].to_vec()), false)
    );
}

#[test]
fn a_value_that_is_no_record_is_one_column() {
    assert_eq!(
        decoded(&json!("string"), b"\x04hi"),
        Ok(json!({"root": "hi"}))
    );
    assert_eq!(
        decoded(&json!(["null", "int"]), &[0]),
        Ok(json!({"root": null}))
    );
}

#[test]
fn names_resolve_through_namespaces_and_references() {
    let address = r#"{"type":"record","name":"Address","namespace":"org","fields":[{"name":"country","type":"Country"}]}"#;
    let country = r#"{"type":"enum","name":"org.Country","symbols":["DE","FR"]}"#;
    let text = r#"{"type":"record","name":"org.shop.Order","fields":[
        {"name":"to","type":"org.Address"},
        {"name":"line","type":{"type":"record","name":"Line","fields":[]}},
        {"name":"first","type":["null","Line","org.shop.Line2"]}]}"#;
    let text = text.replace(
        r#""org.shop.Line2""#,
        r#"{"type":"fixed","name":"Line2","size":1}"#,
    );
    // The first needs the second.
    let references = [
        ("org.Address".to_owned(), address.to_owned()),
        ("org.Country".to_owned(), country.to_owned()),
    ];
    let writer = Writer::parse(&text, &references).unwrap();
    let names: Vec<_> = writer
        .draft()
        .fields
        .iter()
        .map(|field| &*field.name)
        .collect();
    assert_eq!(names, ["to", "first"], "an empty record has no column");
    let Kind::Struct(branches) = &writer.draft().fields[1].kind else {
        panic!("a struct");
    };
    assert_eq!(branches[0].name, "org.shop.Line2");
    let unknown = Writer::parse(&text, &references[1..])
        .unwrap_err()
        .to_string();
    assert_eq!(
        unknown,
        r#"fields[0] "to".type: no type "org.Address" is defined"#
    );
}

#[test]
fn what_is_no_schema_says_where() {
    let field = |name: &str, of: Value| json!({"type": "record", "name": "R", "fields": [{"name": name, "type": of}]});
    for (schema, expected) in [
        (json!("text"), r#"schema: no type "text" is defined"#),
        (
            json!(7),
            "schema: a type is a name, an object, or an array of types",
        ),
        (
            json!({"type": "record", "name": "R"}),
            r#"fields: "fields" is missing"#,
        ),
        (
            json!({"type": "record", "fields": []}),
            r#"schema: "name" is missing"#,
        ),
        (
            json!({"type": "record", "name": "a-b", "fields": []}),
            r#"schema: "name" is no name for a type"#,
        ),
        (
            field("1st", json!("int")),
            r#"fields[0] "1st": the field's "name" is no name"#,
        ),
        (
            field("a", json!(["int", "int"])),
            r#"fields[0] "a".type[1]: the union has int twice"#,
        ),
        (
            field("a", json!(["int", ["null"]])),
            r#"fields[0] "a".type[1]: a union directly in a union"#,
        ),
        (
            field(
                "a",
                json!({"type": "enum", "name": "E", "symbols": ["A", "A"]}),
            ),
            r#"fields[0] "a".type: the symbol "A" is no name, or there twice"#,
        ),
        (
            field("a", json!({"type": "fixed", "name": "R", "size": 1})),
            r#"fields[0] "a".type: R is defined twice"#,
        ),
        (
            field("a", json!({"type": "fixed", "name": "F", "size": -1})),
            r#"fields[0] "a".type: "size" must be a number of bytes"#,
        ),
        (
            field("a", json!({"type": "array", "items": "null"})),
            "a: an array whose elements hold nothing",
        ),
        (
            field("a", json!({"type": "array", "items": "R"})),
            "a[]: R contains itself; a type that does has no columns",
        ),
        (
            field("a", json!({"type": "fixed", "name": "F", "size": 0})),
            "",
        ),
        (
            field(
                "a",
                json!({"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}}),
            ),
            "a: an array whose elements hold nothing",
        ),
        (
            field("a", json!("null")),
            "schema: holds no value that a column could have",
        ),
    ] {
        match Writer::parse(&schema.to_string(), &[]) {
            Ok(_) => assert_eq!(expected, "", "{schema}"),
            Err(error) => assert!(error.to_string().starts_with(expected), "{schema}: {error}"),
        }
    }
    let twice = Writer::parse(r#"{"type":"int","type":"long"}"#, &[]).unwrap_err();
    assert!(
        twice
            .to_string()
            .contains(r#"the member "type" is given twice"#),
        "{twice}"
    );
}

#[test]
fn schemas_made_to_be_expensive_are_refused() {
    // Each record holds the one before twice: few types, 2^20 fields.
    let mut fields = vec![
        json!({"name": "f0", "type": {"type": "record", "name": "N0", "fields": [{"name": "a", "type": "null"}]}}),
    ];
    for i in 1..15 {
        let inner = format!("N{}", i - 1);
        let of = json!({"type": "record", "name": format!("N{i}"), "fields": [{"name": "a", "type": inner}, {"name": "b", "type": inner}]});
        fields.push(json!({"name": format!("f{i}"), "type": of}));
    }
    let schema = json!({"type": "record", "name": "R", "fields": fields});
    assert!(refusal(&schema).ends_with("more than 10000 fields"));
    let deep = (0..40).fold(json!("int"), |of, _| json!({"type": "array", "items": of}));
    assert!(refusal(&deep).ends_with("nested deeper than 16"));
    let chained = |i: usize| {
        let fields = json!([{"name": "a", "type": format!("T{}", i + 1)}]);
        let text = json!({"type": "record", "name": format!("T{i}"), "fields": fields});
        (format!("T{i}"), text.to_string())
    };
    let references: Vec<_> = (0..1000).map(chained).collect();
    let chain = Writer::parse(r#""T0""#, &references).unwrap_err();
    assert!(
        chain.to_string().ends_with("nested deeper than 128"),
        "{chain}"
    );
    for text in ["[".repeat(100_000), "{\"type\":".repeat(100_000)] {
        assert!(Writer::parse(&text, &[]).is_err());
    }
    let long = format!("\"{}\"", "x".repeat(BadSchema::TEXT_BYTES_MAX));
    assert!(matches!(
        Writer::parse(&long, &[]),
        Err(BadSchema::TooLong { .. })
    ));
}

#[test]
fn a_table_may_have_more_columns_and_fewer_and_wider_ones() {
    let schema = json!({"type": "record", "name": "R", "fields": [
        {"name": "gone", "type": {"type": "map", "values": {"type": "array", "items": ["null", "string"]}}},
        {"name": "n", "type": "int"},
        {"name": "x", "type": "float"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "d", "type": {"type": "bytes", "logicalType": "decimal", "precision": 2, "scale": 1}},
        {"name": "u", "type": ["int", "string", "boolean"]}]});
    let table = table(json!([
        {"name": "new", "type": {"list": "int"}},
        {"name": "u", "type": {"struct": [{"name": "string", "type": "string"}, {"name": "int", "type": "double"}]}},
        {"name": "d", "type": "decimal(9,1)"},
        {"name": "at", "type": "timestamp(us)"},
        {"name": "x", "type": "double"},
        {"name": "n", "type": "long", "nullable": false}]));
    let writer = writer(&schema);
    // One map entry in a block with its length, whose list has a block with and one without.
    let gone = [&[1, 22, 2, b'k', 3, 4, 0, 0, 2, 2, 2, b'z', 0][..], &[0]].concat();
    let rest = [&[2][..], &1.5_f32.to_le_bytes(), &[2, 2, 15, 0, 4]].concat();
    let expected = json!({"new": null, "u": {"string": null, "int": 2.0}, "d": "15", "at": 1000, "x": 1.5, "n": 1});
    let row = in_table(&writer, &table, &[gone.clone(), rest].concat());
    assert_eq!(row, Ok(expected));
    let other = [&[2][..], &1.5_f32.to_le_bytes(), &[2, 2, 15, 4, 1]].concat();
    let row = in_table(&writer, &table, &[gone.clone(), other].concat()).unwrap();
    assert_eq!(
        row["u"],
        json!({"string": null, "int": null}),
        "a branch without a column"
    );
    let far = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    let far = [&gone[..], &[2, 0, 0, 0, 0], &far].concat();
    let reason = in_table(&writer, &table, &far).unwrap_err();
    assert_eq!(
        reason.to_string(),
        "field at: not exactly a value of timestamp(us)"
    );
}

#[test]
fn columns_that_do_not_fit_are_named() {
    let inner = json!({"type": "record", "name": "I", "fields": [{"name": "b", "type": "long"}]});
    let list = record_of(json!({"type": "array", "items": inner}));
    let column = |of: Value| json!([{"name": "a", "type": of}]);
    let nested = column(json!({"list": {"struct": [{"name": "b", "type": "int"}]}}));
    assert_eq!(
        mismatch(&list, nested),
        "column a[].b: is int, which long does not fit"
    );
    let flat = column(json!("string"));
    assert_eq!(
        mismatch(&list, flat),
        "column a: is string, which array does not fit"
    );
    let must =
        json!([{"name": "a", "type": "long"}, {"name": "z", "type": "int", "nullable": false}]);
    assert_eq!(
        mismatch(&record_of(json!("long")), must),
        "column z: may not be null, and the writer has no field for it"
    );
    let one = column(json!({"struct": [{"name": "int", "type": "int", "nullable": false}]}));
    assert_eq!(
        mismatch(&record_of(json!(["int", "string"])), one),
        "column a.int: may not be null, and a union fills one column only"
    );
    let decimal = json!({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2});
    let scaled = column(json!("decimal(9,3)"));
    assert_eq!(
        mismatch(&record_of(decimal), scaled),
        "column a: is decimal(9,3), which decimal(4,2) does not fit"
    );
}

#[test]
fn bytes_that_are_no_value_say_why() {
    let of = |kind: &str| record_of(json!(kind));
    let list =
        record_of(json!({"type": "array", "items": ["null", {"type": "map", "values": "int"}]}));
    let time = record_of(json!({"type": "int", "logicalType": "time-millis"}));
    let decimal = record_of(json!({"type": "bytes", "logicalType": "decimal", "precision": 2}));
    let symbol = record_of(json!({"type": "enum", "name": "E", "symbols": ["A"]}));
    let endless = [0xfe_u8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    for (schema, value, expected) in [
        (of("int"), &[][..], "field a: the value ends too early"),
        (of("int"), &[0x80], "field a: the value ends too early"),
        (of("int"), &[2, 2, 2], "2 bytes behind the value"),
        (
            of("int"),
            &[0x80, 0x80, 0x80, 0x80, 0x10],
            "field a: an int of more than 32 bits",
        ),
        (
            of("long"),
            &[0xff; 11],
            "field a: a number of more than 64 bits",
        ),
        (
            of("boolean"),
            &[2],
            "field a: a boolean that is neither 0 nor 1",
        ),
        (of("string"), &[1], "field a: a length below zero"),
        (
            of("string"),
            &[2, 0xff],
            "field a: a string that is not UTF-8",
        ),
        (of("bytes"), &endless, "field a: the value ends too early"),
        (
            list.clone(),
            &endless,
            "field a[]: the value ends too early",
        ),
        (
            list.clone(),
            &[2, 2, 2, 2, b'k'],
            "field a[]{}: the value ends too early",
        ),
        (
            list.clone(),
            &[2, 2, 4, 2, b'k', 0, 2, b'k', 0, 0, 0],
            "field a[]: given twice",
        ),
        (
            list,
            &[2, 4],
            "field a[]: a branch or symbol that the schema does not have",
        ),
        (time, &[1], "field a: not exactly a value of time"),
        (
            decimal,
            &[2, 100],
            "field a: not exactly a value of decimal(2,0)",
        ),
        (
            symbol,
            &[2],
            "field a: a branch or symbol that the schema does not have",
        ),
    ] {
        assert_eq!(reason(&schema, value), expected, "{schema} {value:?}");
    }
    let not_null = table(json!([{"name": "a", "type": "int", "nullable": false}]));
    let optional = writer(&record_of(json!(["null", "int"])));
    let reason = in_table(&optional, &not_null, &[0]).unwrap_err();
    assert_eq!(
        reason.to_string(),
        "field a: no value, and null is not allowed"
    );
}

/// Rows of JSON, as columns of the writer's draft, to be written.
fn unwritten(kind: Value, row: &str) -> String {
    let schema = record_of(kind);
    let writer = writer(&schema);
    let table = writer.draft().clone().allocate().unwrap();
    let mut columns = Group::new(table.fields());
    crate::json::append(&mut columns, 0, row.as_bytes()).unwrap();
    let fields = crate::arrow::fields(table.fields());
    let rows = arrow_array::StructArray::new(fields, columns.finish().unwrap(), None).into();
    let mut out = Vec::new();
    let written = writer
        .rows(&rows)
        .unwrap()
        .write_within(0, 1 << 10, &mut out);
    written.unwrap_err().to_string()
}

#[test]
fn rows_that_a_schema_cannot_hold_say_why() {
    let fixed = |size: usize, name: &str| json!({"type": "fixed", "name": "F", "size": size, "logicalType": name});
    let letters = json!({"type": "enum", "name": "E", "symbols": ["A"]});
    for (kind, row, expected) in [
        (
            letters,
            r#"{"a":"B"}"#,
            "field a: not exactly a value of enum E",
        ),
        (
            fixed(2, "none"),
            r#"{"a":"AAAA"}"#,
            "field a: not exactly a value of fixed(2)",
        ),
        (
            fixed(16, "uuid"),
            r#"{"a":"b"}"#,
            "field a: not exactly a value of uuid",
        ),
        (
            json!({"type": "int", "logicalType": "time-millis"}),
            r#"{"a":1}"#,
            "field a: not exactly a value of time-millis",
        ),
        (
            json!(["int", "string"]),
            r#"{"a":{"int":1,"string":"x"}}"#,
            "field a: not exactly a value of a union, which takes exactly one of its branches",
        ),
        (
            json!({"type": "array", "items": ["null", "int", "string"]}),
            r#"{"a":[null,{}]}"#,
            "field a[]: not exactly a value of a union, which takes exactly one of its branches",
        ),
    ] {
        assert_eq!(unwritten(kind, row), expected);
    }
    let many = format!(r#"{{"a":[{}1]}}"#, "1,".repeat(2_000));
    let error = unwritten(json!({"type": "array", "items": "int"}), &many);
    assert_eq!(error, "more bytes than were allowed");
}

#[test]
fn values_alone_become_a_batch() {
    let writer = writer(&record_of(json!("int")));
    let table = writer.draft().clone().allocate().unwrap();
    let plan = Plan::compile(&writer, &table).unwrap();
    let decoded = plan.decode([&[2][..], &[], &[4]]).unwrap();
    assert_eq!(decoded.rows.num_rows(), 2);
    assert_eq!(decoded.undecodable.len(), 1);
    assert_eq!(decoded.undecodable[0].0, 1);
}
