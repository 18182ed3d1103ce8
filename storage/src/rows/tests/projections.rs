//! A projected message, from memory and from a file, is what was encoded, less the other columns.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{
    Array, ArrayRef, Float64Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field, Schema};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::super::*;
use super::sample::*;
use crate::disk::SimDisk;

/// The columns of `rows` that `projection` names, members of structs too.
fn expected(rows: &RecordBatch, projection: &Projection) -> RecordBatch {
    let schema = Arc::clone(projection.schema());
    let columns = schema
        .fields()
        .iter()
        .map(|field| pruned(rows.column_by_name(field.name()).unwrap(), field));
    let columns = columns.collect();
    RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()
}

fn pruned(column: &ArrayRef, field: &Field) -> ArrayRef {
    let DataType::Struct(fields) = field.data_type() else {
        return Arc::clone(column);
    };
    let whole = column.as_struct();
    let kept = fields
        .iter()
        .map(|field| pruned(whole.column_by_name(field.name()).unwrap(), field));
    Arc::new(StructArray::new(
        fields.clone(),
        kept.collect(),
        whole.nulls().cloned(),
    ))
}

#[test]
fn every_selection_of_columns_comes_out_whole() {
    const PATHS: [&str; 14] = [
        "_offset",
        "city",
        "amount",
        "measure",
        "active",
        "at",
        "payload",
        "address",
        "address.street",
        "address.geo.lon",
        "#10",
        "tags",
        "attributes",
        "#-2",
    ];
    for seed in 0..120 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let compression = *COMPRESSIONS.choose(&mut rng).unwrap();
        let end = 100 + rng.random_range(1..300);
        let (rows, block) = block(seed, 100, end, compression);
        let count = rng.random_range(1..6);
        let paths: Vec<_> = PATHS.choose_multiple(&mut rng, count).copied().collect();
        let projection = select(&paths);
        let message = block.project(&projection, 0).unwrap();
        let got = as_client(&projection, &message);
        assert_eq!(got, expected(&rows, &projection), "seed {seed}: {paths:?}");
        assert_eq!(block.decode(&projection).unwrap(), got);
        assert_eq!(projection.of_rows(&rows).unwrap(), got);
        assert_eq!((message.first_offset, message.end_offset), (100, end));
        assert_eq!(message.rows, rows.num_rows() as u64);
    }
}

#[test]
fn columns_come_in_the_schemas_order_each_once() {
    let projection = select(&["tags", "city", "#1", "address.geo.lat", "address.street"]);
    let names: Vec<_> = projection
        .schema()
        .fields()
        .iter()
        .map(|f| f.name().as_str())
        .collect();
    assert_eq!(names, ["city", "address", "tags"]);
    let DataType::Struct(members) = projection.schema().field(1).data_type() else {
        panic!("address is a struct");
    };
    assert_eq!(members.len(), 2, "geo keeps lat alone");
    assert_eq!(Projection::all(&shape()).schema(), shape().schema());

    let wrong = [
        "towns",
        "city.x",
        "address.",
        "",
        "#99",
        "#",
        "tags.element",
        "#13",
        "address.geo.lat.x",
    ];
    let mut asked = wrong.to_vec();
    asked.push("city");
    let (projection, unknown) = Projection::select(&shape(), &asked);
    assert_eq!(unknown, wrong);
    assert_eq!(projection.schema().fields().len(), 1);
}

