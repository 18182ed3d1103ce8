//! Topics are made, grown and deleted one by one within a request.

use std::num::NonZeroU32;

use tidelog_coordinator::cluster::{
    ClusterError, Command, GrowTopic, Image, NewTopic, Record, ReplicationPolicy, Reply, TopicRef,
};
use uuid::Uuid;

use super::{Harness, configured, new_topic};

#[test]
fn each_topic_of_a_request_stands_on_its_own() {
    let mut harness = Harness::new();
    let cases: Vec<(NewTopic, &str)> = vec![
        (new_topic("orders"), "ok"),
        (new_topic("a.b"), "ok"),
        (new_topic("a_b"), "differs from a.b only"),
        (new_topic("twice"), "named more than once"),
        (new_topic("twice"), "named more than once"),
        (new_topic(""), "it is empty"),
        (new_topic("."), "'.' or '..'"),
        (new_topic(".."), "'.' or '..'"),
        (new_topic("bad name"), "letters and digits of ASCII"),
        (new_topic(&"n".repeat(249)), "ok"),
        (new_topic(&"n".repeat(250)), "longer than 249"),
        (
            new_topic("__consumer_offsets"),
            "kept by the broker for itself",
        ),
        (
            NewTopic {
                id: Uuid::nil(),
                ..new_topic("nil")
            },
            "taken or reserved",
        ),
        (
            NewTopic {
                partitions: 0,
                ..new_topic("none")
            },
            "ask for 1 or more",
        ),
        (
            NewTopic {
                partitions: -2,
                ..new_topic("less")
            },
            "ask for 1 or more",
        ),
        (
            NewTopic {
                partitions: 5,
                ..new_topic("five")
            },
            "ok",
        ),
        (
            NewTopic {
                partitions: i32::MAX,
                ..new_topic("all")
            },
            "do not fit",
        ),
        (
            NewTopic {
                replication_factor: 1,
                ..new_topic("rf1")
            },
            "ok",
        ),
        (
            NewTopic {
                replication_factor: 3,
                ..new_topic("rf3")
            },
            "ok",
        ),
        (
            NewTopic {
                replication_factor: 0,
                ..new_topic("rf0")
            },
            "ask for 1, or -1",
        ),
        (configured("good", &[("retention.ms", "1")]), "ok"),
        (
            configured("bad", &[("retention.ms", "x")]),
            "must be a 64-bit whole number",
        ),
        (
            configured("same", &[("retention.ms", "1"), ("retention.ms", "1")]),
            "more than once",
        ),
        (
            NewTopic {
                configs: vec![("retention.ms".into(), None)],
                ..new_topic("null")
            },
            "no value",
        ),
    ];
    let (topics, expected): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    let names: Vec<_> = topics.iter().map(|topic| topic.name.clone()).collect();
    for ((outcome, expected), name) in harness.create(topics).iter().zip(&expected).zip(names) {
        assert!(outcome.contains(expected), "{name}: {outcome}");
    }
    assert_eq!(
        harness.log.len(),
        expected.iter().filter(|outcome| **outcome == "ok").count()
    );
    assert_eq!(
        harness.create(vec![new_topic("orders")]),
        ["topic orders already exists"]
    );
    assert_eq!(
        harness.cluster.image().topic("orders").unwrap().partitions,
        3
    );
}

#[test]
fn assignments_name_this_broker_alone() {
    let assigned = |assignments: &[(i32, &[i32])]| NewTopic {
        assignments: assignments
            .iter()
            .map(|(at, on)| (*at, on.to_vec()))
            .collect(),
        ..new_topic("t")
    };
    let cases = [
        (assigned(&[(0, &[2])]), "can only be on broker 1"),
        (assigned(&[(0, &[1, 1])]), "can only be on broker 1"),
        (assigned(&[(0, &[])]), "can only be on broker 1"),
        (
            assigned(&[(0, &[1]), (2, &[1])]),
            "number the partitions from 0",
        ),
        (
            assigned(&[(0, &[1]), (0, &[1])]),
            "number the partitions from 0",
        ),
        (
            assigned(&[(-1, &[1]), (0, &[1])]),
            "number the partitions from 0",
        ),
        (
            NewTopic {
                partitions: 1,
                ..assigned(&[(0, &[1])])
            },
            "give one or the other",
        ),
        (assigned(&[(1, &[1]), (0, &[1])]), "ok"),
    ];
    let mut harness = Harness::new();
    for (topic, expected) in cases {
        let outcome = harness.create(vec![topic]).remove(0);
        assert!(outcome.contains(expected), "{outcome}");
    }
    assert_eq!(harness.cluster.image().topic("t").unwrap().partitions, 2);
}

