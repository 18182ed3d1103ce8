//! The log of transactions as the world reads it: records, and which transaction each belongs to.

use std::collections::BTreeMap;

use bytes::Bytes;
use tidelog_coordinator::txn::{TxnRecord, TxnState};

/// Keys and values of one decision.
pub(super) type Batch = Vec<(Bytes, Option<Bytes>)>;

pub(super) fn decoded(log: &[Batch]) -> impl Iterator<Item = TxnRecord> {
    let records = log.iter().flatten();
    records.map(|(key, value)| TxnRecord::decode(key, value.as_deref()).unwrap().unwrap())
}

/// The n-th transaction of an id, as counted in its log.
pub(super) type Serial = (String, usize);

/// How many transactions the log has begun for an id, and its state.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    pub(super) begun: BTreeMap<String, (usize, Option<TxnState>)>,
}

impl Progress {
    /// Answers the state before.
    pub(super) fn follow(&mut self, record: &TxnRecord) -> Option<TxnState> {
        let (begun, state) = self
            .begun
            .entry(record.transactional_id.clone())
            .or_default();
        let next = record.value.as_ref().map(|value| value.state);
        if next == Some(TxnState::Ongoing) && *state != next {
            *begun += 1;
        }
        std::mem::replace(state, next)
    }

    /// The transaction under way, or the last one.
    pub(super) fn serial(&self, id: &str) -> Serial {
        (
            id.to_owned(),
            self.begun.get(id).map_or(0, |(begun, _)| *begun),
        )
    }
}
