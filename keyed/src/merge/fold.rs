//! One step of an engine: the row before and an event become the row after. Pure.

use super::cells::Cells;
use super::function::CombineError;
use super::rule::{Deletes, Engine, Rule, RuleColumn};
use super::value::{FieldId, Value};

/// Longest row that an engine makes, in bytes: lists and bitmaps grow with every record.
pub const MERGED_ROW_BYTES_MAX: usize = 4 << 20;

/// What a record wants of its row.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Set these columns; those that are not there are not named.
    Put(Cells),
    /// Remove the row, or clear the columns named.
    Delete(Option<Vec<FieldId>>),
}

/// What becomes of the row.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Nothing; not even its offset changes.
    Unchanged,
    Put(Cells),
    Delete,
}

/// Why a record is not folded. Produce refuses it; one that is in the log all the same (what it
/// was checked against was not what it met) changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the table takes no deletes")]
    DeletesDisabled,
    #[error("column {column}: {why}")]
    Combine { column: String, why: CombineError },
    #[error("the merged row would have {bytes} bytes; a row takes up to {MERGED_ROW_BYTES_MAX}")]
    TooLong { bytes: usize },
    #[error("the value is not of the table's schema")]
    Undecodable,
    #[error("the header tidelog.columns names {0}, which is no column")]
    UnknownColumn(String),
}

impl Rule {
    /// What `event` makes of the row `old`.
    ///
    /// # Errors
    /// [`Refusal`]; the row stays as it is.
    pub fn fold(&self, old: Option<&Cells>, event: Event) -> Result<Outcome, Refusal> {
        match event {
            Event::Put(cells) => self.put(old, cells),
            Event::Delete(named) => self.delete(old, named.as_deref()),
        }
    }

    fn put(&self, old: Option<&Cells>, new: Cells) -> Result<Outcome, Refusal> {
        Ok(match (self.engine, old) {
            (Engine::LastRow, _) | (Engine::FirstRow, None) => Outcome::Put(new.without_nulls()),
            (Engine::FirstRow, Some(_)) => Outcome::Unchanged,
            (Engine::Versioned { column }, old) if wins(column, old, &new) => {
                Outcome::Put(new.without_nulls())
            }
            (Engine::Versioned { .. }, _) => Outcome::Unchanged,
            (Engine::PartialRow, old) => {
                let mut row = old.cloned().unwrap_or_default();
                for (id, value) in new.iter() {
                    match value {
                        Value::Null => row.clear(id),
                        value => row.set(id, value.clone()),
                    }
                }
                Outcome::Put(row)
            }
            (Engine::Aggregation, old) => self.aggregate(old, &new)?,
        })
    }

    fn aggregate(&self, old: Option<&Cells>, new: &Cells) -> Result<Outcome, Refusal> {
        let mut row = old.cloned().unwrap_or_default();
        for column in &self.columns {
            if let Some(value) = new.get(column.id) {
                // Nulls are kept: first_value has to know that there was one.
                let value = combine(column, &row, value)?;
                row.set(column.id, value);
            }
        }
        Ok(Outcome::Put(row))
    }

    fn delete(&self, old: Option<&Cells>, named: Option<&[FieldId]>) -> Result<Outcome, Refusal> {
        let Some(old) = self.deletable(old)? else {
            return Ok(Outcome::Unchanged);
        };
        let Some(named) = named.filter(|_| self.takes_some_columns()) else {
            return Ok(Outcome::Delete);
        };
        let mut row = old.clone();
        let values = || self.columns.iter().filter(|column| !column.key);
        values()
            .filter(|column| named.contains(&column.id))
            .for_each(|column| row.clear(column.id));
        let empty = values().all(|column| row.value(column.id).is_null());
        Ok(if empty {
            Outcome::Delete
        } else {
            Outcome::Put(row)
        })
    }

    /// The row, if there is one and it may go.
    ///
    /// # Errors
    /// [`Refusal::DeletesDisabled`].
    pub(crate) fn deletable<T>(&self, old: Option<T>) -> Result<Option<T>, Refusal> {
        match self.deletes {
            Deletes::Allow => Ok(old),
            Deletes::Ignore => Ok(None),
            Deletes::Disable => Err(Refusal::DeletesDisabled),
        }
    }
}

fn combine(column: &RuleColumn, row: &Cells, new: &Value) -> Result<Value, Refusal> {
    if column.key {
        return Ok(new.clone());
    }
    // The column may have been widened since.
    let old = row
        .get(column.id)
        .and_then(|old| column.kind.accept(old.clone()));
    let combined = column.function.combine(column.kind, old.as_ref(), new);
    combined.map_err(|why| Refusal::Combine {
        column: column.name.clone(),
        why,
    })
}

/// Whether a record's version is there, and not lower than that of the row before.
fn wins(column: FieldId, old: Option<&Cells>, new: &Cells) -> bool {
    let new = new.value(column);
    let old = old.map_or(&Value::Null, |old| old.value(column));
    !new.is_null() && (old.is_null() || new.compare(old).is_some_and(std::cmp::Ordering::is_ge))
}

#[cfg(test)]
mod tests;
