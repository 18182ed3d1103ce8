//! Schemas of a topic's rows: in order, each once, and still there after a restart.

use tidelog_coordinator::cluster::{
    Command, Image, NewTopic, Reply, RowsSchema, SCHEMA_BYTES_MAX, SCHEMAS_MAX, SchemaRefusal,
};
use uuid::Uuid;

use super::{Harness, configured};

const ID: Uuid = Uuid::from_u128(9);

fn schema(id: i32) -> RowsSchema {
    RowsSchema {
        id,
        text: (id > 0).then(|| format!("schema {id}")),
    }
}

fn add(
    harness: &mut Harness,
    newest: Option<i32>,
    schemas: Vec<RowsSchema>,
) -> Result<(), SchemaRefusal> {
    let command = Command::AddSchemas {
        topic: ID,
        newest,
        schemas,
    };
    match harness.run(command) {
        Reply::Schemas(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

#[test]
fn schemas_come_one_after_the_other() {
    let mut harness = Harness::new();
    let unknown = add(&mut harness, None, vec![schema(1)]);
    assert_eq!(unknown, Err(SchemaRefusal::UnknownTopic { id: ID }));
    harness.run(Command::AutoCreateTopics {
        topics: vec![("orders".into(), ID)],
        incarnation: 1,
    });
    assert_eq!(add(&mut harness, None, vec![schema(1), schema(2)]), Ok(()));
    let moved = SchemaRefusal::Moved {
        expected: Some(1),
        found: Some(2),
    };
    assert_eq!(add(&mut harness, Some(1), vec![schema(3)]), Err(moved));
    let order = add(&mut harness, Some(2), vec![schema(2)]);
    assert_eq!(order, Err(SchemaRefusal::Order));
    assert_eq!(add(&mut harness, Some(2), vec![schema(7)]), Ok(()));

    let ids = |image: &Image| -> Vec<i32> {
        let topic = image.topic_by_id(ID).unwrap();
        topic.schemas.iter().map(|schema| schema.id).collect()
    };
    let image = harness.cluster.image();
    assert_eq!(ids(image), [1, 2, 7]);
    assert_eq!(Image::restore(&image.checkpoint()), *image);
    assert_eq!(ids(&Image::restore(&harness.log)), [1, 2, 7]);
}

#[test]
fn columns_that_an_engine_merges_stay() {
    let mut harness = Harness::new();
    let configs = [
        ("tidelog.table.mode", "inline"),
        ("tidelog.table.schema", r#"{"fields":[]}"#),
        ("tidelog.table.key", "record_key"),
        ("tidelog.table.merge-engine", "aggregation"),
    ];
    let created = harness.run(Command::CreateTopics {
        topics: vec![NewTopic {
            id: ID,
            ..configured("sums", &configs)
        }],
        incarnation: 1,
        validate_only: false,
    });
    assert!(matches!(created, Reply::Created(made) if made[0].1.is_ok()));
    assert_eq!(
        add(&mut harness, None, vec![schema(1)]),
        Err(SchemaRefusal::Merged)
    );
}

#[test]
fn schemas_are_bounded() {
    let mut harness = Harness::new();
    harness.run(Command::AutoCreateTopics {
        topics: vec![("orders".into(), ID)],
        incarnation: 1,
    });
    let bytes = SCHEMA_BYTES_MAX + 1;
    let long = RowsSchema {
        id: 1,
        text: Some(" ".repeat(bytes)),
    };
    let refused = add(&mut harness, None, vec![long]);
    assert_eq!(refused, Err(SchemaRefusal::TooLong { bytes }));
    let most = i32::try_from(SCHEMAS_MAX).unwrap();
    let all = (1..=most).map(schema).collect();
    assert_eq!(add(&mut harness, None, all), Ok(()));
    let more = add(&mut harness, Some(most), vec![schema(most + 1)]);
    assert_eq!(more, Err(SchemaRefusal::TooMany));
}
