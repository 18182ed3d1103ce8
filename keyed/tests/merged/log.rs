//! A partition's log with plain records and transactions, and how far it is synced and decided.

use std::collections::BTreeMap;

use bytes::Bytes;
use rand::Rng;
use rand::rngs::SmallRng;
use tidelog_keyed::Chunk;
use tidelog_records::BatchBuilder;
use tidelog_storage::ids::Offset;

use crate::model::Entry;

#[derive(Default)]
pub struct Log {
    batches: Vec<Logged>,
    /// What was ever removed from the log stays here for the model.
    history: Vec<(Entry, Option<u64>)>,
    txns: BTreeMap<u64, Txn>,
    next_txn: u64,
    pub start: Offset,
    pub synced: Offset,
    pub end: Offset,
}

struct Logged {
    bytes: Bytes,
    base: Offset,
    end: Offset,
    txn: Option<u64>,
}

/// A transaction: its first offset and, once it ended, its marker's offset and whether it counts.
struct Txn {
    first: Offset,
    marker: Option<(Offset, bool)>,
}

impl Log {
    /// S: where the first transaction begins whose end is not synced, or the synced end.
    pub fn stable_end(&self) -> Offset {
        let is_open = |txn: &&Txn| txn.marker.is_none_or(|(at, _)| at >= self.synced);
        let open = self.txns.values().filter(is_open).map(|txn| txn.first);
        open.min().unwrap_or(Offset::MAX).min(self.synced)
    }

    /// What counts, once everything is decided.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        let counting = self.history.iter().filter(|(_, txn)| self.counts(*txn));
        counting.map(|(entry, _)| entry)
    }

    fn counts(&self, txn: Option<u64>) -> bool {
        let txn = txn.and_then(|id| self.txns.get(&id));
        txn.is_none_or(|txn| matches!(txn.marker, Some((_, true))))
    }

    pub fn append(&mut self, entries: Vec<Entry>, txn: Option<u64>) {
        let end = self.end + entries.len() as Offset;
        let bytes = batch(self.end, &entries, txn);
        self.push(bytes, end, txn);
        let entries = entries.into_iter();
        self.history.extend(entries.map(|entry| (entry, txn)));
    }

    fn push(&mut self, bytes: Bytes, end: Offset, txn: Option<u64>) {
        let base = self.end;
        self.batches.push(Logged {
            bytes,
            base,
            end,
            txn,
        });
        self.end = end;
    }

    /// A transaction whose first record comes next.
    pub fn begin(&mut self) -> u64 {
        self.next_txn += 1;
        let first = self.end;
        let marker = None;
        self.txns.insert(self.next_txn, Txn { first, marker });
        self.next_txn
    }

    pub fn open_txn(&self, dice: &mut SmallRng) -> Option<u64> {
        let open = self.txns.iter().filter(|(_, txn)| txn.marker.is_none());
        let open: Vec<_> = open.map(|(id, _)| *id).collect();
        (!open.is_empty()).then(|| open[dice.random_range(0..open.len())])
    }

    pub fn end_txn(&mut self, id: u64, commits: bool) {
        let offset = self.end;
        let mut marker = BatchBuilder::new().base_offset(offset).control();
        marker.append(0, Some(b"k0"), Some(b"marker"), []).unwrap();
        self.push(marker.finish().unwrap(), offset + 1, None);
        self.txns.get_mut(&id).unwrap().marker = Some((offset, commits));
    }

    /// Some of what was written is synced now.
    pub fn sync(&mut self, dice: &mut SmallRng) {
        let ends = self.batches.iter().map(|logged| logged.end);
        let ends: Vec<_> = ends.filter(|end| *end >= self.synced).collect();
        if !ends.is_empty() {
            self.synced = ends[dice.random_range(0..ends.len())];
        }
    }

    /// Some batches from the one that holds `from` on, none beyond S, without what was aborted.
    pub fn read(&self, from: Offset, batches: usize) -> Chunk {
        let stable_end = self.stable_end();
        let is_read = |logged: &&Logged| logged.end > from && logged.base < stable_end;
        let read: Vec<_> = self.batches.iter().filter(is_read).take(batches).collect();
        let end = read.last().map_or(stable_end, |last| last.end);
        let counting = read.iter().filter(|logged| self.counts(logged.txn));
        Chunk {
            pieces: counting.map(|logged| logged.bytes.clone()).collect(),
            end,
        }
    }

    /// Retention.
    pub fn trim(&mut self, floor: Offset) {
        self.start = self.start.max(floor);
        let start = self.start;
        self.batches.retain(|logged| logged.end > start);
    }

    /// What was not synced is gone.
    pub fn power_cut(&mut self) {
        let end = self.synced;
        self.batches.retain(|logged| logged.base < end);
        self.history.retain(|(entry, _)| entry.offset < end);
        self.txns.retain(|_, txn| txn.first < end);
        for txn in self.txns.values_mut() {
            txn.marker = txn.marker.filter(|(at, _)| *at < end);
        }
        self.end = end;
    }
}

/// The batch of records that begin at `base`.
pub fn batch(base: Offset, entries: &[Entry], txn: Option<u64>) -> Bytes {
    let mut batch = BatchBuilder::new().base_offset(base);
    if txn.is_some() {
        batch = batch.producer(7, 0, 0).transactional();
    }
    for entry in entries {
        let value = entry.value.as_ref().map(String::as_bytes);
        let names = entry.names.as_ref().map(|names| {
            let key: &[u8] = b"tidelog.columns";
            (key, Some(names.as_bytes()))
        });
        let key = entry.key.as_bytes();
        batch
            .append(entry.offset * 10, Some(key), value, names)
            .unwrap();
    }
    batch.finish().unwrap()
}
