//! A partition with transactions in the world: producers that begin, write, commit and abort at random,
//! and a plain fold over what was sent, which says what readers must be told.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use rand::Rng;
use tidelog_records::control::{Outcome, TxnMarker};
use tidelog_records::{BatchBuilder, BatchHeader};
use tidelog_storage::{
    Ack, EndTransaction, MarkerRule, Origin, Partition, ReadEnd, Request, Terms, Verification,
};

use super::{PartitionModel, Sent, TRANSACTIONAL, World, partition_id};

/// Those of even id speak version 2.
const PRODUCERS: std::ops::Range<i64> = 100..104;

/// One producer as the fold knows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Producer {
    epoch: i16,
    next_sequence: i32,
    first_offset: Option<i64>,
}

/// What a log of batches says about transactions.
#[derive(Debug, Default)]
struct Fold {
    producers: BTreeMap<i64, Producer>,
    /// Producer id, first and last offset, in the order they ended.
    aborted: Vec<(i64, i64, i64)>,
}

impl Fold {
    fn of<'a>(sent: impl Iterator<Item = &'a Sent>) -> Self {
        let mut fold = Self::default();
        for sent in sent.filter(|sent| sent.header.has_producer_id()) {
            fold.take(sent);
        }
        fold
    }

    fn take(&mut self, sent: &Sent) {
        let header = &sent.header;
        let producer = self.producers.entry(header.producer_id).or_default();
        if producer.epoch != header.producer_epoch {
            (producer.epoch, producer.next_sequence) = (header.producer_epoch, 0);
        }
        if header.base_sequence >= 0 {
            producer.next_sequence = header.base_sequence + header.record_count;
        }
        match sent.marker() {
            None if header.is_transactional() => {
                producer.first_offset.get_or_insert(sent.base_offset);
            }
            None => {}
            Some(marker) => {
                let first_offset = producer.first_offset.take();
                if let (Some(first), Outcome::Abort) = (first_offset, marker.outcome) {
                    let aborted = (header.producer_id, first, sent.base_offset);
                    self.aborted.push(aborted);
                }
            }
        }
    }

    fn first_open(&self) -> i64 {
        let open = self.producers.values().filter_map(|p| p.first_offset);
        open.min().unwrap_or(i64::MAX)
    }

    fn is_committed(&self, sent: &Sent) -> bool {
        let header = &sent.header;
        let aborted = self.aborted.iter().any(|(id, first, last)| {
            *id == header.producer_id && (*first..=*last).contains(&sent.base_offset)
        });
        let is_aborted = header.is_transactional() && aborted;
        !header.is_control() && !is_aborted
    }
}

impl Sent {
    fn marker(&self) -> Option<TxnMarker> {
        match self.origin {
            Origin::Marker { marker, .. } => Some(marker),
            _ => None,
        }
    }
}

impl World {
    /// A batch in a transaction, or the end of one, or a plain batch between them.
    pub(super) fn random_transactional(&mut self) -> Request {
        let id = partition_id(TRANSACTIONAL);
        let producer_id = self.rng.random_range(PRODUCERS);
        let fold = Fold::of(self.model.entry(id).or_default().sent.iter());
        let producer = fold.producers.get(&producer_id).copied();
        let producer = producer.unwrap_or_default();
        match (producer.first_offset, self.rng.random_range(0..10)) {
            (Some(_), 0..=1) => self.end(producer_id, producer, Outcome::Commit),
            (Some(_), 2..=3) => self.end(producer_id, producer, Outcome::Abort),
            // Nothing to end: no harm.
            (None, 0) => self.end(producer_id, producer, Outcome::Abort),
            (None, 1..=2) => self.plain(),
            _ => self.write(producer_id, producer),
        }
    }

    fn write(&mut self, producer_id: i64, producer: Producer) -> Request {
        let builder = BatchBuilder::new()
            .producer(producer_id, producer.epoch, producer.next_sequence)
            .transactional();
        let batch = self.fill(builder);
        let id = partition_id(TRANSACTIONAL);
        let origin = Origin::Producer(Terms {
            // Markers of the same group are not in the log yet, so a guard would say too much.
            verification: Verification::Waived,
            transactions_v2: producer_id % 2 == 0,
        });
        let tag = self.note_sent(id, &batch, origin);
        Request {
            append: self.make_append(id, batch, tag),
            origin,
        }
    }

