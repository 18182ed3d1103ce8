//! The file against Arrow's own reader, a model of reads, power cuts and rotten bytes.

use std::collections::HashSet;
use std::io::Cursor;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int16Type, Int32Type, Int64Type};
use arrow_ipc::reader::FileReader;
use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::testing::{TestBatch, run};
use super::*;

use crate::disk::{Disk, SimDisk, WriteMode};
use crate::ids::{PartitionId, TopicId};

const FILE: FileId = FileId([7; 16]);

fn partition(topic: u8, index: i32) -> PartitionId {
    PartitionId {
        topic: TopicId([topic; 16]),
        index,
    }
}

fn write_own(
    disk: &SimDisk,
    from: i64,
    batches: &[StoredBatch],
) -> Result<SegmentMeta, WriteError> {
    let mut writer = SegmentWriter::own(Arc::new(disk.clone()), FILE, partition(1, 0), from)?;
    batches
        .iter()
        .cloned()
        .try_for_each(|batch| writer.push(batch))?;
    writer.finish().map(|mut metas| metas.remove(0).1)
}

fn reader(disk: &SimDisk, partition: PartitionId, meta: &SegmentMeta) -> SegmentReader {
    let cache = Arc::new(SegmentCache::new(Arc::new(disk.clone()), 4, 1 << 20));
    SegmentReader::new(cache, partition, Arc::new(meta.clone()))
}

