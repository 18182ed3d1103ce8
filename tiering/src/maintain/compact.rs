//! Compaction: neighbouring small data files become one with the same rows.
//!
//! Inputs are files as tiering writes them: unpartitioned, and sorted by partition and offset. The
//! new file's rows are as old as the youngest of the inputs (its data sequence number): a delete by
//! key that comes later hits them as before. Files that an older delete may hit are left alone, and
//! a delete that comes while we write makes the work void, since deletes by position name a file.
//! Which deletes exist is told by the manifest list alone, on the safe side: a manifest of deletes
//! may hit every file not younger than it.
//!
//! Work that became void is thrown away with its file; the next step plans anew.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use iceberg::arrow::schema_to_arrow_schema;
use iceberg::io::FileIO;
use iceberg::spec::{DataFile, ManifestContentType, ManifestFile, TableMetadata};
use roaring::RoaringTreemap;

use super::compact_keyed;
use super::error::MaintainError;
use super::packer::Packer;
use super::packing;
use super::policy::Policy;
use super::replace::{self, Outcome, Rewrite, Rewritten, Totals, can_rewrite, is_ours};
use super::report::{Change, StepReport};
use super::schedule::Step;
use super::site::Site;
use super::sorted::Sorted;
use crate::data_file::DataFileWriter;
use crate::keyed::Manifests;
use crate::snapshot::manifests;
use crate::table::{self, Kind};

/// Bad files remembered.
const SHUNNED_MAX: usize = 1_000;

/// What compaction remembers of a table from step to step. All of it may be lost.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Manifests that name no file to compact, and never will.
    settled: HashSet<String>,
    /// Files that could not be read, or are not what they claim.
    shunned: HashSet<String>,
    /// Of a keyed table.
    pub manifests: Manifests,
}

impl Memory {
    /// Takes note of the file that made a compaction fail, if it was one.
    pub fn shun(&mut self, error: &MaintainError) {
        if self.shunned.len() >= SHUNNED_MAX {
            // Those still there are found out again.
            self.shunned.clear();
        }
        self.shunned.extend(error.bad_input().map(str::to_owned));
    }

    pub fn is_shunned(&self, location: &str) -> bool {
        self.shunned.contains(location)
    }
}

/// A file that may be compacted.
#[derive(Debug, Clone)]
struct Input {
    location: String,
    bytes: u64,
    rows: u64,
    /// Age of the rows.
    sequence_number: i64,
    /// The manifest that named it when we planned.
    manifest: String,
}

/// Compacts one group of files, if there is one.
pub(super) async fn run(
    site: &Site<'_>,
    policy: &Policy,
    memory: &mut Memory,
) -> Result<StepReport, MaintainError> {
    let nothing = StepReport::nothing(Step::Compact);
    let (table, _) = site.load().await?;
    if Kind::of(&table.metadata) == Kind::Keyed {
        return compact_keyed::run(site, &table.metadata, policy, memory).await;
    }
    let Some(inputs) = plan(site.io(), &table.metadata, policy, memory).await? else {
        return Ok(nothing);
    };
    let written = Box::pin(write(site, &table.metadata, &inputs)).await;
    let output = written.inspect_err(|error| memory.shun(error))?;
    let location = output.file_path().to_owned();
    let report = StepReport {
        more: true,
        data_files: Change::new(inputs.len(), 1),
        data_bytes: Change {
            before: inputs.iter().map(|input| input.bytes).sum(),
            after: output.file_size_in_bytes(),
        },
        ..nothing.clone()
    };
    let compact = Compact {
        inputs,
        output,
        manifest_bytes: policy.merging.target_bytes,
    };
    match replace::commit(site, &compact).await {
        Ok(Outcome::Committed(_)) => Ok(report),
        Ok(Outcome::NotApplicable) => {
            site.discard(&[location]).await;
            Ok(nothing)
        }
        // The file may be part of the table.
        Err(error @ MaintainError::Unresolved { .. }) => Err(error),
        Err(error) => {
            site.discard(&[location]).await;
            Err(error)
        }
    }
}

/// The files to compact next, oldest rows first.
async fn plan(
    io: &FileIO,
    metadata: &TableMetadata,
    policy: &Policy,
    memory: &mut Memory,
) -> Result<Option<Vec<Input>>, MaintainError> {
    let order = table::sort_order_id(metadata);
    let (Some(snapshot), Some(order)) = (metadata.current_snapshot(), order) else {
        return Ok(None);
    };
    if !can_rewrite(metadata) {
        return Ok(None);
    }
    let manifests = manifests(io, metadata, snapshot).await?;
    let deletes_to = deletes_to(&manifests);
    let present: HashSet<_> = manifests.iter().map(|one| &one.manifest_path).collect();
    memory.settled.retain(|path| present.contains(path));
    let large = packing::large(policy.compaction);
    let mut inputs = Vec::new();
    let content = ManifestContentType::Data;
    for manifest in manifests
        .iter()
        .filter(|one| is_ours(metadata, one, content))
    {
        if memory.settled.contains(&manifest.manifest_path) {
            continue;
        }
        let before = inputs.len();
        let loaded = manifest.load_manifest(io).await?;
        inputs.extend(loaded.entries().iter().filter_map(|entry| {
            let (file, sequence_number) = (entry.data_file(), entry.sequence_number()?);
            let fits = entry.is_alive()
                && file.sort_order_id() == Some(order)
                && file.file_size_in_bytes() < large
                && sequence_number > deletes_to
                && !memory.is_shunned(file.file_path());
            fits.then(|| Input {
                location: file.file_path().to_owned(),
                bytes: file.file_size_in_bytes(),
                rows: file.record_count(),
                sequence_number,
                manifest: manifest.manifest_path.clone(),
            })
        }));
        if inputs.len() == before {
            memory.settled.insert(manifest.manifest_path.clone());
        }
    }
    inputs.sort_by(|a, b| (a.sequence_number, &a.location).cmp(&(b.sequence_number, &b.location)));
    let sizes: Vec<u64> = inputs.iter().map(|input| input.bytes).collect();
    let group = packing::choose(&sizes, policy.compaction);
    Ok(group.map(|group| inputs[group].to_vec()))
}

