//! What becomes of images: whole changes, in blocks, as far as the table knows their columns.

use arrow_array::cast::AsArray;
use tidelog_coordinator::cluster::RowsSchema;
use tidelog_coordinator::cluster::settings::{BrokerSettings, Layers, TopicSettings};
use tidelog_storage::rows::Projection;

use super::*;
use crate::jobs::rows::format::Formats;

/// An inferred table with a column `n` so far.
fn format() -> Arc<Format> {
    let overrides = [
        ("tidelog.table.mode".to_owned(), "inferred".to_owned()),
        ("tidelog.table.key".to_owned(), "record_key".to_owned()),
    ];
    let bare = BrokerSettings::new([]);
    let layers = Layers::new(&bare, None, None);
    let settings = TopicSettings::resolve(&layers.with_topic(&overrides.into())).table;
    let text = r#"{"last_id":1,"fields":[{"name":"n","type":"long","id":1}]}"#;
    let noted = RowsSchema {
        id: 1,
        text: Some(text.to_owned()),
    };
    let formats = Formats::of(&settings, &[noted], None).unwrap();
    Arc::clone(formats.current().unwrap())
}

fn image(kind: ChangeKind, offset: Offset, value: &str) -> ChangeRow {
    ChangeRow {
        kind,
        offset,
        timestamp: 7,
        key: Bytes::from_static(b"k"),
        row: Row {
            offset,
            timestamp: 7,
            value: Bytes::copy_from_slice(value.as_bytes()),
        },
        prev_offset: (kind != ChangeKind::Insert).then(|| offset - 1),
    }
}

fn update(offset: Offset, before: &str, after: &str) -> [ChangeRow; 2] {
    [
        image(ChangeKind::UpdateBefore, offset, before),
        image(ChangeKind::UpdateAfter, offset, after),
    ]
}

/// Offset, kind and `_prev_offset` of each row built of images up to `end`.
type Row3 = (Offset, String, Option<Offset>);

fn built(images: Vec<ChangeRow>, end: Offset) -> (Built, Vec<Row3>) {
    let (format, rows) = (format(), images);
    let part = ChangelogPart { rows, end };
    let built = build(&format, None, 0, 0, &part).unwrap();
    let mut shown = Vec::new();
    for block in &built.blocks {
        let rows = block.decode(&Projection::all(&format.shape)).unwrap();
        let long = |name| {
            let column = rows.column_by_name(name).unwrap();
            column
                .as_primitive::<Int64Type>()
                .iter()
                .collect::<Vec<_>>()
        };
        let kinds = rows.column_by_name(system::name::CHANGE).unwrap();
        let kinds = kinds.as_string::<i32>().iter().flatten().map(str::to_owned);
        let offsets = long(system::name::OFFSET).into_iter().flatten();
        let before = long(system::name::PREV_OFFSET);
        shown.extend(offsets.zip(kinds).zip(before).map(|((a, b), c)| (a, b, c)));
    }
    (built, shown)
}

fn row(offset: Offset, kind: &str, prev_offset: impl Into<Option<Offset>>) -> Row3 {
    (offset, kind.to_owned(), prev_offset.into())
}

#[test]
fn blocks_take_whole_changes() {
    let large = "x".repeat(BLOCK_BYTES_MAX);
    let small: Vec<_> = (0..BLOCK_ROWS_MAX as i64)
        .flat_map(|offset| update(offset, "", ""))
        .collect();
    let odd = [vec![image(ChangeKind::Insert, 0, "")], small[2..].to_vec()].concat();
    for (images, expected) in [
        (vec![image(ChangeKind::Insert, 1, "")], 1),
        (update(1, &large, &large).to_vec(), 2),
        ([update(1, "", &large), update(2, "", "")].concat(), 4),
        ([update(1, "", &large), update(2, "", "y")].concat(), 2),
        (small, BLOCK_ROWS_MAX),
        (odd, BLOCK_ROWS_MAX - 1),
    ] {
        assert_eq!(block_len(&images), expected);
    }
}

#[test]
fn an_image_that_is_no_row_leaves_the_other() {
    let images = [
        vec![image(ChangeKind::Insert, 1, "bad")],
        update(2, "bad", r#"{"n":1}"#).to_vec(),
        update(3, r#"{"n":1}"#, r#"{"n":2}"#).to_vec(),
        update(4, r#"{"n":2}"#, "bad").to_vec(),
        update(5, "bad", "bad").to_vec(),
        vec![image(ChangeKind::Delete, 6, "bad")],
    ];
    let (built, shown) = built(images.concat(), 9);
    let expected = [
        row(2, "insert", None),
        row(3, "update_before", 2),
        row(3, "update_after", 2),
        row(4, "delete", 3),
    ];
    assert_eq!(shown, expected);
    assert_eq!((built.rows, built.undecodable, built.end), (4, 6, 9));
    assert_eq!(built.first_undecodable.map(|(offset, _)| offset), Some(1));
}

#[test]
fn what_the_table_has_to_learn_first_stops_before_its_change() {
    let images = [
        vec![image(ChangeKind::Insert, 1, r#"{"n":1}"#)],
        update(4, r#"{"n":1}"#, r#"{"n":2,"new":3}"#).to_vec(),
        vec![image(ChangeKind::Delete, 5, r#"{"n":2}"#)],
    ];
    let (built, shown) = built(images.concat(), 9);
    assert_eq!(shown, [row(1, "insert", None)]);
    assert_eq!((built.end, built.wanted), (4, Some(Wanted::Columns)));
}