/// `_offset` and orders { lines: [{ sku, sizes: [{ width, height }] }], note }.
fn orders() -> RecordBatch {
    let field = |id: i32, name: &str, kind: DataType| {
        let id = ("PARQUET:field_id".to_owned(), id.to_string());
        Arc::new(Field::new(name, kind, true).with_metadata([id].into()))
    };
    let list = |element: &Arc<Field>, values: ArrayRef, each: usize| {
        let lengths = std::iter::repeat_n(each, values.len() / each);
        let offsets = OffsetBuffer::from_lengths(lengths);
        Arc::new(ListArray::new(Arc::clone(element), offsets, values, None)) as ArrayRef
    };
    let group = |members: Vec<(Arc<Field>, ArrayRef)>| Arc::new(StructArray::from(members));
    let longs = |count: i64| Arc::new(Int64Array::from_iter_values(0..count)) as ArrayRef;
    let text = |count: i64| {
        let values = (0..count).map(|value| format!("text {value}"));
        Arc::new(StringArray::from_iter_values(values)) as ArrayRef
    };
    let size = group(vec![
        (field(7, "width", DataType::Int64), longs(24)),
        (field(8, "height", DataType::Int64), longs(24)),
    ]);
    let sizes = list(&field(6, "element", size.data_type().clone()), size, 2);
    let line = group(vec![
        (field(4, "sku", DataType::Utf8), text(12)),
        (field(5, "sizes", sizes.data_type().clone()), sizes),
    ]);
    let lines = list(&field(3, "element", line.data_type().clone()), line, 3);
    let order = group(vec![
        (field(2, "lines", lines.data_type().clone()), lines),
        (field(9, "note", DataType::Utf8), text(4)),
    ]);
    let offsets = Field::new(OFFSET_COLUMN, DataType::Int64, false);
    let orders = Field::clone(&field(1, "orders", order.data_type().clone()));
    let schema = Schema::new(vec![offsets, orders]);
    RecordBatch::try_new(Arc::new(schema), vec![longs(4), order]).unwrap()
}

#[test]
fn of_structs_in_lists_only_the_members_wanted_are_cut() {
    let rows = orders();
    let shape = Shape::shared(rows.schema()).unwrap();
    let block = EncodedBlock::encode(&shape, &rows, 0, 4, Compression::None).unwrap();
    let whole = Projection::all(&shape);
    let all = block.project(&whole, 0).unwrap().body_len;
    for (paths, leaves) in [
        (&["orders.lines.sizes.width"][..], &["width"][..]),
        (&["#7"], &["width"]),
        (&["orders.lines.sku", "#8"], &["sku", "height"]),
        (&["orders.lines.sizes"], &["width", "height"]),
        (&["orders.lines"], &["sku", "width", "height"]),
        (&["orders.note"], &["note"]),
    ] {
        let (projection, unknown) = Projection::select(&shape, paths);
        assert!(unknown.is_empty(), "{unknown:?}");
        let message = block.project(&projection, 0).unwrap();
        assert!(message.body_len < all, "{paths:?}");
        let got = as_client(&projection, &message);
        assert_eq!(got, block.decode(&projection).unwrap());
        // Each leaf is there with its values, and no other one is.
        let (mut found, mut expected) = (Vec::new(), Vec::new());
        leaves_of(got.column(0), "", &mut found);
        leaves_of(rows.column(1), "", &mut expected);
        expected.retain(|(name, _)| leaves.contains(&&name[..]));
        assert_eq!(found, expected, "{paths:?}");
    }
    for unknown in [
        "orders.lines.element.sku",
        "orders.lines.price",
        "#3",
        "orders.note.x",
    ] {
        assert_eq!(Projection::select(&shape, &[unknown]).1, [unknown]);
    }
}

fn leaves_of(column: &ArrayRef, name: &str, leaves: &mut Vec<(String, ArrayRef)>) {
    match column.data_type() {
        DataType::Struct(fields) => {
            let members = fields.iter().zip(column.as_struct().columns());
            members.for_each(|(field, member)| leaves_of(member, field.name(), leaves));
        }
        DataType::List(_) => leaves_of(column.as_list::<i32>().values(), name, leaves),
        _ => leaves.push((name.to_owned(), Arc::clone(column))),
    }
}

#[test]
fn rows_picked_out_are_encoded_anew() {
    let (rows, block) = block(4, 100, 200, Compression::Zstd);
    let projection = select(&["city", "address.geo", "tags"]);
    let wanted = expected(&rows, &projection).slice(7, 20);
    let message =
        ProjectedMessage::of_rows(&projection, &wanted, 110..200, Compression::Lz4).unwrap();
    assert_eq!(
        (message.rows, message.first_offset, message.end_offset),
        (20, 110, 200)
    );
    assert_eq!(as_client(&projection, &message), wanted);
    let none = wanted.slice(0, 0);
    let message = ProjectedMessage::of_rows(&projection, &none, 110..200, Compression::Lz4);
    let message = message.unwrap();
    assert_eq!(
        (message.rows, message.len(), message.end_offset),
        (0, 0, 200)
    );
    let other = block.decode(&select(&["amount"])).unwrap();
    assert!(ProjectedMessage::of_rows(&projection, &other, 110..200, Compression::Lz4).is_err());
}

