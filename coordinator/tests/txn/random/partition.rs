//! A partition that transactions write to.

use tidelog_coordinator::producer::{Outcome, Producer};

use super::log::Serial;

#[derive(Clone, Debug)]
pub(super) enum Entry {
    Data {
        producer: Producer,
        of: Serial,
    },
    Marker {
        producer: Producer,
        outcome: Outcome,
    },
}

/// A partition: a log of which a crash keeps what was synced and some of the rest.
#[derive(Default)]
pub(super) struct PartitionLog {
    pub(super) entries: Vec<Entry>,
    pub(super) synced: usize,
    /// Topics can be deleted; markers for them are never needed then.
    pub(super) deleted: bool,
}

impl PartitionLog {
    /// The highest epoch seen of a producer id.
    pub(super) fn epoch(&self, id: i64) -> i16 {
        let producers = self.entries.iter().map(|entry| match entry {
            Entry::Data { producer, .. } | Entry::Marker { producer, .. } => producer,
        });
        let epochs = producers.filter(|producer| producer.id == id);
        epochs.map(|producer| producer.epoch).max().unwrap_or(-1)
    }

    pub(super) fn markers(&self, id: i64) -> usize {
        let is_marker =
            |entry: &&Entry| matches!(entry, Entry::Marker { producer, .. } if producer.id == id);
        self.entries.iter().filter(is_marker).count()
    }
}
