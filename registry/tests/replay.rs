//! Random requests: whatever happens, the image is what the log makes, with and without a checkpoint,
//! and what is stored can be resolved.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use support::{World, avro};
use tidelog_registry::{Registry, Store};

const SUBJECTS: [&str; 4] = ["a", "b", "c", "d"];
const FIELDS: [&str; 6] = ["x", "x y?", "x y? z?", "x?", "y", "x z"];

#[tokio::test]
async fn the_image_is_what_the_log_makes() {
    for seed in 0..40 {
        let mut random = SmallRng::seed_from_u64(seed);
        let world = World::new();
        let mut highest = 0;
        for step in 0..120 {
            let (request, body) = draw(&mut random);
            let (status, answer) = world.call(&request, body).await;
            assert_ne!(
                status / 100,
                5,
                "seed {seed} step {step} {request}: {answer}"
            );
            let image = world.store.image();
            check(&image, seed, step);
            assert!(image.last_id().0 >= highest, "seed {seed} step {step}");
            highest = image.last_id().0;
        }
        let image = world.store.image();
        let log = world.store.log();
        assert_eq!(Registry::restore(&log), *image, "seed {seed}");
        let half = Registry::restore(&log[..log.len() / 2]);
        let checkpoint = half.checkpoint();
        assert_eq!(Registry::restore(&checkpoint), half, "seed {seed}");
        let resumed = checkpoint.iter().chain(&log[log.len() / 2..]);
        assert_eq!(Registry::restore(resumed), *image, "seed {seed}");
        let twice = log
            .iter()
            .chain(&image.checkpoint())
            .cloned()
            .collect::<Vec<_>>();
        assert_eq!(Registry::restore(&twice), *image, "seed {seed}");
    }
}

/// Every id in use is known, every schema known is in use, and every reference leads somewhere.
fn check(image: &Registry, seed: u64, step: usize) {
    let at = format!("seed {seed} step {step}");
    for (name, subject) in image.subjects_with("") {
        for found in image.versions(name, subject) {
            let stored = image.schema(found.id).unwrap();
            assert!(stored.uses.contains(&(name.clone(), found.version)), "{at}");
            assert!(image.resolve(&found.schema.references).is_ok(), "{at}");
        }
        assert_eq!(
            image.versions(name, subject).count(),
            subject.versions.len(),
            "{at}"
        );
    }
    for id in 1..=image.last_id().0 {
        let stored = image.schema(tidelog_registry::SchemaId(id));
        assert!(stored.is_none_or(|stored| !stored.uses.is_empty()), "{at}");
    }
}

fn draw(random: &mut SmallRng) -> (String, Value) {
    let subject = SUBJECTS[random.random_range(0..SUBJECTS.len())];
    let other = SUBJECTS[random.random_range(0..SUBJECTS.len())];
    let fields = FIELDS[random.random_range(0..FIELDS.len())];
    let version = random.random_range(1..5);
    let permanent = random.random_bool(0.5);
    match random.random_range(0..12) {
        0..=3 => (format!("POST /subjects/{subject}/versions"), avro(fields)),
        4..=5 => {
            let reference = json!({"name": "R", "subject": other, "version": version});
            let body = json!({"schema": "[\"R\"]", "references": [reference]});
            (format!("POST /subjects/{subject}/versions"), body)
        }
        6..=7 => {
            let request =
                format!("DELETE /subjects/{subject}/versions/{version}?permanent={permanent}");
            (request, Value::Null)
        }
        8 => (
            format!("DELETE /subjects/{subject}?permanent={permanent}"),
            Value::Null,
        ),
        9 => {
            let level = ["NONE", "BACKWARD", "FULL_TRANSITIVE"][random.random_range(0..3)];
            (
                format!("PUT /config/{subject}"),
                json!({"compatibility": level}),
            )
        }
        10 => {
            let mode = ["READWRITE", "IMPORT", "READONLY"][random.random_range(0..3)];
            (
                format!("PUT /mode/{subject}?force={permanent}"),
                json!({"mode": mode}),
            )
        }
        _ => {
            let mut body = avro(fields);
            body["id"] = json!(random.random_range(1..200));
            body["version"] = json!(version);
            (format!("POST /subjects/{subject}/versions"), body)
        }
    }
}
