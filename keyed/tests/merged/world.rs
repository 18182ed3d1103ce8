//! One partition's whole life: a log with plain records and open transactions, rules that change, a
//! follower of the changelog, accidents; and the model that all of it must equal.

use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidelog_keyed::checkpoint::{self, CheckpointMeta};
use tidelog_keyed::merge::{RuleLog, Value};
use tidelog_keyed::scan::{Aggregate, KeyRange, Total, totals};
use tidelog_keyed::{CheckError, Chunk, Home, KeyedTable, Opened, Row, TableOptions, open};
use tidelog_records::BatchBuilder;
use tidelog_storage::disk::{Disk, SimDisk};
use tidelog_storage::ids::{Offset, PartitionId, TopicId};
use tidelog_storage::segment::FileId;

use crate::engines::MortalStore;
use crate::follower::Follower;
use crate::format::{NAMES, Plain, PlainFormat, SUM};
use crate::model::{self, Cells, Entry, Fate, Kept};
use crate::rules;

const PARTITION: PartitionId = PartitionId {
    topic: TopicId([9; 16]),
    index: 4,
};
const KEYS: usize = 6;

/// A batch of the log.
struct Logged {
    bytes: Bytes,
    base: Offset,
    end: Offset,
    producer: Option<u64>,
}

/// A transaction: its first offset and, once it ended, its marker's offset and whether it counts.
struct Txn {
    first: Offset,
    marker: Option<(Offset, bool)>,
}

pub struct World<S: MortalStore> {
    pub dice: SmallRng,
    stores: S,
    disk: SimDisk,
    checkpoints: Vec<CheckpointMeta>,
    log: Vec<Logged>,
    /// What was ever removed from the log stays here for the model.
    history: Vec<(Entry, Option<u64>)>,
    txns: BTreeMap<u64, Txn>,
    next_txn: u64,
    rules: RuleLog,
    newest_rule: Offset,
    log_start: Offset,
    synced: Offset,
    log_end: Offset,
    table: Option<KeyedTable>,
    follower: Follower,
    /// The follower as it is durable.
    saved: Follower,
    files: u8,
}

impl<S: MortalStore> World<S> {
    pub fn new(seed: u64, stores: S) -> Self {
        let all = rules::all();
        let rule = all[seed as usize % all.len()].clone();
        let disk = SimDisk::new();
        let mut world = Self {
            dice: SmallRng::seed_from_u64(seed),
            stores,
            disk,
            checkpoints: Vec::new(),
            log: Vec::new(),
            history: Vec::new(),
            txns: BTreeMap::new(),
            next_txn: 0,
            rules: RuleLog::of(rule),
            newest_rule: 0,
            log_start: 0,
            synced: 0,
            log_end: 0,
            table: None,
            follower: Follower::default(),
            saved: Follower::default(),
            files: 0,
        };
        world.open();
        world
    }

    fn table(&self) -> &KeyedTable {
        self.table.as_ref().unwrap()
    }

    /// S: where the first transaction begins whose end is not synced, or the synced end.
    fn stable_end(&self) -> Offset {
        let is_open = |txn: &&Txn| txn.marker.is_none_or(|(at, _)| at >= self.synced);
        let open = self.txns.values().filter(is_open).map(|txn| txn.first);
        open.min().unwrap_or(Offset::MAX).min(self.synced)
    }

    fn counts(&self, producer: Option<u64>) -> bool {
        let txn = producer.and_then(|id| self.txns.get(&id));
        txn.is_none_or(|txn| matches!(txn.marker, Some((_, true))))
    }

    /// A batch arrives: plain, or of a transaction that is open or begins with it.
    pub fn append(&mut self) {
        let producer = match self.dice.random_range(0..10) {
            0 | 1 => Some(self.begin()),
            2 | 3 => self.open_txn(),
            _ => None,
        };
        let base = self.log_end;
        let entries: Vec<_> = (base..base + self.dice.random_range(1..5))
            .map(|offset| self.entry(offset))
            .collect();
        let batch = batch(base, &entries, producer);
        if self.stable_end() == self.log_end && self.newest_rule <= self.log_end {
            self.check(&entries);
        }
        self.log_end = base + entries.len() as Offset;
        self.log.push(Logged {
            bytes: batch,
            base,
            end: self.log_end,
            producer,
        });
        self.history
            .extend(entries.into_iter().map(|entry| (entry, producer)));
    }

    fn begin(&mut self) -> u64 {
        self.next_txn += 1;
        let first = self.log_end;
        let marker = None;
        self.txns.insert(self.next_txn, Txn { first, marker });
        self.next_txn
    }