/// The youngest delete there may be; rows not younger than it may be hit.
fn deletes_to(manifests: &[ManifestFile]) -> i64 {
    let deletes = manifests.iter().filter(|manifest| {
        manifest.content == ManifestContentType::Deletes
            && (manifest.has_added_files() || manifest.has_existing_files())
    });
    deletes.map(|one| one.sequence_number).max().unwrap_or(-1)
}

/// The rows of `inputs` in one new file.
async fn write(
    site: &Site<'_>,
    metadata: &TableMetadata,
    inputs: &[Input],
) -> Result<DataFile, MaintainError> {
    let schema = metadata.current_schema();
    let arrow = Arc::new(schema_to_arrow_schema(schema)?);
    let none_dead = RoaringTreemap::new();
    let locations = inputs.iter().map(|input| input.location.as_str());
    let opened: Vec<_> = locations.map(|location| (location, &none_dead)).collect();
    let mut rows = Sorted::open(site.io(), &opened, &arrow).await?;
    let output = format!("{}/data/{}.parquet", metadata.location(), site.env.uuid());
    let order = table::sort_order_id(metadata);
    let mut writer = DataFileWriter::create(site.io(), output, schema.clone(), order).await?;
    while let Some(batch) = rows.next().await? {
        writer.write(&batch).await?;
    }
    let wanted = inputs.iter().map(|input| input.rows).sum();
    let file = writer.close().await?;
    match complete(site, file, wanted).await? {
        Some(file) => Ok(file),
        None => Err(MaintainError::RowsLost {
            inputs: wanted,
            output: 0,
        }),
    }
}

/// The new file, if it has as many rows as it should; none for no rows.
pub(super) async fn complete(
    site: &Site<'_>,
    file: Option<DataFile>,
    wanted: u64,
) -> Result<Option<DataFile>, MaintainError> {
    let output = file.as_ref().map_or(0, DataFile::record_count);
    if output == wanted {
        return Ok(file);
    }
    if let Some(file) = file {
        site.discard(&[file.file_path().to_owned()]).await;
    }
    Err(MaintainError::RowsLost {
        inputs: wanted,
        output,
    })
}

/// The commit: inputs out, output in.
struct Compact {
    inputs: Vec<Input>,
    output: DataFile,
    manifest_bytes: u64,
}

impl Compact {
    fn totals(&self) -> Totals {
        Totals {
            files_out: self.inputs.len() as u64,
            files_in: 1,
            bytes_out: self.inputs.iter().map(|input| input.bytes).sum(),
            bytes_in: self.output.file_size_in_bytes(),
            rows_out: self.output.record_count(),
            rows_in: self.output.record_count(),
            ..Totals::default()
        }
    }
}

#[async_trait]
impl Rewrite for Compact {
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
        let ages = self.inputs.iter().map(|input| input.sequence_number);
        let (Some(oldest), Some(youngest)) = (ages.clone().min(), ages.max()) else {
            return Ok(None);
        };
        if oldest <= deletes_to(&current) {
            return Ok(None);
        }
        let left: BTreeMap<&str, i64> = self
            .inputs
            .iter()
            .map(|input| (input.location.as_str(), input.sequence_number))
            .collect();
        let planned: HashSet<_> = self.inputs.iter().map(|input| &input.manifest).collect();
        // Where they were when we planned, they mostly still are.
        let (hinted, others): (Vec<_>, Vec<_>) = current
            .into_iter()
            .partition(|manifest| planned.contains(&manifest.manifest_path));
        let current = hinted.into_iter().chain(others);
        let (id, content) = (site.env.uuid(), ManifestContentType::Data);
        let target = self.manifest_bytes;
        let mut packer = Packer::new(site.io(), metadata, content, snapshot_id, id, target);
        packer.add(self.output.clone(), youngest)?;
        let Some(mut kept) = packer.take_out(current, left).await? else {
            return Ok(None);
        };
        let new = packer.finish().await?;
        let written = new.iter().map(|one| one.manifest_path.clone()).collect();
        kept.extend(new);
        Ok(Some(Rewritten {
            manifests: kept,
            written,
            totals: self.totals(),
        }))
    }
}
