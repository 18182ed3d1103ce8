//! Aim: lake and log together are every row exactly once, in one schema, wherever the cut is.
//! Method: the tierer fills a lake on disk pass by pass; the scripted broker names cuts and answers
//! the log. Every row follows from its partition and offset, so each batch is compared as a whole.
#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

mod fake;
#[path = "fake/lake.rs"]
mod lake;

use std::collections::BTreeSet;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::SchemaRef;
use fake::rows::{StoredRun, offsets};
use fake::{Fake, Log, Trick, World};
use lake::{Lake, has_row, rows, schema};
use tidelog_client::{Client, Error, ErrorCode, Predicate, Table, UnionStream};
use tidelog_protocol_ext::StrBytes;
use tidelog_protocol_ext::ext::Request;
use tidelog_protocol_ext::ext::union_read_offsets::{
    Cut, UnionReadOffsetsRequest, UnionReadOffsetsResponse,
};
use tidelog_tiering::TierMark;
use uuid::Uuid;

const ENDS: [i64; 2] = [100, 60];
const CUT: i16 = UnionReadOffsetsRequest::KEY;

fn orders() -> SchemaRef {
    schema(
        r#"{"fields":[
            {"name":"city","type":"string","nullable":false},
            {"name":"amount","type":"long"},
            {"name":"address","type":{"struct":[
                {"name":"street","type":"string"},{"name":"zip","type":"string"}]}},
            {"name":"lines","type":{"list":{"struct":[
                {"name":"sku","type":"string"},{"name":"count","type":"long"}]}}},
            {"name":"attributes","type":{"map":"string"}},
            {"name":"at","type":"timestamp(ms)"}]}"#,
    )
}

/// A broker whose log has the rows from `starts` on.
async fn broker(schema: &SchemaRef, starts: [i64; 2]) -> (Fake, Table) {
    let log = |(partition, (start, end)): (i32, (i64, i64))| {
        let runs = (start..end).step_by(10).map(|first| {
            let last = (first + 10).min(end);
            StoredRun::of(1, rows(schema, partition, first..last))
        });
        let log = Log {
            start,
            end,
            runs: runs.collect(),
            ..Log::default()
        };
        (partition, log)
    };
    let fake = Fake::start(World {
        is_columnar: true,
        schemas: vec![(1, schema.clone())],
        current_schema_id: 1,
        partitions: (0..).zip(starts.into_iter().zip(ENDS)).map(log).collect(),
        ..World::default()
    })
    .await;
    let client = Client::connect(&fake.address()).await.unwrap();
    let table = client.table(fake::TOPIC).await.unwrap();
    (fake, table)
}

/// The broker's answer to who asks for a cut now.
fn name_cut(fake: &Fake, mark: Option<&TierMark>, lake_ends: [i64; 2], stable_ends: [i64; 2]) {
    let mut world = fake.world.lock().unwrap();
    let partitions = world.partitions.iter().map(|(&partition, log)| Cut {
        partition,
        lake_end: lake_ends[partition as usize],
        log_start_offset: log.start,
        stable_end: stable_ends[partition as usize],
    });
    let answer = UnionReadOffsetsResponse {
        snapshot_id: mark.and_then(|mark| mark.snapshot_id).unwrap_or(-1),
        metadata_location: mark.map(|mark| StrBytes::from_string(mark.metadata_location.clone())),
        partitions: partitions.collect(),
        ..UnionReadOffsetsResponse::default()
    };
    world.cut = Some(answer);
}

fn ends(mark: &TierMark) -> [i64; 2] {
    [0, 1].map(|partition| mark.ends.get(&partition).copied().unwrap_or(0))
}

async fn all(mut stream: UnionStream) -> Vec<(i32, RecordBatch)> {
    let mut batches = Vec::new();
    while let Some(rows) = stream.next().await.unwrap() {
        assert_eq!(rows.batch.schema_ref(), stream.schema());
        assert!(rows.batch.num_rows() > 0);
        batches.push((rows.partition, rows.batch));
    }
    batches
}

