//! Aim: a predicate is true of exactly the rows SQL says. Method: random predicates on random rows
//! against a second, slow reading of the same tree, one row and one value at a time; then the same
//! rows by their statistics, from which no row may get lost.
#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

mod common;

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Schema};
use common::{predicate, rng, rows, schema};
use rand::Rng;
use tidelog_predicate::{
    BindError, Bounds, Comparison, Literal, Predicate, Stats, Value, Verdict, bind, bind_version,
    parse, resolve,
};

/// A value as the reference sees it.
#[derive(Debug, Clone, PartialEq)]
enum Cell {
    Bool(bool),
    /// Exact, in thousandths.
    Thousandths(i128),
    Double(f64),
    Single(f32),
    Bytes(Vec<u8>),
    /// Microseconds.
    Moment(i128),
    Other,
}

const DAY: i128 = 86_400_000_000;

fn cell(rows: &RecordBatch, name: &str, row: usize) -> Option<Cell> {
    let (column, row): (&ArrayRef, usize) = match name.split_once('.') {
        None => (rows.column_by_name(name).unwrap(), row),
        Some((group, member)) => {
            let group = rows.column_by_name(group).unwrap().as_struct();
            if group.is_null(row) {
                return None;
            }
            (group.column_by_name(member).unwrap(), row)
        }
    };
    if column.is_null(row) {
        return None;
    }
    Some(match column.data_type() {
        DataType::Boolean => Cell::Bool(column.as_boolean().value(row)),
        DataType::Int32 => {
            Cell::Thousandths(i128::from(column.as_primitive::<Int32Type>().value(row)) * 1_000)
        }
        DataType::Int64 => {
            Cell::Thousandths(i128::from(column.as_primitive::<Int64Type>().value(row)) * 1_000)
        }
        DataType::Decimal128(_, 2) => {
            Cell::Thousandths(column.as_primitive::<Decimal128Type>().value(row) * 10)
        }
        DataType::Float32 => Cell::Single(column.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => Cell::Double(column.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => Cell::Bytes(column.as_string::<i32>().value(row).as_bytes().to_vec()),
        DataType::Binary => Cell::Bytes(column.as_binary::<i32>().value(row).to_vec()),
        DataType::Date32 => {
            Cell::Moment(i128::from(column.as_primitive::<Date32Type>().value(row)) * DAY)
        }
        DataType::Timestamp(..) => {
            let millis = column.as_primitive::<TimestampMillisecondType>().value(row);
            Cell::Moment(i128::from(millis) * 1_000)
        }
        _ => Cell::Other,
    })
}

/// NaN is the greatest.
fn floats(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        _ => a.partial_cmp(&b).unwrap(),
    }
}

fn order(cell: &Cell, literal: &Literal) -> Ordering {
    match (cell, literal) {
        (Cell::Bool(a), Literal::Bool(b)) => a.cmp(b),
        (Cell::Thousandths(a), Literal::Integer(b)) => a.cmp(&(i128::from(*b) * 1_000)),
        (Cell::Thousandths(a), Literal::Decimal(b)) => a.cmp(&b.unscaled()),
        // All doubles here are quarters, tenths (0.1 is a little more than one) or huge.
        (Cell::Thousandths(a), Literal::Double(b)) => {
            let whole = (b * 1_000.0).clamp(-1e30, 1e30);
            match *b == 0.1 {
                true => (a * 2).cmp(&201),
                false if b.is_nan() => Ordering::Less,
                false => a.cmp(&(whole as i128)),
            }
        }
        (Cell::Double(a), literal) => floats(*a, as_double(literal)),
        (Cell::Single(a), Literal::Double(b)) if b.is_finite() && (*b as f32).is_infinite() => {
            match a.is_nan() || a.is_infinite() && *a > 0.0 {
                true => Ordering::Greater,
                false => Ordering::Less,
            }
        }
        (Cell::Single(a), literal) => {
            let near = match literal {
                Literal::Integer(b) => *b as f32,
                Literal::Decimal(b) => b.to_string().parse().unwrap(),
                Literal::Double(b) => *b as f32,
                _ => panic!("{literal}"),
            };
            floats(f64::from(*a), f64::from(near))
        }
        (Cell::Bytes(a), Literal::Text(b)) => a[..].cmp(b.as_bytes()),
        (Cell::Bytes(a), Literal::Bytes(b)) => a.cmp(b),
        (Cell::Moment(a), Literal::Date(b)) => a.cmp(&(i128::from(*b) * DAY)),
        (Cell::Moment(a), Literal::Timestamp(b)) => a.cmp(&i128::from(*b)),
        // The one text there is.
        (Cell::Moment(a), Literal::Text(_)) => a.cmp(&1_000),
        _ => panic!("{cell:?} {literal}"),
    }
}

fn as_double(literal: &Literal) -> f64 {
    match literal {
        Literal::Integer(b) => *b as f64,
        Literal::Decimal(b) => b.to_string().parse().unwrap(),
        Literal::Double(b) => *b,
        _ => panic!("{literal}"),
    }
}

fn is_like(text: &[char], pattern: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['!', one, rest @ ..] => text.first() == Some(one) && is_like(&text[1..], rest),
        ['%', rest @ ..] => (0..=text.len()).any(|skip| is_like(&text[skip..], rest)),
        ['_', rest @ ..] => !text.is_empty() && is_like(&text[1..], rest),
        [one, rest @ ..] => text.first() == Some(one) && is_like(&text[1..], rest),
    }
}

