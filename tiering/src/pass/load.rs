//! The files of a pass, and what of the log they took up.

use std::collections::BTreeMap;
use std::sync::Arc;

use iceberg::arrow::schema_to_arrow_schema;
use iceberg::spec::{DataFile, TableMetadata};
use roaring::RoaringTreemap;
use uuid::Uuid;

use super::{PassError, Tierer};
use crate::convert::to_lake;
use crate::data_file::DataFileWriter;
use crate::intake::Intake;
use crate::keyed::Run;
use crate::mark::OffsetRange;
use crate::plan;
use crate::rows::RowSource;
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
}

impl Load {
    fn moved(&mut self, partition: i32, range: OffsetRange) {
        if range.end > range.start {
            self.moved.insert(partition, range);
        }
    }
}

impl Tierer {
    /// Reads `ranges` partition by partition and writes what fits the limits into one file.
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
        for (&partition, range) in ranges {
            let mut intake = Intake::new(source, partition, *range, share);
            while let Some(batch) = intake.next()? {
                writer.write(&to_lake(&batch, &arrow)?).await?;
            }
            load.moved(partition, intake.moved());
        }
        load.files.extend(writer.close().await?);
        Ok(load)
    }

    /// Reads `ranges` of changes partition by partition, as far as the limits allow, and writes the
    /// rows they leave into a file each.
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
        for (&partition, range) in ranges {
            let run = Run::read(&mut Intake::new(source, partition, *range, share))?;
            load.moved(partition, run.moved);
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
        Ok(load)
    }
}
