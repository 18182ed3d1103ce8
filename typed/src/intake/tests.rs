//! What fits and what does not: types, values, names, and places nobody can see.

use std::sync::Arc;

use arrow_array::builder::{Int32Builder, MapBuilder, StringBuilder};
use arrow_array::types::Int64Type;
use arrow_array::*;
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{Field as ArrowField, Fields};

use super::*;
use crate::schema::TableSchema;
use crate::{EncodeError, JsonStyle, ValueForm, ValueRows};

fn table(fields: &str) -> TableSchema {
    TableSchema::parse(&format!(r#"{{"fields":[{fields}]}}"#)).unwrap()
}

fn closed(table: &TableSchema) -> Target<'_> {
    Target {
        columns: table.fields(),
        is_open: false,
        names: Names::Now,
    }
}

fn sent<const N: usize>(columns: [(&str, ArrayRef); N]) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

/// The rows as JSON, or the first thing wrong with them.
fn written(rows: &RecordBatch, target: &Target<'_>) -> Result<Vec<String>, String> {
    let intake = Intake::resolve(rows.schema_ref(), target).map_err(|misfit| misfit.to_string())?;
    let taken = intake.take(rows).map_err(|error| error.to_string())?;
    let style = JsonStyle { nulls: false };
    let form = ValueForm::Json { frame: None, style };
    let values = ValueRows::of(&form, taken.values()).unwrap();
    let mut value = Vec::new();
    (0..rows.num_rows())
        .map(|row| {
            let written = values.write(row, 1 << 20, &mut value);
            written.map_err(|error| error.to_string())?;
            Ok(String::from_utf8(value.clone()).unwrap())
        })
        .collect()
}

/// One column `a` of two values for a table's column of some type.
fn pair(kind: &str, column: ArrayRef) -> Result<String, String> {
    let table = table(&format!(r#"{{"name":"a","type":"{kind}"}}"#));
    let rows = written(&sent([("a", column)]), &closed(&table))?;
    Ok(rows.join(" "))
}

#[test]
fn types_that_differ_in_width_or_unit_meet_value_by_value() {
    let micros = || TimestampMicrosecondArray::from(vec![1_500, 2_000]);
    let nanos = |values| TimestampNanosecondArray::from(vec![0, values]);
    let longs = |value| Int64Array::from(vec![1, value]);
    let decimals = |value, precision, scale| {
        let column = Decimal128Array::from(vec![0, value]);
        column.with_precision_and_scale(precision, scale).unwrap()
    };
    let cases: Vec<(&str, ArrayRef, Result<&str, &str>)> = vec![
        (
            "int",
            Arc::new(Int8Array::from(vec![-1, 2])),
            Ok(r#"{"a":-1} {"a":2}"#),
        ),
        ("int", Arc::new(longs(2)), Ok(r#"{"a":1} {"a":2}"#)),
        (
            "int",
            Arc::new(longs(1 << 31)),
            Err("row 1: field a: not exactly a value of int"),
        ),
        (
            "long",
            Arc::new(UInt64Array::from(vec![1, u64::MAX])),
            Err("row 1: field a: not exactly a value of long"),
        ),
        (
            "double",
            Arc::new(longs(1 << 53)),
            Ok(r#"{"a":1.0} {"a":9007199254740992.0}"#),
        ),
        (
            "double",
            Arc::new(longs((1 << 53) + 1)),
            Err("row 1: field a: not exactly a value of double"),
        ),
        (
            "double",
            Arc::new(Float32Array::from(vec![0.5, 1.0])),
            Ok(r#"{"a":0.5} {"a":1.0}"#),
        ),
        (
            "float",
            Arc::new(Float64Array::from(vec![0.5, 1.0])),
            Err("column a: Float64 does not fit float"),
        ),
        (
            "int",
            Arc::new(Float64Array::from(vec![0.5, 1.0])),
            Err("column a: Float64 does not fit int"),
        ),
        (
            "decimal(5,2)",
            Arc::new(decimals(12_345, 9, 3)),
            Err("row 1: field a: not exactly a value of decimal(5,2)"),
        ),
        (
            "decimal(5,2)",
            Arc::new(decimals(12_340, 9, 3)),
            Ok(r#"{"a":0.00} {"a":12.34}"#),
        ),
        (
            "decimal(5,2)",
            Arc::new(decimals(1_000, 4, 0)),
            Err("row 1: field a: not exactly a value of decimal(5,2)"),
        ),
        (
            "decimal(5,2)",
            Arc::new(longs(-999)),
            Ok(r#"{"a":1.00} {"a":-999.00}"#),
        ),
        (
            "string",
            Arc::new(LargeStringArray::from(vec!["x", "y"])),
            Ok(r#"{"a":"x"} {"a":"y"}"#),
        ),
        (
            "string",
            Arc::new(BinaryArray::from(vec![&b"x"[..], b"y"])),
            Err("column a: Binary does not fit string"),
        ),
        (
            "binary",
            Arc::new(FixedSizeBinaryArray::from(vec![b"x", b"y"])),
            Ok(r#"{"a":"eA=="} {"a":"eQ=="}"#),
        ),
        (
            "date",
            Arc::new(Date64Array::from(vec![0, 86_400_000])),
            Ok(r#"{"a":"1970-01-01"} {"a":"1970-01-02"}"#),
        ),
        (
            "date",
            Arc::new(Date64Array::from(vec![0, 1])),
            Err("row 1: field a: not exactly a value of date"),
        ),
        (
            "time",
            Arc::new(Time32SecondArray::from(vec![1, 86_399])),
            Ok(r#"{"a":"00:00:01"} {"a":"23:59:59"}"#),
        ),
        (
            "time",
            Arc::new(Time64MicrosecondArray::from(vec![1, 86_400_000_000])),
            Err("row 1: field a: not exactly a value of time"),
        ),
        (
            "timestamp(us)",
            Arc::new(micros()),
            Err("column a: Timestamp(µs) does not fit timestamp(us)"),
        ),
        (
            "local_timestamp(ms)",
            Arc::new(micros()),
            Err("row 0: field a: not exactly a value of local_timestamp(ms)"),
        ),
        (
            "timestamp(us)",
            Arc::new(nanos(3_000).with_timezone("+02:00")),
            Ok(r#"{"a":"1970-01-01T00:00:00Z"} {"a":"1970-01-01T00:00:00.000003Z"}"#),
        ),
        (
            "timestamp(us)",
            Arc::new(nanos(3_001).with_timezone("UTC")),
            Err("row 1: field a: not exactly a value of timestamp(us)"),
        ),
        (
            "double",
            Arc::new(Float64Array::from(vec![0.0, f64::NAN])),
            Err("a number is not finite, and JSON has no text for it"),
        ),
    ];
    for (kind, column, expected) in cases {
        let from = column.data_type().clone();
        let got = pair(kind, column);
        let got = got.as_deref().map_err(String::as_str);
        assert_eq!(got, expected, "{from} for {kind}");
    }
}

#[test]
fn columns_meet_by_name_or_by_id() {
    let older = table(
        r#"{"name":"a","type":"int"},{"name":"b","type":"int"},{"name":"s","type":{"struct":[{"name":"x","type":"int"}]}}"#,
    );
    let newer = TableSchema::parse(
        r#"{"last_id":5,"fields":[{"id":5,"name":"b","type":"int"},{"id":1,"name":"one","type":"int","aliases":["a"]},
        {"id":3,"name":"s","type":{"struct":[{"id":4,"name":"y","type":"int","aliases":["x"]}]}}]}"#,
    )
    .unwrap();
    let ones = || -> ArrayRef { Arc::new(Int32Array::from(vec![1])) };
    let with_id = |name: &str, id: &str| {
        let metadata = [("PARQUET:field_id".to_owned(), id.to_owned())];
        ArrowField::new(name, DataType::Int32, true).with_metadata(metadata.into())
    };
    let numbered = |name: &str, id: &str| {
        let schema = Schema::new(vec![with_id(name, id)]);
        RecordBatch::try_new(Arc::new(schema), vec![ones()]).unwrap()
    };
    let by_name = Names::Now;
    let by_id = Names::Of {
        then: older.fields(),
        now: newer.fields(),
    };
    let inner = StructArray::from(vec![(
        Arc::new(ArrowField::new("x", DataType::Int32, true)),
        ones(),
    )]);
    for (rows, names, expected) in [
        (sent([("one", ones())]), by_name, Ok(r#"{"one":1}"#)),
        (sent([("a", ones())]), by_name, Ok(r#"{"one":1}"#)),
        // Ids of who knows what table count for nothing.
        (numbered("b", "1"), by_name, Ok(r#"{"b":1}"#)),
        (numbered("b", "1"), by_id, Ok(r#"{"one":1}"#)),
        (numbered("b", "2"), by_id, Err("the table has no column b")),
        (sent([("a", ones())]), by_id, Ok(r#"{"one":1}"#)),
        // It was dropped; the `b` of now is another.
        (
            sent([("b", ones())]),
            by_id,
            Err("the table has no column b"),
        ),
        (
            sent([("s", Arc::new(inner) as ArrayRef)]),
            by_id,
            Ok(r#"{"s":{"y":1}}"#),
        ),
        (
            sent([("c", ones())]),
            by_id,
            Err("the table has no column c"),
        ),
        (
            sent([("a", ones()), ("one", ones())]),
            by_name,
            Err("column one is given twice"),
        ),
        (
            sent([("_offset", ones())]),
            by_name,
            Err("column _offset is the broker's to give"),
        ),
        (
            sent([("_KEY", ones())]),
            by_name,
            Err("column _KEY is the broker's to give"),
        ),
        (
            sent([("_key", ones())]),
            by_name,
            Err("column _key: Int32 does not fit binary"),
        ),
    ] {
        let target = Target {
            columns: newer.fields(),
            is_open: false,
            names,
        };
        let got = written(&rows, &target).map(|rows| rows.join(" "));
        assert_eq!(
            got.as_deref().map_err(String::as_str),
            expected,
            "{:?}",
            rows.schema()
        );
    }
}

#[test]
fn an_open_table_takes_what_it_does_not_know() {
    let table =
        table(r#"{"name":"s","type":{"struct":[{"name":"x","type":"int","nullable":false}]}}"#);
    let target = Target {
        is_open: true,
        ..closed(&table)
    };
    let number = |name| {
        (
            Arc::new(ArrowField::new(name, DataType::UInt16, true)),
            Arc::new(UInt16Array::from(vec![7])) as ArrayRef,
        )
    };
    let inner = StructArray::from(vec![number("new"), number("x")]);
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(1), None])]);
    let rows = sent([("s", Arc::new(inner)), ("list", Arc::new(list))]);
    let expected = [r#"{"s":{"new":7,"x":7},"list":[1,null]}"#];
    assert_eq!(written(&rows, &target).unwrap(), expected);
    let rows = sent([("n", Arc::new(NullArray::new(1)) as ArrayRef)]);
    let error = written(&rows, &target).unwrap_err();
    assert_eq!(error, "column n: Null does not fit any column of a table");
    let rows = sent([(
        "s",
        Arc::new(StructArray::new_empty_fields(1, None)) as ArrayRef,
    )]);
    let error = written(&rows, &target).unwrap_err();
    assert_eq!(error, "column s: Struct() does not fit struct");
}

#[test]
fn faults_name_their_rows() {
    let table = table(
        r#"{"name":"id","type":"int","nullable":false},
        {"name":"l","type":{"list":{"struct":[{"name":"x","type":"int","nullable":false}]}}},
        {"name":"m","type":{"map":"int"}}"#,
    );
    let faults = |rows: &RecordBatch| {
        let intake = Intake::resolve(rows.schema_ref(), &closed(&table)).unwrap();
        match intake.take(rows) {
            Err(TakeError::Rows(faults)) => {
                let told = faults
                    .iter()
                    .map(|fault| format!("{}: {}", fault.row, fault.reason));
                told.collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        }
    };
    let ids: ArrayRef = Arc::new(Int32Array::from(vec![Some(0), None, Some(2)]));
    // Items 0 and 4 lie outside of every list, 1 in one that is null.
    let items = Int64Array::from(vec![None, None, Some(1), None, None, Some(1 << 40)]);
    let member = Arc::new(ArrowField::new("x", DataType::Int64, true));
    let items = StructArray::from(vec![(member, Arc::new(items) as ArrayRef)]);
    let item = Arc::new(ArrowField::new("item", items.data_type().clone(), true));
    let offsets = OffsetBuffer::new(vec![1, 2, 4, 6].into());
    let nulls = NullBuffer::from(vec![false, true, true]);
    let lists: ArrayRef = Arc::new(ListArray::new(item, offsets, Arc::new(items), Some(nulls)));
    let mut maps = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    for keys in [&["a", "b"][..], &[], &["c", "c"]] {
        for key in keys {
            maps.keys().append_value(key);
            maps.values().append_value(1);
        }
        maps.append(true).unwrap();
    }
    let maps: ArrayRef = Arc::new(maps.finish());
    let rows = sent([("id", Arc::clone(&ids)), ("l", lists), ("m", maps)]);
    assert_eq!(
        faults(&rows),
        [
            "1: field id: no value, and null is not allowed",
            "1: field l[].x: no value, and null is not allowed",
            "2: field l[].x: no value, and null is not allowed",
            "2: field l[].x: not exactly a value of int",
            "2: field m: given twice",
        ]
    );
    let nulls: ArrayRef = Arc::new(Int32Array::from(vec![None; 150]));
    assert_eq!(faults(&sent([("id", nulls)])).len(), FAULTS_MAX);
    let mut none = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    (0..2).for_each(|_| none.append(false).unwrap());
    let absent = faults(&sent([("m", Arc::new(none.finish()) as ArrayRef)]));
    assert_eq!(
        absent.len(),
        2,
        "a column that is not sent is null in every row"
    );
}

#[test]
fn what_nobody_sees_is_not_at_fault() {
    let table = table(
        r#"{"name":"s","type":{"struct":[{"name":"x","type":"int","nullable":false},{"name":"d","type":"date"}]}}"#,
    );
    let member = |name, kind| Arc::new(ArrowField::new(name, kind, true));
    let dates: ArrayRef = Arc::new(Date64Array::from(vec![1, 0]));
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(5)]));
    let fields = Fields::from(vec![
        member("x", DataType::Int64),
        member("d", DataType::Date64),
    ]);
    let nulls = NullBuffer::from(vec![false, true]);
    let rows = StructArray::new(fields, vec![numbers, dates], Some(nulls));
    let rows = sent([("s", Arc::new(rows) as ArrayRef)]);
    let expected = ["{}", r#"{"s":{"x":5,"d":"1970-01-01"}}"#];
    assert_eq!(written(&rows, &closed(&table)).unwrap(), expected);
}

#[test]
fn keys_times_and_headers_become_the_records() {
    let columns = [crate::system::value_field()];
    let target = Target {
        columns: &columns,
        is_open: false,
        names: Names::Now,
    };
    let texts = StringArray::from(vec![Some("k"), None]);
    let times = TimestampNanosecondArray::from(vec![Some(-1_000), None]).with_timezone("UTC");
    let pair = StructArray::from(vec![
        (
            Arc::new(ArrowField::new("value", DataType::Utf8, true)),
            Arc::new(StringArray::from(vec![Some("v"), None])) as ArrayRef,
        ),
        (
            Arc::new(ArrowField::new("key", DataType::Utf8, true)),
            Arc::new(StringArray::from(vec!["a", "b"])) as ArrayRef,
        ),
    ]);
    let item = Arc::new(ArrowField::new("item", pair.data_type().clone(), true));
    let offsets = OffsetBuffer::new(vec![0, 2, 2].into());
    let headers = ListArray::new(
        item,
        offsets,
        Arc::new(pair),
        Some(vec![true, false].into()),
    );
    let values = BinaryArray::from(vec![None, Some(&b"\xff"[..])]);
    let rows = sent([
        ("_headers", Arc::new(headers) as ArrayRef),
        ("_key", Arc::new(texts)),
        ("_timestamp", Arc::new(times)),
        ("value", Arc::new(values)),
    ]);
    let taken = Intake::resolve(rows.schema_ref(), &target)
        .unwrap()
        .take(&rows)
        .unwrap();
    assert_eq!((taken.key(0), taken.key(1)), (Some(&b"k"[..]), None));
    assert_eq!(
        (taken.timestamp_ms(0), taken.timestamp_ms(1)),
        (Some(-1), None)
    );
    let headers: Vec<_> = taken.headers(0).collect();
    assert_eq!(headers, [(&b"a"[..], Some(&b"v"[..])), (b"b", None)]);
    assert_eq!(taken.headers(1).count(), 0);
    let values = ValueRows::of(&ValueForm::Bytes, taken.values()).unwrap();
    let mut value = Vec::new();
    assert_eq!(values.write(0, 10, &mut value), Ok(false));
    assert_eq!(values.write(1, 10, &mut value), Ok(true));
    assert_eq!(value, b"\xff");
    let none: Result<_, EncodeError> = values.write(0, 0, &mut value);
    assert_eq!((none, value.len()), (Ok(false), 0));
}