fn reference(predicate: &Predicate, rows: &RecordBatch, row: usize) -> Option<bool> {
    match predicate {
        Predicate::Constant(truth) => Some(*truth),
        Predicate::Compare {
            column,
            op,
            literal,
        } => {
            let order = order(&cell(rows, column, row)?, literal);
            Some(match op {
                Comparison::Equal => order == Ordering::Equal,
                Comparison::NotEqual => order != Ordering::Equal,
                Comparison::Less => order == Ordering::Less,
                Comparison::LessOrEqual => order != Ordering::Greater,
                Comparison::Greater => order == Ordering::Greater,
                Comparison::GreaterOrEqual => order != Ordering::Less,
            })
        }
        Predicate::In { literals, .. } if literals.is_empty() => Some(false),
        Predicate::In { column, literals } => {
            let cell = cell(rows, column, row)?;
            Some(literals.iter().any(|one| order(&cell, one).is_eq()))
        }
        Predicate::Like { column, pattern } => {
            let Cell::Bytes(bytes) = cell(rows, column, row)? else {
                panic!("{column} is no text");
            };
            let text: Vec<char> = String::from_utf8(bytes).unwrap().chars().collect();
            Some(is_like(&text, &pattern.text().chars().collect::<Vec<_>>()))
        }
        Predicate::IsNull(column) => Some(cell(rows, column, row).is_none()),
        Predicate::Not(part) => reference(part, rows, row).map(|truth| !truth),
        Predicate::And(parts) => {
            let parts: Vec<_> = parts
                .iter()
                .map(|part| reference(part, rows, row))
                .collect();
            match parts.contains(&Some(false)) {
                true => Some(false),
                false => (!parts.contains(&None)).then_some(true),
            }
        }
        Predicate::Or(parts) => {
            let parts: Vec<_> = parts
                .iter()
                .map(|part| reference(part, rows, row))
                .collect();
            match parts.contains(&Some(true)) {
                true => Some(true),
                false => (!parts.contains(&None)).then_some(false),
            }
        }
    }
}

