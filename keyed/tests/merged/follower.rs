//! Somebody who keeps a copy of the table from its changelog alone, and is strict about it.

use std::collections::BTreeMap;

use bytes::Bytes;
use tidelog_keyed::Row;
use tidelog_keyed::changelog::{ChangeKind, ChangeRow};
use tidelog_keyed::merge::{Engine, Image, RuleLog};
use tidelog_storage::ids::Offset;

#[derive(Debug, Clone, Default)]
pub struct Follower {
    pub copy: BTreeMap<Bytes, Row>,
    /// Everything below was taken.
    pub taken_to: Offset,
    /// The row before that waits for the row after.
    open: Option<ChangeRow>,
}

impl Follower {
    pub fn take(&mut self, rows: Vec<ChangeRow>, end: Offset, rules: &RuleLog) {
        for row in rows {
            assert!((self.taken_to..end).contains(&row.offset));
            self.apply(row, rules);
        }
        assert!(self.open.is_none(), "no part ends between the two images");
        self.taken_to = end;
    }

    fn apply(&mut self, change: ChangeRow, rules: &RuleLog) {
        let rule = rules.at(change.offset);
        let held = self.copy.get(&change.key).cloned();
        if let Some(before) = self.open.take() {
            assert_eq!(change.kind, ChangeKind::UpdateAfter);
            assert_eq!((&before.key, before.offset), (&change.key, change.offset));
        } else if change.kind == ChangeKind::UpdateAfter {
            assert_eq!(rule.image, Image::Wal);
        }
        match change.kind {
            ChangeKind::Insert => {
                assert_eq!((held, change.prev_offset), (None, None));
                self.put(change);
            }
            ChangeKind::UpdateBefore => {
                assert_eq!(rule.image, Image::Full);
                assert_eq!(change.prev_offset, Some(change.row.offset));
                assert_eq!(held.as_ref(), Some(&change.row));
                self.open = Some(change);
            }
            ChangeKind::UpdateAfter => {
                let is_blind = rule.is_blind() && rule.image == Image::Wal;
                if !is_blind {
                    assert_eq!(change.prev_offset, held.map(|held| held.offset));
                }
                assert_ne!(rule.engine, Engine::FirstRow);
                self.put(change);
            }
            ChangeKind::Delete => {
                assert_eq!(held, Some(change.row));
                self.copy.remove(&change.key);
            }
        }
    }

    fn put(&mut self, change: ChangeRow) {
        assert_eq!(change.row.offset, change.offset);
        self.copy.insert(change.key, change.row);
    }
}
