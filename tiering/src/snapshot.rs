//! A snapshot made by hand: manifest, manifest list, summary.
//!
//! The manifest of the added files is written once per commit; what depends on the snapshot it follows,
//! the manifest list and manifests that lose files, is written anew for each attempt, under names of
//! their own.

use std::collections::{BTreeSet, HashMap};

use iceberg::io::FileIO;
use iceberg::spec::{
    DataFile, FormatVersion, ManifestFile, ManifestList, ManifestListWriter, ManifestWriterBuilder,
    Operation, PartitionSpecRef, Snapshot, Summary, TableMetadata,
};
use iceberg::{Error, ErrorKind, Result};
use uuid::Uuid;

use crate::maintain::packer::Packer;

/// A manifest that has to be written anew is begun at this size at the latest.
const MANIFEST_BYTES: u64 = 8 << 20;

/// Data files are written for the unpartitioned spec the table was made with.
pub(crate) const UNPARTITIONED_SPEC_ID: i32 = 0;

/// Tells the writer to leave the sequence number to be inherited from the manifest list.
const INHERIT_SEQUENCE_NUMBER: i64 = -1;

/// The parts of an append that do not depend on what it follows.
#[derive(Debug)]
pub(crate) struct AppendParts {
    pub snapshot_id: i64,
    pub commit_id: Uuid,
    pub data_files: Vec<DataFile>,
    pub manifest: Option<ManifestFile>,
}

impl AppendParts {
    /// Writes the manifest of `data_files`; none for an append of nothing.
    pub async fn write(
        io: &FileIO,
        metadata: &TableMetadata,
        snapshot_id: i64,
        commit_id: Uuid,
        data_files: Vec<DataFile>,
    ) -> Result<Self> {
        let manifest = match data_files.as_slice() {
            [] => None,
            files => Some(write_manifest(io, metadata, snapshot_id, commit_id, files).await?),
        };
        Ok(Self {
            snapshot_id,
            commit_id,
            data_files,
            manifest,
        })
    }
}

/// The spec our data files are written for, if the table still has it.
pub(crate) fn unpartitioned(metadata: &TableMetadata) -> Option<&PartitionSpecRef> {
    metadata
        .partition_spec_by_id(UNPARTITIONED_SPEC_ID)
        .filter(|spec| spec.is_unpartitioned())
}

async fn write_manifest(
    io: &FileIO,
    metadata: &TableMetadata,
    snapshot_id: i64,
    commit_id: Uuid,
    data_files: &[DataFile],
) -> Result<ManifestFile> {
    let spec = unpartitioned(metadata)
        .ok_or_else(|| unsupported("the table has lost its unpartitioned spec"))?;
    let location = format!("{}/metadata/{commit_id}-m0.avro", metadata.location());
    let builder = ManifestWriterBuilder::new(
        io.new_output(location)?,
        Some(snapshot_id),
        metadata.current_schema().clone(),
        spec.as_ref().clone(),
    );
    let mut writer = match metadata.format_version() {
        FormatVersion::V1 => return Err(unsupported("format version 1 has no sequence numbers")),
        FormatVersion::V2 => builder.build_v2_data(),
        FormatVersion::V3 => builder.build_v3_data(),
    };
    for file in data_files {
        writer.add_file(file.clone(), INHERIT_SEQUENCE_NUMBER)?;
    }
    writer.write_manifest_file().await
}

/// What stays of the table's current snapshot under the next one.
#[derive(Debug, Default)]
pub(crate) struct Base {
    manifests: Vec<ManifestFile>,
    removed: Removed,
    /// Manifests that were written for it.
    pub written: Vec<String>,
}

/// Files that the next snapshot takes out.
#[derive(Debug, Clone, Copy, Default)]
struct Removed {
    files: u64,
    rows: u64,
    bytes: u64,
}

impl Base {
    /// All of it.
    pub async fn whole(io: &FileIO, metadata: &TableMetadata) -> Result<Self> {
        let manifests = match metadata.current_snapshot() {
            Some(snapshot) => manifests(io, metadata, snapshot).await?,
            None => Vec::new(),
        };
        Ok(Self {
            manifests,
            ..Self::default()
        })
    }

    /// All but the data files at `gone`, which snapshot `snapshot_id` takes out. `id` is fresh: it
    /// begins the names of the manifests that have to be written.
    pub async fn without(
        io: &FileIO,
        metadata: &TableMetadata,
        gone: &BTreeSet<String>,
        snapshot_id: i64,
        id: Uuid,
    ) -> Result<Self> {
        let whole = Self::whole(io, metadata).await?;
        let mut base = Self::default();
        let mut packer = Packer::new(io, metadata, snapshot_id, id, MANIFEST_BYTES);
        for manifest in whole.manifests {
            let loaded = manifest.load_manifest(io).await?;
            let alive = loaded.entries().iter().filter(|entry| entry.is_alive());
            if !alive.clone().any(|entry| gone.contains(entry.file_path())) {
                base.manifests.push(manifest);
                continue;
            }
            packer
                .make_room(manifest.manifest_length.unsigned_abs())
                .await?;
            for entry in alive {
                if !gone.contains(entry.file_path()) {
                    packer.keep(entry)?;
                    continue;
                }
                let file = entry.data_file();
                base.removed.files += 1;
                base.removed.rows += file.record_count();
                base.removed.bytes += file.file_size_in_bytes();
                packer.delete(entry)?;
            }
        }
        let new = packer.finish().await?;
        base.written = new.iter().map(|one| one.manifest_path.clone()).collect();
        base.manifests.extend(new);
        Ok(base)
    }
}

