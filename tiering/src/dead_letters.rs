//! Dead letters: the records of a topic that are no rows of its table, in a table of their own.
//!
//! The table is made when there is a first record for it, and a pass commits to it together with the
//! topic's own table: so at any moment the rows of both are what the log has below the topic's mark.
//! Each commit says that all dead letters up to the ends of its ranges are there; a pass without any
//! leaves the table alone, and the next range begins where the last one of this table ended.
//!
//! The ends say, too, what is there already where the topic's own table was made anew: such records are
//! passed over.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_schema::Schema as ArrowSchema;
use iceberg::TableIdent;
use iceberg::arrow::schema_to_arrow_schema;
use uuid::Uuid;

use crate::commit::Part;
use crate::convert::to_lake;
use crate::data_file::DataFileWriter;
use crate::env::Env;
use crate::mark::{Ledger, OffsetRange, Suspension, TopicIdentity};
use crate::opening::load_or_make;
use crate::pass::PassError;
use crate::port::{CommitPort, LoadedTable};
use crate::rows::{RowBatch, column};
use crate::schema::{self, ValueLayout};
use crate::table::{self, Kind};

/// The dead letters of one pass on their way to a file.
pub(crate) struct DeadLetters {
    table: LoadedTable,
    /// Dead letters below these are in the table.
    ends: BTreeMap<i32, i64>,
    arrow: Arc<ArrowSchema>,
    writer: DataFileWriter,
}

impl DeadLetters {
    /// Starts a file of the table called `ident`, which is made if it is not there.
    ///
    /// # Errors
    /// [`Suspension::DeadLetters`] where the table is there and not this topic's to write to.
    pub async fn open(
        port: &dyn CommitPort,
        env: &dyn Env,
        ident: &TableIdent,
        identity: TopicIdentity,
        commit_id: Uuid,
    ) -> Result<Self, PassError> {
        let unusable = |reason| Suspension::DeadLetters(Box::new(reason));
        let wanted = schema::lake_schema(&ValueLayout::DeadLetters);
        let wanted = wanted.map_err(|error| unusable(error.into()))?;
        let table = load_or_make(port, env, ident, Kind::Append, identity, &wanted).await?;
        let ledger = Ledger::read(&table.metadata, identity).map_err(unusable)?;
        if Kind::of(&table.metadata) != Kind::Append {
            return Err(unusable(Suspension::OtherKind).into());
        }
        let schema = table.metadata.current_schema();
        let arrow = Arc::new(schema_to_arrow_schema(schema)?);
        let location = format!("{}/data/{commit_id}.parquet", table.metadata.location());
        let order = table::sort_order_id(&table.metadata);
        let writer = DataFileWriter::create(port.file_io(), location, schema.clone(), order);
        Ok(Self {
            ends: ledger.ends,
            arrow,
            writer: writer.await?,
            table,
        })
    }

    /// Appends those of `batch` that are not in the table yet. Encodes on the calling thread.
    pub async fn write(&mut self, batch: &RowBatch) -> Result<(), PassError> {
        let Some(rows) = &batch.dead_letters else {
            return Ok(());
        };
        let end = self.ends.get(&batch.partition).copied();
        let offsets = rows
            .column_by_name(column::OFFSET)
            .and_then(|column| column.as_primitive_opt::<Int64Type>());
        let known = match (end, offsets) {
            (Some(end), Some(offsets)) => offsets.values().partition_point(|at| *at < end),
            // What is no column of offsets is refused below.
            _ => 0,
        };
        if known == rows.num_rows() {
            return Ok(());
        }
        let new = RowBatch {
            rows: rows.slice(known, rows.num_rows() - known),
            dead_letters: None,
            ..*batch
        };
        Ok(self.writer.write(&to_lake(&new, &self.arrow)?).await?)
    }

    /// The part of a commit that moves `moved` in the topic's own table; `None` without a record.
    pub async fn close(
        self,
        moved: &BTreeMap<i32, OffsetRange>,
    ) -> Result<Option<Part>, PassError> {
        let Some(file) = self.writer.close().await? else {
            return Ok(None);
        };
        let moved = moved.iter().map(|(&partition, range)| {
            let start = self.ends.get(&partition).copied().unwrap_or(range.start);
            let end = range.end.max(start);
            (partition, OffsetRange { start, end })
        });
        Ok(Some(Part {
            moved: moved.collect(),
            table_uuid: self.table.metadata.uuid(),
            table: self.table.ident,
            data_files: vec![file],
            replaces: None,
            erases: BTreeMap::new(),
        }))
    }
}
