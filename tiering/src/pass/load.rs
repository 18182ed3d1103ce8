//! The files of a pass, and what of the log they took up.

use std::collections::BTreeMap;
use std::sync::Arc;

use iceberg::arrow::schema_to_arrow_schema;
use iceberg::spec::{DataFile, TableMetadata};
use roaring::RoaringTreemap;
use uuid::Uuid;

use super::{PassError, PassReport, Tierer};
use crate::commit::Part;
use crate::convert::to_lake;
use crate::data_file::DataFileWriter;
use crate::dead_letters::DeadLetters;
use crate::intake::Intake;
use crate::keyed::Run;
use crate::mark::OffsetRange;
use crate::plan;
use crate::rows::{RowBatch, RowSource};
use crate::table;

/// What the files of a pass took up.
#[derive(Debug, Default)]
pub(super) struct Load {
    pub moved: BTreeMap<i32, OffsetRange>,
    /// None when the offsets moved left no rows.
    pub files: Vec<DataFile>,
    /// Of a keyed table: the offsets of the rows of each file.
    pub offsets: Vec<RoaringTreemap>,
    /// Of a keyed table: offsets of rows to take out, by partition.
    pub replaced: BTreeMap<i32, RoaringTreemap>,
    /// None when no offset moved is that of a dead letter.
    pub dead_letters: Option<Part>,
}

impl Load {
    fn moved(&mut self, partition: i32, range: OffsetRange) {
        if range.end > range.start {
            self.moved.insert(partition, range);
        }
    }

    /// What was loaded, reported on top of what the table says.
    pub fn report(self, table: PassReport) -> PassReport {
        let dead_letters = self.dead_letters.iter().flat_map(|part| &part.data_files);
        let files = self.files.iter().chain(dead_letters.clone());
        PassReport {
            rows: self.files.iter().map(DataFile::record_count).sum(),
            replaced: self.replaced.values().map(RoaringTreemap::len).sum(),
            dead_letters: dead_letters.map(DataFile::record_count).sum(),
            file_bytes: files.map(DataFile::file_size_in_bytes).sum(),
            moved: self.moved,
            ..table
        }
    }
}

impl Tierer {
    /// Reads `ranges` partition by partition and writes what fits the limits into one file, and its
    /// dead letters into one of their table.
    pub(super) async fn load(
        &self,
        source: &mut dyn RowSource,
        ranges: &BTreeMap<i32, OffsetRange>,
        metadata: &TableMetadata,
        commit_id: Uuid,
    ) -> Result<Load, PassError> {
        let schema = metadata.current_schema();
        let arrow = Arc::new(schema_to_arrow_schema(schema)?);
        let location = format!("{}/data/{commit_id}.parquet", metadata.location());
        let io = self.port.file_io();
        let order = table::sort_order_id(metadata);
        let mut writer = DataFileWriter::create(io, location, schema.clone(), order).await?;
        let share = plan::share(self.limits.bytes_max, ranges.len());
        let mut load = Load::default();
        let mut dead_letters = None;
        for (&partition, range) in ranges {
            let mut intake = Intake::new(source, partition, *range, share);
            while let Some(batch) = intake.next()? {
                writer.write(&to_lake(&batch, &arrow)?).await?;
                self.bury(&batch, commit_id, &mut dead_letters).await?;
            }
            load.moved(partition, intake.moved());
        }
        load.files.extend(writer.close().await?);
        load.dead_letters = close(dead_letters, &load.moved).await?;
        Ok(load)
    }

    /// Reads `ranges` of changes partition by partition, as far as the limits allow, and writes the
    /// rows they leave into a file each, and all dead letters into one of their table.
    pub(super) async fn run(
        &self,
        source: &mut dyn RowSource,
        ranges: &BTreeMap<i32, OffsetRange>,
        metadata: &TableMetadata,
        commit_id: Uuid,
    ) -> Result<Load, PassError> {
        let arrow = Arc::new(schema_to_arrow_schema(metadata.current_schema())?);
        let io = self.port.file_io();
        let share = plan::share(self.limits.bytes_max, ranges.len());
        let mut load = Load::default();
        let mut dead_letters = None;
        for (&partition, range) in ranges {
            let run = Run::read(&mut Intake::new(source, partition, *range, share))?;
            load.moved(partition, run.moved);
            for batch in run.batches() {
                self.bury(batch, commit_id, &mut dead_letters).await?;
            }
            let net = run.net.clone();
            let location = format!(
                "{}/data/{commit_id}-{partition}.parquet",
                metadata.location()
            );
            if let Some(file) = run.write(io, metadata, &arrow, location).await? {
                load.files.push(file);
                load.offsets.push(net.live().clone());
            }
            load.replaced.insert(partition, net.replaced().clone());
        }
        load.dead_letters = close(dead_letters, &load.moved).await?;
        Ok(load)
    }

    /// Writes the dead letters of a batch, if there are any and a table for them; `open` is their
    /// file, begun with the first.
    async fn bury(
        &self,
        batch: &RowBatch,
        commit_id: Uuid,
        open: &mut Option<DeadLetters>,
    ) -> Result<(), PassError> {
        let (Some(table), Some(_)) = (&self.dead_letters, &batch.dead_letters) else {
            return Ok(());
        };
        let open = match open {
            Some(open) => open,
            None => {
                let (port, env) = (self.port.as_ref(), self.env.as_ref());
                open.insert(DeadLetters::open(port, env, table, self.identity, commit_id).await?)
            }
        };
        open.write(batch).await
    }
}

async fn close(
    dead_letters: Option<DeadLetters>,
    moved: &BTreeMap<i32, OffsetRange>,
) -> Result<Option<Part>, PassError> {
    match dead_letters {
        Some(dead_letters) => dead_letters.close(moved).await,
        None => Ok(None),
    }
}
