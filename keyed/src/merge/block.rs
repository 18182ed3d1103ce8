//! The values of records as columns: how a topic's format hands them to a merge engine.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::Field;
use bytes::Bytes;
use tidelog_storage::ids::Offset;

use super::cells::Cells;
use super::rule::RuleColumn;
use super::value::{FieldId, Kind, value_at};

/// Where Arrow and Parquet readers look for a field's id.
pub(crate) const FIELD_ID: &str = "PARQUET:field_id";

/// Why nothing could be decoded at all. A single value that is not of the schema is no such thing.
pub type DecodeFailed = Box<dyn Error + Send + Sync>;

/// A topic's format, as merging needs it. Answers the same for the same bytes for ever: the fold of
/// the log has to be one.
pub trait DecodeColumns: Send + Sync {
    /// The values of the records from offset `from` on, in batches of ascending offsets. A record
    /// without a value, or with one that is not of the schema, has no row.
    ///
    /// # Errors
    /// The batches themselves cannot be read.
    fn decode(&self, batches: &[Bytes], from: Offset) -> Result<Block, DecodeFailed>;
}

/// Values of records as columns.
#[derive(Debug, Clone)]
pub struct Block {
    /// Of each row's record; ascending, as long as `rows`.
    pub offsets: Vec<Offset>,
    /// Columns with their field ids as `PARQUET:field_id`. Others than the engine's are passed over.
    pub rows: RecordBatch,
    /// The columns that the record at an offset names: those present in a JSON object, those that
    /// an Avro writer's schema has, the set fields of a Protobuf message. One that is not here names
    /// all. The record's header goes before.
    pub named: HashMap<Offset, Arc<[FieldId]>>,
}

/// A block as the columns of one rule.
pub(crate) struct BlockReader<'a> {
    block: &'a Block,
    columns: Vec<Source<'a>>,
}

/// A column of the rule, and where the block has it.
struct Source<'a> {
    column: &'a RuleColumn,
    found: Option<(Kind, &'a ArrayRef)>,
}

impl Block {
    /// Whether offsets and rows belong together.
    pub(crate) fn check(self) -> Result<Self, DecodeFailed> {
        if self.offsets.len() != self.rows.num_rows() || !self.offsets.is_sorted() {
            return Err("the decoder's offsets are not those of its rows".into());
        }
        Ok(self)
    }

    pub(crate) fn read<'a>(&'a self, columns: &'a [RuleColumn]) -> BlockReader<'a> {
        let schema = self.rows.schema_ref();
        let by_id: HashMap<_, _> = schema
            .fields()
            .iter()
            .zip(self.rows.columns())
            .filter_map(|(field, array)| {
                let kind = Kind::from_arrow(field.data_type())?;
                Some((field_id(field)?, (kind, array)))
            })
            .collect();
        let source = |column: &'a RuleColumn| Source {
            column,
            found: by_id.get(&column.id).copied(),
        };
        BlockReader {
            block: self,
            columns: columns.iter().map(source).collect(),
        }
    }
}

impl BlockReader<'_> {
    /// The cells of the record at `offset` that `named` or, without it, the record itself names.
    /// `None` if its value is not of the schema.
    pub(crate) fn cells(&self, offset: Offset, named: Option<&[FieldId]>) -> Option<Cells> {
        let row = self.block.offsets.binary_search(&offset).ok()?;
        let named = named.or_else(|| self.block.named.get(&offset).map(|ids| &**ids));
        let is_named =
            |column: &RuleColumn| column.key || named.is_none_or(|ids| ids.contains(&column.id));
        let cell = |source: &Source<'_>| {
            let (kind, array) = source.found?;
            let cell = source.column.kind.accept(value_at(kind, array, row));
            Some(cell.map(|value| (source.column.id, value)))
        };
        let of_row = self
            .columns
            .iter()
            .filter(|source| is_named(source.column))
            .filter_map(cell);
        of_row.collect()
    }
}

fn field_id(field: &Field) -> Option<FieldId> {
    field.metadata().get(FIELD_ID)?.parse().ok()
}
