//! Leader epochs of a partition: which epoch wrote from which offset on.
//!
//! An epoch is one incarnation of this node since the partition was made (a start, or storage opened
//! again after a failure), so the table grows only when data arrives after one.

use crate::ids::Offset;
use crate::segment::EpochStart;

/// Epochs in rising order, each with its first offset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Epochs {
    starts: Vec<EpochStart>,
}

impl Epochs {
    pub fn new(starts: Vec<EpochStart>) -> Self {
        Self { starts }
    }

    /// Notes that a batch of `epoch` was written at `offset`.
    pub fn note(&mut self, epoch: i32, offset: Offset) {
        if self.starts.last().is_none_or(|last| last.epoch < epoch) {
            self.starts.push(EpochStart {
                epoch,
                start_offset: offset,
            });
        }
    }

    /// The epoch that wrote the record at `offset`, if the table reaches back that far.
    pub fn at(&self, offset: Offset) -> Option<i32> {
        self.starts
            .iter()
            .rev()
            .find(|start| start.start_offset <= offset)
            .map(|start| start.epoch)
    }

    /// KIP-101/KIP-320: the largest known epoch not above `epoch`, and where it ends. `end` is the
    /// end of the log, `current` the epoch now in force.
    pub fn end_of(&self, epoch: i32, current: i32, end: Offset) -> Option<(i32, Offset)> {
        if epoch == current {
            return Some((current, end));
        }
        if epoch > current {
            return None;
        }
        let next = self.starts.iter().find(|start| start.epoch > epoch);
        let end_offset = next.map_or(end, |start| start.start_offset);
        let found = self.starts.iter().rev().find(|start| start.epoch <= epoch);
        // An epoch from before the table began ends where the table begins.
        Some((found.map_or(epoch, |start| start.epoch), end_offset))
    }

    /// Forgets what lies wholly below `log_start`.
    pub fn trim(&mut self, log_start: Offset) {
        let keep_from = self
            .starts
            .iter()
            .rposition(|start| start.start_offset <= log_start)
            .unwrap_or(0);
        self.starts.drain(..keep_from);
        if let Some(first) = self.starts.first_mut() {
            first.start_offset = first.start_offset.max(log_start);
        }
    }

    /// Forgets epochs that begin at `end` or beyond.
    pub fn cut(&mut self, end: Offset) {
        self.starts.retain(|start| start.start_offset < end);
    }

    /// The table as far as `offset`.
    pub fn below(&self, offset: Offset) -> Vec<EpochStart> {
        self.starts
            .iter()
            .filter(|start| start.start_offset < offset)
            .copied()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Epochs {
        let mut epochs = Epochs::default();
        for (epoch, offset) in [(0, 0), (0, 5), (2, 10), (5, 30)] {
            epochs.note(epoch, offset);
        }
        epochs
    }

    #[test]
    fn ends_are_where_the_next_epoch_starts() {
        let epochs = table();
        let cases = [
            (0, Some((0, 10))),
            (1, Some((0, 10))),
            (2, Some((2, 30))),
            (6, Some((6, 40))),
            (7, None),
        ];
        for (epoch, expected) in cases {
            assert_eq!(epochs.end_of(epoch, 6, 40), expected, "epoch {epoch}");
        }
    }

    #[test]
    fn an_epoch_whose_records_were_cut_off_never_was() {
        let mut epochs = table();
        epochs.cut(30);
        epochs.note(6, 30);
        assert_eq!(epochs.end_of(5, 6, 40), Some((2, 30)));
        assert_eq!(epochs.at(30), Some(6));
    }

    #[test]
    fn offsets_know_their_epoch_and_trimming_keeps_it() {
        let mut epochs = table();
        epochs.trim(12);
        assert_eq!(epochs.at(12), Some(2));
        assert_eq!(epochs.at(11), None);
        assert_eq!(epochs.at(35), Some(5));
    }
}
