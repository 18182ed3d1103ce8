//! The changelog of a few records, row for row and as columns; and what it refuses.

use std::convert::Infallible;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use bytes::Bytes;
use tidelog_keyed::changelog::{ChangeRow, to_batch};
use tidelog_keyed::merge::{Deletes, Engine, Image, Rule, RuleLog};
use tidelog_keyed::{ChangelogError, Chunk, EngineStore, KeyedTable, TableOptions};
use tidelog_records::BatchBuilder;
use tidelog_storage::ids::{Offset, PartitionId, TopicId};

use crate::engines::MemStore;
use crate::format::PlainFormat;
use crate::rules;

const PARTITION: PartitionId = PartitionId {
    topic: TopicId([2; 16]),
    index: 1,
};

fn rule(engine: Engine, image: Image) -> Rule {
    let mut all = rules::all().into_iter();
    let of =
        |rule: &Rule| (rule.engine, rule.image, rule.deletes) == (engine, image, Deletes::Allow);
    all.find(of).unwrap()
}

fn table(rule: Rule) -> KeyedTable {
    let engine = MemStore::default().open(PARTITION).unwrap();
    let table = KeyedTable::new(PARTITION, engine, 0, TableOptions::default());
    table.merging(RuleLog::of(rule), Arc::new(PlainFormat))
}

/// One batch a record, all stable.
fn fold(table: &KeyedTable, records: &[(&str, Option<&str>)]) {
    for (key, value) in records {
        let base = table.folded_to();
        let mut batch = BatchBuilder::new().base_offset(base);
        let value = value.map(str::as_bytes);
        batch.append(7, Some(key.as_bytes()), value, []).unwrap();
        let chunk = Chunk::of(vec![batch.finish().unwrap()]);
        table
            .catch_up(base + 1, |_| Ok::<_, Infallible>(chunk.clone()))
            .unwrap();
    }
}

type Seen = (&'static str, Offset, Offset, Option<Offset>);

fn seen(rows: &[ChangeRow]) -> Vec<Seen> {
    rows.iter()
        .map(|row| {
            (
                row.kind.as_str(),
                row.offset,
                row.row.offset,
                row.prev_offset,
            )
        })
        .collect()
}

const LIFE: [(&str, Option<&str>); 5] = [
    ("a", Some("sum=1")),
    ("a", Some("sum=2")),
    ("b", None),
    ("a", None),
    ("a", Some("sum=3")),
];

#[test]
fn full_images_have_both_rows() {
    let table = table(rule(Engine::LastRow, Image::Full));
    table.hold(0).unwrap();
    fold(&table, &LIFE);
    let part = table.changelog(0, usize::MAX).unwrap();
    assert_eq!(part.end, 5);
    assert_eq!(
        seen(&part.rows),
        [
            ("insert", 0, 0, None),
            ("update_before", 1, 0, Some(0)),
            ("update_after", 1, 1, Some(0)),
            ("delete", 3, 1, Some(1)),
            ("insert", 4, 4, None),
        ]
    );
}

#[test]
fn wal_images_of_last_row_read_nothing_for_a_put() {
    let table = table(rule(Engine::LastRow, Image::Wal));
    table.hold(0).unwrap();
    fold(&table, &LIFE);
    let part = table.changelog(0, usize::MAX).unwrap();
    assert_eq!(
        seen(&part.rows),
        [
            ("update_after", 0, 0, None),
            ("update_after", 1, 1, None),
            ("delete", 3, 1, Some(1)),
            ("update_after", 4, 4, None),
        ]
    );
}

#[test]
fn what_was_taken_and_flushed_is_still_the_row_before() {
    let table = table(rule(Engine::Aggregation, Image::Full));
    table.hold(0).unwrap();
    fold(&table, &LIFE[..1]);
    assert_eq!(table.flush().unwrap(), 0);
    let part = table.changelog(0, usize::MAX).unwrap();
    table.hold(part.end).unwrap();
    assert_eq!(table.flush().unwrap(), 1);
    assert_eq!(table.overlay_bytes(), 0);
    fold(&table, &LIFE[1..2]);
    let part = table.changelog(1, usize::MAX).unwrap();
    assert_eq!(
        seen(&part.rows),
        [
            ("update_before", 1, 0, Some(0)),
            ("update_after", 1, 1, Some(0))
        ]
    );
    let rule = table.rules().newest().clone();
    let rows: Vec<_> = part
        .rows
        .iter()
        .map(|row| (row.key.clone(), row.row.clone()))
        .collect();
    let cells = table.cells(&rule.columns, &rows).unwrap();
    let batch = to_batch(&rule.columns, &part.rows, &cells).unwrap();
    let names: Vec<_> = batch
        .schema()
        .fields()
        .iter()
        .map(|f| f.name().clone())
        .collect();
    assert_eq!(
        names.join(" "),
        "_offset _timestamp _key _change _prev_offset ver sum txt fst"
    );
    let sums = batch["sum"].as_primitive::<Int64Type>().values().to_vec();
    assert_eq!(sums, [1, 3]);
    assert_eq!(
        batch["_change"].as_string::<i32>().value(0),
        "update_before"
    );
}

#[test]
fn what_is_not_held_is_refused() {
    let table = table(rule(Engine::LastRow, Image::Full));
    let refused = |from| {
        let part = table.changelog(from, usize::MAX);
        matches!(part, Err(ChangelogError::NotHeld { .. }))
    };
    assert!(refused(0));
    fold(&table, &LIFE);
    table.flush().unwrap();
    assert!(table.hold(4).is_err());
    table.hold(5).unwrap();
    assert!(table.hold(4).is_err() && refused(4) && !refused(5));
}

#[test]
fn a_changelog_nobody_takes_stops_the_catching_up() {
    let engine = MemStore::default().open(PARTITION).unwrap();
    let options = TableOptions {
        overlay_bytes_max: 400,
        ..TableOptions::default()
    };
    let table = KeyedTable::new(PARTITION, engine, 0, options);
    table.hold(0).unwrap();
    let mut batches = Vec::new();
    for base in 0..50 {
        let mut batch = BatchBuilder::new().base_offset(base);
        batch.append(7, Some(b"k"), Some(b"value"), []).unwrap();
        batches.push(batch.finish().unwrap());
    }
    let read = |from: Offset| {
        let pieces: Vec<Bytes> = batches[from as usize..].to_vec();
        Ok::<_, Infallible>(Chunk::of(pieces))
    };
    let mut from = 0;
    let mut rounds = 0;
    while from < 50 {
        table.catch_up(50, read).unwrap();
        assert!(table.overlay_bytes() < 800);
        from = table.changelog(from, usize::MAX).unwrap().end;
        table.hold(from).unwrap();
        rounds += 1;
    }
    assert!(rounds > 5, "{rounds}");
}
