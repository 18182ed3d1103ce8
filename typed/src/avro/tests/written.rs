//! Rows written as Avro are read back as the same rows, under the schema they came with and under one
//! made of their columns; what has no value is refused and leaves nothing behind.

use std::sync::Arc;

use apache_avro::{Schema as Other, to_avro_datum};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BinaryArray, RecordBatch, StringArray, StructArray};
use arrow_schema::{DataType, Field as ArrowField, Fields, Schema as ArrowSchema};

use super::random::Maker;
use super::*;

/// Every row as a value.
fn written(writer: &Writer, rows: &RecordBatch) -> Vec<Vec<u8>> {
    let values = AvroRows::of(writer, rows).unwrap();
    let write = |row| {
        let mut out = vec![7];
        values.write(row, &mut out).unwrap();
        out.remove(0);
        out
    };
    (0..rows.num_rows()).map(write).collect()
}

fn read(writer: &Writer, table: &TableSchema, values: &[Vec<u8>]) -> RecordBatch {
    let plan = Plan::compile(writer, table).unwrap();
    let decoded = plan.decode(values.iter().map(Vec::as_slice)).unwrap();
    assert!(decoded.undecodable.is_empty(), "{:?}", decoded.undecodable);
    decoded.rows
}

#[test]
fn what_is_written_is_read_as_the_same_rows() {
    for seed in 0..500 {
        let mut maker = Maker::new(seed);
        let schema = maker.record(3);
        let other = Other::parse_str(&schema.to_string()).unwrap();
        let writer = writer(&schema);
        let table = writer.draft().clone().allocate().unwrap();
        let values: Vec<_> = (0..8)
            .map(|_| to_avro_datum(&other, maker.value(&schema).0).unwrap())
            .collect();
        let rows = read(&writer, &table, &values);
        let again = written(&writer, &rows);
        assert_eq!(read(&writer, &table, &again), rows, "seed {seed}, {schema}");
        assert_eq!(
            written(&writer, &rows.slice(3, 4)),
            again[3..7],
            "seed {seed}"
        );

        let text = schema_text("made.of", rows.schema_ref().fields()).unwrap();
        Other::parse_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let made = Writer::parse(&text, &[]).unwrap();
        let values = written(&made, &rows);
        assert_eq!(read(&made, &table, &values), rows, "seed {seed}, {text}");
    }
}

#[test]
fn each_column_type_has_its_avro_type() {
    let kinds = json!([
        {"name": "a", "type": "bool", "nullable": false}, {"name": "b", "type": "int"},
        {"name": "c", "type": "decimal(9,2)", "nullable": false}, {"name": "d", "type": "date"},
        {"name": "e", "type": "time"}, {"name": "f", "type": "timestamp(us)"},
        {"name": "g", "type": "local_timestamp(ms)"},
        {"name": "h", "type": {"struct": [{"name": "i", "type": {"list": {"struct": [{"name": "j", "type": "binary"}]}}}]}},
        {"name": "k", "type": {"map": "float"}},
    ]);
    let columns = crate::arrow::fields(table(kinds).fields());
    let text = schema_text("x.Row", &columns).unwrap();
    let optional = |of: Value| json!(["null", of]);
    let logical = |of: &str, name: &str| optional(json!({"type": of, "logicalType": name}));
    let inner = json!({"type": "record", "name": "x.Row.h.i", "fields": [{"name": "j", "type": ["null", "bytes"], "default": null}]});
    let items = json!({"type": "array", "items": optional(inner)});
    let outer = json!({"type": "record", "name": "x.Row.h", "fields": [{"name": "i", "type": optional(items), "default": null}]});
    let field = |name: &str, of: Value| json!({"name": name, "type": of, "default": null});
    let expected = json!({"type": "record", "name": "x.Row", "fields": [
        {"name": "a", "type": "boolean"},
        field("b", optional(json!("int"))),
        {"name": "c", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        field("d", logical("int", "date")),
        field("e", logical("long", "time-micros")),
        field("f", logical("long", "timestamp-micros")),
        field("g", logical("long", "local-timestamp-millis")),
        field("h", optional(outer)),
        field("k", optional(json!({"type": "map", "values": ["null", "float"]}))),
    ]});
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
}

#[test]
fn what_avro_has_no_name_or_type_for_is_refused() {
    let refusal = |fields: Value| {
        let columns = crate::arrow::fields(table(fields).fields());
        schema_text("R", &columns).unwrap_err().to_string()
    };
    let odd = json!([{"name": "a", "type": {"list": {"struct": [{"name": "é", "type": "int"}]}}}]);
    assert_eq!(refusal(odd), "column a[].é: has no name that Avro allows");
    let map = refusal(json!([{"name": "m", "type": {"map": "int", "keys": "long"}}]));
    assert!(map.starts_with("column m: is Map("), "{map}");
    assert!(schema_text("a-b", &Fields::empty()).is_err());
    for (text, name) in [
        ("orders-berlin.v2", "orders_berlin_v2"),
        ("2x", "_2x"),
        ("", "_"),
    ] {
        assert_eq!(record_name(text), name);
    }
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields = columns
        .iter()
        .map(|(name, column)| ArrowField::new(*name, column.data_type().clone(), true));
    let schema = Arc::new(ArrowSchema::new(fields.collect::<Vec<_>>()));
    RecordBatch::try_new(
        schema,
        columns.into_iter().map(|(_, column)| column).collect(),
    )
    .unwrap()
}

#[test]
fn values_that_the_schema_does_not_have_are_refused_row_by_row() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("A"), Some("Z"), None]));
    let blobs: ArrayRef = Arc::new(BinaryArray::from_opt_vec(vec![
        Some(b"ab"),
        Some(b"a"),
        None,
    ]));
    for (kind, column) in [
        (
            json!({"type": "enum", "name": "E", "symbols": ["A"]}),
            texts,
        ),
        (json!({"type": "fixed", "name": "F", "size": 2}), blobs),
    ] {
        let writer = writer(&record_of(kind));
        let rows = batch(vec![("a", column)]);
        let values = AvroRows::of(&writer, &rows).unwrap();
        let mut out = b"kept".to_vec();
        values.write(1, &mut out).unwrap_err();
        let missing = values.write(2, &mut out).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "field a: no value, and null is not allowed"
        );
        assert_eq!(out, b"kept");
        values.write(0, &mut out).unwrap();
        assert!(out.len() > 4);
    }
}

