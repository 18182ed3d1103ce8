//! Removing snapshots by age, and finding what only they reached.
//!
//! Kept besides what [`thinning`](super::thinning) keeps: the current snapshot, the snapshot of the
//! last tier commit, whatever a branch or tag names, what else lies on a branch other than main,
//! and what the caller pins. Of a keyed table also what came after the last tier commit, by which the
//! next one sees that nobody else changed rows. A table that has lost its ledger keeps everything until the next tier
//! commit writes it: until then the chain of summaries is all that tells the mark.

use std::collections::{BTreeMap, BTreeSet};

use iceberg::spec::{MAIN_BRANCH, SnapshotRef, SnapshotReference, TableMetadata};
use iceberg::{TableRequirement, TableUpdate};
use serde::Deserialize;
use tracing::{info, warn};

use super::error::MaintainError;
use super::policy::Thinning;
use super::reach::{Locations, only_in};
use super::report::{Change, StepReport};
use super::schedule::Step;
use super::site::{Site, owns_files};
use super::thinning::{Moment, removable};
use crate::mark::{LEDGER_PROPERTY, Ledger};
use crate::port::{CommitRequest, LoadedTable, PortError};
use crate::table::Kind;

/// Removes what may go. Gives the report and the files nothing reaches since.
pub(super) async fn run(
    site: &Site<'_>,
    policy: Thinning,
    pinned: &BTreeSet<i64>,
) -> Result<(StepReport, Locations), MaintainError> {
    let mut report = StepReport::nothing(Step::Thin);
    let Some(thinned) = remove(site, policy, pinned).await? else {
        return Ok((report, Locations::new()));
    };
    let metadata = &thinned.table.metadata;
    let doomed = only_in(site.io(), metadata, &thinned.removed).await?;
    let after = metadata.snapshots().len();
    report.snapshots = Change::new(after + thinned.removed.len(), after);
    report.doomed = doomed.len() as u64;
    info!(table = %site.table, removed = thinned.removed.len(), doomed = doomed.len(), "thinned");
    Ok((report, doomed))
}

struct Thinned {
    /// The table without them.
    table: LoadedTable,
    removed: Vec<SnapshotRef>,
}

