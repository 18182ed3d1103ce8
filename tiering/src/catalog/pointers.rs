//! Where the catalog's few facts live: a small map from key to text, changed by compare-and-set.
//!
//! The broker keeps it in its cluster image log; [`MemoryPointers`] is for tests, and
//! [`super::LocalPointers`] keeps it in a file of its own.

use std::collections::BTreeMap;

use async_trait::async_trait;
use parking_lot::Mutex;
use thiserror::Error;

/// One key's part of an atomic change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub key: String,
    /// What must be there for any of the changes to happen; `None`: nothing may be there.
    pub expected: Option<String>,
    /// What is there afterwards; `None`: nothing.
    pub new: Option<String>,
}

impl Change {
    pub fn create(key: String, new: String) -> Self {
        Self {
            key,
            expected: None,
            new: Some(new),
        }
    }

    pub fn replace(key: String, expected: String, new: String) -> Self {
        Self {
            key,
            expected: Some(expected),
            new: Some(new),
        }
    }

    pub fn delete(key: String, expected: String) -> Self {
        Self {
            key,
            expected: Some(expected),
            new: None,
        }
    }
}

/// Why a store did not answer or did not change.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum PointerError {
    /// Another value was there; nothing changed.
    #[error("{key} is not what was expected")]
    Mismatch { key: String },
    /// The change may have happened, or may still.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// Nothing changed.
    #[error("pointer store unavailable: {0}")]
    Unavailable(String),
}

/// A linearizable map of at most some thousand short texts.
#[async_trait]
pub trait PointerStore: Send + Sync {
    /// The value of `key`.
    async fn get(&self, key: &str) -> Result<Option<String>, PointerError>;

    /// Every key that starts with `prefix`, with its value, in order of keys.
    async fn list(&self, prefix: &str) -> Result<Vec<(String, String)>, PointerError>;

    /// All changes, if every key has its expected value, or none; durable when it answers.
    async fn compare_and_set(&self, changes: Vec<Change>) -> Result<(), PointerError>;
}

/// A store that forgets when the process ends.
#[derive(Debug, Default)]
pub struct MemoryPointers {
    map: Mutex<BTreeMap<String, String>>,
}

#[async_trait]
impl PointerStore for MemoryPointers {
    async fn get(&self, key: &str) -> Result<Option<String>, PointerError> {
        Ok(self.map.lock().get(key).cloned())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, String)>, PointerError> {
        Ok(with_prefix(&self.map.lock(), prefix))
    }

    async fn compare_and_set(&self, changes: Vec<Change>) -> Result<(), PointerError> {
        let mut map = self.map.lock();
        check(&map, &changes)?;
        apply(&mut map, changes);
        Ok(())
    }
}

pub(super) fn with_prefix(map: &BTreeMap<String, String>, prefix: &str) -> Vec<(String, String)> {
    map.range(prefix.to_owned()..)
        .take_while(|(key, _)| key.starts_with(prefix))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

pub(super) fn check(
    map: &BTreeMap<String, String>,
    changes: &[Change],
) -> Result<(), PointerError> {
    match changes
        .iter()
        .find(|change| map.get(&change.key) != change.expected.as_ref())
    {
        Some(change) => Err(PointerError::Mismatch {
            key: change.key.clone(),
        }),
        None => Ok(()),
    }
}

pub(super) fn apply(map: &mut BTreeMap<String, String>, changes: Vec<Change>) {
    for Change { key, new, .. } in changes {
        match new {
            Some(value) => map.insert(key, value),
            None => map.remove(&key),
        };
    }
}
