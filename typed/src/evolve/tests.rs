//! Merging and altering by tables; old rows read through random newer schemas.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{Schema, SchemaRef};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::*;
use crate::column::Group;
use crate::json;
use crate::schema::{Draft, Field, TableSchema};

fn schema(fields: &str) -> TableSchema {
    TableSchema::parse(&format!("{{\"fields\":[{fields}]}}")).unwrap()
}

/// The schema's fields as a writer has them.
fn draft(fields: &str) -> Draft {
    let fields = schema(fields).fields().to_vec();
    let Kind::Struct(fields) = Kind::Struct(fields).without_ids() else {
        unreachable!("a struct stays one");
    };
    Draft { fields }
}

fn arrow(schema: &TableSchema) -> SchemaRef {
    Arc::new(Schema::new(crate::arrow::fields(schema.fields())))
}

fn rows(schema: &TableSchema, texts: &[String]) -> RecordBatch {
    let mut columns = Group::new(schema.fields());
    for (row, text) in texts.iter().enumerate() {
        json::append(&mut columns, row, text.as_bytes()).unwrap();
    }
    RecordBatch::try_new(arrow(schema), columns.finish().unwrap()).unwrap()
}

const ORDERS: &str = r#"
    {"name":"id","type":"int","nullable":false},
    {"name":"price","type":"decimal(5,2)"},
    {"name":"lines","type":{"list":{"struct":[{"name":"qty","type":"float","nullable":false}]}}},
    {"name":"labels","type":{"map":"int"}}"#;

#[test]
fn a_writer_joins_with_new_wider_and_missing_fields() {
    let table = schema(ORDERS);
    let writer = draft(
        r#"{"name":"price","type":"decimal(9,2)"},
        {"name":"lines","type":{"list":{"struct":[
            {"name":"sku","type":"string","nullable":false},{"name":"qty","type":"double"}]}}},
        {"name":"labels","type":{"map":"long"}},
        {"name":"at","type":{"struct":[{"name":"x","type":"int","nullable":false}]},"nullable":false}"#,
    );
    let merged = merge(&table, &writer).unwrap();
    let paths: Vec<_> = merged.changes.iter().map(Change::path).collect();
    let expected = [
        "price",
        "lines[].sku",
        "lines[].qty",
        "lines[].qty",
        "labels{}",
        "at",
        "id",
    ];
    assert_eq!(paths, expected);
    assert_eq!(table.last_id(), 8);
    assert_eq!(
        merged.schema.to_json(),
        concat!(
            r#"{"fields":[{"id":1,"name":"id","type":"int","nullable":true},"#,
            r#"{"id":2,"name":"price","type":"decimal(9,2)","nullable":true},"#,
            r#"{"id":3,"name":"lines","type":{"list":{"struct":["#,
            r#"{"id":5,"name":"qty","type":"double","nullable":true},"#,
            r#"{"id":9,"name":"sku","type":"string","nullable":true}]},"element_id":4},"nullable":true},"#,
            r#"{"id":6,"name":"labels","type":{"map":"long","key_id":7,"value_id":8},"nullable":true},"#,
            r#"{"id":10,"name":"at","type":{"struct":["#,
            r#"{"id":11,"name":"x","type":"int","nullable":false}]},"nullable":true}],"last_id":11}"#
        )
    );
    let again = merge(&merged.schema, &writer).unwrap();
    assert!(again.changes.is_empty());
    assert_eq!(again.schema, merged.schema);
    let narrower = draft(ORDERS);
    assert!(merge(&merged.schema, &narrower).unwrap().changes.is_empty());
}

