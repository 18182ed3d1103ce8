//! Aim: text and bytes of a predicate come back as the same predicate, and no text or bytes do harm.
//! Method: random predicates there and back; random and changed bytes into both readers.
#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

mod common;

use common::{predicate, rng};
use rand::Rng;
use rand::seq::IndexedRandom;
use tidelog_predicate::{Comparison, Decimal, DecodeError, Literal, Predicate, parse};

#[test]
fn text_and_bytes_come_back() {
    for seed in 0..5_000 {
        let predicate = predicate(&mut rng(seed), 4);
        let bytes = predicate.encode().unwrap();
        let text = predicate.to_string();
        // As bytes, since no NaN is itself.
        let read = parse(&text).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(read.encode().unwrap(), bytes, "seed {seed}: {text}");
        let decoded = Predicate::decode(&bytes).unwrap();
        assert_eq!(decoded.encode().unwrap(), bytes, "seed {seed}: {text}");
    }
}

#[test]
fn sql_as_people_write_it() {
    for (text, expected) in [
        (
            "price>10 and City like 'B%'",
            "price > 10 AND City LIKE 'B%'",
        ),
        ("10 < price", "price > 10"),
        (
            "a = 1 or b = 2 and not c = 3",
            "a = 1 OR (b = 2 AND NOT c = 3)",
        ),
        ("(a = 1 or b = 2) and c != 3", "(a = 1 OR b = 2) AND c <> 3"),
        ("a between -1 and +2.50", "a >= -1 AND a <= 2.50"),
        ("a not between 1 and 2", "NOT (a >= 1 AND a <= 2)"),
        ("a in (1, -2.5, 1e3)", "a IN (1, -2.5, 1e3)"),
        ("a not in ('it''s')", "a NOT IN ('it''s')"),
        (
            "a is not null and not b is null",
            "a IS NOT NULL AND b IS NOT NULL",
        ),
        ("active", "active = TRUE"),
        ("not active", "NOT active = TRUE"),
        (
            "\"order\".\"line no\" = x'00FF'",
            "order.\"line no\" = x'00ff'",
        ),
        ("#17 >= date '2026-01-31'", "#17 >= DATE '2026-01-31'"),
        ("date > date '2026-01-31'", "date > DATE '2026-01-31'"),
        (
            "_timestamp < timestamp '2026-01-31 12:00:00.5+01:00'",
            "_timestamp < TIMESTAMP '2026-01-31T11:00:00.500000Z'",
        ),
        ("a like '10!%' escape '!'", "a LIKE '10!%' ESCAPE '!'"),
        ("a = 99999999999999999999", "a = 99999999999999999999."),
        ("((((true))))", "TRUE"),
        ("\"and\" = 1", "\"and\" = 1"),
    ] {
        let read = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(read.to_string(), expected, "{text}");
        assert_eq!(parse(expected).unwrap(), read, "{text}");
    }
}

#[test]
fn an_error_shows_the_place() {
    for (text, at, what) in [
        ("", 0, "the name of a column is missing here"),
        ("price >", 7, "a value is missing here"),
        ("price > city", 8, "a value is missing here"),
        (
            "price = NULL",
            8,
            "nothing is equal to NULL: say IS NULL or IS NOT NULL",
        ),
        (
            "price > 1 city = 2",
            10,
            "AND, OR or the end is missing here",
        ),
        ("(price > 1", 10, ") is missing here"),
        ("a = 'x", 4, "this quote is never closed"),
        ("a = x'0'", 4, "bytes are pairs of hexadecimal digits"),
        ("a ~ 1", 2, "this character means nothing here"),
        ("a in (1, )", 9, "a value is missing here"),
        (
            "a between 1 or 2",
            12,
            "AND and an upper bound are missing here",
        ),
        (
            "a like 'x!' escape '!'",
            7,
            "in a pattern only %, _ and the escape character itself can be escaped",
        ),
        ("a > date '2026-02-30'", 4, "a date is written 2026-01-31"),
        ("5", 1, "a comparison with a column is missing"),
        ("a = 1e999", 4, "this number is too large for a double"),
        (
            "\"a.b\" = 1",
            0,
            "a name with a point, or # before it, goes by its field id (#17)",
        ),
        ("a not 5", 6, "IN, BETWEEN or LIKE is missing here"),
    ] {
        let error = parse(text).unwrap_err();
        let shown = format!("{what}\n  {text}\n  {:>1$}", '^', at + 1);
        assert_eq!((error.at(), error.to_string()), (at, shown), "{text}");
    }
    let error = parse(&"(".repeat(500)).unwrap_err();
    assert!(error.to_string().contains("too deep"), "{error}");
    assert!(parse(&"a OR ".repeat(20_000)).is_err());
}