#[test]
fn no_column_is_a_count_of_rows() {
    let (rows, block) = block(1, 0, 30, Compression::Zstd);
    let none = select(&[]);
    let message = block.project(&none, 0).unwrap();
    assert!(message.is_empty() && none.is_empty());
    assert_eq!(
        (message.rows, message.checksums.len()),
        (rows.num_rows() as u64, 0)
    );
    assert_eq!(block.decode(&none).unwrap().num_rows(), rows.num_rows());
    let rest = block.project(&none, 15).unwrap();
    assert_eq!(
        (rest.rows, rest.first_offset, rest.end_offset),
        (10, 15, 30)
    );
}

#[test]
fn a_read_from_inside_a_block_leaves_out_rows_before_it() {
    for compression in COMPRESSIONS {
        let (rows, block) = block(3, 100, 200, compression);
        let offsets = rows.column(0).as_primitive::<Int64Type>().clone();
        for paths in [&["_offset", "tags", "address.geo"][..], &["city"]] {
            let projection = select(paths);
            let all = expected(&rows, &projection);
            for from in [101, 102, 103, 150, 197, 198] {
                let message = block.project(&projection, from).unwrap();
                let skipped = offsets.values().partition_point(|offset| *offset < from);
                let wanted = all.slice(skipped, all.num_rows() - skipped);
                assert_eq!(as_client(&projection, &message), wanted, "from {from}");
                assert_eq!((message.first_offset, message.end_offset), (from, 200));
            }
        }
        let after = block.project(&select(&["city"]), 200).unwrap();
        assert_eq!((after.rows, after.len()), (0, 0));
    }
}

/// The bound of the issue: the answer is no more than the stored buffers of its columns and 2 %.
#[test]
fn a_projection_of_2_of_20_columns_costs_their_stored_bytes() {
    const ROWS: i64 = 10_000;
    let mut rng = SmallRng::seed_from_u64(1);
    let mut fields = vec![Field::new(OFFSET_COLUMN, DataType::Int64, false)];
    let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(0..ROWS))];
    for column in 0..19 {
        let (field, array): (_, ArrayRef) = if column % 2 == 0 {
            let values = (0..ROWS).map(|_| f64::from(rng.random_range(0..50)));
            (
                DataType::Float64,
                Arc::new(Float64Array::from_iter_values(values)),
            )
        } else {
            let values = (0..ROWS).map(|row| format!("value {} of {row}", rng.random_range(0..9)));
            (
                DataType::Utf8,
                Arc::new(StringArray::from_iter_values(values)),
            )
        };
        fields.push(Field::new(format!("c{column}"), field, true));
        columns.push(array);
    }
    let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    let shape = Shape::shared(rows.schema()).unwrap();
    for compression in COMPRESSIONS {
        let block = EncodedBlock::encode(&shape, &rows, 0, ROWS, compression).unwrap();
        let (projection, _) = Projection::select(&shape, &["c3", "c10"]);
        let message = block.project(&projection, 0).unwrap();
        let stored: i64 = projection
            .columns()
            .iter()
            .flatten()
            .flat_map(|node| &block.layout.buffers[block.layout.nodes[*node].buffers.clone()])
            .map(arrow_ipc::Buffer::length)
            .sum();
        let bound = stored as f64 * 1.02;
        assert!(
            message.len() as f64 <= bound,
            "{compression:?}: {} > {bound}",
            message.len()
        );
        assert_eq!(
            as_client(&projection, &message),
            expected(&rows, &projection)
        );
    }
}

#[test]
fn a_file_gives_what_its_blocks_gave() {
    for compression in COMPRESSIONS {
        let disk = SimDisk::new();
        let (meta, rows) = file(&disk, compression);
        let reader = reader(&disk, &meta);
        reader.verify(&shape()).unwrap();
        let projection = select(&["city", "address.street", "attributes"]);
        for (block, rows) in meta.blocks.iter().zip(&rows) {
            let message = reader.project(block, &projection, 0).unwrap();
            let wanted = expected(rows, &projection);
            assert_eq!(as_client(&projection, &message), wanted);
            assert_eq!(reader.read(block, &projection).unwrap(), wanted);
            let late = block.base_offset + 5;
            let message = reader.project(block, &projection, late).unwrap();
            assert_eq!(message.first_offset, late);
            assert!(as_client(&projection, &message).num_rows() < rows.num_rows());
        }
    }
}

