//! Transactions that ended in abort, as far as their records may still be read.
//!
//! Readers of committed records skip the transactional batches of a producer from the first offset
//! of an aborted transaction to its marker. Source: Kafka's `TransactionIndex`.

use crate::ids::Offset;
use crate::manifest::AbortedTransaction;
use crate::producers::Ended;

/// Aborted transactions of a partition, by ascending last offset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AbortedIndex {
    list: Vec<AbortedTransaction>,
}

impl AbortedIndex {
    /// `list` ascends by last offset, as a manifest has it.
    pub fn new(list: Vec<AbortedTransaction>) -> Self {
        Self { list }
    }

    /// Adds a transaction that was aborted after all those that are there.
    pub fn push(&mut self, ended: &Ended) {
        self.list.push((*ended).into());
    }

    /// Those with an offset in `from..to`, by ascending first offset.
    pub fn overlapping(&self, from: Offset, to: Offset) -> Vec<AbortedTransaction> {
        let mut found = Vec::new();
        for aborted in self.since(from) {
            if aborted.first_offset < to {
                found.push(*aborted);
            }
            // Whatever ended later was open then or began later: at this offset or above.
            if aborted.last_stable_offset >= to {
                break;
            }
        }
        found.sort_by_key(|aborted| aborted.first_offset);
        found
    }

    /// Those that end at or after `offset`.
    pub fn since(&self, offset: Offset) -> &[AbortedTransaction] {
        let first = self
            .list
            .partition_point(|aborted| aborted.last_offset < offset);
        &self.list[first..]
    }

    /// Forgets those with these last offsets, which ascend.
    pub fn remove(&mut self, last_offsets: &[Offset]) {
        self.list
            .retain(|aborted| last_offsets.binary_search(&aborted.last_offset).is_err());
    }

    /// Forgets those that lie wholly below `log_start`.
    pub fn trim(&mut self, log_start: Offset) {
        let gone = self.list.len() - self.since(log_start).len();
        self.list.drain(..gone);
    }
}

impl From<Ended> for AbortedTransaction {
    fn from(ended: Ended) -> Self {
        Self {
            producer_id: ended.producer_id,
            first_offset: ended.first_offset,
            last_offset: ended.last_offset,
            last_stable_offset: ended.last_stable_offset,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> AbortedIndex {
        let aborted =
            |producer_id, first_offset, last_offset, last_stable_offset| AbortedTransaction {
                producer_id,
                first_offset,
                last_offset,
                last_stable_offset,
            };
        AbortedIndex::new(vec![
            aborted(1, 10, 14, 5),
            aborted(2, 5, 15, 16),
            aborted(1, 20, 30, 31),
        ])
    }

    #[test]
    fn a_range_meets_what_overlaps_it_by_first_offset() {
        for (from, to, expected) in [
            (0, 5, &[][..]),
            (0, 6, &[5]),
            (0, 11, &[5, 10]),
            (15, 20, &[5]),
            (15, 21, &[5, 20]),
            (16, 20, &[]),
            (30, 31, &[20]),
            (31, 99, &[]),
        ] {
            let found = index().overlapping(from, to);
            let firsts: Vec<_> = found.iter().map(|aborted| aborted.first_offset).collect();
            assert_eq!(firsts, expected, "{from}..{to}");
        }
    }

    #[test]
    fn what_ends_below_the_log_start_is_forgotten() {
        let mut index = index();
        index.trim(15);
        assert_eq!(index.since(0).len(), 2);
        index.trim(31);
        assert_eq!(index, AbortedIndex::default());
    }
}
