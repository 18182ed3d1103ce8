//! Entries of old manifests, written into new ones of a bounded size.
//!
//! Entries keep the snapshot and sequence numbers they came with: what is rewritten here is the
//! list, not the files in it.

use std::collections::BTreeMap;

use iceberg::io::FileIO;
use iceberg::spec::{
    DataFile, ManifestContentType, ManifestEntry, ManifestFile, ManifestWriter,
    ManifestWriterBuilder, TableMetadata,
};
use iceberg::{Error, ErrorKind, Result};
use uuid::Uuid;

use super::replace::is_ours;
use crate::table::file_spec;

/// Writes manifests of one content for the spec of the table's files, format version 2.
pub(crate) struct Packer<'a> {
    io: &'a FileIO,
    metadata: &'a TableMetadata,
    content: ManifestContentType,
    snapshot_id: i64,
    /// Begins the names of the manifests.
    id: Uuid,
    target_bytes: u64,
    open: Option<ManifestWriter>,
    open_bytes: u64,
    done: Vec<ManifestFile>,
}

impl<'a> Packer<'a> {
    pub fn new(
        io: &'a FileIO,
        metadata: &'a TableMetadata,
        content: ManifestContentType,
        snapshot_id: i64,
        id: Uuid,
        target_bytes: u64,
    ) -> Self {
        Self {
            io,
            metadata,
            content,
            snapshot_id,
            id,
            target_bytes,
            open: None,
            open_bytes: 0,
            done: Vec::new(),
        }
    }

    /// Announces the entries of a manifest of this size; begins a new one if they will not fit.
    pub async fn make_room(&mut self, bytes: u64) -> Result<()> {
        if self.open_bytes > 0 && self.open_bytes + bytes > self.target_bytes {
            self.roll().await?;
        }
        self.open_bytes += bytes;
        Ok(())
    }

    /// Carries a live entry over.
    pub fn keep(&mut self, entry: &ManifestEntry) -> Result<()> {
        let (snapshot_id, sequence_number) = origin(entry)?;
        let file = entry.data_file().clone();
        self.writer()?.add_existing_file(
            file,
            snapshot_id,
            sequence_number,
            entry.file_sequence_number,
        )
    }

    /// Says that this snapshot took a live entry out.
    pub fn delete(&mut self, entry: &ManifestEntry) -> Result<()> {
        let (_, sequence_number) = origin(entry)?;
        let file = entry.data_file().clone();
        self.writer()?
            .add_delete_file(file, sequence_number, entry.file_sequence_number)
    }

    /// Puts in a file whose rows are as old as `sequence_number`.
    pub fn add(&mut self, file: DataFile, sequence_number: i64) -> Result<()> {
        self.writer()?.add_file(file, sequence_number)
    }

    /// Says of the files `left`, given with their sequence numbers, that this snapshot took them
    /// out, and carries over what stood beside them. Gives those of the `current` manifests that
    /// hold none of them; `None` if not all of the files are there, and as old as they were.
    pub async fn take_out(
        &mut self,
        current: impl IntoIterator<Item = ManifestFile>,
        mut left: BTreeMap<&str, i64>,
    ) -> Result<Option<Vec<ManifestFile>>> {
        let mut kept = Vec::new();
        for manifest in current {
            if left.is_empty() || !is_ours(self.metadata, &manifest, self.content) {
                kept.push(manifest);
                continue;
            }
            let loaded = manifest.load_manifest(self.io).await?;
            let alive = || loaded.entries().iter().filter(|entry| entry.is_alive());
            if !alive().any(|entry| left.contains_key(entry.file_path())) {
                kept.push(manifest);
                continue;
            }
            self.make_room(manifest.manifest_length.unsigned_abs())
                .await?;
            for entry in alive() {
                match left.remove(entry.file_path()) {
                    Some(age) if entry.sequence_number() == Some(age) => self.delete(entry)?,
                    // The path is back with other rows behind it: not ours to judge.
                    Some(_) => return Ok(None),
                    None => self.keep(entry)?,
                }
            }
        }
        Ok(left.is_empty().then_some(kept))
    }

    /// The manifests written.
    pub async fn finish(mut self) -> Result<Vec<ManifestFile>> {
        self.roll().await?;
        Ok(self.done)
    }

    async fn roll(&mut self) -> Result<()> {
        self.open_bytes = 0;
        if let Some(writer) = self.open.take() {
            self.done.push(writer.write_manifest_file().await?);
        }
        Ok(())
    }

    fn writer(&mut self) -> Result<&mut ManifestWriter> {
        let writer = match self.open.take() {
            Some(writer) => writer,
            None => self.begin()?,
        };
        Ok(self.open.insert(writer))
    }

    fn begin(&self) -> Result<ManifestWriter> {
        let spec = file_spec(self.metadata)
            .ok_or_else(|| Error::new(ErrorKind::FeatureUnsupported, "no spec for its files"))?;
        let number = self.done.len();
        let location = format!(
            "{}/metadata/{}-m{number}.avro",
            self.metadata.location(),
            self.id
        );
        let builder = ManifestWriterBuilder::new(
            self.io.new_output(location)?,
            Some(self.snapshot_id),
            self.metadata.current_schema().clone(),
            spec.as_ref().clone(),
        );
        Ok(match self.content {
            ManifestContentType::Data => builder.build_v2_data(),
            ManifestContentType::Deletes => builder.build_v2_deletes(),
        })
    }
}

/// In which snapshot an entry came, and how old its rows are.
fn origin(entry: &ManifestEntry) -> Result<(i64, i64)> {
    let origin = entry.snapshot_id().zip(entry.sequence_number());
    origin.ok_or_else(|| {
        let message = format!("{} came without a sequence number", entry.file_path());
        Error::new(ErrorKind::DataInvalid, message)
    })
}
