//! Versions and their checks, the log, power cuts at every step, rotten bytes.

use std::collections::HashMap;
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::checkpoint::CheckpointMeta;
use crate::disk::{Disk, Fault, SimDisk};
use crate::ids::{Incarnation, PartitionId, TopicId};
use crate::rows::{RowsBlock, RowsMeta};
use crate::segment::{BlockMeta, EpochStart, FileId, SegmentKind, SegmentMeta};

fn partition(index: i32) -> PartitionId {
    PartitionId {
        topic: TopicId([9; 16]),
        index,
    }
}

fn segment(file: u8, base: i64, end: i64) -> Arc<SegmentMeta> {
    let block = BlockMeta {
        base_offset: base,
        end_offset: end,
        max_timestamp: 5,
        rows: 1,
        index_pos: 512,
        index_len: 64,
        index_crc: 1,
        data_pos: 576,
        data_len: 100,
        data_crc: 2,
    };
    Arc::new(SegmentMeta {
        file: FileId([file; 16]),
        format_version: 1,
        kind: SegmentKind::Own,
        base_offset: base,
        end_offset: end,
        batch_bytes: 100,
        record_count: 10,
        min_timestamp: 1,
        max_timestamp: 5,
        max_timestamp_offset: base,
        epochs: vec![EpochStart {
            epoch: 0,
            start_offset: base,
        }],
        file_len: 800,
        file_crc: 3,
        blocks: vec![block],
    })
}

/// The edit that a flush makes.
fn flush(file: u8, base: i64, end: i64) -> ManifestEdit {
    ManifestEdit {
        next_offset: Some(end),
        covered_to: Some(end),
        add_segments: vec![segment(file, base, end)],
        ..ManifestEdit::default()
    }
}

fn producer(producer_id: i64, batches: usize) -> ProducerState {
    let batch = ProducerBatch {
        first_sequence: 0,
        last_sequence: 4,
        base_offset: 10,
        last_offset: 14,
        timestamp: 99,
    };
    ProducerState {
        producer_id,
        epoch: 1,
        batches: vec![batch; batches],
        last_timestamp: 99,
        coordinator_epoch: None,
    }
}

/// Offsets 0..30 in three segments.
fn three_segments() -> PartitionManifest {
    (0..3).fold(PartitionManifest::new(partition(0), 1), |manifest, i| {
        manifest
            .apply(&flush(i, i64::from(i) * 10, i64::from(i) * 10 + 10))
            .unwrap()
    })
}

#[test]
fn a_life_of_one_partition() {
    let full = three_segments();
    assert_eq!(
        (full.version, full.covered_to, full.segments.len()),
        (4, 30, 3)
    );
    assert_eq!(full.segment_at(19).unwrap().base_offset, 10);
    assert_eq!(full.segment_at(30), None);

    let merge = ManifestEdit {
        add_segments: vec![segment(9, 0, 20)],
        remove_segments: vec![FileId([0; 16]), FileId([1; 16])],
        ..ManifestEdit::default()
    };
    let merged = full.apply(&merge).unwrap();
    assert_eq!(
        merged
            .segments
            .iter()
            .map(|s| s.base_offset)
            .collect::<Vec<_>>(),
        [0, 20]
    );

    let aborted = |last_offset| AbortedTransaction {
        producer_id: 5,
        first_offset: 3,
        last_offset,
        last_stable_offset: last_offset + 1,
    };
    let facts = ManifestEdit {
        producers: Some(vec![producer(5, 2), producer(8, 5)]),
        add_aborted: vec![aborted(7), aborted(25)],
        open_transactions: Some(vec![OpenTransaction {
            producer_id: 8,
            first_offset: 22,
            started: Some(7),
        }]),
        epochs: Some(vec![EpochStart {
            epoch: 0,
            start_offset: 0,
        }]),
        ..ManifestEdit::default()
    };
    let known = merged.apply(&facts).unwrap();
    let retention = ManifestEdit {
        log_start: Some(20),
        remove_segments: vec![FileId([9; 16])],
        ..ManifestEdit::default()
    };
    let trimmed = known.apply(&retention).unwrap();
    assert_eq!(
        trimmed.aborted,
        [aborted(25)],
        "what lies below the log start is forgotten"
    );

    let emptied = ManifestEdit {
        log_start: Some(45),
        next_offset: Some(45),
        remove_segments: vec![FileId([2; 16])],
        ..ManifestEdit::default()
    };
    let empty = trimmed.apply(&emptied).unwrap();
    assert_eq!(
        (empty.next_offset, empty.covered_to, empty.segments.len()),
        (45, 30, 0)
    );
    // Offsets 30..45 were deleted before they were flushed; the next segment may skip them.
    assert_eq!(empty.apply(&flush(4, 45, 50)).unwrap().covered_to, 50);
    let encoded = minicbor::to_vec(&known).unwrap();
    assert_eq!(
        minicbor::decode::<PartitionManifest>(&encoded).unwrap(),
        known
    );
}

