//! Catalog pointers: a small map from key to text, changed by compare-and-set over several keys.
//!
//! The image keeps them for the lake's catalog (which table's metadata lies where) and gives them no
//! meaning. One change is one record, so all of its keys move or none does.

use std::collections::BTreeMap;
use std::ops::Bound::{Included, Unbounded};

use thiserror::Error;

use super::controller::Draft;
use super::record::Record;

/// Keys and texts of one change together, in bytes.
pub const POINTER_CHANGE_BYTES_MAX: usize = 1 << 20;

/// Keys and texts of all pointers together, in bytes; bounds what clients of the catalog can make
/// this process hold.
pub const POINTERS_BYTES_MAX: usize = 64 << 20;

/// One key's part of an atomic change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointerChange {
    pub key: String,
    /// What must be there; `None`: nothing may be there.
    pub expected: Option<String>,
    /// What is there afterwards; `None`: nothing.
    pub new: Option<String>,
}

/// Why nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PointerRefusal {
    #[error("{key} is not what was expected")]
    Mismatch { key: String },
    #[error("the change has {bytes} bytes: at most {POINTER_CHANGE_BYTES_MAX} are taken at once")]
    ChangeTooLarge { bytes: usize },
    #[error(
        "the catalog is full: its pointers would take {bytes} bytes, at most {POINTERS_BYTES_MAX} are kept"
    )]
    Full { bytes: usize },
}

/// The map, with what it takes in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pointers {
    map: BTreeMap<String, String>,
    bytes: usize,
}

impl Pointers {
    pub fn get(&self, key: &str) -> Option<&str> {
        self.map.get(key).map(String::as_str)
    }

    /// Every pointer whose key starts with `prefix`, in order of keys.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.map
            .range::<str, _>((Included(prefix), Unbounded))
            .take_while(move |(key, _)| key.starts_with(prefix))
            .map(|(key, text)| (key.as_str(), text.as_str()))
    }

    /// Keys and texts together, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn set(&mut self, key: &str, text: Option<&str>) {
        let size = |text: &str| key.len() + text.len();
        let before = match text {
            Some(text) => self.map.insert(key.to_owned(), text.to_owned()),
            None => self.map.remove(key),
        };
        self.bytes -= before.as_deref().map_or(0, size);
        self.bytes += text.map_or(0, size);
    }
}

/// Decides a compare-and-set. A key named twice is judged against the image both times, and the
/// last text holds.
pub(super) fn change(draft: &mut Draft, changes: Vec<PointerChange>) -> Result<(), PointerRefusal> {
    let len = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let bytes: usize = changes.iter().map(|c| c.key.len() + len(&c.new)).sum();
    if bytes > POINTER_CHANGE_BYTES_MAX {
        return Err(PointerRefusal::ChangeTooLarge { bytes });
    }
    let pointers = draft.image.pointers();
    let unexpected = changes
        .iter()
        .find(|change| pointers.get(&change.key) != change.expected.as_deref());
    if let Some(change) = unexpected {
        let key = change.key.clone();
        return Err(PointerRefusal::Mismatch { key });
    }
    let grows = changes.iter().any(|change| change.expected.is_none());
    let bytes = bytes + pointers.size_bytes();
    if grows && bytes > POINTERS_BYTES_MAX {
        return Err(PointerRefusal::Full { bytes });
    }
    if !changes.is_empty() {
        let changed = changes.into_iter().map(|change| (change.key, change.new));
        draft.push(Record::PointersChanged {
            changed: changed.collect(),
        });
    }
    Ok(())
}
