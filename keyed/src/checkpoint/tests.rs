//! Checkpoint files: what is written is read; a power cut at any step leaves no half of one; rot is
//! found; a file of the first version stays readable.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use tidelog_storage::disk::{Disk, SimDisk};
use tidelog_storage::ids::{Offset, PartitionId, TopicId};
use tidelog_storage::segment::FileId;

use super::*;
use crate::engine::{EngineError, KeySnapshot, Rows};
use crate::merge::{Cells, Engine, Rule, RuleLog, Value};
use crate::row::Row;

const PARTITION: PartitionId = PartitionId {
    topic: TopicId([0xab; 16]),
    index: 3,
};

struct Snapshot {
    rows: BTreeMap<Bytes, Row>,
    applied: Option<Offset>,
}

impl KeySnapshot for Snapshot {
    fn applied(&self) -> Result<Option<Offset>, EngineError> {
        Ok(self.applied)
    }

    fn get_many(&self, keys: &[Bytes]) -> Result<Vec<Option<Row>>, EngineError> {
        Ok(keys.iter().map(|key| self.rows.get(key).cloned()).collect())
    }

    fn rows_from(&self, start: &[u8]) -> Rows<'_> {
        let owned = |(key, row): (&Bytes, &Row)| Ok((key.clone(), row.clone()));
        Box::new(self.rows.range(Bytes::copy_from_slice(start)..).map(owned))
    }
}

/// `rows` rows with values of `value_bytes`, and one with an empty key and value.
fn snapshot(rows: u32, value_bytes: usize) -> Snapshot {
    let row = |n: u32| Row {
        offset: Offset::from(n),
        timestamp: 1_700_000_000_000 + i64::from(n),
        value: noise(n, value_bytes),
    };
    let mut all: BTreeMap<_, _> = (1..=rows)
        .map(|n| (Bytes::from(format!("key-{n:05}")), row(n)))
        .collect();
    let empty = Row {
        value: Bytes::new(),
        ..row(0)
    };
    all.insert(Bytes::new(), empty);
    Snapshot {
        rows: all,
        applied: Some(Offset::from(rows) + 1),
    }
}

/// Bytes that do not compress, the same ones for ever.
fn noise(seed: u32, len: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..len).map(next).collect()
}

fn write_to(disk: &SimDisk, file: u8, snapshot: &Snapshot) -> Result<CheckpointMeta, WriteError> {
    write(
        Arc::new(disk.clone()),
        FileId([file; 16]),
        PARTITION,
        snapshot,
    )
}

fn read(disk: &dyn Disk, meta: &CheckpointMeta) -> Result<BTreeMap<Bytes, Row>, ReadError> {
    let mut reader = CheckpointReader::open(disk, meta)?;
    let mut rows = BTreeMap::new();
    while let Some(block) = reader.next_block()? {
        for change in block {
            let row = change.row().unwrap();
            rows.insert(change.key, row);
        }
    }
    Ok(rows)
}

#[test]
fn what_is_written_is_read() {
    // Fewer and more than one block, by rows and by bytes; a row larger than a block.
    for (rows, value_bytes) in [(0, 0), (3, 10), (70_000, 0), (9, 1 << 20), (2, 5 << 20)] {
        let disk = SimDisk::new();
        let snapshot = snapshot(rows, value_bytes);
        let meta = write_to(&disk, 1, &snapshot).unwrap();
        assert_eq!(meta.reflects, Offset::from(rows) + 1);
        assert_eq!(meta.rows, u64::from(rows) + 1);
        assert!(read(&disk, &meta).unwrap() == snapshot.rows, "{rows} rows");
    }
}

#[test]
fn an_empty_table_has_a_checkpoint() {
    let disk = SimDisk::new();
    let empty = Snapshot {
        rows: BTreeMap::new(),
        applied: Some(9),
    };
    let meta = write_to(&disk, 1, &empty).unwrap();
    assert_eq!((meta.rows, meta.reflects), (0, 9));
    assert_eq!(read(&disk, &meta).unwrap(), empty.rows);
}

