//! Since which of its epochs a member has each of its partitions (KIP-1251).
//!
//! A commit may have been sent before the member heard of its newest epoch. It still counts for
//! partitions that were the member's in the epoch it names; one that came to the member later may have
//! been somebody else's in between, whose commit it would undo.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::assignment::Assignment;

/// An epoch for each partition that a member holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Since {
    epochs: BTreeMap<(Uuid, i32), i32>,
}

impl Since {
    /// All of `partitions` since the same epoch.
    pub fn all(partitions: &Assignment, epoch: i32) -> Self {
        partitions
            .iter()
            .map(|partition| (partition, epoch))
            .collect()
    }

    /// Since when the member has this partition; `None` if it has not.
    pub fn epoch_of(&self, topic: Uuid, partition: i32) -> Option<i32> {
        self.epochs.get(&(topic, partition)).copied()
    }

    /// What is said of `partitions`.
    pub(super) fn of(&self, partitions: &Assignment) -> Self {
        let known = self
            .epochs
            .iter()
            .map(|(&partition, &epoch)| (partition, epoch));
        known
            .filter(|((topic, partition), _)| partitions.contains(*topic, *partition))
            .collect()
    }

    /// The same, with what is held besides.
    pub(super) fn plus(mut self, other: Self) -> Self {
        self.epochs.extend(other.epochs);
        self
    }

    pub(super) fn insert(&mut self, topic: Uuid, partition: i32, epoch: i32) {
        self.epochs.insert((topic, partition), epoch);
    }
}

impl FromIterator<((Uuid, i32), i32)> for Since {
    fn from_iter<I: IntoIterator<Item = ((Uuid, i32), i32)>>(epochs: I) -> Self {
        let epochs = epochs.into_iter().collect();
        Self { epochs }
    }
}
