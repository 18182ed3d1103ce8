//! Each type by a table, random schemas and values there and back, and hostile text.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType, TimestampMillisecondType,
};
use arrow_array::{Array, ArrayRef, RecordBatch, StructArray};
use arrow_schema::{DataType, TimeUnit as ArrowUnit};
use base64::Engine as _;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Map, Value, json};

use super::*;
use crate::intake::{Names, Target};
use crate::schema::TableSchema;
use crate::{EncodeError, Intake, ValueForm, ValueRows};

fn group(schema: &TableSchema) -> Group {
    Group::new(schema.fields())
}

fn schema_of(kind: &str, nullable: bool) -> TableSchema {
    let text = format!(r#"{{"fields":[{{"name":"a","type":{kind},"nullable":{nullable}}}]}}"#);
    TableSchema::parse(&text).unwrap()
}

/// The rows of the columns as JSON objects, nulls left in.
pub(crate) fn rows(columns: &mut Group, schema: &TableSchema) -> Vec<Value> {
    let fields = crate::arrow::fields(schema.fields());
    let array = StructArray::new(fields, columns.finish().unwrap(), None);
    (0..array.len()).map(|row| value_at(&array, row)).collect()
}

/// A value in its plainest JSON form: moments and dates as numbers, decimals unscaled.
fn value_at(array: &dyn Array, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    let items = |items: ArrayRef| (0..items.len()).map(|i| value_at(&*items, i)).collect();
    match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::Float32 => array.as_primitive::<Float32Type>().value(row).into(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).into(),
        DataType::Date32 => array.as_primitive::<Date32Type>().value(row).into(),
        DataType::Time64(_) => array
            .as_primitive::<Time64MicrosecondType>()
            .value(row)
            .into(),
        DataType::Decimal128(..) => {
            let unscaled = array.as_primitive::<Decimal128Type>().value(row);
            unscaled.to_string().into()
        }
        DataType::Timestamp(ArrowUnit::Millisecond, _) => array
            .as_primitive::<TimestampMillisecondType>()
            .value(row)
            .into(),
        DataType::Timestamp(..) => array
            .as_primitive::<TimestampMicrosecondType>()
            .value(row)
            .into(),
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::Binary => base64(array.as_binary::<i32>().value(row)).into(),
        DataType::List(_) => Value::Array(items(array.as_list::<i32>().value(row))),
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let pairs = (0..entries.len()).map(|i| {
                let key = match value_at(entries.column(0), i) {
                    Value::String(key) => key,
                    key => key.to_string(),
                };
                (key, value_at(entries.column(1), i))
            });
            Value::Object(pairs.collect())
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let members = fields.iter().zip(columns);
            let members =
                members.map(|(field, column)| (field.name().clone(), value_at(column, row)));
            Value::Object(members.collect())
        }
        other => panic!("no such column: {other}"),
    }
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn each_type_takes_its_values_and_nothing_else() {
    let taken = |kind: &str, text: &str, expected: Value| {
        let schema = schema_of(kind, true);
        let mut columns = group(&schema);
        append(&mut columns, 0, format!("{{\"a\":{text}}}").as_bytes())
            .unwrap_or_else(|reason| panic!("{kind} {text}: {reason}"));
        let rows = rows(&mut columns, &schema);
        assert_eq!(rows, [json!({ "a": expected })], "{kind} {text}");
    };
    taken(r#""bool""#, "true", json!(true));
    taken(r#""int""#, "-2147483648", json!(i32::MIN));
    taken(r#""long""#, "9223372036854775807", json!(i64::MAX));
    taken(r#""float""#, "0.1", json!(0.1_f32));
    taken(r#""float""#, "16777217", json!(16_777_216.0_f32));
    taken(
        r#""double""#,
        "18446744073709551615",
        json!(18_446_744_073_709_551_615.0),
    );
    taken(r#""double""#, "1e308", json!(1e308));
    taken(r#""decimal(5,2)""#, "12.30", json!("1230"));
    taken(r#""decimal(5,2)""#, r#""-1.5""#, json!("-150"));
    taken(
        r#""decimal(38,0)""#,
        "99999999999999999999999999999999999999",
        json!("9".repeat(38)),
    );
    taken(r#""string""#, r#""\u00fc\ud83c\udf0a\n""#, json!("ü🌊\n"));
    taken(r#""binary""#, r#""AAH/""#, json!("AAH/"));
    taken(r#""date""#, r#""1970-01-02""#, json!(1));
    taken(r#""date""#, "-1", json!(-1));
    taken(
        r#""timestamp(ms)""#,
        r#""1970-01-01T00:00:00.001Z""#,
        json!(1),
    );
    taken(
        r#""timestamp(us)""#,
        r#""1970-01-01T00:00:00.000001Z""#,
        json!(1),
    );
    taken(
        r#""timestamp(us)""#,
        "1714566600123456",
        json!(1_714_566_600_123_456_i64),
    );
    taken(r#""time""#, r#""00:00:01.5""#, json!(1_500_000));
    taken(r#""time""#, "86399999999", json!(86_399_999_999_i64));
    taken(
        r#""local_timestamp(ms)""#,
        r#""1970-01-01T00:00:01.5""#,
        json!(1500),
    );
    taken(r#""local_timestamp(us)""#, "-7", json!(-7));
    for (keys, text) in [
        ("long", r#"{"-9223372036854775808":1,"0":2}"#),
        ("int", r#"{"-1":1,"7":2}"#),
        ("bool", r#"{"false":1,"true":2}"#),
    ] {
        let back = serde_json::from_str(text).unwrap();
        taken(&format!(r#"{{"map":"int","keys":"{keys}"}}"#), text, back);
    }
    taken(r#"{"list":"int"}"#, "[1,null,3]", json!([1, null, 3]));
    taken(
        r#"{"map":"int"}"#,
        r#"{"x":1,"y":null}"#,
        json!({"x": 1, "y": null}),
    );
    taken(
        r#"{"struct":[{"name":"b","type":"int","nullable":false},{"name":"c","type":"int"}]}"#,
        r#"{"b":1,"z":[{}]}"#,
        json!({"b": 1, "c": null}),
    );
    for kind in [
        "\"bool\"",
        "\"decimal(5,2)\"",
        "\"string\"",
        r#"{"list":"int"}"#,
    ] {
        taken(kind, "null", Value::Null);
    }

    let refused = |kind: &str, text: &str, expected: &str| {
        let schema = schema_of(kind, false);
        let mut columns = group(&schema);
        let reason = append(&mut columns, 0, format!("{{\"a\":{text}}}").as_bytes()).unwrap_err();
        assert_eq!(
            reason.to_string(),
            format!("field a{expected}"),
            "{kind} {text}"
        );
        assert!(columns.columns.iter().all(|column| column.len() == 0));
    };
    for (kind, text, found) in [
        ("bool", "1", "number"),
        ("bool", "\"true\"", "string"),
        ("int", "\"1\"", "string"),
        ("double", "\"1\"", "string"),
        ("string", "1", "number"),
        ("string", "{}", "object"),
        ("binary", "[1]", "array"),
        ("date", "true", "boolean"),
        ("timestamp(ms)", "[]", "array"),
        ("decimal(5,2)", "true", "boolean"),
        ("decimal(5,2)", "[1]", "array"),
    ] {
        let expected = format!(": a JSON {found}, not {kind}");
        refused(&format!("{kind:?}"), text, &expected);
    }
    for (kind, text) in [
        ("int", "2147483648"),
        ("int", "1.0"),
        ("int", "1e3"),
        ("int", "-0"),
        ("long", "9223372036854775808"),
        ("long", "-9223372036854775809"),
        ("float", "1e39"),
        ("decimal(5,2)", "1.234"),
        ("decimal(5,2)", "1000"),
        ("decimal(5,2)", "\"1 \""),
        ("decimal(5,2)", "\"\\u0031\""),
        ("binary", "\"AAH\""),
        ("binary", "\"AAH_\""),
        ("date", "\"2024-02-30\""),
        ("date", "2147483648"),
        ("timestamp(ms)", "\"1970-01-01T00:00:00.0001Z\""),
        ("timestamp(us)", "\"1970-01-01T00:00:00\""),
        ("timestamp(us)", "1.5"),
        ("local_timestamp(us)", "\"1970-01-01T00:00:00Z\""),
        ("local_timestamp(ms)", "\"1970-01-01T00:00:00.0001\""),
        ("time", "\"24:00:00\""),
        ("time", "-1"),
        ("time", "86400000000"),
    ] {
        let expected = format!(": not exactly a value of {kind}");
        refused(&format!("{kind:?}"), text, &expected);
    }
    refused(r#""int""#, "null", ": no value, and null is not allowed");
    refused(
        r#""decimal(5,2)""#,
        "null",
        ": no value, and null is not allowed",
    );
    refused(r#""int""#, r#"1,"a":2"#, ": given twice");
    refused(r#"{"list":"int"}"#, "[1,[2]]", "[]: a JSON array, not int");
    refused(r#"{"map":"int"}"#, r#"{"x":1,"x":1}"#, ": given twice");
    refused(
        r#"{"map":"int","keys":"long"}"#,
        r#"{"1":1,"1":2}"#,
        ": given twice",
    );
    refused(
        r#"{"map":"int","keys":"int"}"#,
        r#"{"01":1}"#,
        ": not exactly a value of int",
    );
    refused(
        r#"{"map":"int"}"#,
        r#"{"x":"1"}"#,
        "{}: a JSON string, not int",
    );
    let deep = r#"{"list":{"struct":[{"name":"b","type":"int","nullable":false}]}}"#;
    refused(
        deep,
        r#"[{"b":1},{}]"#,
        "[].b: no value, and null is not allowed",
    );
    refused(deep, r#"[{"b":1},7]"#, "[]: a JSON number, not struct");
}

#[test]
fn what_is_no_object_says_so() {
    let mut columns = group(&schema_of(r#""int""#, true));
    for (text, expected) in [
        ("", "not JSON: EOF while parsing a value at line 1 column 0"),
        ("[]", "a JSON array, not an object"),
        ("null", "a JSON null, not an object"),
        ("\"x\"", "a JSON string, not an object"),
        ("1", "a JSON number, not an object"),
        ("{} {}", "not JSON: trailing characters at line 1 column 4"),
        (
            "{\"a\":1",
            "not JSON: EOF while parsing an object at line 1 column 6",
        ),
        ("{\"a\":01}", "not JSON: invalid number at line 1 column 7"),
        (
            "{\"a\":1e999}",
            "not JSON: number out of range at line 1 column 10",
        ),
        ("\u{feff}{}", "not JSON: expected value at line 1 column 1"),
    ] {
        let reason = append(&mut columns, 0, text.as_bytes()).unwrap_err();
        assert_eq!(reason.to_string(), expected, "{text}");
    }
    let mut columns = group(&schema_of(r#""string""#, true));
    for text in [
        &b"{\"a\":\"\xff\"}"[..],
        b"{\"a\":\"\\ud800\"}",
        b"{\"a\":\"\n\"}",
        b"\xff",
    ] {
        let reason = append(&mut columns, 0, text).unwrap_err();
        assert!(matches!(reason, Reason::NotJson(_)), "{reason}");
    }
}

#[test]
fn deep_and_long_text_costs_no_stack() {
    let mut columns = group(&schema_of(r#""int""#, true));
    for open in ["[", "{\"a\":"] {
        let unknown = format!("{{\"z\":{}", open.repeat(200_000));
        assert!(append(&mut columns, 0, unknown.as_bytes()).is_err());
        let known = format!("{{\"a\":{}", open.repeat(200_000));
        assert!(append(&mut columns, 0, known.as_bytes()).is_err());
        assert!(append(&mut columns, 0, open.repeat(200_000).as_bytes()).is_err());
    }
    let number = format!("{{\"a\":{}}}", "9".repeat(200_000));
    assert!(append(&mut columns, 0, number.as_bytes()).is_err());
    let mut columns = group(&schema_of(r#""decimal(38,10)""#, true));
    assert!(append(&mut columns, 0, number.as_bytes()).is_err());
    let nested = format!("{{\"a\":{}", "[".repeat(200_000));
    assert!(append(&mut columns, 0, nested.as_bytes()).is_err());
}

/// A type of up to `depth` more levels.
fn random_kind(rng: &mut SmallRng, depth: usize) -> Value {
    let plain = [
        "bool",
        "int",
        "long",
        "float",
        "double",
        "decimal(9,3)",
        "decimal(38,0)",
        "string",
        "binary",
        "date",
        "timestamp(ms)",
        "timestamp(us)",
        "local_timestamp(us)",
        "time",
    ];
    match rng.random_range(0..10) {
        0 if depth > 0 => json!({ "list": random_kind(rng, depth - 1) }),
        1 if depth > 0 => json!({ "map": random_kind(rng, depth - 1) }),
        2 if depth > 0 => json!({ "struct": random_fields(rng, depth - 1) }),
        _ => json!(plain.choose(rng).unwrap()),
    }
}

fn random_fields(rng: &mut SmallRng, depth: usize) -> Value {
    (0..rng.random_range(1..6))
        .map(|i| {
            let kind = random_kind(rng, depth);
            json!({"name": format!("f{i}"), "type": kind, "nullable": rng.random_bool(0.6)})
        })
        .collect()
}

/// A value of the type as JSON text would have it, and as [`value_at`] gives it back.
fn random_value(rng: &mut SmallRng, kind: &Value, nullable: bool) -> (Value, Value) {
    let same = |value: Value| (value.clone(), value);
    if nullable && rng.random_bool(0.2) {
        return same(Value::Null);
    }
    let few = 0..rng.random_range(0..4_usize);
    if let Some(element) = kind.get("list") {
        let items = few.map(|_| random_value(rng, element, true));
        let (text, back): (Vec<_>, Vec<_>) = items.unzip();
        return (text.into(), back.into());
    }
    if let Some(values) = kind.get("map") {
        let entries = few.map(|i| (format!("k{i}"), random_value(rng, values, true)));
        let entries: Vec<_> = entries.collect();
        let text = entries
            .iter()
            .map(|(key, (text, _))| (key.clone(), text.clone()));
        let text = Value::Object(text.collect());
        let back = entries.into_iter().map(|(key, (_, back))| (key, back));
        return (text, Value::Object(back.collect()));
    }
    if let Some(fields) = kind.get("struct") {
        return random_object(rng, fields);
    }
    match kind.as_str().unwrap() {
        "bool" => same(rng.random::<bool>().into()),
        "int" | "date" => same(rng.random::<i32>().into()),
        "time" => same(rng.random_range(0..86_400_000_000_i64).into()),
        "long" | "timestamp(ms)" | "timestamp(us)" | "local_timestamp(us)" => {
            same(rng.random::<i64>().into())
        }
        "float" => same(rng.random::<f32>().into()),
        "double" => same(rng.random::<f64>().into()),
        "decimal(9,3)" => {
            let unscaled = rng.random_range(-999_999_999_i64..=999_999_999);
            let sign = if unscaled < 0 { "-" } else { "" };
            let (whole, places) = (unscaled.abs() / 1000, unscaled.abs() % 1000);
            let text = format!("{sign}{whole}.{places:03}");
            (text.into(), unscaled.to_string().into())
        }
        "decimal(38,0)" => same((rng.random::<i128>() / 10).to_string().into()),
        "string" => {
            let count = rng.random_range(0..12);
            let chars = (0..count).map(|_| *['a', '"', '\\', '\n', 'ü', '🌊'].choose(rng).unwrap());
            same(chars.collect::<String>().into())
        }
        "binary" => {
            let bytes: Vec<u8> = (0..rng.random_range(0..9)).map(|_| rng.random()).collect();
            same(base64(&bytes).into())
        }
        other => panic!("no such type: {other}"),
    }
}

fn random_object(rng: &mut SmallRng, fields: &Value) -> (Value, Value) {
    let (mut text, mut back) = (Map::new(), Map::new());
    for field in fields.as_array().unwrap() {
        let nullable = field["nullable"].as_bool().unwrap();
        let name = field["name"].as_str().unwrap().to_owned();
        let (written, read) = random_value(rng, &field["type"], nullable);
        back.insert(name.clone(), read);
        let absent = written.is_null() && rng.random_bool(0.5);
        if !absent {
            text.insert(name, written);
        }
    }
    if rng.random_bool(0.2) {
        text.insert("unknown".to_owned(), json!({"x": [1, {}]}));
    }
    (text.into(), back.into())
}

#[test]
fn random_rows_come_back_and_torn_ones_leave_nothing() {
    for seed in 0..300 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let fields = random_fields(&mut rng, 3);
        let schema = TableSchema::parse(&json!({ "fields": fields }).to_string()).unwrap();
        assert_eq!(TableSchema::parse(&schema.to_json()).unwrap(), schema);
        let mut columns = group(&schema);
        let mut expected = Vec::new();
        for _ in 0..rng.random_range(0..30) {
            let (text, back) = random_object(&mut rng, &fields);
            let mut text = text.to_string().into_bytes();
            let torn = rng.random_bool(0.3);
            if torn {
                text.truncate(rng.random_range(0..text.len()));
            }
            let appended = append(&mut columns, expected.len(), &text);
            assert_eq!(appended.is_err(), torn, "seed {seed}: {appended:?}");
            if !torn {
                expected.push(back);
            }
        }
        assert_eq!(rows(&mut columns, &schema), expected, "seed {seed}");
        assert_eq!(columns.size_bytes(), 0, "a finished column starts anew");
    }
}

#[test]
fn rows_written_as_json_read_as_they_were() {
    for seed in 0..300 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let fields = random_fields(&mut rng, 3);
        let schema = TableSchema::parse(&json!({ "fields": fields }).to_string()).unwrap();
        let mut columns = group(&schema);
        let count = rng.random_range(1..20);
        for row in 0..count {
            let text = random_object(&mut rng, &fields).0.to_string();
            append(&mut columns, row, text.as_bytes()).unwrap();
        }
        let batch = |columns: &mut Group| {
            let fields = crate::arrow::fields(schema.fields());
            RecordBatch::from(StructArray::new(fields, columns.finish().unwrap(), None))
        };
        let before = batch(&mut columns);
        let json = JsonRows::of(&before).unwrap();
        let style = JsonStyle {
            nulls: rng.random(),
        };
        for row in 0..count {
            let mut text = Vec::new();
            json.write(row, style, &mut text).unwrap();
            let read = append(&mut columns, row, &text);
            let text = String::from_utf8(text).unwrap();
            assert_eq!(read, Ok(()), "seed {seed}: {text}");
        }
        assert_eq!(batch(&mut columns), before, "seed {seed}");

        // And so they are when they come as columns.
        let target = Target {
            columns: schema.fields(),
            is_open: rng.random(),
            names: Names::Now,
        };
        let intake = Intake::resolve(before.schema_ref(), &target).unwrap();
        let taken = intake.take(&before).unwrap();
        let form = ValueForm::Json { frame: None, style };
        let values = ValueRows::of(&form, taken.values()).unwrap();
        for row in 0..count {
            let mut text = Vec::new();
            assert_eq!(values.write(row, 1 << 20, &mut text), Ok(true));
            append(&mut columns, row, &text).unwrap();
            assert_eq!(values.write(row, 1, &mut text), Err(EncodeError::TooLong));
        }
        assert_eq!(batch(&mut columns), before, "seed {seed}");
    }
}

#[test]
fn a_row_looks_as_people_expect() {
    let schema = TableSchema::parse(
        r#"{"fields":[{"name":"a\"b","type":"decimal(9,2)"},{"name":"at","type":"timestamp(ms)"},
        {"name":"local","type":"local_timestamp(us)"},{"name":"x","type":"double"},
        {"name":"m","type":{"map":"int","keys":"long"}},{"name":"none","type":"string"}]}"#,
    )
    .unwrap();
    let mut columns = group(&schema);
    let text = r#"{"a\"b":1.5,"at":1500,"local":0,"x":2,"m":{"-1":null}}"#;
    append(&mut columns, 0, text.as_bytes()).unwrap();
    let fields = crate::arrow::fields(schema.fields());
    let rows = StructArray::new(fields, columns.finish().unwrap(), None).into();
    let json = JsonRows::of(&rows).unwrap();
    let written = |nulls| {
        let mut out = Vec::new();
        json.write(0, JsonStyle { nulls }, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let start = r#"{"a\"b":1.50,"at":"1970-01-01T00:00:01.5Z","local":"1970-01-01T00:00:00","x":2.0,"m":{"-1":null}"#;
    assert_eq!(written(false), format!("{start}}}"));
    assert_eq!(written(true), format!(r#"{start},"none":null}}"#));
}

#[test]
fn random_bytes_never_panic_nor_tear_a_row() {
    for seed in 0..200 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let fields = random_fields(&mut rng, 3);
        let schema = TableSchema::parse(&json!({ "fields": fields }).to_string()).unwrap();
        let mut columns = group(&schema);
        let mut kept = 0;
        for _ in 0..60 {
            let mut text = random_object(&mut rng, &fields).0.to_string().into_bytes();
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..text.len());
                text[at] = *b"\0\xff\"\\{}[]:,0123456789.eE-tfn u"
                    .choose(&mut rng)
                    .unwrap();
            }
            kept += usize::from(append(&mut columns, kept, &text).is_ok());
            assert!(
                columns.columns.iter().all(|column| column.len() == kept),
                "seed {seed}"
            );
        }
        assert_eq!(rows(&mut columns, &schema).len(), kept, "seed {seed}");
    }
}
