#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
#![allow(dead_code, reason = "each story uses a part of the world")]

//! Storage on a simulated disk, driven one step at a time, beside a plain model of what it was told.
//!
//! The model knows every batch that was handed over and whether it was acknowledged as durable.
//! After any wreck the recovered log of each partition must be a prefix of what was handed over that
//! holds at least everything acknowledged, byte for byte, and the producers must be recognised.

mod compacted;
mod faults;
mod rows;
mod transactions;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidelog_records::{BatchBuilder, BatchHeader};
use tidelog_storage::disk::{Disk, SimDisk, WriteMode};
use tidelog_storage::ids::{PartitionId, TopicId};
use tidelog_storage::segment::FileId;
use tidelog_storage::segment::merge::MergePolicy;
use tidelog_storage::{
    Ack, Append, AppendError, AppendSink, Appended, FlushMode, GroupOutcome, LogSettings, Opened,
    Options, Origin, Partition, Request, Terms, WalOptions, Written,
};

pub const PARTITIONS: i32 = 5;

/// Of these partitions, the one that is compacted by key.
pub const COMPACTED: i32 = 3;
/// The one with transactions.
const TRANSACTIONAL: i32 = 4;

/// Small enough that a few dozen batches go through every file there is.
pub fn options() -> Options {
    Options {
        wal: WalOptions {
            file_bytes: 16 << 10,
            budget_bytes: 80 << 10,
            mode: WriteMode::Buffered,
        },
        flush_mode: FlushMode::Sync,
        tail_memory_bytes: 12 << 10,
        slot_bytes_max: 12 << 10,
        slot_bytes_while_syncing: 1 << 10,
        segment_bytes_min: 6 << 10,
        segment_bytes_max: 10 << 10,
        tail_index_bytes_max: 1 << 20,
        merge: MergePolicy {
            target_bytes: 8 << 10,
            members_min: 3,
            members_max: 8,
        },
        compaction: compacted::options(),
        producer_idle_ms_max: i64::MAX,
        retention_interval_ms: 0,
        removal_grace_ms: 0,
        ballast_bytes: 0,
        open_files_max: 8,
        index_cache_bytes: 4 << 10,
    }
}

/// One batch as the model knows it.
#[derive(Debug, Clone)]
struct Sent {
    base_offset: i64,
    next_offset: i64,
    /// Base offset and leader epoch cut off: those are the broker's to write.
    body: Bytes,
    header: BatchHeader,
    original: Bytes,
    /// On whose behalf, should it be sent again.
    origin: Origin,
    acked: bool,
}

#[derive(Default)]
struct PartitionModel {
    sent: Vec<Sent>,
    next_offset: i64,
    next_sequence: i32,
    log_start_max: i64,
    /// What the manifest was told of rows and confirmed.
    rows_to: i64,
}

/// Answers of one group, by tag.
#[derive(Default)]
struct Answers(Mutex<HashMap<usize, Result<Appended, AppendError>>>);

impl AppendSink for Answers {
    fn appended(&self, tag: usize, outcome: Result<Appended, AppendError>) {
        let before = self.0.lock().insert(tag, outcome);
        assert!(before.is_none(), "append {tag} was answered twice");
    }
}

pub struct World {
    pub disk: SimDisk,
    opened: Option<Opened>,
    model: HashMap<PartitionId, PartitionModel>,
    waiting: Vec<Written>,
    answers: Arc<Answers>,
    /// What each outstanding tag stands for: partition and index into `sent`.
    tags: HashMap<usize, (PartitionId, usize)>,
    next_tag: usize,
    ids: Arc<AtomicU64>,
    now: i64,
    pub rng: StdRng,
    /// Of all partitions, the ones that are dealt with.
    pub busy: Range<i32>,
    /// Steps of the disk fail with the power on.
    may_fail: bool,
}

/// The power went.
#[derive(Debug)]
pub struct PowerCut;

fn settings(index: i32) -> LogSettings {
    match index {
        COMPACTED => compacted::settings(),
        _ => LogSettings::default(),
    }
}

