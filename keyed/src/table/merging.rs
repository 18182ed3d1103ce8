//! Rules of a table, and the rows that they read.

use std::sync::Arc;

use bytes::Bytes;
use tidelog_storage::ids::Offset;

use super::{Folded, KeyedTable, State};
use crate::engine::EngineError;
use crate::fold::{self, FoldError};
use crate::merge::{
    Cells, CellsOfError, DecodeColumns, Merged, Merger, Merging, Refusal, Rule, RuleColumn,
    RuleLog, TooEarly,
};
use crate::row::{Change, Row};

/// Records merged at a time: a few dozen rows of the largest size are memory that can be spared.
const GROUP_RECORDS: usize = 32;

/// Why a batch is not to be appended.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The first record that the table would refuse.
    #[error("record {index}: {why}")]
    Refused {
        /// Position in the batch, from 0.
        index: i32,
        why: Refusal,
    },
    #[error(transparent)]
    Fold(#[from] FoldError),
}

impl KeyedTable {
    /// Folds by `rules` from now on, reading values through `decoder`. To be called before anything
    /// is folded, with the rules of all of the log.
    #[must_use]
    pub fn merging(self, rules: RuleLog, decoder: Arc<dyn DecodeColumns>) -> Self {
        *self.merger.write() = Some(Arc::new(Merger::new(rules, decoder)));
        self
    }

    /// Folds records from `from` on by another rule, with the decoder of its columns. The rule must
    /// be durable before: the replay has to find it.
    ///
    /// # Errors
    /// [`TooEarly`] if a record at or beyond `from` was folded already.
    pub fn add_rule(
        &self,
        from: Offset,
        rule: Rule,
        decoder: Arc<dyn DecodeColumns>,
    ) -> Result<(), TooEarly> {
        let _nobody_folds = self.folding.lock();
        let after = self.folded_to();
        if from < after {
            return Err(TooEarly { from, after });
        }
        let mut rules = self.rules();
        rules.add(from, rule)?;
        *self.merger.write() = Some(Arc::new(Merger::new(rules, decoder)));
        Ok(())
    }

    /// The rules so far.
    pub fn rules(&self) -> RuleLog {
        let merger = self.merger();
        merger.map_or_else(RuleLog::default, |merger| merger.rules.clone())
    }

    /// What reads stored rows as cells; `None` if the table only ever kept values.
    pub fn merger(&self) -> Option<Arc<Merger>> {
        self.merger.read().clone()
    }

    /// The cells of rows that a lookup, a view or the changelog gave: one for each, or `None` for a
    /// value that is not of the schema. Without a merger every row is.
    ///
    /// # Errors
    /// [`CellsOfError`].
    pub fn cells(
        &self,
        columns: &[RuleColumn],
        rows: &[(Bytes, Row)],
    ) -> Result<Vec<Option<Cells>>, CellsOfError> {
        match self.merger() {
            Some(merger) => merger.cells(columns, rows),
            None => Ok(vec![None; rows.len()]),
        }
    }

    /// Whether the newest rule would take every record of a batch, as the table is now: for the
    /// produce path, before it is appended. Reads the rows before where the rule needs them, so call
    /// it where that may block.
    ///
    /// What is decided between this and the append (another producer's batch, a transaction that
    /// ends), or lies behind rows that fill the memory a batch may take, may still lead to a refusal:
    /// the record is then in the log, and changes nothing.
    ///
    /// # Errors
    /// [`CheckError::Refused`] for the first record that would be refused.
    pub fn check(&self, batch: &Bytes) -> Result<(), CheckError> {
        let Some(merger) = self.merger() else {
            return Ok(());
        };
        let rule = merger.rules.newest();
        if !rule.may_refuse() {
            return Ok(());
        }
        let limit = self.options.batch_bytes_max;
        let (base, _) = fold::span(batch)?;
        let decoded = fold::decode(batch, base, limit, rule.takes_some_columns())?;
        let (changes, names) = (decoded.changes, decoded.named);
        let mut merging = Merging::of(&merger, Some(rule), batch, base, &changes, names)?;
        let mut made_bytes = 0;
        for group in changes.chunks(GROUP_RECORDS) {
            let merged = merging.fold(group, |keys| match rule.refuses_by_row_before() {
                true => self.newest(keys),
                false => Ok(vec![None; keys.len()]),
            })?;
            if let Some((offset, why)) = merged.first_refused {
                let index = i32::try_from(offset - base).unwrap_or(i32::MAX);
                return Err(CheckError::Refused { index, why });
            }
            // Rows made are kept: the next record of the batch may meet them.
            made_bytes += merged.changes.iter().map(Change::bytes).sum::<usize>();
            if made_bytes > limit {
                break;
            }
        }
        Ok(())
    }

    /// Each record meets the row before. A group at a time: the rows of a group are in memory at
    /// once, and may be far larger than its records.
    pub(super) fn fold_merging(
        &self,
        merger: &Merger,
        batch: &Bytes,
        from: Offset,
        end: Offset,
    ) -> Result<Folded, FoldError> {
        let limit = self.options.batch_bytes_max;
        let decoded = fold::decode(batch, from, limit, merger.takes_some_columns_from(from))?;
        let mut folded = Folded {
            passed_over: decoded.passed_over,
            ..Folded::default()
        };
        let (changes, names) = (decoded.changes, decoded.named);
        let mut merging = Merging::of(merger, None, batch, from, &changes, names)?;
        for group in changes.chunks(GROUP_RECORDS) {
            let Merged {
                changes,
                unchanged,
                refused,
                ..
            } = merging.fold(group, |keys| self.newest(keys))?;
            folded.changes += changes.len();
            folded.unchanged += unchanged;
            folded.refused += refused;
            let group_end = group.last().map_or(from, |last| last.offset + 1);
            self.push(changes, group_end);
            merging.forget();
            while !self.has_room() && self.flush_step(self.options.step_bytes)?.more {}
        }
        self.push(Vec::new(), end);
        Ok(folded)
    }

    /// The newest rows, visible or not: what the next record meets.
    pub(super) fn newest(&self, keys: &[Bytes]) -> Result<Vec<Option<Row>>, EngineError> {
        let newest = |state: &State, key: &Bytes| Some(state.overlay.newest(key)?.row());
        Ok(self.read_rows(keys, newest)?.0)
    }
}
