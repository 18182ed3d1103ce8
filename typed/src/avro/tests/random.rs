//! Random schemas and values, written by another implementation, come back as columns; torn and
//! changed bytes leave nothing behind. Seeds are fixed.

use std::collections::HashMap;

use apache_avro::types::Value as Avro;
use apache_avro::{Days, Decimal, Duration, Millis, Months, Schema as Other, to_avro_datum};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Map, Value, json};

use super::*;
use crate::intake::{Names, Target};
use crate::json::tests::base64;
use crate::{Intake, ValueForm, ValueRows};

/// Makes types, and values of them.
pub(super) struct Maker {
    rng: SmallRng,
    /// Records and the like, by name, once they are whole.
    defined: HashMap<String, Value>,
    count: usize,
}

impl Maker {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: SmallRng::seed_from_u64(seed),
            defined: HashMap::new(),
            count: 0,
        }
    }

    pub(super) fn record(&mut self, depth: usize) -> Value {
        let count = self.rng.random_range(1..6);
        let mut fields: Vec<_> = (0..count)
            .map(|i| json!({"name": format!("f{i}"), "type": self.kind(depth)}))
            .collect();
        if self.rng.random_bool(0.1) {
            fields.push(json!({"name": "nothing", "type": "null"}));
        }
        self.named(json!({"type": "record", "fields": fields}))
    }

    fn named(&mut self, mut of: Value) -> Value {
        let name = format!("N{}", self.count);
        self.count += 1;
        of["name"] = name.clone().into();
        self.defined.insert(name, of.clone());
        of
    }

    fn kind(&mut self, depth: usize) -> Value {
        let nested = if depth > 0 { 25 } else { 20 };
        let logical = |of: &str, name: &str| json!({"type": of, "logicalType": name});
        match self.rng.random_range(0..nested) {
            0 => json!("boolean"),
            1 => json!("int"),
            2 => json!("long"),
            3 => json!("float"),
            4 => json!("double"),
            5 => json!("bytes"),
            6 | 7 => json!("string"),
            8 => logical("int", "date"),
            9 => logical("int", "time-millis"),
            10 => logical("long", "time-micros"),
            11 => logical("long", "timestamp-millis"),
            12 => logical("long", "timestamp-micros"),
            13 => logical("long", "local-timestamp-micros"),
            14 => logical("long", "timestamp-nanos"),
            15 => {
                let precision = self.rng.random_range(1..=38);
                let scale = self.rng.random_range(0..=precision);
                json!({"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale})
            }
            16 => self.named(json!({"type": "fixed", "size": 9, "logicalType": "decimal", "precision": 18, "scale": 2})),
            17 => self.named(json!({"type": "fixed", "size": 12, "logicalType": "duration"})),
            18 => self.named(json!({"type": "fixed", "size": 3})),
            19 => self.named(json!({"type": "enum", "symbols": ["A", "B", "C"]})),
            20 => json!({"type": "array", "items": self.kind(depth - 1)}),
            21 => json!({"type": "map", "values": self.kind(depth - 1)}),
            22 => self.record(depth - 1),
            _ => self.union(depth - 1),
        }
    }

    fn union(&mut self, depth: usize) -> Value {
        let mut branches: Vec<Value> = Vec::new();
        for _ in 0..self.rng.random_range(1..4) {
            let branch = self.kind(depth);
            let alike = |other: &Value| {
                // The other implementation takes all types with one logical type for one.
                let fixed = |of: &Value| of["type"] == "fixed" || of["precision"].is_u64();
                label(other) == label(&branch) || (fixed(other) && fixed(&branch))
            };
            if !branch.is_array() && !branches.iter().any(alike) {
                branches.push(branch);
            }
        }
        if branches.is_empty() || self.rng.random_bool(0.6) {
            let place = self.rng.random_range(0..=branches.len());
            branches.insert(place, json!("null"));
        }
        if branches == [json!("null")] {
            branches.push(json!("int"));
        }
        Value::Array(branches)
    }

    /// A record or enum in the fields of `schema`; the other implementation does not find all
    /// others by name.
    fn any_name(&mut self, schema: &Value) -> Option<Value> {
        let text = schema["fields"].to_string();
        let named = |of: &&Value| of["type"] == "record" || of["type"] == "enum";
        let found = |of: &&Value| named(of) && text.contains(&format!("\"name\":{}", of["name"]));
        let mut names: Vec<_> = self.defined.values().filter(found).collect();
        names.sort_by_key(|of| of["name"].to_string());
        names.choose(&mut self.rng).map(|of| of["name"].clone())
    }

    /// A value, and what it looks like in a table; `None`: no column.
    pub(super) fn value(&mut self, of: &Value) -> (Avro, Option<Value>) {
        match of {
            Value::String(name) => match self.defined.get(name).cloned() {
                Some(of) => self.value(&of),
                None => self.plain(name, ""),
            },
            Value::Array(branches) => self.branch(branches),
            of => match of["type"].as_str().unwrap() {
                "record" => self.fields(of["fields"].as_array().unwrap()),
                "array" => {
                    let items: Vec<_> = self.some().map(|()| self.value(&of["items"])).collect();
                    let (items, seen): (Vec<_>, Vec<_>) = items.into_iter().unzip();
                    (
                        Avro::Array(items),
                        Some(seen.into_iter().flatten().collect()),
                    )
                }
                "map" => {
                    let mut entries = HashMap::new();
                    let mut seen = Map::new();
                    for (i, ()) in self.some().enumerate() {
                        let (value, plain) = self.value(&of["values"]);
                        entries.insert(format!("k{i}"), value);
                        seen.insert(format!("k{i}"), plain.unwrap());
                    }
                    (Avro::Map(entries), Some(seen.into()))
                }
                "fixed" => self.fixed(of),
                "enum" => {
                    let place = self.rng.random_range(0..3);
                    let symbol = of["symbols"][place].as_str().unwrap().to_owned();
                    (
                        Avro::Enum(place as u32, symbol.clone()),
                        Some(symbol.into()),
                    )
                }
                "bytes" if of["precision"].is_u64() => {
                    self.decimal(of["precision"].as_u64().unwrap())
                }
                name => self.plain(name, of["logicalType"].as_str().unwrap_or("")),
            },
        }
    }

    fn some(&mut self) -> impl Iterator<Item = ()> + use<> {
        let count = self.rng.random_range(0..4);
        std::iter::repeat_n((), count)
    }

    fn fields(&mut self, fields: &[Value]) -> (Avro, Option<Value>) {
        let mut members = Vec::new();
        let mut seen = Map::new();
        for field in fields {
            let name = field["name"].as_str().unwrap();
            let (value, plain) = self.value(&field["type"]);
            members.push((name.to_owned(), value));
            seen.extend(plain.map(|plain| (name.to_owned(), plain)));
        }
        (Avro::Record(members), Some(seen.into()))
    }

    fn branch(&mut self, branches: &[Value]) -> (Avro, Option<Value>) {
        let place = self.rng.random_range(0..branches.len());
        let (value, plain) = self.value(&branches[place]);
        let avro = Avro::Union(place as u32, Box::new(value));
        let is_null = |of: &Value| *of == json!("null");
        if is_null(&branches[place]) {
            return (avro, Some(Value::Null));
        }
        if branches.len() == 2 && branches.iter().any(is_null) {
            return (avro, plain);
        }
        let columns = branches.iter().filter(|of| !is_null(of));
        let mut seen: Map<_, _> = columns.map(|of| (label(of), Value::Null)).collect();
        seen.insert(label(&branches[place]), plain.unwrap());
        (avro, Some(seen.into()))
    }

    fn fixed(&mut self, of: &Value) -> (Avro, Option<Value>) {
        if of["precision"].is_u64() {
            return self.decimal(18);
        }
        if of["logicalType"] == "duration" {
            let (a, b, c): (u32, u32, u32) = self.rng.random();
            let duration = Duration::new(Months::new(a), Days::new(b), Millis::new(c));
            let bytes: [u8; 12] = duration.into();
            return (Avro::Duration(duration), Some(base64(&bytes).into()));
        }
        let bytes: [u8; 3] = self.rng.random();
        (Avro::Fixed(3, bytes.to_vec()), Some(base64(&bytes).into()))
    }

    fn decimal(&mut self, precision: u64) -> (Avro, Option<Value>) {
        let limit = 10_i128.pow(precision as u32) - 1;
        let value = self.rng.random_range(-limit..=limit);
        let bytes = value.to_be_bytes();
        // As short as a number can be, as other writers have it.
        let sign = if value < 0 { 0xff } else { 0 };
        let needless = |pair: &[u8]| pair[0] == sign && pair[1] & 0x80 == sign & 0x80;
        let start = bytes.windows(2).take_while(|pair| needless(pair)).count();
        let decimal = Decimal::from(&bytes[start..]);
        (Avro::Decimal(decimal), Some(value.to_string().into()))
    }

    fn plain(&mut self, name: &str, logical: &str) -> (Avro, Option<Value>) {
        let rng = &mut self.rng;
        let long = rng.random::<i64>() >> rng.random_range(0..64);
        let int = (long as i32) >> rng.random_range(0..32);
        let day_us = rng.random_range(0..86_400_000_000_i64);
        let (avro, plain) = match (name, logical) {
            ("null", _) => return (Avro::Null, None),
            ("boolean", _) => (Avro::Boolean(int & 1 == 0), json!(int & 1 == 0)),
            ("int", "date") => (Avro::Date(int), json!(int)),
            ("int", "time-millis") => {
                let ms = (day_us / 1000) as i32;
                (Avro::TimeMillis(ms), json!(i64::from(ms) * 1000))
            }
            ("int", _) => (Avro::Int(int), json!(int)),
            ("long", "time-micros") => (Avro::TimeMicros(day_us), json!(day_us)),
            ("long", "timestamp-millis") => (Avro::TimestampMillis(long), json!(long)),
            ("long", "timestamp-micros") => (Avro::TimestampMicros(long), json!(long)),
            ("long", "timestamp-nanos") => (Avro::TimestampNanos(long), json!(long)),
            ("long", "local-timestamp-micros") => (Avro::LocalTimestampMicros(long), json!(long)),
            ("long", _) => (Avro::Long(long), json!(long)),
            ("float", _) => (Avro::Float(long as f32), json!(long as f32)),
            ("double", _) => (Avro::Double(long as f64), json!(long as f64)),
            ("bytes", _) => {
                let bytes: Vec<u8> = self.some().map(|()| int as u8).collect();
                (Avro::Bytes(bytes.clone()), json!(base64(&bytes)))
            }
            ("string", _) => {
                let text = format!("é{long}");
                (Avro::String(text.clone()), json!(text))
            }
            other => panic!("no such type: {other:?}"),
        };
        (avro, Some(plain))
    }
}

/// What a branch is called in a union.
fn label(of: &Value) -> String {
    let name = [&of["name"], &of["type"], of];
    let name = name.into_iter().find_map(Value::as_str);
    name.unwrap_or("union").to_owned()
}

/// Without `dropped`, with one more.
fn other_table(table: &TableSchema, dropped: &str) -> TableSchema {
    let mut text: Value = serde_json::from_str(&table.to_json()).unwrap();
    let last = text["last_id"].as_i64().unwrap() + 1;
    text["last_id"] = last.into();
    let fields = text["fields"].as_array_mut().unwrap();
    fields.retain(|field| field["name"] != dropped);
    fields.insert(0, json!({"name": "more", "type": {"struct": [{"name": "x", "type": "int", "id": last}]}, "id": last + 1}));
    text["last_id"] = (last + 1).into();
    TableSchema::parse(&text.to_string()).unwrap()
}

fn lengths(columns: &Group) -> Vec<usize> {
    columns.columns.iter().map(|column| column.len()).collect()
}

#[test]
fn what_another_writer_wrote_comes_back() {
    for seed in 0..500 {
        let mut maker = Maker::new(seed);
        let mut schema = maker.record(3);
        if let Some(name) = maker.any_name(&schema) {
            let fields = schema["fields"].as_array_mut().unwrap();
            fields.push(json!({"name": "again", "type": name}));
        }
        let other = Other::parse_str(&schema.to_string()).unwrap();
        let writer = writer(&schema);
        let whole = writer.draft().clone().allocate().unwrap();
        let less = other_table(&whole, "f0");
        for (table, is_whole) in [(whole, true), (less, false)] {
            let plan = Plan::compile(&writer, &table).unwrap();
            let mut columns = Group::new(table.fields());
            let mut expected = Vec::new();
            for row in 0..8 {
                let (value, plain) = maker.value(&schema);
                let bytes = to_avro_datum(&other, value).unwrap();
                for _ in 0..4 {
                    attack(&mut maker.rng, &plan, &mut columns, row, &bytes);
                }
                plan.append(&mut columns, row, &bytes)
                    .unwrap_or_else(|reason| panic!("seed {seed}, {schema}: {reason}"));
                let mut plain = plain.unwrap();
                if !is_whole {
                    let members = plain.as_object_mut().unwrap();
                    members.remove("f0");
                    members.insert("more".to_owned(), Value::Null);
                }
                expected.push(plain);
            }
            assert_eq!(
                rows(&mut columns, &table),
                expected,
                "seed {seed}, {schema}"
            );
        }
    }
}

/// Torn bytes never are a row, changed ones may be; afterwards the columns are as before.
fn attack(rng: &mut SmallRng, plan: &Plan, columns: &mut Group, rows: usize, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let torn = &bytes[..rng.random_range(0..bytes.len())];
    assert!(plan.append(columns, rows, torn).is_err(), "a torn value");
    assert!(lengths(columns).iter().all(|len| *len == rows));
    let mut changed = bytes.to_vec();
    for _ in 0..rng.random_range(1..4) {
        let place = rng.random_range(0..changed.len());
        changed[place] = rng.random();
    }
    let after = match plan.append(columns, rows, &changed) {
        Ok(()) => rows + 1,
        Err(_) => rows,
    };
    assert!(lengths(columns).iter().all(|len| *len == after));
    columns.truncate(rows);
}

#[test]
fn rows_written_back_read_as_they_were() {
    for seed in 0..400 {
        let mut maker = Maker::new(seed);
        let schema = maker.record(3);
        let other = Other::parse_str(&schema.to_string()).unwrap();
        let writer = writer(&schema);
        let table = writer.draft().clone().allocate().unwrap();
        let plan = Plan::compile(&writer, &table).unwrap();
        let values: Vec<_> = (0..8)
            .map(|_| to_avro_datum(&other, maker.value(&schema).0).unwrap())
            .collect();
        let before = plan.decode(values.iter().map(Vec::as_slice)).unwrap().rows;
        assert_eq!(before.num_rows(), 8);

        let form = ValueForm::Avro {
            writer: Box::new(writer.clone()),
            frame: Some(258),
        };
        let target = Target {
            columns: &writer.draft().fields,
            is_open: false,
            names: Names::Now,
        };
        let intake = Intake::resolve(before.schema_ref(), &target).unwrap();
        let taken = intake.take(&before).unwrap();
        let rows = ValueRows::of(&form, taken.values()).unwrap();
        let written: Vec<_> = (0..8)
            .map(|row| {
                let mut value = Vec::new();
                let there = rows.write(row, 1 << 20, &mut value);
                assert_eq!(there, Ok(true), "seed {seed}, {schema}");
                assert_eq!(value[..5], [0, 0, 0, 1, 2]);
                value.split_off(5)
            })
            .collect();
        let after = plan.decode(written.iter().map(Vec::as_slice)).unwrap();
        assert_eq!(after.rows, before, "seed {seed}, {schema}");
    }
}

#[test]
fn random_bytes_are_read_within_bounds() {
    let mut maker = Maker::new(7);
    for _ in 0..200 {
        let schema = maker.record(3);
        let writer = writer(&schema);
        let table = writer.draft().clone().allocate().unwrap();
        let plan = Plan::compile(&writer, &table).unwrap();
        let mut columns = Group::new(table.fields());
        for _ in 0..20 {
            let mut bytes = vec![0; maker.rng.random_range(0..200)];
            maker.rng.fill(&mut bytes[..]);
            if plan.append(&mut columns, 0, &bytes).is_ok() {
                columns.truncate(0);
            }
            assert!(lengths(&columns).iter().all(|len| *len == 0));
        }
    }
}
