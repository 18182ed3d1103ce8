//! Batches in, rows and undecodable records out: nothing lost, nothing twice.

use arrow_array::Array;
use arrow_array::types::{Int32Type, TimestampMicrosecondType};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidelog_records::{BatchBuilder, Codec};

use super::*;
use crate::TableSchema;

const LIMITS: DecodeLimits = DecodeLimits {
    records_max: usize::MAX,
    bytes_max: usize::MAX,
    batch_bytes_max: 1 << 20,
};

const ALL: OffsetRange = OffsetRange {
    first: 0,
    end: 1_000_000,
};

fn typed() -> RowSchema {
    let text = r#"{"fields":[{"name":"n","type":"long","nullable":false}]}"#;
    RowSchema::typed(TableSchema::parse(text).unwrap())
}

fn batch(base: i64, values: &[Option<&str>]) -> Bytes {
    let mut builder = BatchBuilder::new()
        .base_offset(base)
        .codec(Codec::Lz4, None);
    for value in values {
        let headers = [(&b"h"[..], Some(&b"1"[..])), (b"h", None)];
        builder
            .append(
                1_000 + base,
                Some(b"key"),
                value.map(str::as_bytes),
                headers,
            )
            .unwrap();
    }
    builder.finish().unwrap()
}

fn offsets(rows: &RecordBatch) -> Vec<i64> {
    let column = rows.column_by_name(system::name::OFFSET).unwrap();
    column.as_primitive::<Int64Type>().values().to_vec()
}

#[test]
fn system_columns_hold_what_the_record_had() {
    let range = OffsetRange { first: 5, end: 9 };
    let batches = [batch(5, &[Some("v"), None])];
    let out = decode_batches(&RowSchema::key_value(), 3, range, batches, &LIMITS).unwrap();
    assert_eq!((out.partition, out.first_offset, out.end_offset), (3, 5, 9));
    let column = |name| out.rows.column_by_name(name).unwrap();
    assert_eq!(
        column("_partition").as_primitive::<Int32Type>().values(),
        &[3, 3]
    );
    assert_eq!(offsets(&out.rows), [5, 6]);
    let times = column("_timestamp").as_primitive::<TimestampMicrosecondType>();
    assert_eq!((times.value(0), times.timezone()), (1_005_000, Some("UTC")));
    assert_eq!(
        column("_timestamp_type")
            .as_primitive::<Int32Type>()
            .value(0),
        0
    );
    assert_eq!(column("_key").as_binary::<i32>().value(1), b"key");
    let headers = column("_headers").as_list::<i32>().value(1);
    let pair = headers.as_struct();
    assert_eq!(pair.column(0).as_string::<i32>().value(1), "h");
    assert_eq!(pair.column(1).null_count(), 1);
    let values = column("value").as_binary::<i32>();
    assert_eq!((values.value(0), values.is_null(1)), (&b"v"[..], true));
    assert!(out.undecodable.is_empty(), "a null value is a value here");
}

#[test]
fn timestamps_that_are_none_become_null() {
    let mut builder = BatchBuilder::new();
    for timestamp in [-1, 0, i64::MAX] {
        builder.append(timestamp, None, None, []).unwrap();
    }
    let appended = BatchBuilder::new().base_offset(3).log_append_time(7);
    let mut appended = appended;
    appended.append(-1, None, None, []).unwrap();
    let batches = [builder.finish().unwrap(), appended.finish().unwrap()];
    let out = decode_batches(&RowSchema::key_value(), 0, ALL, batches, &LIMITS).unwrap();
    let times = out
        .rows
        .column(2)
        .as_primitive::<TimestampMicrosecondType>();
    let times: Vec<_> = times.iter().collect();
    assert_eq!(times, [None, Some(0), None, Some(7_000)]);
    let kinds = out.rows.column(3).as_primitive::<Int32Type>();
    assert_eq!(kinds.values(), &[0, 0, 0, 1]);
}

