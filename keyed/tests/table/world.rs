//! One partition's whole life on simulated ground: a log in memory, checkpoints on the simulated disk,
//! engines that can lose their newest batches, and the map that the table must equal.

use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidelog_keyed::checkpoint::{self, CheckpointMeta};
use tidelog_keyed::{
    Change, Chunk, Home, KeyedTable, Lookup, Opened, Row, Start, TableOptions, open,
};
use tidelog_records::{BatchBuilder, BatchHeader, Codec};
use tidelog_storage::disk::{Disk, SimDisk};
use tidelog_storage::ids::{Offset, PartitionId, TopicId};
use tidelog_storage::segment::FileId;

use crate::engines::MortalStore;

pub const PARTITION: PartitionId = PartitionId {
    topic: TopicId([9; 16]),
    index: 4,
};

const KEYS: usize = 8;

pub struct World<S: MortalStore> {
    pub dice: SmallRng,
    pub stores: S,
    pub disk: SimDisk,
    pub checkpoints: Vec<CheckpointMeta>,
    /// What was ever removed from the log stays here for the model.
    history: Vec<Change>,
    log: Vec<Bytes>,
    pub log_start: Offset,
    /// End of what is synced.
    pub stable_end: Offset,
    pub log_end: Offset,
    table: Option<KeyedTable>,
    pub last_start: Start,
    files: u8,
}

impl<S: MortalStore> World<S> {
    pub fn new(seed: u64, stores: S) -> Self {
        let disk = SimDisk::new();
        checkpoint::prepare(&disk).unwrap();
        let mut world = Self {
            dice: SmallRng::seed_from_u64(seed),
            stores,
            disk,
            checkpoints: Vec::new(),
            history: Vec::new(),
            log: Vec::new(),
            log_start: 0,
            stable_end: 0,
            log_end: 0,
            table: None,
            last_start: Start::Resumed,
            files: 0,
        };
        world.open();
        world
    }

    pub fn table(&self) -> &KeyedTable {
        self.table.as_ref().unwrap()
    }

    /// A batch arrives and is folded, but not yet synced.
    pub fn append(&mut self) {
        let batch = match self.dice.random_range(0..12) {
            0 => self.control_batch(),
            _ => self.data_batch(),
        };
        self.log_end = BatchHeader::read(&batch).unwrap().last_offset() + 1;
        self.log.push(batch.clone());
        let before = self.table().folded_to();
        self.table().fold(&batch).unwrap();
        assert_eq!(self.table().folded_to(), self.log_end);
        assert!(before < self.log_end);
    }

    fn data_batch(&mut self) -> Bytes {
        let codec = [Codec::None, Codec::Lz4, Codec::Zstd][self.dice.random_range(0..3)];
        let mut batch = BatchBuilder::new()
            .base_offset(self.log_end)
            .codec(codec, None);
        for offset in self.log_end..self.log_end + self.dice.random_range(1..6) {
            let key = format!("k{}", self.dice.random_range(0..KEYS));
            let long = "x".repeat(self.dice.random_range(0..40));
            let value = format!("{offset}-{long}");
            let deleted = self.dice.random_range(0..4) == 0;
            let value = (!deleted).then_some(value.as_bytes());
            let keyless = self.dice.random_range(0..20) == 0;
            let key = (!keyless).then_some(key.as_bytes());
            batch.append(offset * 10, key, value, []).unwrap();
            if let Some(key) = key {
                self.history.push(Change {
                    key: Bytes::copy_from_slice(key),
                    offset,
                    timestamp: offset * 10,
                    value: value.map(Bytes::copy_from_slice),
                });
            }
        }
        batch.finish().unwrap()
    }

    fn control_batch(&mut self) -> Bytes {
        let mut batch = BatchBuilder::new().base_offset(self.log_end).control();
        batch.append(0, Some(b"k0"), Some(b"marker"), []).unwrap();
        batch.finish().unwrap()
    }

    /// Some of what was written is synced now.
    pub fn sync(&mut self) {
        let ends: Vec<_> = self
            .log
            .iter()
            .map(|batch| BatchHeader::read(batch).unwrap().last_offset() + 1)
            .filter(|end| *end >= self.stable_end)
            .collect();
        if !ends.is_empty() {
            self.stable_end = ends[self.dice.random_range(0..ends.len())];
        }
    }

    /// Looks up some keys and checks them against the model.
    pub fn look_up(&mut self) {
        let count = self.dice.random_range(1..KEYS);
        let keys: Vec<_> = (0..count)
            .map(|_| Bytes::from(format!("k{}", self.dice.random_range(0..KEYS + 1))))
            .collect();
        let Lookup { rows, reflects } = self.table().lookup(&keys, self.stable_end).unwrap();
        assert_eq!(reflects, self.stable_end.min(self.table().folded_to()));
        let model = self.model(reflects);
        let expected: Vec<_> = keys.iter().map(|key| model.get(key).cloned()).collect();
        assert_eq!(rows, expected, "keys {keys:?} at {reflects}");
    }

