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
use tidelog_keyed::scan::KeyRange;
use tidelog_keyed::{CheckError, Home, KeyedTable, Opened, Row, TableOptions, open};
use tidelog_storage::disk::{Disk, SimDisk};
use tidelog_storage::ids::{Offset, PartitionId, TopicId};
use tidelog_storage::segment::FileId;

use crate::engines::MortalStore;
use crate::follower::Follower;
use crate::format::{NAMES, Plain, PlainFormat, SUM};
use crate::log::{Log, batch};
use crate::model::{self, Cells, Entry, Fate};
use crate::rules;

const PARTITION: PartitionId = PartitionId {
    topic: TopicId([9; 16]),
    index: 4,
};
const KEYS: usize = 6;

pub struct World<S: MortalStore> {
    pub dice: SmallRng,
    stores: S,
    disk: SimDisk,
    checkpoints: Vec<CheckpointMeta>,
    log: Log,
    rules: RuleLog,
    newest_rule: Offset,
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
            log: Log::default(),
            rules: RuleLog::of(rule),
            newest_rule: 0,
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

    /// A batch arrives: plain, or of a transaction that is open or begins with it.
    pub fn append(&mut self) {
        let producer = match self.dice.random_range(0..10) {
            0 | 1 => Some(self.log.begin()),
            2 | 3 => self.log.open_txn(&mut self.dice),
            _ => None,
        };
        let base = self.log.end;
        let entries: Vec<_> = (base..base + self.dice.random_range(1..5))
            .map(|offset| self.entry(offset))
            .collect();
        if self.log.stable_end() == base && self.newest_rule <= base {
            self.check(&entries);
        }
        self.log.append(entries, producer);
    }

    /// A transaction commits or aborts.
    pub fn end_txn(&mut self) {
        if let Some(id) = self.log.open_txn(&mut self.dice) {
            self.log.end_txn(id, self.dice.random_bool(0.6));
        }
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
        let mut model = self.model(self.log.end);
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
        self.log.sync(&mut self.dice);
    }

    /// Another rule, for what comes next.
    pub fn rule(&mut self) {
        if self.log.end < self.newest_rule {
            return;
        }
        let all = rules::all();
        let rule = all[self.dice.random_range(0..all.len())].clone();
        self.newest_rule = self.log.end;
        self.rules.add(self.log.end, rule.clone()).unwrap();
        self.table()
            .add_rule(self.log.end, rule, Arc::new(PlainFormat))
            .unwrap();
        assert_eq!(self.table().rules(), self.rules);
    }

    /// Folds what is stable, as far as the follower leaves room.
    fn catch_up(&mut self) {
        let piece = self.dice.random_range(1..4);
        loop {
            let end = self.log.stable_end();
            let table = self.table();
            table
                .catch_up(end, |from| Ok::<_, Infallible>(self.log.read(from, piece)))
                .unwrap();
            if table.folded_to() >= end {
                return;
            }
            self.follow();
            self.save();
            self.table().flush().unwrap();
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
        let found = self.table().lookup(&keys, self.log.stable_end()).unwrap();
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
            .view(KeyRange::all(), self.log.stable_end())
            .unwrap();
        let range = KeyRange::prefix(prefix.as_bytes());
        let mut model = self.model(view.reflects);
        model.retain(|key, _| key.starts_with(prefix.as_bytes()));
        let narrow = self.table().view(range.clone(), 0).unwrap();
        assert_eq!(narrow.count().unwrap(), model.len() as u64);
        let (mut rows, mut after) = (Vec::new(), None::<Bytes>);
        loop {
            let rows_max = self.dice.random_range(1..4);
            let page = view.page(&range, after.as_deref(), rows_max, 40).unwrap();
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
    }

    pub fn flush_some(&mut self) {
        let bytes = self.dice.random_range(0..2_000);
        let step = self.table().flush_step(bytes).unwrap();
        assert!(step.applied <= self.log.stable_end().min(self.saved.taken_to));
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
        self.log.trim(floor);
    }

    /// The process dies; what was written stays.
    pub fn kill(&mut self) {
        self.table = None;
        self.stores.kill();
        self.log.synced = self.log.end;
        self.open();
    }

    /// The power goes: what was not synced is gone, and the engine may lose more.
    pub fn power_cut(&mut self) {
        self.table = None;
        self.log.power_cut();
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
        self.log.synced = self.log.end;
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
            log_start: self.log.start,
            log_end: self.log.synced,
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
        if checkpoint::is_due(&self.checkpoints, self.log.start, 0, u64::MAX) {
            self.checkpoint();
        }
    }

    /// Everything is synced and taken: table, copy and model are one.
    pub fn settle(&mut self) {
        while self.log.open_txn(&mut self.dice).is_some() {
            self.end_txn();
        }
        self.log.synced = self.log.end;
        self.catch_up();
        while self.follower.taken_to < self.log.end {
            self.follow();
        }
        self.save();
        assert_eq!(self.table().flush().unwrap(), self.log.end);
        self.check_engine();
        let snapshot = self.table().snapshot().unwrap();
        let rows: BTreeMap<_, _> = snapshot.rows().map(Result::unwrap).collect();
        assert_eq!(rows, self.follower.copy);
    }

    fn model(&self, end: Offset) -> model::Table {
        model::table(self.log.entries(), &self.rules, end)
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
