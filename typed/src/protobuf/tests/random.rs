//! Random schemas and messages, and bytes that are none, against another decoder: what both take is
//! the same row. Seeds are fixed; a failure prints its own.

use std::fmt::Write as _;

use prost_reflect::prost::Message as _;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value,
};
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};

use super::super::mapping::declared;
use super::super::wire::Reader;
use super::*;

const SCALARS: [&str; 15] = [
    "double", "float", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32",
    "fixed64", "sfixed32", "sfixed64", "bool", "string", "bytes",
];
const KEYS: [&str; 6] = ["int32", "sint64", "uint32", "uint64", "bool", "string"];

/// A schema of a few messages, each of which may hold those before it; the last is the row.
fn schema(random: &mut SmallRng) -> (String, MessageChoice) {
    let mut text = "syntax = \"proto3\"; import \"google/protobuf/timestamp.proto\";
        import \"google/protobuf/wrappers.proto\"; enum E { Z = 0; A = 1; B = -7; C = 2000; }\n"
        .to_owned();
    let messages = random.random_range(1..5);
    for message in 0..messages {
        write!(text, "message M{message} {{ ").unwrap();
        let mut number = 0;
        let fields = random.random_range(1..12);
        for field in 0..fields {
            number += random.random_range(1..if field % 5 == 4 { 2000 } else { 3 });
            let line = field_line(random, message, field, number);
            text.push_str(&line);
            number += 3;
        }
        text.push_str("}\n");
    }
    (text, MessageChoice::Name(format!("M{}", messages - 1)))
}

fn field_line(random: &mut SmallRng, message: usize, field: usize, number: usize) -> String {
    let one = |random: &mut SmallRng| match random.random_range(0..10) {
        0 if message > 0 => format!("M{}", random.random_range(0..message)),
        1 => "E".to_owned(),
        2 => "google.protobuf.Timestamp".to_owned(),
        3 => "google.protobuf.Int64Value".to_owned(),
        _ => SCALARS.choose(random).unwrap().to_string(),
    };
    let kind = one(random);
    let is_packable = !kind.contains(['.', 'M']) && kind != "string" && kind != "bytes";
    match random.random_range(0..8) {
        0 => format!("optional {kind} f{field} = {number}; "),
        1 => format!("repeated {kind} f{field} = {number}; "),
        2 if is_packable => format!("repeated {kind} f{field} = {number} [packed = false]; "),
        3 => {
            let key = KEYS.choose(random).unwrap();
            format!("map<{key}, {kind}> f{field} = {number}; ")
        }
        4 => {
            let other = one(random);
            format!(
                "oneof o{field} {{ {kind} f{field} = {number}; {other} g{field} = {}; }} ",
                number + 1
            )
        }
        _ => format!("{kind} f{field} = {number}; "),
    }
}

fn message(random: &mut SmallRng, of: &MessageDescriptor) -> DynamicMessage {
    let mut message = DynamicMessage::new(of.clone());
    for field in of.fields().collect::<Vec<_>>() {
        if random.random_bool(0.3) {
            continue;
        }
        let value = match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
                let entries = (0..random.random_range(0..4)).filter_map(|_| {
                    let key: Option<MapKey> = one(random, &key).into_map_key();
                    Some((key?, one(random, &value)))
                });
                Value::Map(entries.collect())
            }
            _ if field.is_list() => {
                let items = 0..random.random_range(0..4);
                Value::List(items.map(|_| one(random, &field)).collect())
            }
            _ => one(random, &field),
        };
        message.set_field(&field, value);
    }
    message
}

fn one(random: &mut SmallRng, field: &FieldDescriptor) -> Value {
    match field.kind() {
        Kind::Double => Value::F64(random.random()),
        Kind::Float => Value::F32(random.random()),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            let bits = random.random_range(0..32);
            Value::I32(random.random::<i32>() >> bits)
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            let bits = random.random_range(0..64);
            Value::I64(random.random::<i64>() >> bits)
        }
        Kind::Uint32 | Kind::Fixed32 => Value::U32(random.random()),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(random.random()),
        Kind::Bool => Value::Bool(random.random()),
        Kind::String => Value::String("aé\n€".repeat(random.random_range(0..4))),
        Kind::Bytes => Value::Bytes(vec![0xff; random.random_range(0..200)].into()),
        Kind::Enum(_) => Value::EnumNumber(*[0, 1, -7, 2000, 5].choose(random).unwrap()),
        Kind::Message(of) if of.name() == "Timestamp" => {
            let mut moment = DynamicMessage::new(of);
            let seconds = random.random_range(-62_135_596_800..253_402_300_800_i64);
            moment.set_field_by_name("seconds", Value::I64(seconds));
            let nanos = random.random_range(0..1_000_000_000);
            moment.set_field_by_name("nanos", Value::I32(nanos));
            Value::Message(moment)
        }
        Kind::Message(of) => Value::Message(message(random, &of)),
    }
}

