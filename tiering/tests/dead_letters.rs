//! Aim: records that are no rows land once in the table for them, and rows and dead letters together
//! are the log, whatever happens to a pass or beside it.
//! Method: each fault at each step of a run with both tables; then many tierers at once under random
//! faults; then what others may do to the second table.

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

mod world;

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use futures::future::join_all;
use iceberg::spec::{Operation, Summary};
use tidelog_tiering::commit::CommitError;
use tidelog_tiering::{
    CommitRequest, LogBounds, PassError, Redecoder, Retry, SourceError, Suspension, TierState,
    Tierer,
};
use uuid::Uuid;
use world::{FAULTS, Fault, TOPIC_ID, TopicLog, World, layout, row_columns};

/// Whatever is below the mark is a row or a dead letter.
async fn assert_whole(world: &World, log: &TopicLog, context: &str) {
    world.fate.clear();
    assert_eq!(world.rows().await, log.rows(), "rows, {context}");
    assert_eq!(
        world.dead_letters().await,
        log.dead_letters(),
        "dead letters, {context}"
    );
}

/// Tiers two rounds, starting over from the tables after every trouble.
async fn run(world: &World, fault: Option<(usize, Fault)>) -> TopicLog {
    if let Some((step, fault)) = fault {
        world.fate.script(step, fault);
    }
    let mut log = TopicLog::default();
    for ends in [[20, 33], [50, 33]] {
        log = TopicLog::with_dead_letters(&ends);
        let mut tries = 0;
        while !caught_up(world, &mut log).await {
            tries += 1;
            assert!(
                tries < 4,
                "not caught up after {tries} tries with {fault:?}"
            );
        }
    }
    log
}

/// One process life: open, pass, look. False when it met an error or crashed.
async fn caught_up(world: &World, log: &mut TopicLog) -> bool {
    let life = async {
        let tierer = world.open(0).await.ok()?;
        let bounds = log.bounds.clone();
        tierer.pass(log, &bounds).await.ok()?;
        let TierState::Active(mark) = tierer.state().await.ok()? else {
            panic!("a single fault suspended the topic");
        };
        let is_there = |(p, bounds): (_, &LogBounds)| mark.ends.get(p) == Some(&bounds.stable_end);
        Some(bounds.iter().all(is_there))
    };
    world.until_crash(life).await.flatten().unwrap_or(false)
}

#[tokio::test]
async fn rows_and_dead_letters_are_the_log_whichever_step_fails_how() {
    let clean = World::new(1);
    let steps_before = clean.fate.count();
    run(&clean, None).await;
    let steps = clean.fate.count() - steps_before;
    assert!(steps > 50, "only {steps} steps");
    for step in 0..steps {
        for fault in FAULTS {
            let world = World::new(1);
            let log = run(&world, Some((step, fault))).await;
            assert_whole(&world, &log, &format!("{fault:?} at {step}")).await;
        }
    }
}

#[tokio::test]
async fn many_tierers_under_faults_put_each_record_in_one_place() {
    for seed in 0..12 {
        let world = World::new(seed);
        let mut log = TopicLog::with_dead_letters(&[0, 0, 0]);
        for round in 0..6 {
            (0..3).for_each(|partition| log.append(partition, 5 + 7 * i64::from(partition)));
            world.fate.randomize(seed * 100 + round, 0.03);
            let tierers = (0..3).map(|_| {
                let mut log = log.clone();
                let world = &world;
                async move {
                    let tierer = world.open(0).await.ok()?;
                    let bounds = log.bounds.clone();
                    tierer.pass(&mut log, &bounds).await.ok()
                }
            });
            world.until_crash(join_all(tierers)).await;
            world.fate.clear();
        }
        let mut tries = 0;
        while !caught_up(&world, &mut log).await {
            tries += 1;
            assert!(tries < 4, "seed {seed}");
        }
        assert_whole(&world, &log, &format!("seed {seed}")).await;
    }
}

