//! Rows as the lake stores them, as rows of the table: the same columns under other ids and names.
//!
//! The layout is that of `docs/formats/lake-table.md`: system columns have the log's ids with the
//! sign turned, some of them inside one struct, and value column *n* has the id 100 + *n*. Names
//! are not looked at, so it does not matter what a column is called on either side.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema};
use parquet::arrow::ProjectionMask;
use parquet::schema::types::{SchemaDescriptor, Type};
use tidelog_tiering::schema::{VALUE_ID_BASE, id as lake_id};

use crate::columns::{Columns, field_id};
use crate::conform::conform_by;

/// What is read of each file beside the columns wanted: where a row stands.
const ALWAYS: [i32; 2] = [lake_id::PARTITION, lake_id::OFFSET];

/// The leaves of a file that are read for `columns`.
pub(crate) fn projection(file: &SchemaDescriptor, columns: &Columns) -> ProjectionMask {
    let mut walk = Walk {
        columns,
        next_leaf: 0,
        wanted: Vec::new(),
    };
    let top = file.root_schema().get_fields();
    top.iter().for_each(|node| walk.visit(node, false));
    ProjectionMask::leaves(file, walk.wanted)
}

/// Counts leaves in the order of the file.
struct Walk<'a> {
    columns: &'a Columns,
    next_leaf: usize,
    wanted: Vec<usize>,
}

impl Walk<'_> {
    fn visit(&mut self, node: &Type, is_inside: bool) {
        let info = node.get_basic_info();
        let is_wanted = is_inside || (info.has_id() && self.wants(info.id()));
        if node.is_group() {
            let members = node.get_fields().iter();
            members.for_each(|member| self.visit(member, is_wanted));
        } else {
            self.wanted.extend(is_wanted.then_some(self.next_leaf));
            self.next_leaf += 1;
        }
    }

    fn wants(&self, lake_id: i32) -> bool {
        let is_chosen = |id| self.columns.wants(id);
        ALWAYS.contains(&lake_id) || log_id(lake_id).is_some_and(is_chosen)
    }
}

/// Rows of a file in the schema of `columns`.
pub(crate) fn to_log(rows: &RecordBatch, columns: &Columns) -> Result<RecordBatch, ArrowError> {
    conform_by(&flat(rows)?, columns.target(), field_log_id)
}

/// The column with this lake id.
pub(crate) fn column(rows: &RecordBatch, id: i32) -> Option<&ArrayRef> {
    let fields = rows.schema_ref().fields();
    let place = fields
        .iter()
        .position(|field| field_id(field) == Some(id))?;
    rows.columns().get(place)
}

/// What is in the struct of system columns, beside the others.
fn flat(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = rows.schema();
    let mut fields: Vec<FieldRef> = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (field, column) in schema.fields().iter().zip(rows.columns()) {
        match (field_id(field), field.data_type()) {
            (Some(lake_id::KAFKA), DataType::Struct(members)) => {
                fields.extend(members.iter().cloned());
                columns.extend(column.as_struct().columns().iter().cloned());
            }
            _ => {
                fields.push(Arc::clone(field));
                columns.push(Arc::clone(column));
            }
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
}

fn field_log_id(field: &Field) -> Option<i32> {
    log_id(field_id(field)?)
}

/// The id in the log of what has `lake_id` in the lake; `None` for what only the lake has.
fn log_id(lake_id: i32) -> Option<i32> {
    match lake_id {
        lake_id::KAFKA => None,
        lake_id::PARTITION..=lake_id::VALUE => Some(-lake_id),
        _ => lake_id.checked_sub(VALUE_ID_BASE).filter(|id| *id > 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_the_lake_stand_for_ids_of_the_log() {
        let table = [
            (1, Some(-1)),
            (2, Some(-2)),
            (4, None),
            (5, Some(-5)),
            (11, Some(-11)),
            (12, None),
            (100, None),
            (101, Some(1)),
            (117, Some(17)),
            (0, None),
            (i32::MIN, None),
        ];
        for (lake, log) in table {
            assert_eq!(log_id(lake), log, "lake id {lake}");
        }
    }
}