#[test]
fn a_round_of_compaction() {
    let aborted = |last_offset| AbortedTransaction {
        producer_id: 5,
        first_offset: 3,
        last_offset,
        last_stable_offset: last_offset + 1,
    };
    // Nothing is left of the last offsets of the first two segments.
    let mut compacted = SegmentMeta::clone(&segment(9, 0, 16));
    compacted.end_offset = 20;
    let before = ManifestEdit {
        add_aborted: [5, 7, 15].map(aborted).to_vec(),
        ..ManifestEdit::default()
    };
    let swap = ManifestEdit {
        add_segments: vec![Arc::new(compacted)],
        remove_segments: vec![FileId([0; 16]), FileId([1; 16])],
        remove_aborted: vec![5, 15],
        ..ManifestEdit::default()
    };
    let finish = |delete_horizon| ManifestEdit {
        cleaned_to: Some(25),
        delete_horizon: Some(delete_horizon),
        ..ManifestEdit::default()
    };
    let swapped = three_segments()
        .apply(&before)
        .unwrap()
        .apply(&swap)
        .unwrap();
    assert_eq!(swapped.aborted, [aborted(7)]);
    assert_eq!((swapped.cleaned_to, swapped.delete_horizon), (0, None));
    let cleaned = swapped.apply(&finish(900)).unwrap();
    assert_eq!(
        (cleaned.cleaned_to, cleaned.delete_horizon),
        (25, Some(900))
    );
    assert_eq!(
        cleaned
            .apply(&ManifestEdit::default())
            .unwrap()
            .delete_horizon,
        Some(900)
    );
    assert_eq!(cleaned.apply(&finish(-1)).unwrap().delete_horizon, None);
    let encoded = minicbor::to_vec(&cleaned).unwrap();
    assert_eq!(
        minicbor::decode::<PartitionManifest>(&encoded).unwrap(),
        cleaned
    );
    for edit in [swap, finish(-1)] {
        let encoded = minicbor::to_vec(&edit).unwrap();
        assert_eq!(minicbor::decode::<ManifestEdit>(&encoded).unwrap(), edit);
    }
}

