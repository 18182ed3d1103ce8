//! Each function over what it has to tell apart: no row, a null, a value; and where it ends.

use super::*;

const CENTS: Kind = Kind::Decimal {
    precision: 5,
    scale: 2,
};

fn text(text: &'static str) -> Value {
    Value::Text(Bytes::from_static(text.as_bytes()))
}

/// A column's whole life, from the first record on.
fn over(function: &Function, kind: Kind, values: &[Value]) -> Result<Value, CombineError> {
    let mut so_far = None;
    for value in values {
        so_far = Some(function.combine(kind, so_far.as_ref(), value)?);
    }
    Ok(so_far.unwrap_or(Value::Null))
}

fn ints(numbers: &[Option<i64>]) -> Vec<Value> {
    let value = |number: &Option<i64>| number.map_or(Value::Null, Value::Int);
    numbers.iter().map(value).collect()
}

#[test]
fn each_over_nulls_and_numbers() {
    let values = ints(&[None, Some(4), None, Some(-2), Some(3), None]);
    let cases = [
        (Function::Sum, Value::Int(5)),
        (Function::Product, Value::Int(-24)),
        (Function::Max, Value::Int(4)),
        (Function::Min, Value::Int(-2)),
        (Function::LastValue, Value::Null),
        (Function::LastValueIgnoreNulls, Value::Int(3)),
        (Function::FirstValue, Value::Null),
        (Function::FirstValueIgnoreNulls, Value::Int(4)),
    ];
    for (function, expected) in cases {
        assert_eq!(
            over(&function, Kind::Long, &values),
            Ok(expected),
            "{function}"
        );
        assert_eq!(
            over(&function, Kind::Long, &ints(&[None, None])),
            Ok(Value::Null),
            "{function}"
        );
    }
}

#[test]
fn texts_and_truths() {
    let words = [text("a"), Value::Null, text(""), text("b")];
    let list = |delimiter: &str| Function::ListAgg {
        delimiter: delimiter.to_owned(),
    };
    assert_eq!(over(&list(","), Kind::Text, &words), Ok(text("a,,b")));
    assert_eq!(over(&list(" | "), Kind::Text, &words), Ok(text("a |  | b")));
    let truths = [Value::Bool(true), Value::Null, Value::Bool(false)];
    let (and, or) = (Function::BoolAnd, Function::BoolOr);
    assert_eq!(over(&and, Kind::Bool, &truths), Ok(Value::Bool(false)));
    assert_eq!(over(&or, Kind::Bool, &truths), Ok(Value::Bool(true)));
    assert_eq!(over(&and, Kind::Bool, &truths[..2]), Ok(Value::Bool(true)));
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = Err(CombineError::Overflow);
    let most = |kind| match kind {
        Kind::Int => i64::from(i32::MAX),
        _ => i64::MAX,
    };
    for kind in [Kind::Int, Kind::Long] {
        let over_by_one = ints(&[Some(most(kind)), Some(1)]);
        assert_eq!(over(&Function::Sum, kind, &over_by_one), refused);
        let twice = ints(&[Some(most(kind)), Some(2)]);
        assert_eq!(over(&Function::Product, kind, &twice), refused);
        let back = ints(&[Some(most(kind)), Some(-1)]);
        assert_eq!(
            over(&Function::Sum, kind, &back),
            Ok(Value::Int(most(kind) - 1))
        );
    }
    let digits = [Value::Decimal(99_999), Value::Decimal(1)];
    assert_eq!(over(&Function::Sum, CENTS, &digits), refused);
    let wide = [Value::Double(f64::MAX), Value::Double(f64::MAX)];
    assert_eq!(
        over(&Function::Sum, Kind::Double, &wide),
        Ok(Value::Double(f64::INFINITY))
    );
}

#[test]
fn decimal_products_are_rounded() {
    let product = |a, b| {
        over(
            &Function::Product,
            CENTS,
            &[Value::Decimal(a), Value::Decimal(b)],
        )
    };
    // 1.05 × 0.10 = 0.105, 1.04 × 0.10 = 0.104
    assert_eq!(product(105, 10), Ok(Value::Decimal(11)));
    assert_eq!(product(-105, 10), Ok(Value::Decimal(-11)));
    assert_eq!(product(104, 10), Ok(Value::Decimal(10)));
    assert_eq!(product(99_999, 99_999), Err(CombineError::Overflow));
}

#[test]
fn floats_have_one_order() {
    let values = [1.0, f64::NAN, -0.0, f64::INFINITY].map(Value::Double);
    let most = over(&Function::Max, Kind::Double, &values);
    assert!(matches!(most, Ok(Value::Double(most)) if most.is_nan()));
    let least = over(&Function::Min, Kind::Double, &values);
    assert!(matches!(least, Ok(Value::Double(least)) if least == 0.0 && least.is_sign_negative()));
}

/// {1, 2, 70 000} as every Roaring library writes it.
const BITMAP32: &[u8] = &[
    0x3a, 0x30, 0, 0, 2, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 24, 0, 0, 0, 28, 0, 0, 0, 1, 0, 2, 0,
    0x70, 0x11,
];

#[test]
fn bitmaps_unite() {
    let foreign = Value::Binary(Bytes::from_static(BITMAP32));
    let ours = bitmap32(&[2, 9].into_iter().collect());
    let united = over(&Function::Rbm32, Kind::Binary, &[foreign, ours]).unwrap();
    let numbers: Vec<_> = read32(&united).unwrap().into_iter().collect();
    assert_eq!(numbers, [1, 2, 9, 70_000]);

    let far = |numbers: &[u64]| bitmap64(&numbers.iter().copied().collect());
    let united = over(
        &Function::Rbm64,
        Kind::Binary,
        &[far(&[1 << 40]), far(&[3])],
    );
    assert_eq!(united, Ok(far(&[3, 1 << 40])));
}

#[test]
fn what_is_no_bitmap_is_refused() {
    for function in [Function::Rbm32, Function::Rbm64] {
        for bytes in [&b""[..], b"bitmap?!", &[0xff; 64], &BITMAP32[..20]] {
            let value = Value::Binary(Bytes::copy_from_slice(bytes));
            let refused = function.combine(Kind::Binary, None, &value);
            assert_eq!(refused, Err(CombineError::Bitmap), "{bytes:?}");
        }
    }
}

#[test]
fn functions_are_read_as_they_are_written() {
    let list = Function::ListAgg {
        delimiter: "(;)".into(),
    };
    let named = NAMES.iter().map(|(function, _)| function.clone());
    for function in named.chain([list]) {
        assert_eq!(function.to_string().parse(), Ok(function));
    }
    let comma = Function::ListAgg {
        delimiter: ",".into(),
    };
    assert_eq!("string_agg".parse(), Ok(comma));
    for text in ["", "listagg(", "listaggs", "SUM"] {
        assert!(text.parse::<Function>().is_err(), "{text}");
    }
}