fn whole(disk: &SimDisk, file: FileId) -> Vec<u8> {
    let file = disk.open(&file.path()).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn arrow_blocks(bytes: Vec<u8>) -> (std::collections::HashMap<String, String>, Vec<RecordBatch>) {
    let reader = FileReader::try_new(Cursor::new(bytes), None).unwrap();
    let metadata = reader.schema().metadata().clone();
    (metadata, reader.map(Result::unwrap).collect())
}

/// Checks a block's columns against the batches it was made of, all but the leading pack columns.
fn check_columns(block: &RecordBatch, batches: &[StoredBatch]) {
    let i64s = |name| {
        block
            .column_by_name(name)
            .unwrap()
            .as_primitive::<Int64Type>()
    };
    let i32s = |name| {
        block
            .column_by_name(name)
            .unwrap()
            .as_primitive::<Int32Type>()
    };
    let i16s = |name| {
        block
            .column_by_name(name)
            .unwrap()
            .as_primitive::<Int16Type>()
    };
    let verbatim = block.column_by_name("batch").unwrap().as_binary::<i64>();
    assert_eq!(block.num_rows(), batches.len());
    for (row, StoredBatch { header, bytes }) in batches.iter().enumerate() {
        assert_eq!(i64s("base_offset").value(row), header.base_offset);
        assert_eq!(i64s("last_offset").value(row), header.last_offset());
        assert_eq!(i64s("max_timestamp").value(row), header.max_timestamp);
        assert_eq!(i64s("producer_id").value(row), header.producer_id);
        assert_eq!(i16s("producer_epoch").value(row), header.producer_epoch);
        assert_eq!(i32s("base_sequence").value(row), header.base_sequence);
        assert_eq!(i16s("attributes").value(row), header.attributes);
        assert_eq!(
            i32s("leader_epoch").value(row),
            header.partition_leader_epoch
        );
        assert_eq!(i32s("record_count").value(row), header.record_count);
        assert_eq!(verbatim.value(row), &bytes[..]);
    }
}

#[test]
fn arrow_reads_an_own_file() {
    let disk = SimDisk::new();
    let batches = run(100, 5, 3, 50);
    let meta = write_own(&disk, 100, &batches).unwrap();
    let bytes = whole(&disk, FILE);
    assert_eq!(
        (meta.file_len, meta.file_crc),
        (bytes.len() as u64, crc32c::crc32c(&bytes))
    );

    let (metadata, blocks) = arrow_blocks(bytes);
    assert_eq!(metadata["tidelog.kind"], "batches");
    assert_eq!(metadata["tidelog.format_version"], "1");
    assert_eq!(metadata["tidelog.topic_id"], "01".repeat(16));
    assert_eq!(metadata["tidelog.partition"], "0");
    assert_eq!(blocks.len(), 1);
    check_columns(&blocks[0], &batches);
}

#[test]
fn arrow_reads_a_pack_file_block_by_partition() {
    let disk = SimDisk::new();
    let parts = [
        (partition(1, 0), run(0, 3, 1, 9)),
        (partition(1, 4), run(50, 1, 7, 0)),
    ];
    let mut writer = SegmentWriter::pack(Arc::new(disk.clone()), FILE).unwrap();
    for (id, batches) in &parts {
        writer.begin(*id, batches[0].header.base_offset).unwrap();
        batches
            .iter()
            .cloned()
            .for_each(|batch| writer.push(batch).unwrap());
    }
    writer.begin(partition(2, 0), 0).unwrap();
    let metas = writer.finish().unwrap();
    assert_eq!(metas.len(), 2, "a partition without batches is left out");

    let (metadata, blocks) = arrow_blocks(whole(&disk, FILE));
    assert!(!metadata.contains_key("tidelog.topic_id"));
    for (((id, batches), block), (meta_id, meta)) in parts.iter().zip(&blocks).zip(&metas) {
        check_columns(block, batches);
        let topics = block
            .column_by_name("topic_id")
            .unwrap()
            .as_fixed_size_binary();
        let indexes = block
            .column_by_name("partition")
            .unwrap()
            .as_primitive::<Int32Type>();
        assert!(topics.iter().all(|topic| topic == Some(&id.topic.0[..])));
        assert!(indexes.iter().all(|index| index == Some(id.index)));
        assert_eq!((meta_id, meta.kind), (id, SegmentKind::Pack));
        let reader = reader(&disk, *id, meta);
        reader.verify().unwrap();
        let back: Vec<_> = reader.batches(0).map(Result::unwrap).collect();
        assert_eq!(&back, batches);
    }
}

#[test]
fn meta_sums_up_its_batches() {
    let disk = SimDisk::new();
    let batches = [
        TestBatch::new(10, 5, 20).at(900).epoch(3).build(),
        TestBatch::new(15, 1, 20).at(2_000).epoch(3).build(),
        TestBatch::new(30, 10, 20).at(2_000).epoch(5).build(),
    ];
    let meta = write_own(&disk, 8, &batches).unwrap();
    assert_eq!(
        (meta.base_offset, meta.end_offset, meta.record_count),
        (8, 40, 16)
    );
    assert_eq!((meta.min_timestamp, meta.max_timestamp), (899, 2_000));
    assert_eq!(meta.max_timestamp_offset, 15, "the first of equals");
    assert_eq!(meta.batch_bytes, 3 * 81);
    let epochs = [
        EpochStart {
            epoch: 3,
            start_offset: 10,
        },
        EpochStart {
            epoch: 5,
            start_offset: 30,
        },
    ];
    assert_eq!(meta.epochs, epochs);
    let encoded = minicbor::to_vec(&meta).unwrap();
    assert_eq!(minicbor::decode::<SegmentMeta>(&encoded).unwrap(), meta);
}

#[test]
fn blocks_are_bounded_and_a_larger_batch_goes_alone() {
    let disk = SimDisk::new();
    let third = BLOCK_BYTES_MAX / 3 - 61;
    let mut batches = run(0, 4, 1, third);
    batches.push(TestBatch::new(4, 1, BLOCK_BYTES_MAX + 1).build());
    batches.extend(run(5, 2, 1, 10));
    let meta = write_own(&disk, 0, &batches).unwrap();
    let rows: Vec<_> = meta.blocks.iter().map(|block| block.rows).collect();
    assert_eq!(rows, [3, 1, 1, 2]);
    let reader = reader(&disk, partition(1, 0), &meta);
    reader.verify().unwrap();
    let (_, blocks) = arrow_blocks(whole(&disk, FILE));
    assert_eq!(blocks.len(), 4);
    check_columns(&blocks[2], &batches[4..5]);
}

#[test]
fn the_writer_refuses_what_does_not_follow() {
    let disk = SimDisk::new();
    let batch = |base| TestBatch::new(base, 2, 5).build();
    let refused = |batches: &[StoredBatch]| write_own(&disk, 10, batches).unwrap_err();
    assert!(matches!(
        refused(&[batch(9)]),
        WriteError::OutOfOrder {
            offset: 9,
            expected: 10,
            ..
        }
    ));
    assert!(matches!(
        refused(&[batch(10), batch(11)]),
        WriteError::OutOfOrder { .. }
    ));
    assert!(matches!(
        refused(&[batch(i64::MAX - 1)]),
        WriteError::BadBatch { .. }
    ));
    assert!(matches!(refused(&[]), WriteError::Empty { .. }));
    let mut torn = batch(10);
    torn.bytes = torn.bytes.slice(..torn.bytes.len() - 1);
    assert!(matches!(refused(&[torn]), WriteError::BadBatch { .. }));

    let mut pack = SegmentWriter::pack(Arc::new(disk.clone()), FILE).unwrap();
    assert!(matches!(
        pack.push(batch(0)),
        Err(WriteError::NoPartition { .. })
    ));
    pack.begin(partition(2, 0), 0).unwrap();
    assert!(matches!(
        pack.begin(partition(1, 9), 0),
        Err(WriteError::PartitionOrder { .. })
    ));
    drop(pack);
    assert_eq!(
        disk.list(DIRECTORY).unwrap(),
        [""; 0],
        "nothing stays of what failed"
    );
}

/// Random batches with gaps between them and uneven timestamps, over several blocks.
fn random_batches(rng: &mut SmallRng) -> Vec<StoredBatch> {
    let mut next = rng.random_range(0..50);
    let count = rng.random_range(1..60);
    (0..count)
        .map(|_| {
            let base = next
                + if rng.random_bool(0.2) {
                    rng.random_range(0..9)
                } else {
                    0
                };
            let records = rng.random_range(1..20);
            let len = if rng.random_bool(0.05) {
                3 << 20
            } else {
                rng.random_range(0..300)
            };
            next = base + i64::from(records);
            TestBatch::new(base, records, len)
                .at(rng.random_range(0..500))
                .build()
        })
        .collect()
}

#[test]
fn reads_agree_with_a_list_of_batches() {
    for seed in 0..12 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let batches = random_batches(&mut rng);
        let disk = SimDisk::new();
        let meta = write_own(&disk, 0, &batches).unwrap();
        let reader = reader(&disk, partition(1, 0), &meta);
        for _ in 0..60 {
            let offset = rng.random_range(0..meta.end_offset + 5);
            let max = rng.random_range(0..2_000);
            let one = rng.random_bool(0.5);
            check_locate(&reader, &batches, offset, max, one);
            check_timestamp(&reader, &batches, rng.random_range(0..510), offset);
        }
        let from = rng.random_range(0..meta.end_offset);
        let rest: Vec<_> = reader.batches(from).map(Result::unwrap).collect();
        let expected: Vec<_> = holding(&batches, from).cloned().collect();
        assert_eq!(rest, expected, "seed {seed}");
    }
}