/// Writes the manifest list of `parts` on top of `base`, which is the table's current snapshot or what
/// stays of it, and gives the snapshot that names it. `attempt` keeps the names of several tries apart.
pub(crate) async fn write_snapshot(
    io: &FileIO,
    metadata: &TableMetadata,
    parts: &AppendParts,
    base: Base,
    attempt: u32,
    now_ms: i64,
    properties: HashMap<String, String>,
) -> Result<Snapshot> {
    let parent = metadata.current_snapshot();
    let mut manifests = base.manifests;
    manifests.extend(parts.manifest.clone());
    let list = format!(
        "{}/metadata/snap-{}-{attempt}-{}.avro",
        metadata.location(),
        parts.snapshot_id,
        parts.commit_id
    );
    let new = NewSnapshot {
        snapshot_id: parts.snapshot_id,
        list,
        manifests,
        now_ms,
        summary: summary(
            parts,
            base.removed,
            parent.map(|snapshot| snapshot.summary()),
            properties,
        ),
    };
    new.write(io, metadata).await
}

/// A snapshot about to follow the table's current one.
#[derive(Debug)]
pub(crate) struct NewSnapshot {
    pub snapshot_id: i64,
    /// Where its manifest list goes.
    pub list: String,
    pub manifests: Vec<ManifestFile>,
    pub now_ms: i64,
    pub summary: Summary,
}

impl NewSnapshot {
    /// Writes the manifest list.
    pub async fn write(self, io: &FileIO, metadata: &TableMetadata) -> Result<Snapshot> {
        let output = io.new_output(&self.list)?.writer().await?;
        let parent_id = metadata.current_snapshot_id();
        let sequence_number = metadata.next_sequence_number();
        let first_row_id = metadata.next_row_id();
        let mut list = match metadata.format_version() {
            FormatVersion::V3 => ManifestListWriter::v3(
                output,
                self.snapshot_id,
                parent_id,
                sequence_number,
                Some(first_row_id),
            ),
            _ => ManifestListWriter::v2(output, self.snapshot_id, parent_id, sequence_number),
        };
        list.add_manifests(self.manifests.into_iter())?;
        let next_row_id = list.next_row_id();
        list.close().await?;

        let snapshot = Snapshot::builder()
            .with_snapshot_id(self.snapshot_id)
            .with_parent_snapshot_id(parent_id)
            .with_sequence_number(sequence_number)
            // Never before the table's last change, whatever the clock did.
            .with_timestamp_ms(self.now_ms.max(metadata.last_updated_ms()))
            .with_manifest_list(self.list)
            .with_summary(self.summary)
            .with_schema_id(metadata.current_schema_id());
        Ok(match next_row_id {
            Some(next) => snapshot
                .with_row_range(first_row_id, next - first_row_id)
                .build(),
            None => snapshot.build(),
        })
    }
}

/// The manifests of a snapshot.
pub(crate) async fn manifests(
    io: &FileIO,
    metadata: &TableMetadata,
    snapshot: &Snapshot,
) -> Result<Vec<ManifestFile>> {
    let bytes = io.new_input(snapshot.manifest_list())?.read().await?;
    let list = ManifestList::parse_with_version(&bytes, metadata.format_version())?;
    Ok(list.consume_entries().into_iter().collect())
}

/// What was added and removed, and the totals rolled forward from the parent. A total is left out when
/// a foreign parent does not state it: a wrong one is worse than none.
fn summary(
    parts: &AppendParts,
    removed: Removed,
    parent: Option<&Summary>,
    mut properties: HashMap<String, String>,
) -> Summary {
    let sum = |of: fn(&DataFile) -> u64| parts.data_files.iter().map(of).sum::<u64>();
    let files = parts.data_files.len() as u64;
    let counts = [
        ("data-files", files, "deleted-data-files", removed.files),
        (
            "records",
            sum(DataFile::record_count),
            "deleted-records",
            removed.rows,
        ),
        (
            "files-size",
            sum(DataFile::file_size_in_bytes),
            "removed-files-size",
            removed.bytes,
        ),
        ("delete-files", 0, "removed-delete-files", 0),
        ("position-deletes", 0, "removed-position-deletes", 0),
        ("equality-deletes", 0, "removed-equality-deletes", 0),
    ];
    for (what, added, removal, gone) in counts {
        let stated = [(format!("added-{what}"), added), (removal.to_owned(), gone)];
        let stated = stated.into_iter().filter(|(_, count)| *count > 0);
        properties.extend(stated.map(|(key, count)| (key, count.to_string())));
        let total = format!("total-{what}");
        let before = match parent {
            None => Some(0),
            Some(parent) => parent
                .additional_properties
                .get(&total)
                .and_then(|n| n.parse::<u64>().ok()),
        };
        if let Some(after) = before.and_then(|before| (before + added).checked_sub(gone)) {
            properties.insert(total, after.to_string());
        }
    }
    Summary {
        operation: match removed.files {
            0 => Operation::Append,
            _ => Operation::Overwrite,
        },
        additional_properties: properties,
    }
}

fn unsupported(message: &str) -> Error {
    Error::new(ErrorKind::FeatureUnsupported, message)
}