/// The `tidelog.moved` of each commit to the table of dead letters, oldest first.
async fn chain(world: &World) -> Vec<BTreeMap<String, (i64, i64)>> {
    let table = world.catalog.load_table(&world.dead_table).await.unwrap();
    let mut snapshots: Vec<_> = table.metadata.snapshots().collect();
    snapshots.sort_by_key(|snapshot| snapshot.sequence_number());
    let moved = snapshots.into_iter().map(|snapshot| {
        serde_json::from_str(&snapshot.summary().additional_properties["tidelog.moved"]).unwrap()
    });
    moved.collect()
}

#[tokio::test]
async fn the_table_is_made_for_the_first_one_and_its_commits_follow_each_other() {
    let world = World::new(1);
    let tierer = world.open(0).await.unwrap();
    // Offset 5 is the first dead letter, 16 the second, 27 the third.
    for (end, dead) in [(5, 0), (9, 1), (14, 0), (20, 1), (30, 1)] {
        let mut log = TopicLog::with_dead_letters(&[end]);
        let bounds = log.bounds.clone();
        let report = tierer.pass(&mut log, &bounds).await.unwrap();
        assert_eq!(report.dead_letters, dead, "up to {end}");
        let is_there = world.catalog.table_exists(&world.dead_table).await.unwrap();
        assert_eq!(is_there, end > 5);
        assert_whole(&world, &log, &format!("up to {end}")).await;
    }
    let moved = |start, end| BTreeMap::from([("0".to_owned(), (start, end))]);
    assert_eq!(
        chain(&world).await,
        [moved(5, 9), moved(9, 20), moved(20, 30)]
    );
}

#[tokio::test]
async fn dead_letters_without_a_place_stop_only_what_has_some() {
    let world = World::new(1);
    let tierer = world.open(0).await.unwrap();
    let pass = async |end| {
        let mut log = TopicLog::with_dead_letters(&[end]);
        let bounds = log.bounds.clone();
        tierer.pass(&mut log, &bounds).await
    };
    pass(10).await.unwrap();
    // Taken by somebody else's topic meanwhile.
    world.catalog.drop_table(&world.dead_table).await.unwrap();
    let other = World {
        table: world.dead_table.clone(),
        dead_table: world.dead_table.clone(),
        fate: world.fate.clone(),
        files: world.files.clone(),
        catalog: world.catalog.clone(),
        env: world.env.clone(),
        clock: world.clock.clone(),
    };
    let foreign = Uuid::from_u128(7);
    let limits = Default::default();
    other
        .open_with(0, foreign, &layout(), limits)
        .await
        .unwrap();
    pass(14).await.unwrap();
    let error = pass(20).await.unwrap_err();
    let stranger = Suspension::ForeignTopic { found: foreign };
    let expected = Suspension::DeadLetters(Box::new(stranger));
    assert!(
        matches!(&error, PassError::Commit(CommitError::Suspended(reason)) if *reason == expected),
        "{error}"
    );
    // Out of the way, it goes on; what was dropped stays dropped.
    world.catalog.drop_table(&world.dead_table).await.unwrap();
    pass(20).await.unwrap();
    assert_eq!(
        world.rows().await,
        TopicLog::with_dead_letters(&[20]).rows()
    );
    assert_eq!(world.dead_letters().await, [(0, 16)].into());
}

#[tokio::test]
async fn a_topic_whose_own_table_was_made_anew_doubles_no_dead_letter() {
    let world = World::new(1);
    let mut log = TopicLog::with_dead_letters(&[40, 40]);
    let bounds = log.bounds.clone();
    world
        .open(0)
        .await
        .unwrap()
        .pass(&mut log, &bounds)
        .await
        .unwrap();
    world.catalog.drop_table(&world.table).await.unwrap();
    let mut log = TopicLog::with_dead_letters(&[60, 40]);
    let bounds = log.bounds.clone();
    world
        .open(0)
        .await
        .unwrap()
        .pass(&mut log, &bounds)
        .await
        .unwrap();
    assert_whole(&world, &log, "made anew").await;
}

