//! A tier snapshot made by hand: manifests, manifest list, summary.
//!
//! The manifest of the added rows is written once per commit, that of the deletes once per snapshot
//! it is tried on; the manifest list, and manifests that lose files, are written anew for each
//! attempt, under names of their own.

use std::collections::{BTreeSet, HashMap};

use iceberg::io::FileIO;
use iceberg::spec::{
    DataFile, FormatVersion, ManifestContentType, ManifestFile, ManifestList, ManifestListWriter,
    ManifestWriterBuilder, Operation, Snapshot, Summary, TableMetadata,
};
use iceberg::{Error, ErrorKind, Result};
use uuid::Uuid;

use crate::maintain::is_ours;
use crate::maintain::packer::Packer;
use crate::table::file_spec;

/// A manifest that has to be written anew is begun at this size at the latest.
const MANIFEST_BYTES: u64 = 8 << 20;

/// Tells the writer to leave the sequence number to be inherited from the manifest list.
pub(crate) const INHERIT_SEQUENCE_NUMBER: i64 = -1;

/// Files that a snapshot adds, and the manifest that lists them; none for no files.
#[derive(Debug, Default)]
pub(crate) struct Added {
    pub files: Vec<DataFile>,
    pub manifest: Option<ManifestFile>,
}

impl Added {
    /// Writes the manifest of `files`, all data or all deletes, at `location`.
    pub async fn write(
        io: &FileIO,
        metadata: &TableMetadata,
        snapshot_id: i64,
        content: ManifestContentType,
        location: String,
        files: Vec<DataFile>,
    ) -> Result<Self> {
        if files.is_empty() {
            return Ok(Self::default());
        }
        let spec = file_spec(metadata)
            .ok_or_else(|| unsupported("the table has lost the partition spec of its files"))?;
        let builder = ManifestWriterBuilder::new(
            io.new_output(location)?,
            Some(snapshot_id),
            metadata.current_schema().clone(),
            spec.as_ref().clone(),
        );
        use ManifestContentType::{Data, Deletes};
        let mut writer = match (metadata.format_version(), content) {
            (FormatVersion::V1, _) => {
                return Err(unsupported("format version 1 has no sequence numbers"));
            }
            (FormatVersion::V2, Data) => builder.build_v2_data(),
            (FormatVersion::V2, Deletes) => builder.build_v2_deletes(),
            (FormatVersion::V3, Data) => builder.build_v3_data(),
            // New deletes of version 3 have to be vectors, which not all readers know.
            (FormatVersion::V3, Deletes) => {
                return Err(unsupported("deletes by position in format version 3"));
            }
        };
        for file in &files {
            writer.add_file(file.clone(), INHERIT_SEQUENCE_NUMBER)?;
        }
        let manifest = Some(writer.write_manifest_file().await?);
        Ok(Self { files, manifest })
    }

    /// Where the manifest is.
    pub fn manifest_path(&self) -> Option<String> {
        let manifest = self.manifest.as_ref()?;
        Some(manifest.manifest_path.clone())
    }
}

/// The parts of a tier snapshot that do not depend on what it follows, and the deletes, which do.
#[derive(Debug)]
pub(crate) struct Parts {
    pub snapshot_id: i64,
    pub commit_id: Uuid,
    pub rows: Added,
    /// Keyed tables only: deletes of rows in files of the snapshot that this one follows.
    pub deletes: Added,
}

