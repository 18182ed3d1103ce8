//! Rows read by column: the values, the offsets and the schema a reader is promised, from a broker
//! that answers one run at a time.
#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

mod fake;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Int32Array, Int64Array, RecordBatch, StringArray};
use arrow_ipc::CompressionType;
use arrow_schema::{DataType, Schema};
use fake::rows::{StoredRun, field, order_schema, orders, project};
use fake::{Fake, Log, Trick, World};
use futures::TryStreamExt;
use tidelog_client::{Client, Error, ErrorCode, RowStream, Rows, RowsFault, Start, Table};

const COLUMNAR_FETCH: i16 = 16_000;
const DESCRIBE_TABLE: i16 = 16_004;

/// A table of orders: partition 0 with gaps and two runs, partition 1 with one of two messages.
fn world() -> World {
    let sparse = orders([100, 101, 103, 110, 111]);
    let later = orders(120..130);
    let pair = StoredRun {
        first_offset: 5,
        last_offset: 14,
        batches: vec![orders(5..8), orders(8..12)],
        compression: Some(CompressionType::ZSTD),
        schema_id: 1,
    };
    let plain = StoredRun {
        compression: None,
        ..StoredRun::of(1, later)
    };
    let first = Log {
        start: 90,
        end: 140,
        runs: vec![StoredRun::of(1, sparse), plain],
        ..Log::default()
    };
    let second = Log {
        start: 5,
        end: 15,
        runs: vec![pair],
        ..Log::default()
    };
    World {
        is_columnar: true,
        schemas: vec![(1, order_schema())],
        current_schema_id: 1,
        partitions: BTreeMap::from([(0, first), (1, second)]),
        ..World::default()
    }
}

async fn open(world: World) -> (Fake, Table) {
    let fake = Fake::start(world).await;
    let client = Client::connect(&fake.address()).await.unwrap();
    let table = client.table(fake::TOPIC).await.unwrap();
    (fake, table)
}

async fn all(mut stream: RowStream) -> (Vec<Rows>, BTreeMap<i32, i64>) {
    let mut rows = Vec::new();
    while let Some(next) = stream.next().await.unwrap() {
        rows.push(next);
    }
    (rows, stream.positions())
}

/// The rows of a partition, put together.
fn of(partition: i32, rows: &[Rows]) -> RecordBatch {
    let own = rows.iter().filter(|rows| rows.partition == partition);
    let batches: Vec<_> = own.map(|rows| rows.batch.clone()).collect();
    arrow_select::concat::concat_batches(batches[0].schema_ref(), &batches).unwrap()
}

