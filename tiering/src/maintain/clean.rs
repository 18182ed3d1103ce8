//! Orphans: files of the table that nothing names, left by failed commits and lost deletions.
//!
//! The folder is listed *before* the table is loaded, so a file that a commit takes in meanwhile is
//! found to be named; and only files older than their grace count, so one that waits for its commit
//! is left alone. Only kinds of files that tables consist of are considered.

use super::error::MaintainError;
use super::listing::FileListing;
use super::policy::Cleaning;
use super::reach::{Locations, key, subtract_reachable};
use super::report::StepReport;
use super::schedule::Step;
use super::site::{Site, owns_files};

const METADATA_FILE: &str = ".metadata.json";

/// What else a table's folder holds by right.
const KINDS: [&str; 5] = [".parquet", ".avro", ".puffin", ".stats", ".orc"];

/// Finds the orphans of the table.
pub(super) async fn run(
    site: &Site<'_>,
    listing: &dyn FileListing,
    policy: Cleaning,
) -> Result<(StepReport, Locations), MaintainError> {
    let mut report = StepReport::nothing(Step::Clean);
    let (table, _) = site.load().await?;
    if !owns_files(&table.metadata) {
        return Ok((report, Locations::new()));
    }
    let listed = listing.list(table.metadata.location()).await?;
    let mut orphans: Locations = listed
        .into_iter()
        .filter(|file| {
            let age_ms = site.now_ms.saturating_sub(file.modified_ms);
            grace_ms(&file.location, policy).is_some_and(|grace_ms| age_ms > grace_ms)
        })
        .map(|file| (key(&file.location), file.location))
        .collect();
    if !orphans.is_empty() {
        let (table, _) = site.load().await?;
        orphans.remove(&key(&table.metadata_location));
        subtract_reachable(site.io(), &table.metadata, &mut orphans).await?;
    }
    report.doomed = orphans.len() as u64;
    Ok((report, orphans))
}

/// How old a file must be to count; `None` for one that is not a table's.
fn grace_ms(location: &str, policy: Cleaning) -> Option<i64> {
    if location.ends_with(METADATA_FILE) {
        return Some(policy.metadata_grace_ms);
    }
    let known = KINDS.iter().any(|kind| location.ends_with(kind));
    known.then_some(policy.orphan_grace_ms)
}