#[test]
fn a_high_replication_factor_is_clamped_or_refused() {
    let topic = || NewTopic {
        replication_factor: 3,
        ..new_topic("connect-offsets")
    };
    let mut clamping = Harness::new();
    let command = Command::CreateTopics {
        topics: vec![topic()],
        incarnation: 1,
        validate_only: false,
    };
    let Reply::Created(outcomes) = clamping.run(command) else {
        panic!()
    };
    assert_eq!(outcomes[0].1.as_ref().unwrap().clamped_from, Some(3));

    let mut refusing = Harness::with(|options| options.replication = ReplicationPolicy::Refuse);
    assert!(refusing.create(vec![topic()])[0].contains("the cluster has one broker"));
}

#[test]
fn validate_only_writes_nothing() {
    let mut harness = Harness::new();
    let command = Command::CreateTopics {
        topics: vec![new_topic("a.b"), new_topic("a_b")],
        incarnation: 1,
        validate_only: true,
    };
    let Reply::Created(outcomes) = harness.run(command) else {
        panic!()
    };
    assert!(outcomes[0].1.is_ok());
    assert!(matches!(
        outcomes[1].1,
        Err(ClusterError::NameCollision { .. })
    ));
    assert!(harness.log.is_empty());
}

#[test]
fn auto_creation_takes_what_is_there() {
    let mut harness = Harness::new();
    harness.create(vec![NewTopic {
        partitions: 1,
        ..new_topic("there")
    }]);
    let topics =
        ["there", "fresh", "fresh", "no good"].map(|name| (name.to_owned(), Uuid::new_v4()));
    let Reply::Created(outcomes) = harness.run(Command::AutoCreateTopics {
        topics: topics.into(),
        incarnation: 9,
    }) else {
        panic!()
    };
    let partitions: Vec<_> = outcomes
        .iter()
        .map(|(_, result)| result.as_ref().ok().map(|created| created.topic.partitions))
        .collect();
    assert_eq!(partitions, [Some(1), Some(3), Some(3), None]);
    assert_eq!(harness.log.len(), 2);
}

#[test]
fn deletion_works_by_name_and_id_and_spares_internal_topics() {
    let mut harness = Harness::new();
    let internal = NewTopic {
        internal: true,
        ..new_topic("__consumer_offsets")
    };
    assert_eq!(
        harness.create(vec![
            new_topic("a"),
            new_topic("b"),
            new_topic("c"),
            internal
        ]),
        ["ok"; 4]
    );
    let id = |harness: &Harness, name| harness.cluster.image().topic(name).unwrap().id;
    let (old_a, b, c) = (id(&harness, "a"), id(&harness, "b"), id(&harness, "c"));
    let gone = Uuid::new_v4();
    let topics = vec![
        TopicRef::Name("a".into()),
        TopicRef::Id(b),
        TopicRef::Name("c".into()),
        TopicRef::Id(c),
        TopicRef::Name("nope".into()),
        TopicRef::Id(gone),
        TopicRef::Name("__consumer_offsets".into()),
    ];
    let Reply::Deleted(outcomes) = harness.run(Command::DeleteTopics { topics }) else {
        panic!()
    };
    let errors: Vec<_> = outcomes
        .into_iter()
        .map(|(_, result)| result.err())
        .collect();
    let duplicate = |topic: String| Some(ClusterError::DuplicateTopic { topic });
    assert_eq!(
        errors[..4],
        [
            None,
            None,
            duplicate("topic c".into()),
            duplicate(format!("topic id {c}")),
        ]
    );
    assert_eq!(
        errors[4],
        Some(ClusterError::UnknownTopic {
            name: "nope".into()
        })
    );
    assert_eq!(errors[5], Some(ClusterError::UnknownTopicId { id: gone }));
    assert!(matches!(
        errors[6],
        Some(ClusterError::InternalTopic { .. })
    ));

    assert_eq!(harness.create(vec![new_topic("a")]), ["ok"]);
    assert_ne!(id(&harness, "a"), old_a);
    assert!(harness.cluster.image().topic_by_id(old_a).is_none());
}

