//! Each engine's steps, one at a time.

use bytes::Bytes;

use super::*;
use crate::merge::{Function, Image, Kind};

const ID: FieldId = 1;
const A: FieldId = 2;
const B: FieldId = 3;

fn column(id: FieldId, function: Function) -> RuleColumn {
    RuleColumn {
        id,
        name: format!("c{id}"),
        kind: Kind::Long,
        key: id == ID,
        function,
    }
}

fn rule(engine: Engine, deletes: Deletes) -> Rule {
    Rule {
        engine,
        deletes,
        image: Image::Full,
        columns: vec![
            column(ID, Function::LastValue),
            column(A, Function::Sum),
            column(B, Function::FirstValue),
        ],
    }
}

fn cells(cells: &[(FieldId, Option<i64>)]) -> Cells {
    let value = |number: Option<i64>| number.map_or(Value::Null, Value::Int);
    cells
        .iter()
        .map(|(id, number)| (*id, value(*number)))
        .collect()
}

fn put(rule: &Rule, old: Option<&Cells>, new: &[(FieldId, Option<i64>)]) -> Outcome {
    rule.fold(old, Event::Put(cells(new))).unwrap()
}

#[test]
fn a_part_of_a_row_leaves_the_rest() {
    let partial = rule(Engine::PartialRow, Deletes::Allow);
    let first = put(&partial, None, &[(ID, Some(1)), (A, Some(5))]);
    let old = cells(&[(ID, Some(1)), (A, Some(5))]);
    assert_eq!(first, Outcome::Put(old.clone()));
    let second = put(&partial, Some(&old), &[(ID, Some(1)), (B, Some(6))]);
    let both = cells(&[(ID, Some(1)), (A, Some(5)), (B, Some(6))]);
    assert_eq!(second, Outcome::Put(both.clone()));
    let null = put(&partial, Some(&both), &[(ID, Some(1)), (A, None)]);
    assert_eq!(null, Outcome::Put(cells(&[(ID, Some(1)), (B, Some(6))])));
}

#[test]
fn a_part_is_cleared_and_the_last_takes_the_row_along() {
    for engine in [Engine::PartialRow, Engine::Aggregation] {
        let rule = rule(engine, Deletes::Allow);
        let clear = |old: &Cells, ids: &[FieldId]| {
            let event = Event::Delete(Some(ids.to_vec()));
            rule.fold(Some(old), event).unwrap()
        };
        let both = cells(&[(ID, Some(1)), (A, Some(5)), (B, Some(6))]);
        let left = cells(&[(ID, Some(1)), (B, Some(6))]);
        assert_eq!(clear(&both, &[A, ID]), Outcome::Put(left.clone()));
        assert_eq!(clear(&left, &[B]), Outcome::Delete);
        assert_eq!(clear(&both, &[A, B]), Outcome::Delete);
        assert_eq!(
            rule.fold(Some(&both), Event::Delete(None)),
            Ok(Outcome::Delete)
        );
        let nothing = rule.fold(None, Event::Delete(Some(vec![A])));
        assert_eq!(nothing, Ok(Outcome::Unchanged));
    }
}

#[test]
fn a_version_wins_if_it_is_not_lower() {
    let versioned = rule(Engine::Versioned { column: A }, Deletes::Ignore);
    let old = cells(&[(A, Some(5)), (B, Some(1))]);
    let new = |version| cells(&[(A, version), (B, Some(2))]);
    for (version, wins) in [
        (Some(4), false),
        (Some(5), true),
        (Some(6), true),
        (None, false),
    ] {
        let outcome = versioned
            .fold(Some(&old), Event::Put(new(version)))
            .unwrap();
        assert_eq!(outcome != Outcome::Unchanged, wins, "{version:?}");
    }
    let first = versioned.fold(None, Event::Put(new(None))).unwrap();
    assert_eq!(first, Outcome::Unchanged);
}

#[test]
fn the_first_row_stays() {
    let first = rule(Engine::FirstRow, Deletes::Allow);
    let row = cells(&[(A, Some(1))]);
    assert_eq!(
        put(&first, None, &[(A, Some(1))]),
        Outcome::Put(row.clone())
    );
    assert_eq!(put(&first, Some(&row), &[(A, Some(2))]), Outcome::Unchanged);
    assert_eq!(
        first.fold(Some(&row), Event::Delete(None)),
        Ok(Outcome::Delete)
    );
}

#[test]
fn what_was_null_first_stays_null_first() {
    let sums = rule(Engine::Aggregation, Deletes::Ignore);
    // B was not named, so it has no first value yet.
    let Outcome::Put(one) = put(&sums, None, &[(ID, Some(1)), (A, Some(1))]) else {
        panic!();
    };
    let Outcome::Put(two) = put(&sums, Some(&one), &[(ID, Some(1)), (B, None)]) else {
        panic!();
    };
    let stored = Cells::decode(&two.encode()).unwrap();
    let three = put(
        &sums,
        Some(&stored),
        &[(ID, Some(1)), (A, Some(2)), (B, Some(9))],
    );
    assert_eq!(
        three,
        Outcome::Put(cells(&[(ID, Some(1)), (A, Some(3)), (B, None)]))
    );
}

#[test]
fn a_delete_is_allowed_ignored_or_refused() {
    let row = cells(&[(A, Some(1))]);
    for engine in [
        Engine::LastRow,
        Engine::PartialRow,
        Engine::FirstRow,
        Engine::Versioned { column: A },
        Engine::Aggregation,
    ] {
        let delete = |deletes| rule(engine, deletes).fold(Some(&row), Event::Delete(None));
        assert_eq!(delete(Deletes::Allow), Ok(Outcome::Delete));
        assert_eq!(delete(Deletes::Ignore), Ok(Outcome::Unchanged));
        assert_eq!(delete(Deletes::Disable), Err(Refusal::DeletesDisabled));
    }
}

#[test]
fn an_overflow_names_its_column() {
    let sums = rule(Engine::Aggregation, Deletes::Ignore);
    let old = cells(&[(A, Some(i64::MAX))]);
    let refused = sums.fold(Some(&old), Event::Put(cells(&[(A, Some(1))])));
    assert_eq!(
        refused.unwrap_err().to_string(),
        "column c2: the result does not fit its type"
    );
}

#[test]
fn a_widened_column_goes_on() {
    let mut sums = rule(Engine::Aggregation, Deletes::Ignore);
    sums.columns[1].kind = Kind::Double;
    let old = Cells::from_iter([(A, Value::Float(0.5))]);
    let new = Cells::from_iter([(A, Value::Double(1.0))]);
    let sum = sums.fold(Some(&old), Event::Put(new));
    let expected = Cells::from_iter([(A, Value::Double(1.5))]);
    assert_eq!(sum, Ok(Outcome::Put(expected)));
    // A column that changed its type altogether begins anew.
    let old = Cells::from_iter([(A, Value::Text(Bytes::from_static(b"x")))]);
    let new = Cells::from_iter([(A, Value::Double(1.0))]);
    let sum = sums.fold(Some(&old), Event::Put(new.clone()));
    assert_eq!(sum, Ok(Outcome::Put(new)));
}
