//! Aim: what other engines may do to a keyed table, and what tiering and maintenance say to it.
//! Method: a few passes, one foreign act, often right before a commit of ours, and a pass that goes
//! on or names the reason.

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use iceberg::io::FileIO;
use iceberg::spec::Operation;
use iceberg::{TableIdent, TableUpdate};
use parking_lot::Mutex;
use tidelog_tiering::commit::CommitError;
use tidelog_tiering::maintain::{MaintainError, Maintainer, Step, StepReport};
use tidelog_tiering::{
    CommitPort, CommitRequest, LoadedTable, PassError, PortError, Suspension, TierState,
    TopicIdentity,
};
use world::keyed::{KeyedLog, TableRows, eager};
use world::{TOPIC_ID, World};

const HOUR_MS: i64 = 3_600_000;

/// What somebody does right before a commit.
#[derive(Debug, Clone)]
enum Act {
    Rewrite,
    Compact,
    Append,
    /// Everything that this log has.
    Tier(KeyedLog),
}

/// The catalog, with somebody else faster once.
struct Meddler {
    world: Arc<World>,
    act: Mutex<Option<Act>>,
}

#[async_trait]
impl CommitPort for Meddler {
    async fn load(&self, table: &TableIdent) -> Result<LoadedTable, PortError> {
        self.world.catalog.load(table).await
    }

    async fn commit(
        &self,
        table: &TableIdent,
        request: CommitRequest,
    ) -> Result<LoadedTable, PortError> {
        if *table == self.world.table {
            self.meddle().await;
        }
        self.world.catalog.commit(table, request).await
    }

    async fn commit_all(
        &self,
        requests: Vec<(TableIdent, CommitRequest)>,
    ) -> Result<Vec<LoadedTable>, PortError> {
        self.meddle().await;
        self.world.catalog.commit_all(requests).await
    }

    async fn ensure_namespace(&self, table: &TableIdent) -> Result<(), PortError> {
        self.world.catalog.ensure_namespace(table).await
    }

    fn location_for(&self, table: &TableIdent) -> String {
        self.world.catalog.location_for(table)
    }

    fn file_io(&self) -> &FileIO {
        self.world.catalog.file_io()
    }
}

impl Meddler {
    async fn meddle(&self) {
        let act = self.act.lock().take();
        match act {
            None => {}
            Some(Act::Rewrite) => self.world.foreign_rewrite().await,
            Some(Act::Compact) => self.world.maintain().await.unwrap(),
            Some(Act::Append) => drop(self.world.foreign_commit().await),
            Some(Act::Tier(log)) => drop(self.world.tier(&log).await.unwrap()),
        }
    }
}

fn meddled(world: &Arc<World>, act: Act) -> Arc<Meddler> {
    Arc::new(Meddler {
        world: Arc::clone(world),
        act: Mutex::new(Some(act)),
    })
}

/// Four commits of ten keys, each putting them anew.
async fn four_commits() -> (Arc<World>, KeyedLog) {
    let world = Arc::new(World::new(1));
    let mut log = KeyedLog::new();
    for _ in 0..4 {
        (0..10).for_each(|key| log.put(0, key));
        world.tier(&log).await.unwrap();
        world.advance(10_000);
    }
    (world, log)
}

async fn suspension(world: &World, log: &KeyedLog) -> Suspension {
    let tierer = world.open_keyed(0).await.unwrap();
    let TierState::Suspended(reason) = tierer.state().await.unwrap() else {
        panic!("not suspended");
    };
    assert_eq!(refusal(world.tier(log).await), reason);
    let error = compact(world).await.unwrap_err();
    let MaintainError::Suspended(same) = error else {
        panic!("{error}")
    };
    assert_eq!(same, reason);
    reason
}

fn refusal<T: std::fmt::Debug>(result: Result<T, PassError>) -> Suspension {
    match result.unwrap_err() {
        PassError::Commit(CommitError::Suspended(reason)) => reason,
        error => panic!("{error}"),
    }
}

async fn compact(world: &World) -> Result<StepReport, MaintainError> {
    let now_ms = world.advance(1);
    let mut maintainer = world.maintainer(eager(), now_ms);
    maintainer
        .run(Step::Compact, now_ms, &BTreeSet::new())
        .await
}