fn ids(wanted: &[&str]) -> Vec<String> {
    wanted.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn chosen_columns_of_all_rows_with_exact_offsets() {
    let (_fake, table) = open(world()).await;
    assert!(table.is_columnar());
    assert_eq!(table.schema().fields(), order_schema().fields());
    let scan = table.scan().columns(["address.zip", "city"]).until_end();
    let (rows, positions) = all(scan.open().await.unwrap()).await;
    let expected = orders([100, 101, 103, 110, 111].into_iter().chain(120..130));
    assert_eq!(of(0, &rows), project(&expected, &ids(&["#1", "#5"])));
    assert_eq!(of(1, &rows), project(&orders(5..12), &ids(&["#1", "#5"])));
    let spans: Vec<_> = rows
        .iter()
        .filter(|rows| rows.partition == 0)
        .map(|rows| (rows.first_offset, rows.next_offset))
        .collect();
    assert_eq!(spans, [(100, 112), (120, 130)]);
    assert_eq!(positions, BTreeMap::from([(0, 140), (1, 15)]));
}

#[tokio::test]
async fn a_filter_travels_by_field_id_and_leaves_exact_offsets() {
    let (fake, table) = open(world()).await;
    let scan = table.scan().columns(["city"]).until_end();
    let scan = scan.filter("amount >= 10300 AND (address.zip < 10125 OR city IS NULL)");
    let (rows, positions) = all(scan.open().await.unwrap()).await;
    // Cities are null at every seventh offset: 112, 119, 126.
    let expected = orders([103, 110, 111].into_iter().chain(120..125).chain([126]));
    assert_eq!(of(0, &rows), project(&expected, &ids(&["#1"])));
    assert!(
        rows.iter().all(|rows| rows.partition == 0),
        "no row of 1 matches"
    );
    assert_eq!(positions, BTreeMap::from([(0, 140), (1, 15)]));
    let world = fake.world.lock().unwrap();
    let sent = "#2 >= 10300 AND (#5 < 10125 OR #1 IS NULL)".to_owned();
    assert!(
        world
            .filters
            .iter()
            .all(|filter| *filter == Some(sent.clone()))
    );
    assert!(
        world
            .projections
            .iter()
            .all(|columns| *columns == ids(&["#1"]))
    );
}

#[tokio::test]
async fn an_end_inside_a_filtered_run_is_kept_to_the_row() {
    for (end, offsets) in [
        (111, vec![103]),
        (112, vec![103, 111]),
        (123, vec![103, 111, 121]),
    ] {
        let (_fake, table) = open(world()).await;
        let scan = table.scan().columns(["amount"]).partitions([0]);
        let scan = scan.filter("amount IN (10300, 11100, 12100, 12300)");
        let scan = scan.until(BTreeMap::from([(0, end)]));
        let (rows, positions) = all(scan.open().await.unwrap()).await;
        assert_eq!(
            of(0, &rows),
            project(&orders(offsets), &ids(&["#2"])),
            "end {end}"
        );
        assert_eq!(positions[&0], end);
    }
}

#[tokio::test]
async fn a_filter_that_is_none_is_refused_before_anything_is_asked() {
    let (fake, table) = open(world()).await;
    for (filter, expected) in [
        (
            "amount >",
            "filter of table orders: a value is missing here\n  amount >\n          ^",
        ),
        ("town = 'x'", "table orders has no column \"town\""),
        (
            "amount = 'x'",
            "filter of table orders: column \"amount\" is of type Int64, which 'x' cannot be compared with",
        ),
    ] {
        let error = table.scan().filter(filter).open().await.unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    assert_eq!(fake.asked(COLUMNAR_FETCH), 0);
}

#[tokio::test]
async fn an_end_inside_a_run_is_kept_to_the_row() {
    for (end, offsets) in [
        (101, vec![100]),
        (104, vec![100, 101, 103]),
        (111, vec![100, 101, 103, 110]),
        (119, vec![100, 101, 103, 110, 111]),
        (123, vec![100, 101, 103, 110, 111, 120, 121, 122]),
    ] {
        let (fake, table) = open(world()).await;
        let scan = table.scan().columns(["amount"]).partitions([0]);
        let scan = scan.until(BTreeMap::from([(0, end)]));
        let (rows, positions) = all(scan.open().await.unwrap()).await;
        assert_eq!(
            of(0, &rows),
            project(&orders(offsets), &ids(&["#2"])),
            "end {end}"
        );
        assert_eq!(positions[&0], end);
        // A run without gaps is cut without asking for offsets.
        let last = fake
            .world
            .lock()
            .unwrap()
            .projections
            .last()
            .unwrap()
            .clone();
        assert_eq!(last.contains(&"#-2".to_owned()), end < 112, "end {end}");
    }
}

#[tokio::test]
async fn reading_goes_on_where_it_stopped() {
    let (_fake, table) = open(world()).await;
    let mut seen = Vec::new();
    let mut at = BTreeMap::from([(0, 90), (1, 5)]);
    loop {
        let scan = table.scan().columns(["_offset"]).until_end();
        let mut stream = scan.from(Start::Offsets(at)).open().await.unwrap();
        let rows = stream.next().await.unwrap();
        at = stream.positions();
        let Some(rows) = rows else { break };
        let offsets = rows.batch.column(0).as_primitive::<Int64Type>();
        seen.extend(
            offsets
                .values()
                .iter()
                .map(|offset| (rows.partition, *offset)),
        );
    }
    seen.sort_unstable();
    let first = [100, 101, 103, 110, 111]
        .into_iter()
        .chain(120..130)
        .map(|o| (0, o));
    let second = (5..12).map(|o| (1, o));
    assert_eq!(seen, first.chain(second).collect::<Vec<_>>());
}

#[tokio::test]
async fn no_columns_are_a_count() {
    let (_fake, table) = open(world()).await;
    let none: [&str; 0] = [];
    let scan = table.scan().columns(none).until_end().partitions([0]);
    let stream = scan.open().await.unwrap().into_stream();
    let rows: Vec<_> = stream.try_collect().await.unwrap();
    assert_eq!(
        rows.iter().map(|rows| rows.batch.num_rows()).sum::<usize>(),
        15
    );
    assert!(rows.iter().all(|rows| rows.batch.num_columns() == 0));
}

#[tokio::test]
async fn an_answer_without_rows_moves_on() {
    let mut world = world();
    world.partitions.get_mut(&0).unwrap().runs.clear();
    let (_fake, table) = open(world).await;
    let scan = table.scan().partitions([0]).until_end();
    let mut stream = scan
        .from(Start::Offsets([(0, 95)].into()))
        .open()
        .await
        .unwrap();
    assert_eq!(stream.positions()[&0], 95);
    assert!(stream.next().await.unwrap().is_none());
    assert_eq!(stream.positions()[&0], 140);
}

#[tokio::test]
async fn damage_is_an_error_and_not_rows() {
    let (fake, table) = open(world()).await;
    fake.trick(COLUMNAR_FETCH, Trick::WrongChecksum);
    let scan = table
        .scan()
        .columns(["city", "amount"])
        .partitions([0])
        .until_end();
    let mut stream = scan.open().await.unwrap();
    let error = stream.next().await.unwrap_err();
    let Error::Rows {
        partition: 0,
        offset: 100,
        fault,
        ..
    } = &error
    else {
        panic!("{error}");
    };
    let column = "city".to_owned();
    assert_eq!(*fault, RowsFault::Checksum { column });
    assert_eq!(stream.positions()[&0], 90);
    let after = stream.next().await.unwrap().unwrap();
    assert_eq!((after.first_offset, after.batch.num_rows()), (100, 5));
}

#[tokio::test]
async fn rows_of_older_and_newer_schemas_come_in_one() {
    let widened = |amount, city, extra: bool| {
        let mut fields = vec![
            field(-2, "_offset", DataType::Int64).with_nullable(false),
            field(1, city, DataType::Utf8),
            field(2, "amount", amount),
        ];
        if extra {
            fields.push(field(9, "note", DataType::Utf8));
        }
        Arc::new(Schema::new(fields))
    };
    let old = widened(DataType::Int32, "town", false);
    let new = widened(DataType::Int64, "city", true);
    let offsets = || Arc::new(Int64Array::from(vec![0, 1]));
    let old_rows = RecordBatch::try_new(
        Arc::clone(&old),
        vec![
            offsets(),
            Arc::new(StringArray::from(vec!["a", "b"])),
            Arc::new(Int32Array::from(vec![Some(1), None])),
        ],
    );
    let new_rows = RecordBatch::try_new(
        Arc::clone(&new),
        vec![
            Arc::new(Int64Array::from(vec![2, 3])),
            Arc::new(StringArray::from(vec!["c", "d"])),
            Arc::new(Int64Array::from(vec![3, 1 << 40])),
            Arc::new(StringArray::from(vec!["x", "y"])),
        ],
    );
    let newer_rows = StoredRun::of(3, orders(4..6));
    let runs = vec![
        StoredRun::of(1, old_rows.unwrap()),
        StoredRun::of(2, new_rows.unwrap()),
        newer_rows,
    ];
    let log = Log {
        end: 6,
        runs,
        ..Log::default()
    };
    let mut world = World {
        is_columnar: true,
        schemas: vec![(1, old), (2, new)],
        current_schema_id: 2,
        ..World::default()
    };
    world.partitions.insert(0, log);
    let (fake, table) = open(world).await;
    let scan = table.scan().columns(["note", "amount", "city"]).until_end();
    let stream = scan.open().await.unwrap();
    // The third schema comes while the table is read.
    fake.world.lock().unwrap().schemas.push((3, order_schema()));
    let schema = Arc::clone(stream.schema());
    let names: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    assert_eq!(names, ["city", "amount", "note"]);
    let (rows, _) = all(stream).await;
    let rows = of(0, &rows);
    assert_eq!(rows.schema(), schema);
    let text =
        |column: usize| -> Vec<_> { rows.column(column).as_string::<i32>().iter().collect() };
    let city = ["a", "b", "c", "d", "city 4", "city 5"].map(Some);
    assert_eq!(text(0), city);
    assert_eq!(text(2), [None, None, Some("x"), Some("y"), None, None]);
    let amounts: Vec<_> = rows.column(1).as_primitive::<Int64Type>().iter().collect();
    assert_eq!(
        amounts,
        [Some(1), None, Some(3), Some(1 << 40), Some(400), Some(500)]
    );
    assert_eq!(fake.asked(DESCRIBE_TABLE), 2);

    // A column by the name and type it once had is still that column.
    let stream = table
        .scan()
        .columns(["town"])
        .until_end()
        .open()
        .await
        .unwrap();
    assert_eq!(stream.schema().field(0).name(), "city");
}

#[tokio::test]
async fn what_does_not_exist_is_said() {
    let (fake, table) = open(world()).await;
    let error = table
        .scan()
        .columns(["city", "towns"])
        .open()
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "table orders has no column \"towns\"");
    let error = table.scan().partitions([0, 9]).open().await.unwrap_err();
    assert!(
        matches!(error, Error::Partition { partition: 9, .. }),
        "{error}"
    );

    let client = Client::connect(&fake.address()).await.unwrap();
    fake.trick(3, Trick::Code(ErrorCode::UnknownTopicOrPartition));
    let error = client.table(fake::TOPIC).await.unwrap_err();
    assert_eq!(error.error_code(), Some(ErrorCode::UnknownTopicOrPartition));

    fake.trick(
        COLUMNAR_FETCH,
        Trick::Code(ErrorCode::TopicAuthorizationFailed),
    );
    let mut stream = table.scan().partitions([0]).open().await.unwrap();
    let error = stream.next().await.unwrap_err();
    assert_eq!(
        error.error_code(),
        Some(ErrorCode::TopicAuthorizationFailed)
    );
    assert!(error.to_string().contains("partition 0 at 90"), "{error}");
}

#[tokio::test]
async fn rows_that_are_gone() {
    let (_fake, table) = open(world()).await;
    let scan = table.scan().partitions([0]).until_end();
    let from = Start::Offsets([(0, 3)].into());
    let mut stream = scan.clone().from(from).open().await.unwrap();
    let error = stream.next().await.unwrap_err();
    assert_eq!(error.error_code(), Some(ErrorCode::OffsetOutOfRange));
    assert!(error.to_string().contains("rows begin at 90"), "{error}");

    // From the earliest on, a start that moves meanwhile is no error.
    let (fake, table) = open(world()).await;
    fake.trick(
        COLUMNAR_FETCH,
        Trick::Then(Box::new(|world| {
            world.partitions.get_mut(&0).unwrap().start = 110
        })),
    );
    let scan = table
        .scan()
        .columns(["_offset"])
        .partitions([0])
        .until_end();
    let (rows, _) = all(scan.open().await.unwrap()).await;
    assert_eq!(rows[0].first_offset, 110);
}
