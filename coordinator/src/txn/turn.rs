//! One turn of the machine: when it is, and what has been decided so far.

use super::command::TxnReply;
use super::record::TxnRecord;
use super::transaction::Transaction;
use crate::machine::{Decision, Token};

/// A decision in the making.
pub(super) struct Turn {
    pub(super) now_ms: i64,
    decision: Decision<TxnRecord, TxnReply>,
}

impl Turn {
    pub(super) const fn new(now_ms: i64) -> Self {
        Self {
            now_ms,
            decision: Decision::nothing(),
        }
    }

    pub(super) fn write(&mut self, transactional_id: &str, value: Option<Transaction>) {
        self.decision.records.push(TxnRecord {
            transactional_id: transactional_id.to_owned(),
            value,
        });
    }

    pub(super) fn reply(&mut self, token: Token, reply: TxnReply) {
        self.decision.replies.push((token, reply));
    }

    pub(super) const fn records(&self) -> usize {
        self.decision.records.len()
    }

    pub(super) fn into_decision(self) -> Decision<TxnRecord, TxnReply> {
        self.decision
    }
}
