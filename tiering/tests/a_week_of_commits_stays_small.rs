//! Aim: a table under steady commits does not grow but by its rows: snapshots, manifests, files and
//! metadata stay within bounds.
//! Method: simulated time; days of rare commits, and most of an hour of one every five seconds, with
//! everything maintenance has to do done after each.

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

mod world;

use std::collections::BTreeSet;
use std::sync::Arc;

use iceberg::spec::{FormatVersion, ManifestList};
use tidelog_tiering::maintain::{Maintainer, Policy};
use tidelog_tiering::union::lake_files;
use tidelog_tiering::{Tierer, TopicIdentity};
use world::{TOPIC_ID, TopicLog, World};

const MINUTE_MS: i64 = 60_000;

/// Between commits. The bounds depend on how many fall into [`Policy`]'s windows, not on the pace.
const LAG_MS: i64 = 15 * MINUTE_MS;

const COMMITS_A_DAY: i64 = 24 * 60 * MINUTE_MS / LAG_MS;

#[derive(Debug, Clone, Copy, Default)]
struct Size {
    snapshots: usize,
    manifests: usize,
    data_files: usize,
    files: usize,
    metadata_bytes: usize,
}

impl Size {
    fn max(self, other: Self) -> Self {
        Self {
            snapshots: self.snapshots.max(other.snapshots),
            manifests: self.manifests.max(other.manifests),
            data_files: self.data_files.max(other.data_files),
            files: self.files.max(other.files),
            metadata_bytes: self.metadata_bytes.max(other.metadata_bytes),
        }
    }
}

async fn size(world: &World) -> Size {
    let table = world.load().await;
    let current = table.metadata.current_snapshot().unwrap();
    let io = world.io();
    let files = lake_files(&io, &table.metadata, current.snapshot_id());
    let files = files.await.unwrap();
    let list = world.files.bytes(current.manifest_list());
    let list = ManifestList::parse_with_version(&list, FormatVersion::V2).unwrap();
    Size {
        snapshots: table.metadata.snapshots().len(),
        manifests: list.entries().len(),
        data_files: files.len(),
        files: world.files.paths().len(),
        metadata_bytes: world.files.bytes(&table.metadata_location).len(),
    }
}

/// A table with commits at a steady pace, and everything due done after each.
struct Simulation {
    world: World,
    log: TopicLog,
    tierer: Tierer,
    maintainer: Maintainer,
}

impl Simulation {
    async fn new(policy: Policy) -> Self {
        let world = World::new(1);
        let identity = TopicIdentity {
            topic_id: TOPIC_ID,
            epoch: 0,
        };
        let maintainer = Maintainer::new(
            Arc::clone(&world.catalog) as _,
            Some(Arc::new(world.files.clone())),
            Arc::clone(&world.env),
            world.table.clone(),
            identity,
            policy,
            world.advance(0),
        );
        Self {
            log: TopicLog::new(&[0, 0]),
            tierer: world.open(0).await.unwrap(),
            maintainer,
            world,
        }
    }

    /// The largest the table was during so many commits.
    async fn run(&mut self, commits: i64, lag_ms: i64) -> Size {
        let mut largest = Size::default();
        for commit in 0..commits {
            self.log.append((commit % 2) as i32, 3);
            let bounds = self.log.bounds.clone();
            self.tierer.pass(&mut self.log, &bounds).await.unwrap();
            let now_ms = self.world.advance(lag_ms);
            while let Some(step) = self.maintainer.next_step(now_ms) {
                let pinned = BTreeSet::new();
                self.maintainer.run(step, now_ms, &pinned).await.unwrap();
            }
            if commit % 12 == 0 {
                largest = largest.max(size(&self.world).await);
            }
        }
        largest
    }
}

#[tokio::test]
async fn the_ninth_day_looks_like_the_third() {
    let mut policy = Policy::default();
    policy.merging.small_max = 20;
    let mut simulation = Simulation::new(policy).await;
    let mut days = Vec::new();
    for _ in 0..9 {
        days.push(simulation.run(COMMITS_A_DAY, LAG_MS).await);
    }
    assert_eq!(simulation.world.rows().await, simulation.log.rows());
    let (third, last) = (days[2], days[8]);
    assert!(last.snapshots <= 40, "{last:?}");
    assert!(last.manifests <= third.manifests + 20, "{last:?}");
    assert!(last.data_files <= third.data_files + 20, "{last:?}");
    // Daily snapshots join until the seventh day.
    assert!(last.files <= third.files * 3 / 2, "{last:?}");
    assert!(
        last.metadata_bytes <= third.metadata_bytes * 3 / 2,
        "{last:?}"
    );
}

#[tokio::test]
async fn five_seconds_between_commits_stay_within_the_windows() {
    let mut simulation = Simulation::new(Policy::default()).await;
    let half_hour = simulation.run(360, 5_000).await;
    let hour = simulation.run(240, 5_000).await;
    // 15 minutes of snapshots, five until the next look, one compaction a minute.
    assert!(hour.snapshots <= 240 + 20 + 5, "{hour:?}");
    assert!(hour.manifests <= 100, "{hour:?}");
    assert!(hour.data_files <= 40, "{hour:?}");
    assert!(
        hour.metadata_bytes <= half_hour.metadata_bytes * 5 / 4,
        "{hour:?}"
    );
    assert_eq!(simulation.world.rows().await, simulation.log.rows());
}
