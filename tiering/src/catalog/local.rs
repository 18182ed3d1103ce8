//! Pointers in one local JSON file, for a catalog that runs without a broker.
//!
//! Every change writes the whole map to a second file, syncs it, renames it over the first and
//! syncs the directory. A lock file keeps a second process out. After a failed rename or sync the
//! state on disk is uncertain: the store answers [`PointerError::Unknown`] then and nothing more
//! until it is opened again, because only a fresh read tells.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::pointers::{Change, PointerError, PointerStore, apply, check, with_prefix};
use crate::files::{create_directories, sync_directory};

const FILE: &str = "pointers.json";
const NEXT_FILE: &str = "pointers.json.next";
const LOCK_FILE: &str = "pointers.lock";

/// A durable pointer store in a directory of its own.
#[derive(Debug, Clone)]
pub struct LocalPointers {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    directory: PathBuf,
    map: BTreeMap<String, String>,
    /// Disk and memory may differ since a write failed half way.
    poisoned: bool,
    /// Held for as long as the store is open.
    _lock: File,
}

impl LocalPointers {
    /// Opens the store in `directory`, making it if needed. Blocking.
    ///
    /// # Errors
    /// The directory is in use by another process, or the file cannot be read.
    pub fn open(directory: &Path) -> io::Result<Self> {
        create_directories(directory)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(directory.join(LOCK_FILE))?;
        lock.try_lock().map_err(io::Error::from)?;
        let map = match fs::read(directory.join(FILE)) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        let directory = directory.to_owned();
        let inner = Inner {
            directory,
            map,
            poisoned: false,
            _lock: lock,
        };
        Ok(Self {
            inner: Arc::new(Mutex::new(inner)),
        })
    }
}

impl Inner {
    fn readable(&self) -> Result<&BTreeMap<String, String>, PointerError> {
        if self.poisoned {
            let reason = "a write failed half way; open the store again".to_owned();
            return Err(PointerError::Unavailable(reason));
        }
        Ok(&self.map)
    }

    fn change(&mut self, changes: Vec<Change>) -> Result<(), PointerError> {
        let map = self.readable()?;
        check(map, &changes)?;
        let mut next = map.clone();
        apply(&mut next, changes);
        self.write_next(&next)
            .map_err(|error| PointerError::Unavailable(error.to_string()))?;
        if let Err(error) = self.swap() {
            self.poisoned = true;
            return Err(PointerError::Unknown(error.to_string()));
        }
        self.map = next;
        Ok(())
    }

    fn write_next(&self, map: &BTreeMap<String, String>) -> io::Result<()> {
        let mut file = File::create(self.directory.join(NEXT_FILE))?;
        file.write_all(&serde_json::to_vec_pretty(map)?)?;
        file.sync_all()
    }

    fn swap(&self) -> io::Result<()> {
        fs::rename(self.directory.join(NEXT_FILE), self.directory.join(FILE))?;
        sync_directory(&self.directory)
    }
}

#[async_trait]
impl PointerStore for LocalPointers {
    async fn get(&self, key: &str) -> Result<Option<String>, PointerError> {
        Ok(self.inner.lock().readable()?.get(key).cloned())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, String)>, PointerError> {
        Ok(with_prefix(self.inner.lock().readable()?, prefix))
    }

    async fn compare_and_set(&self, changes: Vec<Change>) -> Result<(), PointerError> {
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || inner.lock().change(changes))
            .await
            .unwrap_or_else(|panic| Err(PointerError::Unknown(panic.to_string())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pointers_survive_and_are_held_by_one_process() {
        let directory = tempfile::tempdir().unwrap();
        let store = LocalPointers::open(directory.path()).unwrap();
        let text = str::to_owned;
        let two = vec![
            Change::create(text("a/1"), text("x")),
            Change::create(text("a/2"), text("y")),
        ];
        store.compare_and_set(two).await.unwrap();
        let half_right = vec![
            Change::delete(text("a/1"), text("x")),
            Change::replace(text("a/2"), text("x"), text("z")),
        ];
        let mismatch = store.compare_and_set(half_right).await.unwrap_err();
        assert_eq!(mismatch, PointerError::Mismatch { key: text("a/2") });
        assert!(LocalPointers::open(directory.path()).is_err());
        drop(store);
        let store = LocalPointers::open(directory.path()).unwrap();
        let expected = vec![(text("a/1"), text("x")), (text("a/2"), text("y"))];
        assert_eq!(store.list("a/").await.unwrap(), expected);
    }
}
