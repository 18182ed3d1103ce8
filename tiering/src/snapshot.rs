//! An append snapshot made by hand: manifest, manifest list, summary.
//!
//! The manifest of the added files is written once per commit; the manifest list depends on the
//! snapshot it follows and is written anew for each attempt, under a name of its own.

use std::collections::HashMap;

use iceberg::io::FileIO;
use iceberg::spec::{
    DataFile, FormatVersion, ManifestFile, ManifestList, ManifestListWriter, ManifestWriterBuilder,
    Operation, PartitionSpecRef, Snapshot, Summary, TableMetadata,
};
use iceberg::{Error, ErrorKind, Result};
use uuid::Uuid;

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

/// Writes the manifest list of `parts` on top of the table's current snapshot and gives the
/// snapshot that names it. `attempt` keeps the names of several tries apart.
pub(crate) async fn write_snapshot(
    io: &FileIO,
    metadata: &TableMetadata,
    parts: &AppendParts,
    attempt: u32,
    now_ms: i64,
    properties: HashMap<String, String>,
) -> Result<Snapshot> {
    let parent = metadata.current_snapshot();
    let mut manifests = match parent {
        Some(snapshot) => manifests(io, metadata, snapshot).await?,
        None => Vec::new(),
    };
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
        summary: summary(parts, parent.map(|snapshot| snapshot.summary()), properties),
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

/// What was added, and the totals rolled forward from the parent. A total is left out when a
/// foreign parent does not state it: a wrong one is worse than none.
fn summary(
    parts: &AppendParts,
    parent: Option<&Summary>,
    mut properties: HashMap<String, String>,
) -> Summary {
    let sum = |of: fn(&DataFile) -> u64| parts.data_files.iter().map(of).sum::<u64>();
    let counts = [
        ("data-files", parts.data_files.len() as u64),
        ("records", sum(DataFile::record_count)),
        ("files-size", sum(DataFile::file_size_in_bytes)),
        ("delete-files", 0),
        ("position-deletes", 0),
        ("equality-deletes", 0),
    ];
    for (what, added) in counts {
        if added > 0 {
            properties.insert(format!("added-{what}"), added.to_string());
        }
        let total = format!("total-{what}");
        let before = match parent {
            None => Some(0),
            Some(parent) => parent
                .additional_properties
                .get(&total)
                .and_then(|n| n.parse().ok()),
        };
        if let Some(before) = before {
            properties.insert(total, (before + added).to_string());
        }
    }
    Summary {
        operation: Operation::Append,
        additional_properties: properties,
    }
}

fn unsupported(message: &str) -> Error {
    Error::new(ErrorKind::FeatureUnsupported, message)
}
