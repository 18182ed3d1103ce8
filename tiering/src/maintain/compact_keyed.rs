//! Compaction of a keyed table: files and deletes of one Kafka partition at a time.
//!
//! A step takes neighbouring small files, or those with many dead rows, and writes their live rows
//! into one file; all deletes of the partition that still mean something afterwards go into one
//! delete file. So a partition is left with one delete file, or none.
//!
//! Sequence numbers: the new file is as old as the youngest of its inputs, the new delete file as
//! young as the youngest it stands for; what each file was hit by, it is hit by again.
//!
//! A tier commit that comes in between has deleted rows in files that we take out. Its deletes are
//! carried over: the position of a row in an input is looked up as an offset, and the offset as a
//! position in the new file. They come with the sequence number of our commit. So compaction keeps
//! up with a table that changes all the time. Only who rewrites the same files makes the work void.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use iceberg::arrow::schema_to_arrow_schema;
use iceberg::spec::{DataFile, ManifestContentType, ManifestFile, TableMetadata};
use roaring::RoaringTreemap;

use super::compact::{Memory, complete};
use super::error::MaintainError;
use super::packer::Packer;
use super::packing;
use super::policy::{Compaction, Policy};
use super::replace::{self, Outcome, Rewrite, Rewritten, Totals, can_rewrite};
use super::report::{Change, StepReport};
use super::schedule::Step;
use super::site::Site;
use super::sorted::Sorted;
use crate::data_file::DataFileWriter;
use crate::keyed::{
    DataEntry, DeleteEntry, DeleteFileWriter, Live, Manifests, OffsetColumn, dead_rows,
};
use crate::parquet_file::longs;
use crate::schema::id;
use crate::snapshot::INHERIT_SEQUENCE_NUMBER;
use crate::table;

/// Compacts one partition, if one needs it.
pub(super) async fn run(
    site: &Site<'_>,
    metadata: &TableMetadata,
    policy: &Policy,
    memory: &mut Memory,
) -> Result<StepReport, MaintainError> {
    let nothing = StepReport::nothing(Step::Compact);
    let order = table::sort_order_id(metadata);
    let (true, Some(spec), Some(order)) =
        (can_rewrite(metadata), table::file_spec(metadata), order)
    else {
        return Ok(nothing);
    };
    let all = memory.manifests.live(site.io(), metadata).await?;
    for (partition, live) in all {
        let sortable = |file: &&DataEntry| {
            file.sort_order_id == Some(order) && !memory.is_shunned(&file.location)
        };
        let files: Vec<_> = live.data.iter().filter(sortable).collect();
        let Some(due) = Due::of(&live, &files, policy.compaction) else {
            continue;
        };
        let dead = dead_rows(site.io(), &live).await?;
        let Some(plan) = due.plan(&live, &files, dead, policy.compaction) else {
            continue;
        };
        let shape = Shape {
            partition,
            spec_id: spec.spec_id(),
            order,
            manifest_bytes: policy.merging.target_bytes,
        };
        let written = Box::pin(CompactKeyed::write(site, metadata, shape, plan)).await;
        let compact = written.inspect_err(|error| memory.shun(error))?;
        return compact.commit(site).await;
    }
    Ok(nothing)
}

/// What a partition needs, told by its manifests alone.
struct Due {
    /// Small neighbours to join.
    group: Vec<DataEntry>,
}

impl Due {
    /// `files` are the data files that may be compacted.
    fn of(live: &Live, files: &[&DataEntry], policy: Compaction) -> Option<Self> {
        let large = packing::large(policy);
        let small: Vec<_> = files.iter().filter(|file| file.bytes < large).collect();
        let sizes: Vec<u64> = small.iter().map(|file| file.bytes).collect();
        let group = packing::choose(&sizes, policy);
        let is_crowded = live.deletes.len() >= policy.delete_files_max.max(2);
        let rows = live.data.iter().map(|file| file.rows).sum();
        let deletes = live.deletes.iter().map(|file| file.rows).sum();
        if group.is_none() && !is_crowded && !is_large_share(deletes, rows, policy) {
            return None;
        }
        let group = group.map_or(&[][..], |group| &small[group]);
        let group = group.iter().map(|file| DataEntry::clone(file)).collect();
        Some(Self { group })
    }

    /// What to do, now that the dead rows are known; `None` if there is nothing to gain.
    fn plan(
        self,
        live: &Live,
        files: &[&DataEntry],
        mut dead: HashMap<String, RoaringTreemap>,
        policy: Compaction,
    ) -> Option<Plan> {
        let mut inputs = self.group;
        if inputs.is_empty() {
            let dead_in =
                |file: &DataEntry| dead.get(&file.location).map_or(0, RoaringTreemap::len);
            let worth = |file: &&&DataEntry| is_large_share(dead_in(file), file.rows, policy);
            let mut total = 0;
            let enough = |file: &&&DataEntry| {
                let is_first = total == 0;
                total += file.bytes;
                is_first || total <= policy.target_bytes
            };
            let rewritten = files.iter().filter(worth).take(policy.inputs_max);
            let rewritten = rewritten.take_while(enough);
            inputs = rewritten.map(|file| DataEntry::clone(file)).collect();
        }
        if inputs.is_empty() && live.deletes.len() < 2 {
            return None;
        }
        let inputs = inputs.into_iter().map(|file| {
            let dead = dead.remove(&file.location).unwrap_or_default();
            (file, dead)
        });
        Some(Plan {
            inputs: inputs.collect(),
            deletes: live.deletes.clone(),
            left: dead.into_iter().collect(),
        })
    }
}