/// The row of a decoded message, as [`row_text`] writes it.
fn expected(message: &DynamicMessage) -> String {
    let of = message.descriptor();
    let cells = declared(&of).map(|field| {
        let value = match message.get_field(&field).into_owned() {
            _ if field.supports_presence() && !message.has_field(&field) => "null".to_owned(),
            Value::List(items) => {
                let items: Vec<_> = items.iter().map(|item| cell(&field, item)).collect();
                format!("[{}]", items.join(", "))
            }
            Value::Map(entries) => {
                let Kind::Message(entry) = field.kind() else {
                    panic!("a map without entries")
                };
                let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
                let mut entries: Vec<_> = entries
                    .into_iter()
                    .map(|(k, v)| format!("{}:{}", key_cell(&key, k), cell(&value, &v)))
                    .collect();
                entries.sort();
                format!("{{{}}}", entries.join(", "))
            }
            value => cell(&field, &value),
        };
        format!("{}={value}", field.name())
    });
    cells.collect::<Vec<_>>().join(" ")
}

fn key_cell(field: &FieldDescriptor, key: MapKey) -> String {
    match key {
        MapKey::U64(number) => format!("\"{number}\""),
        key => cell(field, &Value::from(key)),
    }
}

fn cell(field: &FieldDescriptor, value: &Value) -> String {
    match (value, field.kind()) {
        (Value::Bool(value), _) => value.to_string(),
        (Value::I32(value), _) => value.to_string(),
        (Value::I64(value), _) => value.to_string(),
        (Value::U32(value), _) => value.to_string(),
        (Value::U64(value), _) => value.to_string(),
        (Value::F32(value), _) => format!("{value:?}"),
        (Value::F64(value), _) => format!("{value:?}"),
        (Value::String(text), _) => format!("{text:?}"),
        (Value::Bytes(bytes), _) => format!("{:?}", &bytes[..]),
        (Value::EnumNumber(number), Kind::Enum(names)) => match names.get_value(*number) {
            Some(value) => format!("{:?}", value.name()),
            None => format!("\"{number}\""),
        },
        (Value::Message(message), Kind::Message(of)) => match of.name() {
            "Timestamp" => {
                let part = |name| message.get_field_by_name(name).unwrap().into_owned();
                let seconds = part("seconds").as_i64().unwrap();
                let us = part("nanos").as_i32().unwrap() / 1000;
                (seconds.wrapping_mul(1_000_000) + i64::from(us)).to_string()
            }
            "Int64Value" => {
                let value = message.get_field_by_name("value").unwrap().into_owned();
                value.as_i64().unwrap().to_string()
            }
            _ => format!("({})", expected(message)),
        },
        (value, kind) => panic!("{value:?} in a field of {kind:?}"),
    }
}

