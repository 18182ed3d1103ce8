//! The schema registry of a broker over restarts and kills, and another broker that takes its schemas
//! from there.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use support::TestBroker;
use tidelog::owners::registry::{LookupError, SCHEMAS_TOPIC_ID};
use tidelog_registry::{Command, Format, Registration, SchemaId, Version, VersionRef};
use uuid::Uuid;

fn registration(text: &str) -> Registration {
    Registration {
        text: text.to_owned(),
        format: Format::Avro,
        references: Vec::new(),
        metadata: None,
        rule_set: None,
        id: None,
        version: None,
        normalize: false,
    }
}

/// An Avro record with `count` optional fields.
fn record(count: usize) -> String {
    let field = |n| format!(r#"{{"name":"f{n}","type":"int","default":0}}"#);
    let fields: Vec<_> = (0..count).map(field).collect();
    let fields = fields.join(",");
    format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)
}

async fn register(broker: &TestBroker, subject: &str, registration: Registration) -> SchemaId {
    let service = broker.running().broker.registry().service();
    let found = service.register(subject.to_owned(), registration).await;
    found.unwrap().id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_is_there_after_restart_and_kill() {
    let mut broker = TestBroker::start(&[]).await;
    for life in 0..3 {
        for n in 0..100 {
            let subject = format!("s{n}");
            let id = register(&broker, &subject, registration(&record(life + 1))).await;
            assert_eq!(id, SchemaId(i32::try_from(life).unwrap() + 1));
        }
        let before = broker.running().broker.registry().service().image();
        broker = match life % 2 {
            0 => broker.restart().await,
            _ => broker.kill().await,
        };
        let after = broker.running().broker.registry().service().image();
        assert_eq!(before, after, "life {life}");
        // Topics that no longer exist are deleted at start; the registry is none of them.
        assert_eq!(after.subjects_with("").count(), 100);
    }
}

/// Versions of one subject until its log is begun anew with a checkpoint.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_has_grown_is_begun_anew() {
    let broker = TestBroker::start(&[]).await;
    let doc = "d".repeat(900 << 10);
    for n in 1..=12 {
        let text = record(n).replacen(',', &format!(r#","doc":"{doc}","#), 1);
        register(&broker, "long", registration(&text)).await;
        let service = broker.running().broker.registry().service();
        for permanent in [false, true] {
            let command = Command::DeleteVersion {
                subject: "long".to_owned(),
                version: VersionRef::Number(Version(1)),
                permanent,
            };
            service.submit(command).await.unwrap();
        }
    }
    let log = broker.running().broker.log().partition(SCHEMAS_TOPIC_ID, 0);
    let marks = log.unwrap().marks();
    assert!(marks.log_start > 0, "{marks:?}");
    let before = broker.running().broker.registry().service().image();
    let broker = broker.kill().await;
    let after = broker.running().broker.registry().service().image();
    assert_eq!(before, after);
    assert_eq!(after.last_id(), SchemaId(12));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_register_the_same_at_once() {
    let broker = TestBroker::start(&[]).await;
    let service = broker.running().broker.registry().service();
    let tasks = (0..32).map(|n| {
        let service = service.clone();
        let text = record(1 + n % 4);
        tokio::spawn(async move { service.register("s".to_owned(), registration(&text)).await })
    });
    let mut ids = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        ids.push(task.await.unwrap().unwrap().id);
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids, [1, 2, 3, 4].map(SchemaId));
    assert_eq!(service.image().subject("s").unwrap().versions.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemas_are_found_here_and_at_another_server() {
    let own = TestBroker::start(&[]).await;
    let base = register(
        &own,
        "a/base",
        registration(r#"{"type":"fixed","name":"F","size":2}"#),
    )
    .await;
    let mut referring = registration(r#"["F"]"#);
    referring.references = vec![("F".to_owned(), "a/base".to_owned(), VersionRef::Latest)];
    let id = register(&own, "user value", referring).await;
    let url = own.running().registry.unwrap();
    let other = TestBroker::start(&[&format!("tidelog.registry.url=http://{url}/")]).await;
    for broker in [&own, &other] {
        let registry = broker.running().broker.registry();
        let schema = registry.schema(id).await.unwrap().unwrap();
        assert_eq!(
            (schema.format, schema.text.as_str()),
            (Format::Avro, r#"["F"]"#)
        );
        assert_eq!(schema.references.len(), 1);
        assert_eq!(schema.references[0].0, "F");
        assert!(schema.references[0].1.contains("fixed"));
        assert_eq!(
            registry.latest("user value").await.unwrap().unwrap(),
            schema
        );
        assert_eq!(registry.latest("a/base").await.unwrap().unwrap().id, base);
        let image = own.running().broker.registry().service().image();
        let guid = image.schema(id).unwrap().guid.parse().unwrap();
        assert_eq!(
            registry.schema_of_guid(guid).await.unwrap().unwrap(),
            schema
        );
        assert_eq!(registry.schema_of_guid(Uuid::nil()).await.unwrap(), None);
        assert_eq!(registry.schema(SchemaId(99)).await.unwrap(), None);
        assert_eq!(registry.latest("none").await.unwrap(), None);

        let schema =
            |fields: &str| format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
        let text = schema(r#"{"name":"a","type":"int"}"#);
        let id = registry.register_avro("of/views", text).await.unwrap();
        let latest = registry.latest("of/views").await.unwrap().unwrap();
        assert_eq!((latest.id, id), (id, SchemaId(3)), "once for both");
        let other = schema(r#"{"name":"b","type":"int"}"#);
        let refused = registry.register_avro("of/views", other).await;
        assert!(
            matches!(refused, Err(LookupError::Unusable(_))),
            "{refused:?}"
        );
    }
    drop(own);
    let registry = other.running().broker.registry();
    assert!(registry.schema(id).await.unwrap().is_some(), "kept");
    assert!(registry.schema(SchemaId(7)).await.is_err(), "nobody to ask");
}
