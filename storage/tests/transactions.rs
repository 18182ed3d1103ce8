//! Transactions in one partition, told as short stories: what readers see and when, who is fenced, and
//! logs that come from elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidelog_records::control::{Outcome, TxnMarker};
use tidelog_records::{BatchBuilder, BatchHeader};
use tidelog_storage::disk::{Disk, SimDisk, WriteMode};
use tidelog_storage::ids::{PartitionId, TopicId};
use tidelog_storage::{
    Ack, Append, AppendError, AppendSink, Appended, EndTransaction, GroupOutcome, LogSettings,
    MarkerRule, OpenTransactions, Opened, Options, Origin, Partition, ProducerView, ReadEnd,
    ReadError, Refusal, Request, SequenceError, Terms, TransactionError, Verification, WalOptions,
    Watch, Written,
};

const ID: PartitionId = PartitionId {
    topic: TopicId([1; 16]),
    index: 0,
};

/// The answer to the request that was made last.
#[derive(Debug, Clone, PartialEq)]
enum Answer {
    Appended(Appended),
    Failed(AppendError),
    Refused(Refusal),
}

#[derive(Default)]
struct Answers(Mutex<Vec<Answer>>);

impl AppendSink for Answers {
    fn appended(&self, _: usize, outcome: Result<Appended, AppendError>) {
        let answer = outcome.map_or_else(Answer::Failed, Answer::Appended);
        self.0.lock().push(answer);
    }

    fn refused(&self, _: usize, refusal: Refusal) {
        self.0.lock().push(Answer::Refused(refusal));
    }
}

/// Storage driven one step at a time.
struct Rig {
    disk: SimDisk,
    opened: Opened,
    partition: Arc<Partition>,
    answers: Arc<Answers>,
}

impl Rig {
    fn new() -> Self {
        Self::on(SimDisk::new())
    }

    fn on(disk: SimDisk) -> Self {
        static IDS: AtomicU64 = AtomicU64::new(1);
        let fresh = || u128::from(IDS.fetch_add(1, Ordering::Relaxed)).to_be_bytes();
        let options = Options {
            wal: WalOptions {
                file_bytes: 64 << 10,
                budget_bytes: 1 << 20,
                mode: WriteMode::Buffered,
            },
            retention_interval_ms: 0,
            ballast_bytes: 0,
            ..Options::default()
        };
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let opened = tidelog_storage::open(shared, options, Arc::new(fresh), 0).expect("opens");
        assert_eq!(opened.report.damaged, []);
        let settings = LogSettings::default();
        let partition = opened.store.ensure_partition(ID, 0, settings);
        Self {
            disk,
            opened,
            partition,
            answers: Arc::default(),
        }
    }

    fn after_power_cut(&self) -> Self {
        Self::on(self.disk.after_power_cut(7))
    }

    /// Writes without a sync.
    fn write(&mut self, request: Request) -> Option<Written> {
        match self.opened.appender.append(vec![request]).expect("writes") {
            GroupOutcome::Written(written) => Some(written),
            GroupOutcome::Settled => None,
            GroupOutcome::WaitForSpace(_) => panic!("there is room"),
        }
    }

    fn sync(&mut self, written: Option<Written>) -> Answer {
        self.opened.syncer.sync().expect("syncs");
        if let Some(written) = written {
            written.settle();
        }
        self.answers.0.lock().pop().expect("answered")
    }

    fn ask(&mut self, request: Request) -> Answer {
        let written = self.write(request);
        self.sync(written)
    }

    fn offset(&mut self, request: Request) -> i64 {
        match self.ask(request) {
            Answer::Appended(appended) => appended.base_offset,
            other => panic!("{other:?}"),
        }
    }

    fn append(&self, batch: Bytes) -> Append {
        Append {
            partition: Arc::clone(&self.partition),
            header: BatchHeader::read(&batch).expect("a batch"),
            batch,
            ack: Ack::Durable,
            now: 50,
            tag: 0,
            sink: Arc::clone(&self.answers) as Arc<dyn AppendSink>,
        }
    }

