//! Golden bytes, and the order of bytes against the order of values.

use std::cmp::Ordering;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::merge::Unit;

const DECIMAL: Kind = Kind::Decimal {
    precision: 38,
    scale: 2,
};
const MOMENT: Kind = Kind::Timestamp {
    unit: Unit::Microsecond,
    utc: true,
};

fn text(text: &'static str) -> Value {
    Value::Text(Bytes::from_static(text.as_bytes()))
}

fn order(kinds: &[Kind]) -> KeyOrder {
    KeyOrder::new(kinds.to_vec()).unwrap()
}

#[test]
fn the_bytes_stay_what_they_are() {
    let cases: [(Kind, Value, &[u8]); 11] = [
        (Kind::Bool, Value::Bool(false), &[0]),
        (Kind::Bool, Value::Bool(true), &[1]),
        (Kind::Int, Value::Int(-1), &[0x7f, 0xff, 0xff, 0xff]),
        (Kind::Int, Value::Int(258), &[0x80, 0, 1, 2]),
        (Kind::Date, Value::Int(0), &[0x80, 0, 0, 0]),
        (Kind::Long, Value::Int(i64::MIN), &[0; 8]),
        (MOMENT, Value::Int(1), &[0x80, 0, 0, 0, 0, 0, 0, 1]),
        (
            DECIMAL,
            Value::Decimal(-2),
            &[
                0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                0xff, 0xfe,
            ],
        ),
        (Kind::Text, text("äb"), &[0xc3, 0xa4, b'b', 0, 0]),
        (Kind::Text, text(""), &[0, 0]),
        (
            Kind::Binary,
            Value::Binary(Bytes::from_static(&[0, 1, 0xff])),
            &[0, 0xff, 1, 0xff, 0, 0],
        ),
    ];
    for (kind, value, bytes) in cases {
        let order = order(&[kind]);
        assert_eq!(order.encode(std::slice::from_ref(&value)).unwrap(), bytes);
        assert_eq!(order.decode(bytes), Ok(vec![value]));
    }
}

#[test]
fn the_first_columns_are_a_prefix() {
    let order = order(&[Kind::Text, Kind::Int, Kind::Text]);
    let key = [text("a"), Value::Int(7), text("z")];
    let whole = order.encode(&key).unwrap();
    for columns in 0..=3 {
        let prefix = order.encode_prefix(&key[..columns]).unwrap();
        assert!(whole.starts_with(&prefix));
    }
    // A text is not the prefix of a longer one.
    let other = order
        .encode(&[text("ab"), Value::Int(7), text("z")])
        .unwrap();
    assert!(!other.starts_with(&order.encode_prefix(&key[..1]).unwrap()));
}

#[test]
fn what_is_no_key_is_refused() {
    assert_eq!(
        KeyOrder::new(vec![Kind::Int, Kind::Double]),
        Err(KeyOrderError::Kind(Kind::Double))
    );
    let order = order(&[Kind::Int, Kind::Text]);
    let one = [Value::Int(1)];
    assert_eq!(
        order.encode(&one),
        Err(KeyOrderError::Columns { got: 1, of: 2 })
    );
    assert_eq!(
        order.encode(&[Value::Int(1), Value::Null]),
        Err(KeyOrderError::Null { at: 1 })
    );
    assert_eq!(
        order.encode(&[Value::Int(1 << 40), text("")]),
        Err(KeyOrderError::Type {
            at: 0,
            kind: Kind::Int
        })
    );
    for bytes in [&[][..], &[0; 5], &[0, 0, 0, 0, 0, 1], &[0; 7]] {
        assert_eq!(order.decode(bytes), Err(KeyOrderError::Bytes), "{bytes:?}");
    }
}

#[test]
fn bytes_sort_as_values_do() {
    let kinds = [
        Kind::Text,
        Kind::Long,
        Kind::Binary,
        Kind::Bool,
        DECIMAL,
        Kind::Int,
    ];
    let order = order(&kinds);
    let mut dice = SmallRng::seed_from_u64(3);
    for _ in 0..20_000 {
        let (a, b) = (key(&mut dice), key(&mut dice));
        let (bytes_a, bytes_b) = (order.encode(&a).unwrap(), order.encode(&b).unwrap());
        let by_value = a.iter().zip(&b).fold(Ordering::Equal, |so_far, (a, b)| {
            so_far.then_with(|| a.compare(b).unwrap())
        });
        assert_eq!(bytes_a.cmp(&bytes_b), by_value, "{a:?} {b:?}");
        assert_eq!(order.decode(&bytes_a), Ok(a));
    }
}

/// Keys that meet often: few values for each column, the awkward ones among them.
fn key(dice: &mut SmallRng) -> Vec<Value> {
    let texts = ["", "\0", "\0\0", "a", "a\0", "a\0b", "ab", "\u{ff}"];
    let blobs: [&'static [u8]; 6] = [b"", &[0], &[0, 0xff], &[0xff], &[0, 0], &[1]];
    vec![
        text(texts[dice.random_range(0..texts.len())]),
        Value::Int([i64::MIN, -1, 0, 1, i64::MAX][dice.random_range(0..5)]),
        Value::Binary(Bytes::from_static(blobs[dice.random_range(0..blobs.len())])),
        Value::Bool(dice.random()),
        Value::Decimal([-300, -1, 0, 7][dice.random_range(0..4)]),
        Value::Int([i32::MIN, -5, 5, i32::MAX][dice.random_range(0..4)].into()),
    ]
}
