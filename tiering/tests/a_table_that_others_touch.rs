//! Aim: what other people may do to a topic's table, and what tiering says to it.
//! Method: two passes, then one foreign act, then a third pass that goes on or names the reason.

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

mod world;

use std::collections::BTreeMap;

use iceberg::TableUpdate;
use tidelog_tiering::commit::{Append, CommitError, CommitOutcome, Committer, Part};
use tidelog_tiering::{
    OffsetRange, PassError, PassLimits, Suspension, TierState, Tierer, TopicIdentity,
};
use uuid::Uuid;
use world::{TOPIC_ID, TopicLog, World, layout};

async fn two_passes(world: &World) -> Tierer {
    let tierer = world.open(1).await.unwrap();
    for ends in [[10, 20], [30, 20]] {
        pass(&tierer, &ends).await.unwrap();
    }
    tierer
}

async fn pass(tierer: &Tierer, ends: &[i64]) -> Result<(), PassError> {
    let mut log = TopicLog::new(ends);
    let bounds = log.bounds.clone();
    tierer.pass(&mut log, &bounds).await.map(drop)
}

async fn suspended(tierer: &Tierer) -> Suspension {
    let TierState::Suspended(reason) = tierer.state().await.unwrap() else {
        panic!("not suspended");
    };
    let error = pass(tierer, &[40, 40]).await.unwrap_err();
    let PassError::Commit(CommitError::Suspended(same)) = error else {
        panic!("{error}")
    };
    assert_eq!(same, reason);
    reason
}

fn snapshot_ids(table: &tidelog_tiering::LoadedTable) -> Vec<i64> {
    let mut snapshots: Vec<_> = table.metadata.snapshots().collect();
    snapshots.sort_by_key(|snapshot| snapshot.sequence_number());
    snapshots
        .iter()
        .map(|snapshot| snapshot.snapshot_id())
        .collect()
}

#[tokio::test]
async fn foreign_commits_are_built_upon() {
    let world = World::new(1);
    let tierer = two_passes(&world).await;
    world.foreign_commit().await;
    pass(&tierer, &[40, 40]).await.unwrap();
    assert_eq!(world.rows().await, TopicLog::new(&[40, 40]).rows());
}

#[tokio::test]
async fn the_property_is_enough_when_all_our_snapshots_are_expired() {
    let world = World::new(1);
    let tierer = two_passes(&world).await;
    let ours = snapshot_ids(&world.load().await);
    world.foreign_commit().await;
    world
        .update(vec![TableUpdate::RemoveSnapshots { snapshot_ids: ours }])
        .await;
    pass(&tierer, &[40, 40]).await.unwrap();
    assert_eq!(world.rows().await, TopicLog::new(&[40, 40]).rows());
}

#[tokio::test]
async fn the_summaries_are_enough_when_the_property_is_lost() {
    let world = World::new(1);
    let tierer = two_passes(&world).await;
    let removals = vec!["tidelog.tier".to_owned()];
    world
        .update(vec![TableUpdate::RemoveProperties { removals }])
        .await;
    pass(&tierer, &[40, 40]).await.unwrap();
    assert_eq!(world.rows().await, TopicLog::new(&[40, 40]).rows());
}

#[tokio::test]
async fn a_lost_property_and_an_expired_past_suspend() {
    let world = World::new(1);
    let tierer = two_passes(&world).await;
    let oldest = snapshot_ids(&world.load().await)[..1].to_vec();
    world
        .update(vec![
            TableUpdate::RemoveSnapshots {
                snapshot_ids: oldest,
            },
            TableUpdate::RemoveProperties {
                removals: vec!["tidelog.tier".to_owned()],
            },
        ])
        .await;
    assert!(matches!(
        suspended(&tierer).await,
        Suspension::BadLedger { .. }
    ));
}

#[tokio::test]
async fn a_rollback_suspends_until_somebody_says_from_where() {
    let world = World::new(1);
    let tierer = two_passes(&world).await;
    let ids = snapshot_ids(&world.load().await);
    world.set_main(ids[0]).await;
    let expected = ids[1];
    assert_eq!(
        suspended(&tierer).await,
        Suspension::RolledBack { expected }
    );
    // On top of the rollback, others go on: still the same.
    world.foreign_commit().await;
    assert_eq!(
        suspended(&tierer).await,
        Suspension::RolledBack { expected }
    );

    let mark = tierer.resume(BTreeMap::from([(0, 10)])).await.unwrap();
    assert_eq!(mark.ends, BTreeMap::from([(0, 10), (1, 20)]));
    pass(&tierer, &[40, 40]).await.unwrap();
    assert_eq!(world.rows().await, TopicLog::new(&[40, 40]).rows());
    // The summaries alone tell the same story, from the reset on.
    let removals = vec!["tidelog.tier".to_owned()];
    world
        .update(vec![TableUpdate::RemoveProperties { removals }])
        .await;
    pass(&tierer, &[50, 40]).await.unwrap();
    assert_eq!(world.rows().await, TopicLog::new(&[50, 40]).rows());
}