#[test]
fn an_engine_being_loaded_has_none() {
    let loading = Snapshot {
        rows: BTreeMap::new(),
        applied: None,
    };
    let refused = write_to(&SimDisk::new(), 1, &loading);
    assert!(matches!(refused, Err(WriteError::Incomplete)));
}

#[test]
fn a_power_cut_at_any_step_leaves_the_older_and_no_half() {
    let (older, newer) = (snapshot(40, 100), snapshot(9, 300_000));
    let mut cuts = 0;
    for step in 1.. {
        let disk = SimDisk::new();
        prepare(&disk).unwrap();
        let first = write_to(&disk, 1, &older).unwrap();
        disk.cut_power_at(disk.steps() + step);
        let second = write_to(&disk, 2, &newer);
        let finished = !disk.is_dead();
        for seed in 0..8 {
            let disk = disk.after_power_cut(seed);
            check_after_cut(&disk, &older, &first, &newer, second.as_ref().ok());
        }
        if finished {
            assert!(second.is_ok());
            break;
        }
        cuts += 1;
    }
    assert!(
        cuts >= 6,
        "create, writes, sync, rename, sync of the directory: {cuts}"
    );
}

fn check_after_cut(
    disk: &SimDisk,
    older: &Snapshot,
    first: &CheckpointMeta,
    newer: &Snapshot,
    second: Option<&CheckpointMeta>,
) {
    prepare(disk).unwrap();
    assert!(read(disk, first).unwrap() == older.rows);
    if let Some(second) = second {
        assert!(read(disk, second).unwrap() == newer.rows);
    }
    // A name without a manifest is an orphan, and goes.
    let named: HashSet<_> = [first.file]
        .into_iter()
        .chain(second.map(|m| m.file))
        .collect();
    sweep(disk, &named).unwrap();
    assert_eq!(disk.list(DIRECTORY).unwrap().len(), named.len());
}

#[test]
fn a_failed_sync_leaves_nothing() {
    let disk = SimDisk::new();
    disk.fail_sync(1);
    let failed = write_to(&disk, 1, &snapshot(5, 5));
    assert!(matches!(failed, Err(WriteError::Io { .. })));
    assert!(disk.list(DIRECTORY).unwrap().is_empty());
}

#[test]
fn a_full_disk_leaves_nothing() {
    let disk = SimDisk::new();
    disk.set_capacity(Some(1_000));
    assert!(write_to(&disk, 1, &snapshot(500, 50)).is_err());
    assert!(disk.list(DIRECTORY).unwrap().is_empty());
}

#[test]
fn rot_is_found_wherever_it_is() {
    let disk = SimDisk::new();
    let meta = write_to(&disk, 1, &snapshot(50, 20)).unwrap();
    for byte in 0..meta.file_len {
        disk.flip_bit(&path(meta.file), byte);
        let found = read(&disk, &meta);
        assert!(
            matches!(found, Err(ReadError::Corrupt { .. })),
            "byte {byte}"
        );
        disk.flip_bit(&path(meta.file), byte);
    }
    assert!(read(&disk, &meta).is_ok());
}

#[test]
fn a_meta_that_says_otherwise_is_refused() {
    let disk = SimDisk::new();
    let meta = write_to(&disk, 1, &snapshot(50, 20)).unwrap();
    let others = [
        CheckpointMeta {
            rows: 50,
            ..meta.clone()
        },
        CheckpointMeta {
            reflects: 50,
            ..meta.clone()
        },
        CheckpointMeta {
            file_len: meta.file_len - 1,
            ..meta.clone()
        },
        CheckpointMeta {
            file_crc: !meta.file_crc,
            ..meta.clone()
        },
    ];
    for other in others {
        assert!(
            matches!(read(&disk, &other), Err(ReadError::Corrupt { .. })),
            "{other:?}"
        );
    }
    let newer = CheckpointMeta {
        min_reader: FORMAT_VERSION + 1,
        ..meta
    };
    assert!(matches!(read(&disk, &newer), Err(ReadError::TooNew { .. })));
}

