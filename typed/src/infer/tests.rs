//! Samples and what they become; tables that grow; random objects that must all get in.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Map, Value, json};

use super::*;
use crate::column::Group;
use crate::evolve::{Change, merge};
use crate::json::tests::rows;
use crate::row_schema::Growth;

fn inferred(texts: &[&str]) -> Inference {
    let mut inference = Inference::new(InferOptions::default());
    for text in texts {
        inference.observe(text.as_bytes()).unwrap();
    }
    inference
}

/// `name type, …` of the columns.
fn shown(fields: &[Field]) -> String {
    use crate::schema::Kind;
    fn kind(of: &Kind) -> String {
        match of {
            Kind::List(element) => format!("[{}]", kind(&element.kind)),
            Kind::Map { value, .. } => format!("map {}", kind(&value.kind)),
            Kind::Struct(members) => format!("{{{}}}", shown(members)),
            plain => plain.name(),
        }
    }
    let fields = fields.iter();
    let fields: Vec<_> = fields
        .map(|f| format!("{} {}", f.name, kind(&f.kind)))
        .collect();
    fields.join(", ")
}

#[test]
fn samples_become_columns() {
    for (texts, expected) in [
        (
            &[r#"{"a":1}"#, r#"{"a":2,"b":"x","c":true}"#][..],
            "a long, b string, c bool",
        ),
        (&[r#"{"a":1}"#, r#"{"a":2.5}"#], "a double"),
        (&[r#"{"a":-0}"#], "a double"),
        (&[r#"{"a":9223372036854775808}"#], "a double"),
        (
            &[r#"{"a":null,"b":[],"c":{},"d":[{"e":null}],"f":1}"#],
            "f long",
        ),
        (&[r#"{"a":null}"#, r#"{"a":"x"}"#], "a string"),
        (
            &[r#"{"a":1}"#, r#"{"a":"x"}"#, r#"{"a":2}"#],
            "a long, a__string string",
        ),
        (
            &[r#"{"a":"x"}"#, r#"{"a":1}"#, r#"{"a":2.5,"b":1}"#],
            "a double, b long, a__string string",
        ),
        (&[r#"{"a":true}"#, r#"{"a":[1]}"#], "a [long], a__bool bool"),
        (
            &[r#"{"a":"x"}"#, r#"{"a":"y"}"#, r#"{"a":[1]}"#],
            "a string, a__json string",
        ),
        (&[r#"{"a":[1,2,"x"]}"#], "a [long], a__json string"),
        (
            &[r#"{"a":[{"b":1},{"c":[true]},{"b":"x"}]}"#],
            "a [{b string, c [bool], b__long long}]",
        ),
        (&[r#"{"a":{"":1}}"#], "a__json string"),
        (&[r#"{"a":{"":1,"b":1}}"#], "a {b long}, a__json string"),
        (&[r#"{"_offset":1,"_Key":2,"":3,"a":1}"#], "a long"),
        (&[r#"{"a":"2026-05-01"}"#], "a string"),
        (&[r#"{"a":[[[[[[[[[1]]]]]]]]]}"#], "a__json string"),
    ] {
        let draft = inferred(texts).draft();
        assert_eq!(shown(&draft.fields), expected, "{texts:?}");
    }
}

#[test]
fn dates_are_found_on_request() {
    let mut inference = Inference::new(InferOptions {
        dates_from_text: true,
    });
    let text = r#"{"a":"2026-05-01","b":"2026-05-01T00:00:00Z","c":"2026-05-01","d":"2026-05-01"}"#;
    inference.observe(text.as_bytes()).unwrap();
    inference.observe(br#"{"c":7,"d":"soon"}"#).unwrap();
    let expected = "a date, b timestamp(us), c string, d string, c__long long";
    assert_eq!(shown(&inference.draft().fields), expected);
}

#[test]
fn crowded_objects_are_maps() {
    let members = |value: &dyn Fn(usize) -> String| {
        let members: Vec<_> = (0..=MEMBERS_MAX)
            .map(|i| format!("\"k{i}\":{}", value(i)))
            .collect();
        format!("{{\"a\":{{{}}}}}", members.join(","))
    };
    let numbers = members(&|i| i.to_string());
    assert_eq!(shown(&inferred(&[&numbers]).draft().fields), "a map long");
    let mixed = members(&|i| {
        if i == 0 {
            "\"x\"".to_owned()
        } else {
            i.to_string()
        }
    });
    assert_eq!(
        shown(&inferred(&[&mixed]).draft().fields),
        "a map long, a__json string"
    );
    let objects = members(&|i| format!("{{\"b\":{i}}}"));
    assert_eq!(
        shown(&inferred(&[&objects]).draft().fields),
        "a map {b long}"
    );
}

#[test]
fn memory_is_bounded() {
    let mut inference = Inference::new(InferOptions::default());
    for i in 0..20 {
        let members: Vec<_> = (0..2000)
            .map(|j| format!("\"k{i}_{j}\":{{\"x\":1}}"))
            .collect();
        inference
            .observe(format!("{{{}}}", members.join(",")).as_bytes())
            .unwrap();
    }
    assert_eq!(inference.draft().fields.len(), COLUMNS_MAX);
    assert!(inference.draft().allocate().is_ok());
}

#[test]
fn what_is_no_object_is_refused_as_by_decoding() {
    let mut inference = Inference::new(InferOptions::default());
    for text in [
        "",
        "[]",
        "1",
        "{\"a\":",
        "{} {}",
        "{\"a\":01}",
        "\u{feff}{}",
    ] {
        let mut columns = Group::new(&[]);
        let decoded = crate::json::append(&mut columns, 0, text.as_bytes()).unwrap_err();
        let refused = inference.observe(text.as_bytes()).unwrap_err();
        assert_eq!(
            std::mem::discriminant(&refused),
            std::mem::discriminant(&decoded),
            "{text}: {refused}"
        );
    }
    let deep = format!("{{\"a\":{}", "[".repeat(100_000));
    assert!(inference.observe(deep.as_bytes()).is_err());
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(inference.observe(deep.as_bytes()).is_ok());
    assert_eq!(shown(&inference.draft().fields), "a__json string");
    assert_eq!(inference.records(), 1);
}

/// A table and rows under it; when a row finds no column, the table grows and all rows begin anew.
struct Table {
    schema: TableSchema,
    taken: Vec<String>,
}

impl Table {
    fn of(sample: &[String]) -> Self {
        let mut inference = Inference::new(InferOptions::default());
        for text in sample {
            inference.observe(text.as_bytes()).unwrap();
        }
        let schema = inference.draft().allocate().unwrap();
        let mut table = Self {
            schema,
            taken: Vec::new(),
        };
        for text in sample {
            assert!(table.take(&[text]).is_empty(), "a sample fits: {text}");
        }
        table
    }

    /// Takes the first text, growing by it and those behind it; answers what was added.
    fn take(&mut self, texts: &[impl AsRef<str>]) -> Vec<String> {
        let text = texts[0].as_ref();
        let mut added = Vec::new();
        for _ in 0..4 {
            match self.try_take(text) {
                Ok(()) => {
                    self.taken.push(text.to_owned());
                    return added;
                }
                Err(reason) => assert!(reason.wants_column(), "{reason}: {text}"),
            }
            let mut inference = Inference::over(&self.schema, InferOptions::default());
            for text in texts {
                inference.observe(text.as_ref().as_bytes()).unwrap();
            }
            let merged = merge(&self.schema, &inference.draft()).unwrap();
            assert!(!merged.changes.is_empty(), "no way for {text}");
            for change in &merged.changes {
                assert!(matches!(change, Change::Added { .. }), "{change:?}");
                added.push(change.path().to_owned());
            }
            self.schema = merged.schema;
        }
        panic!("grew four times for {text}");
    }

    fn try_take(&self, text: &str) -> Result<(), Reason> {
        let mut columns = Group::new(self.schema.fields());
        append(&mut columns, 0, text.as_bytes(), Growth::Wanted)
    }

    fn rows(&self) -> Vec<Value> {
        let mut columns = Group::new(self.schema.fields());
        for (row, text) in self.taken.iter().enumerate() {
            append(&mut columns, row, text.as_bytes(), Growth::Wanted).unwrap();
        }
        rows(&mut columns, &self.schema)
    }
}

#[test]
fn later_values_open_siblings_and_new_members_columns() {
    let mut table =
        Table::of(&[r#"{"qty":1,"at":{"x":1},"lines":[{"n":1}],"tags":["a"]}"#.to_owned()]);
    for (text, added) in [
        (r#"{"qty":2,"new":null,"empty":[{}]}"#, &[][..]),
        (r#"{"qty":"two"}"#, &["qty__string"]),
        (r#"{"qty":2.5}"#, &["qty__double"]),
        (r#"{"qty":"three","new":true}"#, &["new"]),
        (r#"{"at":{"x":"y","z":[1]}}"#, &["at.z", "at.x__string"]),
        (
            r#"{"lines":[{"n":2},{"n":"x"},{"m":1}]}"#,
            &["lines[].m", "lines[].n__string"],
        ),
        (r#"{"lines":[{"n":2},7]}"#, &["lines__json"]),
        (r#"{"tags":["a",null,1]}"#, &["tags__json"]),
        (r#"{"tags":{"a":1},"qty":[]}"#, &[]),
        (r#"{"at":7,"qty":[1]}"#, &["qty__json", "at__long"]),
    ] {
        assert_eq!(table.take(&[text]), added, "{text}");
    }
    let rows = table.rows();
    assert_eq!(rows[2]["qty"], Value::Null);
    assert_eq!(rows[2]["qty__string"], "two");
    assert_eq!(
        rows[5]["at"],
        json!({"x": null, "z": [1], "x__string": "y"})
    );
    assert_eq!(rows[7]["lines__json"], r#"[{"n":2},7]"#);
    assert_eq!(rows[9]["tags__json"], r#"{"a":1}"#);
    assert_eq!(rows[9]["qty__json"], "[]");

    let twice = table
        .try_take(r#"{"qty":"x","qty__string":"y"}"#)
        .unwrap_err();
    assert_eq!(twice.to_string(), "field qty__string: given twice");
    let fields = table.schema.fields();
    let mut columns = Group::new(fields);
    let over = append(&mut columns, 0, br#"{"other":1,"qty":3}"#, Growth::Over);
    assert_eq!(over, Ok(()));
    let over = append(&mut columns, 1, br#"{"new":"x"}"#, Growth::Over).unwrap_err();
    assert_eq!(over.to_string(), "field new: a JSON string, not bool");
    assert_eq!(columns.rows(), 1);
}

#[test]
fn a_struct_that_is_full_keeps_what_is_more_as_text() {
    let mut table = Table::of(&[r#"{"a":{"x":1}}"#.to_owned()]);
    for i in 0..MEMBERS_MAX + 5 {
        table.take(&[format!(r#"{{"a":{{"k{i}":1}}}}"#)]);
    }
    let rows = table.rows();
    assert_eq!(
        rows[MEMBERS_MAX]["a__json"],
        format!(r#"{{"k{}":1}}"#, MEMBERS_MAX - 1)
    );
    assert_eq!(rows[MEMBERS_MAX]["a"], Value::Null);
    assert_eq!(table.schema.fields().len(), 2);
}

fn random_value(rng: &mut SmallRng, depth: usize) -> Value {
    match rng.random_range(0..10) {
        0 => Value::Null,
        1 => rng.random::<bool>().into(),
        2 | 3 => rng.random_range(-9..9_i64).into(),
        4 => (f64::from(rng.random_range(-9..9_i32)) / 4.0).into(),
        5 => (*["x", "", "ü\"\\"].choose(rng).unwrap()).into(),
        6 | 7 if depth > 0 => {
            let count = rng.random_range(0..3);
            (0..count).map(|_| random_value(rng, depth - 1)).collect()
        }
        8 | 9 if depth > 0 => random_object(rng, depth - 1),
        _ => 7.into(),
    }
}

fn random_object(rng: &mut SmallRng, depth: usize) -> Value {
    let names = ["a", "b", "c", "", "_offset"];
    let members = (0..rng.random_range(0..4)).map(|_| {
        let name = *names.choose(rng).unwrap();
        (name.to_owned(), random_value(rng, depth))
    });
    Value::Object(members.collect())
}

/// A value without what says nothing; numbers as doubles.
fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().into(),
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(members) => {
            let said = members
                .iter()
                .filter(|(_, value)| says_something(&value.to_string()));
            Value::Object(
                said.map(|(name, value)| (name.clone(), plain(value)))
                    .collect(),
            )
        }
        other => other.clone(),
    }
}

/// A row with its siblings back in their places.
fn rejoined(row: &Value) -> Value {
    match row {
        Value::Array(items) => items.iter().map(rejoined).collect(),
        Value::Object(members) => {
            let mut out = Map::new();
            for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
                let (name, kind) = name.split_once("__").unwrap_or((name, ""));
                let value = match (kind, value) {
                    ("json", Value::String(text)) => serde_json::from_str(text).unwrap(),
                    _ => rejoined(value),
                };
                assert!(
                    out.insert(name.to_owned(), value).is_none(),
                    "{name} twice in {row}"
                );
            }
            Value::Object(out)
        }
        other => other.clone(),
    }
}

#[test]
fn every_object_gets_in_whole() {
    for seed in 0..600 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let texts: Vec<_> = (0..20).map(|_| random_object(&mut rng, 4)).collect();
        let texts: Vec<_> = texts.iter().map(Value::to_string).collect();
        let (sample, later) = texts.split_at(rng.random_range(1..20));
        let mut sample = sample.to_vec();
        sample.push(r#"{"z":1}"#.to_owned());
        let mut table = Table::of(&sample);
        for first in 0..later.len() {
            let ahead = rng.random_range(first..later.len());
            table.take(&later[first..=ahead]);
        }
        for (text, row) in table.taken.iter().zip(table.rows()) {
            let mut expected: Value = serde_json::from_str(text).unwrap();
            for name in ["", "_offset"] {
                expected.as_object_mut().unwrap().remove(name);
            }
            assert_eq!(
                plain(&rejoined(&row)),
                plain(&expected),
                "seed {seed}: {text}"
            );
        }
    }
}

#[test]
fn random_bytes_never_panic_nor_tear_a_row() {
    let table = Table::of(&[r#"{"a":1,"b":{"c":["x"]},"a__string":"x"}"#.to_owned()]);
    for seed in 0..300 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut columns = Group::new(table.schema.fields());
        let mut kept = 0;
        for _ in 0..40 {
            let mut text = random_object(&mut rng, 4).to_string().into_bytes();
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..text.len());
                text[at] = *b"\0\xff\"\\{}[]:,0123456789.eE-tfn u"
                    .choose(&mut rng)
                    .unwrap();
            }
            let _ = Inference::over(&table.schema, InferOptions::default()).observe(&text);
            let growth = *[Growth::Wanted, Growth::Over].choose(&mut rng).unwrap();
            kept += usize::from(append(&mut columns, kept, &text, growth).is_ok());
            assert!(columns.columns.iter().all(|column| column.len() == kept));
        }
    }
}
