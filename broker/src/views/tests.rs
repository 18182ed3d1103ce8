//! What a view makes of batches, whatever they are cut into.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use tidelog_coordinator::cluster::settings::{
    BrokerSettings, Layers, TopicSettings, ViewFormat, ViewSettings,
};
use tidelog_records::{BatchBuilder, BatchHeader, Codec, Records};
use tidelog_typed::OffsetRange;

use super::refit::{Refit, Room, refit};
use super::{BadLens, Lens};
use crate::jobs::rows::format::{Format, Formats};

const ALL: Room = Room {
    max_bytes: u64::MAX,
    at_least_one: true,
};

fn format() -> Arc<Format> {
    let schema = json!({"fields": [
        {"name": "n", "type": "long"},
        {"name": "x", "type": "double"},
        {"name": "at", "type": {"struct": [
            {"name": "a", "type": "int"}, {"name": "b", "type": "string"},
        ]}},
    ]});
    let overrides = [
        ("tidelog.table.mode".to_owned(), "inline".to_owned()),
        ("tidelog.table.schema".to_owned(), schema.to_string()),
    ];
    let bare = BrokerSettings::new([]);
    let layers = Layers::new(&bare, None, None);
    let settings = TopicSettings::resolve(&layers.with_topic(&overrides.into())).table;
    let formats = Formats::of(&settings, &[], None).unwrap();
    Arc::clone(formats.current().unwrap())
}

fn settings(columns: &[&str], filter: &str) -> ViewSettings {
    ViewSettings {
        of: "source".into(),
        columns: columns.iter().map(|name| (*name).to_owned()).collect(),
        filter: filter.to_owned(),
        format: ViewFormat::Json,
    }
}

fn lens(columns: &[&str], filter: &str) -> Lens {
    Lens::new(&settings(columns, filter), format()).unwrap()
}

/// A batch of rows with these numbers from `base` on, two offsets apart.
fn batch(base: i64, codec: Codec, numbers: impl IntoIterator<Item = i64>) -> Bytes {
    let mut builder = BatchBuilder::new()
        .base_offset(base)
        .leader_epoch(7)
        .producer(1, 0, 0)
        .codec(codec, None);
    let mut delta = -2;
    for n in numbers {
        delta += 2;
        let value = json!({"n": n, "x": 0.5, "at": {"a": 1, "b": "c"}}).to_string();
        let headers = [(&b"\xff"[..], None), (&b"h"[..], Some(&b"v"[..]))];
        builder
            .append_at(delta, n - 5, Some(b"k"), Some(value.as_bytes()), headers)
            .unwrap();
    }
    builder.cover_to(delta + 1).finish().unwrap()
}

fn range_of(batches: &[Bytes]) -> OffsetRange {
    let header = |batch: &Bytes| BatchHeader::read(batch).unwrap();
    OffsetRange {
        first: header(&batches[0]).base_offset,
        end: header(&batches[batches.len() - 1]).last_offset() + 1,
    }
}

fn all(lens: &Lens, batches: &[Bytes]) -> Refit {
    refit(lens, 0, range_of(batches), batches, ALL).unwrap()
}

/// Offset and value of every record.
fn records(batches: &[Bytes]) -> Vec<(i64, Value)> {
    let mut found = Vec::new();
    for batch in batches {
        for record in &Records::open(batch, 1 << 30).unwrap() {
            let record = record.unwrap();
            let value = serde_json::from_slice(record.value.unwrap()).unwrap();
            found.push((record.offset, value));
        }
    }
    found
}

