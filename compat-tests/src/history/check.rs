//! Compares what was written with what was read.

use std::collections::HashMap;

use super::History;
use super::Isolation;
use super::anomaly::{Anomaly, Place};
use super::copies;
use super::log::{Log, place};
use super::written::{Id, TxnId, Value, Written, name};

/// Everything that is wrong once writers have stopped and readers were given time.
pub fn check(history: &History) -> Vec<Anomaly> {
    let mut found = Vec::new();
    let written = Written::of(history);
    let log = Log::of(history, &mut found);
    let (_, readers) = history.expected();

    log.compare_ways(&readers, &mut found);
    let whereabouts = records(&written, &log, &mut found);
    order(&log, &mut found);
    owed(&written, &whereabouts, &mut found);
    transactions(&written, &whereabouts, &mut found);
    isolation(&written, &log, &mut found);
    copies::compare(&log, &mut found);
    found
}

/// Where each record is, and whether it is committed.
type Whereabouts<'a> = HashMap<Id<'a>, (Place, bool)>;

/// Each record was sent, is there once, and where its acknowledgement said.
fn records<'a>(written: &Written<'a>, log: &Log<'a>, found: &mut Vec<Anomaly>) -> Whereabouts<'a> {
    let mut whereabouts: Whereabouts<'a> = HashMap::new();
    for (&partition, entries) in &log.partitions {
        for (&offset, entered) in entries {
            let at = place(partition, offset);
            let value = Value::parse(entered.value);
            let sent = value.and_then(|value| Some((value, written.sent.get(&value.id)?)));
            let Some((value, sent)) = sent.filter(|(value, sent)| value.txn == sent.txn) else {
                found.push(Anomaly::Invented {
                    value: entered.value.to_owned(),
                    place: at,
                });
                continue;
            };
            let acked = written.acked.get(&value.id).copied().flatten();
            let told = place((sent.topic, sent.partition), acked.unwrap_or(offset));
            if told != at {
                found.push(Anomaly::Misplaced {
                    record: name(value.id),
                    told,
                    found: at.clone(),
                });
            }
            if let Some((first, _)) = whereabouts.get(&value.id) {
                found.push(Anomaly::Duplicate {
                    record: name(value.id),
                    first: first.clone(),
                    second: at,
                });
            } else {
                whereabouts.insert(value.id, (at, entered.committed));
            }
        }
    }
    whereabouts
}

/// A partition keeps each writer's order.
fn order(log: &Log<'_>, found: &mut Vec<Anomaly>) {
    for (&partition, entries) in &log.partitions {
        let mut newest: HashMap<&str, u64> = HashMap::new();
        for (&offset, entered) in entries {
            let Some(value) = Value::parse(entered.value) else {
                continue;
            };
            let (writer, seq) = value.id;
            let before = newest.entry(writer).or_insert(seq);
            if *before > seq {
                found.push(Anomaly::Reordered {
                    first: name((writer, *before)),
                    then: name(value.id),
                    place: place(partition, offset),
                });
            }
            *before = seq.max(*before);
        }
    }
}

/// What was promised is there.
fn owed(written: &Written<'_>, whereabouts: &Whereabouts<'_>, found: &mut Vec<Anomaly>) {
    for (&id, sent) in &written.sent {
        let readable = whereabouts
            .get(&id)
            .is_some_and(|(_, committed)| *committed);
        if !readable && written.is_owed(id, sent) {
            found.push(Anomaly::Lost { record: name(id) });
        }
    }
}

/// A transaction whose end nobody knows is committed as a whole or not at all.
fn transactions(written: &Written<'_>, whereabouts: &Whereabouts<'_>, found: &mut Vec<Anomaly>) {
    for (&(writer, txn), transaction) in &written.transactions {
        if transaction.is_committed() || transaction.is_aborted() {
            continue; // What is missing is lost, what is there is an aborted read.
        }
        let of = transaction.records.len();
        let is_seen = |id: &&Id<'_>| {
            whereabouts
                .get(*id)
                .is_some_and(|(_, committed)| *committed)
        };
        let seen = transaction.records.iter().filter(is_seen).count();
        if seen > 0 && seen < of {
            found.push(Anomaly::Torn {
                transaction: format!("{writer}/{txn}"),
                seen,
                of,
            });
        }
    }
}

/// Who reads what is committed reads nothing aborted, and nothing before its commit was asked for.
fn isolation(written: &Written<'_>, log: &Log<'_>, found: &mut Vec<Anomaly>) {
    let ways = log.ways.iter();
    for (&(reader, partition), way) in ways.filter(|(_, way)| way.isolation == Isolation::Committed)
    {
        for &(offset, value, at) in &way.steps {
            let Some((id, txn)) = transactional(value) else {
                continue;
            };
            let Some(transaction) = written.transactions.get(&txn) else {
                continue; // Invented, and said so.
            };
            let (reader, record) = (reader.to_owned(), name(id));
            let place = place(partition, offset);
            match transaction.ending {
                _ if transaction.is_aborted() => found.push(Anomaly::AbortedRead {
                    reader,
                    record,
                    place,
                }),
                None => found.push(Anomaly::UnaskedCommit {
                    reader,
                    record,
                    place,
                }),
                Some((asked, _)) if at < asked => found.push(Anomaly::EarlyRead {
                    reader,
                    record,
                    place,
                    by_ms: asked - at,
                }),
                Some(_) => {}
            }
        }
    }
}

fn transactional(value: &str) -> Option<(Id<'_>, TxnId<'_>)> {
    let value = Value::parse(value)?;
    Some((value.id, value.transaction()?))
}