#[tokio::test]
async fn rewrites_in_between_are_followed() {
    let acts = [Act::Rewrite, Act::Compact];
    // With a dead letter, deletes and rows are one of two parts of their commit.
    let acts = acts
        .into_iter()
        .flat_map(|act| [(act.clone(), 0), (act, 1)]);
    for (act, dead_letters) in acts {
        let (world, mut log) = four_commits().await;
        (0..dead_letters).for_each(|_| log.invalid(0));
        (3..6).for_each(|key| log.put(0, key));
        log.delete(0, 7);
        let tierer = world
            .open_keyed_over(meddled(&world, act.clone()), 0)
            .await
            .unwrap();
        let mut source = log.clone();
        let report = tierer.pass(&mut source, &log.bounds()).await.unwrap();
        assert_eq!((report.rows, report.replaced), (3, 4), "{act:?}");
        assert_eq!(report.dead_letters, dead_letters, "{act:?}");
        assert_eq!(world.keyed_rows().await, log.rows(), "{act:?}");
        assert_eq!(world.dead_letters().await, log.dead_letters(), "{act:?}");
        // The tierer goes on over files that are not the ones it wrote.
        (0..10).for_each(|key| log.put(0, key));
        let mut source = log.clone();
        tierer.pass(&mut source, &log.bounds()).await.unwrap();
        assert_eq!(world.keyed_rows().await, log.rows(), "{act:?}");
        assert_eq!(world.union_rows(&log).await, log.rows(), "{act:?}");
    }
}

#[tokio::test]
async fn deletes_that_come_while_files_are_compacted_are_carried_over() {
    let (world, mut log) = four_commits().await;
    (2..5).for_each(|key| log.put(0, key));
    log.delete(0, 8);
    let port = meddled(&world, Act::Tier(log.clone()));
    let identity = TopicIdentity {
        topic_id: TOPIC_ID,
        epoch: 0,
    };
    let (env, table) = (Arc::clone(&world.env), world.table.clone());
    let mut maintainer = Maintainer::new(port, None, env, table, identity, eager(), 0);
    let report = maintainer
        .run(Step::Compact, 0, &BTreeSet::new())
        .await
        .unwrap();
    assert_eq!((report.data_files.before, report.data_files.after), (4, 1));
    assert_eq!(world.keyed_rows().await, log.rows());
    assert_eq!(world.union_rows(&log).await, log.rows());
    let table = world.load().await;
    let totals = &table
        .metadata
        .current_snapshot()
        .unwrap()
        .summary()
        .additional_properties;
    // Those of the tier commit name files that are gone; those carried over, the new file.
    assert_eq!(totals["total-delete-files"], "2");
    assert_eq!(totals["total-records"], "13");
    world.maintain().await.unwrap();
    assert_eq!(world.keyed_rows().await, log.rows());
}

#[tokio::test]
async fn a_file_rewritten_by_others_makes_compaction_void() {
    let (world, log) = four_commits().await;
    let port = meddled(&world, Act::Rewrite);
    let identity = TopicIdentity {
        topic_id: TOPIC_ID,
        epoch: 0,
    };
    let (env, table) = (Arc::clone(&world.env), world.table.clone());
    let mut maintainer = Maintainer::new(port, None, env, table, identity, eager(), 0);
    let report = maintainer
        .run(Step::Compact, 0, &BTreeSet::new())
        .await
        .unwrap();
    assert!(!report.did_something());
    assert_eq!(world.keyed_rows().await, log.rows());
}

#[tokio::test]
async fn rows_changed_by_others_suspend_until_somebody_decides() {
    let (world, mut log) = four_commits().await;
    let snapshot_id = world.foreign_commit().await;
    let expected = Suspension::ForeignRows {
        snapshot_id,
        operation: "append".to_owned(),
    };
    log.put(0, 3);
    assert_eq!(suspension(&world, &log).await, expected);
    // A rewrite on top does not cover it up.
    world.foreign_rewrite().await;
    assert_eq!(suspension(&world, &log).await, expected);
    let tierer = world.open_keyed(0).await.unwrap();
    tierer.resume(BTreeMap::new()).await.unwrap();
    world.tier(&log).await.unwrap();
    assert_eq!(world.keyed_rows().await, log.rows());
}

#[tokio::test]
async fn rows_changed_right_before_a_commit_suspend_too() {
    let (world, mut log) = four_commits().await;
    let before = world.keyed_rows().await;
    log.put(0, 3);
    let tierer = world
        .open_keyed_over(meddled(&world, Act::Append), 0)
        .await
        .unwrap();
    let mut source = log.clone();
    let reason = refusal(tierer.pass(&mut source, &log.bounds()).await);
    assert!(matches!(reason, Suspension::ForeignRows { .. }), "{reason}");
    assert_eq!(world.keyed_rows().await, before);
}

