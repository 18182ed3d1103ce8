//! What goes wrong while the power stays on: a full disk, a sync that fails, bits that rot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use bytes::Bytes;
use tidelog_records::{BatchBuilder, BatchHeader};
use tidelog_storage::disk::{Disk, SimDisk, WriteMode};
use tidelog_storage::ids::{PartitionId, TopicId};
use tidelog_storage::{
    Ack, Append, AppendError, AppendSink, Appended, Engine, LogSettings, Options, Partition,
    ReadError, Report, Standing, WalOptions,
};

struct Answers(Sender<Result<Appended, AppendError>>);

impl AppendSink for Answers {
    fn appended(&self, _: usize, outcome: Result<Appended, AppendError>) {
        self.0.send(outcome).expect("the test waits");
    }
}

/// A running storage and a way to append to it.
struct Rig {
    engine: Engine,
    report: Report,
    sink: Arc<Answers>,
    answers: Receiver<Result<Appended, AppendError>>,
}

fn start(disk: &SimDisk) -> Rig {
    static IDS: AtomicU64 = AtomicU64::new(1);
    let fresh = || u128::from(IDS.fetch_add(1, Ordering::Relaxed)).to_be_bytes();
    let options = Options {
        wal: WalOptions {
            file_bytes: 64 << 10,
            budget_bytes: 1 << 20,
            mode: WriteMode::Buffered,
        },
        ballast_bytes: 0,
        ..Options::default()
    };
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let opened = tidelog_storage::open(disk, options, Arc::new(fresh), 0).expect("opens");
    let report = opened.report.clone();
    let engine = Engine::start(opened);
    let (sender, answers) = channel();
    Rig {
        engine,
        report,
        sink: Arc::new(Answers(sender)),
        answers,
    }
}

impl Rig {
    fn partition(&self, index: i32) -> Arc<Partition> {
        let id = PartitionId {
            topic: TopicId([1; 16]),
            index,
        };
        self.engine
            .store()
            .ensure_partition(id, 0, LogSettings::default())
    }

    fn append(&self, index: i32, value: &[u8]) -> Result<Appended, AppendError> {
        let bytes = batch(value);
        let header = BatchHeader::read(&bytes).expect("a batch");
        self.engine.append([Append {
            partition: self.partition(index),
            batch: bytes,
            header,
            ack: Ack::Durable,
            now: 0,
            tag: 0,
            sink: Arc::clone(&self.sink) as Arc<dyn AppendSink>,
        }]);
        self.answers
            .recv_timeout(Duration::from_secs(20))
            .expect("answered")
    }
}

fn batch(value: &[u8]) -> Bytes {
    let mut builder = BatchBuilder::new();
    builder.append(7, None, Some(value), []).expect("fits");
    builder.finish().expect("encodes")
}

fn read(partition: &Partition, offset: i64) -> Result<Vec<Bytes>, ReadError> {
    partition.plan_read(offset, 1 << 20, true)?.load()
}

#[test]
fn a_full_disk_refuses_before_offsets_are_given_and_recovers() {
    let disk = SimDisk::new();
    let rig = start(&disk);
    assert_eq!(rig.append(0, b"first").expect("room").base_offset, 0);
    disk.set_capacity(Some(0));
    let large = vec![1; 60 << 10];
    let mut accepted = 1;
    let refused = loop {
        match rig.append(0, &large) {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted < 20, "the allocated space has an end");
    };
    assert!(matches!(refused, AppendError::NoSpace(_)), "{refused}");
    assert_eq!(read(&rig.partition(0), 0).expect("reads go on").len(), 1);
    disk.set_capacity(None);
    let again = rig.append(0, &large).expect("room again");
    assert_eq!(
        again.base_offset, accepted,
        "no offset was lost to the full disk"
    );
}

#[test]
fn a_full_wal_on_a_full_disk_answers_instead_of_hanging() {
    let disk = SimDisk::new();
    let rig = start(&disk);
    let large = vec![1; 60 << 10];
    // The WAL may grow to its budget; then a segment would have to be written first.
    for _ in 0..14 {
        rig.append(0, &large).expect("room");
    }
    disk.set_capacity(Some(0));
    let refused = (0..20).find_map(|_| rig.append(0, &large).err());
    let refused = refused.expect("the allocated space has an end");
    assert!(matches!(refused, AppendError::NoSpace(_)), "{refused}");
    disk.set_capacity(None);
    let again = (0..20).find_map(|_| rig.append(0, &large).ok());
    assert!(again.is_some(), "room again");
    rig.engine.close();
}

