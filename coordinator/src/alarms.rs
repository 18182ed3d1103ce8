//! What has to be woken next: groups, or transactions, by name.
//!
//! An alarm may ring too early (a heartbeat moves a session's end without touching it), never too
//! late: whoever is woken in vain sets the alarm anew.

use std::collections::{BTreeSet, HashMap};

/// At most one alarm per name.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    by_time: BTreeSet<(i64, String)>,
    by_name: HashMap<String, i64>,
}

impl Alarms {
    /// Sets, moves or (`None`) clears the alarm of `name`.
    pub(crate) fn set(&mut self, name: &str, at_ms: Option<i64>) {
        if self.by_name.get(name).copied() == at_ms {
            return;
        }
        if let Some((name, was_ms)) = self.by_name.remove_entry(name) {
            self.by_time.remove(&(was_ms, name));
        }
        if let Some(at_ms) = at_ms {
            self.by_name.insert(name.to_owned(), at_ms);
            self.by_time.insert((at_ms, name.to_owned()));
        }
    }

    pub(crate) fn next(&self) -> Option<i64> {
        self.by_time.first().map(|(at_ms, _)| *at_ms)
    }

    /// Names whose alarm has rung.
    pub(crate) fn due(&self, now_ms: i64) -> Vec<String> {
        let due = self
            .by_time
            .iter()
            .take_while(|(at_ms, _)| *at_ms <= now_ms);
        due.map(|(_, name)| name.clone()).collect()
    }
}