#[test]
fn a_batch_keeps_its_frame_and_its_records_all_but_the_value() {
    let source = batch(10, Codec::Lz4, [3, 4, 5]);
    let shown = all(
        &lens(&["at.b", "n"], "n <> 4"),
        std::slice::from_ref(&source),
    );
    assert_eq!((shown.end, shown.batches.len()), (16, 1));
    let (was, is) = (
        BatchHeader::read(&source).unwrap(),
        BatchHeader::read(&shown.batches[0]).unwrap(),
    );
    assert_eq!(
        (
            is.base_offset,
            is.last_offset_delta,
            is.partition_leader_epoch
        ),
        (10, was.last_offset_delta, 7)
    );
    assert_eq!(
        (is.producer_id, is.record_count, is.max_timestamp),
        (-1, 2, 0)
    );
    let opened = Records::open(&shown.batches[0], 1 << 20).unwrap();
    let first = opened.iter().next().unwrap().unwrap();
    assert_eq!(
        (first.offset, first.timestamp, first.key),
        (10, -2, Some(&b"k"[..]))
    );
    assert_eq!(first.value, Some(&br#"{"n":3,"at":{"b":"c"}}"#[..]));
    let headers: Vec<_> = first.headers.collect();
    assert_eq!(
        headers,
        [(&b"\xff"[..], None), (&b"h"[..], Some(&b"v"[..]))]
    );
}

#[test]
fn the_time_of_append_stays_that_of_all_records() {
    let mut builder = BatchBuilder::new().log_append_time(99);
    builder.append(1, None, Some(br#"{"n":1}"#), []).unwrap();
    let shown = all(&lens(&[], ""), &[builder.finish().unwrap()]);
    let header = BatchHeader::read(&shown.batches[0]).unwrap();
    assert!(header.is_log_append_time());
    assert_eq!(header.max_timestamp, 99);
    let value = json!({"n": 1, "x": null, "at": null});
    assert_eq!(records(&shown.batches), [(0, value)]);
}

#[test]
fn what_is_no_row_is_left_out_and_so_is_a_batch_of_nothing_else() {
    let mut odd = BatchBuilder::new().base_offset(6);
    odd.append(0, None, None, []).unwrap();
    odd.append(0, None, Some(b"?"), []).unwrap();
    odd.append(0, None, Some(br#"{"n":9}"#), []).unwrap();
    let batches = [
        batch(0, Codec::None, [1, 2, 3]),
        odd.finish().unwrap(),
        batch(9, Codec::Zstd, [1, 2]),
    ];
    let shown = all(&lens(&["n"], ""), &batches);
    let offsets: Vec<_> = records(&shown.batches).iter().map(|r| r.0).collect();
    assert_eq!(offsets, [0, 2, 4, 8, 9, 11]);
    let shown = all(&lens(&["n"], "n > 3"), &batches);
    assert_eq!(records(&shown.batches), [(8, json!({"n": 9}))]);
    assert_eq!(shown.end, 13);
    let shown = all(&lens(&["n"], "n > 9"), &batches);
    assert_eq!((shown.batches.len(), shown.end), (0, 13));
}

/// From every offset, with room for every number of batches: the same batches.
#[test]
fn what_is_shown_at_an_offset_does_not_depend_on_how_it_is_asked_for() {
    let mut batches = Vec::new();
    let mut next = 0;
    for (at, codec) in [
        Codec::None,
        Codec::Gzip,
        Codec::Lz4,
        Codec::None,
        Codec::Zstd,
    ]
    .into_iter()
    .enumerate()
    {
        // One of them longer than a block.
        let count = if at == 2 { 25_000 } else { 3 };
        batches.push(batch(next, codec, (0..count).map(|n| n + at as i64)));
        next += 2 * count;
    }
    let lens = lens(&["n"], "n <> 3");
    let whole = all(&lens, &batches);
    assert_eq!(whole.batches.len(), 5);
    for first in (0..7).chain([5_000, 50_011, 50_012, next - 1]) {
        let behind = |batch: &&Bytes| BatchHeader::read(batch).unwrap().last_offset() < first;
        let skipped = batches.iter().take_while(behind).count();
        let range = OffsetRange { first, end: next };
        let found = refit(&lens, 0, range, &batches[skipped..], ALL).unwrap();
        assert_eq!(found.batches, whole.batches[skipped..], "from {first}");
    }
    let (mut found, mut at) = (Vec::new(), 0);
    while at < next {
        let behind = |batch: &&Bytes| BatchHeader::read(batch).unwrap().last_offset() < at;
        let skipped = batches.iter().take_while(behind).count();
        let range = OffsetRange {
            first: at,
            end: next,
        };
        let room = Room {
            max_bytes: 1,
            at_least_one: true,
        };
        let one = refit(&lens, 0, range, &batches[skipped..], room).unwrap();
        assert_eq!((one.batches.len(), one.is_full), (1, one.end < next));
        found.extend(one.batches);
        at = one.end;
    }
    assert_eq!(found, whole.batches);
}

#[test]
fn without_room_nothing_is_shown_or_passed() {
    let batches = [batch(0, Codec::None, [1])];
    let room = Room {
        max_bytes: 1,
        at_least_one: false,
    };
    let none = refit(&lens(&[], ""), 0, range_of(&batches), &batches, room).unwrap();
    assert_eq!((none.batches.len(), none.end, none.is_full), (0, 0, true));
}

#[test]
fn columns_and_filter_have_to_fit_when_a_view_is_made_and_may_be_missing_later() {
    let format = format();
    let check = |columns: &[&str], filter| Lens::check(&settings(columns, filter), &format);
    check(&["n", "at.a", "_offset"], "at.b = 'c'").unwrap();
    assert!(matches!(
        check(&["at.z"], ""),
        Err(BadLens::Column { column, .. }) if column == "at.z"
    ));
    assert!(matches!(check(&[], "z = 1"), Err(BadLens::Bind(_))));
    assert!(matches!(check(&[], "n = "), Err(BadLens::Filter(_))));

    let batches = [batch(0, Codec::None, [1])];
    let shown = all(&lens(&["z", "_offset"], "z IS NULL"), &batches);
    assert_eq!(records(&shown.batches), [(0, json!({"_offset": 0}))]);
    let shown = all(&lens(&["z"], ""), &batches);
    assert_eq!(records(&shown.batches), [(0, json!({}))]);
}
