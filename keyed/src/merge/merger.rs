//! The records of a batch, folded onto the rows that are there.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use tidelog_records::{BatchBuilder, BuildError};
use tidelog_storage::ids::Offset;

use super::block::{Block, BlockReader, DecodeColumns, DecodeFailed};
use super::cells::Cells;
use super::fold::{Event, MERGED_ROW_BYTES_MAX, Outcome, Refusal};
use super::rule::{Engine, Rule, RuleColumn, RuleLog};
use super::value::FieldId;
use crate::engine::EngineError;
use crate::fold::{Decoded, FoldError};
use crate::row::{Change, Row};

/// Makes cells of stored rows and of records' values, by the rules of a partition.
pub struct Merger {
    pub(crate) rules: RuleLog,
    decoder: Arc<dyn DecodeColumns>,
}

/// What merging made of a batch.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    /// In offset order, with rows as they are kept.
    pub changes: Vec<Change>,
    pub unchanged: usize,
    pub refused: usize,
    pub first_refused: Option<(Offset, Refusal)>,
}

/// Why rows could not be read as cells.
#[derive(Debug, thiserror::Error)]
pub enum CellsOfError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error("the values of rows: {0}")]
    Values(DecodeFailed),
}

/// The newest row of a key while a batch is merged.
struct Known {
    row: Row,
    /// Once somebody wanted them.
    cells: Option<Cells>,
}

/// A record on its way to its row.
struct Arrival<'a> {
    change: Change,
    rule: &'a Rule,
    /// What its columns header says.
    names: Option<&'a str>,
}

/// The values of the batch as columns of the rule that is in force.
struct Values<'a> {
    block: &'a Block,
    reader: Option<(&'a Rule, BlockReader<'a>)>,
}

impl Merger {
    pub fn new(rules: RuleLog, decoder: Arc<dyn DecodeColumns>) -> Self {
        Self { rules, decoder }
    }

    /// Whether the rows before play no part for any record from `offset` on.
    pub(crate) fn is_blind_from(&self, offset: Offset) -> bool {
        self.rules.from(offset).all(Rule::is_blind)
    }

    /// Whether a record from `offset` on may say which columns it is about.
    pub(crate) fn takes_some_columns_from(&self, offset: Offset) -> bool {
        self.rules.from(offset).any(Rule::takes_some_columns)
    }

    /// Folds the records of `batch` from `from` on, each by the rule of its offset, or all by `rule`
    /// if they have no offsets yet. `old` answers the newest rows of keys.
    pub(crate) fn merge(
        &self,
        batch: &Bytes,
        from: Offset,
        decoded: Decoded,
        rule: Option<&Rule>,
        old: impl FnOnce(&[Bytes]) -> Result<Vec<Option<Row>>, EngineError>,
    ) -> Result<Merged, FoldError> {
        let rule_of = |change: &Change| rule.unwrap_or_else(|| self.rules.at(change.offset));
        let reads_values = decoded.changes.iter().any(|c| !rule_of(c).keeps_values());
        let block = match reads_values {
            true => Some(self.values(batch, from)?),
            false => None,
        };
        let mut values = block.as_ref().map(|block| Values {
            block,
            reader: None,
        });
        let mut keys: Vec<_> = decoded.changes.iter().map(|c| c.key.clone()).collect();
        keys.sort_unstable();
        keys.dedup();
        let olds = old(&keys)?.into_iter();
        let olds = olds.map(|row| row.map(|row| Known { row, cells: None }));
        let mut known: HashMap<_, _> = keys.into_iter().zip(olds).collect();

        let mut merged = Merged::default();
        for change in decoded.changes {
            let offset = change.offset;
            let slot = known.entry(change.key.clone()).or_default();
            let arrival = Arrival {
                rule: rule_of(&change),
                names: decoded.named.get(&offset).map(String::as_str),
                change,
            };
            match self.step(arrival, slot, values.as_mut())? {
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

    /// The batch's values as columns.
    fn values(&self, batch: &Bytes, from: Offset) -> Result<Block, FoldError> {
        let block = self.decoder.decode(std::slice::from_ref(batch), from);
        let block = block.and_then(Block::check);
        block.map_err(|source| FoldError::Values {
            offset: from,
            source,
        })
    }

    /// One record: the change to keep, if it makes one. `slot` is the row of its key, before and
    /// after.
    fn step<'a>(
        &self,
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
            known.cells = Some(self.cells_of_one(&rule.columns, &change.key, &known.row)?);
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
        &self,
        columns: &[RuleColumn],
        key: &Bytes,
        row: &Row,
    ) -> Result<Cells, FoldError> {
        let read = self.cells(columns, &[(key.clone(), row.clone())]);
        let cells = read.map_err(|error| match error {
            CellsOfError::Engine(error) => FoldError::Engine(error),
            other => FoldError::Values {
                offset: row.offset,
                source: other.into(),
            },
        })?;
        Ok(cells.into_iter().next().flatten().unwrap_or_default())
    }

    /// The cells of stored rows, in their order: merged ones as they were kept, values decoded now.
    /// `None` for a value that is not of the schema.
    ///
    /// # Errors
    /// [`CellsOfError`].
    pub fn cells(
        &self,
        columns: &[RuleColumn],
        rows: &[(Bytes, Row)],
    ) -> Result<Vec<Option<Cells>>, CellsOfError> {
        let is_value = |row: &Row| self.rules.at(row.offset).keeps_values();
        let mut values: Vec<_> = rows.iter().filter(|(_, row)| is_value(row)).collect();
        values.sort_by_key(|(_, row)| row.offset);
        values.dedup_by_key(|(_, row)| row.offset);
        let block = match values.is_empty() {
            true => None,
            false => Some(self.decode_values(&values)?),
        };
        let reader = block.as_ref().map(|block| block.read(columns));
        let cells = rows.iter().map(|(_, row)| {
            if is_value(row) {
                let cells = reader.as_ref().and_then(|all| all.cells(row.offset, None));
                // Only aggregation remembers that a null was set.
                return Ok(cells.map(Cells::without_nulls));
            }
            let read = Cells::decode(&row.value);
            Ok(Some(read.map_err(|_| EngineError::Corrupt("cells"))?))
        });
        cells.collect()
    }

    /// Rows that are values, each as the record it was.
    fn decode_values(&self, rows: &[&(Bytes, Row)]) -> Result<Block, CellsOfError> {
        let record = |(key, row): &(Bytes, Row)| {
            let mut batch = BatchBuilder::new().base_offset(row.offset);
            batch.append(row.timestamp, Some(key), Some(&row.value), [])?;
            batch.finish()
        };
        let batches = rows.iter().map(|row| record(row));
        let batches: Vec<_> = batches.collect::<Result<_, BuildError>>()?;
        let block = self.decoder.decode(&batches, 0);
        block.and_then(Block::check).map_err(CellsOfError::Values)
    }
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