/// The batches from the one that holds `offset`.
fn holding(batches: &[StoredBatch], offset: i64) -> impl Iterator<Item = &StoredBatch> {
    batches
        .iter()
        .filter(move |batch| batch.header.last_offset() >= offset)
}

fn check_locate(reader: &SegmentReader, batches: &[StoredBatch], offset: i64, max: u64, one: bool) {
    let found = reader.locate(offset..i64::MAX, max, one).unwrap();
    let mut expected = holding(batches, offset);
    let Some(range) = found else {
        return assert!(expected.next().is_none());
    };
    let bytes = range.read().unwrap();
    let (mut at, mut next) = (0, range.base_offset);
    let first = holding(batches, offset).next().unwrap();
    assert_eq!(range.base_offset, first.header.base_offset);
    while at < bytes.len() {
        let batch = expected.next().unwrap();
        assert_eq!(&bytes[at..at + batch.bytes.len()], &batch.bytes[..]);
        (at, next) = (at + batch.bytes.len(), batch.header.last_offset() + 1);
    }
    assert_eq!((at, next), (bytes.len(), range.next_offset));
    let first_len = first.bytes.len();
    assert!(at as u64 <= max || (one && at == first_len));
    assert!(at > 0 || !one);
    // Nothing more would have fitted, unless the block ended.
    let block_ends = reader
        .meta()
        .blocks
        .iter()
        .any(|block| block.end_offset == range.next_offset);
    let more = expected.next().map_or(0, |batch| batch.bytes.len());
    assert!(block_ends || (at + more) as u64 > max);
}

