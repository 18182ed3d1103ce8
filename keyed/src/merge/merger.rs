//! What reads stored rows: the rules of a partition, and its format.

use std::sync::Arc;

use bytes::Bytes;
use tidelog_records::{BatchBuilder, BuildError};
use tidelog_storage::ids::Offset;

use super::block::{Block, DecodeColumns, DecodeFailed};
use super::cells::Cells;
use super::rule::{Rule, RuleColumn, RuleLog};
use crate::engine::EngineError;
use crate::row::Row;

/// Makes cells of stored rows and of records' values, by the rules of a partition.
pub struct Merger {
    pub(crate) rules: RuleLog,
    pub(super) decoder: Arc<dyn DecodeColumns>,
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
