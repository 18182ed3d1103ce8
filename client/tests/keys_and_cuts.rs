//! Lookup and UnionReadOffsets: what the wire says, in the words of this crate.
#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

mod fake;

use std::collections::BTreeMap;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use bytes::Bytes;
use fake::rows::{StoredRun, order_schema, orders, project, record_batch_message};
use fake::{Fake, Log, Trick, World};
use tidelog_client::{Client, Cut, ErrorCode, KeyRow, Table};
use tidelog_protocol_ext::ext::lookup::{LookupResponse, LookupResult, Reflected};
use tidelog_protocol_ext::ext::union_read_offsets::{self, UnionReadOffsetsResponse};
use uuid::Uuid;

async fn open(world: World) -> (Fake, Table) {
    let log = Log {
        end: 20,
        runs: vec![StoredRun::of(1, orders(0..20))],
        ..Log::default()
    };
    let fake = Fake::start(World {
        is_columnar: true,
        schemas: vec![(1, order_schema())],
        current_schema_id: 1,
        partitions: BTreeMap::from([(0, log)]),
        ..world
    })
    .await;
    let client = Client::connect(&fake.address()).await.unwrap();
    let table = client.table(fake::TOPIC).await.unwrap();
    (fake, table)
}

#[tokio::test]
async fn keys_meet_their_rows() {
    let rows = project(&orders([3, 8]), &["#2".to_owned()]);
    let result = |error: ErrorCode, found: bool, offset: i64| LookupResult {
        error_code: error.code(),
        found,
        partition: 0,
        offset,
    };
    let answer = LookupResponse {
        results: vec![
            result(ErrorCode::None, true, 3),
            result(ErrorCode::None, false, -1),
            result(ErrorCode::RequestTimedOut, false, -1),
            result(ErrorCode::None, true, 8),
        ],
        partitions: vec![Reflected {
            partition: 0,
            reflected_offset: 20,
        }],
        schema_id: 1,
        row_count: 2,
        messages: record_batch_message(&rows, None).0.into(),
        ..LookupResponse::default()
    };
    let (fake, table) = open(World {
        lookup: Some(answer),
        ..World::default()
    })
    .await;
    let keys = ["a", "b", "c", "d"].map(|key| Bytes::from_static(key.as_bytes()));
    let lookup = table
        .lookup(keys.clone())
        .columns(["amount"])
        .reflecting([(0, 20)]);
    let found = lookup.send().await.unwrap();
    let amounts = found.rows.column(0).as_primitive::<Int64Type>();
    assert_eq!(amounts.values(), &[300, 800]);
    let row = |row: Option<usize>, offset| KeyRow {
        partition: Some(0),
        row,
        offset,
    };
    assert_eq!(found.keys[0], Ok(row(Some(0), Some(3))));
    assert_eq!(found.keys[1], Ok(row(None, None)));
    let error = found.keys[2].as_ref().unwrap_err();
    assert_eq!(error.error_code(), Some(ErrorCode::RequestTimedOut));
    assert_eq!(found.keys[3], Ok(row(Some(1), Some(8))));
    assert_eq!(found.reflected, BTreeMap::from([(0, 20)]));

    // Counts that contradict each other are an error.
    fake.world
        .lock()
        .unwrap()
        .lookup
        .as_mut()
        .unwrap()
        .row_count = 3;
    assert!(table.lookup(keys).send().await.is_err());
}

#[tokio::test]
async fn the_tail_of_a_cut_is_what_the_lake_lacks() {
    let id = Uuid::from_u128(9);
    let cut = union_read_offsets::Cut {
        partition: 0,
        lake_end: 12,
        log_start_offset: 0,
        stable_end: 17,
    };
    let answer = UnionReadOffsetsResponse {
        snapshot_id: 77,
        metadata_location: Some("file:///lake/metadata.json".into()),
        lease_id: id,
        lease_ms: 5_000,
        partitions: vec![cut],
        ..UnionReadOffsetsResponse::default()
    };
    let (fake, table) = open(World {
        cut: Some(answer),
        ..World::default()
    })
    .await;
    // The broker has not looked at the lake yet.
    fake.trick(16_003, Trick::Code(ErrorCode::CoordinatorLoadInProgress));
    let plan = table
        .union_plan(Some(Duration::from_secs(60)))
        .await
        .unwrap();
    assert_eq!(plan.snapshot_id, Some(77));
    let lease = plan.lease.unwrap();
    assert_eq!((lease.id, lease.lasts), (id, Duration::from_secs(5)));
    let own = Cut {
        lake_end: 12,
        log_start_offset: 0,
        stable_end: 17,
    };
    assert_eq!(plan.partitions, BTreeMap::from([(0, own)]));
    let mut tail = plan.tail(&table).columns(["_offset"]).open().await.unwrap();
    let rows = tail.next().await.unwrap().unwrap();
    let offsets = rows.batch.column(0).as_primitive::<Int64Type>();
    assert_eq!(offsets.values(), &[12, 13, 14, 15, 16]);
    assert!(tail.next().await.unwrap().is_none());
    assert_eq!(
        table.renew(&lease, Duration::from_secs(1)).await.unwrap(),
        plan
    );
    table.release(lease).await.unwrap();
}