fn check_timestamp(reader: &SegmentReader, batches: &[StoredBatch], timestamp: i64, from: i64) {
    let found = reader.find_timestamp(timestamp, from).unwrap();
    let expected = holding(batches, from).find(|batch| batch.header.max_timestamp >= timestamp);
    assert_eq!(
        found.map(|range| Bytes::from(range.read().unwrap())),
        expected.map(|b| b.bytes.clone())
    );
}

#[test]
fn every_flipped_byte_is_noticed_and_named() {
    let disk = SimDisk::new();
    let batches = run(40, 3, 2, 30);
    let meta = write_own(&disk, 40, &batches).unwrap();
    for byte in 0..meta.file_len {
        disk.flip_bit(&FILE.path(), byte);
        let reader = reader(&disk, partition(1, 0), &meta);
        match reader.verify() {
            Err(ReadError::Corrupt {
                path,
                partition: id,
                offset: 40,
                ..
            }) => {
                assert_eq!((path, id), (FILE.path(), partition(1, 0)));
            }
            other => panic!("byte {byte}: {other:?}"),
        }
        // What is served in spite of that (damage elsewhere in the file) is right.
        for (batch, expected) in reader.batches(40).zip(&batches) {
            assert!(batch.is_err() || batch.unwrap() == *expected, "byte {byte}");
        }
        let _ = reader.locate(41..i64::MAX, 1_000, true);
        disk.flip_bit(&FILE.path(), byte);
    }
}

#[test]
fn garbage_files_and_metas_give_errors() {
    let mut rng = SmallRng::seed_from_u64(3);
    let clean = SimDisk::new();
    let meta = write_own(&clean, 0, &run(0, 20, 1, 40)).unwrap();
    let bytes = whole(&clean, FILE);
    for _ in 0..400 {
        let disk = SimDisk::new();
        let mut bytes = bytes.clone();
        match rng.random_range(0..3) {
            0 => bytes.truncate(rng.random_range(0..bytes.len())),
            1 => rng.fill(&mut bytes[..]),
            _ => bytes[rng.random_range(0..meta.file_len) as usize] ^= rng.random_range(1..255),
        }
        disk.create(&FILE.path())
            .unwrap()
            .write_all_at(&bytes, 0)
            .unwrap();
        read_everything(&disk, &meta);
        read_everything(&clean, &garbled(&mut rng, &meta));
    }
}

/// Any field of the first block set to something hostile.
fn garbled(rng: &mut SmallRng, meta: &SegmentMeta) -> SegmentMeta {
    let mut meta = meta.clone();
    let wild = match rng.random_range(0..3) {
        0 => u64::MAX,
        1 => rng.random(),
        _ => rng.random_range(0..meta.file_len),
    };
    let block = &mut meta.blocks[0];
    match rng.random_range(0..9) {
        0 => block.base_offset = wild as i64,
        1 => block.end_offset = wild as i64,
        2 => block.rows = wild as u32,
        3 => block.index_pos = wild,
        4 => block.index_len = wild,
        5 => block.data_pos = wild,
        6 => block.data_len = wild,
        7 => meta.file_len = wild,
        _ => meta.format_version = wild as u16 | 2,
    }
    meta
}

/// Calls every read; only panics and endless loops would fail.
fn read_everything(disk: &SimDisk, meta: &SegmentMeta) {
    let reader = reader(disk, partition(1, 0), meta);
    for offset in [0, 7, 19, 20, i64::MAX] {
        let _ = reader
            .locate(offset..i64::MAX, 500, true)
            .map(|range| range.map(|range| range.read()));
        let _ = reader.find_timestamp(1_010, offset);
        let _ = reader.batches(offset).count();
    }
    let _ = reader.verify();
}

