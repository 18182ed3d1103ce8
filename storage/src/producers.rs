//! Idempotent producers: what each last wrote to a partition, so that a resent batch is recognised.
//!
//! Kafka's rules (KIP-98, KIP-360): the last five batches of a producer are remembered; an exact
//! resend answers the original offset; anything else must be next in sequence; a new epoch starts
//! at sequence 0; a producer nobody remembers may start anywhere.

use std::collections::{HashMap, VecDeque};

use tidelog_records::BatchHeader;

use crate::ids::Timestamp;
use crate::manifest::{ProducerBatch, ProducerState};

/// Batches remembered per producer: the most an idempotent client keeps in flight.
pub const BATCHES_REMEMBERED: usize = 5;

/// What is known of one producer id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Producer {
    pub epoch: i16,
    /// Oldest first, at most [`BATCHES_REMEMBERED`].
    pub batches: VecDeque<ProducerBatch>,
    /// When it last appended, by the broker's clock.
    pub last_seen: Timestamp,
}

/// Verdict over a batch with a producer id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sequence {
    Next,
    /// Written before, there.
    Duplicate(ProducerBatch),
}

/// Why a batch does not follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SequenceError {
    #[error("out of order sequence: expected {expected}, got {got}")]
    OutOfOrder { expected: i32, got: i32 },
    #[error("producer epoch {got} is older than {current}")]
    StaleEpoch { current: i16, got: i16 },
}

/// All producers of a partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Producers {
    by_id: HashMap<i64, Producer>,
}

impl Producers {
    /// Judges a batch without remembering it. Batches without producer id are always next.
    pub fn check(&self, batch: &BatchHeader) -> Result<Sequence, SequenceError> {
        let Some(known) = self.by_id.get(&batch.producer_id) else {
            return Ok(Sequence::Next);
        };
        let got = batch.base_sequence;
        if batch.producer_epoch < known.epoch {
            return Err(SequenceError::StaleEpoch {
                current: known.epoch,
                got: batch.producer_epoch,
            });
        }
        if batch.producer_epoch > known.epoch {
            return expect(0, got);
        }
        if let Some(span) = known
            .batches
            .iter()
            .find(|known| is_resent_as(known, batch))
        {
            return Ok(Sequence::Duplicate(*span));
        }
        match known.batches.back() {
            Some(last) => expect(next_sequence(last.last_sequence), got),
            None => Ok(Sequence::Next),
        }
    }

    /// Remembers a batch under its final offsets. Applying one twice changes nothing.
    pub fn apply(&mut self, batch: &BatchHeader, now: Timestamp) {
        if !batch.has_producer_id() || batch.is_control() {
            return;
        }
        let producer = self
            .by_id
            .entry(batch.producer_id)
            .or_insert_with(|| Producer {
                epoch: batch.producer_epoch,
                batches: VecDeque::new(),
                last_seen: now,
            });
        if batch.producer_epoch > producer.epoch {
            producer.batches.clear();
            producer.epoch = batch.producer_epoch;
        }
        if producer
            .batches
            .back()
            .is_some_and(|last| last.base_offset >= batch.base_offset)
        {
            return;
        }
        if producer.batches.len() == BATCHES_REMEMBERED {
            producer.batches.pop_front();
        }
        producer.batches.push_back(ProducerBatch {
            first_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence(),
            base_offset: batch.base_offset,
            last_offset: batch.last_offset(),
            timestamp: batch.max_timestamp,
        });
        producer.last_seen = producer.last_seen.max(now);
    }

    /// Forgets producers silent for longer than `idle_ms_max`.
    pub fn expire(&mut self, now: Timestamp, idle_ms_max: i64) {
        self.by_id
            .retain(|_, producer| now.saturating_sub(producer.last_seen) <= idle_ms_max);
    }

    pub fn iter(&self) -> impl Iterator<Item = (i64, &Producer)> {
        self.by_id.iter().map(|(id, producer)| (*id, producer))
    }