    fn data(&self, producer_id: i64, epoch: i16, sequence: i32, terms: Terms) -> Request {
        let builder = BatchBuilder::new().producer(producer_id, epoch, sequence);
        Request {
            append: self.append(filled(builder.transactional())),
            origin: Origin::Producer(terms),
        }
    }

    /// A batch that the coordinator is not asked about.
    fn unasked(&self, producer_id: i64, epoch: i16, sequence: i32) -> Request {
        self.data(producer_id, epoch, sequence, terms(Verification::Waived))
    }

    fn plain(&self) -> Request {
        self.append(filled(BatchBuilder::new())).into()
    }

    fn end(&self, producer_id: i64, producer_epoch: i16, outcome: Outcome) -> EndTransaction {
        EndTransaction {
            partition: Arc::clone(&self.partition),
            producer_id,
            producer_epoch,
            marker: TxnMarker {
                outcome,
                coordinator_epoch: 5,
            },
            rule: MarkerRule::AtLeast,
            ack: Ack::Durable,
            now: 60,
            tag: 0,
            sink: Arc::clone(&self.answers) as Arc<dyn AppendSink>,
        }
    }

    fn flush(&mut self) {
        while self.opened.janitor.relieve_wal(true).expect("flushes") {}
    }

    fn stable_end(&self) -> i64 {
        self.partition.marks().stable_end
    }

    fn aborted(&self, from: i64, to: i64) -> Vec<(i64, i64)> {
        let aborted = self.partition.aborted(from, to).expect("readable");
        let pair =
            |a: tidelog_storage::manifest::AbortedTransaction| (a.producer_id, a.first_offset);
        aborted.into_iter().map(pair).collect()
    }

    /// Base offsets that a reader gets, up to `end`.
    fn read(&self, end: ReadEnd, from: i64) -> Vec<i64> {
        bases(&self.pieces(end, from))
    }

    fn pieces(&self, end: ReadEnd, from: i64) -> Vec<Bytes> {
        let plan = self.partition.plan_read_to(end, from, 1 << 20, true);
        plan.expect("in range").load().expect("loads")
    }
}

fn terms(verification: Verification) -> Terms {
    Terms {
        verification,
        transactions_v2: false,
    }
}

fn filled(mut builder: BatchBuilder) -> Bytes {
    builder.append(7, None, Some(b"value"), []).expect("fits");
    builder.finish().expect("encodes")
}

fn bases(pieces: &[Bytes]) -> Vec<i64> {
    let mut bases = Vec::new();
    for piece in pieces {
        let mut rest = piece.clone();
        while let Some(header) = BatchHeader::read(&rest) {
            bases.push(header.base_offset);
            rest = rest.slice(header.total_len()..);
        }
    }
    bases
}

#[test]
fn a_marker_that_is_not_synced_holds_the_stable_end() {
    let mut rig = Rig::new();
    assert_eq!(rig.offset(rig.plain()), 0);
    assert_eq!(rig.offset(rig.unasked(9, 0, 0)), 1);
    assert_eq!(rig.offset(rig.plain()), 2);
    assert_eq!(
        (rig.stable_end(), rig.partition.marks().high_watermark),
        (1, 3)
    );

    let written = rig.write(rig.end(9, 0, Outcome::Abort).into());
    assert_eq!((rig.stable_end(), rig.aborted(0, 9)), (1, vec![]));
    assert_eq!(rig.partition.ongoing_transaction(9), None);
    rig.sync(written);
    assert_eq!((rig.stable_end(), rig.aborted(0, 9)), (4, vec![(9, 1)]));
}

