//! Engines on fjall: one database in `index/`, one keyspace for each partition.
//!
//! A keyspace holds, under a one-byte prefix:
//!
//! | key | value |
//! |---|---|
//! | `00` | applied offset, i64 big-endian; no value byte at all while rows are being loaded |
//! | `01`, key | offset i64, timestamp i64 (both big-endian), the record's value |
//!
//! Batches go to the operating system at each commit and are not synced: a process kill loses
//! nothing, a power cut the newest batches, and the applied offset travels in the same batch as the
//! rows. One database, because each brings threads, a preallocated journal and a block cache.
//! Keyspaces are dropped and made again, never cleared; no key-value separation, no FIFO
//! compaction: all three had bugs that lose data.

use std::collections::HashSet;
use std::fs;
use std::panic;
use std::path::Path;

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, Readable, Snapshot};
use tidelog_storage::ids::{Offset, PartitionId};

use crate::engine::{EngineError, EngineStore, KeyEngine, KeySnapshot, Rows};
use crate::row::{Change, KEY_BYTES_MAX, Row};

/// Where the database lives, in the data directory.
pub const INDEX_DIRECTORY: &str = "index";

const APPLIED: [u8; 1] = [0];
const ROW: u8 = 1;
/// Offset and timestamp before the value.
const ROW_HEAD: usize = 16;

/// Sizes in bytes, for all partitions together where not said otherwise.
#[derive(Debug, Clone)]
pub struct FjallOptions {
    /// Blocks kept in memory.
    pub cache_bytes: u64,
    /// Changes collected in memory, for each partition.
    pub memtable_bytes: u64,
    /// What is replayed when the database is opened, about. At least 64 MiB.
    pub journal_bytes: u64,
    /// Threads that flush and compact. At least 1.
    pub worker_threads: usize,
}

impl Default for FjallOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 64 << 20,
            memtable_bytes: 8 << 20,
            journal_bytes: JOURNAL_BYTES_MIN,
            worker_threads: 1,
        }
    }
}

/// fjall refuses less.
const JOURNAL_BYTES_MIN: u64 = 64 << 20;

/// The database.
pub struct FjallStore {
    db: Database,
    memtable_bytes: u64,
}

impl FjallStore {
    /// Opens the database in `data_dir`. One that does not open is removed and made anew, empty:
    /// the error that led to it is the second answer.
    ///
    /// # Errors
    /// [`EngineError::Locked`] if another process has it open; otherwise only if no new one can be
    /// made, either.
    pub fn open(
        data_dir: &Path,
        options: &FjallOptions,
    ) -> Result<(Self, Option<EngineError>), EngineError> {
        let path = data_dir.join(INDEX_DIRECTORY);
        let (db, lost) = match open_database(&path, options) {
            Ok(db) => (db, None),
            Err(EngineError::Locked) => return Err(EngineError::Locked),
            Err(error) => {
                fs::remove_dir_all(&path)?;
                (open_database(&path, options)?, Some(error))
            }
        };
        let store = Self {
            db,
            memtable_bytes: options.memtable_bytes,
        };
        Ok((store, lost))
    }

    /// Removes the engines of all partitions but `live`: of topics deleted while nobody looked.
    pub fn retain(&self, live: &HashSet<PartitionId>) -> Result<(), EngineError> {
        let live: HashSet<_> = live.iter().map(PartitionId::to_string).collect();
        let names = self.db.list_keyspace_names();
        names
            .iter()
            .filter(|name| !live.contains(&***name))
            .try_for_each(|name| self.destroy_named(name))
    }

    fn keyspace(&self, name: &str) -> Result<Keyspace, EngineError> {
        let options = || KeyspaceCreateOptions::default().max_memtable_size(self.memtable_bytes);
        Ok(self.db.keyspace(name, options)?)
    }

    fn destroy_named(&self, name: &str) -> Result<(), EngineError> {
        if self.db.keyspace_exists(name) {
            self.db.delete_keyspace(self.keyspace(name)?)?;
        }
        Ok(())
    }
}

fn open_database(path: &Path, options: &FjallOptions) -> Result<Database, EngineError> {
    let open = || {
        Database::builder(path)
            .cache_size(options.cache_bytes)
            .max_journaling_size(options.journal_bytes.max(JOURNAL_BYTES_MIN))
            .worker_threads(options.worker_threads.max(1))
            .open()
    };
    // Damaged files can trip asserts in there; that, too, only means "make it anew".
    match panic::catch_unwind(panic::AssertUnwindSafe(open)) {
        Ok(opened) => Ok(opened?),
        Err(_) => Err(EngineError::Corrupt("opening it panicked")),
    }
}

impl EngineStore for FjallStore {
    fn open(&self, partition: PartitionId) -> Result<Box<dyn KeyEngine>, EngineError> {
        let fresh = !self.db.keyspace_exists(&partition.to_string());
        let engine = FjallEngine {
            db: self.db.clone(),
            keyspace: self.keyspace(&partition.to_string())?,
        };
        if fresh {
            engine.apply(&[], Some(0))?;
        }
        Ok(Box::new(engine))
    }