#[tokio::test]
async fn an_expired_past_is_not_taken_on_trust() {
    let (world, mut log) = four_commits().await;
    log.put(0, 3);
    let last = world.load().await.metadata.current_snapshot_id().unwrap();
    // That the last tier commit is expired matters not: what came after it is known.
    world.foreign_rewrite().await;
    let expire = |id| {
        let snapshot_ids = vec![id];
        world.update(vec![TableUpdate::RemoveSnapshots { snapshot_ids }])
    };
    expire(last).await;
    world.tier(&log).await.unwrap();
    assert_eq!(world.keyed_rows().await, log.rows());
    // Two foreign snapshots, and the first is expired.
    let first = world.foreign_commit().await;
    world.foreign_rewrite().await;
    expire(first).await;
    let gone = Suspension::HistoryGone { snapshot_id: first };
    assert_eq!(suspension(&world, &log).await, gone);
}

#[tokio::test]
async fn our_own_thinning_keeps_what_tells_of_others() {
    let (world, mut log) = four_commits().await;
    let last = world.load().await.metadata.current_snapshot_id().unwrap();
    for _ in 0..3 {
        world.foreign_rewrite().await;
        world.advance(HOUR_MS);
    }
    world.advance(100 * HOUR_MS);
    world.maintain().await.unwrap();
    let table = world.load().await;
    let mut kept: Vec<_> = table.metadata.snapshots().collect();
    kept.sort_by_key(|snapshot| snapshot.sequence_number());
    assert_eq!(kept[0].snapshot_id(), last);
    assert!(
        kept[1..]
            .iter()
            .all(|one| one.summary().operation == Operation::Replace)
    );
    log.put(0, 3);
    world.tier(&log).await.unwrap();
    assert_eq!(world.keyed_rows().await, log.rows());
}

#[tokio::test]
async fn a_row_that_is_not_there_suspends() {
    let (world, log) = four_commits().await;
    // The first thirty rows were replaced, and go with their files.
    world.maintain().await.unwrap();
    // A log in which they were not.
    let mut other = KeyedLog::new();
    (0..40).for_each(|key| other.put(0, key));
    other.put(0, 5);
    let missing = Suspension::RowMissing {
        partition: 0,
        offset: 5,
    };
    assert_eq!(refusal(world.tier(&other).await), missing);
    assert_eq!(world.keyed_rows().await, log.rows());
}

#[tokio::test]
async fn a_partition_filled_anew_is_what_the_log_says() {
    let (world, _) = four_commits().await;
    // Others have put rows there, and the log is another.
    world.foreign_commit().await;
    let mut other = KeyedLog::new();
    (0..60).for_each(|key| other.put(0, key));
    (20..50).for_each(|key| other.put(0, key));
    let before = other.clone();
    let tierer = world.open_keyed(0).await.unwrap();
    let end = other.bounds()[&0].stable_end;
    let error = tierer
        .refill(0, end + 1, &mut Vec::new())
        .await
        .unwrap_err();
    assert!(matches!(error, PassError::Source(_)), "{error}");
    let mut rows = TableRows(before);
    let mark = tierer.refill(0, end, &mut rows).await.unwrap();
    assert_eq!(mark.ends, BTreeMap::from([(0, end)]));
    assert_eq!(world.keyed_rows().await, other.rows());
    // It goes on from there, over the summaries alone too.
    (10..30).for_each(|key| other.put(0, key));
    other.delete(0, 59);
    world.tier(&other).await.unwrap();
    assert_eq!(world.keyed_rows().await, other.rows());
    let removals = vec!["tidelog.tier".to_owned()];
    world
        .update(vec![TableUpdate::RemoveProperties { removals }])
        .await;
    other.delete(0, 58);
    other.put(1, 5);
    world.tier(&other).await.unwrap();
    world.maintain().await.unwrap();
    assert_eq!(world.keyed_rows().await, other.rows());
    assert_eq!(world.union_rows(&other).await, other.rows());
}

#[tokio::test]
async fn a_table_of_another_kind_is_not_taken() {
    let (world, _) = four_commits().await;
    let as_append = world.open(0).await.unwrap();
    let state = as_append.state().await.unwrap();
    assert_eq!(state, TierState::Suspended(Suspension::OtherKind));
}
