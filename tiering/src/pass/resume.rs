//! Going on after somebody has decided: what is in the lake is set anew, by a commit that says so.
//!
//! There is one attempt. A table that changes meanwhile is looked at again by who decided.

use std::collections::BTreeMap;
use std::sync::Arc;

use iceberg::arrow::schema_to_arrow_schema;
use iceberg::spec::{DataFile, ManifestContentType, TableMetadata};
use uuid::Uuid;

use super::{PassError, Tierer};
use crate::commit::{CommitError, set_ledger, set_main, trace, unchanged};
use crate::convert::to_lake;
use crate::data_file::DataFileWriter;
use crate::env;
use crate::intake::Intake;
use crate::keyed::{DeleteFileWriter, Places};
use crate::mark::{LastCommit, Ledger, OffsetRange, Suspension, TierMark, summary_key};
use crate::port::{CommitRequest, LoadedTable};
use crate::rows::{RowSource, SourceError};
use crate::snapshot::{Added, Base, Parts, write_snapshot};
use crate::table::{self, Kind};

impl Tierer {
    /// Goes on after a suspension, with `ends` as what is in the lake from now on: the decision
    /// that rows are missing or doubled, and that this is accepted. Partitions not named keep the
    /// end the ledger has. In a keyed table rows that are missing or doubled stay so until their
    /// partition is filled anew ([`Tierer::refill`]).
    ///
    /// # Errors
    /// A foreign or fenced table stays suspended; so does one changed while resuming.
    pub async fn resume(&self, ends: BTreeMap<i32, i64>) -> Result<TierMark, PassError> {
        let table = self.port.load(&self.table).await?;
        let mut ledger = Ledger::read_any_place(&table.metadata, self.identity)?;
        ledger.ends.extend(ends);
        let parts = Parts::empty(env::snapshot_id(self.env.uuid()), self.env.uuid());
        self.reset(&table, ledger, &parts).await
    }

    /// Puts the rows that a partition of a keyed table has at offset `end` in the place of whatever
    /// the lake has of it, and goes on from there: for a log that no longer has all of the changes,
    /// and for a lake that others have changed.
    ///
    /// `source` is asked for the rows from offset 0 to `end`, with the offsets they came at; it needs
    /// no columns of changes, and is read batch by batch. Any suspension is over then for all
    /// partitions: where others have changed rows, all of them want to be filled anew.
    ///
    /// # Errors
    /// As for [`Tierer::resume`]; files written by a try that failed are found as orphans.
    pub async fn refill(
        &self,
        partition: i32,
        end: i64,
        source: &mut dyn RowSource,
    ) -> Result<TierMark, PassError> {
        let table = self.port.load(&self.table).await?;
        if Kind::of(&table.metadata) != Kind::Keyed {
            return Err(Suspension::OtherKind.into());
        }
        let ledger = Ledger::read_any_place(&table.metadata, self.identity)?;
        let (table, mut ledger) = Box::pin(self.fit_schema(table, ledger)).await?;
        let commit_id = self.env.uuid();
        let range = OffsetRange { start: 0, end };
        let mut intake = Intake::new(source, partition, range, usize::MAX);
        let rows = Box::pin(self.write_all(&mut intake, &table.metadata, commit_id)).await?;
        let deletes = Box::pin(self.erase_all(partition, &table.metadata, commit_id)).await?;
        let snapshot_id = env::snapshot_id(self.env.uuid());
        let mut parts = Parts::empty(snapshot_id, commit_id);
        let io = self.port.file_io();
        let metadata = &table.metadata;
        let at = |name| format!("{}/metadata/{commit_id}-{name}.avro", metadata.location());
        let (data, gone) = (ManifestContentType::Data, ManifestContentType::Deletes);
        parts.rows = Added::write(io, metadata, snapshot_id, data, at("m0"), rows).await?;
        parts.deletes = Added::write(io, metadata, snapshot_id, gone, at("d0"), deletes).await?;
        ledger.ends.insert(partition, end);
        self.reset(&table, ledger, &parts).await
    }

    /// Commits `parts` with the ledger's ends as what is in the lake from now on.
    async fn reset(
        &self,
        table: &LoadedTable,
        mut ledger: Ledger,
        parts: &Parts,
    ) -> Result<TierMark, PassError> {
        let metadata = &table.metadata;
        let nothing = |(partition, end): (&i32, &i64)| {
            let (start, end) = (*end, *end);
            (*partition, OffsetRange { start, end })
        };
        let moved = ledger.ends.iter().map(nothing).collect();
        let mut properties = trace(self.identity, parts.commit_id, &moved);
        properties.insert(summary_key::RESET.to_owned(), "true".to_owned());
        let (io, now_ms) = (self.port.file_io(), self.env.now_ms());
        let base = Base::whole(io, metadata).await?;
        let snapshot = write_snapshot(io, metadata, parts, base, 0, now_ms, properties).await?;
        ledger.epoch = self.identity.epoch;
        ledger.last = Some(LastCommit {
            commit_id: parts.commit_id,
            snapshot_id: parts.snapshot_id,
            sequence_number: snapshot.sequence_number(),
        });
        let mut updates = set_main(snapshot);
        updates.push(set_ledger(&ledger));
        let request = CommitRequest {
            requirements: unchanged(metadata),
            updates,
        };
        let table = self.port.commit(&self.table, request).await?;
        Ok(TierMark::of(&ledger, &table))
    }

    /// All rows of the intake in one file.
    async fn write_all(
        &self,
        intake: &mut Intake<'_>,
        metadata: &TableMetadata,
        commit_id: Uuid,
    ) -> Result<Vec<DataFile>, PassError> {
        let partition = intake.partition();
        let schema = metadata.current_schema().clone();
        let arrow = Arc::new(schema_to_arrow_schema(&schema)?);
        let spec = table::file_spec(metadata).ok_or(Suspension::OtherKind)?;
        let location = format!(
            "{}/data/{commit_id}-{partition}.parquet",
            metadata.location()
        );
        let (io, order) = (self.port.file_io(), table::sort_order_id(metadata));
        let mut writer = DataFileWriter::create(io, location, schema, order)
            .await?
            .partitioned(spec.spec_id(), table::partition_tuple(partition));
        while let Some(batch) = intake.next()? {
            writer.write(&to_lake(&batch, &arrow)?).await?;
        }
        if let Some(offset) = intake.missing_from() {
            let reason = "the rows end here".to_owned();
            return Err(SourceError {
                partition,
                offset,
                reason,
            }
            .into());
        }
        Ok(writer.close().await?.into_iter().collect())
    }

    /// Deletes of every row that the lake has of a partition.
    async fn erase_all(
        &self,
        partition: i32,
        metadata: &TableMetadata,
        commit_id: Uuid,
    ) -> Result<Vec<DataFile>, PassError> {
        let io = self.port.file_io();
        let found = Places::default().all(io, metadata, partition).await;
        let found = found.map_err(CommitError::from)?;
        let spec = table::file_spec(metadata).ok_or(Suspension::OtherKind)?;
        let spec_id = spec.spec_id();
        let location = format!(
            "{}/data/{commit_id}-{partition}-deletes-0.parquet",
            metadata.location()
        );
        let writer = DeleteFileWriter { io, spec_id };
        let written = writer.write(location, partition, &found).await?;
        Ok(written.into_iter().collect())
    }
}