#[test]
fn edits_that_must_not_be() {
    let full = three_segments();
    let none = ManifestEdit::default;
    let file = |n: u8| FileId([n; 16]);
    let mut hollow = SegmentMeta::clone(&segment(7, 30, 40));
    hollow.blocks.clear();
    for (edit, expected) in [
        (flush(7, 31, 40), "SegmentGap"),
        (flush(7, 29, 40), "SegmentGap"),
        (flush(1, 30, 40), "SegmentTwice"),
        (
            ManifestEdit {
                next_offset: Some(40),
                covered_to: Some(40),
                ..none()
            },
            "CoveredTo",
        ),
        (
            ManifestEdit {
                covered_to: Some(31),
                ..none()
            },
            "OutOfBounds",
        ),
        (
            ManifestEdit {
                cleaned_to: Some(31),
                ..none()
            },
            "CleanedTo",
        ),
        (
            ManifestEdit {
                covered_to: Some(29),
                ..none()
            },
            "Falls",
        ),
        (
            ManifestEdit {
                next_offset: Some(29),
                ..none()
            },
            "Falls",
        ),
        (
            ManifestEdit {
                log_start: Some(-1),
                ..none()
            },
            "Falls",
        ),
        (
            ManifestEdit {
                log_start: Some(31),
                ..none()
            },
            "OutOfBounds",
        ),
        (
            ManifestEdit {
                remove_segments: vec![file(0)],
                ..none()
            },
            "HoleAtStart",
        ),
        (
            ManifestEdit {
                remove_segments: vec![file(1)],
                ..none()
            },
            "SegmentGap",
        ),
        (
            ManifestEdit {
                remove_segments: vec![file(2)],
                ..none()
            },
            "CoveredTo",
        ),
        (
            ManifestEdit {
                remove_segments: vec![file(8)],
                ..none()
            },
            "UnknownSegment",
        ),
        (
            ManifestEdit {
                add_segments: vec![Arc::new(hollow)],
                ..flush(7, 30, 40)
            },
            "MalformedSegment",
        ),
        (
            ManifestEdit {
                epochs: Some(vec![
                    EpochStart {
                        epoch: 1,
                        start_offset: 0
                    };
                    2
                ]),
                ..none()
            },
            "OutOfOrder",
        ),
        (
            ManifestEdit {
                producers: Some(vec![producer(1, 0); 2]),
                ..none()
            },
            "OutOfOrder",
        ),
        (
            ManifestEdit {
                producers: Some(vec![producer(1, 6)]),
                ..none()
            },
            "TooManyBatches",
        ),
    ] {
        let violation = full.apply(&edit).unwrap_err();
        assert!(
            format!("{violation:?}").starts_with(expected),
            "{edit:?}: {violation:?}"
        );
    }
}

fn rows(file: u8, base: i64, end: i64) -> Arc<RowsMeta> {
    let block = RowsBlock {
        base_offset: base,
        end_offset: end,
        rows: 3,
        pos: 512,
        header_len: 256,
        header_crc: 1,
        body_len: 640,
    };
    Arc::new(RowsMeta {
        file: FileId([file; 16]),
        format_version: 1,
        schema_id: 1,
        base_offset: base,
        end_offset: end,
        row_count: 3,
        column_bytes: 640,
        file_len: 1_408,
        file_crc: 2,
        blocks: vec![block],
    })
}

/// The edit that names a rows file.
fn install(file: u8, base: i64, end: i64) -> ManifestEdit {
    ManifestEdit {
        add_rows: vec![rows(file, base, end)],
        ..ManifestEdit::default()
    }
}

#[test]
fn checkpoints_are_replaced_as_a_whole() {
    let checkpoint = |file: u8, reflects| CheckpointMeta {
        file: FileId([file; 16]),
        format_version: 1,
        min_reader: 1,
        partition: three_segments().partition,
        reflects,
        rows: 2,
        file_len: 640,
        file_crc: 3,
    };
    let name = |checkpoints: &[CheckpointMeta]| ManifestEdit {
        checkpoints: Some(checkpoints.to_vec()),
        ..ManifestEdit::default()
    };
    let [first, second, third] = [checkpoint(21, 5), checkpoint(22, 9), checkpoint(23, 30)];
    let two = [second.clone(), third.clone()];
    let named = three_segments().apply(&name(&two)).unwrap();
    let named = named.apply(&ManifestEdit::default()).unwrap();
    assert_eq!(named.checkpoints, two);
    let encoded = minicbor::to_vec(&named).unwrap();
    assert_eq!(
        minicbor::decode::<PartitionManifest>(&encoded).unwrap(),
        named
    );
    let three = [first, second.clone(), third.clone()];
    for (wrong, expected) in [
        (&three[..], "TooManyCheckpoints"),
        (&[third, second][..], "OutOfOrder"),
    ] {
        let violation = named.apply(&name(wrong)).unwrap_err();
        let text = format!("{violation:?}");
        assert!(text.starts_with(expected), "{text}");
    }
    assert_eq!(named.apply(&name(&[])).unwrap().checkpoints, []);
}

