//! Random rows and random predicates on them; the same for the same seed.
#![allow(dead_code, reason = "each story uses its part")]

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int32Array, Int64Array, RecordBatch, StringArray, StructArray, TimestampMillisecondArray,
};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tidelog_predicate::{Comparison, Decimal, Literal, Pattern, Predicate};

/// Every column, by the name predicates use.
pub const COLUMNS: [&str; 10] = [
    "flag", "small", "count", "price", "single", "double", "city", "payload", "day", "at",
];

pub fn rng(seed: u64) -> SmallRng {
    SmallRng::seed_from_u64(seed)
}

fn field(id: i32, name: &str, kind: DataType) -> Field {
    let id = ("PARQUET:field_id".to_owned(), id.to_string());
    Field::new(name, kind, true).with_metadata([id].into())
}

fn members() -> Fields {
    vec![
        field(12, "city", DataType::Utf8),
        field(13, "zip", DataType::Int32),
    ]
    .into()
}

pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        field(1, "flag", DataType::Boolean),
        field(2, "small", DataType::Int32),
        field(3, "count", DataType::Int64),
        field(4, "price", DataType::Decimal128(12, 2)),
        field(5, "single", DataType::Float32),
        field(6, "double", DataType::Float64),
        field(7, "city", DataType::Utf8),
        field(8, "payload", DataType::Binary),
        field(9, "day", DataType::Date32),
        field(
            10,
            "at",
            DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        ),
        field(11, "address", DataType::Struct(members())),
    ]))
}

const TEXTS: [&str; 9] = ["", "a", "ab", "abc", "b", "ba", "é", "éa", "a%_"];
const DOUBLES: [f64; 10] = [
    0.0,
    -0.0,
    0.1,
    -1.5,
    2.0,
    3.0,
    1e300,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
];