#[test]
fn a_power_cut_at_any_step_leaves_a_whole_file_or_none() {
    let batches = run(0, 3, 1, 1 << 20);
    let script = |disk: &SimDisk| -> Option<SegmentMeta> {
        prepare(disk).ok()?;
        write_own(disk, 0, &batches).ok()
    };
    let calm = SimDisk::new();
    let meta = script(&calm).unwrap();
    for step in 1..=calm.steps() + 1 {
        for seed in 0..8 {
            let disk = SimDisk::new();
            disk.cut_power_at(step);
            let finished = script(&disk).is_some();
            let after = disk.after_power_cut(seed * 31 + step);
            prepare(&after).unwrap();
            let names: HashSet<_> = after.list(DIRECTORY).unwrap().into_iter().collect();
            assert!(
                names.iter().all(|name| name.ends_with(".arrow")),
                "leftovers are swept"
            );
            match list(&after).unwrap()[..] {
                [] => assert!(!finished, "step {step}: a finished file is gone"),
                [file] => {
                    assert_eq!(file, FILE);
                    reader(&after, partition(1, 0), &meta).verify().unwrap();
                }
                _ => panic!("more files than were written"),
            }
        }
    }
}

#[test]
fn a_failed_sync_names_nothing() {
    let disk = SimDisk::new();
    disk.fail_sync(1);
    assert!(matches!(
        write_own(&disk, 0, &run(0, 1, 1, 9)),
        Err(WriteError::Io { .. })
    ));
    assert_eq!(disk.list(DIRECTORY).unwrap(), [""; 0]);
}

#[test]
fn the_cache_forgets_removed_files() {
    let disk = SimDisk::new();
    let meta = Arc::new(write_own(&disk, 0, &run(0, 2, 1, 9)).unwrap());
    let cache = Arc::new(SegmentCache::new(Arc::new(disk.clone()), 4, 1 << 20));
    let reader = SegmentReader::new(Arc::clone(&cache), partition(1, 0), meta);
    assert!(reader.locate(0..i64::MAX, 100, true).unwrap().is_some());
    remove(&disk, FILE).unwrap();
    assert!(
        reader.locate(0..i64::MAX, 100, true).unwrap().is_some(),
        "still open, still indexed"
    );
    cache.forget(FILE);
    assert!(matches!(
        reader.locate(0..i64::MAX, 100, true),
        Err(ReadError::Io { .. })
    ));
}

mod merging {
    use super::super::merge::{MergePolicy, merge, plan};
    use super::*;

    const POLICY: MergePolicy = MergePolicy {
        target_bytes: 1_000,
        members_min: 4,
        members_max: 16,
    };

    fn sized(bytes: &[u64]) -> Vec<Arc<SegmentMeta>> {
        let template = write_own(&SimDisk::new(), 0, &run(0, 1, 1, 0)).unwrap();
        let meta = |bytes| {
            Arc::new(SegmentMeta {
                batch_bytes: bytes,
                ..template.clone()
            })
        };
        bytes.iter().map(|bytes| meta(*bytes)).collect()
    }

    #[test]
    fn plans() {
        for (sizes, expected) in [
            (&[][..], None),
            (&[10, 10, 10], None),
            (&[10, 10, 10, 10], Some(0..4)),
            (&[10, 10, 10, 10, 10], Some(0..5)),
            (&[2_000, 10, 10, 10, 2_000, 10], None),
            (&[2_000, 10, 10, 10, 10, 2_000], Some(1..5)),
            (&[600, 600], Some(0..2)),
            (&[900, 200], None),
            // The large one would be copied for little: the small ones go without it.
            (&[900, 10, 10, 10, 10], Some(1..5)),
            (&[300, 400, 500, 600], Some(0..3)),
        ] {
            assert_eq!(plan(&sized(sizes), &POLICY), expected, "{sizes:?}");
        }
    }