    pub fn flush_some(&mut self) {
        let bytes = self.dice.random_range(0..2_000);
        let step = self.table().flush_step(bytes).unwrap();
        assert!(step.applied <= self.stable_end);
        self.check_engine();
    }

    /// The engine is the exact fold up to what it says.
    pub fn check_engine(&self) {
        let snapshot = self.table().snapshot().unwrap();
        let applied = snapshot.applied().unwrap().unwrap();
        let rows: BTreeMap<_, _> = snapshot.rows().map(Result::unwrap).collect();
        assert_eq!(rows, self.model(applied), "engine at {applied}");
    }

    /// Writes a checkpoint and names it, as a manifest would.
    pub fn checkpoint(&mut self) {
        self.files += 1;
        let file = FileId([self.files; 16]);
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let snapshot = self.table().snapshot().unwrap();
        let meta = checkpoint::write(disk, file, PARTITION, &*snapshot).unwrap();
        assert_eq!(meta.rows, self.model(meta.reflects).len() as u64);
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
        self.log
            .retain(|batch| BatchHeader::read(batch).unwrap().last_offset() >= start);
    }

    /// The process dies; what was written stays.
    pub fn kill(&mut self) {
        self.table = None;
        self.stores.kill();
        self.stable_end = self.log_end;
        self.open();
    }

    /// The power goes: what was not synced is gone, and the engine may lose more.
    pub fn power_cut(&mut self) {
        self.table = None;
        let end = self.stable_end;
        self.log
            .retain(|batch| BatchHeader::read(batch).unwrap().base_offset < end);
        self.history.retain(|change| change.offset < end);
        self.log_end = end;
        self.stores.power_cut(&mut self.dice);
        self.disk = self.disk.after_power_cut(self.dice.random());
        self.open();
    }

    pub fn lose_index(&mut self) {
        self.table = None;
        if self.dice.random_bool(0.5) {
            self.stores.delete();
        } else {
            self.stores.damage();
        }
        self.stable_end = self.log_end;
        self.open();
    }

    /// The index is gone, and the newest checkpoint is rotten.
    pub fn lose_index_and_checkpoint(&mut self) {
        if let Some(newest) = self.checkpoints.last() {
            let byte = self.dice.random_range(0..newest.file_len);
            self.disk.flip_bit(&checkpoint::path(newest.file), byte);
        }
        self.lose_index();
    }

    /// What a start does: sweep, open, catch up; then everything must be there.
    pub fn open(&mut self) {
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
            log_end: self.log_end,
        };
        let options = TableOptions {
            overlay_bytes_max: 2_000,
            step_bytes: 500,
            ..TableOptions::default()
        };
        let Opened {
            table,
            start,
            unreadable,
        } = open(&home, options).unwrap();
        self.checkpoints.retain(|c| !unreadable.contains(&c.file));
        self.last_start = start;
        let piece = self.dice.random_range(1..4);
        table
            .catch_up(self.log_end, |from| {
                Ok::<_, Infallible>(Chunk::of(self.read(from, piece)))
            })
            .unwrap();
        assert_eq!(table.folded_to(), self.log_end);
        self.table = Some(table);
        self.look_up();
        self.check_engine();
        if checkpoint::is_due(&self.checkpoints, self.log_start, 0, u64::MAX) {
            self.checkpoint();
        }
    }

    /// Some batches from the one that holds `from` on, `piece` of them side by side.
    fn read(&self, from: Offset, piece: usize) -> Vec<Bytes> {
        let ahead = |batch: &&Bytes| BatchHeader::read(batch).unwrap().last_offset() >= from;
        let batches: Vec<_> = self.log.iter().filter(ahead).take(5).collect();
        let side_by_side = |batches: &[&Bytes]| {
            let mut bytes = BytesMut::new();
            batches
                .iter()
                .for_each(|batch| bytes.extend_from_slice(batch));
            bytes.freeze()
        };
        batches.chunks(piece).map(side_by_side).collect()
    }

    /// The rows as of `end`.
    pub fn model(&self, end: Offset) -> BTreeMap<Bytes, Row> {
        let mut rows = BTreeMap::new();
        for change in self.history.iter().filter(|change| change.offset < end) {
            match change.row() {
                Some(row) => rows.insert(change.key.clone(), row),
                None => rows.remove(&change.key),
            };
        }
        rows
    }
}
