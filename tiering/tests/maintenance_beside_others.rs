//! Aim: maintenance respects what others do to a table: pins, tags, deletes, rollbacks, and commits
//! that come between its look and its commit.
//! Method: one foreign act each, some of them injected right before the maintainer's own commit.

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

mod world;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use async_trait::async_trait;
use bytes::Bytes;
use iceberg::io::FileIO;
use iceberg::spec::{
    DataContentType, DataFileBuilder, DataFileFormat, MAIN_BRANCH, ManifestListWriter,
    ManifestWriterBuilder, Operation, Snapshot, SnapshotReference, SnapshotRetention, Struct,
    Summary,
};
use iceberg::{TableIdent, TableUpdate};
use parking_lot::Mutex;
use tidelog_tiering::maintain::{MaintainError, Maintainer, Policy, Step, StepReport};
use tidelog_tiering::union::{LakeFile, lake_files};
use tidelog_tiering::{
    CommitPort, CommitRequest, LoadedTable, PassLimits, PortError, Suspension, TopicIdentity,
    ValueLayout,
};
use world::{TOPIC_ID, TopicLog, World};

const HOUR_MS: i64 = 3_600_000;

fn policy() -> Policy {
    let mut policy = Policy::default();
    policy.compaction.inputs_min = 3;
    policy.compaction.small_max = 2;
    policy.merging.small_max = 3;
    policy.thinning.keep_all_ms = 1_000;
    policy
}