/// Every row below the stable ends is there once and is itself.
async fn assert_whole(table: &Table, schema: &SchemaRef, stable_ends: [i64; 2]) {
    let stream = table.union_read().open().await.unwrap();
    assert_eq!(stream.schema(), schema);
    let mut seen = BTreeSet::new();
    for (partition, batch) in all(stream).await {
        let found = offsets(&batch).values();
        assert_eq!(batch, rows(schema, partition, found.iter().copied()));
        for offset in found {
            assert!(
                seen.insert((partition, *offset)),
                "{partition}/{offset} came twice"
            );
        }
    }
    assert_eq!(seen, expected(stable_ends));
}

fn expected(ends: [i64; 2]) -> BTreeSet<(i32, i64)> {
    let of = |(partition, end)| {
        let offsets = (0..end).filter(has_row);
        offsets.map(move |offset| (partition, offset))
    };
    (0..).zip(ends).flat_map(of).collect()
}

#[tokio::test]
async fn every_row_comes_once_wherever_the_cut_is() {
    let (lake, schema) = (Lake::new(), orders());
    let mut marks = Vec::new();
    for ends in [[30, 0], [30, 41], [77, 41], [78, 60], ENDS] {
        marks.push(lake.tier(&schema, &ends).await);
    }
    let newest = marks.last().unwrap().metadata_location.clone();
    for mark in &marks {
        let lake_ends = ends(mark);
        // An older snapshot is read from newer metadata, too.
        let later = TierMark {
            metadata_location: newest.clone(),
            ..mark.clone()
        };
        for (starts, mark) in [([0, 0], mark), (lake_ends, &later)] {
            let (fake, table) = broker(&schema, starts).await;
            for stable_ends in [ENDS, [lake_ends[0].max(94), lake_ends[1].max(53)]] {
                name_cut(&fake, Some(mark), lake_ends, stable_ends);
                assert_whole(&table, &schema, stable_ends).await;
                let count = table.union_read().count().await.unwrap();
                assert_eq!(count.snapshot_id, mark.snapshot_id);
                assert_eq!(count.lake_rows, expected(lake_ends).len() as u64);
                assert_eq!(count.total(), expected(stable_ends).len() as u64);
            }
        }
    }
}

#[tokio::test]
async fn rows_of_the_lake_at_or_behind_the_cut_are_the_logs() {
    let (lake, schema) = (Lake::new(), orders());
    lake.tier(&schema, &[20, 20]).await;
    let mark = lake.tier(&schema, &ENDS).await;
    let (fake, table) = broker(&schema, [0, 0]).await;
    for lake_ends in [[0, 0], [20, 20], [21, 20], [24, 60], [99, 1]] {
        name_cut(&fake, Some(&mark), lake_ends, ENDS);
        assert_whole(&table, &schema, ENDS).await;
        let count = table.union_read().count().await.unwrap();
        assert_eq!(count.lake_rows, expected(lake_ends).len() as u64);
        assert_eq!(count.total(), expected(ENDS).len() as u64);
    }
}

#[tokio::test]
async fn without_a_snapshot_all_rows_are_the_logs() {
    let schema = orders();
    let (fake, table) = broker(&schema, [0, 0]).await;
    name_cut(&fake, None, [0, 0], ENDS);
    assert_whole(&table, &schema, ENDS).await;
    let count = table.union_read().count().await.unwrap();
    assert_eq!((count.snapshot_id, count.lake_rows), (None, 0));

    // The log begins where it begins.
    let (fake, table) = broker(&schema, [50, 60]).await;
    name_cut(&fake, None, [0, 0], ENDS);
    let count = table.union_read().count().await.unwrap();
    let rows = (50..100).filter(has_row).count() as u64;
    assert_eq!((count.log_rows, count.total()), (rows, rows));
}

