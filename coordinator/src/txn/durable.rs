//! What the log says of each transactional id. Two machines that applied the same records hold
//! equal values.

use std::collections::BTreeMap;

use super::record::TxnRecord;
use super::transaction::Transaction;

/// The durable state of all transactional ids of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durable {
    transactions: BTreeMap<String, Transaction>,
}

impl Durable {
    pub(super) fn apply(&mut self, record: &TxnRecord) {
        let id = &record.transactional_id;
        match &record.value {
            Some(value) => {
                self.transactions.insert(id.clone(), value.clone());
            }
            None => {
                self.transactions.remove(id);
            }
        }
    }

    pub fn get(&self, transactional_id: &str) -> Option<&Transaction> {
        self.transactions.get(transactional_id)
    }

    /// All ids in order.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Transaction)> {
        self.transactions.iter()
    }

    /// Records that make this state again. Applied on top of it, they change nothing.
    pub fn checkpoint(&self) -> Vec<TxnRecord> {
        let record = |(id, value): (&String, &Transaction)| TxnRecord {
            transactional_id: id.clone(),
            value: Some(value.clone()),
        };
        self.transactions.iter().map(record).collect()
    }
}
