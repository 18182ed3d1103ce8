//! Rows that a commit takes out of the lake.
//!
//! Where they are depends on the snapshot the commit follows: a compaction in between has moved
//! them. So the delete files are written anew for each snapshot that the commit is tried on.

use std::collections::BTreeMap;

use iceberg::spec::{DataFile, TableMetadata};
use roaring::RoaringTreemap;
use uuid::Uuid;

use super::delete_file::DeleteFileWriter;
use super::places::Places;
use crate::commit::CommitError;
use crate::mark::Suspension;
use crate::port::CommitPort;
use crate::table::file_spec;

/// Offsets of rows to delete, by Kafka partition, and what is known of where rows are.
#[derive(Debug)]
pub(crate) struct Erasure<'a> {
    pub rows: &'a BTreeMap<i32, RoaringTreemap>,
    pub places: &'a mut Places,
}

impl Erasure<'_> {
    /// Writes the deletes for the table's current snapshot, one file per partition that has any.
    /// `attempt` keeps the names of several tries apart.
    ///
    /// # Errors
    /// [`Suspension::RowMissing`] when a row is in no live file.
    pub async fn write(
        &mut self,
        port: &dyn CommitPort,
        metadata: &TableMetadata,
        commit_id: Uuid,
        attempt: u32,
    ) -> Result<Vec<DataFile>, CommitError> {
        if self.rows.values().all(RoaringTreemap::is_empty) {
            return Ok(Vec::new());
        }
        let io = port.file_io();
        let found = self.places.find(io, metadata, self.rows).await?;
        let found = found.map_err(|missing| Suspension::RowMissing {
            partition: missing.partition,
            offset: missing.offset,
        })?;
        let spec = file_spec(metadata).ok_or(Suspension::OtherKind)?;
        let spec_id = spec.spec_id();
        let writer = DeleteFileWriter { io, spec_id };
        let mut files = Vec::new();
        for (partition, positions) in &found {
            let location = format!(
                "{}/data/{commit_id}-{partition}-deletes-{attempt}.parquet",
                metadata.location()
            );
            files.extend(writer.write(location, *partition, positions).await?);
        }
        Ok(files)
    }
}