pub fn partition_id(index: i32) -> PartitionId {
    PartitionId {
        topic: TopicId([9; 16]),
        index,
    }
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self {
            disk: SimDisk::new(),
            opened: None,
            model: HashMap::new(),
            waiting: Vec::new(),
            answers: Arc::default(),
            tags: HashMap::new(),
            next_tag: 0,
            ids: Arc::new(AtomicU64::new(1)),
            now: 1_000_000,
            rng: StdRng::seed_from_u64(seed),
            busy: 0..PARTITIONS,
            may_fail: false,
        }
    }

    /// Starts on whatever the disk holds.
    pub fn open(&mut self) -> Result<(), PowerCut> {
        let ids = Arc::clone(&self.ids);
        let fresh = move || u128::from(ids.fetch_add(1, Ordering::Relaxed)).to_be_bytes();
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        match tidelog_storage::open(disk, options(), Arc::new(fresh), self.now) {
            Ok(opened) => {
                assert_eq!(opened.report.damaged, [], "a power cut damages nothing");
                assert_eq!(opened.report.lost_slots, [0u64; 0]);
                for index in 0..PARTITIONS {
                    let settings = settings(index);
                    opened
                        .store
                        .ensure_partition(partition_id(index), 0, settings);
                }
                self.opened = Some(opened);
                Ok(())
            }
            Err(_) if self.may_fail && !self.disk.is_dead() => self.open(),
            Err(error) => {
                assert!(
                    self.disk.is_dead(),
                    "opening failed with the power on: {error}"
                );
                Err(PowerCut)
            }
        }
    }

    fn parts(&mut self) -> &mut Opened {
        self.opened.as_mut().expect("the world is open")
    }

    fn partition(&self, id: PartitionId) -> Arc<Partition> {
        let store = &self.opened.as_ref().expect("the world is open").store;
        store.partition(id).expect("made at open")
    }

    /// Hands over a group of random batches.
    pub fn append(&mut self) -> Result<(), PowerCut> {
        let count = self.rng.random_range(1..6);
        let group: Vec<Request> = (0..count).map(|_| self.random_append()).collect();
        let appends = group.iter().map(|request| &request.append);
        let sent: Vec<_> = appends.map(|a| (a.tag, a.partition.id)).collect();
        match self.parts().appender.append(group) {
            Ok(GroupOutcome::Written(written)) => self.waiting.push(written),
            // Refused: no new WAL file.
            Ok(GroupOutcome::Settled) if self.disk.is_dead() => return Err(PowerCut),
            Ok(GroupOutcome::Settled) => {
                self.take_back(&sent);
                self.answers.0.lock().clear();
            }
            Ok(GroupOutcome::WaitForSpace(_)) => {
                self.take_back(&sent);
                self.sync()?;
                return self.relieve();
            }
            Err(error) => return self.fail_over(&error),
        }
        Ok(())
    }

    fn some_partition(&mut self) -> PartitionId {
        partition_id(self.rng.random_range(self.busy.clone()))
    }

    fn random_append(&mut self) -> Request {
        let id = self.some_partition();
        if id.index == TRANSACTIONAL {
            return self.random_transactional();
        }
        let with_producer = id.index % 2 == 0 || id.index == COMPACTED;
        let records = self.rng.random_range(1..4);
        let model = self.model.entry(id).or_default();
        let mut builder = BatchBuilder::new();
        if with_producer {
            builder = builder.producer(77, 0, model.next_sequence);
        }
        for _ in 0..records {
            let value: Vec<u8> = (0..self.rng.random_range(0..900))
                .map(|_| self.rng.random())
                .collect();
            match id.index {
                COMPACTED => compacted::append(&mut builder, &mut self.rng, self.now, &value),
                _ => builder.append(self.now, None, Some(&value), []).unwrap(),
            }
        }
        model.next_sequence += records;
        let original = builder.finish().unwrap();
        let origin = Origin::Producer(Terms::default());
        let tag = self.note_sent(id, &original, origin);
        self.make_append(id, original, tag).into()
    }

    /// Notes that a batch is handed over; answers its tag.
    fn note_sent(&mut self, id: PartitionId, original: &Bytes, origin: Origin) -> usize {
        let header = BatchHeader::read(original).unwrap();
        let model = self.model.entry(id).or_default();
        let base_offset = model.next_offset;
        model.next_offset += i64::from(header.record_count);
        model.sent.push(Sent {
            base_offset,
            next_offset: model.next_offset,
            body: original.slice(16..),
            header,
            original: original.clone(),
            origin,
            acked: false,
        });
        let tag = self.next_tag;
        self.next_tag += 1;
        self.tags.insert(tag, (id, self.model[&id].sent.len() - 1));
        tag
    }

    fn make_append(&self, id: PartitionId, batch: Bytes, tag: usize) -> Append {
        Append {
            partition: self.partition(id),
            header: BatchHeader::read(&batch).unwrap(),
            batch,
            ack: Ack::Durable,
            now: self.now,
            tag,
            sink: Arc::clone(&self.answers) as Arc<dyn AppendSink>,
        }
    }

    /// A group that was not taken was never sent.
    fn take_back(&mut self, group: &[(usize, PartitionId)]) {
        for (tag, id) in group.iter().rev() {
            self.tags.remove(tag);
            let model = self.model.get_mut(id).expect("sent to it");
            let sent = model.sent.pop().expect("sent last");
            model.next_offset = sent.base_offset;
            if sent.header.has_producer_id() {
                model.next_sequence = sent.header.base_sequence;
            }
        }
    }

    /// Syncs what is written and takes the answers.
    pub fn sync(&mut self) -> Result<(), PowerCut> {
        let synced = self.parts().syncer.sync();
        match synced {
            Ok(synced_to) => {
                let is_synced = |written: &Written| written.number < synced_to;
                assert!(self.waiting.iter().all(is_synced), "everything written");
                self.settle();
                Ok(())
            }
            Err(error) => self.fail_over(&AppendError::Storage(error.to_string())),
        }
    }

    fn settle(&mut self) {
        for written in std::mem::take(&mut self.waiting) {
            written.settle();
            let id = partition_id(TRANSACTIONAL);
            let partition = self.partition(id);
            transactions::check_told(&partition, self.model.entry(id).or_default());
        }
        self.take_answers();
    }

    fn take_answers(&mut self) {
        for (tag, outcome) in self.answers.0.lock().drain() {
            let (id, at) = self.tags.remove(&tag).expect("asked for");
            let sent = &mut self.model.get_mut(&id).expect("sent to it").sent[at];
            let appended = outcome.expect("appends succeed while the power is on");
            assert_eq!(
                appended.base_offset, sent.base_offset,
                "offsets are given in order"
            );
            sent.acked = true;
        }
    }

    /// Flushes the oldest WAL file.
    pub fn relieve(&mut self) -> Result<(), PowerCut> {
        let done = self.parts().janitor.relieve_wal(true);
        self.unless_dead(done.map(drop).map_err(|e| e.to_string()))
    }

    pub fn tick(&mut self) -> Result<(), PowerCut> {
        self.now += 10_000;
        let now = self.now;
        let done = self.parts().janitor.tick(now);
        self.unless_dead(done.map(drop).map_err(|e| e.to_string()))
    }

    /// Lets one partition keep only its newest bytes, from the next tick on.
    pub fn retain(&mut self) -> Result<(), PowerCut> {
        let id = self.some_partition();
        let keep = self.rng.random_range(0..20_000);
        let shorter = LogSettings {
            retention_bytes: Some(keep),
            ..settings(id.index)
        };
        self.partition(id).configure(shorter);
        self.tick()?;
        self.partition(id).configure(settings(id.index));
        Ok(())
    }

    /// Does some steps of compaction.
    pub fn compact(&mut self) -> Result<(), PowerCut> {
        for _ in 0..self.rng.random_range(1..6) {
            let done = self.parts().janitor.compact();
            self.unless_dead(done.map(drop).map_err(|e| e.to_string()))?;
            // A round that met the cut is only given up.
            if self.disk.is_dead() {
                return Err(PowerCut);
            }
        }
        Ok(())
    }

    /// Builds rows of some of what is durable of one partition, and has them named.
    pub fn build_rows(&mut self) -> Result<(), PowerCut> {
        let id = self.some_partition();
        if id.index == COMPACTED {
            return Ok(());
        }
        let partition = self.partition(id);
        let marks = partition.marks();
        let from = partition.rows_to();
        let readable = from.max(marks.log_start);
        let mut batches = read_all(&partition, readable, marks.stable_end);
        batches.truncate(self.rng.random_range(1..8));
        if batches.is_empty() {
            return Ok(());
        }
        let file = FileId(u128::from(self.ids.fetch_add(1, Ordering::Relaxed)).to_be_bytes());
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let written = rows::write(disk, file, &partition, from, &batches);
        let Ok(meta) = written else {
            return self.unless_dead(written.map(drop).map_err(|e| e.to_string()));
        };
        let rows_to = meta.end_offset;
        let done = self.parts().janitor.install_rows(&partition, meta);
        if done.is_ok() {
            self.model.entry(id).or_default().rows_to = rows_to;
        }
        self.unless_dead(done.map_err(|e| e.to_string()))
    }

    fn unless_dead(&self, done: Result<(), String>) -> Result<(), PowerCut> {
        match done {
            Ok(()) => Ok(()),
            Err(_) if self.disk.is_dead() => Err(PowerCut),
            Err(_) if self.may_fail => Ok(()),
            Err(error) => panic!("failed with the power on: {error}"),
        }
    }

    /// A clean stop.
    pub fn close(&mut self) -> Result<(), PowerCut> {
        self.parts().appender.close();
        self.sync()?;
        self.opened = None;
        Ok(())
    }

    /// What is left after a stop of either kind, opened again.
    pub fn restart(&mut self, power_cut: bool) -> Result<(), PowerCut> {
        for partition in self
            .opened
            .iter()
            .flat_map(|opened| opened.store.partitions())
        {
            let model = self.model.entry(partition.id).or_default();
            model.log_start_max = model.log_start_max.max(partition.marks().log_start);
        }
        self.opened = None;
        self.waiting.clear();
        self.answers = Arc::default();
        self.tags.clear();
        self.disk = match power_cut {
            true => self.disk.after_power_cut(self.rng.random()),
            false => self.disk.after_process_kill(),
        };
        self.open()
    }

    /// Compares everything readable with the model, and forgets what a wreck rightly took.
    pub fn check(&mut self) {
        for index in 0..PARTITIONS {
            self.check_partition(partition_id(index));
        }
    }

    fn check_partition(&mut self, id: PartitionId) {
        let partition = self.partition(id);
        let marks = partition.marks();
        let model = self.model.entry(id).or_default();
        let acked_end = model
            .sent
            .iter()
            .filter(|s| s.acked)
            .map(|s| s.next_offset)
            .max();
        let end = marks.high_watermark;
        assert!(
            end >= acked_end.unwrap_or(0),
            "{id}: acknowledged records are gone: {marks:?}"
        );
        assert!(marks.log_start <= model.log_start_max.max(marks.log_start));
        let read = read_all(&partition, marks.log_start, end);
        if id.index == COMPACTED {
            compacted::check(&marks, &read, &model.sent);
            model.forget_from(end);
            return self.check_resend(id);
        }
        let expected: Vec<&Sent> = model
            .sent
            .iter()
            .filter(|s| s.next_offset > marks.log_start && s.next_offset <= end)
            .collect();
        assert_eq!(read.len(), expected.len(), "{id}: batches in {marks:?}");
        for (batch, sent) in read.iter().zip(expected) {
            assert_eq!(
                BatchHeader::read(batch).unwrap().base_offset,
                sent.base_offset,
                "{id}"
            );
            assert_eq!(
                batch.slice(16..),
                sent.body,
                "{id}: bytes at {}",
                sent.base_offset
            );
        }
        let rows_to = partition.rows_to();
        assert!(
            model.rows_to <= rows_to && rows_to <= end.max(marks.log_start),
            "{id}: rows to {rows_to}, confirmed to {}: {marks:?}",
            model.rows_to
        );
        // Made of what was served, so they must be what is served, as far as it is there still.
        for row in rows::read_all(&partition) {
            let of_batch = |sent: &&Sent| sent.base_offset == row.0;
            let sent = model.sent.iter().find(of_batch);
            let sent = sent.expect("a row has a batch");
            assert_eq!(
                i64::from(crc32c::crc32c(&sent.body)),
                row.1,
                "{id}: {row:?}"
            );
        }
        let of_rows: Vec<_> = rows::read_all(&partition)
            .into_iter()
            .map(|row| row.0)
            .filter(|offset| *offset >= marks.log_start)
            .collect();
        let of_batches: Vec<_> = read
            .iter()
            .map(|batch| rows::row_of(batch).0)
            .filter(|offset| (marks.log_start..rows_to).contains(offset))
            .collect();
        assert_eq!(
            of_rows, of_batches,
            "{id}: one row per batch up to {rows_to}"
        );
        model.forget_from(end);
        if id.index == TRANSACTIONAL {
            transactions::check_told(&partition, model);
            transactions::check_read(&partition, model);
        }
        self.check_resend(id);
    }

    /// The newest batch of an idempotent producer, sent again, is recognised.
    fn check_resend(&mut self, id: PartitionId) {
        let Some(last) = self.model[&id].sent.last().cloned() else {
            return;
        };
        if last.header.base_sequence < 0 {
            return;
        }
        let tag = usize::MAX;
        let append = self.make_append(id, last.original, tag);
        match self.parts().appender.append(vec![append.into()]) {
            Ok(GroupOutcome::Written(written)) => written.settle(),
            Ok(GroupOutcome::Settled) => panic!(
                "{id}: a duplicate is answered after what was written before it, not {:?}",
                self.answers.0.lock().remove(&tag)
            ),
            Ok(GroupOutcome::WaitForSpace(_)) | Err(_) => return,
        }
        let answer = self.answers.0.lock().remove(&tag);
        let appended = answer.expect("answered").expect("a duplicate is no error");
        assert_eq!(
            appended.base_offset, last.base_offset,
            "{id}: duplicate not recognised"
        );
        assert!(appended.duplicate_of.is_some());
    }
}