/// What somebody does right before a commit.
#[derive(Debug, Clone, Copy)]
enum Act {
    Tier,
    Compact,
    Delete,
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
        let act = self.act.lock().take();
        match act {
            None => {}
            Some(Act::Tier) => tier(&self.world, [70, 70]).await,
            Some(Act::Compact) => {
                run(&self.world, None, Step::Compact).await.unwrap();
            }
            Some(Act::Delete) => drop(foreign_delete(&self.world).await),
        }
        self.world.catalog.commit(table, request).await
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

fn maintainer(world: &Arc<World>, act: Option<Act>) -> Maintainer {
    let identity = TopicIdentity {
        topic_id: TOPIC_ID,
        epoch: 0,
    };
    let port = Meddler {
        world: Arc::clone(world),
        act: Mutex::new(act),
    };
    Maintainer::new(
        Arc::new(port),
        Some(Arc::new(world.files.clone())),
        Arc::clone(&world.env),
        world.table.clone(),
        identity,
        policy(),
        0,
    )
}

async fn run(
    world: &Arc<World>,
    act: Option<Act>,
    step: Step,
) -> Result<StepReport, MaintainError> {
    let now_ms = world.advance(1);
    let pinned = BTreeSet::new();
    maintainer(world, act).run(step, now_ms, &pinned).await
}

async fn tier(world: &World, ends: [i64; 2]) {
    let mut log = TopicLog::new(&ends);
    let bounds = log.bounds.clone();
    let tierer = world.open(0).await.unwrap();
    tierer.pass(&mut log, &bounds).await.unwrap();
}

/// Four commits; the table then has `[40, 40]`.
async fn four_commits() -> Arc<World> {
    let world = Arc::new(World::new(1));
    for end in [10, 20, 30, 40] {
        tier(&world, [end, end]).await;
        world.advance(10_000);
    }
    world
}

async fn files(world: &World) -> Vec<LakeFile> {
    let table = world.load().await;
    let current = table.metadata.current_snapshot_id().unwrap();
    let io = world.io();
    lake_files(&io, &table.metadata, current).await.unwrap()
}

fn data_paths(world: &World) -> usize {
    let paths = world.files.paths();
    paths.iter().filter(|path| path.contains("/data/")).count()
}

/// Adds a delete of rows by position, as another engine might. Gives its sequence number.
async fn foreign_delete(world: &World) -> i64 {
    let table = world.load().await;
    let metadata = &table.metadata;
    let current = metadata.current_snapshot().unwrap();
    let id = (world.env.uuid().as_u128() >> 66) as i64;
    let io = world.io();
    let location = format!("{}/metadata/{id}", metadata.location());
    let deletes = DataFileBuilder::default()
        .content(DataContentType::PositionDeletes)
        .file_path(format!("{}/data/{id}-deletes.parquet", metadata.location()))
        .file_format(DataFileFormat::Parquet)
        .partition(Struct::empty())
        .partition_spec_id(0)
        .record_count(1)
        .file_size_in_bytes(1)
        .build()
        .unwrap();
    let mut writer = ManifestWriterBuilder::new(
        io.new_output(format!("{location}-m0.avro")).unwrap(),
        Some(id),
        metadata.current_schema().clone(),
        metadata.default_partition_spec().as_ref().clone(),
    )
    .build_v2_deletes();
    writer.add_file(deletes, -1).unwrap();
    let manifest = writer.write_manifest_file().await.unwrap();
    let sequence_number = metadata.next_sequence_number();
    let list = format!("{location}-list.avro");
    let output = io.new_output(&list).unwrap().writer().await.unwrap();
    let mut lists =
        ManifestListWriter::v2(output, id, Some(current.snapshot_id()), sequence_number);
    let before = io
        .new_input(current.manifest_list())
        .unwrap()
        .read()
        .await
        .unwrap();
    let before =
        iceberg::spec::ManifestList::parse_with_version(&before, metadata.format_version())
            .unwrap();
    lists
        .add_manifests(before.consume_entries().into_iter().chain([manifest]))
        .unwrap();
    lists.close().await.unwrap();
    let snapshot = Snapshot::builder()
        .with_snapshot_id(id)
        .with_parent_snapshot_id(Some(current.snapshot_id()))
        .with_sequence_number(sequence_number)
        .with_timestamp_ms(metadata.last_updated_ms() + 1)
        .with_manifest_list(list)
        .with_summary(Summary {
            operation: Operation::Delete,
            additional_properties: HashMap::new(),
        })
        .with_schema_id(metadata.current_schema_id())
        .build();
    world
        .update(vec![TableUpdate::AddSnapshot { snapshot }])
        .await;
    world.set_main(id).await;
    sequence_number
}

#[tokio::test]
async fn a_tier_commit_in_between_costs_an_attempt() {
    for step in [Step::Compact, Step::Merge] {
        let world = four_commits().await;
        let report = run(&world, Some(Act::Tier), step).await.unwrap();
        assert!(report.did_something());
        assert_eq!(world.rows().await, TopicLog::new(&[70, 70]).rows());
        let expected = if step == Step::Compact { 2 } else { 5 };
        assert_eq!(files(&world).await.len(), expected);
        tier(&world, [80, 80]).await;
        assert_eq!(world.rows().await, TopicLog::new(&[80, 80]).rows());
    }
}

#[tokio::test]
async fn work_made_void_is_thrown_away() {
    for act in [Act::Compact, Act::Delete] {
        let world = four_commits().await;
        let report = run(&world, Some(act), Step::Compact).await.unwrap();
        assert!(!report.did_something(), "{act:?}");
        let data = match act {
            Act::Compact => 5,
            _ => 4,
        };
        assert_eq!(data_paths(&world), data, "{act:?}");
    }
}

#[tokio::test]
async fn files_that_a_delete_may_hit_are_left_alone() {
    let world = four_commits().await;
    let deleted_at = foreign_delete(&world).await;
    for end in [50, 60, 70] {
        tier(&world, [end, end]).await;
    }
    let report = run(&world, None, Step::Compact).await.unwrap();
    assert_eq!(report.data_files.before, 3);
    run(&world, None, Step::Merge).await.unwrap();
    let files = files(&world).await;
    let data = files
        .iter()
        .filter(|file| file.content == DataContentType::Data);
    let ages: Vec<_> = data.map(|file| file.sequence_number).collect();
    assert_eq!(ages, [1, 2, 3, 4, deleted_at + 3]);
    assert_eq!(files.len(), 6);
}

#[tokio::test]
async fn pins_tags_and_branches_keep_their_snapshots() {
    let world = four_commits().await;
    let table = world.load().await;
    let mut ids: Vec<_> = table.metadata.snapshots().collect();
    ids.sort_by_key(|snapshot| snapshot.sequence_number());
    let ids: Vec<i64> = ids.iter().map(|snapshot| snapshot.snapshot_id()).collect();
    let tag = SnapshotRetention::Tag {
        max_ref_age_ms: None,
    };
    world
        .update(vec![TableUpdate::SetSnapshotRef {
            ref_name: "audit".to_owned(),
            reference: SnapshotReference::new(ids[1], tag),
        }])
        .await;
    // What the pinned and the tagged snapshot reach is compacted away in the current one.
    run(&world, None, Step::Compact).await.unwrap();
    let pinned = BTreeSet::from([ids[0]]);
    let mut maintainer = maintainer(&world, None);
    let now_ms = world.advance(HOUR_MS);
    let thinned = maintainer.run(Step::Thin, now_ms, &pinned).await.unwrap();
    assert_eq!((thinned.snapshots.before, thinned.snapshots.after), (5, 4));
    let due_ms = world.advance(2 * HOUR_MS);
    maintainer.run(Step::Delete, due_ms, &pinned).await.unwrap();
    let table = world.load().await;
    for (id, end) in [(ids[0], 10), (ids[1], 20), (ids[3], 40)] {
        let rows = world.rows_of(&table, id).await;
        assert_eq!(rows, TopicLog::new(&[end, end]).rows());
    }
    assert_eq!(
        table
            .metadata
            .snapshot_for_ref("audit")
            .unwrap()
            .snapshot_id(),
        ids[1]
    );
    assert!(table.metadata.snapshot_for_ref(MAIN_BRANCH).is_some());
}

#[tokio::test]
async fn a_suspended_table_is_not_touched() {
    let world = four_commits().await;
    let table = world.load().await;
    let first = table
        .metadata
        .snapshots()
        .min_by_key(|one| one.sequence_number());
    world.set_main(first.unwrap().snapshot_id()).await;
    let before = (world.load().await.metadata_location, world.files.paths());
    world.advance(100 * HOUR_MS);
    for step in [Step::Compact, Step::Merge, Step::Thin, Step::Clean] {
        let error = run(&world, None, step).await.unwrap_err();
        let rolled_back = Suspension::RolledBack { expected: 0 };
        assert!(
            matches!(&error, MaintainError::Suspended(reason)
                if std::mem::discriminant(reason) == std::mem::discriminant(&rolled_back)),
            "{error}"
        );
    }
    let after = (world.load().await.metadata_location, world.files.paths());
    assert_eq!(before, after);
}

#[tokio::test]
async fn without_a_ledger_all_snapshots_stay() {
    let world = four_commits().await;
    let removals = vec!["tidelog.tier".to_owned()];
    world
        .update(vec![TableUpdate::RemoveProperties { removals }])
        .await;
    world.advance(HOUR_MS);
    run(&world, None, Step::Compact).await.unwrap();
    assert!(!run(&world, None, Step::Thin).await.unwrap().did_something());
    // The next tier commit reads the mark through the compaction and writes the ledger again.
    tier(&world, [50, 50]).await;
    world.advance(HOUR_MS);
    assert!(run(&world, None, Step::Thin).await.unwrap().did_something());
    tier(&world, [60, 60]).await;
    assert_eq!(world.rows().await, TopicLog::new(&[60, 60]).rows());
}

#[tokio::test]
async fn files_of_older_schemas_become_one_of_the_newest() {
    let world = four_commits().await;
    let field = |name, kind, id: &str| {
        let id = ("PARQUET:field_id".to_owned(), id.to_owned());
        Field::new(name, kind, true).with_metadata([id].into())
    };
    let inner = field("inner", DataType::Int32, "3");
    let wider = ValueLayout::Typed(Arc::new(Schema::new(vec![
        field("payload", DataType::Int64, "1"),
        field("place", DataType::Struct(vec![inner].into()), "2"),
    ])));
    let limits = PassLimits::default();
    let tierer = world.open_with(0, TOPIC_ID, &wider, limits).await.unwrap();
    let mut log = TopicLog::new(&[50, 50]);
    let bounds = log.bounds.clone();
    tierer.pass(&mut log, &bounds).await.unwrap();
    let report = run(&world, None, Step::Compact).await.unwrap();
    assert_eq!(report.data_files.before, 5);
    assert_eq!(world.rows().await, log.rows());
}

#[tokio::test]
async fn orphans_go_when_they_are_old() {
    let world = four_commits().await;
    let location = world.load().await.metadata.location().to_owned();
    let orphans = [
        "data/lost.parquet",
        "metadata/lost-m0.avro",
        "metadata/1-lost.metadata.json",
    ];
    let kept = ["metadata/version-hint.text"];
    for name in orphans.iter().chain(&kept) {
        let output = world.io().new_output(format!("{location}/{name}")).unwrap();
        output.write(Bytes::from_static(b"?")).await.unwrap();
    }
    let named = world.files.paths();
    let mut found = BTreeMap::new();
    for hours in [0, 2, 80] {
        let mut maintainer = maintainer(&world, None);
        let now_ms = world.advance(hours * HOUR_MS);
        let pinned = BTreeSet::new();
        let report = maintainer.run(Step::Clean, now_ms, &pinned).await.unwrap();
        found.insert(hours, report.doomed);
        assert_eq!(maintainer.waiting() as u64, report.doomed);
        let grace_ms = policy().cleaning.grace_ms;
        assert!(report.doomed == 0 || maintainer.next_due_ms() <= now_ms + grace_ms);
        maintainer
            .run(Step::Delete, now_ms + grace_ms, &pinned)
            .await
            .unwrap();
    }
    assert_eq!(found, BTreeMap::from([(0, 0), (2, 1), (80, 2)]));
    let gone: BTreeSet<_> = orphans
        .iter()
        .map(|name| format!("{location}/{name}"))
        .collect();
    assert_eq!(world.files.paths(), &named - &gone);
    assert_eq!(world.rows().await, TopicLog::new(&[40, 40]).rows());
}

#[tokio::test]
async fn shared_files_are_not_deleted() {
    let world = four_commits().await;
    let updates = HashMap::from([("gc.enabled".to_owned(), "false".to_owned())]);
    world
        .update(vec![TableUpdate::SetProperties { updates }])
        .await;
    let lost = format!(
        "{}/data/lost.parquet",
        world.load().await.metadata.location()
    );
    let output = world.io().new_output(lost).unwrap();
    output.write(Bytes::from_static(b"?")).await.unwrap();
    world.advance(1_000 * HOUR_MS);
    for step in [Step::Thin, Step::Clean] {
        assert!(!run(&world, None, step).await.unwrap().did_something());
    }
}
