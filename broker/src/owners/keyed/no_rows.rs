//! The engine of a table that has no rows and never will.

use bytes::Bytes;
use tidelog_keyed::engine::{KeySnapshot, Rows};
use tidelog_keyed::{Change, EngineError, KeyEngine, Row};
use tidelog_storage::ids::Offset;

/// Nothing is ever folded into its table: a batch is checked against it and no more.
pub struct NoRows;

impl KeyEngine for NoRows {
    fn apply(&self, _: &[Change], _: Option<Offset>) -> Result<(), EngineError> {
        Err(EngineError::Engine("this table takes no rows".into()))
    }

    fn snapshot(&self) -> Result<Box<dyn KeySnapshot>, EngineError> {
        Ok(Box::new(Self))
    }

    fn approximate_rows(&self) -> u64 {
        0
    }
}

impl KeySnapshot for NoRows {
    fn applied(&self) -> Result<Option<Offset>, EngineError> {
        Ok(Some(0))
    }

    fn get_many(&self, keys: &[Bytes]) -> Result<Vec<Option<Row>>, EngineError> {
        Ok(vec![None; keys.len()])
    }

    fn rows_from(&self, _: &[u8]) -> Rows<'_> {
        Box::new(std::iter::empty())
    }
}