fn is_large_share(dead: u64, rows: u64, policy: Compaction) -> bool {
    dead > 0 && dead.saturating_mul(100) >= rows.saturating_mul(policy.dead_percent)
}

/// What becomes of one partition.
struct Plan {
    /// Files to take out, with the positions of their dead rows; oldest first.
    inputs: Vec<(DataEntry, RoaringTreemap)>,
    /// Delete files to take out: all there were.
    deletes: Vec<DeleteEntry>,
    /// Deletes that stay, by file.
    left: BTreeMap<String, RoaringTreemap>,
}

/// What files of the partition look like.
#[derive(Clone, Copy)]
struct Shape {
    partition: i32,
    spec_id: i32,
    order: i32,
    manifest_bytes: u64,
}

/// The commit: inputs and deletes out, one of each in at most.
struct CompactKeyed {
    shape: Shape,
    plan: Plan,
    output: Option<DataFile>,
    /// Of the rows in the output.
    offsets: OffsetColumn,
    deletes: Option<DataFile>,
}

impl CompactKeyed {
    async fn write(
        site: &Site<'_>,
        metadata: &TableMetadata,
        shape: Shape,
        plan: Plan,
    ) -> Result<Self, MaintainError> {
        let (output, offsets) = write_rows(site, metadata, shape, &plan.inputs).await?;
        let location = delete_location(site, metadata);
        let writer = shape.delete_writer(site);
        let deletes = writer.write(location, shape.partition, &plan.left).await?;
        Ok(Self {
            shape,
            plan,
            output,
            offsets: OffsetColumn::Sorted(offsets),
            deletes,
        })
    }

    async fn commit(self, site: &Site<'_>) -> Result<StepReport, MaintainError> {
        let outputs = [&self.output, &self.deletes].into_iter().flatten();
        let written: Vec<_> = outputs.map(|file| file.file_path().to_owned()).collect();
        let outcome = replace::commit(site, &self).await;
        match outcome {
            Ok(Outcome::Committed(_)) => Ok(self.report()),
            // The files may be part of the table.
            Err(error @ MaintainError::Unresolved { .. }) => Err(error),
            not_there => {
                site.discard(&written).await;
                not_there.map(|_| StepReport::nothing(Step::Compact))
            }
        }
    }

    fn report(&self) -> StepReport {
        let totals = self.totals();
        StepReport {
            more: true,
            data_files: Change {
                before: totals.files_out,
                after: totals.files_in,
            },
            delete_files: Change {
                before: totals.delete_files_out,
                after: totals.delete_files_in,
            },
            data_bytes: Change {
                before: totals.bytes_out,
                after: totals.bytes_in,
            },
            ..StepReport::nothing(Step::Compact)
        }
    }

    fn totals(&self) -> Totals {
        let Plan {
            inputs, deletes, ..
        } = &self.plan;
        let inputs_bytes: u64 = inputs.iter().map(|(file, _)| file.bytes).sum();
        let deletes_bytes: u64 = deletes.iter().map(|file| file.bytes).sum();
        let bytes = |file: &Option<DataFile>| file.as_ref().map_or(0, DataFile::file_size_in_bytes);
        let rows = |file: &Option<DataFile>| file.as_ref().map_or(0, DataFile::record_count);
        Totals {
            files_out: inputs.len() as u64,
            files_in: u64::from(self.output.is_some()),
            bytes_out: inputs_bytes + deletes_bytes,
            bytes_in: bytes(&self.output) + bytes(&self.deletes),
            rows_out: inputs.iter().map(|(file, _)| file.rows).sum(),
            rows_in: rows(&self.output),
            delete_files_out: deletes.len() as u64,
            delete_files_in: u64::from(self.deletes.is_some()),
            deletes_out: deletes.iter().map(|file| file.rows).sum(),
            deletes_in: rows(&self.deletes),
        }
    }