#[test]
fn rows_follow_each_other() {
    let full = three_segments();
    // Ahead of what is in segments: rows are built from the tail.
    let with_rows = full.apply(&install(11, 0, 25)).unwrap();
    let with_rows = with_rows.apply(&install(12, 25, 60)).unwrap();
    assert_eq!((with_rows.rows_to, with_rows.rows.len()), (60, 2));
    let without_blocks = |end_offset| {
        let mut hollow = RowsMeta::clone(&rows(13, 60, 70));
        hollow.blocks.clear();
        hollow.end_offset = end_offset;
        ManifestEdit {
            add_rows: vec![Arc::new(hollow)],
            ..ManifestEdit::default()
        }
    };
    // A range without a row has a file, too.
    assert_eq!(with_rows.apply(&without_blocks(70)).unwrap().rows_to, 70);
    let remove = |file: u8| ManifestEdit {
        remove_rows: vec![FileId([file; 16])],
        ..ManifestEdit::default()
    };
    for (edit, expected) in [
        (install(13, 61, 70), "SegmentGap"),
        (install(13, 59, 70), "SegmentGap"),
        (install(12, 60, 70), "SegmentTwice"),
        (install(2, 60, 70), "SegmentTwice"),
        (without_blocks(60), "MalformedRows"),
        (remove(12), "RowsTo"),
        (remove(13), "UnknownSegment"),
    ] {
        let violation = with_rows.apply(&edit).unwrap_err();
        assert!(
            format!("{violation:?}").starts_with(expected),
            "{edit:?}: {violation:?}"
        );
    }
    let trimmed = with_rows.apply(&remove(11)).unwrap();
    assert_eq!((trimmed.rows_to, trimmed.rows.len()), (60, 1));
    let empty = trimmed.apply(&remove(12)).unwrap();
    assert_eq!((empty.rows_to, empty.rows.len()), (60, 0));
    assert!(empty.apply(&install(13, 0, 70)).is_err());

    let encoded = minicbor::to_vec(&with_rows).unwrap();
    let decoded = minicbor::decode::<PartitionManifest>(&encoded).unwrap();
    assert_eq!(decoded, with_rows);
    let edit = install(13, 60, 70);
    let encoded = minicbor::to_vec(&edit).unwrap();
    assert_eq!(minicbor::decode::<ManifestEdit>(&encoded).unwrap(), edit);
    // A partition without rows has the bytes it always had.
    assert!(minicbor::to_vec(&full).unwrap().len() < minicbor::to_vec(&empty).unwrap().len());
}

fn create(index: i32) -> Record {
    Record::Full {
        manifest: Box::new(PartitionManifest::new(partition(index), 1)),
    }
}

fn edit(index: i32, version: u64, edit: ManifestEdit) -> Record {
    Record::Edit {
        partition: partition(index),
        version,
        edit: Box::new(edit),
    }
}

fn start(number: u32) -> Record {
    Record::Incarnation {
        id: Incarnation([number as u8; 16]),
        number,
    }
}

fn open(disk: &SimDisk) -> Result<(ManifestLog, Recovered), OpenError> {
    ManifestLog::open(Arc::new(disk.clone()))
}

#[test]
fn what_was_appended_is_there_after_opening_again() {
    let disk = SimDisk::new();
    let (mut log, recovered) = open(&disk).unwrap();
    assert!(recovered.partitions.is_empty() && recovered.incarnations.is_empty());
    log.append(&[start(1), create(0), create(1), edit(0, 2, flush(1, 0, 10))])
        .unwrap();
    log.append(&[
        edit(0, 3, flush(2, 10, 12)),
        Record::Drop {
            partition: partition(1),
        },
    ])
    .unwrap();
    log.sync().unwrap();
    let expected = log.get(partition(0)).unwrap().clone();
    assert_eq!((expected.version, expected.next_offset), (3, 12));
    drop(log);

    let (log, recovered) = open(&disk).unwrap();
    assert_eq!(
        recovered.partitions,
        HashMap::from([(partition(0), expected)])
    );
    assert_eq!(recovered.incarnations, [(Incarnation([1; 16]), 1)]);
    assert_eq!(
        (recovered.torn_tail, log.incarnation().unwrap().1),
        (None, 1)
    );
    assert_eq!(disk.list(DIRECTORY).unwrap(), ["00000000000000000002.log"]);
}