    fn destroy(&self, partition: PartitionId) -> Result<(), EngineError> {
        self.destroy_named(&partition.to_string())
    }
}

struct FjallEngine {
    db: Database,
    keyspace: Keyspace,
}

impl KeyEngine for FjallEngine {
    fn apply(&self, changes: &[Change], applied: Option<Offset>) -> Result<(), EngineError> {
        let mut batch = self.db.batch();
        for change in changes {
            let key = row_key(&change.key);
            match change.row() {
                Some(row) => batch.insert(&self.keyspace, key, encode_row(&row)),
                None => batch.remove(&self.keyspace, key),
            }
        }
        let applied = applied.map_or(Vec::new(), |offset| offset.to_be_bytes().to_vec());
        batch.insert(&self.keyspace, &APPLIED[..], applied);
        Ok(batch.commit()?)
    }

    fn snapshot(&self) -> Result<Box<dyn KeySnapshot>, EngineError> {
        Ok(Box::new(FjallSnapshot {
            snapshot: self.db.snapshot(),
            keyspace: self.keyspace.clone(),
        }))
    }

    fn approximate_rows(&self) -> u64 {
        // One of them is the applied offset.
        self.keyspace.approximate_len().saturating_sub(1) as u64
    }
}

struct FjallSnapshot {
    snapshot: Snapshot,
    keyspace: Keyspace,
}

impl KeySnapshot for FjallSnapshot {
    fn applied(&self) -> Result<Option<Offset>, EngineError> {
        // Missing: the keyspace was made and the process stopped before its first batch.
        let Some(value) = self.snapshot.get(&self.keyspace, APPLIED)? else {
            return Ok(None);
        };
        match value.len() {
            0 => Ok(None),
            _ => {
                let bytes = <[u8; 8]>::try_from(&value[..]);
                let bytes = bytes.map_err(|_| EngineError::Corrupt("the applied offset"))?;
                Ok(Some(Offset::from_be_bytes(bytes)))
            }
        }
    }

    fn get_many(&self, keys: &[Bytes]) -> Result<Vec<Option<Row>>, EngineError> {
        let get = |key: &Bytes| {
            // The engine panics on a key that it cannot hold.
            if key.len() > KEY_BYTES_MAX {
                return Ok(None);
            }
            let value = self.snapshot.get(&self.keyspace, row_key(key))?;
            value.map(|value| decode_row(&value)).transpose()
        };
        keys.iter().map(get).collect()
    }

    fn rows_from(&self, start: &[u8]) -> Rows<'_> {
        // No key is longer: of those up to this long, only this one lies before a longer start.
        let longest = start.len().min(KEY_BYTES_MAX);
        let before = (longest < start.len()).then(|| Bytes::copy_from_slice(&start[..longest]));
        // Rows are the last of the keyspace.
        let rows = self
            .snapshot
            .range(&self.keyspace, row_key(&start[..longest])..);
        let rows = rows.map(|row| {
            let (key, value) = row.into_inner()?;
            Ok((Bytes::copy_from_slice(&key[1..]), decode_row(&value)?))
        });
        let is_before = move |row: &Result<(Bytes, Row), EngineError>| matches!((row, &before), (Ok((key, _)), Some(before)) if key == before);
        Box::new(rows.skip_while(is_before))
    }
}

fn row_key(key: &[u8]) -> Vec<u8> {
    [&[ROW][..], key].concat()
}

fn encode_row(row: &Row) -> Vec<u8> {
    let (offset, timestamp) = (row.offset.to_be_bytes(), row.timestamp.to_be_bytes());
    [&offset[..], &timestamp[..], &row.value[..]].concat()
}

/// Copies the value, so that an answer does not pin a block of the engine.
fn decode_row(bytes: &[u8]) -> Result<Row, EngineError> {
    let (head, value) = bytes
        .split_first_chunk::<ROW_HEAD>()
        .ok_or(EngineError::Corrupt("a row without its head"))?;
    let (offset, timestamp) = head.split_at(8);
    let number = |bytes: &[u8]| {
        let number = bytes.try_into().map(i64::from_be_bytes);
        number.map_err(|_| EngineError::Corrupt("a row's head"))
    };
    Ok(Row {
        offset: number(offset)?,
        timestamp: number(timestamp)?,
        value: Bytes::copy_from_slice(value),
    })
}