/// The same fields in another order; those of one number stay as they are.
fn shuffled(random: &mut SmallRng, bytes: &[u8]) -> Vec<u8> {
    let mut reader = Reader::new(bytes);
    let mut fields: Vec<(u32, &[u8])> = Vec::new();
    loop {
        let before = reader.rest();
        let Some((number, _)) = reader.field().unwrap() else {
            break;
        };
        fields.push((number, &before[..before.len() - reader.rest().len()]));
    }
    let mut numbers: Vec<_> = fields.iter().map(|(number, _)| *number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.shuffle(random);
    fields.sort_by_key(|(number, _)| numbers.iter().position(|other| other == number));
    fields
        .into_iter()
        .flat_map(|(_, bytes)| bytes)
        .copied()
        .collect()
}

struct Case {
    seed: u64,
    schema: String,
    of: MessageDescriptor,
    plan: Plan,
}

impl Case {
    fn new(seed: u64, random: &mut SmallRng) -> Self {
        let (schema, choice) = schema(random);
        let writer = Writer::parse(&schema, &[], &choice).unwrap();
        let table = writer.draft().allocate().unwrap();
        Self {
            seed,
            schema,
            of: writer.message().clone(),
            plan: Plan::compile(&writer, &table).unwrap(),
        }
    }

    /// Decodes as both do; true if both took it. `strict`: what the other takes must be taken.
    fn check(&self, bytes: &[u8], strict: bool) -> bool {
        let oracle = DynamicMessage::decode(self.of.clone(), bytes);
        let row = decode(&self.plan, bytes);
        match (&row, &oracle) {
            (Ok(row), Ok(message)) => {
                assert_eq!(
                    *row,
                    expected(message),
                    "seed {}\n{}",
                    self.seed,
                    self.schema
                );
            }
            (Err(Reason::Field { fault, .. }), Ok(_)) if *fault == Fault::Twice => {}
            (Err(reason), Ok(_)) if strict => {
                panic!("{reason}: seed {}\n{}", self.seed, self.schema)
            }
            _ => {}
        }
        row.is_ok() && oracle.is_ok()
    }
}

#[test]
fn random_messages_decode_as_another_decoder_says() {
    let mut taken = 0;
    for seed in 0..300 {
        let mut random = SmallRng::seed_from_u64(seed);
        let case = Case::new(seed, &mut random);
        for _ in 0..10 {
            let first = message(&mut random, &case.of).encode_to_vec();
            let second = message(&mut random, &case.of).encode_to_vec();
            let merged = [&first[..], &second].concat();
            taken += usize::from(case.check(&first, true));
            taken += usize::from(case.check(&shuffled(&mut random, &first), true));
            taken += usize::from(case.check(&merged, true));
        }
    }
    assert!(taken > 6_000, "{taken}");
}

#[test]
fn broken_messages_are_refused_or_decode_as_another_decoder_says() {
    let mut taken = 0;
    for seed in 1_000..1_150 {
        let mut random = SmallRng::seed_from_u64(seed);
        let case = Case::new(seed, &mut random);
        for _ in 0..40 {
            let mut bytes = message(&mut random, &case.of).encode_to_vec();
            bytes.truncate(random.random_range(0..=bytes.len()));
            for _ in 0..random.random_range(0..4) {
                if !bytes.is_empty() {
                    let at = random.random_range(0..bytes.len());
                    bytes[at] = random.random();
                }
            }
            taken += usize::from(case.check(&bytes, false));
        }
    }
    assert!(taken > 500, "{taken}");
}

/// A descriptor in base64 is bytes of anybody's making.
#[test]
fn broken_descriptors_are_refused_or_schemas() {
    let good = BASE64.decode(canonical(EVERYTHING, &[]).unwrap()).unwrap();
    let mut random = SmallRng::seed_from_u64(7);
    for _ in 0..3_000 {
        let mut bytes = good.clone();
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..bytes.len());
            bytes[at] = random.random();
        }
        let Ok(source) = Source::parse(&BASE64.encode(&bytes), &[]) else {
            continue;
        };
        if let Ok(writer) = source.writer(&MessageChoice::default())
            && let Ok(table) = writer.draft().allocate()
        {
            Plan::compile(&writer, &table).ok();
        }
        compat::differences(&source, &source);
        source.canonical().unwrap();
    }
}

/// A text is anybody's too.
#[test]
fn broken_texts_are_refused_or_schemas() {
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        "<",
        ">",
        ";",
        "=",
        ",",
        ".",
        "-",
        "\"",
        "'",
        "/*",
        "*/",
        "//",
        "#",
        "oneof",
        "map",
        "message",
        "enum",
        "extend",
        "option",
        "reserved",
        "repeated",
        "group",
        "1",
        "0x7fffffff",
        "1e9",
        "to",
        "max",
        "é",
        "\n",
        "\\",
    ];
    let mut random = SmallRng::seed_from_u64(8);
    for _ in 0..2_000 {
        let mut text: Vec<char> = EVERYTHING.chars().collect();
        for _ in 0..random.random_range(1..6) {
            let at = random.random_range(0..text.len());
            let until = (at + random.random_range(0..8)).min(text.len());
            let piece = pieces.choose(&mut random).unwrap();
            text.splice(at..until, piece.chars());
        }
        let text: String = text.into_iter().collect();
        if let Ok(source) = Source::parse(&text, &[]) {
            source.writer(&MessageChoice::default()).ok();
            compat::differences(&source, &source);
            source.canonical().unwrap();
        }
    }
}
