//! A batch that is being folded onto the rows that are there.

use std::collections::HashMap;

use bytes::Bytes;
use tidelog_storage::ids::Offset;

use super::block::{Block, BlockReader};
use super::cells::Cells;
use super::fold::{Event, MERGED_ROW_BYTES_MAX, Outcome, Refusal};
use super::merger::{CellsOfError, Merger};
use super::rule::{Engine, Rule, RuleColumn};
use super::value::FieldId;
use crate::engine::EngineError;
use crate::fold::FoldError;
use crate::row::{Change, Row};

/// One batch, taken some records at a time, so that memory holds the rows of those only.
pub(crate) struct Merging<'a> {
    merger: &'a Merger,
    /// For all records, where they have no offsets yet.
    rule: Option<&'a Rule>,
    /// What columns headers say.
    names: HashMap<Offset, String>,
    /// The values as columns, if a rule reads them.
    block: Option<Block>,
    /// The newest rows of the keys seen so far.
    known: HashMap<Bytes, Option<Known>>,
}

/// What merging made of some records.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    /// In offset order, with rows as they are kept.
    pub changes: Vec<Change>,
    pub unchanged: usize,
    pub refused: usize,
    pub first_refused: Option<(Offset, Refusal)>,
}

/// The newest row of a key.
struct Known {
    row: Row,
    /// Once somebody wanted them.
    cells: Option<Cells>,
}

/// A record on its way to its row.
struct Arrival<'a> {
    change: Change,
    rule: &'a Rule,
    names: Option<&'a str>,
}

/// The values as columns of the rule that is in force.
struct Values<'a> {
    block: &'a Block,
    reader: Option<(&'a Rule, BlockReader<'a>)>,
}

impl<'a> Merging<'a> {
    /// Begins with the records of `batch` from `from` on, which are `changes` and say `names` of
    /// their columns. Each is folded by the rule of its offset, or all by `rule`.
    pub fn of(
        merger: &'a Merger,
        rule: Option<&'a Rule>,
        batch: &Bytes,
        from: Offset,
        changes: &[Change],
        names: HashMap<Offset, String>,
    ) -> Result<Self, FoldError> {
        let mut merging = Self {
            merger,
            rule,
            names,
            block: None,
            known: HashMap::new(),
        };
        let reads_values = |change: &Change| !merging.rule_of(change.offset).keeps_values();
        if changes.iter().any(reads_values) {
            let block = merger.decoder.decode(std::slice::from_ref(batch), from);
            let block = block.and_then(Block::check);
            merging.block = Some(block.map_err(|source| FoldError::Values {
                offset: from,
                source,
            })?);
        }
        Ok(merging)
    }

    /// Folds the next records. `old` answers the newest rows of keys that were not met before.
    pub fn fold(
        &mut self,
        changes: &[Change],
        old: impl FnOnce(&[Bytes]) -> Result<Vec<Option<Row>>, EngineError>,
    ) -> Result<Merged, FoldError> {
        self.meet(changes, old)?;
        let mut values = self.block.as_ref().map(|block| Values {
            block,
            reader: None,
        });
        let mut merged = Merged::default();
        for change in changes {
            let offset = change.offset;
            let arrival = Arrival {
                rule: self.rule_of(offset),
                names: self.names.get(&offset).map(String::as_str),
                change: change.clone(),
            };
            let slot = self.known.entry(arrival.change.key.clone()).or_default();
            match step(self.merger, arrival, slot, values.as_mut())? {
                Ok(Some(change)) => merged.changes.push(change),
                Ok(None) => merged.unchanged += 1,
                Err(refusal) => {
                    merged.refused += 1;
                    merged.first_refused.get_or_insert((offset, refusal));
                }
            }
        }
        Ok(merged)
    }

    /// Lets go of the rows met so far: whoever asks for them next is answered what was made of them.
    pub fn forget(&mut self) {
        self.known.clear();
    }

    fn rule_of(&self, offset: Offset) -> &'a Rule {
        self.rule.unwrap_or_else(|| self.merger.rules.at(offset))
    }

    /// Has the rows of these records' keys.
    fn meet(
        &mut self,
        changes: &[Change],
        old: impl FnOnce(&[Bytes]) -> Result<Vec<Option<Row>>, EngineError>,
    ) -> Result<(), EngineError> {
        let keys = changes.iter().map(|change| &change.key);
        let keys = keys.filter(|key| !self.known.contains_key(*key));
        let mut keys: Vec<_> = keys.cloned().collect();
        keys.sort_unstable();
        keys.dedup();
        let rows = old(&keys)?.into_iter();
        let rows = rows.map(|row| row.map(|row| Known { row, cells: None }));
        self.known.extend(keys.into_iter().zip(rows));
        Ok(())
    }
}