    fn plain(&mut self) -> Request {
        let batch = self.fill(BatchBuilder::new());
        let id = partition_id(TRANSACTIONAL);
        let origin = Origin::Producer(Terms::default());
        let tag = self.note_sent(id, &batch, origin);
        self.make_append(id, batch, tag).into()
    }

    fn end(&mut self, producer_id: i64, producer: Producer, outcome: Outcome) -> Request {
        let id = partition_id(TRANSACTIONAL);
        let (rule, raise) = match producer_id % 2 {
            0 => (MarkerRule::Above, 1),
            _ => (MarkerRule::AtLeast, 0),
        };
        let marker = TxnMarker {
            outcome,
            coordinator_epoch: 3,
        };
        let mut request = Request::from(EndTransaction {
            partition: self.partition(id),
            producer_id,
            producer_epoch: producer.epoch + raise,
            marker,
            rule,
            ack: Ack::Durable,
            now: self.now,
            tag: 0,
            sink: Arc::clone(&self.answers) as _,
        });
        request.append.tag = self.note_sent(id, &request.append.batch, request.origin);
        request
    }

    fn fill(&mut self, mut builder: BatchBuilder) -> Bytes {
        for _ in 0..self.rng.random_range(1..4) {
            let value: Vec<u8> = (0..self.rng.random_range(0..900))
                .map(|_| self.rng.random())
                .collect();
            builder.append(self.now, None, Some(&value), []).unwrap();
        }
        builder.finish().unwrap()
    }
}

fn durable(model: &PartitionModel, end: i64) -> impl Iterator<Item = &Sent> {
    model
        .sent
        .iter()
        .filter(move |sent| sent.next_offset <= end)
}

/// Holds what the partition says of the durable part of its log against the fold.
pub fn check_told(partition: &Partition, model: &PartitionModel) {
    let marks = partition.marks();
    let (log_start, end) = (marks.log_start, marks.high_watermark);
    let fold = Fold::of(durable(model, end));
    let stable_end = end.min(fold.first_open().max(log_start));
    assert_eq!(marks.stable_end, stable_end, "{marks:?}, {fold:?}");

    let aborted = partition.aborted(log_start, end).expect("readable");
    let aborted: Vec<_> = aborted
        .iter()
        .map(|a| (a.producer_id, a.first_offset, a.last_offset))
        .collect();
    let mut expected = fold.aborted.clone();
    expected.retain(|(_, _, last)| *last >= log_start);
    expected.sort_by_key(|(_, first, _)| *first);
    assert_eq!(aborted, expected, "{marks:?}");

    for view in partition.producers() {
        let producer = fold.producers[&view.producer_id];
        let last_sequence = producer.next_sequence - 1;
        let open = producer.first_offset.unwrap_or(-1);
        assert_eq!(
            (view.epoch, view.last_sequence, view.transaction_start),
            (producer.epoch, last_sequence, open),
            "{view:?} in {marks:?}"
        );
    }
    let open = fold.producers.values().filter(|p| p.first_offset.is_some());
    assert_eq!(partition.open_transactions().count, open.count());
}

/// Holds what a reader of committed records gets against the fold.
pub fn check_read(partition: &Partition, model: &PartitionModel) {
    let marks = partition.marks();
    let range = marks.log_start..marks.stable_end;
    let fold = Fold::of(durable(model, marks.high_watermark));
    let committed: Vec<i64> = durable(model, range.end)
        .filter(|sent| sent.next_offset > range.start)
        .filter(|sent| fold.is_committed(sent))
        .map(|sent| sent.base_offset)
        .collect();
    assert_eq!(read_committed(partition), committed, "{marks:?}");
}

/// Base offsets of all committed batches, in odd-sized reads.
fn read_committed(partition: &Partition) -> Vec<i64> {
    let marks = partition.marks();
    let mut offset = marks.log_start;
    let mut found = Vec::new();
    while offset < marks.stable_end {
        let plan = partition.plan_read_to(ReadEnd::StableEnd, offset, 3_000, true);
        let pieces = plan.expect("readable").load().expect("loads");
        let committed = partition.committed(offset, pieces).expect("readable");
        assert!(
            committed.end > offset,
            "nothing to read at {offset} in {marks:?}"
        );
        offset = committed.end;
        let base = |batch: &Bytes| BatchHeader::read(batch).unwrap().base_offset;
        found.extend(committed.batches.iter().map(base));
    }
    assert_eq!(offset, marks.stable_end);
    let rest = partition.plan_read_to(ReadEnd::StableEnd, offset, 3_000, true);
    assert!(rest.expect("readable").is_empty());
    found
}
