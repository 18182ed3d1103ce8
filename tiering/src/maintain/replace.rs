//! A snapshot with the same rows in other files: the commit of merging and of compaction.
//!
//! Before every attempt the table is loaded again, and the rewrite looks whether it still applies;
//! the attempt asserts what was looked at, so nothing comes in between. A tier commit that was
//! faster costs one more attempt and no row: the manifests are made anew on top of it. All attempts
//! carry one snapshot id, by which a commit of unknown outcome is recognised.
//!
//! The snapshot says nothing of offsets: the mark is read through it, like through a foreign one.

use std::collections::HashMap;

use async_trait::async_trait;
use iceberg::spec::{
    FormatVersion, ManifestContentType, ManifestFile, Operation, Snapshot, Summary, TableMetadata,
};
use tracing::{info, warn};

use super::error::MaintainError;
use super::site::Site;
use crate::commit::{set_main, unchanged};
use crate::env;
use crate::port::{CommitRequest, LoadedTable, PortError};
use crate::snapshot::{NewSnapshot, manifests};
use crate::table::file_spec;

/// Key in the summary of a maintenance snapshot: what was done.
pub const MAINTENANCE_KEY: &str = "tidelog.maintenance";

/// Manifests for a snapshot that replaces the current one.
pub(super) struct Rewritten {
    /// All of the snapshot's.
    pub manifests: Vec<ManifestFile>,
    /// Those written for it.
    pub written: Vec<String>,
    pub totals: Totals,
}

/// What a rewrite takes out and puts in.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    pub files_out: u64,
    pub files_in: u64,
    pub bytes_out: u64,
    pub bytes_in: u64,
    /// Rows in data files, deleted ones too.
    pub rows_out: u64,
    pub rows_in: u64,
    pub delete_files_out: u64,
    pub delete_files_in: u64,
    /// Deletes in delete files.
    pub deletes_out: u64,
    pub deletes_in: u64,
}

/// A change of files that changes no row.
#[async_trait]
pub(super) trait Rewrite: Send + Sync {
    /// For the summary.
    fn name(&self) -> &'static str;

    /// The manifests with the change on top of `current`; `None` if it does not apply (any more).
    async fn apply(
        &self,
        site: &Site<'_>,
        metadata: &TableMetadata,
        current: Vec<ManifestFile>,
        snapshot_id: i64,
    ) -> Result<Option<Rewritten>, MaintainError>;
}

/// How a rewrite ended well.
pub(super) enum Outcome {
    Committed(LoadedTable),
    /// Nothing to do, or no longer possible; nothing was changed.
    NotApplicable,
}

/// Whether files of this table can be rewritten: what we know to rewrite is what tiering writes.
/// Row ids of format version 3 would be lost, and foreign specs are not ours to lay out.
pub(crate) fn can_rewrite(metadata: &TableMetadata) -> bool {
    metadata.format_version() == FormatVersion::V2 && file_spec(metadata).is_some()
}

/// Whether a manifest lists files of this content for the spec that ours are written for.
pub(crate) fn is_ours(
    metadata: &TableMetadata,
    manifest: &ManifestFile,
    content: ManifestContentType,
) -> bool {
    let spec_id = file_spec(metadata).map(|spec| spec.spec_id());
    manifest.content == content && Some(manifest.partition_spec_id) == spec_id
}

/// Commits `rewrite`. Manifests of attempts that certainly failed are deleted again.
pub(super) async fn commit(
    site: &Site<'_>,
    rewrite: &dyn Rewrite,
) -> Result<Outcome, MaintainError> {
    let snapshot_id = env::snapshot_id(site.env.uuid());
    let mut unknown: Option<String> = None;
    // One round more than attempts: the last only looks.
    for attempt in 0..=site.attempts_max {
        let resolve = |error: MaintainError| match &unknown {
            None => error,
            Some(reason) => unresolved(snapshot_id, reason),
        };
        let (table, _) = site.load().await.map_err(resolve)?;
        if table.metadata.snapshot_by_id(snapshot_id).is_some() {
            return Ok(Outcome::Committed(table));
        }
        if attempt == site.attempts_max {
            break;
        }
        let Some((request, written)) = Box::pin(attempt_on(site, rewrite, &table, snapshot_id))
            .await
            .map_err(resolve)?
        else {
            return match unknown {
                None => Ok(Outcome::NotApplicable),
                Some(reason) => Err(unresolved(snapshot_id, &reason)),
            };
        };
        match site.port.commit(site.table, request).await {
            Ok(table) => {
                let what = rewrite.name();
                info!(table = %site.table, snapshot_id, what, "maintained");
                return Ok(Outcome::Committed(table));
            }
            Err(PortError::Unknown(reason)) => {
                warn!(table = %site.table, snapshot_id, attempt, reason, "outcome unknown");
                unknown = Some(reason);
            }
            Err(error) => {
                site.discard(&written).await;
                match error {
                    PortError::Conflict(reason) => {
                        info!(table = %site.table, snapshot_id, attempt, reason, "conflict");
                    }
                    error => return Err(resolve(error.into())),
                }
            }
        }
    }
    Err(match unknown {
        None => MaintainError::Crowded {
            attempts: site.attempts_max,
        },
        Some(reason) => unresolved(snapshot_id, &reason),
    })
}