    #[test]
    fn each_byte_is_copied_a_bounded_number_of_times() {
        for seed in 0..20 {
            let mut rng = SmallRng::seed_from_u64(seed);
            let (mut sizes, mut produced, mut copied) = (Vec::new(), 0, 0);
            for _ in 0..600 {
                let size = rng.random_range(8..40);
                sizes.push(size);
                produced += size;
                while let Some(run) = plan(&sized(&sizes), &POLICY) {
                    let total: u64 = sizes[run.clone()].iter().sum();
                    copied += total;
                    sizes.splice(run, [total]);
                }
            }
            // log2(1000 / 8) + 1 < 8 copies of any byte, by the rule; far fewer on the whole.
            assert!(copied < 5 * produced, "seed {seed}: {copied} of {produced}");
            assert!(sizes.len() as u64 <= 2 * produced / 1_000 + 10, "{sizes:?}");
        }
    }

    #[test]
    fn a_merge_keeps_every_batch() {
        let disk = Arc::new(SimDisk::new());
        let cache = Arc::new(SegmentCache::new(disk.clone(), 4, 1 << 20));
        let id = partition(1, 0);
        let batches = run(10, 9, 2, 100);
        let mut inputs = Vec::new();
        for (i, part) in batches.chunks(3).enumerate() {
            let from = part[0].header.base_offset - i64::from(i == 0);
            let file = FileId([i as u8; 16]);
            let mut writer = SegmentWriter::own(disk.clone(), file, id, from).unwrap();
            part.iter()
                .cloned()
                .for_each(|batch| writer.push(batch).unwrap());
            inputs.push(Arc::new(writer.finish().unwrap().remove(0).1));
        }
        let output = merge(disk.clone(), &cache, id, &inputs, FILE).unwrap();
        assert_eq!((output.base_offset, output.end_offset), (9, 28));
        let reader = SegmentReader::new(cache, id, Arc::new(output));
        reader.verify().unwrap();
        assert_eq!(
            reader.batches(0).map(Result::unwrap).collect::<Vec<_>>(),
            batches
        );
    }
}

mod fixtures {
    //! Bytes of format version 1, kept for ever.

    use super::*;

    const OWN: &[u8] = include_bytes!("../../fixtures/v1/own.arrow");
    const PACK: &[u8] = include_bytes!("../../fixtures/v1/pack.arrow");

    fn parts() -> [(PartitionId, Vec<StoredBatch>); 2] {
        [
            (partition(1, 0), run(0, 2, 3, 24)),
            (partition(2, 5), run(1_000, 1, 1, 8)),
        ]
    }

    fn own(disk: &SimDisk) -> SegmentMeta {
        write_own(disk, 0, &parts()[0].1).unwrap()
    }

    fn pack(disk: &SimDisk) -> Vec<(PartitionId, SegmentMeta)> {
        let mut writer = SegmentWriter::pack(Arc::new(disk.clone()), FILE).unwrap();
        for (id, batches) in parts() {
            writer.begin(id, batches[0].header.base_offset).unwrap();
            batches
                .into_iter()
                .for_each(|batch| writer.push(batch).unwrap());
        }
        writer.finish().unwrap()
    }

    /// A disk that holds the fixture under the name its meta gives.
    fn disk_with(bytes: &[u8]) -> SimDisk {
        let disk = SimDisk::new();
        disk.create(&FILE.path()).unwrap();
        let file = disk.open_write(&FILE.path(), WriteMode::Buffered).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        disk
    }

    #[test]
    fn version_1_opens() {
        let meta = own(&SimDisk::new());
        reader(&disk_with(OWN), partition(1, 0), &meta)
            .verify()
            .unwrap();
        for ((id, meta), (_, batches)) in pack(&SimDisk::new()).iter().zip(parts()) {
            let reader = reader(&disk_with(PACK), *id, meta);
            reader.verify().unwrap();
            assert!(reader.batches(0).map(Result::unwrap).eq(batches));
        }
        assert_eq!(arrow_blocks(PACK.to_vec()).1.len(), 2);
    }

    #[test]
    #[ignore = "writes the fixtures; only for a new format version"]
    fn write() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/v1");
        let disk = SimDisk::new();
        own(&disk);
        std::fs::write(format!("{directory}/own.arrow"), whole(&disk, FILE)).unwrap();
        let disk = SimDisk::new();
        pack(&disk);
        std::fs::write(format!("{directory}/pack.arrow"), whole(&disk, FILE)).unwrap();
    }
}
