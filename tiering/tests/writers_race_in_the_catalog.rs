//! Aim: of commits that race in the catalog, every one that was answered with success is kept.
//! Method: seeded; several writers each set a property of their own, interleaved at every step.

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

mod world;

use std::collections::HashMap;

use futures::future::join_all;
use iceberg::TableUpdate;
use tidelog_tiering::CommitRequest;
use world::World;

const WRITERS: usize = 6;

#[tokio::test]
async fn no_successful_commit_is_lost() {
    let mut refused = 0;
    for seed in 0..40 {
        let world = World::new(seed);
        world.open(0).await.unwrap();
        world.fate.randomize(seed, 0.0);
        let results = join_all((0..WRITERS).map(|writer| set(&world, writer))).await;
        let table = world.load().await;
        for (writer, result) in results.iter().enumerate() {
            let kept = table.metadata.properties().contains_key(&key(writer));
            assert_eq!(
                kept,
                result.is_ok(),
                "seed {seed}, writer {writer}: {result:?}"
            );
            refused += usize::from(!kept);
        }
        assert!(results.iter().any(Result::is_ok));
        let named = table
            .metadata
            .metadata_log()
            .iter()
            .map(|entry| &entry.metadata_file);
        let files = world.files.paths();
        assert!(
            named
                .chain([&table.metadata_location])
                .all(|file| files.contains(file))
        );
    }
    assert!(
        refused < 40 * WRITERS / 2,
        "{refused} commits refused: the retries do not help"
    );
}

fn key(writer: usize) -> String {
    format!("writer-{writer}")
}

async fn set(world: &World, writer: usize) -> Result<(), String> {
    let updates = HashMap::from([(key(writer), "was here".to_owned())]);
    let request = CommitRequest {
        requirements: Vec::new(),
        updates: vec![TableUpdate::SetProperties { updates }],
    };
    let committed = world.catalog.commit_table(&world.table, request).await;
    committed.map(drop).map_err(|error| error.to_string())
}