#[test]
fn what_cannot_be_merged_names_path_and_types() {
    for (table, writer, expected) in [
        (
            r#""long""#,
            r#""string""#,
            "column a: long in the table, string at the writer",
        ),
        (
            r#""int""#,
            r#""double""#,
            "column a: int in the table, double at the writer",
        ),
        (
            r#""decimal(5,2)""#,
            r#""decimal(9,3)""#,
            "column a: decimal(5,2) in the table, decimal(9,3) at the writer",
        ),
        (
            r#"{"list":{"list":"int"}}"#,
            r#"{"list":{"list":"string"}}"#,
            "column a[][]: int in the table, string at the writer",
        ),
        (
            r#"{"map":"int","keys":"int"}"#,
            r#"{"map":"int","keys":"long"}"#,
            "column a: map by int in the table, map by long at the writer",
        ),
        (
            r#""timestamp(ms)""#,
            r#""timestamp(us)""#,
            "column a: timestamp(ms) in the table, timestamp(us) at the writer",
        ),
    ] {
        let field = |kind: &str| format!(r#"{{"name":"a","type":{kind}}}"#);
        let refused = merge(&schema(&field(table)), &draft(&field(writer))).unwrap_err();
        assert_eq!(refused.to_string(), expected);
    }
    let table = schema(r#"{"name":"a","type":"int"}"#);
    let mut system = Draft { fields: Vec::new() };
    system
        .fields
        .push(Field::draft("_offset", Kind::Long, true));
    assert!(matches!(
        merge(&table, &system),
        Err(Incompatible::Schema(_))
    ));
    let full = r#"{"fields":[{"id":1,"name":"a","type":"int"}],"last_id":2147483647}"#;
    let full = TableSchema::parse(full).unwrap();
    let more = draft(r#"{"name":"b","type":"int"}"#);
    assert_eq!(
        merge(&full, &more).unwrap_err().to_string(),
        "last_id: no ids are left"
    );
}

fn path(dotted: &str) -> Target {
    Target::Path(dotted.split('.').map(str::to_owned).collect())
}

#[test]
fn alterations_are_done_in_order_and_ids_do_not_come_back() {
    let table = schema(ORDERS);
    let altered = alter(
        &table,
        &[
            Alteration::Drop {
                column: path("price"),
            },
            Alteration::Add {
                within: None,
                field: Field::draft("price", Kind::Double, false),
                place: Place::First,
            },
            Alteration::Add {
                within: Some(path("lines.element")),
                field: Field::draft("sku", Kind::list_of(Kind::String), true),
                place: Place::After("qty".to_owned()),
            },
            Alteration::Widen {
                column: path("lines.element.qty"),
                kind: Kind::Double,
            },
            Alteration::Widen {
                column: path("labels.value"),
                kind: Kind::Long,
            },
            Alteration::Rename {
                column: Target::Id(1),
                name: "order_id".to_owned(),
            },
            Alteration::Move {
                column: path("order_id"),
                place: Place::Last,
            },
            Alteration::MakeOptional {
                column: path("lines.element.qty"),
            },
        ],
        &[],
    )
    .unwrap();
    assert_eq!(
        altered.to_json(),
        concat!(
            r#"{"fields":[{"id":9,"name":"price","type":"double","nullable":true},"#,
            r#"{"id":3,"name":"lines","type":{"list":{"struct":["#,
            r#"{"id":5,"name":"qty","type":"double","nullable":true},"#,
            r#"{"id":10,"name":"sku","type":{"list":"string","element_id":11},"nullable":true}]},"#,
            r#""element_id":4},"nullable":true},"#,
            r#"{"id":6,"name":"labels","type":{"map":"long","key_id":7,"value_id":8},"nullable":true},"#,
            r#"{"id":1,"name":"order_id","type":"int","nullable":false,"aliases":["id"]}],"last_id":11}"#
        )
    );
}

#[test]
fn refused_alterations_say_why() {
    let table = schema(ORDERS);
    let refused = |alteration: Alteration, expected: &str| {
        let error = alter(&table, &[alteration], &[1]).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    refused(
        Alteration::Drop {
            column: path("x.y"),
        },
        "there is no column x.y",
    );
    refused(
        Alteration::Drop {
            column: Target::Id(77),
        },
        "there is no column #77",
    );
    refused(
        Alteration::Drop {
            column: Target::Path(Vec::new()),
        },
        "there is no column ",
    );
    let key = "column id is a key or holds one: it may only be renamed or moved";
    refused(Alteration::Drop { column: path("id") }, key);
    refused(Alteration::MakeOptional { column: path("id") }, key);
    refused(
        Alteration::Widen {
            column: path("id"),
            kind: Kind::Long,
        },
        key,
    );
    let fixed = |column| {
        format!("column {column} is part of a list or map: it has no name or place of its own")
    };
    refused(
        Alteration::Drop {
            column: path("labels.key"),
        },
        &fixed("labels.key"),
    );
    refused(
        Alteration::Rename {
            column: path("lines.element"),
            name: "x".to_owned(),
        },
        &fixed("lines.element"),
    );
    refused(
        Alteration::Widen {
            column: path("price"),
            kind: Kind::Double,
        },
        "column price cannot become double from decimal(5,2) without loss",
    );
    refused(
        Alteration::Rename {
            column: path("price"),
            name: "labels".to_owned(),
        },
        "fields[3] \"labels\": another field has this name, or had it",
    );
    refused(
        Alteration::Drop {
            column: path("lines.element.qty"),
        },
        "fields[2] \"lines\".type.list.struct: must be an array of at least one field",
    );
    refused(
        Alteration::Add {
            within: Some(path("price")),
            field: Field::draft("x", Kind::Int, true),
            place: Place::Last,
        },
        "column price is no struct, nothing can be added to it",
    );
    refused(
        Alteration::Move {
            column: path("price"),
            place: Place::After("x".to_owned()),
        },
        "there is no column x",
    );
    let by_int = schema(r#"{"name":"m","type":{"map":"int","keys":"int"}}"#);
    let widen = Alteration::Widen {
        column: path("m.key"),
        kind: Kind::Long,
    };
    let error = alter(&by_int, &[widen], &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "column m.key cannot become long from int without loss"
    );
}

#[test]
fn renamed_moved_and_dropped_columns_are_found_by_id() {
    let table = schema(ORDERS);
    let texts = [r#"{"id":7,"price":1.25,"lines":[{"qty":2}],"labels":{"a":1}}"#.to_owned()];
    let old = rows(&table, &texts);
    let alterations = [
        Alteration::Rename {
            column: path("id"),
            name: "order_id".to_owned(),
        },
        Alteration::Drop {
            column: path("labels"),
        },
        Alteration::Rename {
            column: path("lines.element.qty"),
            name: "count".to_owned(),
        },
        Alteration::Move {
            column: path("lines"),
            place: Place::First,
        },
    ];
    let newer = alter(&table, &alterations, &[]).unwrap();
    let texts = [r#"{"order_id":7,"price":1.25,"lines":[{"count":2}]}"#.to_owned()];
    assert_eq!(cast(&old, &arrow(&newer)).unwrap(), rows(&newer, &texts));

    let error = cast(&old, &arrow(&schema(r#"{"name":"id","type":"string"}"#))).unwrap_err();
    let expected = "column id: Int32 cannot become Utf8 without loss";
    assert_eq!(error.to_string(), expected);
    let strict = r#"{"fields":[{"id":99,"name":"x","type":"int","nullable":false}],"last_id":99}"#;
    let strict = TableSchema::parse(strict).unwrap();
    let error = cast(&old, &arrow(&strict)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "column x is not there, and null is not allowed"
    );
}

#[test]
fn what_did_not_change_is_shared() {
    let table = schema(r#"{"name":"a","type":"string"}"#);
    let old = rows(&table, &[r#"{"a":"x"}"#.to_owned()]);
    let newer = merge(&table, &draft(r#"{"name":"b","type":"int"}"#)).unwrap();
    let cast = cast(&old, &arrow(&newer.schema)).unwrap();
    let start = |column: &ArrayRef| column.as_string::<i32>().values().as_ptr();
    assert_eq!(start(cast.column(0)), start(old.column(0)));
    assert_eq!(cast.column(1).null_count(), 1);
}

/// A shape, a shape it can become, and a value of the first as JSON text.
fn random(rng: &mut SmallRng, depth: usize) -> (Kind, Kind, String) {
    let decimal = |precision| Kind::Decimal {
        precision,
        scale: 1,
    };
    match rng.random_range(0..8) {
        0 if depth > 0 => {
            let (from, to, value) = random(rng, depth - 1);
            (
                Kind::list_of(from),
                Kind::list_of(to),
                format!("[{value},null]"),
            )
        }
        1 if depth > 0 => {
            let (from, to, value) = random(rng, depth - 1);
            let map = |value| Kind::map_of(Kind::String, value);
            (map(from), map(to), format!("{{\"k\":{value}}}"))
        }
        2 | 3 if depth > 0 => {
            let (from, to, value) = random_members(rng, depth - 1);
            (Kind::Struct(from), Kind::Struct(to), value)
        }
        _ => {
            let plain = [
                (Kind::Int, Kind::Long, "7"),
                (Kind::Int, Kind::Int, "-7"),
                (Kind::Float, Kind::Double, "0.5"),
                (decimal(4), decimal(38), "12.5"),
                (Kind::String, Kind::String, "\"x\""),
            ];
            let (from, to, value) = plain.choose(rng).unwrap();
            (from.clone(), to.clone(), (*value).to_owned())
        }
    }
}

fn random_members(rng: &mut SmallRng, depth: usize) -> (Vec<Field>, Vec<Field>, String) {
    let (mut from, mut to, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..rng.random_range(1..4) {
        let (old, new, value) = random(rng, depth);
        from.push(Field::draft(format!("f{i}"), old, rng.random()));
        values.push(format!("\"f{i}\":{value}"));
        if rng.random_bool(0.8) {
            to.push(Field::draft(format!("f{i}"), new, rng.random()));
        }
    }
    let (added, _, _) = random(rng, depth);
    to.push(Field::draft("added", added, rng.random()));
    (from, to, format!("{{{}}}", values.join(",")))
}

#[test]
fn rows_read_through_the_newer_schema_are_those_written_under_it() {
    for seed in 0..300 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let (from, to, text) = random_members(&mut rng, 3);
        let older = Draft { fields: from }.allocate().unwrap();
        let newer = merge(&older, &Draft { fields: to.clone() }).unwrap();
        let texts = [text.clone(), text];
        let old = rows(&older, &texts);
        let expected = rows(&newer.schema, &texts);
        assert_eq!(
            cast(&old, &arrow(&newer.schema)).unwrap(),
            expected,
            "seed {seed}"
        );
        let again = merge(&newer.schema, &Draft { fields: to }).unwrap();
        assert!(again.changes.is_empty(), "seed {seed}");
    }
}

#[test]
fn values_may_call_a_renamed_column_as_before() {
    let table = TableSchema::parse(r#"{"fields":[{"name":"city","type":"string"}]}"#).unwrap();
    let rename = |from: &str, to: &str| Alteration::Rename {
        column: Target::Path(vec![from.to_owned()]),
        name: to.to_owned(),
    };
    let renamed = alter(
        &table,
        &[rename("city", "town"), rename("town", "name")],
        &[],
    )
    .unwrap();
    assert_eq!(renamed.fields()[0].aliases, ["city", "town"]);
    assert_eq!(TableSchema::parse(&renamed.to_json()).unwrap(), renamed);
    let mut columns = crate::column::Group::new(renamed.fields());
    for (row, name) in ["city", "town", "name"].iter().enumerate() {
        let value = format!(r#"{{"{name}":"Kiel"}}"#);
        crate::json::append(&mut columns, row, value.as_bytes()).unwrap();
    }
    assert_eq!(
        crate::json::tests::rows(&mut columns, &renamed),
        [
            serde_json::json!({"name": "Kiel"}),
            serde_json::json!({"name": "Kiel"}),
            serde_json::json!({"name": "Kiel"}),
        ]
    );
    // A sample that still uses the old name asks for no column.
    let mut inference = crate::infer::Inference::over(&renamed, Default::default());
    inference.observe(br#"{"city":"Bonn","size":1}"#).unwrap();
    let grown = merge(&renamed, &inference.draft()).unwrap();
    assert_eq!(grown.schema.fields().len(), 2);
    // Back to a name it had, and no other column takes one.
    let back = alter(&renamed, &[rename("name", "city")], &[]).unwrap();
    assert_eq!(back.fields()[0].aliases, ["town", "name"]);
    let taken = Alteration::Add {
        within: None,
        field: Field::draft("town", Kind::Long, true),
        place: Place::Last,
    };
    assert!(alter(&back, &[taken], &[]).is_err());
}