#[test]
fn a_union_takes_the_one_member_that_is_not_null() {
    let writer = writer(&record_of(json!(["string", "null", "bytes"])));
    let texts = StringArray::from(vec![Some("x"), None, Some("y"), None, None]);
    let blobs = BinaryArray::from_opt_vec(vec![None, Some(b"z"), Some(b"z"), None, None]);
    let member = |name: &str, of: DataType| Arc::new(ArrowField::new(name, of, true));
    let fields: Fields = vec![
        member("string", DataType::Utf8),
        member("bytes", DataType::Binary),
    ]
    .into();
    let nulls = Some(vec![true, true, true, true, false].into());
    let of = StructArray::new(fields, vec![Arc::new(texts), Arc::new(blobs)], nulls);
    let rows = batch(vec![("a", Arc::new(of))]);
    let values = AvroRows::of(&writer, &rows).unwrap();
    let value = |row| {
        let mut out = Vec::new();
        values.write(row, &mut out).map(|()| out)
    };
    assert_eq!(value(0), Ok(vec![0, 2, b'x']));
    assert_eq!(value(1), Ok(vec![4, 2, b'z']));
    assert!(value(2).is_err() && value(3).is_err());
    assert_eq!(value(4), Ok(vec![2]));
}

#[test]
fn columns_and_fields_have_to_fit() {
    let schema = json!({"type": "record", "name": "R", "fields": [
        {"name": "a", "type": "int"}, {"name": "b", "type": ["int", "null"]},
        {"name": "n", "type": {"type": "record", "name": "N", "fields": [{"name": "x", "type": "null"}]}},
    ]});
    let writer = writer(&schema);
    let ints: ArrayRef = Arc::new(arrow_array::Int32Array::from(vec![1]));
    let rows = batch(vec![("a", Arc::clone(&ints))]);
    let mut out = Vec::new();
    AvroRows::of(&writer, &rows)
        .unwrap()
        .write(0, &mut out)
        .unwrap();
    assert_eq!(out, [2, 2], "b is null, n holds nothing");

    let longs: ArrayRef = Arc::new(arrow_array::Int64Array::from(vec![1]));
    for (columns, expected) in [
        (
            vec![("b", Arc::clone(&ints))],
            "column a: is a field that is not null, without a column",
        ),
        (
            vec![("a", longs)],
            "column a: is Int64, which int does not hold",
        ),
        (
            vec![("a", Arc::clone(&ints)), ("z", ints)],
            "column z: is no field of the schema",
        ),
    ] {
        let rows = batch(columns);
        let mismatch = AvroRows::of(&writer, &rows).err().unwrap();
        assert_eq!(mismatch.to_string(), expected);
    }

    let alone = super::writer(&json!({"type": "array", "items": "int"}));
    let table = alone.draft().clone().allocate().unwrap();
    let rows = read(&alone, &table, &[vec![2, 8, 0]]);
    assert_eq!(rows.column(0).as_list::<i32>().len(), 1);
    assert_eq!(written(&alone, &rows), [vec![2, 8, 0]]);
}
