//! Merging manifests: one comes with every tier commit, and a reader opens them all.

use async_trait::async_trait;
use iceberg::spec::{ManifestContentType, ManifestFile, TableMetadata};

use super::error::MaintainError;
use super::packer::Packer;
use super::policy::Merging;
use super::replace::{self, Outcome, Rewrite, Rewritten, Totals, is_ours};
use super::report::{Change, StepReport};
use super::schedule::Step;
use super::site::Site;
use crate::snapshot::manifests;

/// Bytes of manifests that one merge reads, in targets.
const TARGETS_MAX: u64 = 4;

struct Merge {
    policy: Merging,
}

/// Merges the small manifests of the current snapshot if there are many.
pub(super) async fn run(site: &Site<'_>, policy: Merging) -> Result<StepReport, MaintainError> {
    let mut report = StepReport::nothing(Step::Merge);
    let (table, _) = site.load().await?;
    let Some(snapshot) = table.metadata.current_snapshot() else {
        return Ok(report);
    };
    let before = manifests(site.io(), &table.metadata, snapshot).await?;
    if chosen(&table.metadata, &before, policy).is_none() {
        return Ok(report);
    }
    let merge = Merge { policy };
    let Outcome::Committed(table) = replace::commit(site, &merge).await? else {
        return Ok(report);
    };
    if let Some(snapshot) = table.metadata.current_snapshot() {
        let after = manifests(site.io(), &table.metadata, snapshot).await?;
        report.more = chosen(&table.metadata, &after, policy).is_some();
        report.manifests = Change::new(before.len(), after.len());
    }
    Ok(report)
}

/// The small manifests of one content, if they are many: as many of them as one merge takes.
fn chosen<'a>(
    metadata: &TableMetadata,
    manifests: &'a [ManifestFile],
    policy: Merging,
) -> Option<(ManifestContentType, Vec<&'a ManifestFile>)> {
    let contents = [ManifestContentType::Data, ManifestContentType::Deletes];
    contents.into_iter().find_map(|content| {
        let ours = |one: &&ManifestFile| is_ours(metadata, one, content);
        let small = small(manifests.iter().filter(ours), policy)?;
        Some((content, small))
    })
}

fn small<'a>(
    manifests: impl Iterator<Item = &'a ManifestFile>,
    policy: Merging,
) -> Option<Vec<&'a ManifestFile>> {
    let bytes = |manifest: &ManifestFile| manifest.manifest_length.unsigned_abs();
    let small: Vec<_> = manifests
        .filter(|manifest| bytes(manifest) < policy.target_bytes / 2)
        .collect();
    if small.len() < policy.small_max.max(2) {
        return None;
    }
    let mut total = 0;
    let fits = |manifest: &&ManifestFile| {
        total += bytes(manifest);
        total <= policy.target_bytes * TARGETS_MAX
    };
    Some(small.into_iter().take_while(fits).collect())
}

#[async_trait]
impl Rewrite for Merge {
    fn name(&self) -> &'static str {
        "merge-manifests"
    }

    async fn apply(
        &self,
        site: &Site<'_>,
        metadata: &TableMetadata,
        current: Vec<ManifestFile>,
        snapshot_id: i64,
    ) -> Result<Option<Rewritten>, MaintainError> {
        let Some((content, small)) = chosen(metadata, &current, self.policy) else {
            return Ok(None);
        };
        let id = site.env.uuid();
        let target = self.policy.target_bytes;
        let mut packer = Packer::new(site.io(), metadata, content, snapshot_id, id, target);
        for manifest in &small {
            let bytes = manifest.manifest_length.unsigned_abs();
            packer.make_room(bytes).await?;
            let manifest = manifest.load_manifest(site.io()).await?;
            for entry in manifest.entries().iter().filter(|entry| entry.is_alive()) {
                packer.keep(entry)?;
            }
        }
        let merged = packer.finish().await?;
        let written = merged.iter().map(|m| m.manifest_path.clone()).collect();
        let others = current.iter().filter(|one| {
            let path = &one.manifest_path;
            !small.iter().any(|merged| merged.manifest_path == *path)
        });
        let manifests = others.cloned().chain(merged).collect();
        Ok(Some(Rewritten {
            manifests,
            written,
            totals: Totals::default(),
        }))
    }
}
