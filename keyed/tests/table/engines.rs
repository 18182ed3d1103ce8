//! Engines for tests, and how each of them dies.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rand::Rng;
use rand::rngs::SmallRng;
use tidelog_keyed::engine::Rows;
use tidelog_keyed::{
    Change, EngineError, EngineStore, FjallOptions, FjallStore, KeyEngine, KeySnapshot, Row,
};
use tidelog_storage::ids::{Offset, PartitionId};

/// A store with the accidents that can happen to it.
pub trait MortalStore {
    fn store(&self) -> &dyn EngineStore;
    /// The process is killed.
    fn kill(&mut self);
    /// The power goes: the newest batches may be lost.
    fn power_cut(&mut self, dice: &mut SmallRng);
    /// Somebody removes the whole index directory.
    fn delete(&mut self);
    /// The files are damaged so that nothing opens.
    fn damage(&mut self);
}

#[derive(Debug, Clone, Default)]
struct State {
    rows: BTreeMap<Bytes, Row>,
    applied: Option<Offset>,
}

/// In memory, with a memory of all its past.
#[derive(Clone, Default)]
pub struct MemStore(Arc<Mutex<MemEngines>>);

#[derive(Default)]
struct MemEngines {
    past: Vec<State>,
    damaged: bool,
}

struct MemEngine(MemStore);

impl EngineStore for MemStore {
    fn open(&self, _: PartitionId) -> Result<Box<dyn KeyEngine>, EngineError> {
        let mut engines = self.0.lock();
        if engines.damaged {
            return Err(EngineError::Corrupt("damaged"));
        }
        if engines.past.is_empty() {
            engines.past.push(State {
                applied: Some(0),
                ..State::default()
            });
        }
        drop(engines);
        Ok(Box::new(MemEngine(self.clone())))
    }

    fn destroy(&self, _: PartitionId) -> Result<(), EngineError> {
        *self.0.lock() = MemEngines::default();
        Ok(())
    }
}

impl KeyEngine for MemEngine {
    fn apply(&self, changes: &[Change], applied: Option<Offset>) -> Result<(), EngineError> {
        let mut engines = self.0.0.lock();
        let mut next = engines.past.last().cloned().unwrap_or_default();
        for change in changes {
            match change.row() {
                Some(row) => next.rows.insert(change.key.clone(), row),
                None => next.rows.remove(&change.key),
            };
        }
        next.applied = applied;
        engines.past.push(next);
        Ok(())
    }

    fn snapshot(&self) -> Result<Box<dyn KeySnapshot>, EngineError> {
        let engines = self.0.0.lock();
        Ok(Box::new(engines.past.last().cloned().unwrap_or_default()))
    }

    fn approximate_rows(&self) -> u64 {
        self.0
            .0
            .lock()
            .past
            .last()
            .map_or(0, |s| s.rows.len() as u64)
    }
}

impl KeySnapshot for State {
    fn applied(&self) -> Result<Option<Offset>, EngineError> {
        Ok(self.applied)
    }

    fn get_many(&self, keys: &[Bytes]) -> Result<Vec<Option<Row>>, EngineError> {
        Ok(keys.iter().map(|key| self.rows.get(key).cloned()).collect())
    }

    fn rows_from(&self, start: &[u8]) -> Rows<'_> {
        let rows = self.rows.range(Bytes::copy_from_slice(start)..);
        Box::new(rows.map(|(key, row)| Ok((key.clone(), row.clone()))))
    }
}

impl MortalStore for MemStore {
    fn store(&self) -> &dyn EngineStore {
        self
    }

    fn kill(&mut self) {}

    fn power_cut(&mut self, dice: &mut SmallRng) {
        let past = &mut self.0.lock().past;
        let kept = dice.random_range(0..=past.len());
        past.truncate(kept);
    }

    fn delete(&mut self) {
        *self.0.lock() = MemEngines::default();
    }

    fn damage(&mut self) {
        self.0.lock().damaged = true;
    }
}

/// The real one, in a directory of its own.
pub struct Fjall {
    dir: tempfile::TempDir,
    store: Option<FjallStore>,
}

impl Fjall {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Some(open(dir.path()));
        Self { dir, store }
    }

    fn reopen(&mut self, between: impl FnOnce(&Path)) {
        self.store = None;
        between(self.dir.path());
        self.store = Some(open(self.dir.path()));
    }
}

/// A journal is allocated ahead, in zeros; ours are far shorter than a mebibyte.
fn journal_end(journal: &Path) -> u64 {
    let mut head = Vec::new();
    let file = std::fs::File::open(journal).unwrap();
    file.take(1 << 20).read_to_end(&mut head).unwrap();
    let last = head.iter().rposition(|byte| *byte != 0);
    last.map_or(0, |last| last as u64 + 1)
}

fn open(dir: &Path) -> FjallStore {
    FjallStore::open(dir, &FjallOptions::default()).unwrap().0
}

impl MortalStore for Fjall {
    fn store(&self) -> &dyn EngineStore {
        self.store.as_ref().unwrap()
    }

    fn kill(&mut self) {
        self.reopen(|_| {});
    }

    /// The journal is cut at any byte.
    fn power_cut(&mut self, dice: &mut SmallRng) {
        self.reopen(|dir| {
            let names = std::fs::read_dir(dir.join("index")).unwrap();
            let journals = names
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.extension().is_some_and(|ext| ext == "jnl"));
            let newest = journals.max().unwrap();
            let written = journal_end(&newest);
            let journal = std::fs::OpenOptions::new()
                .write(true)
                .open(newest)
                .unwrap();
            journal.set_len(dice.random_range(0..=written)).unwrap();
        });
    }

    fn delete(&mut self) {
        self.reopen(|dir| std::fs::remove_dir_all(dir.join("index")).unwrap());
    }

    fn damage(&mut self) {
        self.reopen(|dir| std::fs::write(dir.join("index/version"), b"damaged").unwrap());
    }
}
