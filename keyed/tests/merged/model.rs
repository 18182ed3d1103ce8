//! What a table is, said as plainly as can be: a map, one record after the other.

use std::collections::BTreeMap;

use bytes::Bytes;
use tidelog_keyed::merge::{Deletes, Engine, FieldId, Rule, RuleLog};
use tidelog_storage::ids::Offset;

use crate::format::{FST, NAMES, Plain, SUM, TXT, VER, parse};

/// A record of the log.
#[derive(Debug, Clone)]
pub struct Entry {
    pub offset: Offset,
    pub key: String,
    pub value: Option<String>,
    /// The columns header.
    pub names: Option<String>,
}

/// A row: what it holds, and of which record it is. `None` for a value that does not decode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub offset: Offset,
    pub cells: Option<Cells>,
}

/// Cells that were set; a null that was set counts for some.
pub type Cells = BTreeMap<FieldId, Plain>;
pub type Table = BTreeMap<Bytes, Kept>;

/// Whether a record was folded, or why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Folded,
    Refused,
}

/// The rows that these records make, those below `end`.
pub fn table<'a>(log: impl IntoIterator<Item = &'a Entry>, rules: &RuleLog, end: Offset) -> Table {
    let mut table = Table::new();
    for entry in log {
        if entry.offset < end {
            fold(&mut table, entry, rules.at(entry.offset));
        }
    }
    table
}

pub fn fold(table: &mut Table, entry: &Entry, rule: &Rule) -> Fate {
    let key = Bytes::from(entry.key.clone());
    let old = table.get(&key);
    let after = match &entry.value {
        Some(value) => match put(old, entry, value, rule) {
            Ok(after) => after,
            Err(fate) => return fate,
        },
        None => match delete(old, entry, rule) {
            Ok(after) => after,
            Err(fate) => return fate,
        },
    };
    match after {
        After::Same => {}
        After::Gone => drop(table.remove(&key)),
        After::Row(cells) => {
            let offset = entry.offset;
            table.insert(key, Kept { offset, cells });
        }
    }
    Fate::Folded
}

enum After {
    Same,
    Gone,
    Row(Option<Cells>),
}

fn put(old: Option<&Kept>, entry: &Entry, value: &str, rule: &Rule) -> Result<After, Fate> {
    let decoded = parse(value.as_bytes());
    match rule.engine {
        Engine::LastRow => return Ok(After::Row(decoded.map(set_only))),
        Engine::FirstRow if old.is_some() => return Ok(After::Same),
        Engine::FirstRow => return Ok(After::Row(decoded.map(set_only))),
        _ => {}
    }
    let some_only = matches!(rule.engine, Engine::PartialRow | Engine::Aggregation);
    let named = match entry.names.as_ref().filter(|_| some_only) {
        Some(names) => Some(ids(names)?),
        None => None,
    };
    let decoded = decoded.ok_or(Fate::Refused)?;
    let before = old.map(|old| old.cells.clone().unwrap_or_default());
    // A header names columns that the value may leave out: they are null.
    let new: Cells = match named {
        Some(ids) => ids
            .into_iter()
            .map(|id| (id, decoded.get(&id).cloned().unwrap_or(Plain::Null)))
            .collect(),
        None => decoded,
    };
    match rule.engine {
        Engine::Versioned { .. } => {
            let version = |cells: &Cells| match cells.get(&VER) {
                Some(Plain::Number(number)) => Some(*number),
                _ => None,
            };
            let (old, new_version) = (before.as_ref().and_then(version), version(&new));
            let wins = new_version.is_some() && (old.is_none() || new_version >= old);
            Ok(if wins {
                After::Row(Some(set_only(new)))
            } else {
                After::Same
            })
        }
        Engine::PartialRow => {
            let mut row = before.unwrap_or_default();
            row.extend(new);
            Ok(After::Row(Some(set_only(row))))
        }
        _ => {
            let mut row = before.unwrap_or_default();
            for (id, value) in new {
                let combined = combine(id, row.get(&id), value).ok_or(Fate::Refused)?;
                row.insert(id, combined);
            }
            Ok(After::Row(Some(row)))
        }
    }
}

/// `ver`: max, `sum`: sum, `txt`: listagg, `fst`: first_value.
fn combine(id: FieldId, old: Option<&Plain>, new: Plain) -> Option<Plain> {
    if id == FST {
        return Some(old.cloned().unwrap_or(new));
    }
    let old = old.cloned().unwrap_or(Plain::Null);
    Some(match (old, new) {
        (old, Plain::Null) => old,
        (Plain::Null, new) => new,
        (Plain::Number(a), Plain::Number(b)) if id == SUM => Plain::Number(a.checked_add(b)?),
        (Plain::Number(a), Plain::Number(b)) => Plain::Number(a.max(b)),
        (Plain::Text(a), Plain::Text(b)) => Plain::Text(format!("{a};{b}")),
        (_, new) => new,
    })
}

fn delete(old: Option<&Kept>, entry: &Entry, rule: &Rule) -> Result<After, Fate> {
    let some_only = matches!(rule.engine, Engine::PartialRow | Engine::Aggregation);
    let named = match entry.names.as_ref().filter(|_| some_only) {
        Some(names) => Some(ids(names)?),
        None => None,
    };
    match rule.deletes {
        Deletes::Ignore => return Ok(After::Same),
        Deletes::Disable => return Err(Fate::Refused),
        Deletes::Allow => {}
    }
    let Some(old) = old else {
        return Ok(After::Same);
    };
    let Some(named) = named else {
        return Ok(After::Gone);
    };
    let mut row = old.cells.clone().unwrap_or_default();
    row.retain(|id, _| !named.contains(id));
    let is_empty = row.values().all(|value| *value == Plain::Null);
    Ok(if is_empty {
        After::Gone
    } else {
        After::Row(Some(row))
    })
}

fn ids(names: &str) -> Result<Vec<FieldId>, Fate> {
    let id = |name: &str| {
        let known = NAMES.iter().find(|(_, known)| *known == name);
        known.map(|(id, _)| *id).ok_or(Fate::Refused)
    };
    names
        .split(',')
        .filter(|name| !name.is_empty())
        .map(id)
        .collect()
}

fn set_only(mut cells: Cells) -> Cells {
    cells.retain(|_, value| *value != Plain::Null);
    cells
}

/// Cells as a reader sees them: whether a null was set does not show.
pub fn seen(kept: &Kept) -> (Offset, Option<Cells>) {
    (kept.offset, kept.cells.clone().map(set_only))
}

/// What aggregation does to each column.
pub const FUNCTIONS: [(FieldId, &str); 4] = [
    (VER, "max"),
    (SUM, "sum"),
    (TXT, "listagg(;)"),
    (FST, "first_value"),
];
