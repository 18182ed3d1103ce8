//! What a reader of committed records makes of batches: the one place that decides it.
//!
//! Kafka consumers get control batches and aborted data in their fetches and skip them themselves.
//! Everything derived from the log here (rows files, the key index, the lake) reads through this
//! filter instead, up to the stable end, where every transaction has ended one way or the other.

use std::collections::HashMap;

use bytes::Bytes;
use tidelog_records::BatchHeader;

use super::read::batches_of;
use super::{Partition, ReadError};
use crate::ids::Offset;
use crate::manifest::AbortedTransaction;

/// The committed part of batches that were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Whole data batches, in order; the first may begin before, where the read began inside it.
    pub batches: Vec<Bytes>,
    /// Next offset to read on from: everything below was looked at, even if nothing of it counts.
    pub end: Offset,
}

/// Offsets whose transactional records were aborted, by producer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AbortedRanges {
    /// First and last offset, ascending; the transactions of one producer do not overlap.
    by_producer: HashMap<i64, Vec<(Offset, Offset)>>,
}

impl AbortedRanges {
    /// `aborted` ascends by first offset.
    pub fn new(aborted: &[AbortedTransaction]) -> Self {
        let mut by_producer: HashMap<_, Vec<_>> = HashMap::new();
        for transaction in aborted {
            let ranges = by_producer.entry(transaction.producer_id).or_default();
            ranges.push((transaction.first_offset, transaction.last_offset));
        }
        Self { by_producer }
    }

    /// True if a transactional record of this producer at this offset was aborted.
    pub fn contains(&self, producer_id: i64, offset: Offset) -> bool {
        self.by_producer.get(&producer_id).is_some_and(|ranges| {
            let next = ranges.partition_point(|(_, last)| *last < offset);
            ranges.get(next).is_some_and(|(first, _)| *first <= offset)
        })
    }

    /// True if the records of this batch, which lies below the stable end, are to be seen.
    pub fn is_committed(&self, batch: &BatchHeader) -> bool {
        let aborted =
            || batch.is_transactional() && self.contains(batch.producer_id, batch.base_offset);
        !batch.is_control() && !aborted()
    }
}

impl Partition {
    /// Leaves of batches that were read from `from` on those that count: below the stable end, data,
    /// not aborted.
    ///
    /// # Errors
    /// As [`aborted`](Self::aborted): the log starts above `from` by now.
    pub fn committed(
        &self,
        from: Offset,
        pieces: impl IntoIterator<Item = Bytes>,
    ) -> Result<Committed, ReadError> {
        // Before the list: what lies below has ended, and so is on it.
        let stable_end = self.marks().stable_end;
        let batches: Vec<_> = pieces
            .into_iter()
            .flat_map(batches_of)
            .take_while(|batch| batch.header.base_offset < stable_end)
            .collect();
        let end = match batches.last() {
            Some(last) => (last.header.last_offset() + 1).min(stable_end),
            None => from,
        };
        let aborted = AbortedRanges::new(&self.aborted(from, end)?);
        let committed = batches
            .into_iter()
            .filter(|batch| aborted.is_committed(&batch.header));
        Ok(Committed {
            batches: committed.map(|batch| batch.bytes).collect(),
            end,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_ranges_of_its_producer_concern_a_record() {
        let aborted = |producer_id, first_offset, last_offset| AbortedTransaction {
            producer_id,
            first_offset,
            last_offset,
            last_stable_offset: last_offset + 1,
        };
        let ranges = [aborted(1, 5, 8), aborted(2, 6, 7), aborted(1, 12, 12)];
        let ranges = AbortedRanges::new(&ranges);
        let of = |producer| -> Vec<_> {
            (0..15)
                .filter(|offset| ranges.contains(producer, *offset))
                .collect()
        };
        assert_eq!(of(1), [5, 6, 7, 8, 12]);
        assert_eq!(of(2), [6, 7]);
        assert_eq!(of(3), [0; 0]);
    }
}