#[tokio::test]
async fn only_chosen_columns_come_in_one_shape_from_both_sides() {
    let (lake, schema) = (Lake::new(), orders());
    let mark = lake.tier(&schema, &[40, 60]).await;
    let (fake, table) = broker(&schema, [40, 60]).await;
    name_cut(&fake, Some(&mark), [40, 60], ENDS);
    let names = ["_key", "address.zip", "#2", "_offset", "_headers"];
    let stream = table.union_read().columns(names).open().await.unwrap();
    let fields: Vec<_> = stream
        .schema()
        .fields()
        .iter()
        .map(|f| f.name().as_str())
        .collect();
    assert_eq!(fields, ["_offset", "_key", "_headers", "amount", "address"]);
    let mut count = 0;
    for (partition, batch) in all(stream).await {
        let whole = rows(&schema, partition, offsets(&batch).values().iter().copied());
        for name in ["_key", "amount", "_headers"] {
            assert_eq!(
                batch.column_by_name(name),
                whole.column_by_name(name),
                "{name}"
            );
        }
        let address = |of: &RecordBatch| of.column_by_name("address").unwrap().as_struct().clone();
        assert_eq!(address(&batch).num_columns(), 1);
        assert_eq!(
            address(&batch).column_by_name("zip"),
            address(&whole).column_by_name("zip")
        );
        count += batch.num_rows();
    }
    assert_eq!(count, expected(ENDS).len());

    let nothing: [&str; 0] = [];
    let stream = table.union_read().columns(nothing).open().await.unwrap();
    let counts = all(stream)
        .await
        .into_iter()
        .map(|(_, batch)| batch.num_rows());
    assert_eq!(counts.sum::<usize>(), count);
    let unknown = table.union_read().columns(["town"]).open().await;
    assert!(matches!(unknown, Err(Error::UnknownColumn { .. })));
}

#[tokio::test]
async fn a_filter_is_true_of_the_same_rows_on_both_sides() {
    let (lake, schema) = (Lake::new(), orders());
    let mark = lake.tier(&schema, &[40, 60]).await;
    let (fake, table) = broker(&schema, [40, 60]).await;
    name_cut(&fake, Some(&mark), [40, 60], ENDS);
    for filter in [
        "_partition = 0 AND amount BETWEEN 3000 AND 5500",
        "address.zip LIKE '%5' OR _offset IN (3, 4, 5, 99)",
        "NOT (at >= TIMESTAMP '1970-01-01T00:00:30Z') AND _timestamp_type = 1",
        "at IS NULL AND _key LIKE '_key 1%'",
        "amount = 0.5",
    ] {
        let predicate: Predicate = tidelog_predicate::parse(filter).unwrap();
        let columns = ["_offset", "lines.sku", "city"];
        let read = table
            .union_read()
            .columns(columns)
            .filter(predicate.clone());
        let mut seen = BTreeSet::new();
        for (partition, batch) in all(read.open().await.unwrap()).await {
            let found = offsets(&batch).values();
            let whole = rows(&schema, partition, found.iter().copied());
            let wanted = ["#-2", "#1", "#8"].map(str::to_owned);
            assert_eq!(batch, fake::rows::project(&whole, &wanted), "{filter}");
            seen.extend(found.iter().map(|offset| (partition, *offset)));
        }
        let mut expected = BTreeSet::new();
        for (partition, end) in (0..).zip(ENDS) {
            let kept = fake::rows::keep(&rows(&schema, partition, 0..end), &predicate);
            expected.extend(
                offsets(&kept)
                    .values()
                    .iter()
                    .map(|offset| (partition, *offset)),
            );
        }
        assert_eq!(seen, expected, "{filter}");
        let count = table.union_read().filter(filter).count().await.unwrap();
        assert_eq!(count.total(), expected.len() as u64, "{filter}");
    }
}