impl PartitionModel {
    /// Batches at or beyond `end` were never acknowledged and are gone.
    fn forget_from(&mut self, end: i64) {
        self.sent.retain(|sent| sent.next_offset <= end);
        // Whoever reads now sees these: they must not vanish later.
        self.sent.iter_mut().for_each(|sent| sent.acked = true);
        self.next_offset = end;
        let last = self.sent.last().map(|sent| &sent.header);
        self.next_sequence = last.map_or(0, |h| h.base_sequence + h.record_count);
    }
}

/// Every batch from `from` to `end`, in odd-sized reads.
fn read_all(partition: &Partition, from: i64, end: i64) -> Vec<Bytes> {
    let mut batches = Vec::new();
    let mut offset = from;
    while offset < end {
        let plan = partition.plan_read(offset, 3_000, true).expect("readable");
        let pieces = plan.load().expect("loads");
        assert!(!pieces.is_empty(), "nothing to read at {offset} of {end}");
        for mut piece in pieces {
            while let Some(header) = BatchHeader::read(&piece) {
                assert!(
                    header.last_offset() >= offset,
                    "a batch from before what was asked for"
                );
                offset = header.last_offset() + 1;
                batches.push(piece.split_to(header.total_len()));
            }
            assert!(piece.is_empty(), "a torn batch was served");
        }
    }
    batches
}