    fn open_txn(&mut self) -> Option<u64> {
        let open = self.txns.iter().filter(|(_, txn)| txn.marker.is_none());
        let open: Vec<_> = open.map(|(id, _)| *id).collect();
        (!open.is_empty()).then(|| open[self.dice.random_range(0..open.len())])
    }

    /// A transaction commits or aborts.
    pub fn end_txn(&mut self) {
        let Some(id) = self.open_txn() else { return };
        let commits = self.dice.random_bool(0.6);
        let offset = self.log_end;
        let mut marker = BatchBuilder::new().base_offset(offset).control();
        marker.append(0, Some(b"k0"), Some(b"marker"), []).unwrap();
        self.log.push(Logged {
            bytes: marker.finish().unwrap(),
            base: offset,
            end: offset + 1,
            producer: None,
        });
        self.log_end += 1;
        self.txns.get_mut(&id).unwrap().marker = Some((offset, commits));
    }

    fn entry(&mut self, offset: Offset) -> Entry {
        let dice = &mut self.dice;
        let mut value = String::new();
        for (id, name) in NAMES {
            let cell = match (dice.random_range(0..4), id) {
                (0, _) => continue,
                (1, _) => "?".to_owned(),
                (_, crate::format::TXT) => format!("t{}", dice.random_range(0..9)),
                (_, SUM) if dice.random_range(0..8) == 0 => i64::MAX.to_string(),
                _ => dice.random_range(-5..9).to_string(),
            };
            value = format!("{value} {name}={cell}");
        }
        if dice.random_range(0..25) == 0 {
            value.push_str(" broken");
        }
        let names = ["sum", "txt,fst", "ver,sum,txt,fst", "", "sum,nobody"];
        let named = dice.random_range(0..4) == 0;
        Entry {
            offset,
            key: format!("k{}", dice.random_range(0..KEYS)),
            value: (dice.random_range(0..4) != 0).then_some(value),
            names: named.then(|| names[dice.random_range(0..names.len())].to_owned()),
        }
    }