#[test]
fn an_append_is_taken_whole_or_refused_whole() {
    let disk = SimDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    log.append(&[start(4), create(0)]).unwrap();
    for (bad, expected) in [
        (create(0), Violation::Exists),
        (
            edit(0, 4, ManifestEdit::default()),
            Violation::VersionGap { have: 2, got: 4 },
        ),
        (edit(7, 2, ManifestEdit::default()), Violation::Unknown),
        (
            Record::Drop {
                partition: partition(7),
            },
            Violation::Unknown,
        ),
        (start(4), Violation::IncarnationOrder { have: 4, got: 4 }),
    ] {
        let refused = log.append(&[edit(0, 2, flush(1, 0, 10)), create(2), bad]);
        match refused {
            Err(AppendError::Refused {
                index: 2,
                violation,
                ..
            }) => assert_eq!(violation, expected),
            other => panic!("{other:?}"),
        }
        assert_eq!(log.get(partition(0)).unwrap().version, 1);
        assert!(log.get(partition(2)).is_none());
    }
    log.append(&[
        edit(0, 2, flush(1, 0, 10)),
        Record::Drop {
            partition: partition(0),
        },
        create(0),
    ])
    .unwrap();
    log.sync().unwrap();
    assert_eq!(open(&disk).unwrap().1.partitions[&partition(0)].version, 1);
}

#[test]
fn the_log_rolls_when_the_delta_outgrows_the_state() {
    let disk = SimDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    log.append(&[create(0)]).unwrap();
    let mut rolls = 0;
    for version in 2..20_000 {
        let mark = ManifestEdit {
            next_offset: Some(version),
            ..ManifestEdit::default()
        };
        log.append(&[edit(0, version as u64, mark)]).unwrap();
        if log.roll_is_due() {
            log.roll().unwrap();
            rolls += 1;
        }
    }
    assert!((1..10).contains(&rolls), "{rolls}");
    log.sync().unwrap();
    assert_eq!(disk.list(DIRECTORY).unwrap().len(), 1);
    let (_, recovered) = open(&disk.after_power_cut(5)).unwrap();
    assert_eq!(recovered.partitions[&partition(0)].version, 19_999);
}

#[test]
fn a_failed_write_or_sync_poisons_the_log() {
    let disk = SimDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    log.append(&[create(0)]).unwrap();
    disk.fail_sync(1);
    assert!(matches!(log.sync(), Err(SyncError::Io { .. })));
    assert!(matches!(log.sync(), Err(SyncError::Poisoned)));
    assert!(matches!(
        log.append(&[create(1)]),
        Err(AppendError::Poisoned)
    ));
    assert!(matches!(log.roll(), Err(RollError::Poisoned)));

    let disk = SimDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    disk.set_capacity(Some(0));
    assert!(matches!(
        log.append(&[create(0)]),
        Err(AppendError::Io { .. })
    ));
    assert!(matches!(
        log.append(&[create(0)]),
        Err(AppendError::Poisoned)
    ));
}

#[test]
fn a_log_begun_anew_is_as_it_was_synced() {
    for (fault, nth) in [(Fault::Undone, 0), (Fault::Done, 0), (Fault::Lost, 1)] {
        let disk = SimDisk::new();
        let (mut log, _) = open(&disk).unwrap();
        log.append(&[start(1), create(0), create(1)]).unwrap();
        log.sync().unwrap();
        // Either the write fails or the sync after it.
        disk.fail_steps(disk.steps() + 1 + nth..=disk.steps() + 1 + nth, fault);
        let dropped = Record::Drop {
            partition: partition(1),
        };
        let records = [start(2), edit(0, 2, flush(1, 0, 10)), dropped, create(2)];
        let appended = log.append(&records).is_ok();
        assert!(!appended || log.sync().is_err());
        assert!(log.is_poisoned());

        log.begin_anew().unwrap();
        assert_eq!(log.incarnation().unwrap().1, 1);
        assert_eq!(log.get(partition(0)).unwrap().version, 1);
        assert!(log.get(partition(1)).is_some() && log.get(partition(2)).is_none());
        log.append(&[start(2)]).unwrap();
        log.sync().unwrap();
        for seed in 0..4 {
            let (_, recovered) = open(&disk.after_power_cut(seed)).unwrap();
            assert_eq!(recovered.incarnations.len(), 2);
            assert_eq!(recovered.partitions.len(), 2);
            assert_eq!(recovered.partitions[&partition(0)].version, 1);
        }
    }
}