    /// Deletes, in the new file, of rows that were deleted in the inputs since we read them.
    async fn carried_over(
        &self,
        site: &Site<'_>,
        metadata: &TableMetadata,
        current: &[ManifestFile],
    ) -> Result<Option<DataFile>, MaintainError> {
        let Some(output) = &self.output else {
            return Ok(None);
        };
        let mut all = Manifests::default()
            .live_in(site.io(), metadata, current)
            .await?;
        let live = all.remove(&self.shape.partition).unwrap_or_default();
        let known: HashSet<_> = self
            .plan
            .deletes
            .iter()
            .map(|file| &file.location)
            .collect();
        let newcomers = live.deletes.into_iter();
        let newcomers = newcomers.filter(|file| !known.contains(&file.location));
        let since = Live {
            data: self
                .plan
                .inputs
                .iter()
                .map(|(file, _)| file.clone())
                .collect(),
            deletes: newcomers.collect(),
        };
        let mut positions = RoaringTreemap::new();
        for (location, dead) in dead_rows(site.io(), &since).await? {
            let offsets = OffsetColumn::load(site.io(), &location).await?.at(&dead);
            positions |= self.offsets.find(&offsets).1;
        }
        let named = BTreeMap::from([(output.file_path().to_owned(), positions)]);
        let location = delete_location(site, metadata);
        let writer = self.shape.delete_writer(site);
        Ok(writer.write(location, self.shape.partition, &named).await?)
    }
}

impl Shape {
    fn delete_writer<'a>(&self, site: &Site<'a>) -> DeleteFileWriter<'a> {
        DeleteFileWriter {
            io: site.port.file_io(),
            spec_id: self.spec_id,
        }
    }
}

fn delete_location(site: &Site<'_>, metadata: &TableMetadata) -> String {
    let id = site.env.uuid();
    format!("{}/data/{id}-deletes.parquet", metadata.location())
}

/// The live rows of `inputs` in one new file, if there are any, and their offsets.
async fn write_rows(
    site: &Site<'_>,
    metadata: &TableMetadata,
    shape: Shape,
    inputs: &[(DataEntry, RoaringTreemap)],
) -> Result<(Option<DataFile>, RoaringTreemap), MaintainError> {
    let schema = metadata.current_schema();
    let arrow = Arc::new(schema_to_arrow_schema(schema)?);
    let location = format!("{}/data/{}.parquet", metadata.location(), site.env.uuid());
    let some_live = inputs.iter().filter(|(file, dead)| dead.len() < file.rows);
    let opened: Vec<_> = some_live
        .map(|(file, dead)| (file.location.as_str(), dead))
        .collect();
    let mut rows = Sorted::open(site.io(), &opened, &arrow).await?;
    let tuple = table::partition_tuple(shape.partition);
    let order = Some(shape.order);
    let mut writer = DataFileWriter::create(site.io(), location.clone(), schema.clone(), order)
        .await?
        .partitioned(shape.spec_id, tuple);
    let mut offsets = RoaringTreemap::new();
    while let Some(batch) = rows.next().await? {
        let of_batch = longs(&batch, id::OFFSET, &location)?.values().iter();
        offsets.extend(of_batch.filter_map(|offset| u64::try_from(*offset).ok()));
        writer.write(&batch).await?;
    }
    let wanted = inputs
        .iter()
        .map(|(file, dead)| file.rows.saturating_sub(dead.len()));
    let file = complete(site, writer.close().await?, wanted.sum()).await?;
    Ok((file, offsets))
}

#[async_trait]
impl Rewrite for CompactKeyed {
    fn name(&self) -> &'static str {
        "compact"
    }

    async fn apply(
        &self,
        site: &Site<'_>,
        metadata: &TableMetadata,
        current: Vec<ManifestFile>,
        snapshot_id: i64,
    ) -> Result<Option<Rewritten>, MaintainError> {
        let packer = |content| {
            let (io, target) = (site.io(), self.shape.manifest_bytes);
            Packer::new(io, metadata, content, snapshot_id, site.env.uuid(), target)
        };
        let inputs = self.plan.inputs.iter();
        let ages = inputs.map(|(file, _)| (file.location.as_str(), file.sequence_number));
        let ages: BTreeMap<_, _> = ages.collect();
        let mut data = packer(ManifestContentType::Data);
        if let (Some(output), Some(youngest)) = (&self.output, ages.values().max()) {
            data.add(output.clone(), *youngest)?;
        }
        let Some(kept) = data.take_out(current.clone(), ages).await? else {
            return Ok(None);
        };
        let gone = self.plan.deletes.iter();
        let ages = gone.map(|file| (file.location.as_str(), file.sequence_number));
        let ages: BTreeMap<_, _> = ages.collect();
        let mut deletes = packer(ManifestContentType::Deletes);
        if let (Some(left), Some(youngest)) = (&self.deletes, ages.values().max()) {
            deletes.add(left.clone(), *youngest)?;
        }
        let Some(mut kept) = deletes.take_out(kept, ages).await? else {
            return Ok(None);
        };
        let mut totals = self.totals();
        let mut written = Vec::new();
        if let Some(file) = self.carried_over(site, metadata, &current).await? {
            written.push(file.file_path().to_owned());
            totals.delete_files_in += 1;
            totals.deletes_in += file.record_count();
            totals.bytes_in += file.file_size_in_bytes();
            deletes.add(file, INHERIT_SEQUENCE_NUMBER)?;
        }
        let mut new = data.finish().await?;
        new.extend(deletes.finish().await?);
        written.extend(new.iter().map(|one| one.manifest_path.clone()));
        kept.extend(new);
        Ok(Some(Rewritten {
            manifests: kept,
            written,
            totals,
        }))
    }
}
