//! The metadata log's format: kept bytes decode for ever, and what is too new is named.

use tidelog_coordinator::cluster::{
    EntityType, Image, NamedResource, PartitionsCreated, Quota, Record, RecordError, RowsSchema,
    Topic,
};
use uuid::Uuid;

const FIXTURE: &str = include_str!("../../fixtures/cluster-v1.jsonl");

fn every_record() -> Vec<Record> {
    let id = Uuid::from_u128(0x1234_5678_9abc_4def_8123_4567_89ab_cdef);
    let overrides = |value: &str| [("retention.ms".to_owned(), value.to_owned())].into();
    vec![
        Record::ClusterCreated {
            cluster_id: "rI8_w8Z2QpOMMoOpvJ2-Tw".into(),
        },
        Record::FeatureLevel {
            name: "metadata.version".into(),
            level: 7,
        },
        Record::ProducerIdsAllocated {
            first: 0,
            count: 1000,
        },
        Record::BrokerConfigChanged {
            broker: Some(1),
            overrides: Default::default(),
        },
        Record::BrokerConfigChanged {
            broker: None,
            overrides: [("log.segment.bytes".to_owned(), "1048576".to_owned())].into(),
        },
        Record::TopicCreated {
            topic: Topic {
                name: "orders.v1".into(),
                id,
                partitions: 3,
                overrides: overrides("-1"),
                created: vec![PartitionsCreated {
                    first: 0,
                    incarnation: 1,
                }],
                internal: false,
                created_at_ms: 1_760_000_000_000,
                partitioner_rules: None,
                schemas: Vec::new(),
                view_of: None,
            },
        },
        Record::PartitionsAdded {
            id,
            total: 5,
            incarnation: 2,
        },
        Record::TopicConfigChanged {
            id,
            overrides: overrides("86400000"),
        },
        Record::PartitionerNarrowed { id, rules: 3 },
        Record::TopicDeleted {
            id,
            name: "orders.v1".into(),
        },
        Record::PointersChanged {
            changed: [
                ("namespace/tidelog".to_owned(), None),
                (
                    "table/tidelog/orders_v1".to_owned(),
                    Some("file:///w/00001.metadata.json".to_owned()),
                ),
            ]
            .into(),
        },
        Record::VersionReached { image_version: 40 },
        Record::NamedConfigChanged {
            resource: NamedResource::Group("billing".into()),
            overrides: [("consumer.session.timeout.ms".to_owned(), "50000".to_owned())].into(),
        },
        Record::QuotasChanged {
            entity: vec![
                (EntityType::ClientId, None),
                (EntityType::User, Some("ada".into())),
            ],
            quotas: [("producer_byte_rate", 1024.0), ("request_percentage", 12.5)]
                .map(|(key, value)| (key.to_owned(), Quota::new(value).unwrap()))
                .into(),
        },
        Record::TableSchemaAdded {
            id,
            schema: RowsSchema {
                id: 2,
                text: Some(r#"{"fields":[],"last_id":0}"#.to_owned()),
            },
        },
        Record::TableSchemaAdded {
            id,
            schema: RowsSchema { id: 3, text: None },
        },
        Record::TopicCreated {
            topic: Topic {
                name: "seen".into(),
                id: Uuid::from_u128(5),
                partitions: 3,
                overrides: [("tidelog.view.of".to_owned(), "orders.v1".to_owned())].into(),
                created: vec![PartitionsCreated {
                    first: 0,
                    incarnation: 1,
                }],
                internal: false,
                created_at_ms: 1_760_000_000_000,
                partitioner_rules: None,
                schemas: Vec::new(),
                view_of: Some(id),
            },
        },
    ]
}

#[test]
fn version_1_bytes_still_decode() {
    let kept: Vec<_> = FIXTURE
        .lines()
        .map(|line| Record::decode(line.as_bytes()).unwrap())
        .collect();
    assert_eq!(kept, every_record());
}

#[test]
fn what_is_written_is_what_was_kept() {
    let written: Vec<_> = every_record()
        .iter()
        .map(|record| String::from_utf8(record.encode().unwrap().1).unwrap())
        .collect();
    assert_eq!(written, FIXTURE.lines().collect::<Vec<_>>());
}

#[test]
fn the_future_is_refused_by_name() {
    let too_new = br#"{"version":3,"min_reader":2,"type":"topic_deleted","id":5}"#;
    let error = Record::decode(too_new).unwrap_err();
    assert!(
        matches!(&error, RecordError::TooNew { min_reader: 2, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("needs a reader of format 2"));

    let unknown = br#"{"version":1,"min_reader":1,"type":"acl_created"}"#;
    let error = Record::decode(unknown).unwrap_err();
    assert!(matches!(&error, RecordError::UnknownType { kind, .. } if kind == "acl_created"));

    let more =
        br#"{"version":2,"min_reader":1,"type":"version_reached","image_version":5,"note":"x"}"#;
    assert_eq!(
        Record::decode(more).unwrap(),
        Record::VersionReached { image_version: 5 }
    );
}

#[test]
fn garbage_is_an_error() {
    for text in [
        "",
        "{}",
        "null",
        "[1]",
        "{\"min_reader\":1,\"type\":\"topic_created\"}",
    ] {
        assert!(
            matches!(
                Record::decode(text.as_bytes()),
                Err(RecordError::Damaged(_))
            ),
            "{text}"
        );
    }
}

#[test]
fn records_of_lost_topics_change_nothing_but_the_version() {
    let id = Uuid::from_u128(9);
    let mut image = Image::default();
    image.apply(&Record::PartitionsAdded {
        id,
        total: 2,
        incarnation: 1,
    });
    image.apply(&Record::TopicConfigChanged {
        id,
        overrides: Default::default(),
    });
    image.apply(&Record::TopicDeleted {
        id,
        name: "t".into(),
    });
    assert_eq!(
        image,
        Image::restore(&[Record::VersionReached { image_version: 3 }])
    );
}

#[test]
fn a_checkpoint_keeps_every_part_of_the_image() {
    let mut records = every_record();
    records.truncate(9); // The topic stays.
    records.push(Record::BrokerConfigChanged {
        broker: Some(1),
        overrides: [("log.retention.ms".to_owned(), "5".to_owned())].into(),
    });
    records.push(every_record()[10].clone()); // One pointer set, one that is not there.
    records.extend_from_slice(&every_record()[12..]);
    let image = Image::restore(&records);
    assert_eq!(Image::restore(&image.checkpoint()), image);
    assert_eq!((image.version(), image.checkpoint().len()), (16, 11));
}