#[tokio::test]
async fn rows_tiered_under_an_older_schema_are_widened() {
    let old =
        schema(r#"{"fields":[{"name":"town","type":"string"},{"name":"amount","type":"int"}]}"#);
    let (lake, new) = (Lake::new(), orders());
    lake.tier(&old, &[20, 20]).await;
    let mark = lake.tier(&new, &[40, 40]).await;
    let (fake, table) = broker(&new, [40, 40]).await;
    name_cut(&fake, Some(&mark), [40, 40], ENDS);
    let names = ["_partition", "_offset", "amount", "address"];
    let stream = table.union_read().columns(names).open().await.unwrap();
    let mut count = 0;
    for (partition, batch) in all(stream).await {
        let partitions = batch.column(0).as_primitive::<Int32Type>().values();
        assert!(partitions.iter().all(|one| *one == partition));
        let amounts = batch.column(2).as_primitive::<Int64Type>();
        for (row, offset) in offsets(&batch).values().iter().enumerate() {
            assert_eq!(amounts.value(row), offset * 100);
            assert_eq!(batch.column(3).is_null(row), *offset < 20);
        }
        count += batch.num_rows();
    }
    assert_eq!(count, expected(ENDS).len());
}

#[tokio::test]
async fn rows_in_neither_are_a_named_gap() {
    let (lake, schema) = (Lake::new(), orders());
    let mark = lake.tier(&schema, &[40, 41]).await;
    let (fake, table) = broker(&schema, [40, 45]).await;
    name_cut(&fake, Some(&mark), [40, 41], ENDS);
    let error = table.union_read().open().await.err().unwrap();
    assert_eq!(
        error.to_string(),
        "table orders, partition 1: offsets 41..45 are gone, the lake ends before the log begins"
    );
    assert!(matches!(
        table.union_read().count().await,
        Err(Error::Gap { .. })
    ));
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_read_is_an_error_and_no_end() {
    let (lake, schema) = (Lake::new(), orders());
    let mark = lake.tier(&schema, &[40, 60]).await;
    let (fake, table) = broker(&schema, [40, 60]).await;
    let unknown = TierMark {
        snapshot_id: Some(1),
        ..mark.clone()
    };
    name_cut(&fake, Some(&unknown), [40, 60], ENDS);
    let error = table.union_read().open().await.err().unwrap();
    assert!(error.to_string().ends_with("has no snapshot 1"), "{error}");

    name_cut(&fake, Some(&mark), [40, 60], ENDS);
    remove_data_files(lake.path());
    let mut stream = table.union_read().open().await.unwrap();
    for _ in 0..2 {
        let error = stream.next().await.unwrap_err();
        assert!(matches!(error, Error::Lake { .. }), "{error}");
    }
}

fn remove_data_files(directory: &std::path::Path) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            remove_data_files(&path);
        } else if path.extension().is_some_and(|end| end == "parquet") {
            std::fs::remove_file(path).unwrap();
        }
    }
}

#[tokio::test]
async fn a_lease_is_taken_renewed_and_given_up() {
    let (lake, schema) = (Lake::new(), orders());
    let mark = lake.tier(&schema, &[40, 60]).await;
    let (fake, table) = broker(&schema, [40, 60]).await;
    name_cut(&fake, Some(&mark), [40, 60], ENDS);
    let id = Uuid::from_u128(5);
    {
        let mut world = fake.world.lock().unwrap();
        let cut = world.cut.as_mut().unwrap();
        (cut.lease_id, cut.lease_ms) = (id, 60);
    }
    let asked = || std::mem::take(&mut fake.world.lock().unwrap().leases);

    // Read to the end, it is given up before the end is told.
    let stream = table.union_read().open().await.unwrap();
    tokio::time::sleep(Duration::from_millis(150)).await;
    all(stream).await;
    let requests = asked();
    assert_eq!(requests.first(), Some(&(Uuid::nil(), 60_000)));
    assert_eq!(requests.last(), Some(&(id, 0)));
    let renewals = &requests[1..requests.len() - 1];
    assert!(!renewals.is_empty() && renewals.iter().all(|one| *one == (id, 60)));

    // Dropped, it is given up in the background.
    drop(table.union_read().open().await.unwrap());
    for _ in 0..500 {
        if fake.world.lock().unwrap().leases.last() == Some(&(id, 0)) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(asked().last(), Some(&(id, 0)));

    // Lost, the read goes on, and nobody asks for it again.
    let read = table.union_read().lease(Duration::from_secs(5));
    let stream = read.open().await.unwrap();
    fake.trick(CUT, Trick::Code(ErrorCode::ResourceNotFound));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let count: usize = all(stream)
        .await
        .iter()
        .map(|(_, batch)| batch.num_rows())
        .sum();
    assert_eq!(count, expected(ENDS).len());
    assert_eq!(asked(), [(Uuid::nil(), 5_000), (id, 60)]);

    // Not wanted, none is asked for.
    let count = table.union_read().lease(Duration::ZERO).count().await;
    assert_eq!(count.unwrap().total(), expected(ENDS).len() as u64);
    assert_eq!(asked().first(), Some(&(Uuid::nil(), 0)));
}
