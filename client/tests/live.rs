//! Against a real broker, where `TIDELOG_BOOTSTRAP` names one and `TIDELOG_TOPIC` a topic with
//! records: the columnar read of every row agrees with ends, counts and a read in pieces.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use tidelog_client::{Client, Start};

#[tokio::test]
async fn every_offset_is_read_once_in_one_go_and_in_pieces() {
    let (Ok(bootstrap), Ok(topic)) = (
        std::env::var("TIDELOG_BOOTSTRAP"),
        std::env::var("TIDELOG_TOPIC"),
    ) else {
        return;
    };
    let client = Client::connect(&bootstrap).await.unwrap();
    let table = client.table(&topic).await.unwrap();
    let mut whole = table.scan().until_end().open().await.unwrap();
    let mut seen = BTreeMap::<i32, Vec<i64>>::new();
    while let Some(rows) = whole.next().await.unwrap() {
        let column = rows.batch.column_by_name("_offset").unwrap();
        let offsets = column.as_primitive::<Int64Type>().values();
        assert!(
            offsets
                .iter()
                .all(|one| (rows.first_offset..rows.next_offset).contains(one))
        );
        seen.entry(rows.partition).or_default().extend(offsets);
    }
    assert!(
        seen.values()
            .all(|offsets| offsets.is_sorted_by(|a, b| a < b))
    );
    let ends = whole.positions();

    // Every piece starts inside what the last one ended in.
    let mut pieces = BTreeMap::<i32, Vec<i64>>::new();
    for (&partition, offsets) in &seen {
        let mut at = offsets[0];
        while at < ends[&partition] {
            let end = (at + 1 + (at * 7919) % 5_000).min(ends[&partition]);
            let scan = table.scan().columns(["_offset"]).partitions([partition]);
            let scan = scan.from(Start::Offsets([(partition, at)].into()));
            let mut piece = scan.until([(partition, end)].into()).open().await.unwrap();
            while let Some(rows) = piece.next().await.unwrap() {
                let offsets = rows.batch.column(0).as_primitive::<Int64Type>().values();
                pieces.entry(partition).or_default().extend(offsets);
            }
            at = end;
        }
    }
    assert_eq!(pieces, seen);

    let none: [&str; 0] = [];
    let count = table.scan().columns(none).until(ends).open().await.unwrap();
    let count = futures::TryStreamExt::try_fold(Box::pin(count.into_stream()), 0, |sum, rows| {
        std::future::ready(Ok(sum + rows.batch.num_rows()))
    });
    assert_eq!(
        count.await.unwrap(),
        seen.values().map(Vec::len).sum::<usize>()
    );
}