#[test]
fn topics_only_grow_and_remember_when() {
    let mut harness = Harness::new();
    harness.create(vec![
        new_topic("t"),
        configured(
            "keyed",
            &[
                ("tidelog.table.mode", "key_value"),
                ("tidelog.table.key", "record_key"),
            ],
        ),
    ]);
    let grow = |name: &str, total, assignments: Option<Vec<Vec<i32>>>| GrowTopic {
        name: name.into(),
        total,
        assignments,
    };
    let cases = [
        (grow("t", 3, None), "has 3 partitions"),
        (grow("t", i32::MIN, None), "has 3 partitions"),
        (grow("t", 5, Some(vec![vec![1]])), "1 new partitions, but 2"),
        (
            grow("t", 5, Some(vec![vec![1], vec![2]])),
            "can only be on broker 1",
        ),
        (grow("t", 1_000, None), "do not fit"),
        (grow("keyed", 9, None), "is a keyed table"),
        (grow("nope", 9, None), "does not exist"),
        (grow("t", 5, Some(vec![vec![1], vec![1]])), "ok"),
    ];
    for (topic, expected) in cases {
        let command = Command::CreatePartitions {
            topics: vec![topic],
            incarnation: 8,
            validate_only: false,
        };
        let Reply::Grown(outcomes) = harness.run(command) else {
            panic!()
        };
        let outcome = outcomes[0]
            .1
            .as_ref()
            .map_or_else(ToString::to_string, |_| "ok".into());
        assert!(outcome.contains(expected), "{outcome}");
    }
    let topic = harness.cluster.image().topic("t").unwrap();
    let incarnations: Vec<_> = (-1..6)
        .map(|partition| topic.incarnation_of(partition))
        .collect();
    assert_eq!(
        incarnations,
        [None, Some(4), Some(4), Some(4), Some(8), Some(8), None]
    );
    assert_eq!(harness.cluster.image().partition_count(), 8);
}

#[test]
fn producer_ids_are_given_out_once() {
    let mut harness = Harness::new();
    let mut next = 0;
    for count in [1, 1_000, 1] {
        let command = Command::AllocateProducerIds {
            count: NonZeroU32::new(count).unwrap(),
        };
        let Reply::ProducerIds(Ok(range)) = harness.run(command) else {
            panic!()
        };
        assert_eq!(range, next..next + i64::from(count));
        next = range.end;
    }
    // Those of another cluster are passed over, durably and once.
    for (below, skipped) in [(5_000, next..5_000), (4_000, 5_000..5_000)] {
        let before = harness.log.len();
        let Reply::ProducerIds(Ok(range)) = harness.run(Command::SkipProducerIds { below }) else {
            panic!()
        };
        assert_eq!(harness.log.len() - before, usize::from(!skipped.is_empty()));
        assert_eq!(range, skipped);
    }
    let count = NonZeroU32::MIN;
    let given = harness.run(Command::AllocateProducerIds { count });
    assert_eq!(given, Reply::ProducerIds(Ok(5_000..5_001)));
}

#[test]
fn partitioner_rules_only_get_fewer() {
    let mut harness = Harness::new();
    let id = Uuid::from_u128(9);
    let narrow = |rules| Command::NarrowPartitioner { topic: id, rules };
    let unknown = harness.run(narrow(3));
    assert!(matches!(
        unknown,
        Reply::Partitioner(Err(ClusterError::UnknownTopicId { .. }))
    ));
    harness.run(Command::AutoCreateTopics {
        topics: vec![("prices".into(), id)],
        incarnation: 1,
    });
    for (rules, left) in [(3, 3), (6, 2), (3, 2)] {
        assert_eq!(harness.run(narrow(rules)), Reply::Partitioner(Ok(left)));
    }
    let notes = |record: &&Record| matches!(record, Record::PartitionerNarrowed { .. });
    assert_eq!(harness.log.iter().filter(notes).count(), 2);
    let restored = Image::restore(&harness.cluster.image().checkpoint());
    assert_eq!(restored.topic_by_id(id).unwrap().partitioner_rules, Some(2));
}

#[test]
fn the_first_cluster_id_stays() {
    let mut harness = Harness::new();
    for id in ["first", "second"] {
        let reply = harness.run(Command::CreateCluster {
            cluster_id: id.into(),
        });
        assert_eq!(
            reply,
            Reply::Cluster {
                cluster_id: "first".into()
            }
        );
    }
    assert_eq!(harness.log.len(), 1);
}