/// Rows whose values lie near each other, so that comparisons go every way; now and then a column
/// has no nulls, one value or nothing else but nulls.
pub fn rows(seed: u64, count: usize) -> RecordBatch {
    let mut rng = rng(seed);
    let rng = &mut rng;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(BooleanArray::from(some(rng, count, |rng| rng.random()))),
        Arc::new(Int32Array::from(some(rng, count, |rng| {
            *[i32::MIN, i32::MAX, 0, 1, 2, 3, -1].choose(rng).unwrap()
        }))),
        Arc::new(Int64Array::from(some(rng, count, |rng| {
            rng.random_range(-5..5)
        }))),
        Arc::new(
            Decimal128Array::from(some(rng, count, |rng| rng.random_range(-500..500)))
                .with_precision_and_scale(12, 2)
                .unwrap(),
        ),
        Arc::new(Float32Array::from(some(rng, count, |rng| {
            *DOUBLES.choose(rng).unwrap() as f32
        }))),
        Arc::new(Float64Array::from(some(rng, count, |rng| {
            *DOUBLES.choose(rng).unwrap()
        }))),
        Arc::new(StringArray::from(some(rng, count, |rng| {
            *TEXTS.choose(rng).unwrap()
        }))),
        Arc::new(BinaryArray::from(some(rng, count, |rng| {
            TEXTS.choose(rng).unwrap().as_bytes()
        }))),
        Arc::new(Date32Array::from(some(rng, count, |rng| {
            rng.random_range(-2..3)
        }))),
        Arc::new(
            TimestampMillisecondArray::from(some(rng, count, |rng| rng.random_range(-2..3)))
                .with_timezone("UTC"),
        ),
        Arc::new(addresses(rng, count)),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn addresses(rng: &mut SmallRng, count: usize) -> StructArray {
    let cities = StringArray::from(some(rng, count, |rng| *TEXTS.choose(rng).unwrap()));
    let zips = Int32Array::from(some(rng, count, |rng| rng.random_range(0..3)));
    let nulls: NullBuffer = (0..count).map(|_| rng.random_bool(0.8)).collect();
    StructArray::new(
        members(),
        vec![Arc::new(cities), Arc::new(zips)],
        Some(nulls),
    )
}

fn some<T: Clone>(
    rng: &mut SmallRng,
    count: usize,
    value: impl Fn(&mut SmallRng) -> T,
) -> Vec<Option<T>> {
    let nulls = *[0.0, 0.2, 1.0].choose_weighted(rng, |p| 2.0 - p).unwrap();
    let only = rng.random_bool(0.3).then(|| value(rng));
    (0..count)
        .map(|_| {
            let value = only.clone().unwrap_or_else(|| value(rng));
            (!rng.random_bool(nulls)).then_some(value)
        })
        .collect()
}

/// A literal that a column is compared with, near its values or far from them.
fn literal(rng: &mut SmallRng, column: &str) -> Literal {
    let text = TEXTS.choose(rng).unwrap().to_string();
    match column {
        "flag" => Literal::Bool(rng.random()),
        "city" | "address.city" => Literal::Text(text),
        "payload" => match rng.random() {
            true => Literal::Text(text),
            false => Literal::Bytes(text.into_bytes()),
        },
        "day" | "at" => match rng.random_range(0..3) {
            0 => Literal::Date(rng.random_range(-2..3)),
            1 => Literal::Timestamp(rng.random_range(-3_000..3_000)),
            _ => Literal::Text("1970-01-01T00:00:00.001Z".to_owned()),
        },
        _ => number(rng),
    }
}

fn number(rng: &mut SmallRng) -> Literal {
    match rng.random_range(0..5) {
        0 => Literal::Integer(*[i64::MIN, i64::MAX, 1 << 40].choose(rng).unwrap()),
        1 => Literal::Integer(rng.random_range(-5..5)),
        2 => Literal::Decimal(Decimal::new(rng.random_range(-5_000..5_000), 3).unwrap()),
        3 => Literal::Double(rng.random_range(-20..20) as f64 / 4.0),
        _ => Literal::Double(*DOUBLES.choose(rng).unwrap()),
    }
}

const OPS: [Comparison; 6] = [
    Comparison::Equal,
    Comparison::NotEqual,
    Comparison::Less,
    Comparison::LessOrEqual,
    Comparison::Greater,
    Comparison::GreaterOrEqual,
];

fn pattern(rng: &mut SmallRng) -> Pattern {
    let parts = ["a", "b", "é", "%", "_", "%", "!%", "!!"];
    let text: String = (0..rng.random_range(0..5))
        .map(|_| *parts.choose(rng).unwrap())
        .collect();
    Pattern::new(text, Some('!')).unwrap()
}

/// A predicate on [`schema`] of at most so many levels.
pub fn predicate(rng: &mut SmallRng, levels: u32) -> Predicate {
    if levels > 0 && rng.random_bool(0.6) {
        let mut parts = || {
            let count = 2 + usize::from(levels > 1);
            (0..count).map(|_| predicate(rng, levels - 1)).collect()
        };
        return match (levels % 3, parts()) {
            (0, parts) => Predicate::Or(parts),
            (1, parts) => Predicate::And(parts),
            (_, mut parts) => Vec::pop(&mut parts).unwrap().not(),
        };
    }
    let column = match rng.random_range(0..12) {
        10 => "address.city",
        11 => "address.zip",
        place => COLUMNS[place],
    };
    let name = column.to_owned();
    match rng.random_range(0..12) {
        0 => Predicate::Constant(rng.random()),
        1 => Predicate::IsNull(name),
        2 => Predicate::IsNull(name).not(),
        3 | 4 => {
            let literals = (0..rng.random_range(0..4)).map(|_| literal(rng, column));
            let literals = literals.collect();
            Predicate::In {
                column: name,
                literals,
            }
        }
        5 | 6 if matches!(column, "city" | "payload" | "address.city") => Predicate::Like {
            column: name,
            pattern: pattern(rng),
        },
        _ => Predicate::compare(name, *OPS.choose(rng).unwrap(), literal(rng, column)),
    }
}