#[tokio::test]
async fn several_tables_change_together_or_not_at_all() {
    let world = World::new(1);
    let mut log = TopicLog::with_dead_letters(&[20]);
    let bounds = log.bounds.clone();
    let tierer = world.open(0).await.unwrap();
    tierer.pass(&mut log, &bounds).await.unwrap();
    let own = world.load().await;
    let set = |key: &str| CommitRequest {
        requirements: Vec::new(),
        updates: vec![iceberg::TableUpdate::SetProperties {
            updates: [(key.to_owned(), "1".to_owned())].into(),
        }],
    };
    let false_claim = iceberg::TableRequirement::UuidMatch { uuid: TOPIC_ID };
    let refused = CommitRequest {
        requirements: vec![false_claim],
        ..set("b")
    };
    let (first, second) = (world.table.clone(), world.dead_table.clone());
    let files_before = world.files.paths();
    let both = vec![(first.clone(), set("a")), (second.clone(), refused)];
    world.catalog.commit_tables(both).await.unwrap_err();
    assert_eq!(world.load().await.metadata_location, own.metadata_location);
    assert_eq!(world.files.paths(), files_before);
    let twice = vec![(first.clone(), set("a")), (first.clone(), set("b"))];
    world.catalog.commit_tables(twice).await.unwrap_err();

    let both = vec![(first, set("a")), (second, set("b"))];
    let changed = world.catalog.commit_tables(both).await.unwrap();
    assert!(changed[0].metadata.properties().contains_key("a"));
    assert!(changed[1].metadata.properties().contains_key("b"));
}

/// Decodes dead letters with odd offsets.
struct Odd;

impl Redecoder for Odd {
    fn redecode(
        &mut self,
        partition: i32,
        dead_letters: &RecordBatch,
    ) -> Result<RecordBatch, SourceError> {
        let offsets = dead_letters.column_by_name("_offset").unwrap();
        let offsets = offsets.as_primitive::<Int64Type>().values().iter();
        Ok(row_columns(
            partition,
            offsets.copied().filter(|offset| offset % 2 == 1).collect(),
        ))
    }
}

/// One run over all dead letters; the number of those that became rows.
async fn retry(tierer: &Tierer) -> Result<u64, PassError> {
    let (mut run, mut rows) = (Retry::default(), 0);
    loop {
        let report = tierer.retry(&mut run, &mut Odd).await?;
        rows += report.rows;
        if !report.more {
            return Ok(rows);
        }
    }
}

/// Rows and dead letters after a run over those of `log`.
async fn assert_retried(world: &World, log: &TopicLog, context: &str) {
    world.fate.clear();
    let (odd, even) = log
        .dead_letters()
        .into_iter()
        .partition(|(_, offset)| offset % 2 == 1);
    assert_eq!(world.dead_letters().await, even, "dead letters, {context}");
    assert_eq!(world.rows().await, &log.rows() | &odd, "rows, {context}");
}

/// A world with dead letters in several files.
async fn with_dead_letters() -> (World, TopicLog) {
    let world = World::new(1);
    let mut log = TopicLog::default();
    for ends in [[20, 9], [40, 30], [60, 90]] {
        log = TopicLog::with_dead_letters(&ends);
        assert!(caught_up(&world, &mut log).await);
    }
    (world, log)
}