impl From<fjall::Error> for EngineError {
    fn from(error: fjall::Error) -> Self {
        match error {
            fjall::Error::Locked => Self::Locked,
            fjall::Error::Io(source) => Self::Io(source),
            other => Self::Engine(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tidelog_storage::ids::TopicId;

    use super::*;

    const PARTITION: PartitionId = PartitionId {
        topic: TopicId([7; 16]),
        index: 3,
    };

    fn put(key: &'static [u8], offset: Offset) -> Change {
        Change {
            key: Bytes::from_static(key),
            offset,
            timestamp: 5,
            value: Some(Bytes::from_static(b"v")),
        }
    }

    fn store(dir: &Path) -> FjallStore {
        FjallStore::open(dir, &FjallOptions::default()).unwrap().0
    }

    fn applied(engine: &dyn KeyEngine) -> Option<Offset> {
        engine.snapshot().unwrap().applied().unwrap()
    }

    #[test]
    fn a_new_engine_is_empty_at_zero() {
        let dir = tempfile::tempdir().unwrap();
        let engine = store(dir.path()).open(PARTITION).unwrap();
        assert_eq!(applied(&*engine), Some(0));
        assert_eq!(engine.snapshot().unwrap().rows().count(), 0);
    }

    #[test]
    fn rows_come_back_in_key_order_after_a_stop() {
        let dir = tempfile::tempdir().unwrap();
        let longest: &'static [u8] = vec![0xff; crate::KEY_BYTES_MAX].leak();
        let keys = [longest, b"", b"b", b"a", b"\x00"];
        {
            let engine = store(dir.path()).open(PARTITION).unwrap();
            let changes: Vec<_> = (0..).zip(keys).map(|(at, key)| put(key, at)).collect();
            engine.apply(&changes, Some(5)).unwrap();
        }
        let engine = store(dir.path()).open(PARTITION).unwrap();
        let snapshot = engine.snapshot().unwrap();
        engine.apply(&[], Some(9)).unwrap();
        let found: Vec<_> = snapshot.rows().map(|row| row.unwrap()).collect();
        let offsets: Vec<_> = found.iter().map(|(_, row)| row.offset).collect();
        assert_eq!(offsets, [1, 4, 3, 2, 0]);
        assert_eq!(snapshot.applied().unwrap(), Some(5));
        assert_eq!(applied(&*engine), Some(9));
    }

    #[test]
    fn keys_that_are_too_long_are_in_no_table() {
        let dir = tempfile::tempdir().unwrap();
        let engine = store(dir.path()).open(PARTITION).unwrap();
        let longest: &'static [u8] = vec![b'k'; KEY_BYTES_MAX].leak();
        let (longer, beyond) = ([longest, b"\0"].concat(), [longest, b"kk"].concat());
        engine
            .apply(&[put(longest, 0), put(b"z", 1)], Some(2))
            .unwrap();
        let snapshot = engine.snapshot().unwrap();
        let asked = [longer.clone(), beyond.clone(), longest.to_vec()].map(Bytes::from);
        let found = snapshot.get_many(&asked).unwrap();
        let found: Vec<_> = found.iter().map(Option::is_some).collect();
        assert_eq!(found, [false, false, true]);
        for (start, expected) in [(longest, &[0, 1][..]), (&longer, &[1]), (&beyond, &[1])] {
            let rows = snapshot.rows_from(start).map(|row| row.unwrap().1.offset);
            assert_eq!(rows.collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn an_interrupted_load_shows() {
        let dir = tempfile::tempdir().unwrap();
        let engine = store(dir.path()).open(PARTITION).unwrap();
        engine.apply(&[put(b"a", 0)], None).unwrap();
        assert_eq!(applied(&*engine), None);
    }

    #[test]
    fn destroyed_means_empty() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let engine = store.open(PARTITION).unwrap();
        engine.apply(&[put(b"a", 0)], Some(1)).unwrap();
        drop(engine);
        store.destroy(PARTITION).unwrap();
        store.destroy(PARTITION).unwrap();
        let engine = store.open(PARTITION).unwrap();
        assert_eq!(applied(&*engine), Some(0));
        assert_eq!(engine.snapshot().unwrap().rows().count(), 0);
    }

    #[test]
    fn engines_of_deleted_topics_go() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let other = PartitionId {
            index: 4,
            ..PARTITION
        };
        for partition in [PARTITION, other] {
            let engine = store.open(partition).unwrap();
            engine.apply(&[put(b"a", 0)], Some(1)).unwrap();
        }
        store.retain(&HashSet::from([other])).unwrap();
        assert_eq!(applied(&*store.open(PARTITION).unwrap()), Some(0));
        assert_eq!(applied(&*store.open(other).unwrap()), Some(1));
    }

    #[test]
    fn a_second_process_is_kept_out() {
        let dir = tempfile::tempdir().unwrap();
        let _first = store(dir.path());
        let second = FjallStore::open(dir.path(), &FjallOptions::default());
        assert!(matches!(second, Err(EngineError::Locked)));
    }

    #[test]
    fn damaged_files_make_it_anew() {
        let dir = tempfile::tempdir().unwrap();
        let engine = store(dir.path()).open(PARTITION).unwrap();
        engine.apply(&[put(b"a", 0)], Some(1)).unwrap();
        drop(engine);
        fs::write(dir.path().join(INDEX_DIRECTORY).join("version"), b"?").unwrap();
        let (store, lost) = FjallStore::open(dir.path(), &FjallOptions::default()).unwrap();
        assert!(lost.is_some());
        assert_eq!(applied(&*store.open(PARTITION).unwrap()), Some(0));
    }
}
