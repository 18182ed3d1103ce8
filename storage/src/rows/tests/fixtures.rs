//! Bytes of format version 1, kept for ever.

use std::io::Cursor;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_ipc::reader::{FileReader, StreamReader};

use super::super::*;
use super::files::whole;
use super::sample::*;
use crate::disk::{Disk, SimDisk, WriteMode};
use crate::segment::ipc;

const NAMES: [&str; 3] = ["none", "lz4", "zstd"];
const FIXTURES: [&[u8]; 3] = [
    include_bytes!("../../../fixtures/v1/rows-none.arrow"),
    include_bytes!("../../../fixtures/v1/rows-lz4.arrow"),
    include_bytes!("../../../fixtures/v1/rows-zstd.arrow"),
];

/// A schema message and a projected message of each block of the zstd file: what a client of
/// ColumnarFetch reads.
const PROJECTED: &[u8] = include_bytes!("../../../fixtures/v1/rows-projected.arrows");
const PROJECTED_PATHS: [&str; 3] = ["city", "address.geo.lat", "tags"];

/// What a manifest would say of these bytes, had it been kept: read back from the Arrow footer.
fn meta(bytes: &[u8]) -> RowsMeta {
    let footer_len =
        arrow_ipc::reader::read_footer_length(bytes[bytes.len() - 10..].try_into().unwrap());
    let footer_end = bytes.len() - 10;
    let footer = &bytes[footer_end - footer_len.unwrap()..footer_end];
    let footer = arrow_ipc::root_as_footer(footer).unwrap();
    let blocks: Vec<_> = footer
        .recordBatches()
        .unwrap()
        .iter()
        .map(|place| {
            let pos = place.offset() as usize;
            let header = &bytes[pos..pos + place.metaDataLength() as usize];
            let layout = BlockLayout::parse(header, &shape()).unwrap();
            RowsBlock {
                base_offset: layout.base_offset(),
                end_offset: layout.end_offset(),
                rows: layout.rows(),
                pos: pos as u64,
                header_len: header.len() as u32,
                header_crc: crc32c::crc32c(header),
                body_len: layout.body_len(),
            }
        })
        .collect();
    RowsMeta {
        file: FILE,
        format_version: 1,
        schema_id: SCHEMA_ID,
        base_offset: 10,
        end_offset: 170,
        row_count: blocks.iter().map(|block| block.rows).sum(),
        column_bytes: blocks.iter().map(|block| block.body_len).sum(),
        file_len: bytes.len() as u64,
        file_crc: crc32c::crc32c(bytes),
        blocks,
    }
}

#[test]
fn version_1_opens() {
    let all = Projection::all(&shape());
    let mut tables = Vec::new();
    for (bytes, compression) in FIXTURES.into_iter().zip(COMPRESSIONS) {
        let disk = SimDisk::new();
        disk.create(&FILE.path()).unwrap();
        let file = disk.open_write(&FILE.path(), WriteMode::Buffered).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        let meta = meta(bytes);
        let reader = reader(&disk, &meta);
        reader.verify(&shape()).unwrap();
        let mut table = Vec::new();
        for block in &meta.blocks {
            let rows = reader.read(block, &all).unwrap();
            check_known(&rows, block.base_offset, block.end_offset);
            table.push(rows);
            let layout = reader.layout(block, &shape()).unwrap();
            assert_eq!(layout.compression, compression);
            assert_eq!(layout.stats()[0].min, Some(Bound::Int(block.base_offset)));
        }
        let arrow = FileReader::try_new(Cursor::new(bytes), None).unwrap();
        assert_eq!(arrow.num_batches(), 3);
        tables.push(table);
    }
    assert_eq!(tables[0], tables[1]);
    assert_eq!(tables[0], tables[2]);

    let stream = StreamReader::try_new(Cursor::new(PROJECTED), None).unwrap();
    let projection = select(&PROJECTED_PATHS);
    for (got, whole) in stream.zip(&tables[0]) {
        let got = got.unwrap();
        assert_eq!(got.schema(), *projection.schema());
        assert_eq!(got.column_by_name("city"), whole.column_by_name("city"));
    }
}

/// What does not depend on the generator of the random values.
fn check_known(rows: &RecordBatch, base: i64, end: i64) {
    let offsets: Vec<_> = (base..end).filter(|offset| offset % 3 != 2).collect();
    let column = rows.column(0).as_primitive::<Int64Type>();
    assert_eq!(column.values(), &offsets[..]);
    let geo = rows.column(7).as_struct().column(1).as_struct();
    let lat = geo.column(0).as_primitive::<Float64Type>();
    assert!(
        lat.values()
            .iter()
            .zip(0..)
            .all(|(lat, row)| *lat == f64::from(row))
    );
}

#[test]
#[ignore = "writes the fixtures; only for a new format version"]
fn write() {
    let path = |name: &str| format!("{}/fixtures/v1/rows-{name}", env!("CARGO_MANIFEST_DIR"));
    for (name, compression) in NAMES.into_iter().zip(COMPRESSIONS) {
        let disk = SimDisk::new();
        let (meta, _) = file(&disk, compression);
        std::fs::write(path(&format!("{name}.arrow")), whole(&disk, FILE)).unwrap();
        if compression == Compression::Zstd {
            let projection = select(&PROJECTED_PATHS);
            let mut stream = ipc::schema_message(projection.schema());
            let reader = reader(&disk, &meta);
            for block in &meta.blocks {
                let message = reader.project(block, &projection, 0).unwrap();
                stream.extend_from_slice(&message.read().unwrap());
            }
            std::fs::write(path("projected.arrows"), stream).unwrap();
        }
    }
}
