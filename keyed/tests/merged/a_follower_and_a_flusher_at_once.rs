//! Folding, flushing, following and looking up on threads of their own: the follower's copy is the
//! table, and sums never go back.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bytes::Bytes;
use tidelog_keyed::merge::{Engine, Image, RuleLog, Value};
use tidelog_keyed::scan::KeyRange;
use tidelog_keyed::{Chunk, KeyedTable, TableOptions};
use tidelog_records::BatchBuilder;
use tidelog_storage::ids::{Offset, PartitionId, TopicId};

use crate::engines::{Fjall, MortalStore};
use crate::follower::Follower;
use crate::format::{PlainFormat, SUM};
use crate::rules;

const PARTITION: PartitionId = PartitionId {
    topic: TopicId([3; 16]),
    index: 0,
};
const BATCHES: i64 = 400;
const RECORDS: i64 = 20;
const END: Offset = BATCHES * RECORDS;
const KEYS: i64 = 7;

fn batch(at: i64) -> Bytes {
    let mut batch = BatchBuilder::new().base_offset(at * RECORDS);
    for record in 0..RECORDS {
        let key = format!("k{}", (at + record) % KEYS);
        batch
            .append(1, Some(key.as_bytes()), Some(b"sum=1"), [])
            .unwrap();
    }
    batch.finish().unwrap()
}

fn fold(table: &KeyedTable) {
    for at in 0..BATCHES {
        let chunk = Chunk::of(vec![batch(at)]);
        let end = (at + 1) * RECORDS;
        while table.folded_to() < end {
            table
                .catch_up(end, |_| Ok::<_, Infallible>(chunk.clone()))
                .unwrap();
        }
    }
}

fn follow(table: &KeyedTable) -> Follower {
    let mut follower = Follower::default();
    while follower.taken_to < END {
        let part = table.changelog(follower.taken_to, 2_000).unwrap();
        follower.take(part.rows, part.end, &table.rules());
        table.hold(follower.taken_to).unwrap();
    }
    follower
}

/// The sum over all rows at one moment is the number of records below it.
fn add_up(table: &KeyedTable) {
    let view = table.view(KeyRange::all(), 0).unwrap();
    let rows: Vec<_> = view.rows(None).map(Result::unwrap).collect();
    let rules = table.rules();
    let cells = table.cells(&rules.newest().columns, &rows).unwrap();
    let sum: i64 = cells
        .iter()
        .map(|cells| match cells.as_ref().unwrap().value(SUM) {
            Value::Int(number) => *number,
            other => panic!("{other:?}"),
        })
        .sum();
    assert_eq!(sum, view.reflects);
}

#[test]
fn nobody_sees_half_of_anything() {
    let stores = Fjall::new();
    let engine = stores.store().open(PARTITION).unwrap();
    let options = TableOptions {
        overlay_bytes_max: 20_000,
        step_bytes: 2_000,
        ..TableOptions::default()
    };
    let sums = |rule: &tidelog_keyed::merge::Rule| {
        rule.engine == Engine::Aggregation && rule.image == Image::Full
    };
    let rule = rules::all().into_iter().find(sums).unwrap();
    let table = KeyedTable::new(PARTITION, engine, 0, options);
    let table = table.merging(RuleLog::of(rule), Arc::new(PlainFormat));
    table.hold(0).unwrap();
    let done = AtomicBool::new(false);
    let follower = thread::scope(|scope| {
        scope.spawn(|| fold(&table));
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                table.flush_step(1_000).unwrap();
            }
        });
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                add_up(&table);
            }
        });
        let follower = follow(&table);
        done.store(true, Ordering::Release);
        follower
    });
    assert_eq!(table.flush().unwrap(), END);
    let snapshot = table.snapshot().unwrap();
    let rows: Vec<_> = snapshot.rows().map(Result::unwrap).collect();
    assert_eq!(rows, follower.copy.into_iter().collect::<Vec<_>>());
    assert_eq!(rows.len(), KEYS as usize);
    add_up(&table);
}
