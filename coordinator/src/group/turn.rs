//! One turn of the machine: when it is, which rules hold, and what has been decided so far.

use std::sync::Arc;

use super::command::GroupReply;
use super::record::GroupRecord;
use super::settings::GroupSettings;
use crate::machine::{Decision, Token};

/// A decision in the making.
pub(super) struct Turn {
    pub(super) now_ms: i64,
    pub(super) settings: Arc<GroupSettings>,
    decision: Decision<GroupRecord, GroupReply>,
}

impl Turn {
    pub(super) const fn new(now_ms: i64, settings: Arc<GroupSettings>) -> Self {
        Self {
            now_ms,
            settings,
            decision: Decision::nothing(),
        }
    }

    pub(super) fn write(&mut self, record: GroupRecord) {
        self.decision.records.push(record);
    }

    pub(super) fn reply(&mut self, token: Token, reply: GroupReply) {
        self.decision.replies.push((token, reply));
    }

    pub(super) const fn records(&self) -> usize {
        self.decision.records.len()
    }

    /// The moment `delay_ms` from now.
    pub(super) const fn after(&self, delay_ms: i64) -> i64 {
        self.now_ms.saturating_add(delay_ms)
    }

    pub(super) fn into_decision(self) -> Decision<GroupRecord, GroupReply> {
        self.decision
    }
}
