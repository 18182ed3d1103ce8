//! Changes in memory that are not in the engine yet, in offset order.
//!
//! ```text
//! front (oldest) ── drained once in the engine ──▶  … │ stable end │ …  back (newest)
//!      each change knows the one before it of the same key; the index knows the newest of each key
//! ```
//!
//! Invariants:
//! - Offsets ascend from front to back; all versions of a key that are not in the engine are here.
//! - A lookup at an offset walks a key's versions from the newest back, past those at or above it:
//!   no further than the changes that are not stable yet.
//! - Only a prefix is drained, so the engine always is the exact fold up to one offset.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use tidelog_storage::ids::Offset;

use crate::row::{Change, Row};

/// Memory of one change beside its key and value, about: its place in the queue and in the index.
const CHANGE_OVERHEAD_BYTES: usize =
    size_of::<Held>() + 2 * (size_of::<Bytes>() + size_of::<Seq>());

/// Number of a change, counted over the overlay's life.
type Seq = u64;

struct Held {
    change: Change,
    /// The change before it of the same key; drained if it lies below the front.
    older: Option<Seq>,
}

/// A change, with the row it met.
pub(crate) struct Since {
    pub change: Change,
    /// The row before, where the overlay has it; else the engine does.
    pub before: Option<Option<Row>>,
}

/// What of the overlay goes to the engine next.
#[derive(Debug, Default)]
pub(crate) struct Cut {
    /// The newest change of each key, in key order.
    pub changes: Vec<Change>,
    /// The engine reflects everything below once they are applied.
    pub end: Offset,
    /// Bytes of all changes that are cut off, replaced ones included.
    pub bytes: usize,
}

#[derive(Default)]
pub(crate) struct Overlay {
    queue: VecDeque<Held>,
    /// Number of the change at the front.
    front: Seq,
    newest: HashMap<Bytes, Seq>,
    bytes: usize,
}

impl Overlay {
    /// Adds a change; its offset lies above all before it.
    pub fn push(&mut self, change: Change) {
        let seq = self.front + self.queue.len() as Seq;
        let older = self.newest.insert(change.key.clone(), seq);
        self.bytes += Self::cost(&change);
        self.queue.push_back(Held { change, older });
    }

    /// The newest change of `key` below `end`; `None` sends the caller to the engine.
    pub fn get(&self, key: &[u8], end: Offset) -> Option<&Change> {
        let mut at = self.newest.get(key).copied();
        while let Some(held) = at.and_then(|seq| self.held(seq)) {
            if held.change.offset < end {
                return Some(&held.change);
            }
            at = held.older;
        }
        None
    }

    /// The newest change of `key`, stable or not.
    pub fn newest(&self, key: &[u8]) -> Option<&Change> {
        let seq = *self.newest.get(key)?;
        Some(&self.held(seq)?.change)
    }

    /// The newest change below `end` of each key that `wanted` takes. Looks at every key.
    pub fn changed(
        &self,
        end: Offset,
        wanted: impl Fn(&Bytes) -> bool,
    ) -> impl Iterator<Item = &Change> {
        let keys = self.newest.keys().filter(move |key| wanted(key));
        keys.filter_map(move |key| self.get(key, end))
    }

    /// The changes from `from` to below `end`, about `max_bytes` of them but at least one, and the
    /// offset behind them.
    pub fn since(&self, from: Offset, end: Offset, max_bytes: usize) -> (Vec<Since>, Offset) {
        let first = self.queue.partition_point(|held| held.change.offset < from);
        let (mut since, mut bytes) = (Vec::new(), 0);
        for held in self.queue.range(first..) {
            let change = &held.change;
            if change.offset >= end {
                break;
            }
            bytes += Self::cost(change);
            if !since.is_empty() && bytes > max_bytes {
                return (since, change.offset);
            }
            let older = held.older.and_then(|seq| self.held(seq));
            since.push(Since {
                change: change.clone(),
                before: older.map(|older| older.change.row()),
            });
        }
        (since, end)
    }