#[test]
fn what_does_not_decode_is_kept_with_its_reason() {
    let values = [
        Some(r#"{"n":1}"#),
        Some("{"),
        None,
        Some(r#"{"n":"x"}"#),
        Some(r#"{"n":2}"#),
    ];
    let out = decode_batches(&typed(), 0, ALL, [batch(10, &values)], &LIMITS).unwrap();
    assert_eq!(offsets(&out.rows), [10, 14]);
    let reasons: Vec<_> = out
        .undecodable
        .iter()
        .map(|record| record.reason.to_string())
        .collect();
    assert_eq!(
        reasons,
        [
            "not JSON: EOF while parsing an object at line 1 column 1",
            "no value",
            "field n: a JSON string, not long"
        ]
    );
    let first = &out.undecodable[0];
    assert_eq!(
        (first.offset, first.timestamp_ms, first.timestamp_type),
        (11, 1_010, 0)
    );
    assert_eq!(first.key.as_deref(), Some(&b"key"[..]));
    assert_eq!(first.value.as_deref(), Some(&b"{"[..]));
    assert_eq!(first.headers.len(), 2);
    assert_eq!(out.undecodable[1].value, None);
}

#[test]
fn control_batches_and_records_outside_the_range_are_passed_over() {
    let mut control = BatchBuilder::new().base_offset(2).transactional().control();
    control
        .append(0, Some(b"\0\0\0\0"), Some(b"x"), [])
        .unwrap();
    let one = Some(r#"{"n":1}"#);
    let batches = [
        batch(0, &[one, one]),
        control.finish().unwrap(),
        batch(3, &[one, one, one]),
    ];
    let range = OffsetRange { first: 1, end: 5 };
    let out = decode_batches(&typed(), 0, range, batches, &LIMITS).unwrap();
    assert_eq!(offsets(&out.rows), [1, 3, 4]);
    assert_eq!(out.end_offset, 5);
}

#[test]
fn limits_stop_at_a_record_and_going_on_gives_the_rest() {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut batches = Vec::new();
    let mut next = 0;
    while next < 2_000 {
        next += i64::from(rng.random_range(0..3_u8));
        let values: Vec<_> = (0..rng.random_range(1..40))
            .map(|_| match rng.random_range(0..4) {
                0 => Some("[]"),
                1 => None,
                _ => Some(r#"{"n":1}"#),
            })
            .collect();
        batches.push(batch(next, &values));
        next += values.len() as i64;
    }
    let whole = decode_batches(&typed(), 0, ALL, batches.clone(), &LIMITS).unwrap();
    for (records_max, bytes_max) in [(0, 0), (7, usize::MAX), (usize::MAX, 500), (100, 2_000)] {
        let limits = DecodeLimits {
            records_max,
            bytes_max,
            ..LIMITS
        };
        let (mut found, mut undecodable) = (Vec::new(), Vec::new());
        let mut range = ALL;
        while range.first < range.end {
            let out = decode_batches(&typed(), 0, range, batches.clone(), &limits).unwrap();
            assert!(out.end_offset > range.first);
            assert!(out.rows.num_rows() + out.undecodable.len() <= records_max.max(1));
            found.extend(offsets(&out.rows));
            undecodable.extend(out.undecodable);
            range.first = out.end_offset;
        }
        assert_eq!(found, offsets(&whole.rows));
        assert_eq!(undecodable, whole.undecodable);
    }
}

#[test]
fn damage_is_an_error_that_names_its_place() {
    let good = batch(7, &[Some(r#"{"n":1}"#)]);
    let cut = good.slice(..good.len() - 1);
    let error = decode_batches(&typed(), 4, ALL, [cut], &LIMITS).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the batch at offset 7 of partition 4: ")
    );
    let limits = DecodeLimits {
        batch_bytes_max: 10,
        ..LIMITS
    };
    assert!(decode_batches(&typed(), 4, ALL, [good], &limits).is_err());
}

#[test]
fn random_damage_never_panics() {
    let one = Some(r#"{"n":1}"#);
    let good = batch(0, &[one, one, None, one]);
    let mut rng = SmallRng::seed_from_u64(9);
    for _ in 0..3_000 {
        let mut bytes = good.to_vec();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..bytes.len());
            bytes[at] = rng.random();
        }
        let _ = decode_batches(&typed(), 0, ALL, [Bytes::from(bytes)], &LIMITS);
    }
}

#[test]
fn a_record_of_a_changelog_is_an_insert() {
    let schema = typed().changelog();
    let batches = [batch(3, &[Some(r#"{"n":1}"#), None, Some(r#"{"n":2}"#)])];
    let out = decode_batches(&schema, 0, ALL, batches, &LIMITS).unwrap();
    assert_eq!(out.rows.schema_ref(), schema.arrow());
    let kinds = out.rows.column_by_name(system::name::CHANGE).unwrap();
    let kinds: Vec<_> = kinds.as_string::<i32>().iter().flatten().collect();
    assert_eq!(kinds, ["insert"; 2]);
    let before = out.rows.column_by_name(system::name::PREV_OFFSET).unwrap();
    assert_eq!(before.null_count(), 2);
    let numbers = out.rows.column(out.rows.num_columns() - 1);
    assert_eq!(numbers.as_primitive::<Int64Type>().values(), &[1, 2]);
}

#[test]
fn an_inferred_table_stops_where_it_has_to_grow() {
    use crate::evolve::merge;
    use crate::infer::{InferOptions, Inference};

    let values = [r#"{"n":1}"#, r#"{"n":"x"}"#, "[]", r#"{"n":2,"new":[1]}"#];
    let batches = || [batch(7, &values.map(Some))];
    let text = r#"{"fields":[{"name":"n","type":"long"}]}"#;
    let mut table = TableSchema::parse(text).unwrap();
    let mut range = OffsetRange { first: 7, end: 11 };
    let (mut taken, mut undecodable) = (Vec::new(), Vec::new());
    loop {
        let schema = RowSchema::inferred(table.clone(), crate::Growth::Wanted);
        let out = decode_batches(&schema, 0, range, batches(), &LIMITS).unwrap();
        taken.push((offsets(&out.rows), out.rows.num_columns() - system::COUNT));
        undecodable.extend(out.undecodable.iter().map(|record| record.offset));
        range.first = out.end_offset;
        if out.wanted != Some(Wanted::Columns) {
            break;
        }
        let mut inference = Inference::over(&table, InferOptions::default());
        let value = values[(out.end_offset - 7) as usize];
        inference.observe(value.as_bytes()).unwrap();
        table = merge(&table, &inference.draft()).unwrap().schema;
    }
    assert_eq!(taken, [(vec![7], 1), (vec![8], 2), (vec![10], 3)]);
    assert_eq!((undecodable, range.first), (vec![9], 11));

    let over = RowSchema::inferred(TableSchema::parse(text).unwrap(), crate::Growth::Over);
    let out = decode_batches(&over, 0, ALL, batches(), &LIMITS).unwrap();
    assert_eq!(offsets(&out.rows), [7, 10]);
    let reasons: Vec<_> = out
        .undecodable
        .iter()
        .map(|one| one.reason.to_string())
        .collect();
    let expected = [
        "field n: a JSON string, not long",
        "a JSON array, not an object",
    ];
    assert_eq!(reasons, expected);
}

#[test]
fn a_batch_can_end_before_its_first_undecodable_record() {
    let batches = || {
        [batch(
            0,
            &[Some(r#"{"n":1}"#), None, Some(r#"{"n":3}"#), Some("{")],
        )]
    };
    let range = OffsetRange { first: 0, end: 9 };
    let out = decode_batches(&typed(), 0, range, batches(), &LIMITS).unwrap();
    assert_eq!((offsets(&out.rows), out.undecodable.len()), (vec![0, 2], 2));
    let out = out.before_undecodable();
    assert_eq!((offsets(&out.rows), out.end_offset), (vec![0], 1));
    assert_eq!(out.undecodable[0].offset, 1);

    let range = OffsetRange { first: 2, end: 3 };
    let out = decode_batches(&typed(), 0, range, batches(), &LIMITS).unwrap();
    assert_eq!(out.before_undecodable().end_offset, 3);
}