#[test]
fn bytes_that_are_no_checkpoint_are_an_error() {
    // The crc fits, so that the Arrow reader sees them.
    for bytes in [
        &b""[..],
        b"ARROW1",
        b"ARROW1\0\0\xff\xff\xff\x7fARROW1",
        &[0xff; 64],
    ] {
        let disk = SimDisk::new();
        let file = FileId([1; 16]);
        disk.create(&path(file))
            .unwrap()
            .write_all_at(bytes, 0)
            .unwrap();
        let meta = CheckpointMeta {
            file,
            format_version: 1,
            min_reader: 1,
            partition: PARTITION,
            reflects: 1,
            rows: 0,
            file_len: bytes.len() as u64,
            file_crc: crc32c::crc32c(bytes),
        };
        assert!(matches!(read(&disk, &meta), Err(ReadError::Arrow { .. })));
    }
}

#[test]
fn a_table_that_merges_asks_for_a_reader_that_knows_how() {
    let disk = SimDisk::new();
    let merged = merged();
    let write = |file: u8, rules: &RuleLog| {
        let disk = Arc::new(disk.clone());
        write_by(disk, FileId([file; 16]), PARTITION, &merged, rules).unwrap()
    };
    let sums = write(1, &sums());
    assert_eq!((sums.format_version, sums.min_reader), (2, 2));
    let first = Rule {
        engine: Engine::FirstRow,
        ..Rule::LAST_ROW
    };
    let values = write(2, &RuleLog::of(first));
    assert_eq!((values.format_version, values.min_reader), (1, 1));
    let rules = CheckpointReader::open(&disk, &values).unwrap().rules();
    assert_eq!(rules.unwrap().newest().engine, Engine::FirstRow);
}

fn sums() -> RuleLog {
    RuleLog::from_json(include_str!("../../fixtures/v2/rules.json")).unwrap()
}

/// Two rows by the rules of [`sums`]: a value, and cells.
fn merged() -> Snapshot {
    let cells = Cells::from_iter([(4, Value::Decimal(1_250))]);
    let row = |offset, value| Row {
        offset,
        timestamp: 1_700_000_000_000,
        value,
    };
    let rows = [
        (Bytes::from_static(b"cells"), row(8, cells.encode())),
        (
            Bytes::from_static(b"value"),
            row(6, Bytes::from_static(b"{}")),
        ),
    ];
    Snapshot {
        rows: rows.into(),
        applied: Some(9),
    }
}

#[test]
fn version_1_stays_readable() {
    let meta = include_bytes!("../../fixtures/v1/key-checkpoint.meta.cbor");
    let bytes = include_bytes!("../../fixtures/v1/key-checkpoint.arrow");
    let (found, rules) = fixture(1, meta, bytes);
    assert_eq!(found, snapshot(5, 12).rows);
    assert_eq!(rules, RuleLog::default());
}

#[test]
fn version_2_stays_readable() {
    let meta = include_bytes!("../../fixtures/v2/key-checkpoint.meta.cbor");
    let bytes = include_bytes!("../../fixtures/v2/key-checkpoint.arrow");
    let (found, rules) = fixture(2, meta, bytes);
    assert_eq!(found, merged().rows);
    assert_eq!(rules, sums());
    let cells = Cells::decode(&found[&b"cells"[..]].value).unwrap();
    assert_eq!(cells.value(4), &Value::Decimal(1_250));
}

fn fixture(version: u16, meta_bytes: &[u8], bytes: &[u8]) -> (BTreeMap<Bytes, Row>, RuleLog) {
    let meta: CheckpointMeta = minicbor::decode(meta_bytes).unwrap();
    assert_eq!(meta.partition, PARTITION);
    assert_eq!((meta.format_version, meta.min_reader), (version, version));
    assert_eq!(minicbor::to_vec(&meta).unwrap(), meta_bytes);
    let disk = SimDisk::new();
    let file = disk.create(&path(meta.file)).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    let rules = CheckpointReader::open(&disk, &meta).unwrap().rules();
    (read(&disk, &meta).unwrap(), rules.unwrap())
}
