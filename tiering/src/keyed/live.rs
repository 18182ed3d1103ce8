//! The files of a snapshot of a keyed table, by Kafka partition, and the rows deleted in them.
//!
//! Manifests never change, so what stands in them is kept from snapshot to snapshot: a commit costs
//! the reading of the manifests that came since. Memory: some hundred bytes per file.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use iceberg::Error;
use iceberg::io::FileIO;
use iceberg::spec::{
    DataContentType, DataFile, DataFileFormat, ManifestEntry, ManifestFile, PrimitiveLiteral,
    TableMetadata,
};
use roaring::RoaringTreemap;
use thiserror::Error;

use super::delete_file;
use crate::mark::Suspension;
use crate::schema::id;
use crate::snapshot::manifests;
use crate::table::file_spec;
use crate::union::bounds;

/// Why the files of a snapshot are not known.
#[derive(Debug, Error)]
pub enum LiveError {
    #[error(transparent)]
    Files(#[from] Error),
    /// Somebody put a file there that deletes by position cannot be made for.
    #[error("{location}: {reason}")]
    Foreign {
        location: String,
        reason: &'static str,
    },
}

impl LiveError {
    /// What this means for tiering, if it is not mere trouble with files.
    pub(crate) fn suspension(self) -> Result<Suspension, Error> {
        match self {
            Self::Files(error) => Err(error),
            Self::Foreign { location, reason } => Ok(Suspension::ForeignFile {
                location,
                reason: reason.to_owned(),
            }),
        }
    }
}

/// A live data file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DataEntry {
    pub location: String,
    pub rows: u64,
    pub bytes: u64,
    /// Age of the rows.
    pub sequence_number: i64,
    /// Lowest and highest offset, if stated.
    pub offsets: Option<(i64, i64)>,
    pub sort_order_id: Option<i32>,
}

/// A live file of deletes by position.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DeleteEntry {
    pub location: String,
    /// Deletes in it, of files long gone too.
    pub rows: u64,
    pub bytes: u64,
    pub sequence_number: i64,
}

/// The live files of one Kafka partition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Live {
    pub data: Vec<DataEntry>,
    pub deletes: Vec<DeleteEntry>,
}

#[derive(Debug, Clone)]
enum Entry {
    Data(DataEntry),
    Delete(DeleteEntry),
}

type Loaded = Arc<Vec<(i32, Entry)>>;

/// What stands in manifests.
#[derive(Debug, Default)]
pub(crate) struct Manifests {
    loaded: HashMap<String, Loaded>,
}

impl Manifests {
    /// The live files of the table's current snapshot.
    pub async fn live(
        &mut self,
        io: &FileIO,
        metadata: &TableMetadata,
    ) -> Result<BTreeMap<i32, Live>, LiveError> {
        let listed = match metadata.current_snapshot() {
            Some(snapshot) => manifests(io, metadata, snapshot).await?,
            None => Vec::new(),
        };
        let live = self.live_in(io, metadata, &listed).await?;
        let is_listed = |path: &String| listed.iter().any(|one| one.manifest_path == *path);
        self.loaded.retain(|path, _| is_listed(path));
        Ok(live)
    }

    /// The live files that `listed` manifests name.
    pub async fn live_in(
        &mut self,
        io: &FileIO,
        metadata: &TableMetadata,
        listed: &[ManifestFile],
    ) -> Result<BTreeMap<i32, Live>, LiveError> {
        let spec_id = file_spec(metadata).map(|spec| spec.spec_id());
        let mut all: BTreeMap<i32, Live> = BTreeMap::new();
        for manifest in listed {
            let is_ours = Some(manifest.partition_spec_id) == spec_id;
            let loaded = self.load(io, manifest, is_ours).await?;
            for (partition, entry) in loaded.iter() {
                let live = all.entry(*partition).or_default();
                match entry.clone() {
                    Entry::Data(entry) => live.data.push(entry),
                    Entry::Delete(entry) => live.deletes.push(entry),
                }
            }
        }
        for live in all.values_mut() {
            let age = |entry: &DataEntry| (entry.sequence_number, entry.location.clone());
            live.data.sort_by_cached_key(age);
        }
        Ok(all)
    }

    async fn load(
        &mut self,
        io: &FileIO,
        manifest: &ManifestFile,
        is_ours: bool,
    ) -> Result<Loaded, LiveError> {
        if let Some(loaded) = self.loaded.get(&manifest.manifest_path) {
            return Ok(Arc::clone(loaded));
        }
        let entries = manifest.load_manifest(io).await?;
        let alive = entries.entries().iter().filter(|entry| entry.is_alive());
        let read = alive.map(|entry| read(entry, manifest, is_ours));
        let loaded: Loaded = Arc::new(read.collect::<Result<_, _>>()?);
        let path = manifest.manifest_path.clone();
        self.loaded.insert(path, Arc::clone(&loaded));
        Ok(loaded)
    }
}

fn read(
    entry: &ManifestEntry,
    manifest: &ManifestFile,
    is_ours: bool,
) -> Result<(i32, Entry), LiveError> {
    let file = entry.data_file();
    let foreign = |reason| LiveError::Foreign {
        location: file.file_path().to_owned(),
        reason,
    };
    if !is_ours {
        return Err(foreign("it is of another partition spec"));
    }
    if file.file_format() != DataFileFormat::Parquet {
        return Err(foreign("it is no Parquet file"));
    }
    let partition = partition_of(file).ok_or_else(|| foreign("it has no partition"))?;
    let location = file.file_path().to_owned();
    let (rows, bytes) = (file.record_count(), file.file_size_in_bytes());
    let sequence_number = entry.sequence_number();
    let sequence_number = sequence_number.unwrap_or(manifest.sequence_number);
    let entry = match file.content_type() {
        DataContentType::Data => Entry::Data(DataEntry {
            location,
            rows,
            bytes,
            sequence_number,
            offsets: bounds(file, id::OFFSET),
            sort_order_id: file.sort_order_id(),
        }),
        DataContentType::PositionDeletes => Entry::Delete(DeleteEntry {
            location,
            rows,
            bytes,
            sequence_number,
        }),
        DataContentType::EqualityDeletes => return Err(foreign("it deletes by key")),
    };
    Ok((partition, entry))
}

fn partition_of(file: &DataFile) -> Option<i32> {
    match file.partition().iter().next()??.as_primitive_literal()? {
        PrimitiveLiteral::Int(partition) => Some(partition),
        _ => None,
    }
}

/// The positions deleted in each data file of a partition. Deletes of files that are not live, or
/// younger than the delete, count for nothing.
pub(crate) async fn dead_rows(
    io: &FileIO,
    live: &Live,
) -> iceberg::Result<HashMap<String, RoaringTreemap>> {
    let ages: HashMap<&str, i64> = live
        .data
        .iter()
        .map(|file| (file.location.as_str(), file.sequence_number))
        .collect();
    let mut dead: HashMap<String, RoaringTreemap> = HashMap::new();
    for file in &live.deletes {
        delete_file::read(io, file, &ages, &mut dead).await?;
    }
    Ok(dead)
}