#[test]
fn a_predicate_is_true_of_the_rows_sql_says() {
    for seed in 0..4_000 {
        let rows = rows(seed, 30);
        let predicate = predicate(&mut rng(seed ^ 0xabcd), 3);
        let bound = bind(&predicate, &schema()).unwrap();
        let found = bound.eval(&rows).unwrap();
        for row in 0..rows.num_rows() {
            let expected = reference(&predicate, &rows, row);
            let got = found.is_valid(row).then(|| found.value(row));
            assert_eq!(got, expected, "seed {seed}, row {row}: {predicate}");
        }
        let resolved = resolve(&predicate, &[&schema()]).unwrap();
        let again = bind_version(&resolved, &schema()).unwrap();
        // As text, since no NaN is itself.
        assert_eq!(format!("{again:?}"), format!("{bound:?}"));
    }
}

/// Statistics of a batch, some of them left out, bounds of texts sometimes cut short.
struct Sample<'a> {
    rows: &'a RecordBatch,
    keep: [bool; 3],
    least: Vec<Option<Vec<u8>>>,
    most: Vec<Option<Vec<u8>>>,
}

impl Stats for Sample<'_> {
    fn rows(&self) -> u64 {
        self.rows.num_rows() as u64
    }

    fn column(&self, place: &[usize]) -> Option<Bounds<'_>> {
        let [at] = place else { return None };
        let column = self.rows.column(*at);
        let (min, max) = self.bounds(*at, column);
        Some(Bounds {
            nulls: self.keep[0].then_some(column.null_count() as u64),
            min: min.filter(|_| self.keep[1]),
            max: max.filter(|_| self.keep[2]),
        })
    }
}

type Ends<'a> = (Option<Value<'a>>, Option<Value<'a>>);

impl Sample<'_> {
    fn bounds(&self, at: usize, column: &ArrayRef) -> Ends<'_> {
        fn ends<T: PartialOrd + Copy>(
            values: impl Iterator<Item = T>,
            of: fn(T) -> Value<'static>,
        ) -> Ends<'static> {
            let values: Vec<_> = values.collect();
            let least = values
                .iter()
                .copied()
                .reduce(|a, b| if b < a { b } else { a });
            let most = values
                .iter()
                .copied()
                .reduce(|a, b| if b > a { b } else { a });
            (least.map(of), most.map(of))
        }
        fn no_nans(ends: Ends<'static>, values: impl Iterator<Item = f64>) -> Ends<'static> {
            match values.into_iter().any(f64::is_nan) {
                true => (None, None),
                false => ends,
            }
        }
        match column.data_type() {
            DataType::Boolean => ends(column.as_boolean().iter().flatten(), Value::Bool),
            DataType::Int32 => ends(
                column
                    .as_primitive::<Int32Type>()
                    .iter()
                    .flatten()
                    .map(i128::from),
                Value::Int,
            ),
            DataType::Int64 => ends(
                column
                    .as_primitive::<Int64Type>()
                    .iter()
                    .flatten()
                    .map(i128::from),
                Value::Int,
            ),
            DataType::Decimal128(..) => ends(
                column.as_primitive::<Decimal128Type>().iter().flatten(),
                Value::Int,
            ),
            DataType::Float32 => {
                let values = || {
                    column
                        .as_primitive::<Float32Type>()
                        .iter()
                        .flatten()
                        .map(f64::from)
                };
                no_nans(ends(values(), Value::Float), values())
            }
            DataType::Float64 => {
                let values = || column.as_primitive::<Float64Type>().iter().flatten();
                no_nans(ends(values(), Value::Float), values())
            }
            DataType::Date32 => ends(
                column
                    .as_primitive::<Date32Type>()
                    .iter()
                    .flatten()
                    .map(i128::from),
                Value::Int,
            ),
            DataType::Timestamp(..) => ends(
                column
                    .as_primitive::<TimestampMillisecondType>()
                    .iter()
                    .flatten()
                    .map(i128::from),
                Value::Int,
            ),
            DataType::Utf8 | DataType::Binary => (
                self.least[at].as_deref().map(Value::Bytes),
                self.most[at].as_deref().map(Value::Bytes),
            ),
            _ => (None, None),
        }
    }
}