#[tokio::test]
async fn a_rollback_is_seen_though_the_older_past_is_expired() {
    let world = World::new(1);
    let tierer = two_passes(&world).await;
    pass(&tierer, &[35, 25]).await.unwrap();
    let ids = snapshot_ids(&world.load().await);
    let snapshot_ids = vec![ids[0]];
    world
        .update(vec![TableUpdate::RemoveSnapshots { snapshot_ids }])
        .await;
    world.set_main(ids[1]).await;
    assert_eq!(
        suspended(&tierer).await,
        Suspension::RolledBack { expected: ids[2] }
    );
}

#[tokio::test]
async fn a_rollback_taken_back_goes_on() {
    let world = World::new(1);
    let tierer = two_passes(&world).await;
    let ids = snapshot_ids(&world.load().await);
    world.set_main(ids[0]).await;
    world.set_main(ids[1]).await;
    pass(&tierer, &[40, 40]).await.unwrap();
    assert_eq!(world.rows().await, TopicLog::new(&[40, 40]).rows());
}

#[tokio::test]
async fn another_topic_and_an_older_owner_are_kept_out() {
    let world = World::new(1);
    let tierer = two_passes(&world).await;
    let limits = PassLimits::default();
    let stranger = world
        .open_with(9, Uuid::from_u128(7), &layout(), limits)
        .await
        .unwrap();
    assert_eq!(
        suspended(&stranger).await,
        Suspension::ForeignTopic { found: TOPIC_ID }
    );
    let successor = world.open(2).await.unwrap();
    pass(&successor, &[31, 20]).await.unwrap();
    assert_eq!(
        suspended(&tierer).await,
        Suspension::Fenced { own: 1, found: 2 }
    );
}

#[tokio::test]
async fn a_table_made_by_others_is_not_taken() {
    let world = World::new(1);
    two_passes(&world).await;
    let removals = vec!["tidelog.tier".to_owned()];
    world
        .update(vec![TableUpdate::RemoveProperties { removals }])
        .await;
    let ours = snapshot_ids(&world.load().await);
    world.foreign_commit().await;
    world
        .update(vec![TableUpdate::RemoveSnapshots { snapshot_ids: ours }])
        .await;
    let tierer = world.open(1).await.unwrap();
    assert_eq!(suspended(&tierer).await, Suspension::NotATopicTable);
}

#[tokio::test]
async fn offsets_gone_from_the_log_suspend() {
    let world = World::new(1);
    let tierer = two_passes(&world).await;
    let mut log = TopicLog::new(&[40, 40]);
    log.bounds.get_mut(&1).unwrap().log_start = 25;
    let bounds = log.bounds.clone();
    let error = tierer.pass(&mut log, &bounds).await.unwrap_err();
    let gap = Suspension::Gap {
        partition: 1,
        lake_end: 20,
        log_start: 25,
    };
    assert!(
        matches!(&error, PassError::Commit(CommitError::Suspended(reason)) if *reason == gap),
        "{error}"
    );
    // Accepting the gap goes on behind it.
    tierer.resume(BTreeMap::from([(1, 25)])).await.unwrap();
    tierer.pass(&mut log, &bounds).await.unwrap();
    let missing = (20..25).map(|offset| (1, offset)).collect();
    let expected = &TopicLog::new(&[40, 40]).rows() - &missing;
    assert_eq!(world.rows().await, expected);
}

/// A commit planned on an older state of the table, as a stale handle would try it.
async fn stale_commit(
    world: &World,
    table_uuid: Uuid,
    moved: (i32, i64, i64),
) -> Result<CommitOutcome, CommitError> {
    let (partition, start, end) = moved;
    let committer = Committer {
        port: world.catalog.as_ref(),
        env: world.env.as_ref(),
        identity: TopicIdentity {
            topic_id: TOPIC_ID,
            epoch: 1,
        },
        attempts_max: 3,
    };
    let append = Append {
        commit_id: world.env.uuid(),
        parts: vec![Part {
            table: world.table.clone(),
            table_uuid,
            moved: BTreeMap::from([(partition, OffsetRange { start, end })]),
            data_files: Vec::new(),
            replaces: None,
            erases: BTreeMap::new(),
        }],
    };
    committer.commit(append).await
}

#[tokio::test]
async fn a_stale_plan_moves_nothing() {
    let world = World::new(1);
    two_passes(&world).await;
    let table = world.load().await;
    let uuid = table.metadata.uuid();
    for stale in [(0, 10, 30), (0, 10, 35), (0, 31, 35), (1, 0, 20)] {
        let outcome = stale_commit(&world, uuid, stale).await.unwrap();
        assert!(matches!(outcome, CommitOutcome::Outpaced), "{stale:?}");
    }
    let replaced = stale_commit(&world, Uuid::from_u128(9), (0, 30, 35))
        .await
        .unwrap_err();
    let found = Suspension::TableReplaced { found: uuid };
    assert!(
        matches!(&replaced, CommitError::Suspended(reason) if *reason == found),
        "{replaced}"
    );
    assert_eq!(
        world.load().await.metadata_location,
        table.metadata_location
    );
    let fresh = stale_commit(&world, uuid, (0, 30, 35)).await.unwrap();
    assert!(matches!(fresh, CommitOutcome::Committed(_)));
}