/// The example of `docs/protocol-ext.md`.
#[test]
fn the_documented_bytes() {
    let bytes = [
        1, 7, 2, 2, 5, b'p', b'r', b'i', b'c', b'e', 4, 2, 0, 0, 0, 0, 0, 0, 0, 10, 4, 4, b'c',
        b'i', b't', b'y', 2, b'B', b'%', 0,
    ];
    let predicate = parse("price > 10 AND city LIKE 'B%'").unwrap();
    assert_eq!(predicate.encode().unwrap(), bytes);
    assert_eq!(Predicate::decode(&bytes).unwrap(), predicate);
}

#[test]
fn hostile_bytes_are_errors() {
    assert_eq!(Predicate::decode(&[2, 1]), Err(DecodeError::Version(2)));
    assert!(Predicate::decode(&[1, 1, 0]).is_err(), "more follows");
    let huge = [1, 7, 0xff, 0xff, 0x7f];
    assert!(
        Predicate::decode(&huge).is_err(),
        "a count of what is not there"
    );
    let mut deep = vec![1];
    deep.resize(60_000, 6);
    assert!(matches!(
        Predicate::decode(&deep),
        Err(DecodeError::TooComplex(_))
    ));
    let mut wide = vec![1, 8, 0xff, 0x7f];
    wide.resize(4 + 16_383, 0);
    assert!(Predicate::decode(&wide).is_ok());

    for seed in 0..20_000 {
        let mut rng = rng(seed);
        let mut bytes = predicate(&mut rng, 3).encode().unwrap();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..bytes.len());
            match rng.random_range(0..3) {
                0 => bytes[at] = rng.random(),
                1 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, rng.random()),
            }
        }
        if let Ok(read) = Predicate::decode(&bytes) {
            // Whatever was read can be sent on; as text, too, where its names are names.
            assert!(
                Predicate::decode(&read.encode().unwrap()).is_ok(),
                "seed {seed}"
            );
            let _ = parse(&read.to_string());
        }
    }
}

#[test]
fn hostile_text_is_an_error() {
    let words = [
        "a", "\"", "'", "(", ")", ",", "AND", "OR", "NOT", "IN", "LIKE", "x'", "1", ".", "1e", "-",
        "=", "<", "#", "#1", "é", "\n", "DATE", "ESCAPE", "%", "IS", "NULL", "BETWEEN",
    ];
    for seed in 0..20_000 {
        let mut rng = rng(seed);
        let count = rng.random_range(0..12);
        let text: Vec<_> = (0..count)
            .map(|_| *words.choose(&mut rng).unwrap())
            .collect();
        let text = text.join(if rng.random() { " " } else { "" });
        match parse(&text) {
            Ok(read) => assert_eq!(parse(&read.to_string()).unwrap(), read, "{text}"),
            Err(error) => drop(error.to_string()),
        }
    }
}

#[test]
fn decimals_keep_their_digits() {
    for (text, unscaled, scale) in [
        ("1.50", 150, 2),
        ("-0.001", -1, 3),
        (".5", 5, 1),
        ("7.", 7, 0),
    ] {
        let decimal = Decimal::parse(text).unwrap();
        assert_eq!(
            (decimal.unscaled(), decimal.scale()),
            (unscaled, scale),
            "{text}"
        );
        assert_eq!(Decimal::parse(&decimal.to_string()), Some(decimal));
    }
    for text in [
        "",
        ".",
        "-",
        "1.2.3",
        "1e3",
        &"9".repeat(39),
        &format!("0.{}", "0".repeat(39)),
    ] {
        assert_eq!(Decimal::parse(text), None, "{text}");
    }
    let literal = Literal::Decimal(Decimal::new(i128::from(i64::MAX) + 1, 0).unwrap());
    let predicate = Predicate::compare("a", Comparison::Equal, literal);
    assert_eq!(parse(&predicate.to_string()).unwrap(), predicate);
}
