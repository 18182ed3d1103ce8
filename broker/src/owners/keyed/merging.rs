//! How a keyed topic's records become its rows: what its settings for merging mean for its columns.
//!
//! - The settings are chosen when a topic is made, and so are the columns where rows are made of
//!   them. So every partition has one rule, from its first offset on, and each start makes the same
//!   one again.
//! - Where nothing but the newest record counts there is no [`Merging`]: the table is as it is.

use std::sync::Arc;

use bytes::Bytes;
use tidelog_coordinator::cluster::settings::{TableMode, TableSettings};
use tidelog_keyed::merge::{
    Cells, CellsOfError, Column, DecodeColumns, EngineSpec, Merger, Rule, RuleLog, SpecError,
};
use tidelog_keyed::{CheckError, KeyedTable, Row, TableOptions};
use tidelog_storage::ids::{PartitionId, TopicId};
use tidelog_typed::{RowSchema, SchemaError, TableSchema};

use super::decoder::Decoder;
use super::no_rows::NoRows;

/// Why settings say no rule.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BadMerge {
    #[error("tidelog.table.merge-engine: {0}")]
    Spec(#[from] SpecError),
    #[error("tidelog.table.schema: {0}")]
    Schema(#[from] SchemaError),
    #[error(
        "tidelog.table.merge-engine: this engine merges columns, which only tidelog.table.mode=inline \
         settles beforehand; use that, or last_row (full) or first_row"
    )]
    NoColumns,
}

/// The rule of a topic, and what reads its records by it.
pub struct Merging {
    rules: RuleLog,
    decoder: Arc<dyn DecodeColumns>,
    merger: Merger,
    /// Judges batches while the table itself is not open.
    empty: KeyedTable,
}

impl Merging {
    /// `None` for a table of the newest records.
    ///
    /// # Errors
    /// [`BadMerge`].
    pub fn of(settings: &TableSettings) -> Result<Option<Self>, BadMerge> {
        let merge = &settings.merge;
        let spec = EngineSpec::parse(&merge.engine, &merge.options)?;
        let values = match &settings.mode {
            TableMode::Inline { schema } => Some(TableSchema::parse(schema)?),
            _ if merge.reads_columns() => return Err(BadMerge::NoColumns),
            _ => None,
        };
        let schema = values.map_or_else(RowSchema::key_value, RowSchema::typed);
        let rule = spec.bind(&columns(&schema))?;
        if rule == Rule::LAST_ROW {
            return Ok(None);
        }
        let decoder: Arc<dyn DecodeColumns> =
            Arc::new(Decoder::new(schema, rule.takes_some_columns()));
        let rules = RuleLog::of(rule);
        let merger = || Merger::new(rules.clone(), Arc::clone(&decoder));
        Ok(Some(Self {
            empty: empty(&rules, &decoder),
            merger: merger(),
            rules,
            decoder,
        }))
    }

    pub fn rules(&self) -> &RuleLog {
        &self.rules
    }

    /// The one rule there is.
    pub fn rule(&self) -> &Rule {
        self.rules.newest()
    }

    /// Has a table that has folded nothing yet fold by this.
    pub fn bring_to(&self, table: KeyedTable) -> KeyedTable {
        table.merging(self.rules.clone(), Arc::clone(&self.decoder))
    }

    /// Whether a batch may be taken, as far as that can be said without the rows that are there.
    ///
    /// # Errors
    /// [`CheckError`] for the first record that may not.
    pub fn check(&self, batch: &Bytes) -> Result<(), CheckError> {
        self.empty.check(batch)
    }

    /// The cells of rows that are made of columns, in their order.
    ///
    /// # Errors
    /// [`CellsOfError`].
    pub fn cells(&self, rows: &[(Bytes, Row)]) -> Result<Vec<Option<Cells>>, CellsOfError> {
        self.merger.cells(&self.rule().columns, rows)
    }
}

/// A value's columns, as an engine is to see them.
fn columns(schema: &RowSchema) -> Vec<Column> {
    let fields = schema.value_arrow();
    let fields = fields.iter().flat_map(|schema| schema.fields());
    let ids = schema.values().into_iter().flat_map(|of| of.fields());
    fields
        .zip(ids)
        .map(|(arrow, field)| Column {
            id: field.id,
            name: field.name.clone(),
            data_type: arrow.data_type().clone(),
            nullable: field.nullable,
            key: false,
        })
        .collect()
}

fn empty(rules: &RuleLog, decoder: &Arc<dyn DecodeColumns>) -> KeyedTable {
    let nowhere = PartitionId {
        topic: TopicId([0; 16]),
        index: 0,
    };
    let table = KeyedTable::new(nowhere, Box::new(NoRows), 0, TableOptions::default());
    table.merging(rules.clone(), Arc::clone(decoder))
}
