//! A compacted log at work: rounds come by themselves, tick by tick, while its readers go on; what they
//! had planned to read before a round stays readable.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use bytes::Bytes;
use tidelog_records::{BatchBuilder, BatchHeader, Records};
use tidelog_storage::disk::{Disk, SimDisk, WriteMode};
use tidelog_storage::ids::{PartitionId, TopicId};
use tidelog_storage::{
    Ack, Append, AppendError, AppendSink, Appended, CompactionOptions, CompactionSettings, Engine,
    LogSettings, Options, Partition, WalOptions,
};

const BATCHES: i64 = 40;
const KEYS: i64 = 8;

struct Answers(Sender<Result<Appended, AppendError>>);

impl AppendSink for Answers {
    fn appended(&self, _: usize, outcome: Result<Appended, AppendError>) {
        self.0.send(outcome).expect("the test waits");
    }
}

struct Rig {
    engine: Engine,
    partition: Arc<Partition>,
    sink: Arc<Answers>,
    answers: Receiver<Result<Appended, AppendError>>,
}

fn settings(seal_bytes: u64) -> LogSettings {
    let compaction = CompactionSettings {
        seal_bytes,
        ..CompactionSettings::default()
    };
    LogSettings {
        compaction: Some(compaction),
        ..LogSettings::default()
    }
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
        compaction: CompactionOptions {
            interval_ms: 0,
            ..CompactionOptions::default()
        },
        ..Options::default()
    };
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let opened = tidelog_storage::open(disk, options, Arc::new(fresh), 0).expect("opens");
    let engine = Engine::start(opened);
    let id = PartitionId {
        topic: TopicId([1; 16]),
        index: 0,
    };
    let partition = engine.store().ensure_partition(id, 0, settings(u64::MAX));
    let (sender, answers) = channel();
    Rig {
        engine,
        partition,
        sink: Arc::new(Answers(sender)),
        answers,
    }
}

impl Rig {
    /// Appends a batch of one record, whose key is its offset modulo [`KEYS`].
    fn append(&self, offset: i64) {
        let mut builder = BatchBuilder::new();
        let (key, value) = ((offset % KEYS).to_be_bytes(), [offset as u8; 500]);
        builder
            .append(7, Some(&key), Some(&value), [])
            .expect("fits");
        let batch = builder.finish().expect("encodes");
        self.engine.append([Append {
            partition: Arc::clone(&self.partition),
            header: BatchHeader::read(&batch).expect("a batch"),
            batch,
            ack: Ack::Durable,
            now: 0,
            tag: 0,
            sink: Arc::clone(&self.sink) as Arc<dyn AppendSink>,
        }]);
        let answer = self.answers.recv_timeout(Duration::from_secs(20));
        assert_eq!(answer.expect("answered").expect("room").base_offset, offset);
    }

    /// Offsets of the records that a reader finds who begins at `from`.
    fn read(&self, from: i64) -> Vec<i64> {
        let plan = self.partition.plan_read(from, 1 << 20, true);
        offsets(plan.expect("in the log").load().expect("loads"))
    }

    /// Ticks until `done`.
    fn tick_until(&self, done: impl Fn(&Self) -> bool) {
        for now in 1..2_000 {
            if done(self) {
                return;
            }
            self.engine.tick(now);
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("it did not come to that");
    }
}

fn offsets(pieces: Vec<Bytes>) -> Vec<i64> {
    let mut found = Vec::new();
    for mut piece in pieces {
        while let Some(header) = BatchHeader::read(&piece) {
            let batch = piece.split_to(header.total_len());
            let records = Records::open(&batch, 1 << 20).expect("a batch");
            found.extend(records.iter().map(|record| record.expect("whole").offset));
        }
    }
    found
}

#[test]
fn a_round_comes_by_itself_and_disturbs_no_reader() {
    let disk = SimDisk::new();
    let rig = start(&disk);
    (0..BATCHES).for_each(|offset| rig.append(offset));
    let all: Vec<_> = (0..BATCHES).collect();
    let newest: Vec<_> = (BATCHES - KEYS..BATCHES).collect();
    assert_eq!(rig.read(0), all);

    // The tail alone is never compacted. Sealed it is, in the same tick or a later one.
    rig.partition.configure(settings(1));
    let before = rig
        .partition
        .plan_read(0, 1 << 20, true)
        .expect("in the log");
    rig.tick_until(|rig| rig.read(0) == newest);
    assert_eq!(offsets(before.load().expect("still there")), all);
    assert_eq!(rig.read(3), newest, "a reader in a gap goes on behind it");

    // Another start finds the log as it was.
    rig.append(BATCHES);
    drop(rig);
    let rig = start(&disk);
    assert_eq!(rig.read(0), newest);
    assert_eq!(rig.read(BATCHES), [BATCHES]);
}