#[test]
fn beginning_anew_may_fail_at_any_step_and_be_tried_again() {
    for fault in [Fault::Undone, Fault::Done, Fault::Lost] {
        for step in 1.. {
            let disk = SimDisk::new();
            let (mut log, _) = open(&disk).unwrap();
            log.append(&[create(0)]).unwrap();
            log.sync().unwrap();
            log.append(&[create(1)]).unwrap();
            disk.fail_sync(1);
            log.sync().unwrap_err();
            let (at, before) = (disk.steps() + step, disk.faults());
            disk.fail_steps(at..=at, fault);
            let begun = log.begin_anew().is_ok();
            assert_eq!(log.is_poisoned(), !begun);
            let was_hit = disk.faults() > before;
            disk.heal();
            if !begun {
                log.begin_anew().unwrap();
            }
            log.append(&[create(2)]).unwrap();
            log.sync().unwrap();
            let (_, recovered) = open(&disk.after_power_cut(step)).unwrap();
            let mut partitions: Vec<_> = recovered.partitions.into_keys().collect();
            partitions.sort_unstable();
            assert_eq!(
                partitions,
                [partition(0), partition(2)],
                "step {step}, {fault:?}"
            );
            if !was_hit {
                break;
            }
        }
    }
}

#[test]
fn a_roll_without_room_leaves_the_log_in_use() {
    let disk = SimDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    log.append(&[create(0)]).unwrap();
    disk.set_capacity(Some(0));
    assert!(matches!(log.roll(), Err(RollError::NotWritten { .. })));
    disk.set_capacity(None);
    log.append(&[create(1)]).unwrap();
    log.roll().unwrap();
    assert_eq!(
        open(&disk.after_power_cut(1)).unwrap().1.partitions.len(),
        2
    );
}

/// The versions of all partitions, to compare states by.
type Versions = Vec<(i32, PartitionManifest)>;

fn versions<'a>(partitions: impl Iterator<Item = &'a Arc<PartitionManifest>>) -> Versions {
    let mut all: Versions = partitions
        .map(|m| (m.partition.index, PartitionManifest::clone(m)))
        .collect();
    all.sort_by_key(|(index, _)| *index);
    all
}

/// A scripted run. `states` gets the state before and after each record; answered is how many
/// records were known durable when the power went.
fn scripted_run(disk: &SimDisk, states: &mut Vec<Versions>) -> usize {
    let mut durable = 0;
    // The end of the run is either the power cut or the end of the script.
    let _ = try_scripted_run(disk, states, &mut durable);
    durable
}

fn try_scripted_run(disk: &SimDisk, states: &mut Vec<Versions>, durable: &mut usize) -> Option<()> {
    let mut written = 0;
    for life in 1..=3_u32 {
        let (mut log, recovered) = open(disk).ok()?;
        if states.is_empty() {
            states.push(versions(recovered.partitions.values()));
        }
        *durable = written;
        for round in 0..4_u8 {
            let records = script_of(&log, life, round);
            for record in &records {
                let mut state = scratch_of(states.last()?);
                state.apply(record).ok()?;
                states.push(versions(state.partitions.values()));
            }
            log.append(&records).ok()?;
            written += records.len();
            if round != 2 {
                log.sync().ok()?;
                *durable = written;
            }
            if round == 3 && life == 2 {
                log.roll().ok()?;
                *durable = written;
            }
        }
    }
    Some(())
}

fn scratch_of(state: &Versions) -> record::State {
    let partitions = state
        .iter()
        .map(|(i, m)| (partition(*i), Arc::new(m.clone())))
        .collect();
    record::State {
        partitions,
        incarnations: Vec::new(),
    }
}

