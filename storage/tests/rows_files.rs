//! Rows files and their partition: named, kept over a stop, trimmed with the log, gone with the topic.

#[path = "world/rows.rs"]
mod rows;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidelog_records::{BatchBuilder, BatchHeader};
use tidelog_storage::disk::{Disk, SimDisk, WriteMode};
use tidelog_storage::ids::{PartitionId, TopicId};
use tidelog_storage::rows::RowsMeta;
use tidelog_storage::segment::{self, FileId};
use tidelog_storage::{
    Ack, Append, AppendError, AppendSink, Appended, Engine, FlushMode, InstallError, LogSettings,
    Options, Partition, WalOptions,
};

const PATIENCE: Duration = Duration::from_secs(20);
const TOPIC: TopicId = TopicId([1; 16]);

struct Answer(std::sync::mpsc::Sender<Result<Appended, AppendError>>);

impl AppendSink for Answer {
    fn appended(&self, _: usize, outcome: Result<Appended, AppendError>) {
        self.0.send(outcome).expect("the test waits");
    }
}

fn start(disk: &SimDisk, flush_mode: FlushMode) -> Engine {
    static IDS: AtomicU64 = AtomicU64::new(1);
    let fresh = || u128::from(IDS.fetch_add(1, Ordering::Relaxed)).to_be_bytes();
    let options = Options {
        wal: WalOptions {
            file_bytes: 64 << 10,
            budget_bytes: 1 << 20,
            mode: WriteMode::Buffered,
        },
        flush_mode,
        removal_grace_ms: 0,
        ballast_bytes: 0,
        ..Options::default()
    };
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let opened = tidelog_storage::open(disk, options, Arc::new(fresh), 0).expect("opens");
    assert_eq!(opened.report.damaged, []);
    Engine::start(opened)
}

fn partition(engine: &Engine) -> Arc<Partition> {
    let id = PartitionId {
        topic: TOPIC,
        index: 0,
    };
    let settings = LogSettings::default();
    engine.store().ensure_partition(id, 0, settings)
}

/// Appends batches of one record; answers them with their offsets set.
fn append(engine: &Engine, count: usize) -> Vec<Bytes> {
    let first = partition(engine).marks().high_watermark;
    let (sender, answers) = channel();
    let sink: Arc<dyn AppendSink> = Arc::new(Answer(sender));
    for _ in 0..count {
        let mut builder = BatchBuilder::new();
        builder.append(7, None, Some(b"value"), []).expect("fits");
        let batch = builder.finish().expect("encodes");
        engine.append([Append {
            partition: partition(engine),
            header: BatchHeader::read(&batch).expect("a batch"),
            batch,
            ack: Ack::Durable,
            now: 0,
            tag: 0,
            sink: Arc::clone(&sink),
        }]);
        let answer = answers.recv_timeout(PATIENCE).expect("answered");
        answer.expect("there is room");
    }
    let plan = partition(engine).plan_read(first, 1 << 20, true);
    let pieces = plan.expect("readable").load().expect("loads");
    let mut batches = Vec::new();
    for mut piece in pieces {
        while let Some(header) = BatchHeader::read(&piece) {
            batches.push(piece.split_to(header.total_len()));
        }
    }
    batches
}

fn write(engine: &Engine, from: i64, batches: &[Bytes]) -> RowsMeta {
    let store = engine.store();
    let file = FileId((store.fresh_id)());
    let disk = Arc::clone(&store.disk);
    rows::write(disk, file, &partition(engine), from, batches).expect("writes")
}

fn install(engine: &Engine, partition: Arc<Partition>, meta: RowsMeta) -> Result<(), InstallError> {
    let (done, outcome) = channel();
    engine.install_rows(
        partition,
        meta,
        Box::new(move |installed| done.send(installed).expect("the test waits")),
    );
    outcome.recv_timeout(PATIENCE).expect("answered")
}

/// Ticks until only `count` files are left.
fn wait_for_files(engine: &Engine, count: usize) {
    let started = Instant::now();
    let mut now = 0;
    while segment::list(&*engine.store().disk).expect("lists").len() != count {
        now += 1_000;
        engine.tick(now);
        assert!(started.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn files_follow_each_other_and_outlive_a_stop() {
    let disk = SimDisk::new();
    let engine = start(&disk, FlushMode::Sync);
    let batches = append(&engine, 10);
    let first = write(&engine, 0, &batches[..6]);
    install(&engine, partition(&engine), first).expect("taken");
    let gap = write(&engine, 7, &batches[7..]);
    let refused = install(&engine, partition(&engine), gap);
    assert!(
        matches!(refused, Err(InstallError::Chore(_))),
        "{refused:?}"
    );
    let next = write(&engine, 6, &batches[6..]);
    install(&engine, partition(&engine), next).expect("the refusal changed nothing");
    drop(engine);

    let engine = start(&disk.after_power_cut(3), FlushMode::Sync);
    assert_eq!(partition(&engine).rows_to(), 10);
    let expected: Vec<_> = batches.iter().map(rows::row_of).collect();
    assert_eq!(rows::read_all(&partition(&engine)), expected);
    let files = segment::list(&*engine.store().disk).expect("lists");
    assert_eq!(files.len(), 2, "the one that was not taken is gone");
}

#[test]
fn they_go_with_the_records_and_with_the_topic() {
    let disk = SimDisk::new();
    let engine = start(&disk, FlushMode::Sync);
    let batches = append(&engine, 9);
    for part in 0..3 {
        let meta = write(&engine, part * 3, &batches[part as usize * 3..][..3]);
        install(&engine, partition(&engine), meta).expect("taken");
    }
    partition(&engine).delete_records(7).expect("in the log");
    wait_for_files(&engine, 1);
    let view = partition(&engine).rows_from(0);
    assert_eq!((view.rows_to, view.files.len()), (9, 1));

    let late = write(&engine, 9, &append(&engine, 1));
    let deleted = partition(&engine);
    engine.delete_topic(TOPIC);
    let refused = install(&engine, deleted, late);
    assert!(matches!(refused, Err(InstallError::Deleted)), "{refused:?}");
    wait_for_files(&engine, 0);
}

#[test]
fn what_rows_hold_is_in_the_log_even_if_appends_wait_for_no_sync() {
    let disk = SimDisk::new();
    let engine = start(&disk, FlushMode::Os);
    let batches = append(&engine, 5);
    let meta = write(&engine, 0, &batches);
    install(&engine, partition(&engine), meta).expect("taken");
    let after = disk.after_power_cut(1);
    let engine = start(&after, FlushMode::Os);
    assert_eq!(partition(&engine).rows_to(), 5);
    assert_eq!(partition(&engine).marks().high_watermark, 5);
}

#[test]
fn a_storage_that_ends_takes_no_more() {
    let disk = SimDisk::new();
    let engine = start(&disk, FlushMode::Sync);
    let batches = append(&engine, 2);
    let meta = write(&engine, 0, &batches);
    engine.close();
    let refused = install(&engine, partition(&engine), meta);
    assert!(matches!(refused, Err(InstallError::Closing)), "{refused:?}");
}
