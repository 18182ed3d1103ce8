//! Which group has to be woken next.
//!
//! An alarm may ring too early (a heartbeat moves a session's end without touching it), never too
//! late: a group that is woken in vain sets its alarm anew.

use std::collections::{BTreeSet, HashMap};

/// At most one alarm per group.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    by_time: BTreeSet<(i64, String)>,
    by_group: HashMap<String, i64>,
}

impl Alarms {
    /// Sets, moves or (`None`) clears the alarm of `group`.
    pub(super) fn set(&mut self, group: &str, at_ms: Option<i64>) {
        if self.by_group.get(group).copied() == at_ms {
            return;
        }
        if let Some((group, was_ms)) = self.by_group.remove_entry(group) {
            self.by_time.remove(&(was_ms, group));
        }
        if let Some(at_ms) = at_ms {
            self.by_group.insert(group.to_owned(), at_ms);
            self.by_time.insert((at_ms, group.to_owned()));
        }
    }

    pub(super) fn next(&self) -> Option<i64> {
        self.by_time.first().map(|(at_ms, _)| *at_ms)
    }

    /// Groups whose alarm has rung.
    pub(super) fn due(&self, now_ms: i64) -> Vec<String> {
        let due = self
            .by_time
            .iter()
            .take_while(|(at_ms, _)| *at_ms <= now_ms);
        due.map(|(_, group)| group.clone()).collect()
    }
}
