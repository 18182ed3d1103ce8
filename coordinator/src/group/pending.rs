//! Offsets of open transactions: invisible until their marker, and who wins when several were
//! committed for one partition.
//!
//! The latest commit in the log wins, not the latest marker: a plain commit, or a transaction that
//! commits, *supersedes* whatever was pending for the partition before it. What is superseded will
//! never be seen, but keeps the partition unstable until its own marker. Source: Kafka's
//! `OffsetMetadataManager`.
//!
//! Invariant: of the pending commits of one partition, in log order, those superseded come first.

use std::collections::{BTreeMap, BTreeSet};

use super::record::{CommittedOffset, GroupRecord};
use super::txn_record::{TxnEnd, TxnOffset};
use crate::producer::{Outcome, Producer};

/// Group, topic and partition.
type Key = (String, String, i32);

/// Pending commits by partition and by producer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PendingOffsets {
    /// Oldest first, at most one for each producer.
    commits: BTreeMap<Key, Vec<Pending>>,
    open: BTreeMap<i64, OpenTransaction>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pending {
    producer: Producer,
    value: CommittedOffset,
    superseded: bool,
}

/// A transaction with pending commits.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OpenTransaction {
    epoch: i16,
    keys: BTreeSet<Key>,
}

impl PendingOffsets {
    /// The epoch of the producer's transaction, if it has something pending.
    pub(super) fn open_epoch(&self, producer_id: i64) -> Option<i16> {
        self.open.get(&producer_id).map(|open| open.epoch)
    }

    /// Whether a transaction has yet to decide about this partition.
    pub(super) fn is_unstable(&self, group: &str, topic: &str, partition: i32) -> bool {
        // Mostly nothing is pending: no need to make a key then.
        !self.commits.is_empty() && {
            let key = (group.to_owned(), topic.to_owned(), partition);
            self.commits.contains_key(&key)
        }
    }

    pub(super) fn has_group(&self, group: &str) -> bool {
        self.of_group(group).next().is_some()
    }

    /// Topic and partition of every pending commit of a group.
    pub(super) fn of_group(&self, group: &str) -> impl Iterator<Item = (&String, i32)> {
        let first = (group.to_owned(), String::new(), i32::MIN);
        self.commits
            .range(first..)
            .map(|(key, _)| key)
            .take_while(move |key| key.0 == group)
            .map(|(_, topic, partition)| (topic, *partition))
    }

    /// Group, topic and partition of every pending commit.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.commits.keys()
    }

    pub(super) fn put(&mut self, offset: &TxnOffset) {
        let producer = offset.producer;
        let key = (offset.group.clone(), offset.topic.clone(), offset.partition);
        let commits = self.commits.entry(key.clone()).or_default();
        commits.retain(|pending| pending.producer.id != producer.id);
        commits.push(Pending {
            producer,
            value: offset.value.clone(),
            superseded: false,
        });
        let open = self.open.entry(producer.id).or_insert(OpenTransaction {
            epoch: producer.epoch,
            keys: BTreeSet::new(),
        });
        open.epoch = producer.epoch;
        open.keys.insert(key);
    }

    /// A commit outside transactions came after all that is pending.
    pub(super) fn supersede(&mut self, group: &str, topic: &str, partition: i32) {
        let key = (group.to_owned(), topic.to_owned(), partition);
        if let Some(commits) = self.commits.get_mut(&key) {
            commits
                .iter_mut()
                .for_each(|pending| pending.superseded = true);
        }
    }

    /// A tombstone removes what is pending too.
    pub(super) fn clear(&mut self, group: &str, topic: &str, partition: i32) {
        let key = (group.to_owned(), topic.to_owned(), partition);
        for pending in self.commits.remove(&key).into_iter().flatten() {
            self.close(pending.producer.id, &key);
        }
    }

    /// Ends a transaction; answers the commits that count from now on.
    pub(super) fn end(&mut self, end: &TxnEnd) -> Vec<(Key, CommittedOffset)> {
        let mut committed = Vec::new();
        let Some(open) = self.open.remove(&end.producer.id) else {
            return committed;
        };
        for key in open.keys {
            if let Some(value) = self.take(&key, end) {
                committed.push((key, value));
            }
        }
        committed
    }

    /// Takes the producer's commit out of a partition's list; answers its value if it is to count.
    fn take(&mut self, key: &Key, end: &TxnEnd) -> Option<CommittedOffset> {
        let commits = self.commits.get_mut(key)?;
        let at = commits
            .iter()
            .position(|pending| pending.producer.id == end.producer.id)?;
        let pending = commits.remove(at);
        let counts = end.outcome == Outcome::Commit && !pending.superseded;
        if counts {
            commits[..at]
                .iter_mut()
                .for_each(|older| older.superseded = true);
        }
        if commits.is_empty() {
            self.commits.remove(key);
        }
        counts.then_some(pending.value)
    }

    fn close(&mut self, producer_id: i64, key: &Key) {
        if let Some(open) = self.open.get_mut(&producer_id) {
            open.keys.remove(key);
            if open.keys.is_empty() {
                self.open.remove(&producer_id);
            }
        }
    }

    /// Records of what is pending: superseded or not. A checkpoint has the committed offsets in
    /// between, so that applying it in order supersedes the same again.
    pub(super) fn checkpoint(&self, superseded: bool) -> impl Iterator<Item = GroupRecord> {
        let commits = self.commits.iter();
        let each = commits.flat_map(|(key, commits)| commits.iter().map(move |one| (key, one)));
        each.filter(move |(_, pending)| pending.superseded == superseded)
            .map(|((group, topic, partition), pending)| {
                GroupRecord::TxnOffset(TxnOffset {
                    producer: pending.producer,
                    group: group.clone(),
                    topic: topic.clone(),
                    partition: *partition,
                    value: pending.value.clone(),
                })
            })
    }
}