#[test]
fn neighbours_are_one_piece() {
    let (_, block) = block(1, 0, 300, Compression::None);
    let pieces = |paths: &[&str]| block.project(&select(paths), 0).unwrap().body.len();
    assert_eq!(pieces(&["city", "amount", "measure"]), 1);
    assert_eq!(pieces(&["city", "measure"]), 2);
}

#[test]
fn a_column_without_nulls_stores_no_validity() {
    let (_, block) = block(1, 0, 300, Compression::None);
    let first = &block.layout.nodes[0];
    let lengths = block.layout.buffers[first.buffers.clone()].iter();
    let lengths: Vec<_> = lengths.map(arrow_ipc::Buffer::length).collect();
    assert_eq!(lengths, [0, 8 * block.layout.rows() as i64]);
}

#[test]
fn rows_that_do_not_fit_are_refused() {
    let encode = |rows: &RecordBatch, base, end| {
        EncodedBlock::encode(&shape(), rows, base, end, Compression::None).unwrap_err()
    };
    assert!(matches!(encode(&sample(0, &[]), 0, 1), EncodeError::Empty));
    for (offsets, base, end) in [
        (&[6, 5][..], 0, 10),
        (&[5, 5, 4], 0, 10),
        (&[5], 6, 10),
        (&[5], 0, 5),
        (&[-1], -1, 10),
    ] {
        let error = encode(&sample(0, offsets), base, end);
        assert!(matches!(error, EncodeError::Offsets { .. }), "{offsets:?}");
    }
    let rows = sample(0, &[1]);
    assert!(matches!(
        encode(&rows.project(&[1]).unwrap(), 0, 10),
        EncodeError::NoOffsets
    ));
    assert!(matches!(
        encode(&rows.project(&[0]).unwrap(), 0, 10),
        EncodeError::Schema
    ));
    let (_, block) = block(0, 0, 9, Compression::None);
    let narrow = Shape::shared(rows.project(&[0, 1]).unwrap().schema()).unwrap();
    assert!(block.project(&Projection::all(&narrow), 0).is_err());

    let kind = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    for kind in [kind, DataType::Utf8View, DataType::Null] {
        let schema = Schema::new(vec![Field::new("x", kind, true)]);
        let error = Shape::new(Arc::new(schema)).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("column x: rows files hold no ")
        );
    }
}

#[test]
fn statistics_are_exact_or_absent() {
    let rows = sample(5, &(0..200).collect::<Vec<_>>());
    let block = EncodedBlock::encode(&shape(), &rows, 0, 200, Compression::Zstd).unwrap();
    let stats = block.layout().stats();
    assert_eq!(stats[0].min, Some(Bound::Int(0)));
    assert_eq!(stats[0].max, Some(Bound::Int(199)));
    let cities = rows.column(1).as_string::<i32>();
    let least = cities.iter().flatten().min().unwrap();
    assert_eq!(stats[1].min, Some(Bound::Bytes(least.into())));
    assert_eq!(stats[1].null_count, cities.null_count() as u64);
    assert!(matches!(stats[2].max, Some(Bound::Decimal(max)) if max <= 999_999));
    assert!(matches!(stats[3].min, Some(Bound::Float(_))));
    assert_eq!(stats[4].min, Some(Bound::Bool(false)));
    assert!(matches!(stats[5].min, Some(Bound::Int(_))));
    for nested in &stats[7..] {
        assert_eq!((&nested.min, &nested.max), (&None, &None));
    }
    let stats = |array: &dyn Array| ColumnStats::of(array);
    let nan = stats(&Float64Array::from(vec![1.0, f64::NAN]));
    assert_eq!((nan.min, nan.max), (None, None));
    let long = "x".repeat(65);
    let texts = stats(&StringArray::from(vec!["a", long.as_str()]));
    assert_eq!(
        (texts.min, texts.max),
        (Some(Bound::Bytes(b"a".to_vec())), None)
    );
    let nulls = stats(&Int64Array::from(vec![None, None]));
    assert_eq!((nulls.null_count, nulls.min), (2, None));
}