#[tokio::test]
async fn dead_letters_that_decode_by_now_become_rows_whichever_step_fails_how() {
    let (clean, log) = with_dead_letters().await;
    let steps_before = clean.fate.count();
    let tierer = clean.open(0).await.unwrap();
    let odd = log
        .dead_letters()
        .into_iter()
        .filter(|(_, offset)| offset % 2 == 1);
    assert_eq!(retry(&tierer).await.unwrap(), odd.count() as u64);
    let steps = clean.fate.count() - steps_before;
    assert!(steps > 30, "only {steps} steps");
    assert_eq!(retry(&tierer).await.unwrap(), 0);
    assert_retried(&clean, &log, "clean").await;
    // Tiering goes on as if nothing had been.
    let mut log = TopicLog::with_dead_letters(&[80, 90]);
    assert!(caught_up(&clean, &mut log).await);
    assert_eq!(
        clean.rows().await.len() + clean.dead_letters().await.len(),
        log.rows().len() + log.dead_letters().len()
    );

    for step in 0..steps {
        for fault in FAULTS {
            let (world, log) = with_dead_letters().await;
            world.fate.script(step, fault);
            let mut tries = 0;
            let life = async || {
                let tierer = world.open(0).await.ok()?;
                retry(&tierer).await.ok()
            };
            while world.until_crash(life()).await.flatten().is_none() {
                tries += 1;
                assert!(tries < 4, "{fault:?} at {step}");
            }
            assert_retried(&world, &log, &format!("{fault:?} at {step}")).await;
        }
    }
}

/// Operation and counts of the newest commit to the table of dead letters.
async fn summary(world: &World) -> Summary {
    let table = world.catalog.load_table(&world.dead_table).await.unwrap();
    table.metadata.current_snapshot().unwrap().summary().clone()
}

#[tokio::test]
async fn what_a_retry_takes_out_is_told_in_the_words_of_the_specification() {
    let world = World::new(1);
    let tierer = world.open(0).await.unwrap();
    // Offset 5 is the first dead letter, 16 the second, 27 the third; 16 stays one.
    let rounds = [
        (vec![9], Operation::Delete, 1, 0, 0),
        (vec![20, 30], Operation::Overwrite, 2, 1, 1),
    ];
    for (ends, operation, deleted, added, total) in rounds {
        for end in ends {
            let mut log = TopicLog::with_dead_letters(&[end]);
            let bounds = log.bounds.clone();
            tierer.pass(&mut log, &bounds).await.unwrap();
            assert_eq!(summary(&world).await.operation, Operation::Append);
        }
        assert_eq!(retry(&tierer).await.unwrap(), 1);
        let summary = summary(&world).await;
        assert_eq!(summary.operation, operation);
        let count = |key: &str| {
            let count = summary.additional_properties.get(key);
            count.map_or(0, |count| count.parse().unwrap())
        };
        assert_eq!(count("deleted-records"), deleted, "{operation:?}");
        assert_eq!(count("deleted-data-files"), deleted, "{operation:?}");
        assert_eq!(count("added-records"), added, "{operation:?}");
        assert_eq!(count("total-records"), total, "{operation:?}");
        assert_eq!(count("total-data-files"), total, "{operation:?}");
    }
}

#[tokio::test]
async fn passes_and_retries_at_once_put_each_record_in_one_place() {
    for seed in 0..12 {
        let world = World::new(seed);
        let mut log = TopicLog::with_dead_letters(&[0, 0]);
        for round in 0..5 {
            (0..2).for_each(|partition| log.append(partition, 30));
            world.fate.randomize(seed * 100 + round, 0.02);
            let (world, bounds) = (&world, log.bounds.clone());
            let mut source = log.clone();
            let passing = Box::pin(async {
                let tierer = world.open(0).await.ok()?;
                tierer.pass(&mut source, &bounds).await.ok()
            });
            let retrying = Box::pin(async { retry(&world.open(0).await.ok()?).await.ok() });
            world
                .until_crash(async { tokio::join!(passing, retrying) })
                .await;
            world.fate.clear();
        }
        let mut tries = 0;
        while !caught_up(&world, &mut log).await {
            tries += 1;
            assert!(tries < 6, "seed {seed}");
        }
        let tierer = world.open(0).await.unwrap();
        retry(&tierer).await.unwrap();
        assert_retried(&world, &log, &format!("seed {seed}")).await;
    }
}