/// Three records or so; large enough edits that a torn write loses some of them.
fn script_of(log: &ManifestLog, life: u32, round: u8) -> Vec<Record> {
    if round == 0 {
        let index = life as i32;
        return vec![start(life), create(index), edit(index, 2, big_edit(1))];
    }
    let mut records: Vec<_> = log
        .partitions()
        .map(|m| {
            edit(
                m.partition.index,
                m.version + 1,
                big_edit(m.next_offset + 1),
            )
        })
        .collect();
    records.sort_by_key(|record| record.partition());
    if round == 1 && life == 3 {
        records.push(Record::Drop {
            partition: partition(1),
        });
    }
    records
}

fn big_edit(next_offset: i64) -> ManifestEdit {
    let producers = (0..12).map(|id| producer(id, 5)).collect();
    ManifestEdit {
        next_offset: Some(next_offset),
        producers: Some(producers),
        ..ManifestEdit::default()
    }
}

#[test]
fn a_power_cut_at_any_step_leaves_a_prefix_with_all_that_was_synced() {
    let calm = SimDisk::new();
    let mut states = Vec::new();
    let all = scripted_run(&calm, &mut states);
    assert_eq!(all + 1, states.len());
    let (mut torn, mut beyond) = (0, 0);
    for step in 1..=calm.steps() {
        for seed in 0..16 {
            let disk = SimDisk::new();
            disk.cut_power_at(step);
            let durable = scripted_run(&disk, &mut Vec::new());
            let wreck = disk.after_power_cut(seed * 7_919 + step);
            let (_, recovered) = open(&wreck).unwrap_or_else(|e| panic!("step {step}: {e}"));
            let found = versions(recovered.partitions.values());
            let reached = states[durable..].iter().position(|state| *state == found);
            assert!(
                reached.is_some(),
                "step {step}, seed {seed}: not a prefix of the run"
            );
            torn += usize::from(recovered.torn_tail.is_some());
            beyond += usize::from(reached > Some(0));

            // What was found once is there for good, whatever the next start goes through.
            let (_, again) = open(&wreck.after_power_cut(seed)).unwrap();
            assert_eq!(versions(again.partitions.values()), found);
        }
    }
    assert!(
        torn > 20 && beyond > 20,
        "the cuts must reach inside appends: {torn}, {beyond}"
    );
}

#[test]
fn a_process_kill_loses_nothing_that_was_appended() {
    let disk = SimDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    log.append(&[create(0), edit(0, 2, big_edit(3))]).unwrap();
    let after = disk.after_process_kill();
    let expected = log.get(partition(0)).unwrap().clone();
    assert_eq!(open(&after).unwrap().1.partitions[&partition(0)], expected);
    // The next start made it durable.
    assert_eq!(
        open(&after.after_power_cut(3)).unwrap().1.partitions[&partition(0)],
        expected
    );
}

/// A disk whose log holds a snapshot and three synced appends, and where each of them starts.
fn three_appends() -> (SimDisk, String, Vec<u64>) {
    let disk = SimDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    log.append(&[create(0), create(1)]).unwrap();
    log.roll().unwrap();
    let path = format!("{DIRECTORY}/{}", disk.list(DIRECTORY).unwrap()[0]);
    let file = disk.open(&path).unwrap();
    let mut starts = Vec::new();
    for version in 2..5 {
        starts.push(file.len().unwrap());
        log.append(&[edit(0, version, big_edit(version as i64))])
            .unwrap();
        log.sync().unwrap();
    }
    starts.push(file.len().unwrap());
    (disk, path, starts)
}

#[test]
fn rotten_bytes_that_were_synced_are_named() {
    let (disk, path, starts) = three_appends();
    for byte in 0..starts[2] {
        disk.flip_bit(&path, byte);
        // Padding and reserved bytes are under no crc: nothing is read from them.
        match open(&disk.after_power_cut(byte)) {
            Err(OpenError::Corrupt {
                path: named, pos, ..
            }) => {
                assert_eq!(named, path);
                assert!(
                    pos <= byte && byte < pos + 2_000,
                    "byte {byte} named as {pos}"
                );
            }
            Ok((_, recovered)) => assert_eq!(recovered.partitions[&partition(0)].version, 4),
            Err(other) => panic!("byte {byte}: {other}"),
        }
        disk.flip_bit(&path, byte);
    }
}