#[test]
fn waiters_are_woken_when_the_stable_end_moves() {
    struct Count(AtomicU64);
    impl Watch for Count {
        fn moved(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let mut rig = Rig::new();
    rig.offset(rig.unasked(9, 0, 0));
    let count = Arc::new(Count(AtomicU64::new(0)));
    rig.partition.watch(Arc::clone(&count) as Arc<dyn Watch>);
    let written = rig.write(rig.end(9, 0, Outcome::Commit).into());
    assert_eq!(count.0.load(Ordering::Relaxed), 0);
    rig.sync(written);
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
}

#[test]
fn readers_of_committed_records_stop_at_open_transactions_in_tail_and_segments() {
    let mut rig = Rig::new();
    rig.offset(rig.plain());
    rig.offset(rig.unasked(9, 0, 0));
    rig.offset(rig.unasked(8, 0, 0));
    rig.offset(rig.end(8, 0, Outcome::Abort).into());
    rig.offset(rig.plain());
    for _ in 0..2 {
        assert_eq!(rig.read(ReadEnd::HighWatermark, 0), [0, 1, 2, 3, 4]);
        assert_eq!(rig.read(ReadEnd::StableEnd, 0), [0]);
        assert_eq!(rig.read(ReadEnd::StableEnd, 1), [0; 0]);
        assert_eq!(rig.read(ReadEnd::StableEnd, 4), [0; 0]);
        let plan = rig.partition.plan_read_to(ReadEnd::StableEnd, 6, 100, true);
        assert!(matches!(plan, Err(ReadError::OutOfRange { .. })));
        rig = rig.after_power_cut();
        rig.flush();
    }
    assert_eq!(
        rig.opened.store.disk.list("segments").expect("lists").len(),
        1
    );
    rig.offset(rig.end(9, 0, Outcome::Commit).into());
    let pieces = rig.pieces(ReadEnd::StableEnd, 0);
    assert_eq!(bases(&pieces), [0, 1, 2, 3, 4]);
    let committed = rig.partition.committed(0, pieces).expect("readable");
    assert_eq!(bases(&committed.batches), [0, 1, 4]);
    assert_eq!(committed.end, 5);
    let rest = rig.pieces(ReadEnd::StableEnd, 5);
    let committed = rig.partition.committed(5, rest).expect("readable");
    assert_eq!((committed.batches.len(), committed.end), (0, 6));
}

#[test]
fn a_reader_whose_records_were_deleted_is_told_so() {
    let mut rig = Rig::new();
    rig.offset(rig.unasked(9, 0, 0));
    rig.offset(rig.end(9, 0, Outcome::Abort).into());
    rig.offset(rig.plain());
    let pieces = rig.pieces(ReadEnd::StableEnd, 0);
    rig.partition.delete_records(2).expect("in range");
    // What was aborted below the log start is forgotten, so these must not pass for committed.
    let committed = rig.partition.committed(0, pieces);
    assert!(matches!(committed, Err(ReadError::OutOfRange { .. })));
    assert_eq!(rig.aborted(2, 3), []);
}

#[test]
fn a_transaction_outlives_its_first_records_and_a_restart() {
    let mut rig = Rig::new();
    rig.offset(rig.unasked(9, 0, 0));
    rig.offset(rig.plain());
    rig.offset(rig.unasked(9, 0, 1));
    rig.partition.delete_records(1).expect("in range");
    rig.opened.janitor.tick(100).expect("ticks");
    for _ in 0..2 {
        let view = ProducerView {
            producer_id: 9,
            epoch: 0,
            last_sequence: 1,
            last_timestamp: rig.partition.producers()[0].last_timestamp,
            coordinator_epoch: -1,
            transaction_start: 0,
        };
        assert_eq!(rig.partition.producers(), [view]);
        let open = OpenTransactions {
            count: 1,
            oldest_started: Some(7),
        };
        assert_eq!(rig.partition.open_transactions(), open);
        assert_eq!(rig.stable_end(), 1, "not below the log start");
        rig.flush();
        rig = rig.after_power_cut();
    }
    assert_eq!(rig.offset(rig.end(9, 0, Outcome::Abort).into()), 3);
    for _ in 0..2 {
        assert_eq!((rig.stable_end(), rig.aborted(1, 4)), (4, vec![(9, 0)]));
        assert_eq!(rig.partition.producers()[0].coordinator_epoch, 5);
        rig.flush();
        rig = rig.after_power_cut();
    }
}

#[test]
fn a_power_cut_takes_a_marker_back_with_all_it_said() {
    let mut rig = Rig::new();
    rig.offset(rig.unasked(9, 0, 0));
    // Rows, flushes, answers: nothing may rest on this one.
    let _unsynced = rig.write(rig.end(9, 0, Outcome::Abort).into());
    let end = |rig: &Rig| rig.partition.marks().high_watermark;
    let mut rig = (0..64)
        .map(|seed| Rig::on(rig.disk.after_power_cut(seed)))
        .find(|rig| end(rig) == 1)
        .expect("some cut takes it");
    assert_eq!((rig.stable_end(), rig.aborted(0, 9)), (0, vec![]));
    assert_eq!(rig.partition.ongoing_transaction(9), Some((0, 0)));
    assert_eq!(rig.offset(rig.end(9, 0, Outcome::Commit).into()), 1);
    assert_eq!((rig.stable_end(), rig.aborted(0, 9)), (2, vec![]));
}

#[test]
fn who_is_not_verified_or_fenced_is_told_why() {
    let mut rig = Rig::new();
    let refused = |error| Answer::Refused(Refusal::Transaction(error));
    let not_open = refused(TransactionError::NotOpen { producer_id: 9 });
    let bare = rig.data(9, 0, 0, Terms::default());
    assert_eq!(rig.ask(bare), not_open);
    let before = rig.partition.guard_verification();
    // The coordinator gave up on the transaction while it was being asked about it.
    rig.offset(rig.end(9, 0, Outcome::Abort).into());
    let late = rig.data(9, 0, 0, terms(Verification::Since(before)));
    assert_eq!(rig.ask(late), not_open);
    let guard = rig.partition.guard_verification();
    let verified = rig.data(9, 0, 0, terms(Verification::Since(guard)));
    assert_eq!(rig.offset(verified), 1);
    assert_eq!(rig.partition.ongoing_transaction(9), Some((0, 1)));
    // Nothing more to verify while it is open.
    assert_eq!(rig.offset(rig.data(9, 0, 1, Terms::default())), 2);
    let resent = rig.ask(rig.data(9, 0, 0, Terms::default()));
    assert!(
        matches!(resent, Answer::Appended(a) if a.base_offset == 1 && a.duplicate_of.is_some())
    );

    let mut zombie = rig.end(9, 0, Outcome::Commit);
    zombie.marker.coordinator_epoch = 4;
    let fenced = TransactionError::CoordinatorFenced { current: 5, got: 4 };
    assert_eq!(rig.ask(zombie.into()), refused(fenced));
    rig.offset(rig.end(9, 3, Outcome::Commit).into());
    let stale = SequenceError::StaleEpoch { current: 3, got: 0 };
    let stale = Answer::Failed(AppendError::Sequence(stale));
    assert_eq!(rig.ask(rig.unasked(9, 0, 2)), stale);
    assert_eq!(rig.ask(rig.end(9, 0, Outcome::Abort).into()), stale);
    assert_eq!(
        rig.partition.marks().high_watermark,
        4,
        "nothing refused was written"
    );
}

/// Batches of another log: dense where they were produced so, with gaps where it was compacted.
fn foreign_log(rng: &mut StdRng) -> Vec<Bytes> {
    let mut offset = rng.random_range(0..50);
    let mut open: Vec<i64> = Vec::new();
    let mut batches = Vec::new();
    for _ in 0..40 {
        let producer_id = rng.random_range(1..4);
        let ends = open.contains(&producer_id) && rng.random_bool(0.4);
        let batch = if ends {
            open.retain(|id| *id != producer_id);
            let outcome = if rng.random() {
                Outcome::Abort
            } else {
                Outcome::Commit
            };
            let marker = TxnMarker {
                outcome,
                coordinator_epoch: 2,
            };
            marker
                .to_batch(producer_id, 0, offset, 9, 1_000)
                .expect("fits")
        } else {
            open.push(producer_id);
            // Sequences as compaction left them; nobody checks.
            let sequence = offset as i32;
            let builder = BatchBuilder::new().base_offset(offset).leader_epoch(9);
            filled(builder.producer(producer_id, 0, sequence).transactional())
        };
        batches.push(batch);
        offset += 1 + if rng.random_bool(0.3) {
            rng.random_range(1..1 << 33)
        } else {
            0
        };
    }
    batches
}

#[test]
fn an_imported_log_keeps_its_offsets_gaps_and_transactions() {
    for seed in 0..30 {
        let mut rng = StdRng::seed_from_u64(seed);
        let log = foreign_log(&mut rng);
        let starts: Vec<i64> = bases(&log);
        let mut rig = Rig::new();
        assert!(rig.partition.begin_at(starts[0]));
        rig.opened.janitor.persist_log_starts().expect("persists");
        for batch in &log {
            let request = Request::import(rig.append(batch.clone())).expect("as Kafka has it");
            let base_offset = BatchHeader::read(batch).expect("a batch").base_offset;
            assert_eq!(rig.offset(request), base_offset);
            if rng.random_bool(0.1) {
                rig.flush();
            }
            if rng.random_bool(0.1) {
                rig = rig.after_power_cut();
            }
        }
        assert!(!rig.partition.begin_at(99), "it holds something");
        for round in 0..3 {
            let marks = rig.partition.marks();
            let end = *starts.last().expect("some") + 1;
            assert_eq!((marks.log_start, marks.high_watermark), (starts[0], end));
            let mut offset = starts[0];
            let mut read = Vec::new();
            while offset < end {
                read.extend(rig.read(ReadEnd::HighWatermark, offset));
                offset = read.last().expect("something") + 1;
            }
            assert_eq!(read, starts, "seed {seed}, round {round}");
            assert_eq!(
                rig.partition.epoch_at(starts[0]),
                Some(0),
                "ours, not theirs"
            );
            let (stable_end, aborted) = told_by(&log);
            assert_eq!(rig.stable_end(), stable_end.min(end));
            assert_eq!(
                rig.aborted(starts[0], end),
                aborted,
                "seed {seed}, round {round}"
            );
            rig.flush();
            rig = rig.after_power_cut();
        }
        let below = rig.ask(Request::import(rig.append(log[0].clone())).expect("a batch"));
        assert!(matches!(below, Answer::Refused(Refusal::BelowEnd { .. })));
    }
}

/// First offset of the oldest open transaction, and the aborted ones by first offset.
fn told_by(log: &[Bytes]) -> (i64, Vec<(i64, i64)>) {
    let mut open = std::collections::BTreeMap::new();
    let mut aborted = Vec::new();
    for batch in log {
        let header = BatchHeader::read(batch).expect("a batch");
        if !header.is_control() {
            open.entry(header.producer_id).or_insert(header.base_offset);
            continue;
        }
        let marker = TxnMarker::of_batch(batch)
            .expect("reads")
            .expect("a marker");
        if let (Some(first), Outcome::Abort) = (open.remove(&header.producer_id), marker.outcome) {
            aborted.push((header.producer_id, first));
        }
    }
    aborted.sort_by_key(|(_, first)| *first);
    (open.into_values().min().unwrap_or(i64::MAX), aborted)
}

#[test]
fn what_is_no_marker_is_not_taken() {
    let mut rig = Rig::new();
    let builder = || BatchBuilder::new().producer(1, 0, -1).control();
    for batch in [
        filled(builder()),
        filled(builder().producer(1, 0, 7)),
        filled(BatchBuilder::new().base_offset(-1)),
        filled(BatchBuilder::new().base_offset(i64::MAX)),
    ] {
        assert!(Request::import(rig.append(batch)).is_err());
    }
    let control = rig.append(filled(builder())).into();
    let not_open = TransactionError::NotOpen { producer_id: 1 };
    assert_eq!(
        rig.ask(control),
        Answer::Refused(Refusal::Transaction(not_open))
    );
}