async fn remove(
    site: &Site<'_>,
    policy: Thinning,
    pinned: &BTreeSet<i64>,
) -> Result<Option<Thinned>, MaintainError> {
    let mut unknown: Option<(Vec<SnapshotRef>, String)> = None;
    // One round more than attempts: the last only looks.
    for attempt in 0..=site.attempts_max {
        let (table, ledger) = site.load().await?;
        if let Some((asked, _)) = &unknown
            && asked.iter().all(|gone| is_gone(&table.metadata, gone))
        {
            let removed = asked.clone();
            return Ok(Some(Thinned { table, removed }));
        }
        if attempt == site.attempts_max {
            break;
        }
        let removed = choose(&table.metadata, &ledger, policy, pinned, site.now_ms)?;
        if removed.is_empty() {
            return Ok(None);
        }
        let request = removal(&table.metadata, &removed)?;
        match site.port.commit(site.table, request).await {
            Ok(table) => return Ok(Some(Thinned { table, removed })),
            Err(PortError::Conflict(reason)) => {
                info!(table = %site.table, attempt, reason, "conflict while thinning");
            }
            Err(PortError::Unknown(reason)) => {
                warn!(table = %site.table, attempt, reason, "outcome of thinning unknown");
                unknown = Some((removed, reason));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(match unknown {
        None => MaintainError::Crowded {
            attempts: site.attempts_max,
        },
        Some((_, reason)) => MaintainError::Port(PortError::Unknown(reason)),
    })
}

fn is_gone(metadata: &TableMetadata, snapshot: &SnapshotRef) -> bool {
    metadata.snapshot_by_id(snapshot.snapshot_id()).is_none()
}

fn choose(
    metadata: &TableMetadata,
    ledger: &Ledger,
    policy: Thinning,
    pinned: &BTreeSet<i64>,
    now_ms: i64,
) -> Result<Vec<SnapshotRef>, MaintainError> {
    if !metadata.properties().contains_key(LEDGER_PROPERTY) || !owns_files(metadata) {
        return Ok(Vec::new());
    }
    let mut kept = pinned.clone();
    kept.extend(metadata.current_snapshot_id());
    kept.extend(ledger.last.map(|last| last.snapshot_id));
    kept.extend(referenced(metadata)?);
    if Kind::of(metadata) == Kind::Keyed {
        let last = ledger.last.map(|last| last.snapshot_id);
        let since = line(metadata, metadata.current_snapshot_id());
        kept.extend(since.take_while(|id| Some(*id) != last));
    }
    let moments: Vec<_> = metadata
        .snapshots()
        .map(|snapshot| Moment {
            snapshot_id: snapshot.snapshot_id(),
            timestamp_ms: snapshot.timestamp_ms(),
        })
        .collect();
    Ok(removable(&moments, &kept, policy, now_ms)
        .into_iter()
        .filter_map(|id| metadata.snapshot_by_id(id).cloned())
        .collect())
}

/// What branches and tags hold: heads and tags, and what a branch has that main has not.
fn referenced(metadata: &TableMetadata) -> Result<BTreeSet<i64>, MaintainError> {
    let on_main: BTreeSet<i64> = line(metadata, metadata.current_snapshot_id()).collect();
    let mut held = BTreeSet::new();
    for (name, reference) in references(metadata)? {
        held.insert(reference.snapshot_id);
        if name != MAIN_BRANCH && reference.is_branch() {
            let own = line(metadata, Some(reference.snapshot_id));
            held.extend(own.take_while(|id| !on_main.contains(id)));
        }
    }
    Ok(held)
}

/// A snapshot and its ancestors, as far as they are there.
fn line(metadata: &TableMetadata, from: Option<i64>) -> impl Iterator<Item = i64> {
    let known = move |id: i64| metadata.snapshot_by_id(id);
    std::iter::successors(from.and_then(known), move |snapshot| {
        snapshot.parent_snapshot_id().and_then(known)
    })
    .map(|snapshot| snapshot.snapshot_id())
}

/// All branches and tags. The crate lists them only in the table's JSON.
fn references(
    metadata: &TableMetadata,
) -> Result<BTreeMap<String, SnapshotReference>, MaintainError> {
    #[derive(Deserialize)]
    struct Refs {
        #[serde(default)]
        refs: BTreeMap<String, SnapshotReference>,
    }
    let refs = serde_json::to_vec(metadata).and_then(|json| serde_json::from_slice::<Refs>(&json));
    Ok(refs.map_err(iceberg::Error::from)?.refs)
}

/// Removes snapshots and their statistics if no branch or tag has moved since.
fn removal(
    metadata: &TableMetadata,
    removed: &[SnapshotRef],
) -> Result<CommitRequest, MaintainError> {
    let snapshot_ids: Vec<i64> = removed.iter().map(|one| one.snapshot_id()).collect();
    let mut requirements = vec![TableRequirement::UuidMatch {
        uuid: metadata.uuid(),
    }];
    requirements.extend(references(metadata)?.into_iter().map(|(r#ref, reference)| {
        TableRequirement::RefSnapshotIdMatch {
            r#ref,
            snapshot_id: Some(reference.snapshot_id),
        }
    }));
    let mut updates = Vec::new();
    for &snapshot_id in &snapshot_ids {
        if metadata.statistics_for_snapshot(snapshot_id).is_some() {
            updates.push(TableUpdate::RemoveStatistics { snapshot_id });
        }
        let by_partition = metadata.partition_statistics_for_snapshot(snapshot_id);
        if by_partition.is_some() {
            updates.push(TableUpdate::RemovePartitionStatistics { snapshot_id });
        }
    }
    updates.push(TableUpdate::RemoveSnapshots { snapshot_ids });
    Ok(CommitRequest {
        requirements,
        updates,
    })
}
