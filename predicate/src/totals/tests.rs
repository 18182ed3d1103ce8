//! Totals of one batch, and of the same in parts.

use arrow_array::types::{Decimal128Type, Float64Type, Int32Type};
use arrow_array::{Date32Array, Int32Array, StringArray, StructArray};

use super::*;

fn rows() -> RecordBatch {
    let id = Int64Array::from(vec![Some(i64::MAX), None, Some(-3), Some(i64::MAX)]);
    let price = Decimal128Array::from(vec![Some(150), Some(-25), None, None]);
    let price = price.with_precision_and_scale(10, 2).expect("fits");
    let city = StringArray::from(vec![Some("Bonn"), Some("Aachen"), None, Some("Ü")]);
    let nan = Float64Array::from(vec![-f64::NAN, f64::INFINITY, -1.0, 0.5]);
    let day = Date32Array::from(vec![None, None, None, None]);
    let inner: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3, 4]));
    let member = Arc::new(Field::new("n", DataType::Int32, false));
    let nulls = NullBuffer::from(vec![true, true, true, false]);
    let group = StructArray::new(vec![member].into(), vec![inner], Some(nulls));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(id)),
        ("price", Arc::new(price)),
        ("city", Arc::new(city)),
        ("nan", Arc::new(nan)),
        ("day", Arc::new(day)),
        ("group", Arc::new(group)),
    ];
    RecordBatch::try_from_iter_with_nullable(
        columns
            .into_iter()
            .map(|(name, column)| (name, column, true)),
    )
    .expect("columns of one length")
}

const ASKED: [&str; 12] = [
    "count(*)",
    "COUNT( city )",
    "sum(id)",
    "sum(price)",
    "min(price)",
    "max(city)",
    "min(nan)",
    "max(nan)",
    "max(day)",
    "sum(group.n)",
    "max(group.n)",
    "count(group.n)",
];

fn totals() -> Totals {
    let asked: Vec<Total> = ASKED.iter().map(|text| text.parse().unwrap()).collect();
    Totals::bind(&asked, rows().schema_ref()).unwrap()
}

fn check(row: &RecordBatch) {
    let int = |at: usize| row.column(at).as_primitive::<Int64Type>().value(0);
    let decimal = |at: usize| row.column(at).as_primitive::<Decimal128Type>().value(0);
    let float = |at: usize| row.column(at).as_primitive::<Float64Type>().value(0);
    assert_eq!((int(0), int(1), int(11)), (4, 3, 3));
    assert_eq!(decimal(2), 2 * i128::from(i64::MAX) - 3);
    assert_eq!((decimal(3), decimal(4)), (125, -25));
    assert_eq!(*row.column(3).data_type(), DataType::Decimal128(38, 2));
    assert_eq!(*row.column(4).data_type(), DataType::Decimal128(10, 2));
    assert_eq!(row.column(5).as_string::<i32>().value(0), "Ü");
    assert_eq!(float(6), -1.0);
    assert!(float(7).is_nan());
    assert!(row.column(8).is_null(0));
    assert_eq!(decimal(9), 6);
    let greatest = row.column(10).as_primitive::<Int32Type>();
    assert_eq!(greatest.value(0), 3);
}

#[test]
fn nulls_take_no_part_and_parts_make_up_the_whole() {
    let rows = rows();
    let mut whole = totals();
    whole.add(&rows).unwrap();
    check(&whole.finish().unwrap());
    let mut sum = totals();
    for at in 0..rows.num_rows() {
        let mut part = totals();
        part.add(&rows.slice(at, 1)).unwrap();
        sum.absorb(&part.finish().unwrap()).unwrap();
    }
    check(&sum.finish().unwrap());
    assert!(sum.absorb(&rows).is_err());
}

#[test]
fn totals_of_nothing_are_null_and_counts_zero() {
    let none = totals().finish().unwrap();
    for (at, name) in ASKED.iter().enumerate() {
        let is_count = name.to_lowercase().starts_with("count");
        assert_eq!(none.column(at).is_null(0), !is_count, "{name}");
    }
    let mut twice = totals();
    twice.absorb(&none).unwrap();
    assert_eq!(twice.finish().unwrap(), none);
}

#[test]
fn too_much_is_an_error_and_not_another_number() {
    let big = Decimal128Array::from(vec![DECIMAL_MAX, 1]);
    let big = big.with_precision_and_scale(38, 0).expect("fits");
    let rows = RecordBatch::try_from_iter([("big", Arc::new(big) as ArrayRef)]).unwrap();
    let asked = ["sum(big)".parse().unwrap()];
    let mut totals = Totals::bind(&asked, rows.schema_ref()).unwrap();
    totals.add(&rows.slice(0, 1)).unwrap();
    assert!(totals.finish().is_ok());
    totals.add(&rows.slice(1, 1)).unwrap();
    let error = totals.finish().unwrap_err();
    assert_eq!(error.to_string(), "sum(big) has more than 38 digits");
    assert!(matches!(totals.add(&rows), Err(TotalError::Overflow(_))));
}

#[test]
fn what_has_no_total_is_named() {
    let schema = rows().schema();
    for (asked, expected) in [
        ("sum(city)", "sum(city): the column is of type Utf8"),
        ("sum(day)", "sum(day): the column is of type Date32"),
        (
            "min(town)",
            "there is no column \"town\" to make a total of",
        ),
    ] {
        let error = Totals::bind(&[asked.parse().unwrap()], &schema).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    assert!(Totals::bind(&["max(group)".parse().unwrap()], &schema).is_err());
    for text in ["", "sum", "sum()", "sum(*)", "avg(id)", "sum(id", "(id)"] {
        assert!(text.parse::<Total>().is_err(), "{text}");
    }
    let total: Total = " Min( a.b ) ".parse().unwrap();
    assert_eq!(total.to_string(), "min(a.b)");
}
