//! What goes wrong while the power stays on: a full disk, a sync that fails, bits that rot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use bytes::Bytes;
use tidelog_records::{BatchBuilder, BatchHeader};
use tidelog_storage::disk::{Disk, Fault, SimDisk, WriteMode};
use tidelog_storage::ids::{PartitionId, TopicId};
use tidelog_storage::{
    Ack, Append, AppendError, AppendSink, Appended, Engine, FlushMode, LogSettings, Options,
    Partition, ReadError, Report, Standing, WalOptions, Watch,
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
    start_with(disk, FlushMode::Sync)
}

fn start_with(disk: &SimDisk, flush_mode: FlushMode) -> Rig {
    static IDS: AtomicU64 = AtomicU64::new(1);
    let fresh = || u128::from(IDS.fetch_add(1, Ordering::Relaxed)).to_be_bytes();
    let options = Options {
        wal: WalOptions {
            file_bytes: 64 << 10,
            budget_bytes: 1 << 20,
            mode: WriteMode::Buffered,
        },
        flush_mode,
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

/// Counts how often storage failed or was opened again.
#[derive(Default)]
struct Changes(AtomicU64);

impl Watch for Changes {
    fn moved(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Rig {
    /// Waits until storage is open again, and tells the time meanwhile if it is given.
    fn wait_until_open(&self, now: Option<i64>) {
        let open = (0..2_000).any(|_| {
            now.iter().for_each(|now| self.engine.tick(*now));
            std::thread::sleep(Duration::from_millis(5));
            self.engine.failure().is_none()
        });
        assert!(open, "{:?}", self.engine.failure());
    }
}

#[test]
fn after_a_failed_sync_a_new_incarnation_goes_on_from_what_is_durable() {
    for fault in [Fault::Undone, Fault::Done, Fault::Lost] {
        let disk = SimDisk::new();
        let rig = start(&disk);
        let changes = Arc::new(Changes::default());
        rig.engine
            .watch_failure(Arc::clone(&changes) as Arc<dyn Watch>);
        rig.append(0, b"safe").expect("synced");
        // The next step writes the slot, the one after syncs it.
        let sync = disk.steps() + 2;
        disk.fail_steps(sync..=sync, fault);
        let error = rig.append(0, b"unknown").expect_err("its sync failed");
        assert!(matches!(error, AppendError::Storage(_)), "{error}");
        rig.wait_until_open(None);
        assert_eq!(
            changes.0.load(Ordering::Relaxed),
            2,
            "failed, and open again"
        );

        let partition = rig.partition(0);
        let marks = partition.marks();
        assert_eq!((marks.high_watermark, marks.leader_epoch), (1, 1));
        assert_eq!(partition.epoch_end(0), Some((0, 1)));
        assert_eq!(rig.append(0, b"again").expect("appended").base_offset, 1);
        assert_eq!(partition.epoch_end(0), Some((0, 1)));
        assert_eq!(partition.epoch_at(1), Some(1));
        assert_eq!(partition.marks().high_watermark, 2);
        drop((rig, partition));

        for seed in 0..4 {
            let rig = start(&disk.after_power_cut(seed));
            let read: Vec<u8> = read(&rig.partition(0), 0).expect("reads").concat();
            let holds = |value: &[u8]| read.windows(value.len()).any(|w| w == value);
            assert!(holds(b"safe") && holds(b"again") && !holds(b"unknown"));
            assert_eq!(rig.partition(0).marks().leader_epoch, 2);
        }
    }
}

#[test]
fn a_disk_that_goes_on_failing_is_tried_with_pauses() {
    let disk = SimDisk::new();
    let rig = start(&disk);
    rig.append(0, b"safe").expect("synced");
    disk.fail_steps(disk.steps() + 1..=u64::MAX, Fault::Undone);
    let refused = rig.append(0, b"refused").expect_err("the disk fails");
    assert!(matches!(refused, AppendError::Storage(_)), "{refused}");
    for now in 1..=40 {
        rig.engine.tick(now * 1_000);
        std::thread::sleep(Duration::from_millis(5));
        assert!(rig.engine.failure().is_some());
        assert!(matches!(rig.append(0, b"x"), Err(AppendError::Storage(_))));
        assert_eq!(read(&rig.partition(0), 0).expect("reads go on").len(), 1);
    }
    // The first steps of six attempts, and of mending the manifest log at each tick.
    assert!(disk.faults() < 100, "{} faults", disk.faults());
    disk.heal();
    rig.wait_until_open(Some(100_000));
    assert_eq!(rig.append(0, b"after").expect("appended").base_offset, 1);
}

/// Appends `count` values to partition `index`, each again until it is acknowledged; answers them by
/// offset.
fn append_whatever_happens(engine: &Engine, index: i32, count: u32) -> Vec<(i64, Bytes)> {
    let (sender, answers) = channel();
    let sink: Arc<dyn AppendSink> = Arc::new(Answers(sender));
    let id = PartitionId {
        topic: TopicId([1; 16]),
        index,
    };
    let partition = engine
        .store()
        .ensure_partition(id, 0, LogSettings::default());
    let mut acked = Vec::new();
    for number in 0..count {
        let bytes = batch(format!("value {number} of {index} {}", "x".repeat(700)).as_bytes());
        let header = BatchHeader::read(&bytes).expect("a batch");
        loop {
            engine.append([Append {
                partition: Arc::clone(&partition),
                batch: bytes.clone(),
                header,
                ack: Ack::Durable,
                now: 0,
                tag: 0,
                sink: Arc::clone(&sink),
            }]);
            let answer = answers.recv_timeout(Duration::from_secs(20));
            match answer.expect("answered") {
                Ok(appended) => {
                    acked.push((appended.base_offset, bytes.slice(16..)));
                    break;
                }
                Err(AppendError::Storage(_) | AppendError::NoSpace(_)) => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    acked
}

#[test]
fn what_was_told_to_have_failed_is_never_there_and_what_was_acked_always_is() {
    let disk = SimDisk::new();
    let rig = start(&disk);
    let engine = &rig.engine;
    let done = AtomicU64::new(0);
    let acked = std::thread::scope(|scope| {
        let producers: Vec<_> = (0..4)
            .map(|index| scope.spawn(move || append_whatever_happens(engine, index, 150)))
            .collect();
        scope.spawn(|| {
            let faults = [Fault::Undone, Fault::Done, Fault::Lost];
            for round in 1_u32.. {
                // Each failure is one after a quiet time, so that it is dealt with at once.
                engine.tick(i64::from(round) * 100_000);
                let step = disk.steps() + u64::from(round) * 7 % 11;
                disk.fail_steps(step..=step, faults[round as usize % 3]);
                std::thread::sleep(Duration::from_millis(2));
                if done.load(Ordering::Relaxed) > 0 {
                    return;
                }
            }
        });
        let acked: Vec<_> = producers
            .into_iter()
            .map(|producer| producer.join().expect("a producer"))
            .collect();
        done.store(1, Ordering::Relaxed);
        acked
    });
    assert!(engine.store().present_incarnation() > 3, "some were ended");
    let check = |rig: &Rig| {
        for (index, acked) in acked.iter().enumerate() {
            let partition = rig.partition(index as i32);
            let mut offset = 0;
            for (at, body) in acked {
                // Read one by one: nothing else is between them.
                assert_eq!(*at, offset);
                let plan = partition.plan_read(offset, 1, true).expect("readable");
                let read = plan.load().expect("loads").concat();
                assert_eq!(&read[16..], body);
                offset += 1;
            }
            assert_eq!(partition.marks().high_watermark, offset);
        }
    };
    check(&rig);
    let power_cut = disk.after_power_cut(1);
    drop(rig);
    check(&start(&power_cut));
}

#[test]
fn an_engine_without_a_disk_can_be_closed() {
    let disk = SimDisk::new();
    let rig = start(&disk);
    rig.append(0, b"safe").expect("synced");
    disk.fail_steps(1..=u64::MAX, Fault::Undone);
    rig.append(0, b"lost").expect_err("the disk fails");
    rig.engine.close();
    let refused = rig.append(0, b"late").expect_err("closed");
    assert!(refused.to_string().contains("shutting down"), "{refused}");
}

#[test]
fn without_a_sync_for_each_slot_a_failure_takes_nothing_that_was_read() {
    let disk = SimDisk::new();
    let rig = start_with(&disk, FlushMode::Os);
    for round in 0..20 {
        assert_eq!(
            rig.append(round % 2, b"kept").expect("written").base_offset,
            i64::from(round / 2)
        );
    }
    let write = disk.steps() + 1;
    disk.fail_steps(write..=write, Fault::Undone);
    rig.append(0, b"refused").expect_err("its write failed");
    rig.wait_until_open(None);
    assert_eq!(rig.partition(0).marks().high_watermark, 10);
    assert_eq!(rig.append(0, b"on we go").expect("written").base_offset, 10);
    assert_eq!(rig.partition(0).marks().leader_epoch, 1);
    drop(rig);

    let rig = start(&disk.after_power_cut(1));
    assert_eq!(rig.report.damaged, []);
    assert!(
        rig.partition(0).marks().high_watermark >= 10,
        "written to segments"
    );
    assert!(
        rig.partition(1).marks().high_watermark >= 10,
        "written to segments"
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