impl Parts {
    /// A snapshot that adds nothing.
    pub fn empty(snapshot_id: i64, commit_id: Uuid) -> Self {
        Self {
            snapshot_id,
            commit_id,
            rows: Added::default(),
            deletes: Added::default(),
        }
    }
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

impl Removed {
    fn count(&mut self, file: &DataFile) {
        self.files += 1;
        self.rows += file.record_count();
        self.bytes += file.file_size_in_bytes();
    }
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
    ///
    /// # Errors
    /// Where one of the files is in no manifest that can be written anew: its rows would be doubled.
    pub async fn without(
        io: &FileIO,
        metadata: &TableMetadata,
        gone: &BTreeSet<String>,
        snapshot_id: i64,
        id: Uuid,
    ) -> Result<Self> {
        let whole = Self::whole(io, metadata).await?;
        let mut base = Self::default();
        let content = ManifestContentType::Data;
        let mut packer = Packer::new(io, metadata, content, snapshot_id, id, MANIFEST_BYTES);
        for manifest in whole.manifests {
            if !is_ours(metadata, &manifest, content) {
                base.manifests.push(manifest);
                continue;
            }
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
                if gone.contains(entry.file_path()) {
                    base.removed.count(entry.data_file());
                    packer.delete(entry)?;
                } else {
                    packer.keep(entry)?;
                }
            }
        }
        if base.removed.files != gone.len() as u64 {
            return Err(unsupported("not all of the files to replace are ours"));
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
    parts: &Parts,
    base: Base,
    attempt: u32,
    now_ms: i64,
    properties: HashMap<String, String>,
) -> Result<Snapshot> {
    let parent = metadata.current_snapshot();
    let mut manifests = base.manifests;
    manifests.extend(parts.rows.manifest.clone());
    manifests.extend(parts.deletes.manifest.clone());
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
    parts: &Parts,
    removed: Removed,
    parent: Option<&Summary>,
    mut properties: HashMap<String, String>,
) -> Summary {
    let sum = |added: &Added, of: fn(&DataFile) -> u64| added.files.iter().map(of).sum::<u64>();
    let (rows, deletes) = (&parts.rows, &parts.deletes);
    let bytes = DataFile::file_size_in_bytes;
    let bytes = sum(rows, bytes) + sum(deletes, bytes);
    let delete_files = deletes.files.len() as u64;
    let deleted = sum(deletes, DataFile::record_count);
    let changes = [
        ("added-data-files", rows.files.len() as u64),
        ("added-records", sum(rows, DataFile::record_count)),
        ("added-files-size", bytes),
        ("added-delete-files", delete_files),
        ("added-position-delete-files", delete_files),
        ("added-position-deletes", deleted),
        ("deleted-data-files", removed.files),
        ("deleted-records", removed.rows),
        ("removed-files-size", removed.bytes),
    ];
    let stated = changes.into_iter().filter(|(_, count)| *count > 0);
    properties.extend(stated.map(|(what, count)| (what.to_owned(), count.to_string())));
    let rolled = [
        ("total-data-files", rows.files.len() as u64, removed.files),
        (
            "total-records",
            sum(rows, DataFile::record_count),
            removed.rows,
        ),
        ("total-files-size", bytes, removed.bytes),
        ("total-delete-files", delete_files, 0),
        ("total-position-deletes", deleted, 0),
        ("total-equality-deletes", 0, 0),
    ];
    for (total, plus, minus) in rolled {
        let before = match parent {
            None => Some(0),
            Some(parent) => parent
                .additional_properties
                .get(total)
                .and_then(|count| count.parse::<u64>().ok()),
        };
        if let Some(after) = before.and_then(|before| (before + plus).checked_sub(minus)) {
            properties.insert(total.to_owned(), after.to_string());
        }
    }
    Summary {
        operation: operation(parts, removed),
        additional_properties: properties,
    }
}

/// As the specification words it: what takes rows out deletes, and overwrites if it puts some in too.
fn operation(parts: &Parts, removed: Removed) -> Operation {
    let adds = !parts.rows.files.is_empty();
    let takes_out = removed.files > 0 || !parts.deletes.files.is_empty();
    match (adds, takes_out) {
        (_, false) => Operation::Append,
        (false, true) => Operation::Delete,
        (true, true) => Operation::Overwrite,
    }
}

fn unsupported(message: &str) -> Error {
    Error::new(ErrorKind::FeatureUnsupported, message)
}
