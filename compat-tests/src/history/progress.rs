//! Who gets something done, and how soon after the last chaos.

use std::collections::HashMap;

use super::{Anomaly, Event, History, Outcome};

/// The first time each writer and reader got something done at or after `calm`. A writer that had to take a
/// new producer goes on as `NAME.2`.
pub fn since(history: &History, calm: u64) -> HashMap<&str, u64> {
    let mut first: HashMap<&str, u64> = HashMap::new();
    for event in &history.events {
        let (at, who) = match event {
            Event::End {
                at,
                writer,
                outcome: Outcome::Committed,
                ..
            } => (*at, writer),
            Event::Acked { at, writer, .. } => (*at, writer),
            Event::Poll { at, reader, .. } => (*at, reader),
            _ => continue,
        };
        let (role, _) = who.split_once('.').unwrap_or((who, ""));
        if at >= calm {
            let known = first.entry(role).or_insert(at);
            *known = at.min(*known);
        }
    }
    first
}

/// Who of the living got nothing done from `calm` for `patience_ms`, as seen at `now`.
pub fn stalled(history: &History, calm: u64, now: u64, patience_ms: u64) -> Vec<Anomaly> {
    let first = since(history, calm);
    let (writers, readers) = history.expected();
    let everybody = writers.into_iter().chain(readers);
    let waited = everybody.map(|who| (who, first.get(who).unwrap_or(&now).saturating_sub(calm)));
    let stuck = waited.filter(|(_, for_ms)| *for_ms > patience_ms);
    stuck
        .map(|(who, for_ms)| Anomaly::Stuck {
            who: who.to_owned(),
            for_ms,
        })
        .collect()
}