    /// As a manifest keeps them, by ascending id.
    pub fn snapshot(&self) -> Vec<ProducerState> {
        let mut states: Vec<_> = self
            .iter()
            .map(|(producer_id, producer)| ProducerState {
                producer_id,
                epoch: producer.epoch,
                batches: producer.batches.iter().copied().collect(),
                last_timestamp: producer.last_seen,
            })
            .collect();
        states.sort_by_key(|state| state.producer_id);
        states
    }

    /// From a manifest.
    pub fn restore(states: &[ProducerState]) -> Self {
        let producer = |state: &ProducerState| Producer {
            epoch: state.epoch,
            batches: state.batches.iter().copied().collect(),
            last_seen: state.last_timestamp,
        };
        Self {
            by_id: states
                .iter()
                .map(|state| (state.producer_id, producer(state)))
                .collect(),
        }
    }
}

fn is_resent_as(known: &ProducerBatch, batch: &BatchHeader) -> bool {
    known.first_sequence == batch.base_sequence && known.last_sequence == batch.last_sequence()
}

fn expect(expected: i32, got: i32) -> Result<Sequence, SequenceError> {
    if expected == got {
        Ok(Sequence::Next)
    } else {
        Err(SequenceError::OutOfOrder { expected, got })
    }
}

/// Sequences wrap from `i32::MAX` to 0.
fn next_sequence(last: i32) -> i32 {
    if last == i32::MAX { 0 } else { last + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(epoch: i16, first: i32, count: i32, offset: i64) -> BatchHeader {
        BatchHeader {
            base_offset: offset,
            batch_length: 0,
            partition_leader_epoch: 0,
            magic: 2,
            crc: 0,
            attributes: 0,
            last_offset_delta: count - 1,
            base_timestamp: 0,
            max_timestamp: 5,
            producer_id: 7,
            producer_epoch: epoch,
            base_sequence: first,
            record_count: count,
        }
    }

    fn after(applied: &[BatchHeader]) -> Producers {
        let mut producers = Producers::default();
        applied.iter().for_each(|b| producers.apply(b, 0));
        producers
    }

    #[test]
    fn the_window_holds_five_batches() {
        let sent: Vec<_> = (0..6)
            .map(|i| batch(0, i * 10, 10, i64::from(i) * 10))
            .collect();
        let producers = after(&sent);
        for resent in &sent[1..] {
            let Ok(Sequence::Duplicate(span)) = producers.check(resent) else {
                panic!()
            };
            assert_eq!(span.base_offset, resent.base_offset);
        }
        let forgotten = producers.check(&sent[0]);
        assert_eq!(
            forgotten,
            Err(SequenceError::OutOfOrder {
                expected: 60,
                got: 0
            })
        );
    }

    #[test]
    fn sequences_follow_and_wrap() {
        let producers = after(&[batch(0, i32::MAX - 1, 2, 0)]);
        assert_eq!(producers.check(&batch(0, 0, 1, 2)), Ok(Sequence::Next));
        let gap = producers.check(&batch(0, 5, 1, 2));
        assert_eq!(
            gap,
            Err(SequenceError::OutOfOrder {
                expected: 0,
                got: 5
            })
        );
    }

    #[test]
    fn epochs_only_rise_and_start_at_zero() {
        let producers = after(&[batch(3, 0, 1, 0)]);
        assert_eq!(
            producers.check(&batch(2, 1, 1, 1)),
            Err(SequenceError::StaleEpoch { current: 3, got: 2 })
        );
        assert_eq!(producers.check(&batch(4, 0, 1, 1)), Ok(Sequence::Next));
        assert!(producers.check(&batch(4, 1, 1, 1)).is_err());
    }

    #[test]
    fn a_stranger_may_start_anywhere_and_the_idle_become_strangers() {
        let mut producers = after(&[batch(0, 0, 1, 0)]);
        producers.expire(1_000, 999);
        assert_eq!(producers.check(&batch(0, 77, 1, 1)), Ok(Sequence::Next));
    }
}
