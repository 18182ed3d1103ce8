//! The changes that one pass takes from one partition, and what they leave in the lake.
//!
//! A row may be replaced by any later change of the run, so the run is read whole before a row of it
//! is written; the pass's limit of bytes is what bounds it.

use arrow_array::BooleanArray;
use arrow_schema::SchemaRef;
use arrow_select::filter::filter_record_batch;
use iceberg::io::FileIO;
use iceberg::spec::{DataFile, TableMetadata};

use super::change::{BadChange, ChangeKind, changes};
use super::net::Net;
use crate::convert::to_lake;
use crate::data_file::DataFileWriter;
use crate::intake::Intake;
use crate::mark::{OffsetRange, Suspension};
use crate::pass::PassError;
use crate::rows::RowBatch;
use crate::table;

/// A run of changes.
pub(crate) struct Run {
    pub partition: i32,
    pub moved: OffsetRange,
    pub net: Net,
    batches: Vec<RowBatch>,
}

impl Run {
    /// Reads what the intake gives.
    pub fn read(intake: &mut Intake<'_>) -> Result<Self, PassError> {
        let partition = intake.partition();
        let mut net = Net::new(intake.moved().start);
        let mut batches = Vec::new();
        while let Some(batch) = intake.next()? {
            net.take_up(&batch)
                .map_err(|reason| PassError::Change { partition, reason })?;
            batches.push(batch);
        }
        Ok(Self {
            partition,
            moved: intake.moved(),
            net,
            batches,
        })
    }

    /// What was read.
    pub fn batches(&self) -> &[RowBatch] {
        &self.batches
    }

    /// Writes the rows that are live after the run into one file at `location`; none if there are
    /// none. `arrow` is the table's schema.
    pub async fn write(
        self,
        io: &FileIO,
        metadata: &TableMetadata,
        arrow: &SchemaRef,
        location: String,
    ) -> Result<Option<DataFile>, PassError> {
        let spec = table::file_spec(metadata).ok_or(Suspension::OtherKind)?;
        let order = table::sort_order_id(metadata);
        let schema = metadata.current_schema().clone();
        let mut writer = DataFileWriter::create(io, location, schema, order)
            .await?
            .partitioned(spec.spec_id(), table::partition_tuple(self.partition));
        for batch in self.batches {
            let live = self.net.live_rows(&batch);
            let live = live.map_err(|reason| PassError::Change {
                partition: self.partition,
                reason,
            })?;
            writer.write(&to_lake(&live, arrow)?).await?;
        }
        Ok(writer.close().await?)
    }
}

impl Net {
    /// Takes up the changes of the next batch.
    ///
    /// # Errors
    /// As [`Net::apply`]; columns that are no changes.
    pub fn take_up(&mut self, batch: &RowBatch) -> Result<(), BadChange> {
        let mut changes = changes(batch)?.into_iter();
        changes.try_for_each(|change| self.apply(change))
    }

    /// Those rows of a batch, taken up before, that are live after all changes.
    ///
    /// # Errors
    /// Columns that are no changes.
    pub fn live_rows(&self, batch: &RowBatch) -> Result<RowBatch, BadChange> {
        let changes = changes(batch)?;
        let live = changes
            .iter()
            .map(|change| Some(change.kind == ChangeKind::Put && self.is_live(change.offset)));
        let live: BooleanArray = live.collect();
        let rows = filter_record_batch(&batch.rows, &live);
        Ok(RowBatch {
            rows: rows.map_err(|error| BadChange::Rows(error.to_string()))?,
            dead_letters: None,
            ..*batch
        })
    }
}