/// One record: the change to keep, if it makes one. `slot` is the row of its key, before and
/// after.
fn step<'a>(
    merger: &Merger,
    arrival: Arrival<'a>,
    slot: &mut Option<Known>,
    values: Option<&mut Values<'a>>,
) -> Result<Result<Option<Change>, Refusal>, FoldError> {
    let Arrival {
        change,
        rule,
        names,
    } = arrival;
    if rule.keeps_values() {
        return Ok(step_of_values(rule, change, slot));
    }
    if let Some(known) = slot
        && known.cells.is_none()
    {
        known.cells = Some(cells_of_one(
            merger,
            &rule.columns,
            &change.key,
            &known.row,
        )?);
    }
    let event = match event(rule, &change, names, values) {
        Ok(event) => event,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let old = slot.as_ref().and_then(|known| known.cells.as_ref());
    Ok(rule
        .fold(old, event)
        .and_then(|outcome| settle(outcome, change, slot)))
}

fn cells_of_one(
    merger: &Merger,
    columns: &[RuleColumn],
    key: &Bytes,
    row: &Row,
) -> Result<Cells, FoldError> {
    let read = merger.cells(columns, &[(key.clone(), row.clone())]);
    let cells = read.map_err(|error| match error {
        CellsOfError::Engine(error) => FoldError::Engine(error),
        other => FoldError::Values {
            offset: row.offset,
            source: other.into(),
        },
    })?;
    Ok(cells.into_iter().next().flatten().unwrap_or_default())
}

/// A record under a rule that keeps values as they came.
fn step_of_values(
    rule: &Rule,
    change: Change,
    slot: &mut Option<Known>,
) -> Result<Option<Change>, Refusal> {
    let goes_on = match &change.value {
        Some(_) => rule.engine == Engine::LastRow || slot.is_none(),
        None => rule.deletable(slot.as_ref())?.is_some(),
    };
    if !goes_on {
        return Ok(None);
    }
    *slot = change.row().map(|row| Known { row, cells: None });
    Ok(Some(change))
}

/// What a record wants, under a rule that reads columns.
fn event<'a>(
    rule: &'a Rule,
    change: &Change,
    names: Option<&str>,
    values: Option<&mut Values<'a>>,
) -> Result<Event, Refusal> {
    let named = match names.filter(|_| rule.takes_some_columns()) {
        Some(names) => Some(columns_named(rule, names)?),
        None => None,
    };
    if change.value.is_none() {
        return Ok(Event::Delete(named));
    }
    let cells = values.and_then(|values| values.of(rule).cells(change.offset, named.as_deref()));
    cells.map(Event::Put).ok_or(Refusal::Undecodable)
}

fn columns_named(rule: &Rule, names: &str) -> Result<Vec<FieldId>, Refusal> {
    let named = rule.named(names);
    named.map_err(|name| Refusal::UnknownColumn(name.to_owned()))
}

/// Keeps what a rule made of a row.
fn settle(
    outcome: Outcome,
    change: Change,
    slot: &mut Option<Known>,
) -> Result<Option<Change>, Refusal> {
    let (value, cells) = match outcome {
        Outcome::Unchanged => return Ok(None),
        Outcome::Delete => (None, None),
        Outcome::Put(cells) => (Some(cells.encode()), Some(cells)),
    };
    let bytes = value.as_ref().map_or(0, Bytes::len);
    if bytes > MERGED_ROW_BYTES_MAX {
        return Err(Refusal::TooLong { bytes });
    }
    let change = Change { value, ..change };
    *slot = change.row().map(|row| Known { row, cells });
    Ok(Some(change))
}

impl<'a> Values<'a> {
    fn of(&mut self, rule: &'a Rule) -> &BlockReader<'a> {
        let reader = self.reader.take();
        let reader = reader.filter(|(of, _)| std::ptr::eq(*of, rule));
        let fresh = || (rule, self.block.read(&rule.columns));
        &self.reader.insert(reader.unwrap_or_else(fresh)).1
    }
}
