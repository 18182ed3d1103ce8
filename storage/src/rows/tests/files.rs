//! Files as wholes: Arrow opens them, they cover what they say, and a power cut leaves all or none.

use std::io::Cursor;
use std::sync::Arc;

use arrow_ipc::reader::FileReader;

use super::super::*;
use super::sample::*;
use crate::disk::{Disk, SimDisk};
use crate::segment::{self, FileId};

pub(super) fn whole(disk: &SimDisk, file: FileId) -> Vec<u8> {
    let file = disk.open(&file.path()).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn arrow_opens_a_file() {
    for compression in COMPRESSIONS {
        let disk = SimDisk::new();
        let (meta, rows) = file(&disk, compression);
        let bytes = whole(&disk, FILE);
        assert_eq!(
            (meta.file_len, meta.file_crc),
            (bytes.len() as u64, crc32c::crc32c(&bytes))
        );
        let reader = FileReader::try_new(Cursor::new(bytes), None).unwrap();
        let metadata = reader.schema().metadata().clone();
        assert_eq!(metadata["tidelog.kind"], "rows");
        assert_eq!(metadata["tidelog.format_version"], "1");
        assert_eq!(metadata["tidelog.min_reader"], "1");
        assert_eq!(metadata["tidelog.topic_id"], "01".repeat(16));
        assert_eq!(metadata["tidelog.partition"], "4");
        assert_eq!(metadata["tidelog.schema_id"], "7");
        for (got, wanted) in reader.zip(&rows) {
            assert_eq!(got.unwrap().columns(), wanted.columns());
        }
    }
}

#[test]
fn meta_sums_up_its_blocks() {
    let disk = SimDisk::new();
    let (meta, rows) = file(&disk, Compression::Zstd);
    assert_eq!(
        (meta.base_offset, meta.end_offset, meta.schema_id),
        (10, 170, SCHEMA_ID)
    );
    assert_eq!(
        meta.row_count,
        rows.iter().map(|rows| rows.num_rows() as u64).sum::<u64>()
    );
    assert_eq!(
        meta.column_bytes,
        meta.blocks.iter().map(|block| block.body_len).sum::<u64>()
    );
    let encoded = minicbor::to_vec(&meta).unwrap();
    assert_eq!(minicbor::decode::<RowsMeta>(&encoded).unwrap(), meta);

    let reader = reader(&disk, &meta);
    let from = |offset| {
        reader
            .blocks_from(offset)
            .first()
            .map(|block| block.base_offset)
    };
    assert_eq!([0, 10, 39].map(from), [Some(10); 3]);
    assert_eq!([40, 49].map(from), [Some(40); 2]);
    assert_eq!([50, 60, 159].map(from), [Some(60); 3]);
    assert_eq!([160, 170].map(from), [None; 2]);
}

#[test]
fn a_header_says_what_the_encoder_knew() {
    for compression in COMPRESSIONS {
        let (_, block) = block(2, 7, 90, compression);
        let parsed = BlockLayout::parse(block.header(), &shape()).unwrap();
        assert_eq!(&parsed, &**block.layout());
    }
}

#[test]
fn the_writer_refuses_what_does_not_follow() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    let create = || RowsWriter::create(disk.clone(), FILE, PARTITION, 1, shape(), 10).unwrap();
    assert!(matches!(create().finish(10), Err(WriteError::Empty { .. })));
    let mut writer = create();
    let (_, early) = block(0, 9, 20, Compression::None);
    let refused = writer.push(&early).unwrap_err();
    assert!(matches!(
        refused,
        WriteError::OutOfOrder {
            offset: 9,
            expected: 10,
            ..
        }
    ));
    let rows = sample(0, &[11]).project(&[0, 1]).unwrap();
    let narrow = Shape::new(rows.schema()).unwrap();
    let other = EncodedBlock::encode(&narrow, &rows, 10, 12, Compression::None).unwrap();
    assert!(matches!(
        writer.push(&other),
        Err(WriteError::OtherSchema { .. })
    ));
    drop(writer);
    assert_eq!(disk.list(segment::DIRECTORY).unwrap(), [""; 0]);
}

#[test]
fn a_file_may_say_that_there_is_no_row() {
    let disk = SimDisk::new();
    segment::prepare(&disk).unwrap();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let writer = RowsWriter::create(shared, FILE, PARTITION, 1, shape(), 10).unwrap();
    let meta = writer.finish(20).unwrap();
    assert_eq!(
        (meta.base_offset, meta.end_offset, meta.row_count),
        (10, 20, 0)
    );
    let reader = reader(&disk, &meta);
    reader.verify(&shape()).unwrap();
    assert_eq!(reader.blocks_from(12), []);
}

#[test]
fn a_power_cut_leaves_a_whole_file_or_none() {
    let write = |disk: &SimDisk| -> Option<RowsMeta> {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        segment::prepare(&*disk).ok()?;
        let mut writer = RowsWriter::create(disk, FILE, PARTITION, SCHEMA_ID, shape(), 0).ok()?;
        writer.push(&block(0, 0, 50, Compression::Lz4).1).ok()?;
        writer.finish(50).ok()
    };
    let disk = SimDisk::new();
    let meta = write(&disk).unwrap();
    for step in 0..=disk.steps() {
        for seed in 0..8 {
            let disk = SimDisk::new();
            disk.cut_power_at(step);
            let finished = write(&disk).is_some();
            let after = disk.after_power_cut(seed);
            let found = segment::list(&after).unwrap();
            if finished || !found.is_empty() {
                assert_eq!(found, [FILE], "step {step}");
                reader(&after, &meta).verify(&shape()).unwrap();
            }
        }
    }
}