#[test]
fn a_failed_sync_ends_appending_and_the_next_start_knows_the_truth() {
    let disk = SimDisk::new();
    let rig = start(&disk);
    rig.append(0, b"safe").expect("synced");
    disk.fail_sync(1);
    let error = rig.append(0, b"unknown").expect_err("its sync failed");
    assert!(matches!(error, AppendError::Storage(_)), "{error}");
    assert!(
        matches!(rig.append(0, b"after"), Err(AppendError::Storage(_))),
        "never retried"
    );
    assert!(rig.engine.failure().is_some());
    assert_eq!(
        rig.partition(0).marks().high_watermark,
        1,
        "readers see what is durable"
    );
    assert_eq!(read(&rig.partition(0), 0).expect("reads go on").len(), 1);
    drop(rig);

    let rig = start(&disk.after_power_cut(3));
    let end = rig.partition(0).marks().high_watermark;
    assert!(
        (1..=2).contains(&end),
        "the unknown record is there or not, the safe one is: {end}"
    );
    assert_eq!(
        rig.append(0, b"on we go")
            .expect("a new incarnation")
            .base_offset,
        end
    );
}

/// Writes five batches to each of two partitions, each synced by itself, and answers the disk.
fn ten_slots() -> SimDisk {
    let disk = SimDisk::new();
    let rig = start(&disk);
    for round in 0..5 {
        for index in 0..2 {
            rig.append(index, format!("value {round}").as_bytes())
                .expect("appended");
        }
    }
    drop(rig);
    disk.after_process_kill()
}

#[test]
fn rot_in_a_synced_footer_damages_its_partition_and_no_other() {
    let disk = ten_slots();
    // Slot 0 is the seal; slot n holds one batch. Partition 0 has the odd ones.
    let third_of_partition_0 = 5 * 4096;
    disk.flip_bit("wal/00000000.wal", third_of_partition_0 + 128 + 80);
    let rig = start(&disk);
    assert_eq!(rig.report.lost_slots, [5]);
    let damaged: Vec<_> = rig.report.damaged.iter().map(|(id, _)| id.index).collect();
    assert_eq!(damaged, [0]);
    let Standing::Damaged(why) = rig.partition(0).standing() else {
        panic!("not damaged")
    };
    assert!(why.contains("offsets 2 to 2"), "{why}");
    assert!(matches!(
        read(&rig.partition(0), 0),
        Err(ReadError::Damaged(_))
    ));
    assert!(matches!(rig.append(0, b"x"), Err(AppendError::Damaged(_))));
    assert_eq!(rig.partition(1).marks().high_watermark, 5);
    assert_eq!(rig.append(1, b"x").expect("served").base_offset, 5);
}

#[test]
fn a_clean_stop_replays_to_the_same_log() {
    let disk = ten_slots();
    let rig = start(&disk);
    assert_eq!(rig.report.damaged, []);
    assert_eq!(rig.report.batches_replayed, 10);
    assert_eq!(rig.partition(0).marks().high_watermark, 5);
    assert_eq!(
        rig.partition(0).marks().leader_epoch,
        1,
        "one restart since it was made"
    );
    assert_eq!(rig.partition(0).epoch_end(0), Some((0, 5)));
}

#[test]
fn appends_of_many_threads_are_all_answered_in_dense_offsets() {
    let disk = SimDisk::new();
    let rig = start(&disk);
    let partition = rig.partition(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let (engine, partition, sink) = (&rig.engine, &partition, &rig.sink);
            scope.spawn(move || {
                for _ in 0..200 {
                    let bytes = batch(b"value");
                    let header = BatchHeader::read(&bytes).expect("a batch");
                    let sink = Arc::clone(sink) as Arc<dyn AppendSink>;
                    let partition = Arc::clone(partition);
                    engine.append([Append {
                        partition,
                        batch: bytes,
                        header,
                        ack: Ack::Durable,
                        now: 0,
                        tag: 0,
                        sink,
                    }]);
                }
            });
        }
    });
    let wait = Duration::from_secs(20);
    let mut offsets: Vec<i64> = (0..1600)
        .map(|_| {
            rig.answers
                .recv_timeout(wait)
                .expect("answered")
                .expect("appended")
                .base_offset
        })
        .collect();
    offsets.sort_unstable();
    assert!(offsets.into_iter().eq(0..1600));
    let syncs = rig.engine.store().written.syncs.load(Ordering::Relaxed);
    assert!(syncs < 1600, "group commit shares syncs: {syncs}");
}