fn texts(column: &ArrayRef) -> Vec<Vec<u8>> {
    match column.data_type() {
        DataType::Utf8 => {
            let values = column.as_string::<i32>().iter().flatten();
            values.map(|text| text.as_bytes().to_vec()).collect()
        }
        DataType::Binary => {
            let values = column.as_binary::<i32>().iter().flatten();
            values.map(<[u8]>::to_vec).collect()
        }
        _ => Vec::new(),
    }
}

fn sample(rows: &RecordBatch, seed: u64) -> Sample<'_> {
    let mut rng = rng(seed);
    let is_cut = rng.random_bool(0.3);
    let cut = |mut bytes: Vec<u8>| {
        bytes.truncate(if is_cut { 1 } else { usize::MAX });
        bytes
    };
    // Cut short, then made greater than whatever begins so.
    let raised = |bytes: Vec<u8>| {
        let is_short = is_cut && bytes.len() > 1;
        let mut bytes = cut(bytes);
        bytes.extend(is_short.then_some(0xff));
        bytes
    };
    let columns = rows.columns().iter();
    Sample {
        rows,
        keep: std::array::from_fn(|_| rng.random_bool(0.9)),
        least: columns
            .clone()
            .map(|column| texts(column).into_iter().min().map(cut))
            .collect(),
        most: columns
            .map(|column| texts(column).into_iter().max().map(raised))
            .collect(),
    }
}

#[test]
fn statistics_never_lose_a_row() {
    let mut verdicts = [0, 0, 0];
    for seed in 0..8_000 {
        let count = (seed % 7) as usize;
        let rows = rows(seed, count);
        let predicate = predicate(&mut rng(seed ^ 0x1234), (seed % 4) as u32);
        let bound = bind(&predicate, &schema()).unwrap();
        let matching = bound.eval(&rows).unwrap().true_count();
        let verdict = bound.prune(&sample(&rows, seed));
        match verdict {
            Verdict::None => assert_eq!(matching, 0, "seed {seed}: {predicate}"),
            Verdict::Some => {}
            Verdict::All => assert_eq!(matching, count, "seed {seed}: {predicate}"),
        }
        verdicts[verdict as usize] += 1;
    }
    // It is of use, too.
    assert!(verdicts.iter().all(|times| *times > 300), "{verdicts:?}");
}

/// Verdicts for a column `count` of rows between 10 and 20, with and without nulls.
#[test]
fn verdicts_by_hand() {
    struct Known(u64);
    impl Stats for Known {
        fn rows(&self) -> u64 {
            100
        }
        fn column(&self, place: &[usize]) -> Option<Bounds<'_>> {
            Some(match place {
                [2] => Bounds {
                    nulls: Some(self.0),
                    min: Some(Value::Int(10)),
                    max: Some(Value::Int(20)),
                },
                [6] => Bounds {
                    nulls: Some(self.0),
                    min: Some(Value::Bytes(b"Berlin")),
                    max: Some(Value::Bytes(b"Bern")),
                },
                _ => return None,
            })
        }
    }
    const ALL: Verdict = Verdict::All;
    const SOME: Verdict = Verdict::Some;
    const NONE: Verdict = Verdict::None;
    for (text, plain, with_nulls) in [
        ("count > 20", NONE, NONE),
        ("count > 19.5", SOME, SOME),
        ("count >= 10", ALL, SOME),
        ("count < 10.5", SOME, SOME),
        ("count <> 9", ALL, SOME),
        ("NOT count > 20", ALL, SOME),
        ("NOT count >= 10", NONE, NONE),
        ("count IN (1, 9, 21)", NONE, NONE),
        ("count NOT IN (1, 9, 21)", ALL, SOME),
        ("count = 12.5", NONE, NONE),
        ("count IS NULL", NONE, SOME),
        ("count IS NOT NULL", ALL, SOME),
        ("count BETWEEN 0 AND 30", ALL, SOME),
        ("count > 20 OR city LIKE 'Ber%'", ALL, SOME),
        ("city LIKE 'Bo%'", NONE, NONE),
        ("city LIKE 'Ber%n'", SOME, SOME),
        ("city LIKE 'A%'", NONE, NONE),
        ("city = 'Bermuda'", SOME, SOME),
        ("city > 'C' AND price > 1", NONE, NONE),
        ("TRUE", ALL, ALL),
        ("FALSE", NONE, NONE),
    ] {
        let bound = bind(&parse(text).unwrap(), &schema()).unwrap();
        assert_eq!(bound.prune(&Known(0)), plain, "{text}");
        assert_eq!(bound.prune(&Known(1)), with_nulls, "{text}, with nulls");
    }
}