    /// The check before the append says what the fold will do.
    fn check(&mut self, entries: &[Entry]) {
        self.catch_up();
        let mut model = self.model(self.log_end);
        let rule = self.rules.newest();
        let fates = entries
            .iter()
            .map(|entry| model::fold(&mut model, entry, rule));
        let refused = fates.into_iter().position(|fate| fate == Fate::Refused);
        // Offsets are given later: the batch counts from 0.
        let unplaced: Vec<_> = (0..)
            .zip(entries)
            .map(|(offset, entry)| Entry {
                offset,
                ..entry.clone()
            })
            .collect();
        let found = match self.table().check(&batch(0, &unplaced, None)) {
            Ok(()) => None,
            Err(CheckError::Refused { index, .. }) => Some(index as usize),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(found, refused);
    }

    /// Some of what was written is synced now.
    pub fn sync(&mut self) {
        let ends = self.log.iter().map(|logged| logged.end);
        let ends: Vec<_> = ends.filter(|end| *end >= self.synced).collect();
        if !ends.is_empty() {
            self.synced = ends[self.dice.random_range(0..ends.len())];
        }
    }

    /// Another rule, for what comes next.
    pub fn rule(&mut self) {
        if self.log_end < self.newest_rule {
            return;
        }
        let all = rules::all();
        let rule = all[self.dice.random_range(0..all.len())].clone();
        self.newest_rule = self.log_end;
        self.rules.add(self.log_end, rule.clone()).unwrap();
        self.table()
            .add_rule(self.log_end, rule, Arc::new(PlainFormat))
            .unwrap();
        assert_eq!(self.table().rules(), self.rules);
    }

    /// Folds what is stable, as far as the follower leaves room.
    fn catch_up(&mut self) {
        let piece = self.dice.random_range(1..4);
        loop {
            let end = self.stable_end();
            let table = self.table();
            table
                .catch_up(end, |from| Ok::<_, Infallible>(self.read(from, piece)))
                .unwrap();
            if table.folded_to() >= end {
                return;
            }
            self.follow();
            self.save();
            self.table().flush().unwrap();
        }
    }

    /// Some batches from the one that holds `from` on that count, `piece` of them, none beyond S.
    fn read(&self, from: Offset, pieces: usize) -> Chunk {
        let stable_end = self.stable_end();
        let stable = self
            .log
            .iter()
            .filter(|logged| logged.end > from && logged.base < stable_end);
        let read: Vec<_> = stable.take(pieces).collect();
        let end = read.last().map_or(stable_end, |last| last.end);
        let counting = read.iter().filter(|logged| self.counts(logged.producer));
        Chunk {
            pieces: counting.map(|logged| logged.bytes.clone()).collect(),
            end,
        }
    }

    /// Looks up, views and counts, against the model.
    pub fn look_up(&mut self) {
        if self.dice.random_bool(0.7) {
            self.catch_up();
        }
        let keys: Vec<_> = (0..=KEYS)
            .map(|key| Bytes::from(format!("k{key}")))
            .collect();
        let found = self.table().lookup(&keys, self.stable_end()).unwrap();
        let model = self.model(found.reflects);
        let rows = keys.into_iter().zip(found.rows);
        let rows: Vec<_> = rows.filter_map(|(key, row)| Some((key, row?))).collect();
        self.compare(&rows, &model);
    }

    /// Scans page by page while the table goes on, and counts.
    pub fn scan(&mut self) {
        let prefix = ["", "k", "k3", "x"][self.dice.random_range(0..4)];
        let view = self
            .table()
            .view(KeyRange::prefix(prefix.as_bytes()), self.stable_end())
            .unwrap();
        let mut model = self.model(view.reflects);
        model.retain(|key, _| key.starts_with(prefix.as_bytes()));
        assert_eq!(view.count().unwrap(), model.len() as u64);
        let (mut rows, mut after) = (Vec::new(), None::<Bytes>);
        loop {
            let rows_max = self.dice.random_range(1..4);
            let page = view.page(after.as_deref(), rows_max, 40).unwrap();
            assert!(page.rows.len() <= rows_max);
            rows.extend(page.rows);
            if self.dice.random_bool(0.2) {
                self.append();
                self.flush_some();
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        self.compare(&rows, &model);

        let columns = columns_of_all();
        let asked = vec![Aggregate::Count, Aggregate::Sum(SUM), Aggregate::Max(SUM)];
        let merger = self.table().merger().unwrap();
        let found = totals(&view, &merger, &columns, asked).unwrap();
        assert_eq!(found, expected_totals(&model));
    }

    pub fn flush_some(&mut self) {
        let bytes = self.dice.random_range(0..2_000);
        let step = self.table().flush_step(bytes).unwrap();
        assert!(step.applied <= self.stable_end().min(self.saved.taken_to));
        self.check_engine();
    }

    /// The engine is the exact fold up to what it says.
    fn check_engine(&self) {
        let snapshot = self.table().snapshot().unwrap();
        let applied = snapshot.applied().unwrap().unwrap();
        let rows: Vec<_> = snapshot.rows().map(Result::unwrap).collect();
        self.compare(&rows, &self.model(applied));
    }

    /// The follower takes a part of the changelog.
    pub fn follow(&mut self) {
        let bytes = self.dice.random_range(0..300);
        let from = self.follower.taken_to;
        let part = self.table().changelog(from, bytes).unwrap();
        self.follower.take(part.rows, part.end, &self.rules);
        let rows: Vec<_> = self.follower.copy.clone().into_iter().collect();
        self.compare(&rows, &self.model(self.follower.taken_to));
    }

    /// What it took is durable, and need not be kept.
    pub fn save(&mut self) {
        self.saved = self.follower.clone();
        self.table().hold(self.saved.taken_to).unwrap();
    }

    pub fn checkpoint(&mut self) {
        self.files += 1;
        let file = FileId([self.files; 16]);
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let snapshot = self.table().snapshot().unwrap();
        let meta = checkpoint::write_by(disk, file, PARTITION, &*snapshot, &self.rules).unwrap();
        let reader = checkpoint::CheckpointReader::open(&self.disk, &meta).unwrap();
        assert_eq!(reader.rules().unwrap(), self.rules);
        self.checkpoints.push(meta);
        let kept = checkpoint::keep_newest(std::mem::take(&mut self.checkpoints));
        self.checkpoints = kept.keep;
        for file in kept.drop {
            checkpoint::remove(&self.disk, file).unwrap();
        }
    }

    /// Retention goes as far as it may.
    pub fn trim(&mut self) {
        let floor = checkpoint::retention_floor(&self.checkpoints);
        self.log_start = self.log_start.max(floor);
        let start = self.log_start;
        self.log.retain(|logged| logged.end > start);
    }

    /// The process dies; what was written stays.
    pub fn kill(&mut self) {
        self.table = None;
        self.stores.kill();
        self.synced = self.log_end;
        self.open();
    }

    /// The power goes: what was not synced is gone, and the engine may lose more.
    pub fn power_cut(&mut self) {
        self.table = None;
        let end = self.synced;
        self.log.retain(|logged| logged.base < end);
        self.history.retain(|(entry, _)| entry.offset < end);
        self.txns.retain(|_, txn| txn.first < end);
        for txn in self.txns.values_mut() {
            txn.marker = txn.marker.filter(|(at, _)| *at < end);
        }
        self.log_end = end;
        self.stores.power_cut(&mut self.dice);
        self.disk = self.disk.after_power_cut(self.dice.random());
        self.open();
    }

    pub fn lose_index(&mut self) {
        self.table = None;
        match self.dice.random_bool(0.5) {
            true => self.stores.delete(),
            false => self.stores.damage(),
        }
        self.synced = self.log_end;
        self.open();
    }

    /// What a start does.
    fn open(&mut self) {
        checkpoint::prepare(&self.disk).unwrap();
        let named: HashSet<_> = self.checkpoints.iter().map(|c| c.file).collect();
        checkpoint::sweep(&self.disk, &named).unwrap();
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let home = Home {
            partition: PARTITION,
            engines: self.stores.store(),
            disk: &disk,
            checkpoints: &self.checkpoints,
            log_start: self.log_start,
            log_end: self.synced,
        };
        let options = TableOptions {
            overlay_bytes_max: 2_000,
            step_bytes: 500,
            ..TableOptions::default()
        };
        let Opened { table, .. } = open(&home, options).unwrap();
        let table = table.merging(self.rules.clone(), Arc::new(PlainFormat));
        self.follower = self.saved.clone();
        table.hold(self.saved.taken_to).unwrap();
        self.table = Some(table);
        self.look_up();
        self.check_engine();
        if checkpoint::is_due(&self.checkpoints, self.log_start, 0, u64::MAX) {
            self.checkpoint();
        }
    }

    /// Everything is synced and taken: table, copy and model are one.
    pub fn settle(&mut self) {
        while self.open_txn().is_some() {
            self.end_txn();
        }
        self.synced = self.log_end;
        self.catch_up();
        while self.follower.taken_to < self.log_end {
            self.follow();
        }
        self.save();
        assert_eq!(self.table().flush().unwrap(), self.log_end);
        self.check_engine();
        let snapshot = self.table().snapshot().unwrap();
        let rows: BTreeMap<_, _> = snapshot.rows().map(Result::unwrap).collect();
        assert_eq!(rows, self.follower.copy);
    }

    fn model(&self, end: Offset) -> model::Table {
        let entries: Vec<_> = self
            .history
            .iter()
            .filter(|(_, producer)| self.counts(*producer))
            .map(|(entry, _)| entry)
            .collect();
        model::table(entries, &self.rules, end)
    }

    fn compare(&self, rows: &[(Bytes, Row)], model: &model::Table) {
        let cells = self.table().cells(&columns_of_all(), rows).unwrap();
        let found: BTreeMap<_, _> = rows
            .iter()
            .zip(cells)
            .map(|((key, row), cells)| {
                assert_eq!(row.timestamp, row.offset * 10);
                let cells = cells.map(|cells| plain(&cells));
                (key.clone(), (row.offset, cells))
            })
            .collect();
        assert_eq!(found.len(), rows.len());
        let expected = model
            .iter()
            .map(|(key, kept)| (key.clone(), model::seen(kept)));
        assert_eq!(found, expected.collect::<BTreeMap<_, _>>());
    }
}

fn batch(base: Offset, entries: &[Entry], producer: Option<u64>) -> Bytes {
    let mut batch = BatchBuilder::new().base_offset(base);
    if producer.is_some() {
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

/// The columns, by a rule that has them all.
fn columns_of_all() -> Vec<tidelog_keyed::merge::RuleColumn> {
    let all = rules::all().into_iter();
    all.map(|rule| rule.columns)
        .find(|columns| !columns.is_empty())
        .unwrap()
}

fn plain(cells: &tidelog_keyed::merge::Cells) -> Cells {
    let value = |value: &Value| match value {
        Value::Null => None,
        Value::Int(number) => Some(Plain::Number(*number)),
        Value::Text(text) => Some(Plain::Text(String::from_utf8(text.to_vec()).unwrap())),
        other => panic!("{other:?}"),
    };
    cells
        .iter()
        .filter_map(|(id, cell)| Some((id, value(cell)?)))
        .collect()
}

fn expected_totals(model: &model::Table) -> Vec<Total> {
    let number = |kept: &Kept| match kept.cells.as_ref()?.get(&SUM)? {
        Plain::Number(number) => Some(*number),
        _ => None,
    };
    let numbers: Vec<_> = model.values().filter_map(number).collect();
    let sum: i128 = numbers.iter().map(|number| i128::from(*number)).sum();
    let most = numbers.iter().max();
    vec![
        Total::Count(model.len() as u64),
        match most {
            Some(_) => Total::Sum(Some(sum)),
            None => Total::Cell(Value::Null),
        },
        Total::Cell(most.map_or(Value::Null, |most| Value::Int(*most))),
    ]
}
