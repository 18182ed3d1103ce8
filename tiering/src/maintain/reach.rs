//! Which files snapshots reach: manifest lists, the manifests in them, the files in those.
//!
//! Files are compared by [`key`], because writers differ in how they spell a local path.

use std::collections::{BTreeMap, BTreeSet};

use iceberg::Result;
use iceberg::io::FileIO;
use iceberg::spec::{ManifestFile, SnapshotRef, TableMetadata};

use crate::snapshot::manifests;

/// Locations by their key.
pub(super) type Locations = BTreeMap<String, String>;

/// One spelling of a location: `file:/a`, `file:///a` and `/a` are the same file.
pub(super) fn key(location: &str) -> String {
    match location.strip_prefix("file:") {
        Some(path) => format!("/{}", path.trim_start_matches('/')),
        None => location.to_owned(),
    }
}

fn add(locations: &mut Locations, location: &str) {
    locations.insert(key(location), location.to_owned());
}

/// What `removed` snapshots reach and the snapshots of `metadata` do not. The removed ones' files
/// must all be there still.
pub(super) async fn only_in(
    io: &FileIO,
    metadata: &TableMetadata,
    removed: &[SnapshotRef],
) -> Result<Locations> {
    let mut lost = Locations::new();
    let mut lost_manifests = BTreeMap::new();
    for snapshot in removed {
        add(&mut lost, snapshot.manifest_list());
        for manifest in manifests(io, metadata, snapshot).await? {
            lost_manifests.insert(key(&manifest.manifest_path), manifest);
        }
    }
    let kept = Kept::of(io, metadata).await?;
    lost_manifests.retain(|key, _| !kept.manifests.contains_key(key));
    for manifest in lost_manifests.values() {
        add(&mut lost, &manifest.manifest_path);
        for entry in manifest.load_manifest(io).await?.entries() {
            add(&mut lost, entry.file_path());
        }
    }
    let has_files = !lost_manifests.is_empty();
    kept.subtract(io, &mut lost, has_files).await?;
    Ok(lost)
}

/// Takes from `locations` whatever a snapshot or the metadata itself names.
pub(super) async fn subtract_reachable(
    io: &FileIO,
    metadata: &TableMetadata,
    locations: &mut Locations,
) -> Result<()> {
    for log in metadata.metadata_log() {
        locations.remove(&key(&log.metadata_file));
    }
    let kept = Kept::of(io, metadata).await?;
    kept.subtract(io, locations, true).await
}

/// What the snapshots of a table name, but for what stands in their manifests.
struct Kept {
    /// Keys of manifest lists and statistics.
    named: BTreeSet<String>,
    manifests: BTreeMap<String, ManifestFile>,
}

impl Kept {
    async fn of(io: &FileIO, metadata: &TableMetadata) -> Result<Self> {
        let mut named = BTreeSet::new();
        let mut all = BTreeMap::new();
        for snapshot in metadata.snapshots() {
            named.insert(key(snapshot.manifest_list()));
            for manifest in manifests(io, metadata, snapshot).await? {
                all.insert(key(&manifest.manifest_path), manifest);
            }
        }
        let statistics = metadata.statistics_iter().map(|file| &file.statistics_path);
        let by_partition = metadata
            .partition_statistics_iter()
            .map(|file| &file.statistics_path);
        named.extend(statistics.chain(by_partition).map(|path| key(path)));
        Ok(Self {
            named,
            manifests: all,
        })
    }

    /// `has_files`: there may be files among `locations` that only a manifest can name.
    async fn subtract(
        &self,
        io: &FileIO,
        locations: &mut Locations,
        has_files: bool,
    ) -> Result<()> {
        let is_kept = |key: &String| self.named.contains(key) || self.manifests.contains_key(key);
        locations.retain(|key, _| !is_kept(key));
        if !has_files {
            return Ok(());
        }
        for manifest in self.manifests.values() {
            if locations.is_empty() {
                break;
            }
            let manifest = manifest.load_manifest(io).await?;
            for entry in manifest.entries().iter().filter(|entry| entry.is_alive()) {
                locations.remove(&key(entry.file_path()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_local_path_meet() {
        for location in ["file:/a/b", "file:///a/b", "/a/b"] {
            assert_eq!(key(location), "/a/b");
        }
        assert_eq!(key("s3://a/b"), "s3://a/b");
    }
}