#[test]
fn what_cannot_be_compared_is_an_error() {
    for (text, expected) in [
        (
            "city > 5",
            "column \"city\" is of type Utf8, which 5 cannot be compared with",
        ),
        (
            "count = '5'",
            "column \"count\" is of type Int64, which '5' cannot be compared with",
        ),
        (
            "flag = 1",
            "column \"flag\" is of type Boolean, which 1 cannot be compared with",
        ),
        (
            "at > 'noon'",
            "column \"at\" is of type Timestamp(ms, \"UTC\"), which 'noon' cannot be compared with",
        ),
        (
            "count LIKE '1%'",
            "column \"count\" is of type Int64; LIKE is for text and bytes",
        ),
        ("town = 'x'", "there is no column \"town\" to test rows by"),
        ("#99 IS NULL", "there is no column \"#99\" to test rows by"),
        (
            "city.name = 'x'",
            "there is no column \"city.name\" to test rows by",
        ),
    ] {
        let error = bind(&parse(text).unwrap(), &schema()).unwrap_err();
        assert_eq!(error.to_string(), expected, "{text}");
    }
    let deep = (0..70).fold(Predicate::Constant(true), |inner, _| inner.not());
    assert!(matches!(
        bind(&deep, &schema()),
        Err(BindError::TooComplex(_))
    ));
}

#[test]
fn a_version_without_the_column_has_null_for_it() {
    let whole = schema();
    let narrow = Schema::new(vec![whole.field(2).clone().with_name("quantity")]);
    let rows = rows(3, 20);
    let columns = vec![Arc::clone(rows.column(2))];
    let narrow_rows = RecordBatch::try_new(narrow.clone().into(), columns).unwrap();
    for (text, in_narrow) in [
        ("city = 'a'", "quantity = 1 AND quantity <> 1 AND FALSE"),
        ("city IS NULL", "TRUE"),
        ("count > 0", "quantity > 0"),
        ("count > 0 OR city = 'a'", "quantity > 0"),
    ] {
        let predicate = parse(text).unwrap();
        let predicate = resolve(&predicate, &[&whole, &narrow]).unwrap();
        let bound = bind_version(&predicate, &narrow).unwrap();
        let found = bound.eval(&narrow_rows).unwrap();
        let expected = bind(&parse(in_narrow).unwrap(), &narrow).unwrap();
        let expected = expected.eval(&narrow_rows).unwrap();
        for row in 0..20 {
            let holds = |array: &arrow_array::BooleanArray| array.is_valid(row) && array.value(row);
            assert_eq!(holds(&found), holds(&expected), "{text}, row {row}");
        }
        let whole = bind_version(&predicate, &whole).unwrap();
        assert!(
            whole.eval(&narrow_rows).is_err(),
            "{text}: of another schema"
        );
    }
    let unknown = resolve(&parse("town = 'a'").unwrap(), &[&whole, &narrow]);
    assert_eq!(unknown, Err(BindError::UnknownColumn("town".to_owned())));
}

#[test]
fn the_columns_it_looks_at() {
    let predicate = parse("count > 1 AND (address.zip = 3 OR count < 9) AND #7 IS NULL").unwrap();
    let names: Vec<_> = predicate.columns().into_iter().collect();
    assert_eq!(names, ["#7", "address.zip", "count"]);
    let bound = bind(&predicate, &schema()).unwrap();
    assert_eq!(bound.columns(), [&[2][..], &[10, 1], &[6]]);
}