    /// Changes from the front on, below `end` and up to `max_bytes`, but at least one if there is
    /// one. The cut reaches `end` where nothing below it stays behind.
    pub fn cut(&self, end: Offset, max_bytes: usize) -> Cut {
        let below = self.queue.partition_point(|held| held.change.offset < end);
        let mut bytes = 0;
        let fits = |held: &&Held| {
            let first = bytes == 0;
            bytes += Self::cost(&held.change);
            first || bytes <= max_bytes
        };
        let count = self.queue.range(..below).take_while(fits).count();
        let cut = || self.queue.range(..count);
        let end = match self.queue.get(count) {
            Some(next) if count < below => next.change.offset,
            _ => end,
        };

        let mut replaced = vec![false; count];
        for older in cut().filter_map(|held| held.older) {
            if let Some(index) = older.checked_sub(self.front) {
                replaced[index as usize] = true;
            }
        }
        let kept = cut().zip(&replaced).filter(|(_, replaced)| !**replaced);
        let mut changes: Vec<_> = kept.map(|(held, _)| held.change.clone()).collect();
        changes.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        let bytes = cut().map(|held| Self::cost(&held.change)).sum();
        Cut {
            changes,
            end,
            bytes,
        }
    }

    /// Forgets everything below `end`: the engine has it.
    pub fn drain(&mut self, end: Offset) {
        while let Some(held) = self.queue.pop_front_if(|held| held.change.offset < end) {
            self.bytes -= Self::cost(&held.change);
            if self.newest.get(&held.change.key) == Some(&self.front) {
                self.newest.remove(&held.change.key);
            }
            self.front += 1;
        }
    }

    /// Memory, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn held(&self, seq: Seq) -> Option<&Held> {
        self.queue.get(seq.checked_sub(self.front)? as usize)
    }

    fn cost(change: &Change) -> usize {
        change.bytes() + CHANGE_OVERHEAD_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlay(keys: &[&'static str]) -> Overlay {
        let mut overlay = Overlay::default();
        for (offset, key) in keys.iter().enumerate() {
            overlay.push(Change {
                key: Bytes::from_static(key.as_bytes()),
                offset: offset as Offset,
                timestamp: 0,
                value: Some(Bytes::from(format!("v{offset}"))),
            });
        }
        overlay
    }

    fn offset_of(overlay: &Overlay, key: &str, end: Offset) -> Option<Offset> {
        overlay.get(key.as_bytes(), end).map(|change| change.offset)
    }

    #[test]
    fn a_lookup_skips_what_lies_beyond_its_end() {
        let overlay = overlay(&["a", "b", "a", "a"]);
        let found: Vec<_> = (0..=4).map(|end| offset_of(&overlay, "a", end)).collect();
        assert_eq!(found, [None, Some(0), Some(0), Some(2), Some(3)]);
        assert_eq!(offset_of(&overlay, "c", 4), None);
    }

    #[test]
    fn a_cut_keeps_the_newest_of_each_key() {
        let mut overlay = overlay(&["b", "a", "b", "a"]);
        let cut = overlay.cut(3, usize::MAX);
        let offsets: Vec<_> = cut.changes.iter().map(|change| change.offset).collect();
        assert_eq!((offsets, cut.end), (vec![1, 2], 3));
        overlay.drain(cut.end);
        assert_eq!(offset_of(&overlay, "b", 9), None);
        assert_eq!(offset_of(&overlay, "a", 9), Some(3));
        assert_eq!(offset_of(&overlay, "a", 3), None);
    }

    #[test]
    fn a_small_cut_takes_one_change() {
        let overlay = overlay(&["a", "b"]);
        let cut = overlay.cut(2, 0);
        assert_eq!((cut.changes.len(), cut.end), (1, 1));
    }

    #[test]
    fn an_empty_cut_reaches_its_end() {
        let cut = overlay(&[]).cut(7, 100);
        assert_eq!((cut.changes.len(), cut.end, cut.bytes), (0, 7, 0));
    }

    #[test]
    fn a_drained_overlay_holds_nothing() {
        let mut overlay = overlay(&["a", "b", "a"]);
        overlay.drain(3);
        assert_eq!((overlay.bytes(), overlay.newest.len()), (0, 0));
    }
}