fn unresolved(snapshot_id: i64, reason: &str) -> MaintainError {
    MaintainError::Unresolved {
        snapshot_id,
        reason: reason.to_owned(),
    }
}

/// The request of one attempt, and the files written for it.
async fn attempt_on(
    site: &Site<'_>,
    rewrite: &dyn Rewrite,
    table: &LoadedTable,
    snapshot_id: i64,
) -> Result<Option<(CommitRequest, Vec<String>)>, MaintainError> {
    let metadata = &table.metadata;
    let Some(current) = metadata.current_snapshot() else {
        return Ok(None);
    };
    if !can_rewrite(metadata) {
        return Ok(None);
    }
    let before = manifests(site.io(), metadata, current).await?;
    let Some(rewritten) = rewrite.apply(site, metadata, before, snapshot_id).await? else {
        return Ok(None);
    };
    let list = format!(
        "{}/metadata/snap-{snapshot_id}-{}.avro",
        metadata.location(),
        site.env.uuid()
    );
    let mut written = rewritten.written;
    written.push(list.clone());
    let new = NewSnapshot {
        snapshot_id,
        list,
        manifests: rewritten.manifests,
        now_ms: site.now_ms,
        summary: summary(rewrite.name(), rewritten.totals, current),
    };
    let request = CommitRequest {
        requirements: unchanged(metadata),
        updates: set_main(new.write(site.io(), metadata).await?),
    };
    Ok(Some((request, written)))
}

/// What went out and came in, and the parent's totals rolled forward where it states them.
fn summary(what: &str, totals: Totals, parent: &Snapshot) -> Summary {
    let mut properties = HashMap::from([(MAINTENANCE_KEY.to_owned(), what.to_owned())]);
    let counts = [
        ("added-data-files", totals.files_in),
        ("deleted-data-files", totals.files_out),
        ("added-records", totals.rows_in),
        ("deleted-records", totals.rows_out),
        ("added-files-size", totals.bytes_in),
        ("removed-files-size", totals.bytes_out),
        ("added-delete-files", totals.delete_files_in),
        ("added-position-delete-files", totals.delete_files_in),
        ("removed-delete-files", totals.delete_files_out),
        ("removed-position-delete-files", totals.delete_files_out),
        ("added-position-deletes", totals.deletes_in),
        ("removed-position-deletes", totals.deletes_out),
    ];
    let stated = counts.into_iter().filter(|(_, count)| *count > 0);
    properties.extend(stated.map(|(what, count)| (what.to_owned(), count.to_string())));
    let rolled = [
        ("total-data-files", totals.files_in, totals.files_out),
        ("total-files-size", totals.bytes_in, totals.bytes_out),
        ("total-records", totals.rows_in, totals.rows_out),
        (
            "total-delete-files",
            totals.delete_files_in,
            totals.delete_files_out,
        ),
        (
            "total-position-deletes",
            totals.deletes_in,
            totals.deletes_out,
        ),
        ("total-equality-deletes", 0, 0),
    ];
    let before = &parent.summary().additional_properties;
    for (total, plus, minus) in rolled {
        let after = before
            .get(total)
            .and_then(|count| count.parse::<u64>().ok())
            .and_then(|count| (count + plus).checked_sub(minus));
        if let Some(after) = after {
            properties.insert(total.to_owned(), after.to_string());
        }
    }
    Summary {
        operation: Operation::Replace,
        additional_properties: properties,
    }
}