#[test]
fn a_rotten_last_append_is_a_torn_tail() {
    let (disk, path, starts) = three_appends();
    disk.flip_bit(&path, starts[2] + 40);
    let (_, recovered) = open(&disk).unwrap();
    assert_eq!(recovered.partitions[&partition(0)].version, 3);
    let tail = TornTail {
        path,
        pos: starts[2],
        len: starts[3] - starts[2],
    };
    assert_eq!(recovered.torn_tail, Some(tail));
}

#[test]
fn garbage_never_panics() {
    let (disk, path, _) = three_appends();
    let file = disk.open(&path).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    let mut rng = SmallRng::seed_from_u64(11);
    for _ in 0..500 {
        let mut wreck = bytes.clone();
        for _ in 0..rng.random_range(1..4) {
            match rng.random_range(0..4) {
                0 => wreck.truncate(rng.random_range(0..=wreck.len())),
                1 => rng.fill(&mut wreck[..]),
                2 => wreck.extend((0..rng.random_range(1..200)).map(|_| rng.random::<u8>())),
                _ if wreck.is_empty() => {}
                _ => {
                    let at = rng.random_range(0..wreck.len());
                    wreck[at] = rng.random();
                }
            }
        }
        let disk = SimDisk::new();
        disk.create(&path).unwrap().write_all_at(&wreck, 0).unwrap();
        let _ = open(&disk);
        // Past the crc, too: what decodes must hold, what does not is an error.
        let _ = minicbor::decode::<Record>(&wreck[..wreck.len().min(300)]);
    }
}

#[test]
fn fields_of_a_later_version_are_skipped() {
    let mut encoded = Vec::new();
    let mut encoder = minicbor::Encoder::new(&mut encoded);
    encoder.map(2).unwrap().u8(4).unwrap().i64(7).unwrap();
    encoder
        .u8(200)
        .unwrap()
        .array(2)
        .unwrap()
        .str("later")
        .unwrap()
        .bool(true)
        .unwrap();
    let edit: ManifestEdit = minicbor::decode(&encoded).unwrap();
    assert_eq!(
        edit,
        ManifestEdit {
            next_offset: Some(7),
            ..ManifestEdit::default()
        }
    );
}

mod fixtures {
    //! Bytes of format version 1, kept for ever.

    use super::*;

    const LOG: &[u8] = include_bytes!("../../fixtures/v1/manifest.log");
    const PATH: &str = "manifest/00000000000000000002.log";

    /// A file with a snapshot (incarnation 1, partition 0) and a delta of every kind of record.
    fn sample() -> SimDisk {
        let disk = SimDisk::new();
        let (mut log, _) = open(&disk).unwrap();
        log.append(&[start(1), create(0), edit(0, 2, flush(1, 0, 10))])
            .unwrap();
        log.roll().unwrap();
        let facts = ManifestEdit {
            producers: Some(vec![producer(5, 2)]),
            open_transactions: Some(vec![OpenTransaction {
                producer_id: 5,
                first_offset: 12,
                started: None,
            }]),
            ..flush(2, 10, 20)
        };
        log.append(&[start(2), create(1), edit(0, 3, facts)])
            .unwrap();
        log.append(&[
            create(2),
            Record::Drop {
                partition: partition(1),
            },
        ])
        .unwrap();
        log.sync().unwrap();
        disk
    }

    fn bytes(disk: &SimDisk) -> Vec<u8> {
        let file = disk.open(PATH).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    #[test]
    fn version_1_opens() {
        let disk = SimDisk::new();
        disk.create(PATH).unwrap().write_all_at(LOG, 0).unwrap();
        let (_, found) = open(&disk).unwrap();
        let (_, expected) = open(&sample()).unwrap();
        assert_eq!(found.partitions, expected.partitions);
        assert_eq!(
            found.incarnations.iter().map(|i| i.1).collect::<Vec<_>>(),
            [1, 2]
        );
        assert_eq!((found.torn_tail, found.partitions.len()), (None, 2));
    }

    #[test]
    #[ignore = "writes the fixture; only for a new format version"]
    fn write() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/v1");
        std::fs::write(format!("{directory}/manifest.log"), bytes(&sample())).unwrap();
    }
}
