//! Aim: a topic's new columns and wider types reach the lake, rows of the old schema among them.
//! Method: one pass with the first schema, then one with both kinds of batches, by id only.

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tidelog_tiering::commit::CommitError;
use tidelog_tiering::union::lake_files;
use tidelog_tiering::{LogBounds, PassError, PassLimits, RowBatch, Suspension, ValueLayout};
use world::{TOPIC_ID, World};

fn with_id(name: &str, kind: DataType, id: i32) -> Field {
    let metadata = [("PARQUET:field_id".to_owned(), id.to_string())];
    Field::new(name, kind, true).with_metadata(metadata.into())
}

fn batch(first_offset: i64, columns: Vec<(Field, ArrayRef)>) -> RowBatch {
    let rows = columns[0].1.len() as i64;
    let offsets: ArrayRef = Arc::new(Int64Array::from_iter(first_offset..first_offset + rows));
    let (mut fields, mut arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    fields.insert(0, Field::new("_offset", DataType::Int64, false));
    arrays.insert(0, offsets);
    let rows_of = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    RowBatch {
        partition: 0,
        first_offset,
        end_offset: first_offset + rows,
        rows: rows_of,
        dead_letters: None,
    }
}

fn old_batch(first_offset: i64) -> RowBatch {
    let values = Arc::new(Int32Array::from(vec![1, 2]));
    batch(
        first_offset,
        vec![(with_id("n", DataType::Int32, 1), values)],
    )
}

fn new_batch(first_offset: i64) -> RowBatch {
    let note = Arc::new(StringArray::from(vec!["x"]));
    let n = Arc::new(Int64Array::from(vec![1 << 40]));
    let columns = vec![
        (with_id("note", DataType::Utf8, 2), note as ArrayRef),
        (with_id("number", DataType::Int64, 1), n as ArrayRef),
    ];
    batch(first_offset, columns)
}

fn layout(fields: Vec<Field>) -> ValueLayout {
    ValueLayout::Typed(Arc::new(Schema::new(fields)))
}

async fn pass(
    world: &World,
    layout: &ValueLayout,
    mut batches: Vec<RowBatch>,
) -> Result<(), PassError> {
    let tierer = world
        .open_with(0, TOPIC_ID, layout, PassLimits::default())
        .await?;
    let stable_end = batches.last().unwrap().end_offset;
    let log = BTreeMap::from([(
        0,
        LogBounds {
            log_start: 0,
            stable_end,
        },
    )]);
    tierer.pass(&mut batches, &log).await.map(drop)
}

#[tokio::test]
async fn old_and_new_rows_share_the_grown_table() {
    let world = World::new(1);
    let old = layout(vec![with_id("n", DataType::Int32, 1)]);
    let new = layout(vec![
        with_id("number", DataType::Int64, 1),
        with_id("note", DataType::Utf8, 2),
    ]);
    pass(&world, &old, vec![old_batch(0)]).await.unwrap();
    pass(&world, &new, vec![old_batch(2), new_batch(4)])
        .await
        .unwrap();

    let table = world.load().await;
    let schema = table.metadata.current_schema();
    let columns: Vec<_> = schema
        .as_struct()
        .fields()
        .iter()
        .skip(4)
        .map(|f| &f.name)
        .collect();
    assert_eq!(columns, ["number", "note"], "the lake follows names");
    let snapshot = table.metadata.current_snapshot_id().unwrap();
    let files = lake_files(&world.io(), &table.metadata, snapshot)
        .await
        .unwrap();
    assert_eq!(
        files.iter().map(|file| file.offsets).collect::<Vec<_>>(),
        [Some((0, 1)), Some((2, 4))]
    );
    let bytes = world.files.bytes(&files[1].location);
    let mut reader = ParquetRecordBatchReaderBuilder::try_new(bytes)
        .unwrap()
        .build()
        .unwrap();
    let rows = reader.next().unwrap().unwrap();
    let numbers = rows
        .column_by_name("number")
        .unwrap()
        .as_primitive::<Int64Type>();
    assert_eq!(numbers.values(), &[1, 2, 1 << 40]);
    assert_eq!(rows.column_by_name("note").unwrap().null_count(), 2);
}

#[tokio::test]
async fn a_change_the_table_cannot_follow_suspends_and_moves_nothing() {
    let world = World::new(1);
    pass(
        &world,
        &layout(vec![with_id("n", DataType::Int32, 1)]),
        vec![old_batch(0)],
    )
    .await
    .unwrap();
    let before = world.load().await.metadata_location;
    let text = layout(vec![with_id("n", DataType::Utf8, 1)]);
    let error = pass(&world, &text, vec![old_batch(2)]).await.unwrap_err();
    assert!(
        matches!(
            error,
            PassError::Commit(CommitError::Suspended(Suspension::Schema(_)))
        ),
        "{error}"
    );
    assert_eq!(world.load().await.metadata_location, before);
}
